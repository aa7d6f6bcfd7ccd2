//! What is listened to of flows that come and go: all of it while somebody is searched for, else as little as will do.

use std::time::{Duration, Instant};

/// How long events wait at the socket while nobody is searched for, at most and at least.
const LONGEST: Duration = Duration::from_millis(100);
const SHORTEST: Duration = Duration::from_millis(10);
/// So many are to wait at a time: the receive buffer that every system grants holds some times as many.
const FEW: u32 = 100;

/// What is wanted of `Socket::ConntrackEvents` right now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Listening {
    /// Whether flows that begin are to be told as well ([`crate::netlink::conntrack::GROUP_NEW`]); those that end always are.
    pub new_flows: bool,
    /// Until then what is told may wait, so that much is read at a time; nothing: it is to be read as it comes.
    pub read_at: Option<Instant>,
}

/// Reads the more often the more there is.
#[derive(Debug)]
pub(super) struct Pace {
    read: Option<Instant>,
    /// How much was read then.
    count: u32,
    pause: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self { read: None, count: 0, pause: LONGEST }
    }
}

impl Pace {
    /// An event has been read.
    pub(super) fn handle_event(&mut self, now: Instant) {
        if self.read != Some(now) {
            self.pause = self.next_pause();
            self.count = 0;
            self.read = Some(now);
        }
        self.count = self.count.saturating_add(1);
    }

    /// Some had no room.
    pub(super) fn handle_overrun(&mut self, now: Instant) {
        *self = Self { read: Some(now), count: FEW, pause: SHORTEST };
    }

    /// When to read again.
    pub(super) fn next(&self) -> Option<Instant> {
        self.read.map(|read| read + self.next_pause())
    }

    fn next_pause(&self) -> Duration {
        (self.pause * FEW / self.count.max(1)).clamp(SHORTEST, LONGEST)
    }
}
