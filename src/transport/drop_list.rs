//! Sources that cost the provider handshakes in vain are not listened to for a while (RFC 9066 section 8).

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

/// Failed authentications within [`WINDOW`] that are one too many. A router with a wrong credential stays below: it
/// tries each transport and address, but seldom.
const ALLOWED: u32 = 10;
/// Failures this old are forgotten.
const WINDOW: Duration = Duration::from_secs(300);
/// How long a source is dropped.
const DROPPED: Duration = Duration::from_secs(600);
/// Sources of one generation. When there are more, those not heard of since the generation before are forgotten.
const MOST: usize = 8192;

/// The failed authentications of all sources.
#[derive(Debug, Default)]
pub struct DropList {
    recent: BTreeMap<IpAddr, Record>,
    former: BTreeMap<IpAddr, Record>,
}

#[derive(Debug)]
struct Record {
    failures: u32,
    /// The first of them, or the moment the source was dropped.
    since: Instant,
}

impl Record {
    fn is_dropped(&self) -> bool {
        self.failures >= ALLOWED
    }

    fn is_over(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.since) >= if self.is_dropped() { DROPPED } else { WINDOW }
    }
}

impl DropList {
    /// Somebody there has not proven to be one of our routers. True: the source is dropped from now on.
    pub fn failed(&mut self, source: IpAddr, now: Instant) -> bool {
        let source = block(source);
        let known = self.recent.remove(&source).or_else(|| self.former.remove(&source));
        if self.recent.len() >= MOST {
            self.former = std::mem::take(&mut self.recent);
        }
        let known = known.filter(|record| !record.is_over(now));
        let record = self.recent.entry(source).or_insert(known.unwrap_or(Record { failures: 0, since: now }));
        if record.is_dropped() {
            return false;
        }
        record.failures += 1;
        if record.is_dropped() {
            record.since = now;
        }
        record.is_dropped()
    }

    /// Whether the source is not worth a handshake now.
    pub fn is_dropped(&self, source: IpAddr, now: Instant) -> bool {
        let source = block(source);
        let record = self.recent.get(&source).or_else(|| self.former.get(&source));
        record.is_some_and(|record| record.is_dropped() && !record.is_over(now))
    }
}

/// What one customer has: an IPv4 address, or an IPv6 prefix of 64 bits, whose addresses are free to choose.
pub fn block(source: IpAddr) -> IpAddr {
    match source.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
        v4 => v4,
    }
}
