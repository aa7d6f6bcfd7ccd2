//! One device with flows that match a request.

use std::cmp::Reverse;
use std::net::IpAddr;

use vecset::VecSet;

use super::direction::{Match, UniqueKey};
use super::home_network::HomeNetwork;
use super::inventory::Inventory;
use super::observation::Observation;
use super::suspect::{Confidence, Suspect};
use crate::model::{Mac, Tuple};

/// Most keys kept of one device, and of all senders that are none.
const MOST_KEYS: usize = 16;

/// The keys that flows have had. One that could not be kept may be any.
#[derive(Debug, Default)]
pub(super) struct Keys {
    kept: VecSet<UniqueKey>,
    lost: bool,
}

impl Keys {
    pub(super) fn add(&mut self, key: UniqueKey) {
        if self.kept.len() < MOST_KEYS {
            self.kept.insert(key);
        } else {
            self.lost |= !self.kept.contains(&key);
        }
    }

    /// Whether it may be one of them.
    pub(super) fn contains(&self, key: UniqueKey) -> bool {
        self.lost || self.kept.contains(&key)
    }
}

/// Who else may send under the Ethernet address of a device.
#[derive(Debug, Default)]
pub(super) struct Sharing {
    /// As in [`Suspect::sharers`].
    pub(super) sharers: Vec<IpAddr>,
    /// As in [`Suspect::former`].
    pub(super) former: Vec<IpAddr>,
}

/// All flows of one device that match.
#[derive(Debug, Default)]
pub(super) struct Candidate {
    observations: Vec<Observation>,
    keys: Keys,
}

impl Candidate {
    /// Takes in a flow; tells whether it is new.
    pub(super) fn observe(&mut self, observation: Observation) -> bool {
        if let Some(key) = observation.key() {
            self.keys.add(key);
        }
        if let Some(known) = self.observations.iter_mut().find(|known| known.is_of_same_flow(&observation)) {
            known.update(observation);
            return false;
        }
        // An entry of the same tuple that is another one has taken its place.
        self.end_flow(&observation.flow.original, None);
        self.observations.push(observation);
        true
    }

    /// Keeps the strongest flows only.
    pub(super) fn keep(&mut self, most: usize) {
        if self.observations.len() > most {
            self.observations.sort_by_key(|observation| Reverse(observation.weight()));
            self.observations.truncate(most);
        }
    }

    /// Notes that a flow is gone from conntrack: any with this tuple, or the one of this number.
    pub(super) fn end_flow(&mut self, original: &Tuple, id: Option<u32>) {
        self.observations.iter_mut().filter(|observation| observation.is_of(original, id)).for_each(Observation::end);
    }

    /// The flows that have not ended.
    pub(super) fn live_flows(&self) -> impl Iterator<Item = Tuple> {
        self.observations.iter().filter(|observation| !observation.ended).map(|observation| observation.flow.original)
    }

    /// Whether a flow matches in all that is named.
    pub(super) fn matches_in_full(&self) -> bool {
        self.observations.iter().any(|observation| observation.matched != Match::Partial)
    }

    /// Whether a flow has been seen to send.
    pub(super) fn is_sending(&self) -> bool {
        self.observations.iter().any(|observation| observation.sending)
    }

    /// Whether a flow that nobody else can have made sends to the target.
    pub(super) fn surely_attacks(&self, earned: impl Fn(&Observation) -> bool) -> bool {
        self.sure(earned).any(Observation::is_attack)
    }

    /// The keys of flows that nobody else can have made.
    pub(super) fn sure_keys(&self, earned: impl Fn(&Observation) -> bool) -> impl Iterator<Item = UniqueKey> {
        self.sure(earned).filter_map(Observation::key)
    }

    fn sure(&self, earned: impl Fn(&Observation) -> bool) -> impl Iterator<Item = &Observation> {
        self.observations.iter().filter(move |observation| observation.is_sure() && earned(observation))
    }

    /// The addresses it sends from by flows that match in all that is named, or the others.
    pub(super) fn addresses(&self, full: bool) -> impl Iterator<Item = IpAddr> {
        let matching =
            self.observations.iter().filter(move |observation| (observation.matched != Match::Partial) == full);
        matching.map(|observation| observation.address)
    }

    /// From where it sends: over which links, from which addresses.
    pub(super) fn places(&self) -> impl Iterator<Item = (u32, IpAddr)> {
        self.observations.iter().map(|observation| (observation.link, observation.address))
    }

    /// Whether a flow from this address has been seen to send, and has not ended.
    pub(super) fn sends_from(&self, address: IpAddr) -> bool {
        let sends = |observation: &&Observation| observation.sending && !observation.ended;
        self.observations.iter().filter(sends).any(|observation| observation.address == address)
    }

    /// Its flows.
    pub(super) fn observations_mut(&mut self) -> impl Iterator<Item = &mut Observation> {
        self.observations.iter_mut()
    }

    /// Whether any flow, of whatever worth, has had this key.
    pub(super) fn has_key(&self, key: UniqueKey) -> bool {
        self.keys.contains(key)
    }

    /// Bytes a second, of all flows.
    pub(super) fn rate(&self) -> u64 {
        self.observations.iter().fold(0, |sum, observation| sum.saturating_add(observation.rate.bytes))
    }

    /// The addresses that match best.
    fn senders(&self) -> Vec<IpAddr> {
        let mut senders: Vec<IpAddr> = self.addresses(self.matches_in_full()).collect();
        senders.sort_unstable();
        senders.dedup();
        senders
    }

    /// The device as a suspect.
    pub(super) fn suspect(
        &self,
        mac: Mac,
        confidence: Confidence,
        Sharing { sharers, former }: Sharing,
        home: &HomeNetwork,
    ) -> Suspect {
        let device = home.inventory.device(mac);
        let name = device.and_then(|device| device.name.clone());
        let mut observations: Vec<&Observation> = self.observations.iter().collect();
        observations.sort_by_key(|observation| Reverse(observation.weight()));
        let strongest = observations.first();
        let behind = observations.iter().filter(|observation| observation.behind);
        let behind: VecSet<IpAddr> = behind.map(|observation| observation.address).collect();
        // A machine may have a leg in several networks.
        let interface = strongest.and_then(|observation| home.network.name_of(observation.link));
        let interface = interface.or_else(|| device.and_then(|device| device.interface.as_deref()));
        let mut addresses: Vec<IpAddr> = behind.iter().copied().collect();
        addresses.extend(home.inventory.addresses_of(mac));
        if addresses.is_empty() {
            addresses.extend(strongest.map(|observation| observation.address));
        }
        let senders = self.senders();
        let name = match (behind.is_empty(), sharers.len(), former.is_empty()) {
            (false, ..) => Some(name_behind(&behind, mac, name)),
            (true, 0, true) => name,
            (true, 0, false) => Some(name_at(&senders, mac)),
            (true, all, _) => Some(name_among(&senders, all, mac)),
        };
        Suspect {
            mac,
            name,
            addresses,
            senders,
            sharers,
            former,
            interface: interface.map(str::to_owned),
            behind: !behind.is_empty(),
            confidence,
            evidence: observations.iter().map(|observation| observation.evidence()).collect(),
        }
    }
}

/// A block by Ethernet address hits everybody behind the other router: say so.
fn name_behind(behind: &VecSet<IpAddr>, mac: Mac, name: Option<String>) -> String {
    let router = name.unwrap_or_else(|| mac.to_string());
    let mut addresses = behind.iter();
    match (addresses.next(), addresses.next()) {
        (Some(only), None) => format!("{only} behind router {router}"),
        _ => format!("several devices behind router {router}"),
    }
}

/// None of those under one Ethernet address is to be called by the name of another.
fn name_among(senders: &[IpAddr], all: usize, mac: Mac) -> String {
    match senders {
        [only] => format!("{only}, one of {all} senders under {mac}"),
        _ => format!("{all} senders under {mac}"),
    }
}

/// The name may be that of somebody who is away.
fn name_at(senders: &[IpAddr], mac: Mac) -> String {
    match senders {
        [only] => format!("{only} under {mac}"),
        _ => format!("several addresses under {mac}"),
    }
}

/// The owner of an address that a request names alone, without any flow to show for it.
pub(super) fn owner(address: IpAddr, inventory: &Inventory) -> Option<Suspect> {
    let device = inventory.device(inventory.mac_of(address)?)?;
    Some(Suspect {
        mac: device.mac,
        name: device.name.clone(),
        addresses: device.addresses.clone(),
        interface: device.interface.clone(),
        behind: false,
        senders: vec![address],
        sharers: Vec::new(),
        former: Vec::new(),
        confidence: Confidence::Possible,
        evidence: Vec::new(),
    })
}
