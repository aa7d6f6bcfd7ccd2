//! When to ask another object: not again before it has answered, and not too often.

use std::time::{Duration, Instant};

#[derive(Debug)]
pub(super) struct RateLimitedQuery {
    spacing: Duration,
    asked: Option<Instant>,
    open: bool,
    /// From when on an answer is wanted.
    wanted: Option<Instant>,
}

impl RateLimitedQuery {
    /// At most one question in that time.
    pub(super) fn new(spacing: Duration) -> Self {
        Self { spacing, asked: None, open: false, wanted: None }
    }

    /// What was learned may have changed.
    pub(super) fn want(&mut self, now: Instant) {
        let allowed = self.asked.and_then(|asked| asked.checked_add(self.spacing)).unwrap_or(now);
        self.wanted.get_or_insert(allowed.max(now));
    }

    /// Whom to ask has only just come: the answer before, if any, was somebody else's.
    pub(super) fn want_at_once(&mut self, now: Instant) {
        self.wanted = Some(now);
    }

    /// When the next question may be asked.
    pub(super) fn due(&self) -> Option<Instant> {
        self.wanted.filter(|_| !self.open)
    }

    /// Whether to ask now; the answer is awaited then.
    pub(super) fn ask(&mut self, now: Instant) -> bool {
        let due = self.due().is_some_and(|due| due <= now);
        if due {
            (self.asked, self.open, self.wanted) = (Some(now), true, None);
        }
        due
    }

    /// The answer is there, or won't come.
    pub(super) fn answered(&mut self) {
        self.open = false;
    }
}
