//! All wishes with a store and routers that are but tables, in simulated time.

use std::collections::{BTreeMap, VecDeque};

use dots_callhome::client::wishes::{Action, Answer, Change, Kept, Want, Wish, Wishes};
use dots_callhome::model::Scope;
use dots_callhome::signal::body::Report;

pub const ROUTER: &str = "home-1.isp.example";
/// Bytes of one message.
pub const LIMIT: usize = 1024;

/// What is on the disk.
#[derive(Clone, Default)]
pub struct Disk {
    wishes: BTreeMap<u64, Wish>,
    sent: BTreeMap<(String, u32), dots_callhome::client::wishes::Sent>,
    numbers: BTreeMap<String, u32>,
    next_wish: u64,
}

impl Disk {
    fn keep(&mut self, change: Change) {
        match change {
            Change::Wish(wish) => {
                self.next_wish = self.next_wish.max(wish.id);
                self.wishes.insert(wish.id, wish);
            }
            Change::Forgotten(id) => drop(self.wishes.remove(&id)),
            Change::Sent { router, sent } => drop(self.sent.insert((router, sent.mid), sent)),
            Change::Ended { router, mid } => drop(self.sent.remove(&(router, mid))),
            Change::Number { router, next } => drop(self.numbers.insert(router, next)),
        }
    }

    fn read(&self) -> Kept {
        Kept {
            wishes: self.wishes.values().cloned().collect(),
            sent: self.sent.iter().map(|((router, _), sent)| (router.clone(), sent.clone())).collect(),
            numbers: self.numbers.clone().into_iter().collect(),
            next_wish: self.next_wish,
        }
    }
}

/// The program, its disk, one router, and what was said.
pub struct Desk {
    pub wishes: Wishes,
    pub disk: Disk,
    pub now: u64,
    /// What the router knows, and until when.
    pub router: BTreeMap<u32, (Scope, Option<u64>)>,
    /// All requests it was ever sent.
    pub history: BTreeMap<u32, Scope>,
    /// It grants no more than so many seconds.
    pub most: u32,
    pub is_up: bool,
    /// What the program has said to the router and nobody has looked at: the number, and whether it was withdrawn.
    pub said: Vec<(u32, bool)>,
    pub answers: Vec<(u64, Answer)>,
    /// What the router was told of attacks: who asked, the number, and for how many seconds.
    pub told: Vec<(u64, u32, Option<u32>)>,
    /// Whether the router answers by itself.
    pub is_prompt: bool,
}

impl Desk {
    pub fn new() -> Self {
        Self {
            wishes: Wishes::default(),
            disk: Disk::default(),
            now: 1_800_000_000,
            router: BTreeMap::new(),
            history: BTreeMap::new(),
            most: 3600,
            is_up: false,
            said: Vec::new(),
            answers: Vec::new(),
            told: Vec::new(),
            is_prompt: true,
        }
    }

    /// The router has called and answers.
    pub fn with_router() -> Self {
        let mut desk = Self::new();
        desk.come();
        desk
    }

    pub fn want(&mut self, asker: u64, want: Want) {
        self.wishes.want(asker, want, self.now);
        self.settle();
    }

    /// A wish for an hour.
    pub fn ask(&mut self, asker: u64, target: &str) {
        self.want(asker, self.about(target));
    }

    pub fn about(&self, target: &str) -> Want {
        Want {
            router: ROUTER.to_owned(),
            key: None,
            scope: scope(target),
            until: Some(self.now + 3600),
            by: None,
            reason: None,
        }
    }

    /// The router calls and says what it knows.
    pub fn come(&mut self) {
        self.router.retain(|_, (_, until)| until.is_none_or(|until| until > self.now));
        let report = |mid: &u32, (scope, until): &(Scope, Option<u64>)| Report {
            mid: Some(*mid),
            status: Some(2),
            scope: Some(scope.clone()),
            lifetime: Some(until.map_or(-1, |until| (until - self.now) as i64)),
            ..Report::default()
        };
        let known: Vec<(u32, Report)> = self.router.iter().map(|(mid, held)| (*mid, report(mid, held))).collect();
        self.is_up = true;
        self.wishes.handle_known(ROUTER, &known, LIMIT, self.now);
        self.settle();
    }

    pub fn go(&mut self) {
        self.is_up = false;
        self.wishes.handle_gone(ROUTER, self.now);
        self.settle();
    }

    /// Does what is to be done, all of it.
    pub fn settle(&mut self) {
        self.do_some(usize::MAX);
    }

    /// Does at most so many things.
    pub fn do_some(&mut self, most: usize) {
        for _ in 0..most {
            let Some(action) = self.wishes.poll_action() else { return };
            self.act(action);
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Keep(change) => self.disk.keep(change),
            Action::Answer { asker, answer, .. } => self.answers.push((asker, answer)),
            Action::Send { mid, scope, lifetime, .. } if self.is_up => {
                let former = self.history.insert(mid, scope.clone());
                assert!(former.is_none_or(|former| former == scope), "{mid} was given twice");
                self.said.push((mid, false));
                if self.is_prompt {
                    let granted = lifetime.map_or(self.most, |seconds| seconds.min(self.most));
                    let overlaps =
                        |other: &Scope| other.target_prefixes.iter().any(|t| scope.target_prefixes.contains(t));
                    self.router.retain(|other, (held, _)| other >= &mid || !overlaps(held));
                    self.router.insert(mid, (scope, Some(self.now + u64::from(granted))));
                    self.wishes.handle_granted(ROUTER, mid, Some(granted.into()), self.now);
                }
            }
            Action::Withdraw { mid, .. } if self.is_up => {
                self.said.push((mid, true));
                if self.is_prompt {
                    self.router.remove(&mid);
                    self.wishes.handle_withdrawn(ROUTER, mid, self.now);
                }
            }
            Action::Efficacy { asker, mid, scope, lifetime, .. } => {
                assert_eq!(self.history.get(&mid), Some(&scope), "as it was asked for");
                self.told.push((asker, mid, lifetime));
            }
            Action::Send { .. } | Action::Withdraw { .. } => {}
        }
    }

    /// The program is killed and starts again; the router calls anew.
    pub fn kill(&mut self) {
        self.wishes = Wishes::new(self.disk.read());
        self.is_up = false;
        self.come();
    }

    /// The same without what was kept.
    pub fn kill_and_forget(&mut self) {
        self.disk = Disk::default();
        self.kill();
    }

    /// Lets time pass, with everything at its moment.
    pub fn pass(&mut self, seconds: u64) {
        let end = self.now + seconds;
        let mut steps = VecDeque::new();
        while let Some(due) = self.wishes.poll_timeout().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.wishes.handle_timeout(self.now);
            self.settle();
            steps.push_back(due);
            assert!(steps.len() < 10_000, "time stands still: {due}");
        }
        self.now = end;
    }

    pub fn said(&mut self) -> Vec<(u32, bool)> {
        std::mem::take(&mut self.said)
    }

    pub fn answers(&mut self) -> Vec<(u64, Answer)> {
        std::mem::take(&mut self.answers)
    }

    /// The states of all wishes, in the order in which they came.
    pub fn states(&self) -> Vec<&'static str> {
        self.wishes.all().map(|wish| self.wishes.state(wish)).collect()
    }
}

/// Of the home at this target.
pub fn scope(target: &str) -> Scope {
    Scope {
        source_prefixes: vec!["198.51.100.7/32".parse().unwrap()],
        target_prefixes: vec![target.parse().unwrap()],
        ..Scope::default()
    }
}

/// The same for some protocol and port of the target.
pub fn at_port(target: &str, protocol: u8, port: &str) -> Scope {
    Scope { target_protocols: vec![protocol], target_ports: vec![port.parse().unwrap()], ..scope(target) }
}
