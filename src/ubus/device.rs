//! A device as the administrator sees it: what is known of it, joined with what is decided about it.

use std::net::IpAddr;

use vecset::VecMap;

use super::context::CallContext;
use crate::mitigation::{Action, DevicePolicy, Mitigation, State};
use crate::model::{Mac, MitigationId, Traffic};

/// What is in force against a device; what goes further comes later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum DeviceState {
    Free,
    Exempt,
    Blocked,
    Quarantined,
}

impl DeviceState {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Free => "free",
            Self::Blocked => "blocked",
            Self::Quarantined => "quarantined",
            Self::Exempt => "exempt",
        }
    }
}

/// One device, as a line of `devices` shows it.
#[derive(Debug)]
pub(super) struct DeviceView<'a> {
    pub(super) mac: Mac,
    pub(super) name: Option<&'a str>,
    pub(super) addresses: &'a [IpAddr],
    pub(super) interface: Option<&'a str>,
    pub(super) state: DeviceState,
    /// The open mitigations that suspect it or act on it.
    pub(super) mitigations: Vec<MitigationId>,
    /// What has been dropped of it while anything is in force against it.
    pub(super) dropped: Traffic,
    /// What the mitigations that act on it drop a second; of all their devices, where they act on several.
    pub(super) rate: Traffic,
}

impl<'a> DeviceView<'a> {
    fn new(mac: Mac) -> Self {
        Self {
            mac,
            name: None,
            addresses: &[],
            interface: None,
            state: DeviceState::Free,
            mitigations: Vec::new(),
            dropped: Traffic::default(),
            rate: Traffic::default(),
        }
    }

    /// Fills in what nobody better has told.
    fn is_known_as(&mut self, name: Option<&'a str>, addresses: &'a [IpAddr], interface: Option<&'a str>) {
        self.name = self.name.or(name);
        self.interface = self.interface.or(interface);
        if self.addresses.is_empty() {
            self.addresses = addresses;
        }
    }

    fn is_acted_on(&mut self, m: &Mitigation) {
        let state = if m.action() == Action::Quarantine { DeviceState::Quarantined } else { DeviceState::Blocked };
        self.state = self.state.max(state);
        self.rate = self.rate.plus(m.rate());
    }
}

/// All devices seen, suspected, acted upon or named by the policy.
pub(super) fn all<'a>(context: &'a CallContext<'_>) -> VecMap<Mac, DeviceView<'a>> {
    collect(context, |_| true)
}

/// The device, if it is one of [`all`].
pub(super) fn find<'a>(context: &'a CallContext<'_>, mac: Mac) -> Option<DeviceView<'a>> {
    collect(context, |other| other == mac).remove(&mac)
}

fn collect<'a>(context: &'a CallContext<'_>, wanted: impl Fn(Mac) -> bool) -> VecMap<Mac, DeviceView<'a>> {
    let mut devices = VecMap::new();
    for seen in context.inventory.devices().filter(|seen| wanted(seen.mac)) {
        entry(&mut devices, seen.mac).is_known_as(None, &seen.addresses, seen.interface.as_deref());
    }
    for (mac, policy) in context.ledger.policy().devices.iter().filter(|(mac, _)| wanted(**mac)) {
        let device = entry(&mut devices, *mac);
        if *policy == DevicePolicy::Exempt {
            device.state = DeviceState::Exempt;
        }
    }
    for (mac, _) in context.ledger.manual_quarantines().filter(|(mac, _)| wanted(*mac)) {
        entry(&mut devices, mac).state = DeviceState::Quarantined;
    }
    for m in context.ledger.all().filter(|m| is_open(m.state())) {
        for suspect in m.suspects().iter().filter(|suspect| wanted(suspect.mac)) {
            let device = entry(&mut devices, suspect.mac);
            device.is_known_as(suspect.name.as_deref(), &suspect.addresses, suspect.interface.as_deref());
            device.mitigations.push(m.id());
        }
        for mac in m.chosen().iter().filter(|mac| wanted(**mac)) {
            let device = entry(&mut devices, *mac);
            if device.mitigations.last() != Some(&m.id()) {
                device.mitigations.push(m.id());
            }
            if m.state().in_force() {
                device.is_acted_on(m);
            }
        }
    }
    for device in devices.values_mut() {
        device.name = context.inventory.name_of(device.mac).or(device.name);
        device.dropped = context.enforcer.dropped_by(device.mac);
    }
    devices
}

fn entry<'m, 'a>(devices: &'m mut VecMap<Mac, DeviceView<'a>>, mac: Mac) -> &'m mut DeviceView<'a> {
    devices.entry(mac).or_insert_with(|| DeviceView::new(mac))
}

/// Whether the administrator has not answered with no.
fn is_open(state: State) -> bool {
    !matches!(state, State::Rejected | State::Withdrawn | State::Expired)
}
