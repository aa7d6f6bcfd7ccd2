//! How many lines of the log and runs of scripts one provider can cause: neither may be filled by it.

use std::time::{Duration, Instant};

use vecset::VecMap;

use crate::mitigation::{Entry, Happened};
use crate::model::Allowance;

/// Lines about the requests of a provider, and warnings: fewer than 20 in a minute together. Each has its own, so that the
/// provider's coming and going does not hide who was let go or what is not in force.
const LINES: Allowance = Allowance::new(6, Duration::from_secs(10));
const WARNINGS: Allowance = Allowance::new(5, Duration::from_secs(30));
/// Runs of scripts for them, each a process.
const HOOKS: Allowance = Allowance::new(20, Duration::from_secs(5));

/// What becomes of one piece of news.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Told {
    /// Whether it is logged.
    pub(super) line: bool,
    /// How many were not logged before it.
    pub(super) suppressed: u32,
    /// Whether scripts are run.
    pub(super) hook: bool,
}

/// What one provider may still cause.
#[derive(Debug)]
struct PeerAllowance {
    lines: Allowance,
    warnings: Allowance,
    hooks: Allowance,
    suppressed: u32,
}

/// Tells what may be told.
#[derive(Debug, Default)]
pub(super) struct NewsLimiter {
    peers: VecMap<String, PeerAllowance>,
}

impl NewsLimiter {
    /// Counts a piece of news. What a person has done is always told.
    pub(super) fn handle_news(&mut self, entry: &Entry, now: Instant) -> Told {
        let Some(peer) = entry.peer().filter(|_| !entry.is_by_person()) else {
            return Told { line: true, suppressed: 0, hook: true };
        };
        if !self.peers.contains_key(peer) {
            self.peers.insert(
                peer.to_owned(),
                PeerAllowance { lines: LINES, warnings: WARNINGS, hooks: HOOKS, suppressed: 0 },
            );
        }
        let Some(allowed) = self.peers.get_mut(peer) else { return Told::default() };
        let lines = if entry.event == Happened::Failed { &mut allowed.warnings } else { &mut allowed.lines };
        let (line, hook) = (lines.take(now).is_ok(), allowed.hooks.take(now).is_ok());
        let suppressed = if line { std::mem::take(&mut allowed.suppressed) } else { 0 };
        allowed.suppressed = allowed.suppressed.saturating_add(u32::from(!line));
        Told { line, suppressed, hook }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mitigation::About;
    use crate::model::MitigationId;

    fn entry(peer: &str, by: Option<&str>) -> Entry {
        entry_of(Happened::Requested, peer, by)
    }

    fn entry_of(event: Happened, peer: &str, by: Option<&str>) -> Entry {
        let about = About::Mitigation { id: MitigationId(1), peer: peer.to_owned(), mac: None };
        Entry { time: 0, event, about, by: by.map(str::to_owned), comment: None }
    }

    /// An hour of requests and withdrawals, forty a second.
    #[test]
    fn a_provider_fills_no_log() {
        let (start, mut limiter) = (Instant::now(), NewsLimiter::default());
        let (mut lines, mut hooks, mut suppressed, mut minute) = (0, 0, 0, 0);
        for tick in 0..3600 * 40 {
            let event = if tick % 2 == 0 { Happened::Failed } else { Happened::Requested };
            let entry = entry_of(event, "evil", Some("policy"));
            let told = limiter.handle_news(&entry, start + Duration::from_millis(25) * tick);
            (lines, minute) = (lines + u32::from(told.line), minute + u32::from(told.line));
            hooks += u32::from(told.hook);
            suppressed += told.suppressed;
            if tick % (60 * 40) == 60 * 40 - 1 {
                assert!(minute <= 20, "{minute} lines in a minute");
                minute = 0;
            }
        }
        assert!(hooks <= 60 * 12 + 20, "{hooks} runs of scripts");
        assert!(lines + suppressed >= 3600 * 40 - 400, "all are told or counted: {lines} and {suppressed}");
    }

    #[test]
    fn warnings_are_not_hidden_by_requests() {
        let (now, mut limiter) = (Instant::now(), NewsLimiter::default());
        let heard = (0..100).filter(|_| limiter.handle_news(&entry("evil", None), now).line).count();
        assert!(heard < 10, "{heard}");
        let told = limiter.handle_news(&entry_of(Happened::Failed, "evil", None), now);
        assert!(told.line && told.suppressed > 90, "{told:?}");
    }

    #[test]
    fn others_are_heard_all_the_same() {
        let (now, mut limiter) = (Instant::now(), NewsLimiter::default());
        let heard = (0..100).filter(|_| limiter.handle_news(&entry("evil", None), now).line).count();
        assert!(heard < 10, "{heard}");
        assert!(limiter.handle_news(&entry("isp", None), now).line);
        let told = limiter.handle_news(&entry("evil", Some("root")), now);
        assert_eq!(told, Told { line: true, suppressed: 0, hook: true });
    }
}
