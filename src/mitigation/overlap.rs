//! When two requests of one client speak of the same attack (RFC 9132 section 4.4.1.3).
//!
//! The RFC compares targets only. Behind one address several devices may attack the same target, and a request about
//! the second must not end the protection against the first; so here the sources have to intersect too.

use ipnet::IpNet;

use crate::scope::Scope;

/// The target prefixes both scopes speak of; none if their targets or their sources are disjoint.
pub(super) fn shared_targets(one: &Scope, other: &Scope) -> Vec<IpNet> {
    if common(&one.source_prefixes, &other.source_prefixes).is_empty() || !endpoints_meet(one, other) {
        return Vec::new();
    }
    common(&one.target_prefixes, &other.target_prefixes)
}

/// Whether both name the very same targets, whatever their sources.
pub(super) fn same_targets(one: &Scope, other: &Scope) -> bool {
    one.target_prefixes == other.target_prefixes
        && one.target_ports == other.target_ports
        && one.target_protocols == other.target_protocols
}

/// The smaller of every two prefixes that intersect, each once.
fn common(one: &[IpNet], other: &[IpNet]) -> Vec<IpNet> {
    let mut shared: Vec<IpNet> = one.iter().flat_map(|a| other.iter().filter_map(|b| intersection(a, b))).collect();
    shared.sort_unstable();
    shared.dedup();
    shared
}

fn intersection(a: &IpNet, b: &IpNet) -> Option<IpNet> {
    if a.contains(b) {
        Some(*b)
    } else if b.contains(a) {
        Some(*a)
    } else {
        None
    }
}

/// Ports and ICMP types name different flows: a scope that names neither means any, one that names some means only those.
fn endpoints_meet(one: &Scope, other: &Scope) -> bool {
    let any = |scope: &Scope| scope.source_ports.is_empty() && scope.source_icmp_types.is_empty();
    any(one)
        || any(other)
        || one.source_ports.iter().any(|a| other.source_ports.iter().any(|b| a.intersects(*b)))
        || one.source_icmp_types.iter().any(|a| other.source_icmp_types.iter().any(|b| a.intersects(*b)))
}
