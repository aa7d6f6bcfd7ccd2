//! A no that binds the policy: whom and what it is about, and for how long.

use std::time::{Duration, Instant};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::consent::Action;
use super::lifecycle::Mitigation;
use super::state::{Cause, Decision};
use crate::model::address::untranslated;
use crate::model::{Mac, MitigationId, Now, Scope};

/// How long a no binds at least.
pub(super) const SHORTEST: Duration = Duration::from_secs(24 * 60 * 60);
/// Devices of one veto, as many as a request has suspects; beyond that it is about all, and every address.
const MOST_DEVICES: usize = 64;
/// Prefixes of one veto; beyond that it is about every address.
const MOST_TARGETS: usize = 16;

/// Devices and targets that the policy must not act upon by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Veto {
    /// The mitigation it follows from, which may be no more.
    pub id: MitigationId,
    /// The provider who had asked.
    pub peer: String,
    /// Whom it is about, at most 64; none: all devices.
    pub devices: Vec<Mac>,
    /// The targets it is about, at most 16, disjoint.
    pub targets: Vec<IpNet>,
    /// Why.
    pub cause: Cause,
    /// Who said so; `policy` where another device sent in its name.
    pub decision: Decision,
    /// Until when it binds. Time without power does not count: no clock can be relied on for that.
    pub ends: Instant,
}

impl Veto {
    /// A no about these devices, because of a mitigation. Where no device is known it is about all: a person has refused the
    /// request, whoever sends.
    pub(super) fn new(m: &Mitigation, devices: Vec<Mac>, cause: Cause, decision: Decision, now: Now) -> Self {
        let ends = now.instant + m.granted.max(SHORTEST);
        let targets = m.scope.target_prefixes.clone();
        Self { id: m.id, peer: m.client.peer.clone(), devices, targets, cause, decision, ends }.bounded()
    }

    /// What takes too much room becomes wider: that only asks more often.
    pub(super) fn bounded(mut self) -> Self {
        self.devices.sort_unstable();
        self.devices.dedup();
        let crowd = self.devices.len() > MOST_DEVICES;
        if crowd {
            self.devices.clear();
        }
        self.targets = IpNet::aggregate(&self.targets);
        if crowd || self.targets.len() > MOST_TARGETS {
            self.targets = everywhere();
        }
        self
    }

    /// This one and another as one, of this one's words.
    pub(super) fn and(mut self, other: Self) -> Self {
        match self.devices.is_empty() || other.devices.is_empty() {
            true => self.devices.clear(),
            false => self.devices.extend(other.devices),
        }
        self.targets.extend(other.targets);
        self.ends = self.ends.max(other.ends);
        self.bounded()
    }

    /// Whether both name devices or neither does: to approve a device is to take back a no about whoever sends, but none about
    /// another device.
    pub(super) fn is_alike(&self, other: &Self) -> bool {
        self.devices.is_empty() == other.devices.is_empty()
    }

    /// Whether nothing remains of `other` that this one does not say.
    pub(super) fn includes(&self, other: &Self) -> bool {
        let all_devices = other.devices.iter().all(|mac| self.devices.contains(mac));
        self.is_alike(other) && all_devices && self.ends >= other.ends && within(&other.targets, &self.targets)
    }

    /// Whether an action against the device because of `scope` is forbidden. Who is quarantined reaches no target at all.
    pub(super) fn forbids(&self, mac: Mac, action: Action, scope: &Scope) -> bool {
        let meets = |target: &IpNet| scope.target_prefixes.iter().any(|prefix| have_common(target, prefix));
        self.is_about(mac) && (action == Action::Quarantine || self.targets.iter().any(meets))
    }

    fn is_about(&self, mac: Mac) -> bool {
        self.devices.is_empty() || self.devices.contains(&mac)
    }
}

pub(super) fn everywhere() -> Vec<IpNet> {
    vec![Ipv4Net::default().into(), Ipv6Net::default().into()]
}

/// Whether both have an address in common, by whatever name it goes.
fn have_common(one: &IpNet, other: &IpNet) -> bool {
    let apart = |one: &IpNet, other: &IpNet| !one.contains(other) && !other.contains(one);
    !apart(one, other) || !apart(&untranslated(one), &untranslated(other))
}

/// Whether every address of `inner` is one of `outer`, which is disjoint.
pub(super) fn within(inner: &[IpNet], outer: &[IpNet]) -> bool {
    inner.iter().all(|prefix| outer.iter().any(|outer| outer.contains(prefix)))
}
