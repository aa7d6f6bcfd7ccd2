//! What is wanted of one router, and what it has been sent for that.
//!
//! What it should be doing follows from the wishes alone: those with common targets make one request together, which is split
//! where it is too large. What is missing is sent under a new number, what nobody wants any more is withdrawn.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::model::Scope;
use crate::signal::body::AttackStatus;

use super::numbers::Numbers;
use super::record::{Action, Answer, Asker, Change, Phase, Sent, Subject, Wish, WishId, WishState};
use super::scopes::{overlap, serves, sources_meet, split, union};

/// Seconds for which what is over is remembered, and what was declined is not asked again where the router names no other time.
pub(super) const DAY: u64 = 86_400;
/// Seconds after which an asker is told what is known.
const PATIENCE: u64 = 10;
/// Seconds between two refreshes, however little is granted.
const SOONEST: u64 = 5;
/// What is over, of one router, that is remembered.
const MOST_ENDED: usize = 256;

/// Somebody who waits for an answer.
pub(super) struct Waiting {
    pub(super) asker: Asker,
    pub(super) about: About,
    pub(super) until: u64,
}

/// What is waited for.
#[derive(Clone, PartialEq)]
pub(super) enum About {
    /// The router takes it on, which makes this answer.
    Wish(WishId, Answer),
    /// The router confirms that the request is withdrawn.
    Withdrawal(u32),
}

/// A request in the router that we have no record of, or that it has declined.
pub(super) struct Unwanted {
    pub(super) scope: Scope,
    pub(super) until: Option<u64>,
}

/// One router.
pub(super) struct RouterWishes {
    pub(super) name: String,
    pub(super) wishes: BTreeMap<WishId, Wish>,
    pub(super) sent: BTreeMap<u32, Sent>,
    pub(super) unwanted: BTreeMap<u32, Unwanted>,
    pub(super) numbers: Numbers,
    /// Whether it has a session.
    pub(super) is_up: bool,
    /// Bytes of one message, while it has a session and has said what it knows.
    pub(super) link: Option<usize>,
    /// What was sent to be refreshed and is not answered yet.
    pub(super) refreshing: BTreeSet<u32>,
    /// Wishes that are not to be sent before.
    pub(super) held: BTreeMap<WishId, u64>,
    pub(super) waiting: Vec<Waiting>,
    /// Whether it has ended a request for a younger one about the same targets and other sources, as RFC 9132 has it: then all
    /// sources for a target go into one request.
    pub(super) by_target: bool,
}

/// Where actions go, and new wishes get their numbers.
#[derive(Default)]
pub(super) struct Actions {
    pub(super) queue: VecDeque<Action>,
    pub(super) next_wish: WishId,
}

impl Actions {
    pub(super) fn push(&mut self, action: Action) {
        self.queue.push_back(action);
    }

    pub(super) fn keep(&mut self, change: Change) {
        self.push(Action::Keep(change));
    }

    /// A number that no wish has had before.
    pub(super) fn take_number(&mut self) -> WishId {
        self.next_wish += 1;
        self.next_wish
    }
}

impl RouterWishes {
    /// Nothing is wanted of it.
    pub(super) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            wishes: BTreeMap::new(),
            sent: BTreeMap::new(),
            unwanted: BTreeMap::new(),
            numbers: Numbers::default(),
            is_up: false,
            link: None,
            refreshing: BTreeSet::new(),
            held: BTreeMap::new(),
            waiting: Vec::new(),
            by_target: false,
        }
    }

    pub(super) fn wanted(&self) -> impl Iterator<Item = &Wish> {
        self.wishes.values().filter(|wish| wish.is_wanted())
    }

    /// Puts a wish in and has it kept.
    pub(super) fn put(&mut self, wish: Wish, out: &mut Actions) {
        out.keep(Change::Wish(wish.clone()));
        self.wishes.insert(wish.id, wish);
    }

    pub(super) fn end(&mut self, id: WishId, state: WishState, out: &mut Actions) {
        if let Some(wish) = self.wishes.get(&id).filter(|wish| wish.is_wanted()) {
            self.put(Wish { state, ..wish.clone() }, out);
            self.held.remove(&id);
        }
    }

    /// Lets a wish be asked for now, whatever came of it a moment ago.
    pub(super) fn ask_now(&mut self, id: WishId) {
        self.held.remove(&id);
    }

    /// Somebody waits for what becomes of a wish.
    pub(super) fn wait(&mut self, asker: Asker, wish: WishId, answer: Answer, now: u64) {
        self.waiting.push(Waiting { asker, about: About::Wish(wish, answer), until: now + PATIENCE });
    }

    /// The requests that serve a wish.
    pub(super) fn mids(&self, wish: &Wish) -> Vec<u32> {
        self.serving(&wish.scope).filter(|sent| sent.phase != Phase::Withdrawn).map(|sent| sent.mid).collect()
    }

    pub(super) fn serving(&self, scope: &Scope) -> impl Iterator<Item = &Sent> {
        self.sent.values().filter(move |sent| serves(&sent.scope, scope))
    }

    /// The wanted wishes that a request is for.
    pub(super) fn wishes_of(&self, scope: &Scope) -> Vec<WishId> {
        self.wanted().filter(|wish| serves(scope, &wish.scope)).map(|wish| wish.id).collect()
    }

    /// Whether the router keeps only the younger of two requests for these.
    pub(super) fn collide(&self, one: &Scope, other: &Scope) -> bool {
        overlap(one, other) && (self.by_target || sources_meet(one, other))
    }

    /// What the router should be asked for.
    fn parts(&self, limit: usize) -> Vec<Scope> {
        let mut classes: Vec<Scope> = Vec::new();
        for wish in self.wanted() {
            let (meeting, apart) = classes.into_iter().partition(|class: &Scope| self.collide(class, &wish.scope));
            classes = apart;
            let meeting = meeting.into_iter().reduce(|one, other| union(&one, &other));
            classes.push(meeting.map_or_else(|| wish.scope.clone(), |class| union(&class, &wish.scope)));
        }
        classes.into_iter().flat_map(|class| split(class, limit)).collect()
    }

    /// The request for exactly this, unless it is withdrawn.
    fn exactly(&self, scope: &Scope) -> Option<&Sent> {
        self.sent.values().find(|sent| sent.scope == *scope && sent.phase != Phase::Withdrawn)
    }

    /// Until when a request is wanted: for ever is later than anything.
    pub(super) fn wanted_until(&self, scope: &Scope) -> Option<u64> {
        let ends = self.wanted().filter(|wish| serves(scope, &wish.scope)).map(|wish| wish.until);
        ends.reduce(latest).unwrap_or(Some(0))
    }

    /// Makes what the router does what is wanted, and answers who waits.
    pub(super) fn settle(&mut self, now: u64, out: &mut Actions) {
        self.expire(now, out);
        if let Some(limit) = self.link {
            let parts = self.with_adopted(limit, now, out);
            parts.iter().for_each(|part| self.ensure(part, now, out));
            self.withdraw_others(&parts, out);
        }
        self.answer(now, out);
        self.forget(now, out);
    }

    /// What is over: wishes, and requests that end by themselves with them.
    fn expire(&mut self, now: u64, out: &mut Actions) {
        let over = |until: &Option<u64>| until.is_some_and(|until| until <= now);
        let wishes: Vec<WishId> = self.wanted().filter(|wish| over(&wish.until)).map(|wish| wish.id).collect();
        wishes.into_iter().for_each(|id| self.end(id, WishState::Over { at: now }, out));
        let ended =
            self.sent.values().filter(|sent| matches!(&sent.phase, Phase::Granted { until, .. } if over(until)));
        let ended: Vec<u32> = ended.map(|sent| sent.mid).collect();
        ended.into_iter().for_each(|mid| self.drop_sent(mid, out));
        self.unwanted.retain(|_, unwanted| !over(&unwanted.until));
        self.held.retain(|_, until| *until > now);
    }

    /// A new request would end others that the router reports and we don't know: their scopes are wanted too.
    fn with_adopted(&mut self, limit: usize, now: u64, out: &mut Actions) -> Vec<Scope> {
        loop {
            let parts = self.parts(limit);
            let missing = |part: &&Scope| self.exactly(part).is_none() && !self.is_held(part);
            let ends =
                |unwanted: &Unwanted| parts.iter().filter(missing).any(|part| self.collide(part, &unwanted.scope));
            let Some(mid) = self.unwanted.iter().find(|(_, unwanted)| ends(unwanted)).map(|(mid, _)| *mid) else {
                return parts;
            };
            let Some(Unwanted { scope, until }) = self.unwanted.remove(&mid) else { return parts };
            let id = out.take_number();
            let (router, by) = (self.name.clone(), Some("router".to_owned()));
            self.keep_sent(Sent { mid, scope: scope.clone(), phase: Phase::Granted { at: now, until } }, out);
            self.put(Wish { id, router, key: None, scope, until, by, reason: None, state: WishState::Wanted }, out);
        }
    }

    fn is_held(&self, part: &Scope) -> bool {
        let wishes = self.wishes_of(part);
        !wishes.is_empty() && wishes.iter().all(|id| self.held.contains_key(id))
    }

    /// Has this asked for, or refreshed in time.
    fn ensure(&mut self, part: &Scope, now: u64, out: &mut Actions) {
        let until = self.wanted_until(part);
        let lifetime = lifetime(until, now);
        let (router, scope) = (self.name.clone(), part.clone());
        match self.exactly(part).map(|sent| (sent.mid, sent.phase)) {
            Some((mid, phase)) => {
                if refresh_at(phase, until).is_some_and(|due| due <= now) && self.refreshing.insert(mid) {
                    out.push(Action::Send { router, mid, scope, lifetime });
                }
            }
            None if self.is_held(part) => {}
            None => {
                let mid = self.numbers.take(self.sent.is_empty() && self.unwanted.is_empty());
                let next = self.numbers.next();
                out.keep(Change::Number { router: router.clone(), next });
                self.keep_sent(Sent { mid, scope: scope.clone(), phase: Phase::Asked }, out);
                out.push(Action::Send { router, mid, scope, lifetime });
            }
        }
    }

    pub(super) fn keep_sent(&mut self, sent: Sent, out: &mut Actions) {
        out.keep(Change::Sent { router: self.name.clone(), sent: sent.clone() });
        self.sent.insert(sent.mid, sent);
    }

    pub(super) fn drop_sent(&mut self, mid: u32, out: &mut Actions) {
        if self.sent.remove(&mid).is_some() {
            out.keep(Change::Ended { router: self.name.clone(), mid });
        }
        self.refreshing.remove(&mid);
    }

    /// Withdraws what is not wanted, but what is to take its place comes first.
    fn withdraw_others(&mut self, parts: &[Scope], out: &mut Actions) {
        let granted = |part: &Scope| self.exactly(part).is_some_and(|sent| matches!(sent.phase, Phase::Granted { .. }));
        let others = self.sent.values().filter(|sent| sent.phase != Phase::Withdrawn && !parts.contains(&sent.scope));
        let replaced = |sent: &&Sent| parts.iter().filter(|part| overlap(part, &sent.scope)).all(granted);
        let others: Vec<(u32, Scope)> = others.filter(replaced).map(|sent| (sent.mid, sent.scope.clone())).collect();
        others.into_iter().for_each(|(mid, scope)| self.withdraw_request(mid, scope, out));
    }

    fn withdraw_request(&mut self, mid: u32, scope: Scope, out: &mut Actions) {
        self.keep_sent(Sent { mid, scope, phase: Phase::Withdrawn }, out);
        if self.link.is_some() {
            out.push(Action::Withdraw { router: self.name.clone(), mid });
        }
    }

    /// Whether the router has taken on all that is asked for this wish.
    pub(super) fn is_granted(&self, wish: &Wish) -> bool {
        let Some(limit) = self.link else { return false };
        let mut parts = self.parts(limit).into_iter().filter(|part| serves(part, &wish.scope));
        parts.all(|part| self.exactly(&part).is_some_and(|sent| matches!(sent.phase, Phase::Granted { .. })))
    }

    fn answer(&mut self, now: u64, out: &mut Actions) {
        for waiting in std::mem::take(&mut self.waiting) {
            let (about, answer) = match &waiting.about {
                About::Withdrawal(mid) => {
                    let is_done = self.sent.get(mid).is_none_or(|sent| sent.phase != Phase::Withdrawn);
                    let is_late = !self.is_up || waiting.until <= now;
                    let why = || Answer::Waiting("the router has not confirmed it yet".to_owned());
                    (Subject::Request(*mid), if is_done { Some(Answer::Withdrawn) } else { is_late.then(why) })
                }
                About::Wish(id, granted) => {
                    (Subject::Wish(*id), self.answer_to(*id, granted, waiting.until <= now, now))
                }
            };
            match answer {
                None => self.waiting.push(waiting),
                Some(answer) => {
                    let (asker, router) = (waiting.asker, self.name.clone());
                    out.push(Action::Answer { asker, router, about, answer });
                }
            }
        }
    }

    fn answer_to(&self, id: WishId, granted: &Answer, is_late: bool, now: u64) -> Option<Answer> {
        let wish = self.wishes.get(&id)?;
        Some(match &wish.state {
            WishState::Declined { why, .. } => Answer::Declined(why.clone()),
            WishState::Withdrawn { .. } | WishState::Stopped { .. } | WishState::Over { .. } => Answer::Withdrawn,
            WishState::Wanted if !self.is_up => Answer::Waiting(format!("{} has not called", self.name)),
            WishState::Wanted if self.is_granted(wish) => granted.clone(),
            WishState::Wanted if self.held.contains_key(&id) => {
                let seconds = self.held.get(&id).map_or(0, |until| until.saturating_sub(now));
                Answer::Waiting(format!("the router is asked again in {seconds} s"))
            }
            WishState::Wanted if is_late => Answer::Waiting("the router has not answered yet".to_owned()),
            WishState::Wanted => return None,
        })
    }

    /// What is over is remembered for a day, and not more than so much of it.
    fn forget(&mut self, now: u64, out: &mut Actions) {
        let ended: BTreeSet<(u64, WishId)> =
            self.wishes.values().filter_map(|wish| Some((wish.ended_at()?, wish.id))).collect();
        let too_many = ended.len().saturating_sub(MOST_ENDED);
        for (number, (at, id)) in ended.into_iter().enumerate() {
            let is_declined = self.wishes.get(&id).is_some_and(|wish| matches!(wish.state, WishState::Declined { .. }));
            let until = if is_declined { at } else { at + DAY };
            if number < too_many || until <= now {
                self.wishes.remove(&id);
                out.keep(Change::Forgotten(id));
            }
        }
    }

    /// Withdraws a wish.
    pub(super) fn withdraw_wish(&mut self, id: WishId, now: u64, out: &mut Actions) {
        self.end(id, WishState::Withdrawn { at: now }, out);
    }

    /// Withdraws a request and all wishes it is for. Returns whether there is one.
    pub(super) fn withdraw_mid(&mut self, mid: u32, asker: Asker, now: u64, out: &mut Actions) -> bool {
        let scope = self.sent.get(&mid).map(|sent| sent.scope.clone());
        let wishes = scope.as_ref().map(|scope| self.wishes_of(scope)).unwrap_or_default();
        wishes.into_iter().for_each(|id| self.end(id, WishState::Withdrawn { at: now }, out));
        let unwanted = self.unwanted.remove(&mid);
        if scope.is_none() && unwanted.is_none() {
            return false;
        }
        let scope = scope.or(unwanted.map(|unwanted| unwanted.scope)).unwrap_or_default();
        self.withdraw_request(mid, scope, out);
        self.waiting.push(Waiting { asker, about: About::Withdrawal(mid), until: now + PATIENCE });
        true
    }

    /// Has the router told how the attack stands, if it is there and has taken the request on. Returns whether it is.
    pub(super) fn tell_efficacy(
        &self,
        asker: Asker,
        mid: u32,
        status: AttackStatus,
        now: u64,
        out: &mut Actions,
    ) -> bool {
        let granted = self.sent.get(&mid).filter(|sent| matches!(sent.phase, Phase::Granted { .. }));
        let Some(Sent { scope, .. }) = granted.filter(|_| self.link.is_some()) else { return false };
        let (router, scope, lifetime) = (self.name.clone(), scope.clone(), lifetime(self.wanted_until(scope), now));
        out.push(Action::Efficacy { asker, router, mid, scope, lifetime, status });
        true
    }

    /// When [`RouterWishes::settle`] has to be called at the latest.
    pub(super) fn due(&self) -> Option<u64> {
        let ends = self.wanted().filter_map(|wish| wish.until);
        let held = self.held.values().copied();
        let waiting = self.waiting.iter().map(|waiting| waiting.until);
        let forgotten = self.wishes.values().filter_map(|wish| Some(wish.ended_at()? + DAY));
        let sent = self.sent.values().filter(|sent| self.link.is_some() && !self.refreshing.contains(&sent.mid));
        let refreshed = sent.filter_map(|sent| refresh_at(sent.phase, self.wanted_until(&sent.scope)));
        let lost = self.sent.values().filter_map(|sent| match sent.phase {
            Phase::Granted { until, .. } => until,
            Phase::Asked | Phase::Withdrawn => None,
        });
        ends.chain(lost).chain(held).chain(waiting).chain(forgotten).chain(refreshed).min()
    }
}

/// Seconds to ask for; none for ever.
fn lifetime(until: Option<u64>, now: u64) -> Option<u32> {
    until.map(|until| u32::try_from(until.saturating_sub(now).max(1)).unwrap_or(u32::MAX))
}

fn latest(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    one.zip(other).map(|(one, other)| one.max(other))
}

/// When a request has to be refreshed that is wanted until then: at three quarters of what was granted.
fn refresh_at(phase: Phase, wanted: Option<u64>) -> Option<u64> {
    let Phase::Granted { at, until: Some(until) } = phase else { return None };
    let is_enough = wanted.is_some_and(|wanted| wanted <= until);
    (!is_enough).then(|| at + (until.saturating_sub(at) / 4 * 3).max(SOONEST))
}
