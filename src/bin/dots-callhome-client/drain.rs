//! All routers are sent elsewhere, some at a time, so that neither end has to take them all at once.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use dots_callhome::signal::redirect::Redirect;

/// Between two rounds.
const ROUND: Duration = Duration::from_millis(100);

/// Whither, and who is still to be told.
pub(crate) struct Drain {
    /// The other client.
    pub redirect: Redirect,
    waiting: VecDeque<String>,
    /// Routers of one round.
    at_once: usize,
    next: Instant,
}

impl Drain {
    /// Of these routers, so many a second; whoever comes later is told too.
    pub(crate) fn new(redirect: Redirect, routers: impl Iterator<Item = String>, per_second: u32) -> Self {
        let at_once = usize::try_from(per_second.div_ceil(10)).unwrap_or(1).max(1);
        Self { redirect, waiting: routers.collect(), at_once, next: Instant::now() }
    }

    /// A router has called meanwhile.
    pub(crate) fn handle_known(&mut self, router: &str) {
        self.waiting.push_back(router.to_owned());
    }

    /// When [`Drain::poll_routers`] has some.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        (!self.waiting.is_empty()).then_some(self.next)
    }

    /// Those who are to be told now.
    pub(crate) fn poll_routers(&mut self, now: Instant) -> Vec<String> {
        if self.waiting.is_empty() || self.next > now {
            return Vec::new();
        }
        self.next = now + ROUND;
        self.waiting.drain(..self.at_once.min(self.waiting.len())).collect()
    }
}
