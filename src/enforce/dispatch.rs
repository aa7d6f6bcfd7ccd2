//! Which rules a packet meets: by its target, in one look, however much is in force.
//!
//! Targets overlap, so the space of addresses is cut into ranges that are targets of the same mitigations. A map leads from
//! each range to the chain of those mitigations. One that shares no target has a chain of its own, named by its number.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::rc::Rc;

use vecset::{VecMap, VecSet};

use super::chain_name::{ChainName, Map, Owners, Purpose};
use super::target::DropFilter;
use crate::model::MitigationId;
use crate::netlink::conntrack::Family;

/// Most that the rules of a family say, over all chains: protocols, ports and types. Where overlaps are so many that it were
/// more, one chain looks at the targets of each mitigation in turn.
const MOST_SAID: usize = 8192;

/// Targets from one address to another, all of the same mitigations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Piece {
    pub(super) first: IpAddr,
    pub(super) last: IpAddr,
    pub(super) chain: ChainName,
}

/// What mitigations are about.
type Targets = VecMap<MitigationId, Rc<DropFilter>>;

/// How packets get to the rules of some mitigations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Dispatch {
    /// By map, in order.
    pieces: VecMap<Map, Vec<Piece>>,
    chains: VecMap<(Map, Vec<MitigationId>), Owners>,
}

impl Dispatch {
    /// Sorts these targets; groups of mitigations that were there before keep their chains.
    pub(super) fn new(purpose: Purpose, targets: &Targets, before: &Self) -> Self {
        let mut dispatch = Self::default();
        for family in [Family::V4, Family::V6] {
            let ranges = ranges(targets, family);
            if !ranges.is_empty() {
                dispatch.add(Map { purpose, family }, ranges, targets, before);
            }
        }
        dispatch
    }

    fn add(&mut self, map: Map, mut ranges: Vec<Range>, targets: &Targets, before: &Self) {
        let groups: VecSet<&Vec<MitigationId>> = ranges.iter().map(|range| &range.owners).collect();
        let says = |id| targets.get(id).map_or(0, |target| target.parts(map.family));
        if groups.iter().flat_map(|owners| owners.iter()).map(says).sum::<usize>() > MOST_SAID {
            let owners: VecSet<MitigationId> = ranges.iter().flat_map(|range| range.owners.iter().copied()).collect();
            let owners: Vec<MitigationId> = owners.iter().copied().collect();
            self.chains.insert((map, owners.clone()), Owners::All);
            ranges = vec![Range { first: 0, last: most(map.family), owners }];
        } else {
            self.name(map, groups.iter().map(|owners| (*owners).clone()), before);
        }
        let piece = |range: Range| {
            let owners = self.chains.get(&(map, range.owners)).copied().unwrap_or(Owners::All);
            let chain = ChainName::Of(map, owners);
            Piece { first: address(map.family, range.first), last: address(map.family, range.last), chain }
        };
        let pieces = ranges.into_iter().map(piece).collect();
        self.pieces.insert(map, pieces);
    }

    /// Finds a name for each group that has none.
    fn name(&mut self, map: Map, groups: impl Iterator<Item = Vec<MitigationId>>, before: &Self) {
        let mut fresh = Vec::new();
        for owners in groups {
            let known = before.chains.get(&(map, owners.clone())).copied().filter(|owners| *owners != Owners::All);
            match (owners.as_slice(), known) {
                ([one], _) => drop(self.chains.insert((map, vec![*one]), Owners::One(*one))),
                (_, Some(known)) => drop(self.chains.insert((map, owners), known)),
                (_, None) => fresh.push(owners),
            }
        }
        // A packet on its way by the rules of before must not meet those of now in a chain of the same name.
        let taken: VecSet<Owners> = self.chains.values().chain(before.chains.values()).copied().collect();
        let free = (1..).map(Owners::Several).filter(|owners| !taken.contains(owners));
        self.chains.extend(fresh.into_iter().map(|owners| (map, owners)).zip(free));
    }

    /// The maps there is something in, with what is in them, in order.
    pub(super) fn maps(&self) -> impl Iterator<Item = (Map, &[Piece])> {
        self.pieces.iter().map(|(map, pieces)| (*map, pieces.as_slice()))
    }

    /// The chains they lead to, each with its mitigations in order.
    pub(super) fn chains(&self) -> impl Iterator<Item = (Map, Owners, &[MitigationId])> {
        self.chains.iter().map(|((map, ids), owners)| (*map, *owners, ids.as_slice()))
    }
}

/// Addresses from one to another as numbers, and whose targets they are.
#[derive(Debug)]
struct Range {
    first: u128,
    last: u128,
    owners: Vec<MitigationId>,
}

/// Cuts the addresses of a family where the targets of any mitigation begin or end.
fn ranges(targets: &Targets, family: Family) -> Vec<Range> {
    let mut bounds: Vec<(u128, MitigationId, bool)> = Vec::new();
    for (id, target) in targets {
        for prefix in target.prefixes(family) {
            bounds.push((number(prefix.network()), *id, true));
            // Nothing comes after the last of all addresses.
            bounds.extend(number(prefix.broadcast()).checked_add(1).map(|next| (next, *id, false)));
        }
    }
    bounds.sort_unstable();
    let mut ranges: Vec<Range> = Vec::new();
    let mut open: VecMap<MitigationId, i32> = VecMap::new();
    let mut begins = 0;
    let mut rest = bounds.iter().peekable();
    while let Some((at, id, starts)) = rest.next() {
        let count = open.entry(*id).or_default();
        *count += if *starts { 1 } else { -1 };
        if *count == 0 {
            open.remove(id);
        }
        let next = rest.peek().map(|(next, ..)| *next);
        begins = *at.max(&begins);
        if next == Some(*at) || open.is_empty() {
            continue;
        }
        let last = next.map_or_else(|| most(family), |next| next - 1);
        let owners: Vec<MitigationId> = open.keys().copied().collect();
        match ranges.last_mut() {
            Some(range) if range.last.checked_add(1) == Some(begins) && range.owners == owners => range.last = last,
            _ => ranges.push(Range { first: begins, last, owners }),
        }
    }
    ranges
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u32::from(address).into(),
        IpAddr::V6(address) => address.into(),
    }
}

fn address(family: Family, number: u128) -> IpAddr {
    match family {
        Family::V4 => Ipv4Addr::from(u32::try_from(number).unwrap_or(u32::MAX)).into(),
        Family::V6 => Ipv6Addr::from(number).into(),
    }
}

/// The last address of a family.
fn most(family: Family) -> u128 {
    match family {
        Family::V4 => u32::MAX.into(),
        Family::V6 => u128::MAX,
    }
}
