//! Requests of different clients that overlap (RFC 9132 section 4.4.1.3).

use ipnet::IpNet;

use super::ledger::Ledger;
use super::lifecycle::Mitigation;
use super::overlap::shared_targets;
use crate::model::MitigationId;

/// Requests of other clients remembered beside one that overlap with it.
const MOST_RIVALS: usize = 16;
/// Prefixes told of one conflict; a message has to hold them.
const MOST_SHARED: usize = 16;

impl Ledger {
    /// The target prefixes that requests of other clients speak of too. Both stand: what one wants blocked the other wants
    /// blocked as well. But their clients are told (RFC 9132 section 4.4.1.3).
    pub fn contested(&self, mitigation: &Mitigation) -> Vec<IpNet> {
        if !mitigation.state().is_open() {
            return Vec::new();
        }
        let open = |id: &MitigationId| self.get(*id).is_some_and(|rival| rival.state().is_open());
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
