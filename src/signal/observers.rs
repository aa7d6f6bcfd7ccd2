//! Who is notified of what, and how often (RFC 7641, RFC 9132 section 4.4.2.1).

use std::time::{Duration, Instant};

use super::body::Report;
use super::path::Content;
use crate::coap::Token;

/// Without a measured round-trip time notifications over datagrams keep this distance (RFC 9132 section 4.4.2.1).
const UNMEASURED: Duration = Duration::from_secs(3);
/// With one they may follow each other after it; those of one observation still keep this distance.
const CLOSEST: Duration = Duration::from_secs(1);
/// While something is being mitigated its observers hear of it at least this often.
const PERIOD: Duration = Duration::from_secs(15);
/// Observations of one session; far more than a client needs.
const MOST: usize = 256;
/// Of them on all mitigations at once, whose content may be large.
const MOST_OF_ALL: usize = 8;
/// Bytes of content that are put together in a millisecond, at most.
const BYTES: usize = 64;
/// Ended mitigations one observer still has to hear of.
const MOST_GONE: usize = 16;
/// Bytes of a notification beside its payload.
const OVERHEAD: usize = 64;

/// What is observed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Subject {
    /// One mitigation of a client, or all of them.
    Mitigations { cuid: String, mid: Option<u32>, content: Content },
    /// The session configuration.
    Configuration,
}

impl Subject {
    fn is_all(&self) -> bool {
        matches!(self, Self::Mitigations { mid: None, .. })
    }

    /// Whether a mitigation is part of it.
    pub(super) fn covers(&self, of_cuid: &str, of_mid: u32) -> bool {
        matches!(self, Self::Mitigations { cuid, mid, .. } if cuid == of_cuid && mid.is_none_or(|mid| mid == of_mid))
    }
}

/// An observation whose time has come.
pub(super) struct Due {
    pub(super) token: Token,
    pub(super) subject: Subject,
    /// The last words on mitigations that are no more.
    pub(super) gone: Vec<Report>,
    /// Whether such words were said the last time, so that nothing more may be left to say.
    pub(super) ending: bool,
}

#[derive(Debug)]
struct Observer {
    token: Token,
    subject: Subject,
    changed: bool,
    /// Repeated while this holds.
    active: bool,
    gone: Vec<Report>,
    ending: bool,
    last: Instant,
    /// How long after that the size of its content demands to wait.
    rest: Duration,
}

/// The observations of one session.
#[derive(Debug)]
pub(super) struct Observers {
    all: Vec<Observer>,
    sequence: u32,
    is_stream: bool,
    /// Between any two notifications.
    pace: Duration,
    /// When the last one went out, and how large it was.
    last: Option<(Instant, usize)>,
}

impl Observers {
    pub(super) fn new(is_stream: bool) -> Self {
        let pace = if is_stream { Duration::ZERO } else { UNMEASURED };
        Self { all: Vec::new(), sequence: 0, is_stream, pace, last: None }
    }

    /// Adds an observation, or replaces the one with this token. Whether there is room for it.
    pub(super) fn register(&mut self, token: Token, subject: Subject, active: bool, now: Instant) -> bool {
        self.cancel(&token);
        let of_all = self.all.iter().filter(|observer| observer.subject.is_all()).count();
        let room = self.all.len() < MOST && !(subject.is_all() && of_all >= MOST_OF_ALL);
        if room {
            let (changed, ending, gone, rest) = (false, false, Vec::new(), Duration::ZERO);
            self.all.push(Observer { token, subject, changed, active, gone, ending, last: now, rest });
        }
        room
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

    /// A mitigation is no more; its observers are due to hear the last word on it.
    pub(super) fn end(&mut self, cuid: &str, mid: u32, last_word: impl Fn(Content) -> Report) {
        for observer in self.all.iter_mut().filter(|observer| observer.subject.covers(cuid, mid)) {
            observer.changed = true;
            if let Subject::Mitigations { content, .. } = &observer.subject
                && observer.gone.len() < MOST_GONE
            {
                observer.gone.push(last_word(*content));
            }
        }
    }

    /// Sets the pace over datagrams: one a round-trip time, or, towards a peer that is `silent`, so many bytes a second
    /// (RFC 7252 section 4.7).
    pub(super) fn set_pace(&mut self, rtt: Option<Duration>, silent: Option<u16>) {
        if self.is_stream {
            return;
        }
        let last = self.last.map_or(0, |(_, size)| u64::try_from(size).unwrap_or(u64::MAX));
        let slow = silent.map_or(Duration::ZERO, |rate| Duration::from_secs(last / u64::from(rate.max(1))));
        self.pace = rtt.unwrap_or(UNMEASURED).max(slow);
    }

    /// The next observation to notify, marked as done.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<Due> {
        if self.poll_timeout().is_none_or(|due| due > now) {
            return None;
        }
        let gap = self.gap();
        let first = self.all.iter_mut().filter_map(|observer| Some((observer.due(gap)?, observer)));
        let (_, observer) = first.min_by_key(|(due, _)| *due)?;
        observer.last = now;
        let gone = std::mem::take(&mut observer.gone);
        let ending = std::mem::replace(&mut observer.ending, !gone.is_empty());
        // The next word, that there is nothing any more, follows by itself.
        observer.changed = observer.ending;
        Some(Due { token: observer.token.clone(), subject: observer.subject.clone(), gone, ending })
    }

    /// Notes whether what this one observes goes on by itself, and the size of the whole content.
    pub(super) fn looked_at(&mut self, token: &Token, active: bool, size: usize) {
        for observer in self.all.iter_mut().filter(|observer| observer.token == *token) {
            observer.active = active;
            observer.rest = Duration::from_millis(u64::try_from(size / BYTES).unwrap_or(u64::MAX));
        }
    }

    /// Notes that a notification went out, with so many bytes of payload.
    pub(super) fn notified(&mut self, size: usize, now: Instant) {
        self.last = Some((now, size.saturating_add(OVERHEAD)));
    }

    /// The next sequence number: 24 bits, rising (RFC 7641 section 4.4).
    pub(super) fn next_sequence(&mut self) -> u32 {
        self.sequence = (self.sequence + 1) & 0x00ff_ffff;
        self.sequence
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let gap = self.gap();
        let first = self.all.iter().filter_map(|observer| observer.due(gap)).min()?;
        Some(self.last.map_or(first, |(last, _)| first.max(last + self.pace)))
    }

    /// Between two notifications of one observation.
    fn gap(&self) -> Duration {
        if self.is_stream { Duration::ZERO } else { self.pace.max(CLOSEST) }
    }
}

impl Observer {
    fn due(&self, gap: Duration) -> Option<Instant> {
        let gap = gap.max(self.rest);
        match (self.changed, self.active) {
            (true, _) => Some(self.last + gap),
            (false, true) => Some(self.last + PERIOD.max(gap)),
            (false, false) => None,
        }
    }
}
