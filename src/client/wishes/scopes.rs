//! What scopes have to do with each other: which can't stand beside each other at a router, what covers what, and how one is made
//! of several, or several of one.

use ipnet::IpNet;

use crate::model::{PortRange, Range, Scope};
use crate::signal::body::{Lifetime, MitigationRequest};

/// Items of one list that a router has to take.
const MOST_ITEMS: usize = 256;

/// Whether a target of one is a target of the other: then a router may keep only the younger request (RFC 9132 section 4.4.1.3).
/// Ours does where the sources meet as well.
pub(super) fn overlap(one: &Scope, other: &Scope) -> bool {
    intersect(&one.target_prefixes, &other.target_prefixes)
}

/// Whether a source of one may be a source of the other.
pub(super) fn sources_meet(one: &Scope, other: &Scope) -> bool {
    let any = |scope: &Scope| scope.source_ports.is_empty() && scope.source_icmp_types.is_empty();
    let meet = |one: &[PortRange], other: &[PortRange]| one.iter().any(|a| other.iter().any(|b| a.intersects(*b)));
    let ends_meet = any(one)
        || any(other)
        || meet(&one.source_ports, &other.source_ports)
        || one.source_icmp_types.iter().any(|a| other.source_icmp_types.iter().any(|b| a.intersects(*b)));
    intersect(&one.source_prefixes, &other.source_prefixes) && ends_meet
}

/// Whether a request for one concerns traffic that the other is about.
pub(super) fn serves(one: &Scope, other: &Scope) -> bool {
    overlap(one, other) && sources_meet(one, other)
}

fn intersect(one: &[IpNet], other: &[IpNet]) -> bool {
    one.iter().any(|a| other.iter().any(|b| a.contains(b) || b.contains(a)))
}

/// Whether all traffic of `part` is traffic of `whole`.
pub(super) fn covers(whole: &Scope, part: &Scope) -> bool {
    let within = |whole: &[IpNet], part: &[IpNet]| part.iter().all(|net| whole.iter().any(|wide| wide.contains(net)));
    within(&whole.target_prefixes, &part.target_prefixes)
        && within(&whole.source_prefixes, &part.source_prefixes)
        && any_or(&whole.target_protocols, &part.target_protocols, |wide, one| wide == one)
        && any_or(&whole.target_ports, &part.target_ports, |wide, one| range_within(*wide, *one))
        && any_or(&whole.source_ports, &part.source_ports, |wide, one| range_within(*wide, *one))
        && any_or(&whole.source_icmp_types, &part.source_icmp_types, |wide, one| range_within(*wide, *one))
}

/// Empty lists mean any.
fn any_or<T>(whole: &[T], part: &[T], within: impl Fn(&T, &T) -> bool) -> bool {
    whole.is_empty() || (!part.is_empty() && part.iter().all(|one| whole.iter().any(|wide| within(wide, one))))
}

fn range_within<T: Copy + PartialOrd>(wide: Range<T>, one: Range<T>) -> bool {
    wide.contains(one.lower()) && wide.contains(one.upper())
}

/// The smallest scope that covers both.
pub(super) fn union(one: &Scope, other: &Scope) -> Scope {
    if covers(one, other) {
        return one.clone();
    }
    if covers(other, one) {
        return other.clone();
    }
    let prefixes = |a: &[IpNet], b: &[IpNet]| IpNet::aggregate(&[a, b].concat());
    let mut protocols = both(&one.target_protocols, &other.target_protocols);
    protocols.sort_unstable();
    protocols.dedup();
    let texts = |a: &[String], b: &[String]| {
        let mut all = [a, b].concat();
        all.sort_unstable();
        all.dedup();
        all
    };
    Scope {
        target_prefixes: prefixes(&one.target_prefixes, &other.target_prefixes),
        target_ports: ranges(both(&one.target_ports, &other.target_ports)),
        target_protocols: protocols,
        target_fqdns: texts(&one.target_fqdns, &other.target_fqdns),
        target_uris: texts(&one.target_uris, &other.target_uris),
        source_prefixes: prefixes(&one.source_prefixes, &other.source_prefixes),
        source_ports: ranges(both(&one.source_ports, &other.source_ports)),
        source_icmp_types: ranges(both(&one.source_icmp_types, &other.source_icmp_types)),
    }
}

/// Items of both lists; where one means any, so do both.
fn both<T: Clone>(one: &[T], other: &[T]) -> Vec<T> {
    if one.is_empty() || other.is_empty() { Vec::new() } else { [one, other].concat() }
}

/// The same numbers in the fewest ranges: their lower bounds must differ (RFC 9066 section 6.3).
fn ranges<T: Copy + Ord>(mut all: Vec<Range<T>>) -> Vec<Range<T>> {
    all.sort_unstable_by_key(|range| range.lower());
    let mut merged: Vec<Range<T>> = Vec::new();
    for range in all {
        match merged.last_mut() {
            Some(last) if last.upper() >= range.lower() => {
                *last = Range::new(last.lower(), last.upper().max(range.upper())).unwrap_or(range);
            }
            _ => merged.push(range),
        }
    }
    merged
}

/// The scope in as many pieces as it takes for each to fit one message of so many bytes (RFC 9132 section 7.3). Targets are shared out
/// first: pieces with other targets stand beside each other at every router.
pub(super) fn split(scope: Scope, limit: usize) -> Vec<Scope> {
    let request = MitigationRequest { scope, lifetime: Some(Lifetime::Seconds(u32::MAX)), attack_status: None };
    let is_small = request.encode().len() <= limit;
    let scope = request.scope;
    let is_short = scope.target_prefixes.len().max(scope.source_prefixes.len()) <= MOST_ITEMS;
    let (mut one, mut other) = (scope.clone(), scope.clone());
    if is_small && is_short {
        return vec![scope];
    } else if scope.target_prefixes.len() > 1 {
        other.target_prefixes = one.target_prefixes.split_off(scope.target_prefixes.len() / 2);
    } else if scope.source_prefixes.len() > 1 {
        other.source_prefixes = one.source_prefixes.split_off(scope.source_prefixes.len() / 2);
    } else {
        return vec![scope];
    }
    [split(one, limit), split(other, limit)].concat()
}
