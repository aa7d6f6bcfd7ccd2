//! The rate limit of a session's requests (RFC 9132 section 11): so many at once, and then so many a second.

use std::time::{Duration, Instant};

use crate::model::Allowance;

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

/// The rate limiter of one session.
#[derive(Debug)]
pub(super) struct RateLimiter {
    served: Allowance,
    refused: Allowance,
}

impl RateLimiter {
    pub(super) fn new() -> Self {
        Self { served: Allowance::new(BURST, SPACING), refused: Allowance::new(BURST, SPACING) }
    }

    /// Counts one request.
    pub(super) fn handle_request(&mut self, now: Instant) -> Limited {
        match self.served.take(now) {
            Ok(()) => Limited::Serve,
            Err(wait) if self.refused.take(now).is_ok() => Limited::Refuse(wait),
            Err(_) => Limited::Ignore,
        }
    }

    /// Counts what a large answer costs beyond its request.
    pub(super) fn handle_answer(&mut self, bytes: usize, now: Instant) {
        self.served.spend(u32::try_from(bytes / BYTES).unwrap_or(u32::MAX), now);
    }
}
