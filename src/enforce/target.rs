//! What a mitigation scope means for the packets of a device that is acted upon.
//!
//! Source prefixes and ports play no part: they describe the attack as the provider sees it, after NAT, where every new
//! flow gets another port. Attribution has already turned them into the device; from there on all that the device sends
//! to the attacked target is meant.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;

use super::rule::Term;
use crate::model::protocol::{ICMP, ICMPV6, WITH_PORTS, has_ports};
use crate::model::{Detail, Scope, Tuple};
use crate::netlink::conntrack::Family;

/// The traffic to be dropped, by family of the target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DropFilter {
    scope: Scope,
    v4: Side,
    v6: Side,
}

/// One family's part; without prefixes there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Side {
    /// Sorted and disjoint.
    prefixes: Vec<IpNet>,
    kinds: Vec<Kind>,
}

/// One address, and what is meant of the packets to it.
#[derive(Clone, Copy, Debug)]
pub(super) struct ExactTarget {
    pub(super) address: Ipv4Addr,
    /// Nothing: all.
    pub(super) protocol: Option<u8>,
    /// Nothing: all.
    pub(super) port: Option<u16>,
}

/// Packets told apart by protocol. Ranges are sorted, disjoint and include both ends.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    Any,
    Protocols(Vec<u8>),
    Ports { protocols: Vec<u8>, ports: Vec<(u16, u16)> },
    IcmpTypes(Vec<(u16, u16)>),
}

/// What is meant of one protocol.
#[derive(Clone, Copy, Debug)]
enum Part<'a> {
    Nothing,
    /// These ports or types; later fragments, which bear none, are not meant.
    Ranges(&'a [(u16, u16)]),
    Everything,
}

impl DropFilter {
    /// Works out what a block of this scope drops.
    pub fn new(scope: &Scope) -> Self {
        let prefixes = IpNet::aggregate(&scope.target_prefixes);
        let (mut v4, mut v6): (Vec<_>, Vec<_>) = prefixes.into_iter().partition(|p| p.addr().is_ipv4());
        v4.sort();
        v6.sort();
        Self {
            scope: scope.clone(),
            v4: Side { prefixes: v4, kinds: kinds(scope, ICMP) },
            v6: Side { prefixes: v6, kinds: kinds(scope, ICMPV6) },
        }
    }

    /// Whether it was made of this scope.
    pub(super) fn is_of(&self, scope: &Scope) -> bool {
        self.scope == *scope
    }

    /// Whether a packet with these addresses, sent by a device, is meant.
    pub(super) fn covers(&self, packet: &Tuple) -> bool {
        let side = if packet.destination.is_ipv4() { &self.v4 } else { &self.v6 };
        side.contains(packet.destination) && side.kinds.iter().any(|kind| kind.covers(packet))
    }

    /// Whether every packet meant here is meant there as well.
    pub fn is_within(&self, other: &Self) -> bool {
        self.v4.is_within(&other.v4, ICMP) && self.v6.is_within(&other.v6, ICMPV6)
    }

    /// Whether any address is a target of both.
    pub fn meets(&self, other: &Self) -> bool {
        meet(&self.v4.prefixes, &other.v4.prefixes) || meet(&self.v6.prefixes, &other.v6.prefixes)
    }

    /// Whether targets of this family are meant.
    pub(super) fn speaks_of(&self, device: IpAddr) -> bool {
        let side = if device.is_ipv4() { &self.v4 } else { &self.v6 };
        !side.prefixes.is_empty()
    }

    /// The families it has targets of.
    pub(super) fn families(&self) -> impl Iterator<Item = Family> + use<> {
        let sides = [(Family::V4, &self.v4), (Family::V6, &self.v6)];
        sides.map(|(family, side)| (!side.prefixes.is_empty()).then_some(family)).into_iter().flatten()
    }

    /// All that is meant over IPv4, where it can be said with at most so many.
    pub(super) fn exact_v4(&self, most: usize) -> Option<Vec<ExactTarget>> {
        let host = |prefix: &IpNet| match prefix {
            IpNet::V4(net) if net.prefix_len() == 32 => Some(net.addr()),
            _ => None,
        };
        let hosts: Vec<Ipv4Addr> = self.v4.prefixes.iter().take(most + 1).map(host).collect::<Option<_>>()?;
        let mut traffic = Vec::new();
        for kind in &self.v4.kinds {
            traffic.extend(kind.exact()?);
        }
        let count = hosts.len().saturating_mul(traffic.len());
        let of = |address| {
            traffic.iter().map(move |(protocol, port)| ExactTarget { address, protocol: *protocol, port: *port })
        };
        (count <= most).then(|| hosts.into_iter().flat_map(of).collect())
    }

    /// The targets of a family; sorted and disjoint.
    pub(super) fn prefixes(&self, family: Family) -> &[IpNet] {
        match family {
            Family::V4 => &self.v4.prefixes,
            Family::V6 => &self.v6.prefixes,
        }
    }

    /// How much the rules for a family say: protocols, ports and types, and one for each rule.
    pub(super) fn parts(&self, family: Family) -> usize {
        let side = match family {
            Family::V4 => &self.v4,
            Family::V6 => &self.v6,
        };
        let parts = side.kinds.iter().map(|kind| match kind {
            Kind::Any => 1,
            Kind::Protocols(protocols) => 1 + protocols.len(),
            Kind::Ports { protocols, ports } => 1 + protocols.len() + ports.len(),
            Kind::IcmpTypes(types) => 1 + types.len(),
        });
        parts.sum()
    }

    /// What selects the traffic to targets of a family, one rule each; `looks_at_target`: among that to any.
    pub(super) fn matches(&self, family: Family, looks_at_target: bool) -> Vec<Vec<Term>> {
        let side = match family {
            Family::V4 => &self.v4,
            Family::V6 => &self.v6,
        };
        let kinds = side.kinds.iter().map(|kind| {
            let targets = looks_at_target.then(|| Term::Targets(family, side.prefixes.clone()));
            targets.into_iter().chain(kind.terms(family)).collect()
        });
        if side.prefixes.is_empty() { Vec::new() } else { kinds.collect() }
    }
}

impl Side {
    fn contains(&self, address: IpAddr) -> bool {
        self.contains_all_of(&IpNet::from(address))
    }

    /// Prefixes that make up a larger one have become that one: one of ours has all of `other`, or some of it is missing.
    fn contains_all_of(&self, other: &IpNet) -> bool {
        let after = self.prefixes.partition_point(|prefix| prefix.network() <= other.network());
        after.checked_sub(1).and_then(|last| self.prefixes.get(last)).is_some_and(|prefix| prefix.contains(other))
    }

    /// Whether all that is meant here is meant there, in a family whose ICMP has this number.
    fn is_within(&self, other: &Self, icmp: u8) -> bool {
        let of_protocol = |protocol| self.part(protocol, icmp).is_within(other.part(protocol, icmp));
        self.prefixes.iter().all(|prefix| other.contains_all_of(prefix))
            && (self.prefixes.is_empty() || (0..=u8::MAX).all(of_protocol))
    }

    fn part(&self, protocol: u8, icmp: u8) -> Part<'_> {
        let of = |kind| match kind {
            &Kind::Any => Some(Part::Everything),
            Kind::Protocols(protocols) => protocols.contains(&protocol).then_some(Part::Everything),
            Kind::Ports { protocols, ports } => protocols.contains(&protocol).then_some(Part::Ranges(ports)),
            Kind::IcmpTypes(types) => (protocol == icmp).then_some(Part::Ranges(types)),
        };
        self.kinds.iter().find_map(of).unwrap_or(Part::Nothing)
    }
}

impl Part<'_> {
    fn is_within(self, other: Part<'_>) -> bool {
        let within =
            |(low, high): &(u16, u16), others: &[(u16, u16)]| others.iter().any(|(l, h)| l <= low && high <= h);
        match (self, other) {
            (Part::Nothing, _) | (_, Part::Everything) => true,
            (Part::Ranges(own), Part::Ranges(others)) => own.iter().all(|range| within(range, others)),
            (Part::Ranges(_) | Part::Everything, _) => false,
        }
    }
}

impl Kind {
    fn covers(&self, packet: &Tuple) -> bool {
        let within = |ranges: &[(u16, u16)], value| ranges.iter().any(|(low, high)| (*low..=*high).contains(&value));
        match (self, packet.detail) {
            (Self::Any, _) => true,
            (Self::Protocols(protocols), _) => protocols.contains(&packet.protocol),
            (Self::Ports { protocols, ports }, Detail::Ports { destination, .. }) => {
                protocols.contains(&packet.protocol) && within(ports, destination)
            }
            (Self::IcmpTypes(types), Detail::Icmp { kind, .. }) => within(types, kind.into()),
            _ => false,
        }
    }

    /// As protocols and ports, where each is one.
    fn exact(&self) -> Option<Vec<(Option<u8>, Option<u16>)>> {
        match self {
            Self::Any => Some(vec![(None, None)]),
            Self::Protocols(protocols) => Some(protocols.iter().map(|protocol| (Some(*protocol), None)).collect()),
            Self::Ports { protocols, ports } => match ports.as_slice() {
                [(low, high)] if low == high => {
                    Some(protocols.iter().map(|protocol| (Some(*protocol), Some(*low))).collect())
                }
                _ => None,
            },
            Self::IcmpTypes(_) => None,
        }
    }

    fn terms(&self, family: Family) -> Vec<Term> {
        match self {
            Self::Any => Vec::new(),
            Self::Protocols(protocols) => vec![Term::Protocols(protocols.clone())],
            Self::Ports { protocols, ports } => vec![Term::Protocols(protocols.clone()), Term::Ports(ports.clone())],
            Self::IcmpTypes(types) => vec![Term::IcmpTypes(family, types.clone())],
        }
    }
}

/// In how many rules a block of this scope names each of its target prefixes, at most.
pub fn rules_per_target(scope: &Scope) -> usize {
    [ICMP, ICMPV6].map(|icmp| kinds(scope, icmp).len()).into_iter().max().unwrap_or_default()
}

/// What the scope's protocols, ports and ICMP types select in a family whose ICMP has this number. Ports and types
/// restrict only the protocols that have them; where no protocol is named they imply theirs.
fn kinds(scope: &Scope, icmp: u8) -> Vec<Kind> {
    let ports = merged(scope.target_ports.iter().map(|range| (range.lower(), range.upper())));
    let types = merged(scope.source_icmp_types.iter().map(|range| (range.lower().into(), range.upper().into())));
    let mut named = scope.target_protocols.clone();
    if named.is_empty() {
        if ports.is_empty() && types.is_empty() {
            return vec![Kind::Any];
        }
        if !ports.is_empty() || !scope.source_ports.is_empty() {
            named.extend(WITH_PORTS);
        }
        if !types.is_empty() {
            named.push(icmp);
        }
    }
    named.sort_unstable();
    named.dedup();
    let mut kinds = Vec::new();
    if !ports.is_empty() {
        let protocols: Vec<u8> = named.extract_if(.., |protocol| has_ports(*protocol)).collect();
        if !protocols.is_empty() {
            kinds.push(Kind::Ports { protocols, ports });
        }
    }
    if !types.is_empty() && named.contains(&icmp) {
        named.retain(|protocol| *protocol != icmp);
        kinds.push(Kind::IcmpTypes(types));
    }
    if !named.is_empty() {
        kinds.push(Kind::Protocols(named));
    }
    kinds
}

fn merged(ranges: impl Iterator<Item = (u16, u16)>) -> Vec<(u16, u16)> {
    let mut sorted: Vec<_> = ranges.collect();
    sorted.sort_unstable();
    let mut merged: Vec<(u16, u16)> = Vec::with_capacity(sorted.len());
    for (low, high) in sorted {
        match merged.last_mut() {
            Some(last) if low <= last.1.saturating_add(1) => last.1 = last.1.max(high),
            _ => merged.push((low, high)),
        }
    }
    merged
}

/// Whether two sorted lists of disjoint prefixes share an address.
fn meet(one: &[IpNet], other: &[IpNet]) -> bool {
    let (mut one, mut other) = (one.iter().peekable(), other.iter().peekable());
    while let (Some(a), Some(b)) = (one.peek(), other.peek()) {
        if a.contains(*b) || b.contains(*a) {
            return true;
        }
        if a.network() < b.network() {
            one.next()
        } else {
            other.next()
        };
    }
    false
}
