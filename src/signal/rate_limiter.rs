//! The rate limit of a session's requests (RFC 9132 section 11): so many at once, and then so many a second.

use std::time::{Duration, Instant};

/// Requests at once: a provider that asks for everything a router may hold gets it in one go.
const BURST: u32 = 256;
/// Then one in this time.
const SPACING: Duration = Duration::from_millis(50);

/// Bytes of an answer that cost as much as a request.
const BYTES: usize = 4096;

/// What becomes of a request under the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Limited {
    /// It is served.
    Serve,
    /// It is refused, until so much time has passed.
    Refuse(Duration),
    /// Even refusals have been too many: nothing is said.
    Ignore,
}

/// The rate limiter of one session, a token bucket. Each bucket is told by when it will be full again.
#[derive(Debug)]
pub(super) struct RateLimiter {
    served: Instant,
    refused: Instant,
}

impl RateLimiter {
    pub(super) fn new(now: Instant) -> Self {
        Self { served: now, refused: now }
    }

    /// Counts one request.
    pub(super) fn handle_request(&mut self, now: Instant) -> Limited {
        match take(&mut self.served, now) {
            Ok(()) => Limited::Serve,
            Err(wait) if take(&mut self.refused, now).is_ok() => Limited::Refuse(wait),
            Err(_) => Limited::Ignore,
        }
    }

    /// Counts what a large answer costs beyond its request.
    pub(super) fn handle_answer(&mut self, bytes: usize, now: Instant) {
        self.served = now.max(self.served) + SPACING * u32::try_from(bytes / BYTES).unwrap_or(u32::MAX);
    }
}

/// Takes one off, or tells how long until there is one.
fn take(whole: &mut Instant, now: Instant) -> Result<(), Duration> {
    let after = now.max(*whole) + SPACING;
    match after.saturating_duration_since(now).checked_sub(SPACING * BURST).filter(|wait| !wait.is_zero()) {
        Some(wait) => Err(wait),
        None => {
            *whole = after;
            Ok(())
        }
    }
}
