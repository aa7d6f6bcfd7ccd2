//! The sets that bring into force what is desired, and the targets of the rules that look into them.
//!
//! One set for each mitigation holds the devices, each with its own timeout and counter; the rules hold the scope. So
//! scopes may overlap, a device may be in many mitigations, and a change of one leaves the counters of the others alone.

use std::rc::Rc;
use std::time::{Duration, Instant};

use vecset::{VecMap, VecSet};

use super::chain_name::Purpose;
use super::desired::{Block, Desired, Narrowed, Owner, Quarantined, SenderLog};
use super::dispatch::Dispatch;
use super::set::Set;
use super::target::DropFilter;
use crate::model::{Mac, MitigationId, Scope};
use crate::netlink::nftables::Family;

/// The name of our tables.
pub(super) const TABLE: &str = "dots_callhome";

/// Their name where those of an earlier run must stay as they are.
pub(super) const SECOND_TABLE: &str = "dots_callhome_2";

/// The names of what stands in for them while they are made anew.
pub(super) const GUARD: &str = "dots_callhome_guard";
pub(super) const SECOND_GUARD: &str = "dots_callhome_2_guard";

/// What the kernel holds as far as we know.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) ruleset: Ruleset,
    /// The families in which it does, each with the number of its rules.
    pub(super) families: VecMap<Family, usize>,
}

/// When a device's membership ends; nothing: when it is taken out.
pub(super) type Members = VecMap<Mac, Option<Instant>>;

/// A [`Desired`] state with moments instead of durations, ready to be compared, written and checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Ruleset {
    /// What blocks are about.
    pub(super) targets: VecMap<MitigationId, Rc<DropFilter>>,
    /// From which addresses only blocks drop, of those devices where that is so.
    pub(super) narrowed: VecMap<MitigationId, Narrowed>,
    /// What sender logs are about.
    pub(super) logged: VecMap<MitigationId, Rc<DropFilter>>,
    pub(super) sets: VecMap<Set, Members>,
    /// How packets get to the rules of blocks, and of sender logs.
    pub(super) blocked: Dispatch,
    pub(super) watched: Dispatch,
    /// Those the administrator has quarantined himself.
    by_administrator: VecSet<Mac>,
}

/// What an owner wants: about whom, and about which traffic if not all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Measure {
    pub(super) target: Option<Rc<DropFilter>>,
    /// Sorted.
    pub(super) devices: Vec<Mac>,
    /// From which addresses only, of those of them where that is so.
    pub(super) narrowed: Narrowed,
}

impl Ruleset {
    /// What `before` has worked out already is taken from there.
    pub(super) fn new(desired: &Desired, before: &Self, now: Instant) -> Self {
        let mut ruleset = Self::default();
        for block in &desired.blocks {
            ruleset.add_block(block, before, now);
        }
        for log in &desired.sender_logs {
            ruleset.add_sender_log(log, before);
        }
        for quarantined in &desired.quarantined {
            ruleset.add_quarantined(quarantined, now);
        }
        ruleset.blocked = Dispatch::new(Purpose::Block, &ruleset.targets, &before.blocked);
        ruleset.watched = Dispatch::new(Purpose::Log, &ruleset.logged, &before.watched);
        ruleset
    }

    fn add_block(&mut self, block: &Block, before: &Self, now: Instant) {
        if block.devices.is_empty() || block.remaining.is_zero() {
            return;
        }
        let ends = now.checked_add(block.remaining);
        for mac in &block.devices {
            self.add(Set::BlockBy(block.id), *mac, ends);
            self.add(Set::Targeted, *mac, ends);
        }
        let target = self.target(before, block.id, &block.scope);
        self.targets.insert(block.id, target);
        if !block.narrowed.is_empty() {
            self.narrowed.insert(block.id, block.narrowed.clone());
        }
    }

    fn add_sender_log(&mut self, log: &SenderLog, before: &Self) {
        let target = self.target(before, log.id, &log.scope);
        for family in target.families() {
            self.sets.insert(Set::SenderLog(log.id, family), Members::new());
        }
        self.logged.insert(log.id, target);
    }

    fn add_quarantined(&mut self, quarantined: &Quarantined, now: Instant) {
        if quarantined.remaining.is_some_and(|remaining| remaining.is_zero()) {
            return;
        }
        let ends = quarantined.remaining.and_then(|remaining| now.checked_add(remaining));
        match quarantined.owner {
            Owner::Mitigation(id) => self.add(Set::QuarantineBy(id), quarantined.mac, ends),
            Owner::Administrator => drop(self.by_administrator.insert(quarantined.mac)),
        }
        self.add(Set::Quarantine, quarantined.mac, ends);
        self.add(Set::Targeted, quarantined.mac, ends);
    }

    /// What a mitigation of this scope is about, worked out once for all rules.
    fn target(&self, before: &Self, id: MitigationId, scope: &Scope) -> Rc<DropFilter> {
        let known = [&self.targets, &before.targets, &before.logged];
        let known = known.into_iter().find_map(|targets| targets.get(&id));
        known.filter(|target| target.is_of(scope)).map_or_else(|| Rc::new(DropFilter::new(scope)), Rc::clone)
    }

    /// Whoever is in for two reasons stays until the later end.
    fn add(&mut self, set: Set, mac: Mac, ends: Option<Instant>) {
        let members = self.sets.entry(set).or_default();
        let later = members.get(&mac).map_or(ends, |known| known.zip(ends).map(|(known, ends)| known.max(ends)));
        members.insert(mac, later);
    }

    /// Whether all of `wanted` is in force with it, and nothing else; what is may last longer.
    pub(super) fn stands_for(&self, wanted: &Self) -> bool {
        let lasts = |(held, wanted): (&Option<Instant>, &Option<Instant>)| match (held, wanted) {
            (None, _) => true,
            (Some(held), Some(wanted)) => held >= wanted,
            (Some(_), None) => false,
        };
        self.targets == wanted.targets
            && self.narrowed == wanted.narrowed
            && self.logged == wanted.logged
            && self.sets.keys().eq(wanted.sets.keys())
            && self
                .sets
                .values()
                .zip(wanted.sets.values())
                .all(|(held, wanted)| held.keys().eq(wanted.keys()) && held.values().zip(wanted.values()).all(lasts))
    }

    /// What was not there `before` ends so much later. Returns whether anything does.
    pub(super) fn delay(&mut self, before: Option<&Self>, by: Duration) -> bool {
        let mut delayed = false;
        for (set, members) in &mut self.sets {
            let known = before.and_then(|before| before.sets.get(set));
            for (mac, ends) in members {
                if known.and_then(|known| known.get(mac)) != Some(ends)
                    && let Some(later) = ends.and_then(|ends| ends.checked_add(by))
                {
                    *ends = Some(later);
                    delayed = true;
                }
            }
        }
        delayed
    }

    /// Nothing is in force.
    pub(super) fn is_empty(&self) -> bool {
        self.sets.is_empty()
    }

    /// Whether a table of this family is needed for it.
    pub(super) fn needs(&self, family: Family) -> bool {
        self.sets(family).next().is_some()
    }

    /// All devices anything is in force against.
    pub(super) fn devices(&self) -> impl Iterator<Item = Mac> {
        self.sets.get(&Set::Targeted).into_iter().flat_map(VecMap::keys).copied()
    }

    /// Whether the device is in the set.
    pub(super) fn holds(&self, set: Set, mac: Mac) -> bool {
        self.sets.get(&set).is_some_and(|members| members.contains_key(&mac))
    }

    /// What each owner wants.
    pub(super) fn measures(&self) -> impl Iterator<Item = (Owner, Measure)> {
        let ids = self.sets.keys().filter_map(|set| set.id());
        let owners = ids.map(Owner::Mitigation).chain([Owner::Administrator]);
        owners.filter_map(|owner| Some((owner, self.measure(owner)?)))
    }

    /// What one of them wants.
    pub(super) fn measure(&self, owner: Owner) -> Option<Measure> {
        match owner {
            Owner::Mitigation(id) => {
                let members = self.sets.get(&Set::BlockBy(id)).or_else(|| self.sets.get(&Set::QuarantineBy(id)))?;
                let (target, narrowed) = (self.targets.get(&id).cloned(), self.narrowed.get(&id).cloned());
                let devices = members.keys().copied().collect();
                Some(Measure { target, devices, narrowed: narrowed.unwrap_or_default() })
            }
            Owner::Administrator => {
                let devices: Vec<Mac> = self.by_administrator.iter().copied().collect();
                (!devices.is_empty()).then_some(Measure { target: None, devices, narrowed: Narrowed::new() })
            }
        }
    }

    /// The mitigations that have anything in force, and when that ends here where it goes on in `later`.
    pub(super) fn lapses(&self, later: &Self) -> VecMap<Owner, Instant> {
        let prolonged = |id| {
            let end = self.end(id)?;
            later.end(id).filter(|later| *later > end).map(|_| (Owner::Mitigation(id), end))
        };
        later.sets.keys().filter_map(|set| prolonged(set.id()?)).collect()
    }

    /// When the first element of a mitigation ends.
    fn end(&self, id: MitigationId) -> Option<Instant> {
        let sets = [Set::BlockBy(id), Set::QuarantineBy(id)];
        sets.iter().filter_map(|set| self.sets.get(set)).flat_map(VecMap::values).copied().flatten().min()
    }

    /// Whether an element that has a counter is not in `later` as it is here.
    pub(super) fn loses_counters(&self, later: &Self) -> bool {
        self.sets(Family::Inet).filter(|(set, _)| set.counts(Family::Inet)).any(|(set, members)| {
            let kept = later.sets.get(&set);
            members.iter().any(|(mac, ends)| kept.and_then(|kept| kept.get(mac)) != Some(ends))
        })
    }

    /// Whether senders are noted that were not before.
    pub(super) fn logs_more(&self, before: Option<&Self>) -> bool {
        self.logged.keys().any(|id| before.is_none_or(|before| !before.logged.contains_key(id)))
    }

    /// The sets of the family's table.
    pub(super) fn sets(&self, family: Family) -> impl Iterator<Item = (Set, &Members)> {
        let within = move |set: Set| family == Family::Inet || set == Set::Quarantine;
        self.sets.iter().map(|(set, members)| (*set, members)).filter(move |(set, _)| within(*set))
    }

    /// Whether a block drops from certain addresses only, of each of its devices.
    pub(super) fn is_all_narrowed(&self, id: MitigationId) -> bool {
        let narrowed = self.narrowed.get(&id);
        let devices = self.sets.get(&Set::BlockBy(id)).into_iter().flat_map(VecMap::keys);
        narrowed.is_some_and(|narrowed| devices.into_iter().all(|mac| narrowed.contains_key(mac)))
    }

    /// Whether two blocks have a device and a target in common.
    pub(super) fn shares_traffic(&self, one: MitigationId, other: MitigationId) -> bool {
        let devices = self.sets.get(&Set::BlockBy(one)).zip(self.sets.get(&Set::BlockBy(other)));
        let targets = self.targets.get(&one).zip(self.targets.get(&other));
        devices.is_some_and(|(own, others)| own.keys().any(|mac| others.contains_key(mac)))
            && targets.is_some_and(|(own, others)| own.meets(others))
    }
}
