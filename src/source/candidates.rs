//! Who may be meant, and how sure that is.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use vecset::{VecMap, VecSet};

use super::attribution::{Fit, Mark, View};
use super::device::{Confidence, Evidence, Suspect};
use super::home_network::HomeNetwork;
use super::inventory::Inventory;
use super::network::Located;
use crate::model::{Flow, Mac, Now, Traffic, Tuple};

/// Most devices kept for one request.
const MOST: usize = 64;
/// Most flows kept of one device: the strongest.
const MOST_FLOWS: usize = 8;
/// About as many flows are kept of all devices together.
const MOST_FLOWS_OF_ALL: usize = 128;
/// Most marks kept of one device.
const MOST_MARKS: usize = 64;

/// A flow of a device that fits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sighting {
    /// With what was sent towards the target as sent, whoever opened it.
    pub(super) flow: Flow,
    /// The address inside the home.
    pub(super) address: IpAddr,
    pub(super) fit: Fit,
    /// The link inside it came over.
    pub(super) link: u32,
    /// Whether it came through another router of the home.
    pub(super) behind: bool,
    /// Whether the address may have been another device's when the flow was made.
    pub(super) contested: bool,
    /// Whether it is known because it has just been opened.
    pub(super) opened: bool,
    /// Whether it is gone from conntrack.
    pub(super) ended: bool,
    /// When it was seen last, seconds since 1970.
    pub(super) seen: u64,
}

impl Sighting {
    /// A flow seen now, as one direction of it looks from outside, and where its sender is.
    pub(super) fn of(flow: &Flow, view: &View, fit: Fit, at: &Located, now: Now) -> Self {
        let [to_target, back] =
            if view.device == flow.original.source { [flow.sent, flow.answered] } else { [flow.answered, flow.sent] };
        let flow = Flow { sent: to_target, answered: back, ..*flow };
        let (contested, opened, ended) = (false, false, false);
        let Located { link, behind, .. } = *at;
        Self { flow, address: view.device, fit, link, behind, contested, opened, ended, seen: now.unix }
    }
}

/// A sighting over time.
#[derive(Clone, Copy, Debug)]
struct Watched {
    sighting: Sighting,
    read: Instant,
    rate: Traffic,
    /// Whether it has been seen to send.
    sending: bool,
}

impl Watched {
    fn new(sighting: Sighting, now: Instant) -> Self {
        // Whoever opens a flow sends.
        Self { sighting, read: now, rate: Traffic::default(), sending: sighting.opened }
    }

    /// Takes in what a later look at the same flow tells.
    fn update(&mut self, later: Sighting, now: Instant) {
        let passed = now.saturating_duration_since(self.read);
        let before = self.sighting.flow.sent;
        // The event of a flow that opens bears no counters.
        let sent = later.flow.sent.or(before);
        if let (Some(before), Some(sent)) = (before, sent)
            && later.flow.sent.is_some()
            && passed >= Duration::from_millis(1)
        {
            self.rate = sent.minus(before).per_second(passed);
            self.sending |= sent.packets > before.packets;
            self.read = now;
        }
        self.sighting = Sighting { flow: Flow { sent, ..later.flow }, ..later };
    }

    fn end(&mut self) {
        (self.sighting.ended, self.rate) = (true, Traffic::default());
    }

    /// Whether nobody else can have made this flow. An address that has changed hands may have been taken by somebody who
    /// wants to be taken for somebody else, so it tells nothing for sure even while it sends.
    fn sure(&self) -> bool {
        !self.sighting.behind && !self.sighting.contested
    }

    fn mark(&self) -> Option<Mark> {
        match self.sighting.fit {
            Fit::Marked(mark) => Some(mark),
            _ => None,
        }
    }

    /// What goes first in the evidence.
    fn weight(&self) -> impl Ord + use<> {
        let Sighting { fit, ended, flow, .. } = self.sighting;
        let total = flow.sent.unwrap_or_default();
        (self.mark().is_some(), fit != Fit::Partly, !ended, self.rate.bytes, total.bytes, total.packets)
    }
}

/// All flows of one device.
#[derive(Debug, Default)]
struct Candidate {
    flows: Vec<Watched>,
    marks: VecSet<Mark>,
}

/// All devices with flows that fit.
#[derive(Debug, Default)]
pub(super) struct Candidates {
    devices: VecMap<Mac, Candidate>,
    /// Marks of senders that are no device or none that is known: the router itself, an address nobody answers to.
    strangers: VecSet<Option<Mark>>,
    /// Those of the look before, until the one under way is over.
    former: VecSet<Option<Mark>>,
}

impl Candidates {
    /// A new look begins: who was unknown may be known now.
    pub(super) fn begin(&mut self) {
        self.former = std::mem::take(&mut self.strangers);
    }

    /// The look is over: who is still unknown has been seen again.
    pub(super) fn finish(&mut self) {
        self.former.clear();
    }

    /// Takes in a flow that fits; tells whether it is new.
    pub(super) fn see(&mut self, mac: Mac, sighting: Sighting, now: Instant) -> bool {
        if self.devices.len() >= MOST && !self.devices.contains_key(&mac) {
            self.strange(sighting.fit);
            return false;
        }
        let most = (MOST_FLOWS_OF_ALL / self.devices.len().max(1)).clamp(1, MOST_FLOWS);
        let candidate = self.devices.entry(mac).or_default();
        if let Fit::Marked(mark) = sighting.fit
            && candidate.marks.len() < MOST_MARKS
        {
            candidate.marks.insert(mark);
        }
        let same = |watched: &&mut Watched| {
            watched.sighting.flow.id == sighting.flow.id && watched.sighting.flow.original == sighting.flow.original
        };
        if let Some(known) = candidate.flows.iter_mut().find(same) {
            known.update(sighting, now);
            return false;
        }
        // An entry of the same tuple that is another one has taken its place.
        for before in &mut candidate.flows {
            if before.sighting.flow.original == sighting.flow.original {
                before.end();
            }
        }
        candidate.flows.push(Watched::new(sighting, now));
        candidate.flows.sort_by_key(|watched| std::cmp::Reverse(watched.weight()));
        candidate.flows.truncate(most);
        true
    }

    /// Takes in a flow that fits, but of nobody who could be blocked.
    pub(super) fn strange(&mut self, fit: Fit) {
        let mark = match fit {
            Fit::Marked(mark) => Some(mark),
            Fit::Fully => None,
            Fit::Partly => return,
        };
        if self.strangers.len() < MOST_MARKS {
            self.strangers.insert(mark);
        }
    }

    /// Whether somebody unknown fits.
    pub(super) fn has_strangers(&self) -> bool {
        !(self.strangers.is_empty() && self.former.is_empty())
    }

    /// Whether anybody fits in full.
    pub(super) fn any_full(&self) -> bool {
        self.full().next().is_some()
    }

    /// The flows to be looked at again.
    pub(super) fn living(&self) -> impl Iterator<Item = Tuple> {
        let flows = self.devices.values().flat_map(|candidate| &candidate.flows);
        flows.filter(|watched| !watched.sighting.ended).map(|watched| watched.sighting.flow.original)
    }

    /// The flow is gone from conntrack: any with this tuple, or the one of this number.
    pub(super) fn end(&mut self, original: &Tuple, id: Option<u32>) {
        let meant = |flow: &Flow| flow.original == *original && id.is_none_or(|id| id == flow.id);
        let flows = self.devices.values_mut().flat_map(|candidate| &mut candidate.flows);
        for watched in flows.filter(|watched| meant(&watched.sighting.flow)) {
            watched.end();
        }
    }

    fn full(&self) -> impl Iterator<Item = (&Mac, &Candidate)> {
        let full = |candidate: &Candidate| candidate.flows.iter().any(|watched| watched.sighting.fit != Fit::Partly);
        self.devices.iter().filter(move |(_, candidate)| full(candidate))
    }

    /// Who may be meant, most likely first. `complete`: everything there is has been looked at.
    pub(super) fn suspects(&self, home: HomeNetwork<'_>, complete: bool) -> Vec<Suspect> {
        let mut full: Vec<_> = self.full().collect();
        let alone = complete && !self.has_strangers() && full.len() == 1;
        if full.is_empty() {
            // With other ports than those named, at least it must be at it.
            let sends = |(_, candidate): &(&Mac, &Candidate)| candidate.flows.iter().any(|watched| watched.sending);
            full = self.devices.iter().filter(sends).collect();
        }
        let mut suspects: Vec<_> = full
            .into_iter()
            .map(|(mac, candidate)| {
                let rate: u64 = candidate.flows.iter().fold(0, |sum, watched| sum.saturating_add(watched.rate.bytes));
                let confidence = self.confidence(*mac, candidate, alone);
                (confidence, rate, suspect(*mac, candidate, confidence, home))
            })
            .collect();
        suspects.sort_by_key(|(confidence, rate, _)| std::cmp::Reverse((*confidence, *rate)));
        suspects.into_iter().map(|(.., suspect)| suspect).collect()
    }

    fn confidence(&self, mac: Mac, candidate: &Candidate, alone: bool) -> Confidence {
        let sure = || candidate.flows.iter().filter(|watched| watched.sure());
        if sure().filter_map(Watched::mark).any(|mark| !self.shared(mac, mark)) {
            return Confidence::Exact;
        }
        // Nothing that is named tells this device from others. That no other fits counts only while it is seen to send:
        // a quiet flow may be all that is left to see of an attack that came from elsewhere.
        let sends =
            |watched: &Watched| watched.sending && !watched.sighting.ended && watched.sighting.fit != Fit::Partly;
        if alone && sure().any(sends) { Confidence::Likely } else { Confidence::Possible }
    }

    /// Whether the mark points to somebody else as well.
    fn shared(&self, mac: Mac, mark: Mark) -> bool {
        let others = self.devices.iter().filter(|(other, _)| **other != mac);
        let strange = |strangers: &VecSet<Option<Mark>>| strangers.contains(&Some(mark));
        strange(&self.strangers)
            || strange(&self.former)
            || others.into_iter().any(|(_, other)| other.marks.contains(&mark))
    }
}

fn suspect(mac: Mac, candidate: &Candidate, confidence: Confidence, home: HomeNetwork<'_>) -> Suspect {
    let inventory = home.inventory;
    let device = inventory.device(mac);
    let name = device.and_then(|device| device.name.clone());
    let mut flows: Vec<&Watched> = candidate.flows.iter().collect();
    flows.sort_by_key(|watched| std::cmp::Reverse(watched.weight()));
    let behind: VecSet<IpAddr> =
        flows.iter().filter(|watched| watched.sighting.behind).map(|watched| watched.sighting.address).collect();
    let evidence = flows.iter().map(|watched| Evidence {
        flow: watched.sighting.flow,
        rate: watched.rate,
        seen: watched.sighting.seen,
    });
    // A machine may have a leg in several networks.
    let interface = flows.first().and_then(|watched| home.network.name_of(watched.sighting.link));
    let interface = interface.or_else(|| device.and_then(|device| device.interface.as_deref()));
    let mut addresses: Vec<IpAddr> = behind.iter().copied().collect();
    addresses.extend(inventory.addresses_of(mac));
    if addresses.is_empty() {
        addresses.extend(flows.first().map(|watched| watched.sighting.address));
    }
    Suspect {
        mac,
        name: if behind.is_empty() { name } else { Some(behind_name(&behind, mac, name)) },
        addresses,
        interface: interface.map(str::to_owned),
        behind: !behind.is_empty(),
        confidence,
        evidence: evidence.collect(),
    }
}

/// A block by Ethernet address hits everybody behind the other router: say so.
fn behind_name(behind: &VecSet<IpAddr>, mac: Mac, name: Option<String>) -> String {
    let router = name.unwrap_or_else(|| mac.to_string());
    let mut addresses = behind.iter();
    match (addresses.next(), addresses.next()) {
        (Some(only), None) => format!("{only} behind router {router}"),
        _ => format!("several devices behind router {router}"),
    }
}

/// An owner of an address that a request names alone, without any flow to show for it.
pub(super) fn owner(address: IpAddr, inventory: &Inventory) -> Option<Suspect> {
    let device = inventory.device(inventory.mac_of(address)?)?;
    Some(Suspect {
        mac: device.mac,
        name: device.name.clone(),
        addresses: device.addresses.clone(),
        interface: device.interface.clone(),
        behind: false,
        confidence: Confidence::Possible,
        evidence: Vec::new(),
    })
}
