//! The moment a room is told about: nothing outside `driver/` reads a clock.

use std::time::{Duration, Instant};

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
