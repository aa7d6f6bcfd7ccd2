//! When the ledger's snapshot is written, and which decisions may be told as done.

use std::time::{Duration, Instant};

use crate::mitigation::Generation;
use crate::model::Backoff;

/// The first and the longest pause before what could not be kept is written again.
const PAUSE: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// What providers, devices and time bring about is written once in this time at most.
const PACE: Duration = Duration::from_secs(60);

/// Which generation of the ledger is kept.
///
/// One snapshot is written at a time. A person's decision is written at once; what else has come about at once too, unless
/// that was so less than a minute ago: then it is left in memory meanwhile. What could not be kept is written again after a pause.
#[derive(Debug)]
pub(super) struct SnapshotSchedule {
    last: Last,
    writing: Option<(Generation, Destination)>,
    /// What is in memory only, until it may be written to flash.
    left: Option<Generation>,
    backoff: Backoff,
    /// Until when nothing is written that no person has decided.
    paced: Option<Instant>,
    /// Whether something waits for that.
    waiting: bool,
}

/// Where a snapshot is written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Destination {
    /// It survives a reboot.
    Flash,
    /// It survives a restart of the daemon, and wears nothing.
    Memory,
}

/// What came of the last snapshot on flash.
#[derive(Debug)]
enum Last {
    Unknown,
    Kept(Generation),
    Failed { generation: Generation, again: Instant },
}

impl SnapshotSchedule {
    /// Begins with what is known to be kept already, if anything is.
    pub(super) fn new(kept: Option<Generation>) -> Self {
        let last = kept.map_or(Last::Unknown, Last::Kept);
        Self { last, writing: None, left: None, backoff: Backoff::new(PAUSE, PAUSE_MAX), paced: None, waiting: false }
    }

    /// Returns where a snapshot is to be written now, if it is; [`SnapshotSchedule::handle_outcome`] follows.
    pub(super) fn poll_write(&mut self, generation: Generation, now: Instant) -> Option<Destination> {
        let (last, again) = match &self.last {
            Last::Unknown => (None, None),
            Last::Kept(last) => (Some(*last), None),
            Last::Failed { generation, again } => (Some(*generation), Some(*again)),
        };
        let decided = last.is_none_or(|last| last.decided != generation.decided);
        let followed = last.is_some_and(|last| last.followed != generation.followed);
        let paced = self.paced.is_some_and(|until| now < until);
        self.waiting = followed && paced;
        let due = decided || (followed && !paced) || again.is_some_and(|again| again <= now);
        let destination = match (due, self.waiting && self.left != Some(generation)) {
            (true, _) => Destination::Flash,
            (false, true) => Destination::Memory,
            (false, false) => return None,
        };
        if self.writing.is_some() {
            return None;
        }
        self.writing = Some((generation, destination));
        if due && followed && !decided {
            self.paced = now.checked_add(PACE);
        }
        Some(destination)
    }

    /// The snapshot being written is kept, or could not be.
    pub(super) fn handle_outcome(&mut self, kept: bool, now: Instant) {
        let Some((generation, destination)) = self.writing.take() else { return };
        if destination == Destination::Memory {
            self.left = Some(generation);
        } else if kept {
            self.last = Last::Kept(generation);
            self.backoff.reset();
        } else {
            self.last = Last::Failed { generation, again: now + self.backoff.pause() };
        }
    }

    /// Nothing waits any more.
    pub(super) fn handle_end(&mut self, now: Instant) {
        self.paced = None;
        if let Last::Failed { again, .. } = &mut self.last {
            *again = now;
        }
    }

    /// Returns the last person's decision that is kept with all before it, or could not be, which `status` tells: who is
    /// told that a decision stands must not lose it by a restart.
    pub(super) fn settled(&self) -> Option<u32> {
        match &self.last {
            Last::Unknown => None,
            Last::Kept(last) | Last::Failed { generation: last, .. } => Some(last.decided),
        }
    }

    /// Returns when [`SnapshotSchedule::poll_write`] is due, if nothing else is decided before.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        if self.writing.is_some() {
            return None;
        }
        let again = if let Last::Failed { again, .. } = &self.last { Some(*again) } else { None };
        again.into_iter().chain(self.paced.filter(|_| self.waiting)).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Whether something is to be written to flash now.
    fn flash(schedule: &mut SnapshotSchedule, generation: Generation, now: Instant) -> bool {
        schedule.poll_write(generation, now) == Some(Destination::Flash)
    }

    fn generation(decided: u32, followed: u32) -> Generation {
        Generation { decided, followed }
    }

    #[test]
    fn no_decision_is_told_before_it_is_kept() {
        let now = Instant::now();
        let mut schedule = SnapshotSchedule::new(Some(generation(7, 0)));
        assert_eq!(schedule.settled(), Some(7), "nothing was decided since");
        assert!(flash(&mut schedule, generation(8, 0), now));
        assert_eq!(schedule.settled(), Some(7), "being written");
        assert!(!flash(&mut schedule, generation(9, 0), now), "one at a time");
        schedule.handle_outcome(true, now);
        assert_eq!(schedule.settled(), Some(8), "what was decided meanwhile has to wait");
        assert!(flash(&mut schedule, generation(9, 0), now));
        schedule.handle_outcome(true, now);
        assert_eq!(schedule.settled(), Some(9));
        assert!(!flash(&mut schedule, generation(9, 0), now), "the flash is not worn");
        assert_eq!(schedule.poll_timeout(), None);
    }

    #[test]
    fn what_was_kept_elsewhere_is_written_first() {
        let mut schedule = SnapshotSchedule::new(None);
        assert_eq!(schedule.settled(), None);
        assert!(flash(&mut schedule, generation(0, 0), Instant::now()));
    }

    /// A provider that asks and takes back as fast as it can costs one write a minute, and nobody's decision waits for it.
    #[test]
    fn providers_do_not_wear_the_flash() {
        let start = Instant::now();
        let mut schedule = SnapshotSchedule::new(Some(generation(0, 0)));
        let (mut writes, mut left, mut decided) = (0, 0, 0);
        for tick in 1..=3600 * 20 {
            let now = start + Duration::from_millis(50) * tick;
            if tick % 20_000 == 0 {
                decided += 1;
                assert!(flash(&mut schedule, generation(decided, tick), now), "a person's decision is written at once");
            } else if flash(&mut schedule, generation(decided, tick), now) {
                writes += 1;
            } else {
                left += 1;
                schedule.handle_outcome(true, now);
                assert!(schedule.poll_timeout().is_some_and(|due| due <= now + PACE), "it is not forgotten");
            }
            schedule.handle_outcome(true, now);
            assert_eq!(schedule.settled(), Some(decided));
        }
        assert!((50..=60).contains(&writes), "{writes} writes in an hour");
        assert!(left > 70_000, "the rest is in memory meanwhile");
    }

    #[test]
    fn the_first_thing_a_provider_brings_about_is_written_at_once() {
        let now = Instant::now();
        let mut schedule = SnapshotSchedule::new(Some(generation(0, 0)));
        assert!(flash(&mut schedule, generation(0, 1), now));
        schedule.handle_outcome(true, now);
        assert_eq!(schedule.poll_write(generation(0, 2), now), Some(Destination::Memory));
        schedule.handle_outcome(true, now);
        assert_eq!(schedule.poll_write(generation(0, 2), now), None, "it is in memory");
        assert_eq!(schedule.poll_timeout(), Some(now + PACE));
        schedule.handle_end(now);
        assert!(flash(&mut schedule, generation(0, 2), now), "at the end everything is");
    }

    #[test]
    fn what_cannot_be_kept_is_told_and_tried_again() {
        let mut now = Instant::now();
        let mut schedule = SnapshotSchedule::new(Some(generation(0, 0)));
        for pause in [1, 2, 4, 8, 16, 32, 60, 60] {
            assert!(flash(&mut schedule, generation(1, 0), now));
            assert_eq!(schedule.poll_timeout(), None, "being written");
            schedule.handle_outcome(false, now);
            assert_eq!(schedule.settled(), Some(1), "the administrator is not kept waiting");
            assert_eq!(schedule.poll_timeout(), Some(now + pause * SECOND));
            assert!(!flash(&mut schedule, generation(1, 0), now));
            now += pause * SECOND;
        }
        assert!(flash(&mut schedule, generation(1, 0), now));
        schedule.handle_outcome(false, now);
        assert!(flash(&mut schedule, generation(2, 0), now), "a new decision is written at once");
        schedule.handle_outcome(true, now);
        assert!(flash(&mut schedule, generation(3, 0), now));
        schedule.handle_outcome(false, now);
        assert_eq!(schedule.poll_timeout(), Some(now + SECOND), "it had worked");
        schedule.handle_end(now);
        assert!(flash(&mut schedule, generation(3, 0), now), "a last attempt");
    }
}
