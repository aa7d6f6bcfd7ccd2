//! When the ledger's snapshot is written, and from when on the bus may speak of what was decided.

use std::time::{Duration, Instant};

use crate::model::Backoff;

/// The first and the longest pause before decisions that could not be kept are written again.
const PAUSE: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// Which generation of the ledger is kept.
///
/// One snapshot is written at a time. A generation that could not be kept is written again after a pause, a newer one at
/// once.
#[derive(Debug)]
pub(super) struct SnapshotSchedule {
    last: Last,
    writing: Option<u32>,
    backoff: Backoff,
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
    pub(super) fn new(kept: Option<u32>) -> Self {
        let last = kept.map_or(Last::Unknown, Last::Kept);
        Self { last, writing: None, backoff: Backoff::new(PAUSE, PAUSE_MAX) }
    }

    /// Returns whether a snapshot is to be written now; [`SnapshotSchedule::handle_outcome`] follows.
    pub(super) fn poll_write(&mut self, generation: u32, now: Instant) -> bool {
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
    pub(super) fn handle_outcome(&mut self, kept: bool, now: Instant) {
        let Some(generation) = self.writing.take() else { return };
        if kept {
            self.last = Last::Kept(generation);
            self.backoff.reset();
        } else {
            self.last = Last::Failed { generation, again: now + self.backoff.pause() };
        }
    }

    /// What could not be kept is written again without a pause.
    pub(super) fn handle_end(&mut self, now: Instant) {
        if let Last::Failed { again, .. } = &mut self.last {
            *again = now;
        }
    }

    /// Returns whether all of `generation` may be spoken of: it is kept, or could not be, which `status` tells. Who is told
    /// that a decision stands must not lose it by a restart.
    pub(super) fn may_tell(&self, generation: u32) -> bool {
        let settled = match self.last {
            Last::Unknown => false,
            Last::Kept(last) | Last::Failed { generation: last, .. } => last == generation,
        };
        settled && self.writing.is_none()
    }

    /// Returns when [`SnapshotSchedule::poll_write`] is due, if no newer generation comes before.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        match self.last {
            Last::Failed { again, .. } if self.writing.is_none() => Some(again),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn nothing_is_told_before_it_is_kept() {
        let now = Instant::now();
        let mut schedule = SnapshotSchedule::new(Some(7));
        assert!(schedule.may_tell(7), "nothing was decided since");
        assert!(!schedule.may_tell(8), "decided, and not even begun to be written");
        assert!(schedule.poll_write(8, now));
        assert!(!schedule.may_tell(8), "being written");
        assert!(!schedule.poll_write(9, now), "one at a time");
        schedule.handle_outcome(true, now);
        assert!(schedule.may_tell(8));
        assert!(!schedule.may_tell(9), "decided while the one before was written");
        assert!(schedule.poll_write(9, now));
        schedule.handle_outcome(true, now);
        assert!(schedule.may_tell(9));
        assert!(!schedule.poll_write(9, now), "the flash is not worn");
        assert_eq!(schedule.poll_timeout(), None);
    }

    #[test]
    fn what_was_kept_elsewhere_is_written_first() {
        let mut schedule = SnapshotSchedule::new(None);
        assert!(!schedule.may_tell(0));
        assert!(schedule.poll_write(0, Instant::now()));
    }

    #[test]
    fn what_cannot_be_kept_is_told_and_tried_again() {
        let mut now = Instant::now();
        let mut schedule = SnapshotSchedule::new(Some(0));
        for pause in [1, 2, 4, 8, 16, 32, 60, 60] {
            assert!(schedule.poll_write(1, now));
            assert_eq!(schedule.poll_timeout(), None, "being written");
            schedule.handle_outcome(false, now);
            assert!(schedule.may_tell(1), "the administrator is not kept waiting");
            assert_eq!(schedule.poll_timeout(), Some(now + pause * SECOND));
            assert!(!schedule.poll_write(1, now));
            now += pause * SECOND;
        }
        assert!(schedule.poll_write(1, now));
        schedule.handle_outcome(false, now);
        assert!(!schedule.may_tell(2));
        assert!(schedule.poll_write(2, now), "a new decision is written at once");
        schedule.handle_outcome(true, now);
        assert!(schedule.poll_write(3, now));
        schedule.handle_outcome(false, now);
        assert_eq!(schedule.poll_timeout(), Some(now + SECOND), "it had worked");
        schedule.handle_end(now);
        assert!(schedule.poll_write(3, now), "a last attempt");
    }
}
