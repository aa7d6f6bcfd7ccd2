//! What was in force before a restart, until the clock is sure to be right.

use std::time::Instant;

use crate::model::{Mac, MitigationId};

/// Lifetimes that were cut by the time the restart took, as far as the clock told it then.
#[derive(Debug)]
pub(super) struct Restored {
    /// When the snapshot was saved, seconds since 1970.
    pub(super) saved: u64,
    /// When it was restored.
    pub(super) at: Instant,
    /// Seconds that were believed to have passed.
    pub(super) passed: u64,
    /// Mitigations restored, and when they end.
    pub(super) lifetimes: Vec<(MitigationId, Instant)>,
    /// The administrator's quarantines restored, and when they end.
    pub(super) quarantines: Vec<(Mac, Instant)>,
}
