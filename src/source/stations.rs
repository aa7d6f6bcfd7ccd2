//! On which port of a bridge each Ethernet address was seen, and which have moved: two devices with one address can be told
//! apart by nothing else.

use std::time::{Duration, Instant};

use vecset::VecMap;

use crate::model::Mac;
use crate::netlink::neighbour::Station;

/// Most addresses remembered; those not heard of for long give way.
const MOST: usize = 2048;
/// How long one that has moved is in doubt: as long as flows that have ended are remembered.
const MEMORY: Duration = Duration::from_secs(600);

/// An address in one network of a bridge: the same device may well be in several.
type Place = (Mac, u32, u16);

/// Where an address was seen last.
#[derive(Clone, Copy, Debug)]
struct Seen {
    port: u32,
    heard: Instant,
    moved: Option<Instant>,
}

/// Everybody on the ports of bridges.
#[derive(Debug, Default)]
pub(super) struct Stations {
    seen: VecMap<Place, Seen>,
    /// When there was no room for somebody.
    full: Option<Instant>,
    /// When moves may have been missed.
    missed: Option<Instant>,
}

impl Stations {
    /// Takes where the kernel has seen an address.
    pub(super) fn see(&mut self, station: &Station, now: Instant) {
        let Station { mac, port, bridge, vlan } = *station;
        let place = (mac, bridge, vlan);
        let before = self.seen.get(&place).copied();
        if before.is_none() && !self.make_room(now) {
            self.full = Some(now);
            return;
        }
        let moved = match before {
            Some(before) if before.port != port => Some(now),
            Some(before) => before.moved,
            None => None,
        };
        self.seen.insert(place, Seen { port, heard: now, moved });
    }

    fn make_room(&mut self, now: Instant) -> bool {
        if self.seen.len() >= MOST {
            self.seen.retain(|_, seen| is_lately(Some(seen.heard), now));
        }
        self.seen.len() < MOST
    }

    /// Moves may have been missed.
    pub(super) fn handle_overrun(&mut self, now: Instant) {
        self.missed = Some(now);
    }

    /// Whether an address has lately moved from one port to another, as far as can be told.
    pub(super) fn may_have_moved(&self, mac: Mac, now: Instant) -> bool {
        let mut places = self.seen.iter().filter(|((other, ..), _)| *other == mac).peekable();
        let unknown = places.peek().is_none() && is_lately(self.full, now);
        unknown || is_lately(self.missed, now) || places.any(|(_, seen)| is_lately(seen.moved, now))
    }
}

fn is_lately(at: Option<Instant>, now: Instant) -> bool {
    at.is_some_and(|at| now.saturating_duration_since(at) < MEMORY)
}
