//! When two requests of one client speak of the same attack (RFC 9132 section 4.4.1.3).
//!
//! The RFC compares targets only. Behind one address several devices may attack the same target, and a request about
//! the second must not end the protection against the first; so here the sources have to intersect too.

use ipnet::IpNet;

use crate::model::Scope;

/// Prefixes told of one conflict; a message has to hold them.
pub(super) const MOST_SHARED: usize = 16;

/// The first target prefixes both scopes name; none if their targets or their sources are disjoint.
pub(super) fn shared_targets(one: &Scope, other: &Scope) -> Vec<IpNet> {
    if common(&one.source_prefixes, &other.source_prefixes).is_empty() || !endpoints_meet(one, other) {
        return Vec::new();
    }
    let mut shared = common(&one.target_prefixes, &other.target_prefixes);
    shared.truncate(MOST_SHARED);
    shared
}

/// The smaller of every two prefixes that intersect, each once. Prefixes are nested or apart, so in order each needs to be
/// held only against the widest before it: a long list costs no more than sorting it.
fn common(one: &[IpNet], other: &[IpNet]) -> Vec<IpNet> {
    let mut all: Vec<(IpNet, bool)> = one.iter().map(|net| (*net, true)).collect();
    all.extend(other.iter().map(|net| (*net, false)));
    all.sort_unstable();
    let (mut widest_of_one, mut widest_of_other) = (None, None);
    let mut shared = Vec::new();
    for (net, of_one) in all {
        let (own, opposite) =
            if of_one { (&mut widest_of_one, &widest_of_other) } else { (&mut widest_of_other, &widest_of_one) };
        let within = |widest: &Option<IpNet>| widest.is_some_and(|widest: IpNet| widest.contains(&net));
        if within(opposite) {
            shared.push(net);
        }
        if !within(own) {
            *own = Some(net);
        }
    }
    shared.dedup();
    shared
}

/// Ports and ICMP types name different flows: a scope that names neither means any, one that names some means only those.
fn endpoints_meet(one: &Scope, other: &Scope) -> bool {
    let any = |scope: &Scope| scope.source_ports.is_empty() && scope.source_icmp_types.is_empty();
    any(one)
        || any(other)
        || one.source_ports.iter().any(|a| other.source_ports.iter().any(|b| a.intersects(*b)))
        || one.source_icmp_types.iter().any(|a| other.source_icmp_types.iter().any(|b| a.intersects(*b)))
}
