//! What is wanted of routers, with its store: nothing is done before it is kept.

use std::collections::VecDeque;
use std::path::Path;
use std::time::{Duration, Instant};

use dots_callhome::client::wishes::{Action, Asker, Change, WishId, Wishes};
use dots_callhome::io::clock;

use crate::output;
use crate::store::{Sqlite, Store, StoreFault};

/// Before a store that is away is tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// The wishes and where they are kept.
pub(crate) struct Desired {
    wishes: Wishes,
    store: Box<dyn Store>,
    /// What is to be done, from the first change on that is not kept yet.
    stuck: VecDeque<Action>,
    /// Who waits for what was withdrawn to be kept.
    confirming: Vec<(Asker, Vec<(String, WishId)>)>,
    /// Why it is stuck, and when the store is tried again.
    away: Option<(String, Instant)>,
}

/// What can be done now.
pub(crate) enum Doable {
    /// All before it is kept.
    Action(Action),
    /// Wishes are withdrawn, and that is kept.
    Confirmed(Asker, Vec<(String, WishId)>),
    /// Whoever asked is told that the store is away.
    Away(Action, String),
}

impl Desired {
    /// Begins with what is kept there.
    ///
    /// # Errors
    /// The store can't be used.
    pub(crate) fn open(directory: &Path) -> Result<Self, StoreFault> {
        let mut store = Sqlite::open(directory)?;
        let wishes = Wishes::new(store.read()?);
        Ok(Self { wishes, store: Box::new(store), stuck: VecDeque::new(), confirming: Vec::new(), away: None })
    }

    /// Whether what is wanted can be kept.
    pub(crate) fn is_kept(&self) -> bool {
        self.away.is_none()
    }

    /// To look at.
    pub(crate) fn wishes(&self) -> &Wishes {
        &self.wishes
    }

    /// Changes what is wanted, or what is known of it.
    pub(crate) fn change(&mut self, what: impl FnOnce(&mut Wishes, u64)) {
        what(&mut self.wishes, clock::now().unix);
    }

    /// Tells this asker that these are withdrawn, once that is kept.
    pub(crate) fn confirm(&mut self, asker: Asker, found: Vec<(String, WishId)>) {
        self.confirming.push((asker, found));
    }

    /// How long nothing is due.
    pub(crate) fn poll_timeout(&self) -> Option<Duration> {
        let now = clock::now();
        let due = self.wishes.poll_timeout().map(|due| Duration::from_secs(due.saturating_sub(now.unix)));
        let again = self.away.as_ref().map(|(_, again)| again.saturating_duration_since(now.instant));
        [due, again].into_iter().flatten().min()
    }

    /// Keeps all that is to be kept in one go, and returns what can be done then.
    pub(crate) fn poll_actions(&mut self) -> Vec<Doable> {
        let now = clock::now();
        if self.wishes.poll_timeout().is_some_and(|due| due <= now.unix) {
            self.wishes.handle_timeout(now.unix);
        }
        self.stuck.extend(std::iter::from_fn(|| self.wishes.poll_action()));
        let changes = || {
            self.stuck.iter().filter_map(|action| match action {
                Action::Keep(change) => Some(change.clone()),
                _ => None,
            })
        };
        let changes: Vec<Change> = changes().collect();
        if changes.is_empty() {
            self.away = None;
        } else if self.away.as_ref().is_none_or(|(_, again)| *again <= now.instant) {
            match self.store.keep(&changes) {
                Ok(()) => self.handle_back(),
                Err(why) => self.handle_away(&why, now.instant),
            }
        }
        match &self.away {
            None => {
                let confirmed = std::mem::take(&mut self.confirming).into_iter();
                let confirmed = confirmed.map(|(asker, found)| Doable::Confirmed(asker, found));
                std::mem::take(&mut self.stuck).into_iter().filter_map(done).chain(confirmed).collect()
            }
            Some((why, _)) => doable(&mut self.stuck, why),
        }
    }

    fn handle_back(&mut self) {
        if self.away.take().is_some() {
            output::log("the store is back, and what waited is kept");
        }
    }

    fn handle_away(&mut self, why: &StoreFault, now: Instant) {
        if self.away.is_none() {
            output::log(format_args!("the store is away: {why}; sessions and blocks go on, what is wanted now waits"));
        }
        self.away = Some((why.to_string(), now + AGAIN));
    }
}

fn done(action: Action) -> Option<Doable> {
    (!matches!(action, Action::Keep(_))).then_some(Doable::Action(action))
}

/// What comes before the first change can be done. Whoever waits for an answer is told why there is none.
fn doable(stuck: &mut VecDeque<Action>, why: &str) -> Vec<Doable> {
    let first = stuck.iter().position(|action| matches!(action, Action::Keep(_))).unwrap_or(stuck.len());
    let mut doable: Vec<Doable> = stuck.drain(..first).map(Doable::Action).collect();
    let (answers, rest) = std::mem::take(stuck).into_iter().partition(|action| matches!(action, Action::Answer { .. }));
    *stuck = rest;
    let answers: VecDeque<Action> = answers;
    doable.extend(answers.into_iter().map(|answer| Doable::Away(answer, why.to_owned())));
    doable
}
