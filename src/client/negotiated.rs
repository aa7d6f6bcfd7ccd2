//! How far the negotiation of a session's configuration is.

use std::time::Instant;

/// What there is to know of it.
#[derive(Default)]
pub(super) struct Negotiated {
    /// When the configuration is no longer fresh.
    pub refresh: Option<Instant>,
    /// The number of what the router has taken on.
    pub sid: Option<u32>,
    /// How often something was asked for; the last number.
    pub proposals: u32,
}
