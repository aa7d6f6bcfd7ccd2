//! The moment a room is told about: nothing outside `driver/` reads a clock.

use std::time::{Duration, Instant};

/// Returns the seconds of a span, rounded up: one that has not ended yet is never shown as zero.
pub fn whole_seconds(span: Duration) -> u64 {
    span.as_secs().saturating_add(u64::from(span.subsec_nanos() > 0))
}

/// One moment on both clocks. Lifetimes and timers run on `instant` (monotonic); `unix` is only shown or reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// The monotonic clock.
    pub instant: Instant,
    /// Seconds since 1970-01-01T00:00Z as far as the router knows; it may boot in the past.
    pub unix: u64,
}

impl Now {
    /// The moment `passed` later, on both clocks.
    pub fn after(self, passed: Duration) -> Self {
        Self { instant: self.instant + passed, unix: self.unix.saturating_add(passed.as_secs()) }
    }
}

/// A clock that has been set while it was running.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockSet {
    /// What it said when the daemon began to look at it.
    pub since: u64,
    /// What it would have said now.
    pub was: u64,
    /// What it says now.
    pub is: u64,
}

impl ClockSet {
    /// Puts a date right that the clock gave before; others were given by a clock of another time, and stay.
    pub fn correct(&self, date: &mut u64) {
        if (self.since..=self.was).contains(date) {
            *date = self.is.saturating_sub(self.was - *date);
        }
    }
}
