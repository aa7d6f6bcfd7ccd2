//! A device as the administrator sees it: what is known of it, joined with what is decided about it.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::house::House;
use crate::mitigation::{Action, DevicePolicy, Id, Mitigation, State};
use crate::source::device::Mac;
use crate::source::flow::Traffic;

/// What is in force against a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DeviceState {
    Free,
    Blocked,
    Quarantined,
    Exempt,
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

/// One device.
#[derive(Debug)]
pub(super) struct Device<'a> {
    pub(super) mac: Mac,
    pub(super) name: Option<&'a str>,
    pub(super) addresses: &'a [IpAddr],
    pub(super) interface: Option<&'a str>,
    pub(super) state: DeviceState,
    /// The open mitigations that suspect it or act on it.
    pub(super) mitigations: Vec<Id>,
    /// What the mitigations that act on it have dropped; of all their devices, where they act on several.
    pub(super) dropped: Traffic,
    pub(super) rate: Traffic,
}

/// All devices seen, suspected, acted upon or named by the policy.
pub(super) fn all<'a>(house: &'a House<'_>) -> Vec<Device<'a>> {
    let mut macs: BTreeSet<Mac> = house.inventory.devices().map(|device| device.mac).collect();
    macs.extend(house.ledger.policy().devices.keys());
    macs.extend(house.ledger.standings().map(|(mac, _)| mac));
    macs.extend(open(house).flat_map(|m| m.suspects().iter().map(|s| s.mac).chain(m.chosen().iter().copied())));
    macs.into_iter().map(|mac| describe(house, mac)).collect()
}

/// The device, if it is one of [`all`].
pub(super) fn find<'a>(house: &'a House<'_>, mac: Mac) -> Option<Device<'a>> {
    let known = house.inventory.device(mac).is_some()
        || house.ledger.policy().devices.contains_key(&mac)
        || house.ledger.standing(mac).is_some()
        || open(house).any(|m| concerns(m, mac));
    known.then(|| describe(house, mac))
}

fn describe<'a>(house: &'a House<'_>, mac: Mac) -> Device<'a> {
    let seen = house.inventory.device(mac);
    let suspect = open(house).flat_map(Mitigation::suspects).find(|suspect| suspect.mac == mac);
    let acting = || open(house).filter(|m| m.state().in_force() && m.chosen().contains(&mac));
    let quarantined = house.ledger.standing(mac).is_some() || acting().any(|m| m.action() == Action::Quarantine);
    let state = match house.ledger.policy().devices.get(&mac) {
        _ if quarantined => DeviceState::Quarantined,
        _ if acting().next().is_some() => DeviceState::Blocked,
        Some(DevicePolicy::Exempt) => DeviceState::Exempt,
        _ => DeviceState::Free,
    };
    Device {
        mac,
        name: seen.and_then(|device| device.name.as_deref()).or(suspect.and_then(|s| s.name.as_deref())),
        addresses: seen.map(|device| &device.addresses).or(suspect.map(|s| &s.addresses)).map_or(&[], Vec::as_slice),
        interface: seen.and_then(|device| device.interface.as_deref()).or(suspect.and_then(|s| s.interface.as_deref())),
        state,
        mitigations: open(house).filter(|m| concerns(m, mac)).map(Mitigation::id).collect(),
        dropped: sum(acting().map(Mitigation::dropped)),
        rate: sum(acting().map(Mitigation::rate)),
    }
}

/// Those the administrator has not answered with no.
fn open<'a>(house: &'a House<'_>) -> impl Iterator<Item = &'a Mitigation> {
    house.ledger.all().filter(|m| !matches!(m.state(), State::Rejected | State::Withdrawn | State::Expired))
}

fn concerns(m: &Mitigation, mac: Mac) -> bool {
    m.chosen().contains(&mac) || m.suspects().iter().any(|suspect| suspect.mac == mac)
}

fn sum(all: impl Iterator<Item = Traffic>) -> Traffic {
    all.fold(Traffic::default(), |sum, one| Traffic {
        packets: sum.packets.saturating_add(one.packets),
        bytes: sum.bytes.saturating_add(one.bytes),
    })
}
