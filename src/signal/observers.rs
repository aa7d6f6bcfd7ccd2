//! Who is notified of what (RFC 7641, RFC 9132 section 4.4.2.1).

use std::time::{Duration, Instant};

use super::path::Content;
use crate::coap::Token;

/// Without a measured round-trip time notifications over datagrams keep this distance (RFC 9132 section 4.4.2.1).
const SPACING: Duration = Duration::from_secs(3);
/// While something is being mitigated its observers hear of it at least this often.
const PERIOD: Duration = Duration::from_secs(15);
/// Observations of one session; far more than a client needs.
const MOST: usize = 256;

/// What is observed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Subject {
    /// One mitigation of a client, or all of them.
    Mitigations { cuid: String, mid: Option<u32>, content: Content },
    /// The session configuration.
    Configuration,
}

/// One observation.
#[derive(Debug)]
pub(super) struct Observer {
    pub(super) token: Token,
    pub(super) subject: Subject,
    changed: bool,
    /// Repeated while this holds.
    pub(super) active: bool,
    last: Instant,
}

/// The observations of one session.
#[derive(Debug)]
pub(super) struct Observers {
    all: Vec<Observer>,
    sequence: u32,
    spacing: Duration,
}

impl Observers {
    pub(super) fn new(is_stream: bool) -> Self {
        Self { all: Vec::new(), sequence: 0, spacing: if is_stream { Duration::ZERO } else { SPACING } }
    }

    /// Adds an observation, or replaces the one with this token.
    pub(super) fn register(&mut self, token: Token, subject: Subject, active: bool, now: Instant) {
        self.cancel(&token);
        if self.all.len() < MOST {
            self.all.push(Observer { token, subject, changed: false, active, last: now });
        }
    }

    pub(super) fn cancel(&mut self, token: &Token) {
        self.all.retain(|observer| observer.token != *token);
    }

    /// The subject has changed: its observers are due.
    pub(super) fn change(&mut self, concerns: impl Fn(&Subject) -> bool) {
        for observer in self.all.iter_mut().filter(|observer| concerns(&observer.subject)) {
            observer.changed = true;
        }
    }

    /// The observers that a subject has at this moment, whether due or not.
    pub(super) fn of(&self, concerns: impl Fn(&Subject) -> bool) -> Vec<Token> {
        self.all.iter().filter(|observer| concerns(&observer.subject)).map(|observer| observer.token.clone()).collect()
    }

    /// The next observation to notify, marked as done.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<(Token, Subject)> {
        let spacing = self.spacing;
        let observer = self.all.iter_mut().find(|observer| observer.due(spacing).is_some_and(|due| due <= now))?;
        observer.changed = false;
        observer.last = now;
        Some((observer.token.clone(), observer.subject.clone()))
    }

    /// Notes whether what this one observes goes on by itself.
    pub(super) fn set_active(&mut self, token: &Token, active: bool) {
        for observer in self.all.iter_mut().filter(|observer| observer.token == *token) {
            observer.active = active;
        }
    }

    /// The next sequence number: 24 bits, rising (RFC 7641 section 4.4).
    pub(super) fn next_sequence(&mut self) -> u32 {
        self.sequence = (self.sequence + 1) & 0x00ff_ffff;
        self.sequence
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.all.iter().filter_map(|observer| observer.due(self.spacing)).min()
    }
}

impl Observer {
    fn due(&self, spacing: Duration) -> Option<Instant> {
        match (self.changed, self.active) {
            (true, _) => Some(self.last + spacing),
            (false, true) => Some(self.last + PERIOD),
            (false, false) => None,
        }
    }
}
