//! How far each owner's measure is on its way into force, and what is told of it.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use vecset::{VecMap, VecSet};

use super::desired::Owner;
use super::event::{Event, NotInForce};
use super::ruleset::{Measure, Ruleset};
use super::sweep::{PassingFlows, SweepSubject};
use crate::model::{Mac, MitigationId};

/// How long something may be on its way into force before it is told that it isn't there: what somebody has deleted is
/// made again within some hundredths of a second.
pub(super) const MOMENT: Duration = Duration::from_secs(1);

/// All that is on its way into force, or there.
#[derive(Debug, Default)]
pub(super) struct Progress {
    owners: VecMap<Owner, OwnerProgress>,
    changes: u32,
    /// When the kernel ends first what has been prolonged, but not there yet.
    lapse_at: Option<Instant>,
    events: VecDeque<Event>,
}

/// What a sweep has changed.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Assessment {
    /// Something is not as it was, or may soon not be.
    pub(super) is_unsettled: bool,
    /// Something leaks.
    pub(super) leaks: bool,
}

impl Progress {
    /// What has changed has to come into force anew.
    pub(super) fn set_wanted(&mut self, wanted: &Ruleset, now: Instant) {
        let measures: VecMap<Owner, Measure> = wanted.measures().collect();
        self.owners.retain(|owner, _| measures.contains_key(owner));
        for (owner, measure) in measures {
            if self.owners.get(&owner).is_none_or(|owned| owned.measure != measure) {
                self.changes = self.changes.wrapping_add(1);
                self.owners.insert(owner, OwnerProgress::new(measure, self.changes, now));
            }
        }
    }

    /// Nobody wants anything.
    pub(super) fn is_empty(&self) -> bool {
        self.owners.is_empty()
    }

    /// Whether anything has been seen in force.
    pub(super) fn has_in_force(&self) -> bool {
        self.owners.values().any(|owned| matches!(owned.stage, ProgressStage::InForce { .. }))
    }

    /// What is to be swept: what has just come into force, or all whose rules stand.
    pub(super) fn subjects(&self, all: bool) -> Vec<SweepSubject> {
        let due = |owned: &OwnerProgress| match owned.stage {
            ProgressStage::Waiting => false,
            ProgressStage::Checking => true,
            ProgressStage::InForce { .. } | ProgressStage::Leaking => all,
        };
        let due = self.owners.iter().filter(|(_, owned)| due(owned));
        let subject = |(owner, owned): (&Owner, &OwnerProgress)| SweepSubject {
            owner: *owner,
            change: owned.change,
            measure: owned.measure.clone(),
            was_cut: owned.is_cut,
        };
        due.map(subject).collect()
    }

    /// Takes what the kernel holds, as far as that can be relied on, and what it ends too early.
    pub(super) fn handle_rules(&mut self, held: Option<&Ruleset>, lapses: &VecMap<Owner, Instant>, now: Instant) {
        self.lapse_at = lapses.values().copied().min();
        let Some(held) = held else { return };
        for (owner, owned) in &mut self.owners {
            let stands = lapses.get(owner).is_none_or(|at| *at > now);
            if owned.stage == ProgressStage::Waiting && stands && held.measure(*owner).as_ref() == Some(&owned.measure)
            {
                owned.stage = ProgressStage::Checking;
            }
        }
    }

    /// Takes what a sweep has seen.
    pub(super) fn handle_sweep(&mut self, findings: Vec<(SweepSubject, PassingFlows)>) -> Assessment {
        let mut judgement = Assessment::default();
        for (subject, passing) in findings {
            let owned = self.owners.get_mut(&subject.owner).filter(|owned| owned.change == subject.change);
            let Some(owned) = owned else { continue };
            let before = owned.stage;
            owned.judge(subject.owner, passing, &mut self.events);
            let struck = matches!(owned.stage, ProgressStage::InForce { strikes: 1.. });
            judgement.is_unsettled |= struck || !owned.stage.is_like(before);
            judgement.leaks |= owned.stage == ProgressStage::Leaking;
        }
        judgement
    }

    /// The devices in whose names others send: from their addresses flows get past rules that stand, while nothing of their
    /// own has been dropped. Tells each once.
    pub(super) fn tell_spoofed(&mut self, has_dropped: impl Fn(MitigationId, Mac) -> bool) {
        for (owner, owned) in self.owners.iter_mut().filter(|(_, owned)| owned.stage == ProgressStage::Leaking) {
            let Owner::Mitigation(id) = *owner else { continue };
            for mac in std::mem::take(&mut owned.openers) {
                if owned.measure.devices.contains(&mac) && !has_dropped(id, mac) {
                    self.events.push_back(Event::Spoofed { id, mac });
                }
            }
        }
    }

    /// All rules are gone.
    pub(super) fn handle_lost(&mut self, now: Instant) {
        for owned in self.owners.values_mut() {
            owned.lose(now);
        }
    }

    /// Nothing comes into force for now.
    pub(super) fn handle_failure(&mut self, reason: &NotInForce) {
        for (owner, owned) in self.owners.iter_mut().filter(|(_, owned)| owned.stage == ProgressStage::Waiting) {
            owned.tell(*owner, Err(reason.clone()), &mut self.events);
        }
    }

    /// Whether the kernel has ended something too early.
    pub(super) fn has_lapsed(&self, now: Instant) -> bool {
        self.lapse_at.is_some_and(|at| at <= now)
    }

    /// The kernel has ended those whose moment has come.
    pub(super) fn handle_lapses(&mut self, lapses: &VecMap<Owner, Instant>, now: Instant) {
        self.lapse_at = lapses.values().copied().filter(|at| *at > now).min();
        for (owner, _) in lapses.iter().filter(|(_, at)| **at <= now) {
            let standing = self.owners.get_mut(owner).filter(|owned| owned.stage != ProgressStage::Waiting);
            standing.into_iter().for_each(|owned| owned.lose(now));
        }
    }

    /// Tells everything once more: the owner may have forgotten what it was told of what has not changed.
    pub(super) fn tell_again(&mut self) {
        for (owner, owned) in &self.owners {
            if let Some(outcome) = &owned.told {
                self.events.push_back(Event::Enforced { owner: *owner, outcome: outcome.clone() });
            }
        }
    }

    /// Tells something else.
    pub(super) fn tell(&mut self, event: Event) {
        self.events.push_back(event);
    }

    /// The next thing to tell.
    pub(super) fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When something is due: [`Progress::has_lapsed`] or [`Progress::handle_timeout`].
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.owners.values().filter_map(|owned| owned.due).chain(self.lapse_at).min()
    }

    /// Tells of what has been on its way for too long.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        for (owner, owned) in &mut self.owners {
            owned.hold_off(*owner, now, &mut self.events);
        }
    }
}

/// An owner's measure on its way into force.
#[derive(Debug)]
struct OwnerProgress {
    measure: Measure,
    /// Rises with every change of the measure.
    change: u32,
    stage: ProgressStage,
    /// When it is told that it is not in force, if nothing else has been told by then.
    due: Option<Instant>,
    told: Option<Result<(), NotInForce>>,
    /// The devices from whose addresses flows get past the rules.
    openers: VecSet<Mac>,
    /// Whether the last sweep has cut all flows it met, and the rules have stood since.
    is_cut: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ProgressStage {
    /// For a transaction.
    Waiting,
    /// The rules stand; whether flows are left is being looked at.
    Checking,
    InForce {
        /// How many sweeps in a row have found flows that should not be.
        strikes: u8,
    },
    Leaking,
}

impl ProgressStage {
    /// Whether both are the same, whatever the strikes.
    fn is_like(self, other: Self) -> bool {
        std::mem::discriminant(&self) == std::mem::discriminant(&other)
    }
}

impl OwnerProgress {
    fn new(measure: Measure, change: u32, now: Instant) -> Self {
        let (stage, due) = (ProgressStage::Waiting, Some(now + MOMENT));
        Self { measure, change, stage, due, told: None, openers: VecSet::new(), is_cut: false }
    }

    /// Its rules are gone.
    fn lose(&mut self, now: Instant) {
        self.stage = ProgressStage::Waiting;
        self.is_cut = false;
        self.due = Some(now + MOMENT);
    }

    /// Tells that it is not in force if it has been on its way for too long.
    fn hold_off(&mut self, owner: Owner, now: Instant, events: &mut VecDeque<Event>) {
        if self.due.take_if(|due| *due <= now).is_none() {
            return;
        }
        match self.stage {
            ProgressStage::Waiting => self.tell(owner, Err(NotInForce::RulesMissing), events),
            // Back, but what has begun without them is not known.
            ProgressStage::Checking if self.told == Some(Ok(())) => {
                self.tell(owner, Err(NotInForce::RulesRestored), events)
            }
            ProgressStage::Checking | ProgressStage::InForce { .. } | ProgressStage::Leaking => {}
        }
    }

    fn judge(&mut self, owner: Owner, mut passing: PassingFlows, events: &mut VecDeque<Event>) {
        self.openers = std::mem::take(&mut passing.openers);
        let unknown = passing.unknown.is_some();
        self.is_cut = passing.met > 0 && passing.left == 0 && !unknown;
        let (passes, strikes) = match self.stage {
            ProgressStage::Waiting => return,
            // What was there before the rules is no strike.
            ProgressStage::Checking => (passing.left > 0 || unknown, 0),
            // A single flow that comes back may have been on its way; a second time it passes.
            ProgressStage::InForce { strikes } => {
                let strikes = if passing.met > 0 { strikes.saturating_add(1) } else { 0 };
                (passing.left > 0 || strikes > 1, strikes)
            }
            ProgressStage::Leaking => (passing.met > 0 || unknown, 0),
        };
        if !passes {
            self.stage = ProgressStage::InForce { strikes };
            self.tell(owner, Ok(()), events);
        } else if self.stage != ProgressStage::Leaking {
            self.stage = ProgressStage::Leaking;
            self.tell(owner, Err(NotInForce::Leaking(passing)), events);
        }
    }

    fn tell(&mut self, owner: Owner, outcome: Result<(), NotInForce>, events: &mut VecDeque<Event>) {
        self.due = None;
        if self.told.as_ref() != Some(&outcome) {
            self.told = Some(outcome.clone());
            events.push_back(Event::Enforced { owner, outcome });
        }
    }
}
