//! What a quarantined device still gets from the router: addresses, names, its neighbours' link addresses and the web page.

use std::net::Ipv6Addr;

use ipnet::Ipv6Net;

use super::rule::{Rule, Term};
use crate::model::protocol::{TCP, UDP};
use crate::model::{Detail, Tuple};
use crate::netlink::conntrack::Family;

/// The router's ports that stay open, by protocol.
const PORTS: [(u8, &[u16]); 2] = [(UDP, &[53, 67, 547]), (TCP, &[53, 80, 443])];

/// What stays open besides: router solicitations, and solicitations and advertisements of neighbours. Conntrack keeps no
/// flows of it.
const NEIGHBOURS: [u16; 3] = [133, 135, 136];

/// Returns the rules that let it in. `accept` is not final: the firewall's own chains come later and may still refuse.
pub(super) fn rules() -> impl Iterator<Item = Rule> {
    let each = |numbers: &[u16]| numbers.iter().map(|number| (*number, *number)).collect();
    let ports = PORTS.iter().map(move |(protocol, ports)| {
        Rule(vec![Term::Protocols(vec![*protocol]), Term::Ports(each(ports)), Term::Accept])
    });
    ports.chain([Rule(vec![Term::IcmpTypes(Family::V6, each(&NEIGHBOURS)), Term::Accept])])
}

/// Returns the rule that lets neighbours find each other where `br_netfilter` shows us frames between them: nobody forwards such a
/// packet to another link, and the bridge decides to which of its ports it may go.
pub(super) fn on_link() -> Rule {
    let link_local = Ipv6Net::new_assert(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10);
    let types = vec![(135, 136)];
    Rule(vec![Term::Targets(Family::V6, vec![link_local.into()]), Term::IcmpTypes(Family::V6, types), Term::Accept])
}

/// Whether a packet to the router is one of these.
pub(super) fn is_left_open(packet: &Tuple) -> bool {
    let Detail::Ports { destination, .. } = packet.detail else { return false };
    PORTS.iter().any(|(number, ports)| *number == packet.protocol && ports.contains(&destination))
}

/// Whether a packet is one that a quarantined device may send to another box of the home that serves names or leases.
pub(super) fn is_served_at_home(packet: &Tuple) -> bool {
    let Detail::Ports { destination, .. } = packet.detail else { return false };
    matches!((packet.protocol, destination), (UDP, 53 | 67) | (TCP, 53))
}
