//! Who may be meant, and how sure that is.

use std::cmp::Reverse;
use std::net::IpAddr;

use vecset::{VecMap, VecSet};

use super::candidate::{Candidate, Keys, Sharing};
use super::direction::{Match, UniqueKey};
use super::home_network::HomeNetwork;
use super::observation::Observation;
use super::senders::Senders;
use super::suspect::{Confidence, Suspect, most_flows};
use crate::model::address::is_link_local;
use crate::model::{Mac, Tuple};

/// Most devices kept for one request, unless it is told otherwise.
const MOST: usize = 64;
/// Most addresses kept of senders that are no device.
const MOST_STRANGERS: usize = 8;

/// Whether it is known that a device and no other has sent the packets of a flow.
pub(super) type Earned<'a> = dyn Fn(Mac, &Observation) -> bool + 'a;

/// All devices with flows that match.
#[derive(Debug)]
pub(super) struct Candidates {
    devices: VecMap<Mac, Candidate>,
    most: usize,
    unattributed: Unattributed,
    /// Those of the look before, until the one under way is over.
    unattributed_before: Unattributed,
}

/// Senders that are no device or none that is known: the router itself, an address nobody answers to.
#[derive(Debug, Default)]
struct Unattributed {
    any: bool,
    keys: Keys,
    addresses: VecSet<IpAddr>,
}

impl Default for Candidates {
    fn default() -> Self {
        Self::new(MOST)
    }
}

impl Candidates {
    /// None yet, of so many.
    pub(super) fn new(most: usize) -> Self {
        let (unattributed, unattributed_before) = (Unattributed::default(), Unattributed::default());
        Self { devices: VecMap::new(), most, unattributed, unattributed_before }
    }

    /// How many devices are kept.
    pub(super) fn most(&self) -> usize {
        self.most
    }

    /// How many devices are kept from now on.
    pub(super) fn set_most(&mut self, most: usize) {
        self.most = most;
    }

    /// Begins a new look: who was unknown may be known now.
    pub(super) fn begin_look(&mut self) {
        self.unattributed_before = std::mem::take(&mut self.unattributed);
    }

    /// Ends the look: who is still unknown has been seen again.
    pub(super) fn end_look(&mut self) {
        self.unattributed_before = Unattributed::default();
    }

    /// Takes in a flow of a device that matches; tells whether it is new.
    pub(super) fn observe(&mut self, mac: Mac, observation: Observation) -> bool {
        if !self.devices.contains_key(&mac) && !self.make_room(observation.matched) {
            self.observe_unattributed(observation.matched, observation.address);
            return false;
        }
        let is_new = self.devices.entry(mac).or_default().observe(observation);
        let most = most_flows(self.most, self.devices.len());
        self.devices.values_mut().for_each(|candidate| candidate.keep(most));
        is_new
    }

    /// Makes sure that there is room for one more device. Who matches in all that is named takes the place of one who does not.
    fn make_room(&mut self, matched: Match) -> bool {
        if self.devices.len() < self.most {
            return true;
        }
        let others = self.devices.iter().find(|(_, candidate)| !candidate.matches_in_full());
        let gives_way = others.map(|(mac, _)| *mac).filter(|_| matched != Match::Partial);
        gives_way.is_some_and(|mac| self.devices.remove(&mac).is_some())
    }

    /// Takes in a flow that matches, but of nobody who could be blocked.
    pub(super) fn observe_unattributed(&mut self, matched: Match, address: IpAddr) {
        if matched == Match::Partial {
            return;
        }
        self.unattributed.any = true;
        if let Some(key) = matched.key() {
            self.unattributed.keys.add(key);
        }
        if self.unattributed.addresses.len() < MOST_STRANGERS {
            self.unattributed.addresses.insert(address);
        }
    }

    /// The addresses of senders that match in all that is named and are nobody who could be blocked.
    pub(super) fn strangers(&self) -> VecSet<IpAddr> {
        self.unattributed
            .addresses
            .iter()
            .chain(&self.unattributed_before.addresses)
            .copied()
            .take(MOST_STRANGERS)
            .collect()
    }

    /// Notes that a flow is gone from conntrack: any with this tuple, or the one of this number.
    pub(super) fn end_flow(&mut self, original: &Tuple, id: Option<u32>) {
        self.devices.values_mut().for_each(|candidate| candidate.end_flow(original, id));
    }

    /// Whether somebody unknown matches.
    pub(super) fn has_unattributed(&self) -> bool {
        self.unattributed.any || self.unattributed_before.any
    }

    /// Whether anybody matches in all that is named.
    pub(super) fn has_full_match(&self) -> bool {
        self.full().next().is_some()
    }

    /// Whether the device is one of them.
    pub(super) fn has(&self, mac: Mac) -> bool {
        self.devices.contains_key(&mac)
    }

    /// The flows that have not ended.
    pub(super) fn live_flows(&self) -> impl Iterator<Item = Tuple> {
        self.devices.values().flat_map(Candidate::live_flows)
    }

    fn full(&self) -> impl Iterator<Item = (&Mac, &Candidate)> {
        self.devices.iter().filter(|(_, candidate)| candidate.matches_in_full())
    }

    /// All flows that match, each with whose it is.
    pub(super) fn observations_mut(&mut self) -> impl Iterator<Item = (Mac, &mut Observation)> {
        self.devices.iter_mut().flat_map(|(mac, candidate)| candidate.observations_mut().map(move |o| (*mac, o)))
    }

    /// The addresses they come from, those first that match in all that is named.
    pub(super) fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        let of = |full| self.devices.values().flat_map(move |candidate| candidate.addresses(full));
        of(true).chain(of(false))
    }

    /// Who may be meant, most likely first. `complete`: everything there is has been looked at. `earned`: whether it is
    /// known that this device and no other has sent the packets of a flow.
    pub(super) fn suspects(
        &self,
        home: &HomeNetwork,
        senders: &Senders,
        complete: bool,
        earned: &Earned<'_>,
    ) -> Vec<Suspect> {
        let alone = self.is_alone(complete);
        let mut candidates: Vec<_> = self.full().collect();
        if candidates.is_empty() && !self.has_unattributed() {
            // With other ports than those named, at least it must be at it; nobody else has the very ones.
            candidates = self.devices.iter().filter(|(_, candidate)| candidate.is_sending()).collect();
        }
        let weighed = candidates.into_iter().map(|(mac, candidate)| {
            let confidence = self.confidence(*mac, candidate, alone, earned);
            let sharing = self.sharing(*mac, candidate, home, senders);
            (confidence, candidate.rate(), candidate.suspect(*mac, confidence, sharing, home))
        });
        let mut weighed: Vec<_> = weighed.collect();
        weighed.sort_by_key(|(confidence, rate, _)| Reverse((*confidence, *rate)));
        weighed.into_iter().map(|(.., suspect)| suspect).collect()
    }

    /// Who else may send under the Ethernet address of a candidate. One device has one IPv4 address on a link, and one link-local
    /// address; of other IPv6 addresses it may have many. Where nobody answers any more, there is nobody now.
    fn sharing(&self, mac: Mac, candidate: &Candidate, home: &HomeNetwork, senders: &Senders) -> Sharing {
        let local = home.inventory.addresses_of(mac).iter().copied().filter(|address| is_link_local(*address));
        let local = local.flat_map(|address| home.inventory.links_of(mac, address));
        let seen = candidate.places().chain(senders.places_of(mac)).chain(local);
        // What another one has, or what is reached through another router, is not the device's own.
        let is_own = |(link, address): &(u32, IpAddr)| {
            let holder = home.inventory.mac_on(*address, *link);
            home.network.may_hold(*address, *link) && holder.is_none_or(|holder| holder == mac)
        };
        let held: VecSet<(u32, IpAddr)> = seen.filter(is_own).collect();
        let is_away = |(link, address): &(u32, IpAddr)| {
            home.inventory.is_silent(*address, *link) && !candidate.sends_from(*address) && !senders.has_seen(*address)
        };
        let (away, present): (VecSet<_>, VecSet<_>) = held.iter().copied().partition(is_away);
        match several(&present) {
            sharers if !sharers.is_empty() => Sharing { sharers, former: Vec::new() },
            _ => {
                let all = several(&held).into_iter();
                let former = all.filter(|address| away.iter().any(|(_, away)| away == address)).collect();
                Sharing { sharers: Vec::new(), former }
            }
        }
    }

    /// Whether any suspect is more than a possible one, as far as conntrack can tell.
    pub(super) fn is_settled(&self, complete: bool) -> bool {
        let alone = self.is_alone(complete);
        let likely = |(mac, candidate): (&Mac, &Candidate)| {
            self.confidence(*mac, candidate, alone, &|_, _| true) >= Confidence::Likely
        };
        self.full().any(likely)
    }

    /// Whether just one device matches in all that is named, and nobody unknown does.
    fn is_alone(&self, complete: bool) -> bool {
        complete && !self.has_unattributed() && self.full().count() == 1
    }

    fn confidence(&self, mac: Mac, candidate: &Candidate, alone: bool, earned: &Earned<'_>) -> Confidence {
        let earned = |observation: &Observation| earned(mac, observation);
        if candidate.sure_keys(earned).any(|key| !self.is_shared(mac, key)) {
            return Confidence::Exact;
        }
        // Nothing that is named tells this device from others. That no other matches counts only while it is seen to send:
        // a quiet flow may be all that is left to see of an attack that came from elsewhere.
        if alone && candidate.surely_attacks(earned) { Confidence::Likely } else { Confidence::Possible }
    }

    /// Whether the key points to somebody else as well.
    fn is_shared(&self, mac: Mac, key: UniqueKey) -> bool {
        let mut others = self.devices.iter().filter(|(other, _)| **other != mac);
        self.unattributed.keys.contains(key)
            || self.unattributed_before.keys.contains(key)
            || others.any(|(_, other)| other.has_key(key))
    }
}

/// The addresses of which one device has one on a link, where there are several on a link.
fn several(held: &VecSet<(u32, IpAddr)>) -> Vec<IpAddr> {
    let of_kind = |telling: fn(IpAddr) -> bool| -> Vec<IpAddr> {
        let of = |link| held.iter().filter(move |(other, address)| *other == link && telling(*address));
        let link = held.iter().map(|(link, _)| *link).find(|link| of(*link).count() > 1);
        link.map_or(Vec::new(), |link| of(link).map(|(_, address)| *address).collect())
    };
    let mut several = of_kind(|address| address.is_ipv4());
    several.extend(of_kind(|address| address.is_ipv6() && is_link_local(address)));
    several
}
