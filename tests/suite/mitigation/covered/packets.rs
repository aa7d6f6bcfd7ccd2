//! Sets of packets, and what a scope drops, worked out a second time from the reference.

use std::net::IpAddr;
use std::sync::LazyLock;

use crate::support::ledger::*;
use dots_callhome::mitigation::Action;
use dots_callhome::model::{IcmpTypeRange, Mac, PortRange, Scope};
use ipnet::IpNet;

pub const DEVICES: [Mac; 3] = [CAMERA, TV, LAPTOP];
/// The last one is nobody's target: only a quarantine cuts it off.
pub static ADDRESSES: LazyLock<[IpAddr; 6]> = LazyLock::new(|| {
    ["203.0.113.0", "203.0.113.1", "203.0.113.2", "2001:db8:c000::1", "2001:db8:c000::2", "192.0.2.1"]
        .map(|address| address.parse().unwrap())
});
/// Protocol, and port or ICMP type.
pub const KINDS: [(u8, u16); 7] = [(6, 80), (6, 443), (17, 53), (1, 8), (1, 3), (58, 8), (47, 0)];
pub const PER_DEVICE: usize = 6 * KINDS.len();

/// A set of packets, a bit for each device, address and kind.
pub type Packets = u128;

pub fn device_bits(device: usize) -> Packets {
    ((1 << PER_DEVICE) - 1) << (device * PER_DEVICE)
}

pub fn index_of(mac: Mac) -> usize {
    DEVICES.iter().position(|device| *device == mac).unwrap()
}

/// What the reference says a block of `scope` drops of a device.
pub fn drops(scope: &Scope, address: IpAddr, protocol: u8, number: u16) -> bool {
    let icmp = if address.is_ipv4() { 1 } else { 58 };
    let has_ports = [6, 17].contains(&protocol);
    let named = scope.target_protocols.contains(&protocol);
    let (ports, types) = (!scope.target_ports.is_empty(), !scope.source_icmp_types.is_empty());
    let meant = match scope.target_protocols.is_empty() {
        false => named,
        true if !ports && !types => true,
        true if has_ports => ports || !scope.source_ports.is_empty(),
        true => types && protocol == icmp,
    };
    let port = !has_ports || !ports || scope.target_ports.iter().any(|range| range.contains(number));
    let kind = protocol != icmp
        || !types
        || scope.source_icmp_types.iter().any(|range| u8::try_from(number).is_ok_and(|number| range.contains(number)));
    scope.target_prefixes.iter().any(|prefix| prefix.contains(&address)) && meant && port && kind
}

pub fn packets_of(scope: &Scope) -> Packets {
    let mut packets = 0;
    for (at, address) in ADDRESSES.iter().enumerate() {
        for (kind, (protocol, number)) in KINDS.iter().enumerate() {
            if drops(scope, *address, *protocol, *number) {
                packets |= 1 << (at * KINDS.len() + kind);
            }
        }
    }
    packets
}

/// What an action against a device because of `scope` drops.
pub fn effect(device: usize, action: Action, scope: &Scope) -> Packets {
    match action {
        Action::Quarantine => device_bits(device),
        Action::Block => packets_of(scope) << (device * PER_DEVICE),
    }
}

pub fn any_traffic(targets: &[IpNet]) -> Scope {
    Scope { target_prefixes: targets.to_vec(), ..Scope::default() }
}

/// Scopes that differ in one thing each, so that each thing is compared.
pub static SCOPES: LazyLock<Vec<Scope>> = LazyLock::new(|| {
    let sources = &["198.51.100.7/32"];
    let base = scope(&["203.0.113.0/32"], sources);
    let ports = |low, high| vec![PortRange::new(low, high).unwrap()];
    let types = |low, high| vec![IcmpTypeRange::new(low, high).unwrap()];
    vec![
        base.clone(),
        scope(&["203.0.113.0/31"], sources),
        scope(&["203.0.113.0/32", "203.0.113.1/32"], sources),
        scope(&["203.0.113.0/24"], sources),
        scope(&["203.0.113.0/32", "2001:db8:c000::1/128"], sources),
        scope(&["2001:db8:c000::/64"], sources),
        Scope { target_ports: ports(80, 80), ..base.clone() },
        Scope { target_ports: ports(80, 443), ..base.clone() },
        Scope { target_protocols: vec![6], ..base.clone() },
        Scope { target_protocols: vec![6, 17], ..base.clone() },
        Scope { target_protocols: vec![6], target_ports: ports(80, 80), ..base.clone() },
        Scope { target_protocols: vec![1, 58], ..base.clone() },
        Scope { source_icmp_types: types(8, 8), ..base.clone() },
        Scope { source_icmp_types: types(3, 8), ..base.clone() },
        Scope { source_icmp_types: types(8, 8), source_ports: ports(4021, 4021), ..base.clone() },
        Scope { source_ports: ports(4021, 4021), ..base },
        scope(&["203.0.112.0/23"], sources),
    ]
});
