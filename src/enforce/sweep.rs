//! Does the block bite? Flows that began before it are cut, wherever they are offloaded to, and must not come back.
//!
//! What is dropped never gets as far as conntrack. So an entry opened by a device's packet that should be dropped is
//! traffic that passes. One opened from outside may well be there, but must not show answers of the device.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use vecset::{VecMap, VecSet};

use super::desired::Owner;
use super::kernel_queries::{BATCH, Query};
use super::left_open::{is_left_open, is_served_at_home};
use super::ruleset::Measure;
use super::target::ExactTarget;
use crate::model::address::is_internal;
use crate::model::{Detail, Flow, Mac, Tuple};
use crate::netlink::conntrack::{By, Filter};

/// How often is cut again what should be gone: packets on their way while the rules changed may have made it anew.
const ROUNDS: u8 = 3;

/// Most flows cut in one go; where there are more, the rest is next, but not for ever.
const MOST_CUT: usize = 4096;
const MOST_GOES: u8 = 32;

/// Most filters by which flows are erased; a list takes as long as some more of them.
const MOST_FILTERS: usize = 4;

/// The addresses of devices, and those of the router.
#[derive(Debug, Default)]
pub(super) struct Addresses {
    pub(super) devices: BTreeMap<IpAddr, Mac>,
    pub(super) router: VecSet<IpAddr>,
}

/// What an owner wants, to be checked; `change` tells apart what it was and has become.
#[derive(Debug)]
pub(super) struct SweepSubject {
    pub(super) owner: Owner,
    pub(super) change: u32,
    pub(super) measure: Measure,
    /// Whether the sweep before has cut all flows it met: what there is now has been opened since.
    pub(super) was_cut: bool,
}

/// Flows that a block should have stopped.
#[derive(Clone, Debug, Default)]
pub struct PassingFlows {
    /// Flows seen when it began.
    pub(super) met: usize,
    /// Flows that did not go.
    pub(super) left: usize,
    /// One of them.
    pub(super) example: Option<Flow>,
    /// The errno with which the kernel did not tell.
    pub(super) unknown: Option<i32>,
    /// The devices from whose addresses flows have been opened since those before were cut: past the rules.
    pub(super) openers: VecSet<Mac>,
}

impl PartialEq for PassingFlows {
    /// What reads the same is the same: what the example has sent so far plays no part.
    fn eq(&self, other: &Self) -> bool {
        self.to_string() == other.to_string()
    }
}

impl Eq for PassingFlows {}

impl fmt::Display for PassingFlows {
    /// `traffic still passes: udp 192.168.1.23:4000 -> 203.0.113.80:53 and 3 more`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(errno) = self.unknown {
            return write!(f, "conntrack can't be read (error {errno}), so traffic may still pass");
        }
        f.write_str("traffic still passes")?;
        if let Some(example) = &self.example {
            write!(f, ": {example}")?;
        }
        match self.met.max(self.left) {
            0 | 1 => Ok(()),
            flows => write!(f, " and {} more", flows - 1),
        }
    }
}

/// One pass over the flows of the devices concerned.
#[derive(Debug)]
pub(super) struct Sweep {
    subjects: Vec<(SweepSubject, PassingFlows)>,
    /// Which of them an address is of interest to.
    concerned: VecMap<IpAddr, Vec<usize>>,
    router: VecSet<IpAddr>,
    /// Whose these addresses are.
    devices: BTreeMap<IpAddr, Mac>,
    queries: VecDeque<Query>,
    /// By what the kernel looks and cuts in one go; nothing: all flows are listed.
    filters: Option<Vec<Filter>>,
    found: Vec<(Tuple, Option<u32>)>,
    /// The numbers of the flows found before that have been cut.
    cut: VecSet<u32>,
    rounds: u8,
    goes: u8,
}

impl Sweep {
    /// `erases`: whether flows may be looked for by erasing them, of which those may not be told that are older than the
    /// daemon. That is no loss where what was there before the rules does not count.
    pub(super) fn new(subjects: Vec<SweepSubject>, addresses: &Addresses, erases: bool) -> Self {
        let mut by_device: VecMap<Mac, Vec<usize>> = VecMap::new();
        for (number, subject) in subjects.iter().enumerate() {
            for mac in &subject.measure.devices {
                by_device.entry(*mac).or_default().push(number);
            }
        }
        let mut concerned = VecMap::new();
        for (address, mac) in &addresses.devices {
            let mut numbers = by_device.get(mac).cloned().unwrap_or_default();
            numbers.retain(|number| {
                subjects.get(*number).is_some_and(|subject| subject.measure.speaks_of(*mac, *address))
            });
            if !numbers.is_empty() {
                concerned.insert(*address, numbers);
            }
        }
        let mut sweep = Self {
            subjects: subjects.into_iter().map(|subject| (subject, PassingFlows::default())).collect(),
            concerned,
            router: addresses.router.clone(),
            devices: addresses.devices.clone(),
            queries: VecDeque::new(),
            filters: None,
            found: Vec::new(),
            cut: VecSet::new(),
            rounds: 1,
            goes: 1,
        };
        sweep.filters = if erases { sweep.filters() } else { None };
        sweep.look();
        sweep
    }

    /// The filters that let through just what the subjects are about, if there are few.
    fn filters(&self) -> Option<Vec<Filter>> {
        let mut filters: Vec<Filter> = Vec::new();
        for (address, numbers) in &self.concerned {
            let IpAddr::V4(device) = address else { return None };
            for (subject, _) in numbers.iter().filter_map(|number| self.subjects.get(*number)) {
                let exact = subject.measure.target.as_ref()?.exact_v4(MOST_FILTERS)?;
                let targets = exact.into_iter().filter(|target| !self.router.contains(&IpAddr::V4(target.address)));
                for ExactTarget { address: answerer, protocol, port } in targets {
                    let by = |by| Filter { by, sender: *device, answerer, protocol, port };
                    let both = [By::Original, By::Reply].map(by);
                    filters.retain(|filter| !both.contains(filter));
                    filters.extend(both);
                }
            }
            if filters.len() > MOST_FILTERS {
                return None;
            }
        }
        Some(filters)
    }

    /// What to ask next; nothing: it is over.
    pub(super) fn poll_query(&mut self) -> Option<Query> {
        let again = self.rounds < ROUNDS && self.goes < MOST_GOES;
        if self.queries.is_empty() && !self.found.is_empty() && again {
            self.rounds += u8::from(self.found.len() < MOST_CUT);
            self.goes += 1;
            let found = std::mem::take(&mut self.found);
            if self.filters.is_none() {
                self.queries.extend(found.chunks(BATCH).map(|batch| Query::Cut(batch.to_vec())));
            }
            // Where there were more than could be cut, those found next need not be new.
            let all = found.len() < MOST_CUT;
            self.cut = found.iter().filter(|_| all).filter_map(|(_, id)| *id).collect();
            for (subject, passing) in &mut self.subjects {
                passing.left = 0;
                if !subject.was_cut {
                    passing.openers.clear();
                }
            }
            self.look();
        }
        self.queries.pop_front()
    }

    /// Takes a flow that is listed, or has been erased.
    pub(super) fn handle_flow(&mut self, flow: &Flow) {
        let mut meant = false;
        for (packet, passes) in directions(flow) {
            let Some(numbers) = self.concerned.get(&packet.source) else { continue };
            let opener = self.devices.get(&packet.source).copied().filter(|_| packet.source == flow.original.source);
            for number in numbers {
                let Some((subject, passing)) = self.subjects.get_mut(*number) else { continue };
                if !subject.measure.covers(&packet, &self.router) {
                    continue;
                }
                meant = true;
                if passes {
                    passing.met += usize::from(self.goes == 1);
                    passing.left += 1;
                    passing.example = Some(*flow);
                    let is_new = match self.goes {
                        1 => subject.was_cut,
                        _ => !self.cut.is_empty() && !self.cut.contains(&flow.id),
                    };
                    passing.openers.extend(opener.filter(|_| is_new));
                }
            }
        }
        if meant && self.found.len() < MOST_CUT {
            self.found.push((flow.original, Some(flow.id)));
        }
    }

    /// A list of flows is complete, or the kernel refuses to give it.
    pub(super) fn handle_end(&mut self, outcome: Result<(), i32>) {
        if let Err(errno) = outcome {
            for (_, passing) in &mut self.subjects {
                passing.unknown = Some(errno);
            }
        }
    }

    /// Flows have been erased, or can't be in this way: then all are listed.
    pub(super) fn handle_erased(&mut self, outcome: Result<(), i32>) {
        if outcome.is_err() && self.filters.take().is_some() {
            self.subjects.iter_mut().for_each(|(_, passing)| passing.left = 0);
            self.queries.clear();
            self.look();
        }
    }

    /// Returns what was seen for each.
    pub(super) fn findings(self) -> Vec<(SweepSubject, PassingFlows)> {
        self.subjects
    }

    fn look(&mut self) {
        match &self.filters {
            Some(filters) => self.queries.extend(filters.iter().copied().map(Query::Erase)),
            None if self.concerned.is_empty() => {}
            None => self.queries.push_back(Query::Flows),
        }
    }
}

impl Measure {
    /// Whether it may be about packets of this device from this address.
    fn speaks_of(&self, mac: Mac, address: IpAddr) -> bool {
        let is_meant = self.narrowed.get(&mac).is_none_or(|addresses| addresses.contains(&address));
        is_meant && self.target.as_ref().is_none_or(|target| target.speaks_of(address))
    }

    /// Whether the packet of a device must not pass.
    fn covers(&self, packet: &Tuple, router: &VecSet<IpAddr>) -> bool {
        match &self.target {
            Some(target) => target.covers(packet) && !router.contains(&packet.destination),
            None => {
                let to_router = is_left_open(packet) && is_received(packet.destination, router);
                // Where conntrack sees what bridges forward, it sees what a server of the home is asked.
                let to_server = is_served_at_home(packet) && is_internal(&IpNet::from(packet.destination));
                !to_router && !to_server
            }
        }
    }
}

/// Whether the router takes it in rather than forwarding it.
fn is_received(destination: IpAddr, router: &VecSet<IpAddr>) -> bool {
    let broadcast = matches!(destination, IpAddr::V4(v4) if v4.is_broadcast());
    broadcast || destination.is_multicast() || router.contains(&destination)
}

/// The packets of a flow as the router forwards them, between its two translations, each with whether they have passed:
/// what its opener sends, and what is sent back.
fn directions(flow: &Flow) -> [(Tuple, bool); 2] {
    let (opener, answerer) = (flow.original, flow.reply);
    let there = Tuple { destination: answerer.source, detail: between(opener.detail, answerer.detail), ..opener };
    let back = Tuple { destination: opener.source, detail: between(answerer.detail, opener.detail), ..answerer };
    [(there, true), (back, flow.answered.is_some_and(|answered| answered.packets > 0))]
}

fn between(from: Detail, to: Detail) -> Detail {
    match (from, to) {
        (Detail::Ports { source, .. }, Detail::Ports { source: destination, .. }) => {
            Detail::Ports { source, destination }
        }
        _ => from,
    }
}
