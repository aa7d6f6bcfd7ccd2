//! What is wanted of the routers, until it is withdrawn, its time is over, or a router says why not.
//!
//! A state machine without I/O; its time is in seconds since 1970, because wishes outlive the program. What it wants done comes out of
//! [`Wishes::poll_action`], in order: what has to be kept comes before what would be wrong if it were lost.

mod heard;
mod numbers;
mod record;
mod router;
mod scopes;

use std::collections::{BTreeMap, BTreeSet};

use crate::model::Scope;
use crate::signal::body::{AttackStatus, Report};

use super::refusal::RequestFailure;
use numbers::Numbers;
use router::{Actions, RouterWishes};

pub use record::{Action, Answer, Asker, Change, Kept, Phase, Sent, Subject, Wish, WishId, WishState};

/// Wishes of one router at a time.
const MOST_WANTED: usize = 1024;

/// What somebody asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Want {
    /// Of which router.
    pub router: String,
    /// What the asker calls it.
    pub key: Option<String>,
    /// What is to be stopped.
    pub scope: Scope,
    /// Until when, seconds since 1970; without it until it is withdrawn.
    pub until: Option<u64>,
    /// Who asks.
    pub by: Option<String>,
    /// Why.
    pub reason: Option<String>,
}

/// All wishes.
#[derive(Default)]
pub struct Wishes {
    routers: BTreeMap<String, RouterWishes>,
    /// When which router has to be looked at.
    due: BTreeSet<(u64, String)>,
    due_of: BTreeMap<String, u64>,
    actions: Actions,
}

impl Wishes {
    /// Begins where another has ended.
    pub fn new(kept: Kept) -> Self {
        let mut wishes =
            Self { actions: Actions { next_wish: kept.next_wish, ..Actions::default() }, ..Self::default() };
        for (router, next) in kept.numbers {
            wishes.router(&router).numbers = Numbers::from(next);
        }
        for (router, sent) in kept.sent {
            wishes.router(&router).sent.insert(sent.mid, sent);
        }
        for wish in kept.wishes {
            wishes.actions.next_wish = wishes.actions.next_wish.max(wish.id);
            wishes.router(&wish.router.clone()).wishes.insert(wish.id, wish);
        }
        let names: Vec<String> = wishes.routers.keys().cloned().collect();
        names.iter().for_each(|name| wishes.note_due(name, 0));
        wishes
    }

    fn router(&mut self, name: &str) -> &mut RouterWishes {
        self.routers.entry(name.to_owned()).or_insert_with(|| RouterWishes::new(name))
    }

    fn note_due(&mut self, name: &str, now: u64) {
        // What is due and could not be done waits for something else to happen; nobody looks more than once a second.
        let due = self.routers.get(name).and_then(RouterWishes::due).map(|due| due.max(now + 1));
        if let Some(former) = self.due_of.remove(name) {
            self.due.remove(&(former, name.to_owned()));
        }
        if let Some(due) = due {
            self.due.insert((due, name.to_owned()));
            self.due_of.insert(name.to_owned(), due);
        }
    }

    /// Changes what there is about a router and does what follows.
    fn change(&mut self, name: &str, now: u64, what: impl FnOnce(&mut RouterWishes, &mut Actions)) {
        self.router(name);
        if let Some(router) = self.routers.get_mut(name) {
            what(router, &mut self.actions);
            router.settle(now, &mut self.actions);
        }
        self.note_due(name, now);
    }

    /// Somebody wants something; the answer comes as an action.
    pub fn want(&mut self, asker: Asker, want: Want, now: u64) {
        let name = want.router.clone();
        self.change(&name, now, |router, actions| {
            let known = router.wanted().find(|wish| match &want.key {
                Some(key) => wish.key.as_ref() == Some(key),
                None => wish.key.is_none() && wish.scope == want.scope,
            });
            let known = known.cloned();
            match refusal(router, &want, now) {
                Some(why) => actions.push(Action::Answer {
                    asker,
                    router: name.clone(),
                    about: Subject::Nothing,
                    answer: Answer::Declined(why),
                }),
                None => take_on(router, asker, want, known, now, actions),
            }
        });
    }

    /// Withdraws a request by its number, with all wishes it is for. Returns whether there is one; then the answer comes as an action.
    pub fn withdraw_mid(&mut self, asker: Asker, router: &str, mid: u32, now: u64) -> bool {
        let mut found = false;
        if self.routers.contains_key(router) {
            self.change(router, now, |router, actions| found = router.withdraw_mid(mid, asker, now, actions));
        }
        found
    }

    /// Withdraws what has this key, or one that begins so where it ends with `*`, of one router or of all. Returns what that was.
    pub fn withdraw_key(&mut self, router: Option<&str>, key: &str, now: u64) -> Vec<(String, WishId)> {
        let of = |wish: &&Wish| wish.has_key(key) && router.is_none_or(|router| router == wish.router);
        let found: Vec<(String, WishId)> =
            self.wanted().filter(of).map(|wish| (wish.router.clone(), wish.id)).collect();
        self.withdraw(&found, now);
        found
    }

    /// Withdraws wishes, those of one router together: nothing is asked for some of them in between.
    pub fn withdraw(&mut self, wishes: &[(String, WishId)], now: u64) {
        let routers: BTreeSet<&String> = wishes.iter().map(|(router, _)| router).collect();
        for name in routers {
            self.change(name, now, |router, actions| {
                let own = wishes.iter().filter(|(router, _)| router == name);
                own.for_each(|(_, id)| router.withdraw_wish(*id, now, actions));
            });
        }
    }

    /// Has routers told how the attack stands, by the number of a request, or for all that serves wishes with this key. Returns how many
    /// requests that is about; each has an answer for the asker.
    pub fn tell_efficacy(
        &mut self,
        asker: Asker,
        router: Option<&str>,
        meant: Result<u32, &str>,
        status: AttackStatus,
        now: u64,
    ) -> usize {
        let is_meant = |name: &String| router.is_none_or(|router| router == name);
        let (routers, actions) = (&self.routers, &mut self.actions);
        let mut told = 0;
        for router in routers.iter().filter(|(name, _)| is_meant(name)).map(|(_, router)| router) {
            let mids: BTreeSet<u32> = match meant {
                Ok(mid) => [mid].into(),
                Err(key) => {
                    let meant = router.wanted().filter(|wish| wish.has_key(key));
                    meant.flat_map(|wish| router.mids(wish)).collect()
                }
            };
            told += mids.into_iter().filter(|mid| router.tell_efficacy(asker, *mid, status, now, actions)).count();
        }
        told
    }

    /// A router has a session, and has yet to say what it knows.
    pub fn handle_came(&mut self, router: &str, now: u64) {
        self.change(router, now, |router, _| router.handle_came());
    }

    /// A router has a session, and has said all that it knows; its messages hold so many bytes.
    pub fn handle_known(&mut self, router: &str, known: &[(u32, Report)], limit: usize, now: u64) {
        self.change(router, now, |router, actions| router.handle_known(known, limit, now, actions));
    }

    /// A router's session is over.
    pub fn handle_gone(&mut self, router: &str, now: u64) {
        self.change(router, now, |router, _| router.handle_gone());
    }

    /// A router has taken a request on, for so many seconds; -1 for ever.
    pub fn handle_granted(&mut self, router: &str, mid: u32, lifetime: Option<i64>, now: u64) {
        self.change(router, now, |router, actions| router.handle_granted(mid, lifetime, now, actions));
    }

    /// A router has not taken a request on, or not for longer.
    pub fn handle_refused(&mut self, router: &str, mid: u32, why: &RequestFailure, now: u64) {
        self.change(router, now, |router, actions| router.handle_refused(mid, why, now, actions));
    }

    /// A router reports what has become of a request.
    pub fn handle_report(&mut self, router: &str, mid: u32, report: &Report, now: u64) {
        self.change(router, now, |router, actions| router.handle_report(mid, report, now, actions));
    }

    /// A request is no more.
    pub fn handle_ended(&mut self, router: &str, mid: u32, now: u64) {
        self.change(router, now, |router, actions| router.handle_ended(mid, now, actions));
    }

    /// A router has confirmed that a request is withdrawn, or says that it can't be.
    pub fn handle_withdrawn(&mut self, router: &str, mid: u32, now: u64) {
        self.change(router, now, |router, actions| router.handle_withdrawn(mid, actions));
    }

    /// When [`Wishes::handle_timeout`] is due, in seconds since 1970.
    pub fn poll_timeout(&self) -> Option<u64> {
        self.due.first().map(|(due, _)| *due)
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: u64) {
        let due: Vec<String> =
            self.due.iter().take_while(|(due, _)| *due <= now).map(|(_, name)| name.clone()).collect();
        due.iter().for_each(|name| self.change(name, now, |_, _| ()));
    }

    /// What is to be done next.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.queue.pop_front()
    }

    /// All wishes, those that are over too as long as they are remembered.
    pub fn all(&self) -> impl Iterator<Item = &Wish> {
        self.routers.values().flat_map(|router| router.wishes.values())
    }

    fn wanted(&self) -> impl Iterator<Item = &Wish> {
        self.all().filter(|wish| wish.is_wanted())
    }

    /// One wish.
    pub fn wish(&self, router: &str, id: WishId) -> Option<&Wish> {
        self.routers.get(router)?.wishes.get(&id)
    }

    /// The requests that serve a wish now.
    pub fn mids(&self, wish: &Wish) -> Vec<u32> {
        self.routers.get(&wish.router).map(|router| router.mids(wish)).unwrap_or_default()
    }

    /// The word for how far a wish is: `waiting`, `accepted`, `declined`, `withdrawn`, `stopped` or `over`.
    pub fn state(&self, wish: &Wish) -> &'static str {
        match &wish.state {
            WishState::Wanted if self.routers.get(&wish.router).is_some_and(|router| router.is_granted(wish)) => {
                "accepted"
            }
            WishState::Wanted => "waiting",
            WishState::Declined { .. } => "declined",
            WishState::Withdrawn { .. } => "withdrawn",
            WishState::Stopped { .. } => "stopped",
            WishState::Over { .. } => "over",
        }
    }
}

/// Why nothing is kept of what somebody wants.
fn refusal(router: &RouterWishes, want: &Want, now: u64) -> Option<String> {
    if let Some(refusal) = RequestFailure::of_scope(&want.scope) {
        return Some(refusal.to_string());
    }
    let declined = |wish: &Wish| match &wish.state {
        WishState::Declined { why, until } if *until > now && scopes::covers(&wish.scope, &want.scope) => {
            Some(format!("{why}; the router is not asked again for {} s", until - now))
        }
        _ => None,
    };
    let too_many = router.wanted().count() >= MOST_WANTED;
    router
        .wishes
        .values()
        .find_map(declined)
        .or_else(|| too_many.then(|| format!("more than {MOST_WANTED} requests for one router")))
}

/// Keeps what somebody wants: what there is already goes on for longer, with the scope that is wanted now.
fn take_on(router: &mut RouterWishes, asker: Asker, want: Want, known: Option<Wish>, now: u64, actions: &mut Actions) {
    let Want { router: name, key, scope, until, by, reason } = want;
    let is_same = known.as_ref().is_some_and(|known| known.scope == scope);
    let meets =
        |wish: &Wish| router.collide(&wish.scope, &scope) && known.as_ref().is_none_or(|known| known.id != wish.id);
    let answer = match &known {
        Some(_) if is_same => Answer::Extended,
        _ if router.wanted().any(meets) => Answer::Merged,
        Some(_) => Answer::Extended,
        None => Answer::Accepted,
    };
    let wish = match known {
        Some(known) => Wish {
            scope,
            until: known.until.zip(until).map(|(one, other)| one.max(other)),
            by: by.or(known.by),
            reason: reason.or(known.reason),
            ..known
        },
        None => {
            let id = actions.take_number();
            Wish { id, router: name, key, scope, until, by, reason, state: WishState::Wanted }
        }
    };
    let id = wish.id;
    router.put(wish, actions);
    router.ask_now(id);
    router.wait(asker, id, answer, now);
}
