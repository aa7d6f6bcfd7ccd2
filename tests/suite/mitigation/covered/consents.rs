//! The consents, as whoever reads the reference would keep them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::packets::{DEVICES, PER_DEVICE, Packets, any_traffic, device_bits, effect, index_of, packets_of};
use crate::support::ledger::*;
use dots_callhome::mitigation::{Action, Consent, DevicePolicy, Ledger, Mitigation, Policy, State, TimeoutAction};
use dots_callhome::model::{Mac, MitigationId, Now, Scope};
use dots_callhome::source::Confidence;
use ipnet::IpNet;

#[derive(Clone, Copy)]
pub enum Lasts {
    UntilEnded,
    Until(Instant),
}

/// What was consented to for one request.
#[derive(Clone, Copy, Default)]
pub struct Allowed {
    pub by_person: Packets,
    pub by_rules: Packets,
    /// What a person has refused elsewhere since: no successor takes it over.
    pub contested: Packets,
    /// Until when what a person has said holds, whatever becomes of the request.
    pub lasts: Option<Lasts>,
}

impl Allowed {
    pub fn all(self) -> Packets {
        self.by_person | self.by_rules
    }

    /// What holds without the request.
    pub fn own(self, now: Now) -> Packets {
        match self.lasts {
            Some(Lasts::UntilEnded) => self.by_person,
            Some(Lasts::Until(time)) if time > now.instant => self.by_person,
            _ => 0,
        }
    }

    pub fn forget(&mut self, packets: Packets) {
        self.by_person &= !packets;
        self.by_rules &= !packets;
    }
}

/// Somebody has said no.
pub struct No {
    /// Nothing: whoever sends.
    pub device: Option<usize>,
    pub targets: Vec<IpNet>,
    pub until: Instant,
}

impl No {
    /// What it is about, whatever ports or protocols were named.
    pub fn packets(&self) -> Packets {
        let about = packets_of(&any_traffic(&self.targets));
        let devices = (0..DEVICES.len()).filter(|device| self.device.is_none_or(|meant| meant == *device));
        devices.fold(0, |all, device| all | (about << (device * PER_DEVICE)))
    }

    pub fn within(&self, targets: &[IpNet]) -> bool {
        let targets = IpNet::aggregate(&targets.to_vec());
        self.targets.iter().all(|own| targets.iter().any(|target| target.contains(own)))
    }
}

/// The consents, as whoever reads the reference would keep them.
#[derive(Default)]
pub struct Consents {
    /// What may be dropped for each request.
    pub of_request: BTreeMap<MitigationId, Allowed>,
    /// How sure the search was of each device, for each request.
    pub found: BTreeMap<(MitigationId, usize), Confidence>,
    /// What the administrator has quarantined himself.
    pub own: Packets,
    pub nos: Vec<No>,
    /// In whose name another one was seen to send, for each request: that is told once.
    pub spoofed: BTreeSet<(MitigationId, usize)>,
}

impl Consents {
    /// Whoever the rules name is acted upon without a question, if the search is sure of it and nobody has said no.
    pub fn add_by_rules(&mut self, ledger: &Ledger, timed_out: bool) {
        let policy = ledger.policy();
        let refused = self.nos.iter().fold(0, |all, no| all | no.packets());
        let too_wide =
            |m: &&Mitigation| m.scope().target_prefixes.iter().any(|p| p.addr().is_ipv4() && p.prefix_len() < 24);
        for m in ledger.all().filter(|m| m.asked() && m.state().is_open() && !too_wide(m)) {
            for (device, mac) in DEVICES.iter().enumerate() {
                let sure = self.found.get(&(m.id(), device)).is_some_and(|found| *found >= Confidence::Likely);
                let alone = match (policy.consent, policy.devices.get(mac)) {
                    (Consent::Observe, _) | (_, Some(DevicePolicy::Exempt)) => false,
                    _ if timed_out && policy.timeout_action == TimeoutAction::Approve => true,
                    (_, Some(DevicePolicy::Auto)) | (Consent::Auto, None) => true,
                    (Consent::Ask, None) | (_, Some(DevicePolicy::Ask)) => false,
                };
                for action in [Action::Block, policy.action] {
                    let at_all = effect(device, action, &any_traffic(&m.scope().target_prefixes));
                    if sure && alone && at_all & refused == 0 {
                        self.of_request.entry(m.id()).or_default().by_rules |= effect(device, action, m.scope());
                    }
                }
            }
        }
    }

    /// Whatever the rules forbid ends what was consented to.
    pub fn obey_rules(&mut self, policy: &Policy) {
        let exempt = |mac: &Mac| policy.devices.get(mac) == Some(&DevicePolicy::Exempt);
        for (device, _) in DEVICES.iter().enumerate().filter(|(_, mac)| exempt(mac)) {
            self.forget_device(device);
            self.own &= !device_bits(device);
        }
        if policy.consent == Consent::Observe {
            self.of_request.clear();
        }
    }

    pub fn forget_device(&mut self, device: usize) {
        self.of_request.values_mut().for_each(|allowed| allowed.forget(device_bits(device)));
    }

    /// What was said no to because of a request is nothing that the rules may do for any other, either.
    pub fn refuse(&mut self, about: &About, devices: &[usize], now: Now) {
        let until = now.instant + about.granted.max(seconds(86_400));
        let named = devices.iter().map(|device| Some(*device));
        let meant: Vec<Option<usize>> = if devices.is_empty() { vec![None] } else { named.collect() };
        for device in meant {
            let no = No { device, targets: about.scope.target_prefixes.clone(), until };
            for allowed in self.of_request.values_mut() {
                allowed.by_rules &= !no.packets();
                allowed.contested |= no.packets();
            }
            self.nos.push(no);
        }
    }

    /// A request took the place of others: of their consents, what it is about as well.
    pub fn succeed(
        &mut self,
        new: MitigationId,
        scope: &Scope,
        before: &BTreeMap<MitigationId, Scope>,
        ledger: &Ledger,
    ) {
        let about = (0..DEVICES.len()).fold(0, |all, device| all | effect(device, Action::Block, scope));
        let asked = |id: MitigationId| ledger.get(id).is_some_and(Mitigation::asked);
        for (old, old_scope) in before.iter().filter(|(old, _)| !asked(**old)) {
            let all_of_it = packets_of(scope) & !packets_of(old_scope) == 0;
            let Some(old) = self.of_request.get(old).copied() else { continue };
            let taken = if all_of_it { Packets::MAX } else { about } & !old.contested;
            let new = self.of_request.entry(new).or_default();
            new.by_person |= old.by_person & taken;
            new.by_rules |= old.by_rules & taken;
        }
    }
}

/// What of a request a decision about it is about.
pub struct About {
    pub id: MitigationId,
    pub scope: Scope,
    pub granted: Duration,
    /// Suspected or acted upon.
    pub devices: Vec<usize>,
    pub acted_upon: bool,
    pub pending: bool,
}

impl About {
    pub fn of(m: &Mitigation) -> Self {
        let macs = m.suspects().iter().map(|suspect| suspect.mac).chain(m.chosen().iter().copied());
        let mut devices: Vec<usize> = macs.map(index_of).collect();
        devices.sort_unstable();
        devices.dedup();
        let (acted_upon, pending) = (m.state().in_force(), m.state() == State::Pending);
        Self { id: m.id(), scope: m.scope().clone(), granted: m.granted(), devices, acted_upon, pending }
    }
}
