//! Where a mitigation stands, with the data that only this phase has.

use std::time::{Duration, Instant};

use super::consent::Action;
use super::state::{Decision, State};
use crate::model::Mac;

/// Who has not answered for so long may not have heard of it.
const REMINDER: Duration = Duration::from_secs(86_400);

/// A decision to act, and the devices acted upon.
#[derive(Clone, Debug)]
pub(super) struct Approval {
    pub(super) decision: Decision,
    pub(super) devices: Vec<Mac>,
    /// Those of the devices that a person has approved, rather than the policy.
    pub(super) confirmed: Vec<Mac>,
}

impl Approval {
    /// Adds devices, each once. Returns whether any is new.
    pub(super) fn add(&mut self, devices: &[Mac]) -> bool {
        add_all(&mut self.devices, devices)
    }

    /// Whether a person has approved all of them.
    pub(super) fn is_by_person(&self) -> bool {
        self.devices.iter().all(|mac| self.confirmed.contains(mac))
    }

    /// A person has approved these.
    pub(super) fn confirm(&mut self, devices: &[Mac]) {
        add_all(&mut self.confirmed, devices);
    }
}

fn add_all(known: &mut Vec<Mac>, devices: &[Mac]) -> bool {
    let before = known.len();
    for mac in devices {
        if !known.contains(mac) {
            known.push(*mac);
        }
    }
    known.len() > before
}

/// The consent given to the request that another one superseded.
#[derive(Clone, Debug)]
pub(super) struct Inherited {
    pub(super) approval: Approval,
    /// The most that may be done by it.
    pub(super) action: Action,
}

/// What the kernel was last seen to do about a mitigation that must be in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Check {
    /// Not yet what it should do, or not any more.
    Unverified,
    /// What it should do.
    Verified,
    /// The same, but nothing has matched for a while.
    Quiet,
}

/// How a mitigation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// It was judged to concern legitimate traffic.
    Rejected,
    /// The router ended it.
    Withdrawn,
    /// Its time is over, or the client wants it no longer.
    Expired,
}

/// The phases of a mitigation.
#[derive(Clone, Debug)]
pub(super) enum Phase {
    /// Nobody is found yet; `assessed` once a search has ended.
    Searching { assessed: bool },
    /// Somebody has to decide; `asked` since when, as long as a timeout may answer instead, and when to `remind` of it.
    Pending { asked: Option<Instant>, remind: Option<Instant> },
    /// Rules must stand.
    InForce { approval: Approval, check: Check },
    /// Withdrawn by the client: rules must stand for a little longer. The devices may all have been let go.
    Terminating { approval: Approval, verified: bool },
    /// Nothing is done any more; what was decided is still shown.
    Ended { ending: Ending, decision: Option<Decision>, devices: Vec<Mac> },
}

impl Phase {
    /// Somebody has to decide from now on.
    pub(super) fn pending(now: Instant) -> Self {
        Self::Pending { asked: Some(now), remind: now.checked_add(REMINDER) }
    }

    /// The word for it.
    pub(super) fn state(&self) -> State {
        match self {
            Self::Searching { .. } => State::Searching,
            Self::Pending { .. } => State::Pending,
            Self::InForce { check: Check::Quiet, .. } => State::Stopped,
            Self::InForce { .. } => State::Active,
            Self::Terminating { .. } => State::Terminating,
            Self::Ended { ending: Ending::Rejected, .. } => State::Rejected,
            Self::Ended { ending: Ending::Withdrawn, .. } => State::Withdrawn,
            Self::Ended { ending: Ending::Expired, .. } => State::Expired,
        }
    }

    /// Whether the source network has been searched, or no longer needs to be.
    pub(super) fn assessed(&self) -> bool {
        !matches!(self, Self::Searching { assessed: false })
    }

    /// Whether it was seen to be in force as it stands.
    pub(super) fn verified(&self) -> bool {
        match self {
            Self::InForce { check, .. } => *check != Check::Unverified,
            Self::Terminating { verified, .. } => *verified,
            Self::Searching { .. } | Self::Pending { .. } | Self::Ended { .. } => false,
        }
    }

    /// Notes whether it was seen to be in force; of no concern where no rules must stand.
    pub(super) fn set_verified(&mut self, seen: bool) {
        match self {
            Self::InForce { check, .. } => *check = if seen { Check::Verified } else { Check::Unverified },
            Self::Terminating { verified, .. } => *verified = seen,
            Self::Searching { .. } | Self::Pending { .. } | Self::Ended { .. } => {}
        }
    }

    /// The approval that rules must stand for.
    pub(super) fn approval(&self) -> Option<&Approval> {
        match self {
            Self::InForce { approval, .. } | Self::Terminating { approval, .. } => Some(approval),
            Self::Searching { .. } | Self::Pending { .. } | Self::Ended { .. } => None,
        }
    }

    /// The devices the decision is about.
    pub(super) fn devices(&self) -> &[Mac] {
        match self {
            Self::Ended { devices, .. } => devices,
            _ => self.approval().map_or(&[], |approval| &approval.devices),
        }
    }

    /// The last decision.
    pub(super) fn decision(&self) -> Option<&Decision> {
        match self {
            Self::Ended { decision, .. } => decision.as_ref(),
            _ => self.approval().map(|approval| &approval.decision),
        }
    }

    /// The last decision, to put its date right.
    pub(super) fn decision_mut(&mut self) -> Option<&mut Decision> {
        match self {
            Self::InForce { approval, .. } | Self::Terminating { approval, .. } => Some(&mut approval.decision),
            Self::Ended { decision, .. } => decision.as_mut(),
            Self::Searching { .. } | Self::Pending { .. } => None,
        }
    }

    /// Takes one device out of what is in force.
    pub(super) fn let_go(&mut self, mac: Mac) {
        if let Self::InForce { approval, .. } | Self::Terminating { approval, .. } = self {
            approval.devices.retain(|device| *device != mac);
            approval.confirmed.retain(|device| *device != mac);
        }
    }

    /// Whether a person has approved that the device is acted upon.
    pub(super) fn confirmed(&self, mac: Mac) -> bool {
        self.approval().is_some_and(|approval| approval.confirmed.contains(&mac))
    }
}
