//! What the rules have dropped, as the kernel's counters tell.

use vecset::VecMap;

use super::desired::Owner;
use super::ruleset::Ruleset;
use super::set::Set;
use crate::model::{Mac, MitigationId, Traffic};

/// The last reading of every element, and what has been counted by elements that are no more.
#[derive(Debug, Default)]
pub(super) struct Counters {
    readings: VecMap<(Set, Mac), Traffic>,
    past: VecMap<MitigationId, Traffic>,
    past_of: VecMap<Mac, Traffic>,
}

impl Counters {
    /// Takes a reading; tells whether anything was counted since the last.
    pub(super) fn read(&mut self, set: Set, mac: Mac, reading: Traffic) -> bool {
        let before = self.readings.insert((set, mac), reading).unwrap_or_default();
        if reading.is_below(before) {
            // Somebody has reset it; totals must not fall.
            self.keep(set, mac, before);
        }
        reading != before
    }

    /// The last reading of an element.
    pub(super) fn reading(&self, set: Set, mac: Mac) -> Traffic {
        self.readings.get(&(set, mac)).copied().unwrap_or_default()
    }

    /// Whether anything of a device was dropped on behalf of a mitigation, as last read.
    pub(super) fn has_dropped(&self, id: MitigationId, mac: Mac) -> bool {
        [Set::BlockBy(id), Set::QuarantineBy(id)].into_iter().any(|set| self.reading(set, mac) != Traffic::default())
    }

    /// The total of each mitigation in force.
    pub(super) fn totals(&self, ruleset: &Ruleset) -> impl Iterator<Item = (MitigationId, Traffic)> {
        let ids = ruleset.measures().filter_map(|(owner, _)| match owner {
            Owner::Mitigation(id) => Some(id),
            Owner::Administrator => None,
        });
        ids.map(|id| (id, self.total(id)))
    }

    /// All that was dropped on behalf of a mitigation while it is in force.
    fn total(&self, id: MitigationId) -> Traffic {
        let own = self.readings.iter().filter(|((set, _), _)| set.id() == Some(id)).map(|(_, reading)| *reading);
        own.chain(self.past.get(&id).copied()).sum()
    }

    /// All that a device has had dropped while anything is in force against it.
    pub(super) fn dropped_by(&self, mac: Mac) -> Traffic {
        let own = self.readings.iter().filter(|((set, of), _)| *of == mac && set.drops()).map(|(_, reading)| *reading);
        own.chain(self.past_of.get(&mac).copied()).sum()
    }

    /// Brings the elements in line with what is in force from now on.
    pub(super) fn settle(&mut self, ruleset: &Ruleset) {
        let readings = std::mem::take(&mut self.readings);
        for ((set, mac), reading) in readings {
            if ruleset.holds(set, mac) {
                self.readings.insert((set, mac), reading);
            } else {
                self.keep(set, mac, reading);
            }
        }
        self.past.retain(|id, _| ruleset.measure(Owner::Mitigation(*id)).is_some());
        self.past_of.retain(|mac, _| ruleset.holds(Set::Targeted, *mac));
    }

    fn keep(&mut self, set: Set, mac: Mac, reading: Traffic) {
        if let Some(id) = set.id() {
            let past = self.past.entry(id).or_default();
            *past = past.plus(reading);
        }
        if set.drops() {
            let past = self.past_of.entry(mac).or_default();
            *past = past.plus(reading);
        }
    }
}
