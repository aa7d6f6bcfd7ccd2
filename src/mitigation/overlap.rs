//! When two requests of one client speak of the same attack (RFC 9132 section 4.4.1.3).
//!
//! The RFC compares targets only. Behind one address several devices may attack the same target, and a request about
//! the second must not end the protection against the first; so here the sources have to intersect too.

use ipnet::IpNet;

use super::ledger::Ledger;
use super::lifecycle::Mitigation;
use crate::model::{MitigationId, Scope};

/// Requests of other clients remembered beside one that overlap with it.
const MOST_RIVALS: usize = 16;
/// Prefixes told of one conflict; a message has to hold them.
const MOST_SHARED: usize = 16;

impl Ledger {
    /// The target prefixes that requests of other clients speak of too. Both stand: what one wants blocked the other wants
    /// blocked as well. But their clients are told (RFC 9132 section 4.4.1.3).
    pub fn contested(&self, mitigation: &Mitigation) -> Vec<IpNet> {
        if !mitigation.state.is_open() {
            return Vec::new();
        }
        let open = |id: &MitigationId| self.get(*id).is_some_and(|rival| rival.state.is_open());
        let mut prefixes: Vec<IpNet> =
            mitigation.rivals.iter().filter(|(id, _)| open(id)).flat_map(|(_, shared)| shared).copied().collect();
        prefixes.sort_unstable();
        prefixes.dedup();
        prefixes.truncate(MOST_SHARED);
        prefixes
    }

    /// Finds out which requests of other clients a new one overlaps with.
    pub(super) fn meet_rivals(&mut self, new: &mut Mitigation) {
        for other in self.mitigations.values_mut().filter(|other| other.client != new.client) {
            if new.rivals.len() == MOST_RIVALS {
                break;
            }
            let mut shared = shared_targets(&other.scope, &new.scope);
            if shared.is_empty() || other.rivals.len() == MOST_RIVALS {
                continue;
            }
            shared.truncate(MOST_SHARED);
            new.rivals.insert(other.id, shared.clone());
            other.rivals.insert(new.id, shared);
            self.outbox.changed(other.id);
        }
    }

    /// A request is no more: those that overlapped with it are rid of it.
    pub(super) fn part_from_rivals(&mut self, gone: &Mitigation) {
        for id in gone.rivals.keys() {
            if let Some(rival) = self.mitigations.get_mut(id) {
                rival.rivals.remove(&gone.id);
                self.outbox.changed(*id);
            }
        }
    }
}

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
