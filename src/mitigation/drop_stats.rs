//! What a mitigation has dropped, from counters that may start again whenever the table is made anew.

use std::time::{Duration, Instant};

use crate::model::Traffic;

/// Averages are taken over such intervals (RFC 9132 section 4.4.2, bps-dropped and pps-dropped).
const BUCKET: Duration = Duration::from_secs(300);

/// How long nothing matches before the attack counts as stopped.
pub(super) const QUIET: Duration = Duration::from_secs(60);

#[derive(Clone, Debug, Default)]
pub(super) struct DropStats {
    /// Everything dropped so far.
    pub(super) dropped: Traffic,
    /// Per second between the last two readings.
    pub(super) rate: Traffic,
    /// Per second over all full buckets, or over the time so far before the first is full.
    pub(super) average: Traffic,
    reading: Traffic,
    read: Option<Instant>,
    began: Option<Instant>,
    matched: Option<Instant>,
    /// When a packet was seen to be dropped last.
    seen: Option<Instant>,
    full_buckets: u64,
    base: Traffic,
}

impl DropStats {
    /// Continues from what was dropped before a restart, when the counters read `reading`: they may have counted on since, or
    /// start again. Averages start anew.
    pub(super) fn resumed(dropped: Traffic, reading: Traffic) -> Self {
        Self { dropped, base: dropped, reading, ..Self::default() }
    }

    /// What the counters said last.
    pub(super) fn reading(&self) -> Traffic {
        self.reading
    }

    /// The mitigation is in force from now on.
    pub(super) fn begin(&mut self, now: Instant) {
        self.began.get_or_insert(now);
        self.read.get_or_insert(now);
        self.matched = Some(now);
    }

    /// Takes a reading of the counters; tells whether anything matched since the one before.
    pub(super) fn count(&mut self, reading: Traffic, now: Instant) -> bool {
        let restarted = reading.is_below(self.reading);
        let before = if restarted { Traffic::default() } else { self.reading };
        let fresh = reading.minus(before);
        self.reading = reading;
        self.dropped = self.dropped.plus(fresh);
        let passed = self.read.replace(now).map_or(Duration::ZERO, |read| now.saturating_duration_since(read));
        self.rate = fresh.per_second(passed);
        self.close_buckets(now);
        let matched = fresh.packets > 0;
        if matched {
            (self.matched, self.seen) = (Some(now), Some(now));
        }
        matched
    }

    /// Whether anything has matched lately.
    pub(super) fn matches(&self, now: Instant) -> bool {
        self.ago(now).is_some_and(|ago| ago < QUIET)
    }

    /// How long ago a packet was dropped last.
    pub(super) fn ago(&self, now: Instant) -> Option<Duration> {
        self.seen.map(|seen| now.saturating_duration_since(seen))
    }

    /// How long nothing has matched.
    pub(super) fn quiet(&self, now: Instant) -> Duration {
        self.matched.map_or(Duration::ZERO, |matched| now.saturating_duration_since(matched))
    }

    fn close_buckets(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(*self.began.get_or_insert(now));
        let full = passed.as_secs() / BUCKET.as_secs();
        let counted = self.dropped.minus(self.base);
        if full > self.full_buckets {
            self.full_buckets = full;
            self.average = counted.per_second(Duration::from_secs(full.saturating_mul(BUCKET.as_secs())));
        } else if full == 0 {
            self.average = counted.per_second(passed);
        }
    }
}
