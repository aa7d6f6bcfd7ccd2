//! When a search looks, reads the flows it has found again, and reports.

use std::time::{Duration, Instant};

use crate::model::Backoff;

/// When flows found are looked at again, counted from when they were found: first to see whether they send at all, then
/// for their rate.
const READINGS: [Duration; 5] = [
    Duration::from_millis(100),
    Duration::from_secs(1),
    Duration::from_secs(3),
    Duration::from_secs(6),
    Duration::from_secs(10),
];
/// The pauses after looks that found nobody sure.
const PAUSES: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60));
/// The longest pause before a look that something new calls for.
const SOON: Duration = Duration::from_secs(8);
/// Reports that follow each other are this far apart.
const BETWEEN_REPORTS: Duration = Duration::from_millis(100);

/// The moments of one search.
#[derive(Debug)]
pub(super) struct Schedule {
    next_look: Option<Instant>,
    pauses: Backoff,
    /// When the flows to be read again were found, and how often that has been done since.
    found: Option<(Instant, usize)>,
    /// When it was last seen whether there is something new to report.
    reported: Option<Instant>,
    next_report: Option<Instant>,
}

impl Default for Schedule {
    fn default() -> Self {
        Self { next_look: None, pauses: PAUSES, found: None, reported: None, next_report: None }
    }
}

impl Schedule {
    /// Begins again, with a look at once.
    pub(super) fn restart(&mut self, now: Instant) {
        self.next_look = Some(now);
        self.pauses.reset();
        self.next_report = None;
    }

    /// Plans no look.
    pub(super) fn stop_looking(&mut self) {
        self.next_look = None;
    }

    /// Plans the next look, unless one is planned.
    pub(super) fn look_later(&mut self, now: Instant) {
        if self.next_look.is_none() {
            self.next_look = Some(now + self.pauses.pause());
        }
    }

    /// Plans a look before long.
    pub(super) fn look_soon(&mut self, now: Instant) {
        let soon = now + self.pauses.next_pause().min(SOON);
        self.next_look = Some(self.next_look.map_or(soon, |next| next.min(soon)));
    }

    /// The next look.
    pub(super) fn next_look(&self) -> Option<Instant> {
        self.next_look
    }

    /// Plans to read flows again that have been found now.
    pub(super) fn read_from(&mut self, now: Instant) {
        self.found = Some((now, 0));
    }

    /// Somebody wants to see what sends now.
    pub(super) fn read_anew(&mut self, now: Instant) {
        if self.next_reading().is_none() {
            self.read_from(now);
        }
    }

    /// Plans no reading.
    pub(super) fn stop_reading(&mut self) {
        self.found = None;
    }

    /// The next reading.
    pub(super) fn next_reading(&self) -> Option<Instant> {
        let (at, count) = self.found?;
        Some(at + *READINGS.get(count)?)
    }

    /// Tells whether a reading is due, and plans the one after it.
    pub(super) fn poll_reading(&mut self, now: Instant) -> bool {
        let due = self.next_reading().is_some_and(|due| due <= now);
        if let Some((_, count)) = self.found.as_mut().filter(|_| due) {
            *count += 1;
        }
        due
    }

    /// Plans a report: at once if it is the first, else not right after the one before.
    pub(super) fn report(&mut self, is_first: bool, now: Instant) {
        let due = self.reported.filter(|_| !is_first).map_or(now, |at| now.max(at + BETWEEN_REPORTS));
        self.next_report = Some(self.next_report.map_or(due, |next| next.min(due)));
    }

    /// The next report.
    pub(super) fn next_report(&self) -> Option<Instant> {
        self.next_report
    }

    /// Tells whether a report is due.
    pub(super) fn poll_report(&mut self, now: Instant) -> bool {
        let due = self.next_report.take_if(|due| *due <= now).is_some();
        if due {
            self.reported = Some(now);
        }
        due
    }
}
