//! What a quarantined device still gets from the router: addresses, names, its neighbours' link addresses and the web page.

use crate::model::protocol::{TCP, UDP};
use crate::model::{Detail, Tuple};

/// The router's ports that stay open, by protocol: its name in rules, its number.
const PORTS: [(&str, u8, &[u16]); 2] = [("udp", UDP, &[53, 67, 547]), ("tcp", TCP, &[53, 80, 443])];

/// What stays open besides. Conntrack keeps no flows of it.
const NEIGHBOURS: &str = "icmpv6 type { nd-router-solicit, nd-neighbor-solicit, nd-neighbor-advert } accept";

/// Returns the rules that let it in. `accept` is not final: the firewall's own chains come later and may still refuse.
pub(super) fn rules() -> impl Iterator<Item = String> {
    let ports = PORTS.iter().map(|(name, _, ports)| {
        let ports: Vec<String> = ports.iter().map(u16::to_string).collect();
        format!("{name} dport {{ {} }} accept", ports.join(", "))
    });
    ports.chain([NEIGHBOURS.to_owned()])
}

/// Whether a packet to the router is one of these.
pub(super) fn is_left_open(packet: &Tuple) -> bool {
    let Detail::Ports { destination, .. } = packet.detail else { return false };
    PORTS.iter().any(|(_, number, ports)| *number == packet.protocol && ports.contains(&destination))
}

/// Whether a packet is one that a quarantined device may send to another box of the home that serves names or leases.
pub(super) fn is_served_at_home(packet: &Tuple) -> bool {
    let Detail::Ports { destination, .. } = packet.detail else { return false };
    matches!((packet.protocol, destination), (UDP, 53 | 67) | (TCP, 53))
}
