//! How it stands with the calls to one provider.

use std::time::{Duration, Instant};

/// Where the caller stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallerPhase {
    /// There is a session.
    Connected,
    /// A whole attempt is under way.
    Connecting,
    /// The next whole attempt is still to come.
    Waiting,
}

/// What the administrator may want to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallerStatus {
    /// Where the caller stands.
    pub phase: CallerPhase,
    /// Time until the next whole attempt, while waiting.
    pub retry_in: Option<Duration>,
    /// Why there is no session.
    pub last_error: Option<String>,
    /// Since when there has been none.
    pub down_since: Option<Instant>,
    /// Whether the provider can't be reached for good: whole attempts have failed again and again.
    pub is_alarming: bool,
}
