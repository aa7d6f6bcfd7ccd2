//! One mitigation on its way into force.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use super::enforcer::Event;
use super::ruleset::Measure;
use super::verify::Finding;
use crate::source::device::Mac;
use crate::source::flow::Traffic;

/// The first and the longest pause before something is tried or looked at again; each is twice the one before.
const PAUSE: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// A mitigation, or the administrator's own quarantines, on the way into force.
#[derive(Debug)]
pub(super) struct Watched {
    pub(super) measure: Measure,
    /// Rises with every change of the measure.
    pub(super) change: u32,
    pub(super) stage: Stage,
    /// How many checks in a row have found flows that should not be.
    pub(super) strikes: u8,
    pub(super) told: Option<Result<(), String>>,
    /// What was last seen to pass of each device.
    passing: BTreeMap<Mac, BTreeSet<u32>>,
    /// From whose addresses the last look saw new flows.
    fresh: BTreeSet<Mac>,
    /// From whose addresses any did, with what had been dropped of their own packets.
    renewed: BTreeMap<Mac, Traffic>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// For a transaction.
    Waiting,
    /// The rules stand; whether flows are left is being looked at.
    Checking,
    InForce,
    Leaking,
}

/// Pauses that double.
#[derive(Debug, Default)]
pub(super) struct Pause(Option<Duration>);

impl Pause {
    pub(super) fn after(&mut self, now: Instant) -> Instant {
        let pause = self.0.unwrap_or(PAUSE);
        self.0 = Some((pause * 2).min(PAUSE_MAX));
        now + pause
    }

    pub(super) fn reset(&mut self) {
        self.0 = None;
    }
}

impl Watched {
    pub(super) fn new(measure: Measure, change: u32) -> Self {
        let (passing, fresh, renewed) = (BTreeMap::new(), BTreeSet::new(), BTreeMap::new());
        Self { measure, change, stage: Stage::Waiting, strikes: 0, told: None, passing, fresh, renewed }
    }

    /// Notes what passes, to tell flows that were only not cut from those that are opened anew; tells whether there is a
    /// device of which that is new.
    pub(super) fn compare(&mut self, passing: BTreeMap<Mac, BTreeSet<u32>>) -> bool {
        self.fresh.clear();
        if self.stage != Stage::Leaking {
            self.renewed.clear();
        }
        for (mac, flows) in passing.into_iter().filter(|(_, flows)| !flows.is_empty()) {
            let before = self.passing.get(&mac);
            let anew = before.is_some_and(|before| flows.iter().any(|flow| !before.contains(flow)));
            if anew && self.stage == Stage::Leaking {
                self.fresh.insert(mac);
            }
            self.passing.insert(mac, flows);
        }
        self.fresh.iter().any(|mac| !self.renewed.contains_key(mac))
    }

    /// Whose address is used by somebody else: flows are opened from it again and again while none of its own packets is
    /// dropped, and the rules that would drop them stand. `counted` tells what has been dropped of a device.
    pub(super) fn framed(&mut self, counted: impl Fn(Mac) -> Traffic) -> Vec<Mac> {
        let fresh = std::mem::take(&mut self.fresh).into_iter();
        let same = |mac: &Mac| {
            let now = counted(*mac);
            self.renewed.insert(*mac, now) == Some(now)
        };
        fresh.filter(same).collect()
    }

    pub(super) fn judge(&mut self, key: Option<u32>, finding: &Finding, events: &mut VecDeque<Event>) {
        // What was there before the rules is no strike.
        let came_back = finding.met > 0 && self.stage != Stage::Checking;
        self.strikes = if came_back { self.strikes.saturating_add(1) } else { 0 };
        let unknown = finding.unknown.is_some();
        let passes = match self.stage {
            Stage::Waiting => return,
            Stage::Checking => finding.left > 0 || unknown,
            // A single flow that comes back may have been on its way; a second time it passes.
            Stage::InForce => finding.left > 0 || self.strikes > 1,
            Stage::Leaking => finding.met > 0 || unknown,
        };
        if !passes {
            self.stage = Stage::InForce;
            return self.tell(key, Ok(()), events);
        }
        if self.stage != Stage::Leaking {
            self.stage = Stage::Leaking;
            self.tell(key, Err(finding.to_string()), events);
        }
    }

    pub(super) fn tell(&mut self, key: Option<u32>, outcome: Result<(), String>, events: &mut VecDeque<Event>) {
        if self.told.as_ref() != Some(&outcome) {
            self.told = Some(outcome.clone());
            events.push_back(told(key, outcome));
        }
    }
}

pub(super) fn told(key: Option<u32>, outcome: Result<(), String>) -> Event {
    match key {
        Some(id) => Event::Enforced { id, outcome },
        None => Event::Standing { outcome },
    }
}
