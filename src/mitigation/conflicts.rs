//! Conflicts: requests of different clients about the same targets (RFC 9132 section 4.4.1.3).

use ipnet::IpNet;

use super::ledger::Ledger;
use super::lifecycle::Mitigation;
use super::overlap::{MOST_SHARED, shared_targets};
use crate::model::MitigationId;

/// Requests of other clients remembered that overlap with one.
const MOST_CONFLICTS: usize = 16;

impl Ledger {
    /// The target prefixes that requests of other clients name too; at most 16, as a message has to hold them. All of these
    /// requests stand: what one wants blocked the other wants blocked as well. But their clients are told (RFC 9132 section
    /// 4.4.1.3).
    pub fn overlapping_targets(&self, mitigation: &Mitigation) -> Vec<IpNet> {
        if !mitigation.state().is_open() {
            return Vec::new();
        }
        let open = |id: &MitigationId| self.get(*id).is_some_and(|other| other.state().is_open());
        let mut prefixes: Vec<IpNet> =
            mitigation.conflicts.iter().filter(|(id, _)| open(id)).flat_map(|(_, shared)| shared).copied().collect();
        prefixes.sort_unstable();
        prefixes.dedup();
        prefixes.truncate(MOST_SHARED);
        prefixes
    }

    /// Finds out which requests of other clients a new one overlaps with.
    pub(super) fn note_conflicts(&mut self, new: &mut Mitigation) {
        for other in self.mitigations.values_mut().filter(|other| other.asked && other.client != new.client) {
            if new.conflicts.len() == MOST_CONFLICTS {
                break;
            }
            let shared = shared_targets(&other.scope, &new.scope);
            if shared.is_empty() || other.conflicts.len() == MOST_CONFLICTS {
                continue;
            }
            new.conflicts.insert(other.id, shared.clone());
            other.conflicts.insert(new.id, shared);
            self.outbox.changed(other.id);
        }
    }

    /// A request is no more: those that overlapped with it have one conflict less.
    pub(super) fn forget_conflicts(&mut self, gone: &Mitigation) {
        for id in gone.conflicts.keys() {
            if let Some(other) = self.mitigations.get_mut(id) {
                other.conflicts.remove(&gone.id);
                self.outbox.changed(*id);
            }
        }
    }
}
