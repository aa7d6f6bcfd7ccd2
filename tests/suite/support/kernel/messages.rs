//! Messages as the kernel writes them.

use std::net::IpAddr;

use dots_callhome::model::{Detail, Flow, Traffic, Tuple};

use crate::support::random::Dice;

/// An attribute, padded.
pub fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let mut bytes = (value.len() as u16 + 4).to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// An attribute that holds others.
pub fn nest(kind: u16, parts: &[Vec<u8>]) -> Vec<u8> {
    attribute(kind | 0x8000, &parts.concat())
}

/// A whole message, padded.
pub fn message(kind: u16, flags: u16, sequence: u32, body: &[u8]) -> Vec<u8> {
    let mut bytes = (body.len() as u32 + 16).to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(flags.to_ne_bytes());
    bytes.extend(sequence.to_ne_bytes());
    bytes.extend([0; 4]);
    bytes.extend(body);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

pub fn done(sequence: u32) -> Vec<u8> {
    message(3, 2, sequence, &[0; 4])
}

/// `NLMSG_ERROR`, with the request's header repeated.
pub fn error(errno: i32, sequence: u32) -> Vec<u8> {
    message(2, 0, sequence, &[&(-errno).to_ne_bytes()[..], &[0; 16]].concat())
}

pub fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

pub fn family(address: IpAddr) -> u8 {
    if address.is_ipv4() { 2 } else { 10 }
}

/// A string, with its end.
pub fn name(kind: u16, text: &str) -> Vec<u8> {
    attribute(kind, &[text.as_bytes(), &[0]].concat())
}

/// One direction of an entry: 1 for the original, 2 for the reply.
pub fn tuple(kind: u16, tuple: &Tuple) -> Vec<u8> {
    nest(kind, &parts(tuple))
}

fn parts(tuple: &Tuple) -> Vec<Vec<u8>> {
    let (from, to) = if tuple.source.is_ipv4() { (1, 2) } else { (3, 4) };
    let addresses = [attribute(from, &octets(tuple.source)), attribute(to, &octets(tuple.destination))];
    let mut protocol = vec![attribute(1, &[tuple.protocol])];
    match tuple.detail {
        Detail::Ports { source, destination } => {
            protocol.push(attribute(2, &source.to_be_bytes()));
            protocol.push(attribute(3, &destination.to_be_bytes()));
        }
        Detail::Icmp { kind, code, id } => {
            let first = if tuple.protocol == 58 { 7 } else { 4 };
            protocol.push(attribute(first, &id.to_be_bytes()));
            protocol.push(attribute(first + 1, &[kind]));
            protocol.push(attribute(first + 2, &[code]));
        }
        Detail::None => {}
    }
    vec![nest(1, &addresses), nest(2, &protocol)]
}

/// Both directions: a zone of both stands behind them, a zone of one in its tuple. None is zone 0.
fn tuples(original: &Tuple, reply: &Tuple) -> Vec<u8> {
    let both = original.zone == reply.zone;
    let zone = |kind, tuple: &Tuple, told| {
        if told && tuple.zone != 0 { vec![attribute(kind, &tuple.zone.to_be_bytes())] } else { Vec::new() }
    };
    let side = |kind, of| if both { tuple(kind, of) } else { nest(kind, &[parts(of), zone(3, of, true)].concat()) };
    [side(1, original), side(2, reply), zone(18, original, both).concat()].concat()
}

/// The original direction of an entry, as who asks for its deletion names it.
pub fn tuple_in_zone(original: &Tuple) -> Vec<u8> {
    let zone = if original.zone == 0 { Vec::new() } else { attribute(18, &original.zone.to_be_bytes()) };
    [tuple(1, original), zone].concat()
}

fn counters(kind: u16, traffic: Traffic) -> Vec<u8> {
    nest(kind, &[attribute(1, &traffic.packets.to_be_bytes()), attribute(2, &traffic.bytes.to_be_bytes())])
}

/// A conntrack entry in a message of this type: 0x100 or, when it ends, 0x102.
pub fn flow(kind: u16, flags: u16, sequence: u32, flow: &Flow) -> Vec<u8> {
    let mut body = vec![family(flow.original.source), 0, 0, 0];
    body.extend(tuples(&flow.original, &flow.reply));
    let offloaded = if flow.offloaded { 1 << 14 } else { 0 };
    body.extend(attribute(3, &(0x18e_u32 | offloaded).to_be_bytes()));
    body.extend(flow.sent.map(|traffic| counters(9, traffic)).unwrap_or_default());
    body.extend(flow.answered.map(|traffic| counters(10, traffic)).unwrap_or_default());
    body.extend(attribute(12, &flow.id.to_be_bytes()));
    body.extend(attribute(11, &1_u32.to_be_bytes()));
    message(kind, flags, sequence, &body)
}

pub fn link(kind: u16, sequence: u32, index: u32, name: &str, mac: [u8; 6]) -> Vec<u8> {
    let mut body = [&[0, 0, 1, 0][..], &index.to_ne_bytes(), &[0; 8]].concat();
    body.extend(attribute(3, format!("{name}\0").as_bytes()));
    body.extend(attribute(1, &mac));
    message(kind, 2, sequence, &body)
}

/// A port of a bridge, or a link that stands on another.
pub fn link_on(
    bridge: Option<u32>,
    lower: Option<u32>,
    kind: u16,
    sequence: u32,
    index: u32,
    name: &str,
    mac: [u8; 6],
) -> Vec<u8> {
    let mut body = [&[0, 0, 1, 0][..], &index.to_ne_bytes(), &[0; 8]].concat();
    body.extend(attribute(3, format!("{name}\0").as_bytes()));
    body.extend(attribute(1, &mac));
    body.extend(lower.map(|link| attribute(5, &link.to_ne_bytes())).unwrap_or_default());
    body.extend(bridge.map(|link| attribute(10, &link.to_ne_bytes())).unwrap_or_default());
    message(kind, 2, sequence, &body)
}

/// A link of another type (`ARPHRD_…`), without an Ethernet address.
pub fn link_of(kind_of_link: u16, kind: u16, sequence: u32, index: u32, name: &str) -> Vec<u8> {
    let mut body = [&[0, 0][..], &kind_of_link.to_ne_bytes(), &index.to_ne_bytes(), &[0; 8]].concat();
    body.extend(attribute(3, format!("{name}\0").as_bytes()));
    message(kind, 2, sequence, &body)
}

/// An address that the kernel has made of a router advertisement.
pub fn announced_address(index: u32, address: IpAddr, length: u8) -> Vec<u8> {
    let mut body = [&[family(address), length, 0, 0][..], &index.to_ne_bytes()].concat();
    body.extend(attribute(1, &octets(address)));
    body.extend(attribute(11, &[2]));
    message(20, 2, 0, &body)
}

pub fn address(kind: u16, sequence: u32, index: u32, address: IpAddr, length: u8) -> Vec<u8> {
    let mut body = [&[family(address), length, 0, 0][..], &index.to_ne_bytes()].concat();
    body.extend(attribute(1, &octets(address)));
    message(kind, 2, sequence, &body)
}

pub fn neighbour(kind: u16, sequence: u32, index: u32, address: IpAddr, state: u16, mac: Option<[u8; 6]>) -> Vec<u8> {
    let mut body = [&[family(address), 0, 0, 0][..], &index.to_ne_bytes(), &state.to_ne_bytes(), &[0, 1]].concat();
    body.extend(attribute(1, &octets(address)));
    body.extend(mac.map(|mac| attribute(2, &mac)).unwrap_or_default());
    message(kind, 2, sequence, &body)
}

/// An Ethernet address on a port of a bridge.
pub fn station(sequence: u32, port: u32, bridge: u32, mac: [u8; 6]) -> Vec<u8> {
    let mut body = [&[7, 0, 0, 0][..], &port.to_ne_bytes(), &2_u16.to_ne_bytes(), &[0, 0]].concat();
    body.extend(attribute(2, &mac));
    body.extend(attribute(9, &bridge.to_ne_bytes()));
    message(28, 2, sequence, &body)
}

/// What a route of the tests can say.
#[derive(Clone)]
pub struct Route {
    pub to: ipnet::IpNet,
    pub from: Option<ipnet::IpNet>,
    pub gateway: Option<IpAddr>,
    pub link: u32,
    pub kind: u8,
    pub metric: u32,
    pub table: u8,
}

impl Route {
    pub fn new(to: &str, gateway: Option<&str>, link: u32) -> Self {
        let gateway = gateway.map(|text| text.parse().unwrap());
        Self { to: to.parse().unwrap(), from: None, gateway, link, kind: 1, metric: 0, table: 254 }
    }
}

pub fn route(kind: u16, flags: u16, sequence: u32, route: &Route) -> Vec<u8> {
    route_by(3, kind, flags, sequence, route)
}

/// The same of whoever makes routes with this number (`RTPROT_…`).
pub fn route_by(protocol: u8, kind: u16, flags: u16, sequence: u32, route: &Route) -> Vec<u8> {
    let from = route.from.map_or(0, |net| net.prefix_len());
    let mut body =
        vec![family(route.to.addr()), route.to.prefix_len(), from, 0, route.table, protocol, 0, route.kind, 0, 0, 0, 0];
    if route.to.prefix_len() > 0 {
        body.extend(attribute(1, &octets(route.to.addr())));
    }
    body.extend(route.from.map(|net| attribute(2, &octets(net.addr()))).unwrap_or_default());
    body.extend(attribute(4, &route.link.to_ne_bytes()));
    body.extend(route.gateway.map(|gateway| attribute(5, &octets(gateway))).unwrap_or_default());
    body.extend(attribute(6, &route.metric.to_ne_bytes()));
    body.extend(attribute(15, &u32::from(route.table).to_ne_bytes()));
    message(kind, flags, sequence, &body)
}

/// Every prefix of the bytes, and as many copies with some bits turned.
pub fn hostile(bytes: &[u8], copies: usize) -> impl Iterator<Item = Vec<u8>> {
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let cut = (0..=bytes.len()).map(|length| bytes[..length].to_vec());
    let flipped = (0..copies).map(move |_| {
        let mut copy = bytes.to_vec();
        for _ in 0..=dice.below(4) {
            let at = dice.below(copy.len());
            copy[at] ^= 1 << dice.below(8);
        }
        copy
    });
    cut.chain(flipped)
}
