//! How to look for what a request names with the least work for the kernel.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::model::protocol::has_ports;
use crate::model::{Detail, PortRange, Scope, Tuple};

/// Most entries looked up one by one; beyond that a list is cheaper.
const MOST_LOOKUPS: usize = 64;
/// Widest range of ports looked up port by port.
const WIDEST: u16 = 16;

/// The tuples of all entries the request can mean, where it names few enough. The kernel finds an entry by either
/// direction, so one tuple serves flows opened from inside and from outside alike.
pub(super) fn lookups(scope: &Scope) -> Option<Vec<Tuple>> {
    let sources = hosts(&scope.source_prefixes)?;
    let targets = hosts(&scope.target_prefixes)?;
    let from = ports(&scope.source_ports)?;
    let to = ports(&scope.target_ports)?;
    let protocols = &scope.target_protocols;
    if protocols.is_empty() || !protocols.iter().all(|protocol| has_ports(*protocol)) {
        return None;
    }
    let count = [sources.len(), targets.len(), protocols.len(), from.len(), to.len()];
    if count.iter().fold(2_usize, |all, some| all.saturating_mul(*some)) > MOST_LOOKUPS {
        return None;
    }
    let mut tuples = Vec::new();
    for (source, target) in pairs(&sources, &targets).filter(|(source, target)| source.is_ipv4() == target.is_ipv4()) {
        for (protocol, (from, to)) in pairs(protocols, &pairs(&from, &to).collect::<Vec<_>>()) {
            // Behind NAT only the answers bear what the provider sees; a device's own address only its own packets.
            let ports = |source, destination| Detail::Ports { source, destination };
            tuples.push(Tuple { source: target, destination: source, protocol, detail: ports(to, from), zone: 0 });
            tuples.push(Tuple { source, destination: target, protocol, detail: ports(from, to), zone: 0 });
        }
    }
    (!tuples.is_empty()).then_some(tuples)
}

fn pairs<A: Copy, B: Copy>(some: &[A], others: &[B]) -> impl Iterator<Item = (A, B)> {
    some.iter().flat_map(move |one| others.iter().map(move |other| (*one, *other)))
}

/// Whether there can be an entry that the request means: one family has sources and targets.
pub(super) fn is_possible(scope: &Scope) -> bool {
    let any = |prefixes: &[IpNet], ipv4| prefixes.iter().any(|prefix| prefix.addr().is_ipv4() == ipv4);
    [true, false].into_iter().any(|ipv4| any(&scope.source_prefixes, ipv4) && any(&scope.target_prefixes, ipv4))
}

fn hosts(prefixes: &[IpNet]) -> Option<Vec<IpAddr>> {
    let host = |net: &IpNet| (net.prefix_len() == net.max_prefix_len()).then(|| net.addr());
    prefixes.iter().map(host).collect()
}

fn ports(ranges: &[PortRange]) -> Option<Vec<u16>> {
    let wide = |range: &PortRange| range.upper() - range.lower() >= WIDEST;
    if ranges.is_empty() || ranges.len() > usize::from(WIDEST) || ranges.iter().any(wide) {
        return None;
    }
    Some(ranges.iter().flat_map(|range| range.lower()..=range.upper()).collect())
}
