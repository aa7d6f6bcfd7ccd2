//! One mitigation on its way into force.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::enforcer::Event;
use super::ruleset::Measure;
use super::verify::Finding;
use crate::model::Backoff;

/// The pauses before something is tried or looked at again.
pub(super) const PAUSES: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60));

/// How long something may be on its way into force before it is told that it isn't there: what somebody has deleted is
/// made again within some hundredths of a second.
pub(super) const MOMENT: Duration = Duration::from_secs(1);

/// A mitigation, or the administrator's own quarantines, on the way into force.
#[derive(Debug)]
pub(super) struct Watched {
    pub(super) measure: Measure,
    /// Rises with every change of the measure.
    pub(super) change: u32,
    pub(super) stage: Stage,
    /// When it is told that it is not in force, if nothing else has been told by then.
    pub(super) due: Option<Instant>,
    /// How many checks in a row have found flows that should not be.
    pub(super) strikes: u8,
    pub(super) told: Option<Result<(), String>>,
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

impl Watched {
    pub(super) fn new(measure: Measure, change: u32, now: Instant) -> Self {
        let (stage, due) = (Stage::Waiting, Some(now + MOMENT));
        Self { measure, change, stage, due, strikes: 0, told: None }
    }

    /// Its rules are gone.
    pub(super) fn lose(&mut self, now: Instant) {
        (self.stage, self.due) = (Stage::Waiting, Some(now + MOMENT));
    }

    /// Tells that it is not in force if it has been on its way for too long.
    pub(super) fn hold_off(&mut self, key: Option<u32>, now: Instant, events: &mut VecDeque<Event>) {
        if self.due.take_if(|due| *due <= now).is_none() {
            return;
        }
        match self.stage {
            Stage::Waiting => self.tell(key, Err("the rules do not stand yet".to_owned()), events),
            // Back, but what has begun without them is not known.
            Stage::Checking if self.told == Some(Ok(())) => {
                self.tell(key, Err("the rules stand again, but traffic may still pass".to_owned()), events);
            }
            Stage::Checking | Stage::InForce | Stage::Leaking => {}
        }
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
        self.due = None;
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
