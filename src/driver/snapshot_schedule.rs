//! When the ledger's snapshot is written, and from when on the bus may speak of what was decided.

use std::time::{Duration, Instant};

/// The first and the longest pause before decisions that could not be kept are written again; each is twice the one before.
const PAUSE: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// Which generation of the ledger is kept.
///
/// One snapshot is written at a time. A generation that could not be kept is written again after a pause, a newer one at
/// once.
#[derive(Debug)]
pub struct SnapshotSchedule {
    last: Last,
    writing: Option<u32>,
    pause: Duration,
}

/// What came of the last snapshot.
#[derive(Debug)]
enum Last {
    Unknown,
    Kept(u32),
    Failed { generation: u32, again: Instant },
}

impl SnapshotSchedule {
    /// Begins with what is known to be kept already, if anything is.
    pub fn new(kept: Option<u32>) -> Self {
        Self { last: kept.map_or(Last::Unknown, Last::Kept), writing: None, pause: PAUSE }
    }

    /// Returns whether a snapshot is to be written now; [`SnapshotSchedule::handle_outcome`] follows.
    pub fn poll_write(&mut self, generation: u32, now: Instant) -> bool {
        let due = match self.last {
            Last::Unknown => true,
            Last::Kept(kept) => kept != generation,
            Last::Failed { generation: failed, again } => failed != generation || again <= now,
        };
        let begins = due && self.writing.is_none();
        if begins {
            self.writing = Some(generation);
        }
        begins
    }

    /// The snapshot being written is kept, or could not be.
    pub fn handle_outcome(&mut self, kept: bool, now: Instant) {
        let Some(generation) = self.writing.take() else { return };
        if kept {
            self.last = Last::Kept(generation);
            self.pause = PAUSE;
        } else {
            self.last = Last::Failed { generation, again: now + self.pause };
            self.pause = (self.pause * 2).min(PAUSE_MAX);
        }
    }

    /// What could not be kept is written again without a pause.
    pub fn handle_end(&mut self, now: Instant) {
        if let Last::Failed { again, .. } = &mut self.last {
            *again = now;
        }
    }

    /// Returns whether all of `generation` may be spoken of: it is kept, or could not be, which `status` tells. Who is told
    /// that a decision stands must not lose it by a restart.
    pub fn may_tell(&self, generation: u32) -> bool {
        let settled = match self.last {
            Last::Unknown => false,
            Last::Kept(last) | Last::Failed { generation: last, .. } => last == generation,
        };
        settled && self.writing.is_none()
    }

    /// Returns when [`SnapshotSchedule::poll_write`] is due, if no newer generation comes before.
    pub fn poll_timeout(&self) -> Option<Instant> {
        match self.last {
            Last::Failed { again, .. } if self.writing.is_none() => Some(again),
            _ => None,
        }
    }
}
