//! Conntrack over netlink: looking entries up, listing and deleting them, and what the kernel tells of their coming and
//! going.
//!
//! Nothing here lists by a filter. The kernel lets no packet through on that processor until an answer's buffer is full,
//! which one that leaves entries out never is: it walks the whole table in one go. A list of everything fills one small
//! buffer after the other. A deletion lets packets through after each few entries.

use std::net::{IpAddr, Ipv4Addr};

use netlink_bindings::conntrack::{PushConntrackAttrs, PushTupleAttrs, PushTupleIpAttrs};
use netlink_bindings::traits::Pusher;

use super::{ACK, DONE, DUMP, ECHO, ERROR, Raw, attributes, raw, request};
use crate::model::{Detail, Flow, Traffic, Tuple, protocol};

/// The multicast group of new entries (`NFNLGRP_CONNTRACK_NEW`).
pub const GROUP_NEW: u32 = 1;
/// The multicast group of entries that end (`NFNLGRP_CONNTRACK_DESTROY`).
pub const GROUP_DESTROY: u32 = 3;

/// The kernel has no such entry.
pub const ENOENT: i32 = 2;

/// An entry, in an answer or an event (`NFNL_SUBSYS_CTNETLINK`, `IPCTNL_MSG_CT_NEW`).
const NEW: u16 = 0x100;
const GET: u16 = 0x101;
const DELETE: u16 = 0x102;

/// Length of the `nfgenmsg` before the attributes.
const GENERAL: usize = 4;

/// An entry that has just been made (`NLM_F_CREATE`); without it, one that has changed.
const CREATED: u16 = 0x400;

/// Of the status of an entry: a flow table forwards it (`IPS_OFFLOAD`).
const OFFLOAD: u32 = 1 << 14;

/// Which direction of an entry is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// As the opener sent it, before NAT.
    Original,
    /// As answers are expected, after NAT.
    Reply,
}

impl By {
    fn opposite(self) -> Self {
        match self {
            Self::Original => Self::Reply,
            Self::Reply => Self::Original,
        }
    }
}

/// The family of the addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// The family of an address.
    pub fn of(address: IpAddr) -> Self {
        if address.is_ipv4() { Self::V4 } else { Self::V6 }
    }

    /// `AF_INET` or `AF_INET6`.
    pub(crate) fn number(self) -> u8 {
        match self {
            Self::V4 => 2,
            Self::V6 => 10,
        }
    }
}

/// Which IPv4 entries [`erase`] deletes, in all zones: by who sends in either direction.
///
/// There is none for IPv6: Linux (seen on 6.18) takes just those entries whose IPv6 addresses differ from the ones given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Filter {
    /// The direction in which `sender` sends.
    pub by: By,
    /// Who sends in it.
    pub sender: Ipv4Addr,
    /// Who sends in the other one.
    pub answerer: Ipv4Addr,
    /// The IANA number of the protocol; nothing: all.
    pub protocol: Option<u8>,
    /// The port from which `answerer` sends, compared only where a protocol that has ports is given; nothing: all.
    pub port: Option<u16>,
}

/// What the kernel says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message {
    /// An entry that was asked for, or has changed.
    Flow(Flow),
    /// An entry has been made.
    New(Flow),
    /// An entry has ended, with its last counters.
    Destroyed(Flow),
    /// A list is complete.
    Done,
    /// A request failed with this errno; 0: it is done.
    Error(i32),
    /// Something else.
    Other,
}

/// Asks for the one entry with this tuple in its zone. The answer is a [`Message::Flow`] and `Error(0)`, or `Error(ENOENT)`.
pub fn get(by: By, tuple: &Tuple, sequence: u32) -> Vec<u8> {
    let body = push_tuple(body(Family::of(tuple.source)), by, tuple).end_nested();
    request(GET, ACK, sequence, &body)
}

/// Deletes the entry with this original tuple; with `id`, only if it still is the same one. The answer is `Error(0)`, or
/// `Error(ENOENT)` where it has ended by itself.
pub fn delete(original: &Tuple, id: Option<u32>, sequence: u32) -> Vec<u8> {
    let mut attributes = push_tuple(body(Family::of(original.source)), By::Original, original);
    if let Some(id) = id {
        attributes = attributes.push_id(id);
    }
    request(DELETE, ACK, sequence, &attributes.end_nested())
}

/// Deletes all entries that the filter lets through. The answers are [`Message::Destroyed`] for each, with the sequence number
/// of an event, and `Error(0)`; kernels before 6.11 answer with another error, and delete nothing. An entry made before
/// anybody listened to events may go untold.
pub fn erase(filter: &Filter, sequence: u32) -> Vec<u8> {
    // Without the other's address a kernel that heeds no filter can't take it for the one entry with this tuple.
    let sender = push_sender(body(Family::V4), filter.by, filter.sender, None, None);
    let port = filter.port.filter(|_| filter.protocol.is_some_and(protocol::has_ports));
    let both = push_sender(sender, filter.by.opposite(), filter.answerer, filter.protocol, port);
    let mut answerer = compare::SOURCE;
    answerer |= filter.protocol.map_or(0, |_| compare::PROTOCOL) | port.map_or(0, |_| compare::SOURCE_PORT);
    let compared = both.nested_filter();
    let body = match filter.by {
        By::Original => compared.push_orig_flags(compare::SOURCE).push_reply_flags(answerer),
        By::Reply => compared.push_orig_flags(answerer).push_reply_flags(compare::SOURCE),
    };
    request(DELETE, ACK | ECHO, sequence, &body.end_nested().end_nested())
}

/// Asks for all entries of all zones: any number of [`Message::Flow`], then [`Message::Done`].
pub fn list(sequence: u32) -> Vec<u8> {
    request(GET, DUMP, sequence, &[0; 4])
}

/// Everything a datagram says, with the sequence numbers of the requests answered.
pub fn messages(datagram: &[u8]) -> impl Iterator<Item = (u32, Message)> {
    raw(datagram).map(|message| (message.sequence, read(&message)))
}

fn read(message: &Raw<'_>) -> Message {
    match message.kind {
        DONE => message.broken_off().map_or(Message::Done, Message::Error),
        ERROR => Message::Error(message.errno()),
        NEW => match flow(message.body) {
            Some(flow) if message.flags & CREATED != 0 => Message::New(flow),
            Some(flow) => Message::Flow(flow),
            None => Message::Other,
        },
        DELETE => flow(message.body).map_or(Message::Other, Message::Destroyed),
        _ => Message::Other,
    }
}

/// By hand, with the kernel's numbers (`enum ctattr_type`, …): in a busy home thousands of flows end a second.
fn flow(body: &[u8]) -> Option<Flow> {
    let (mut original, mut reply) = (None, None);
    let (mut id, mut zone) = (0, 0);
    let (mut sent, mut answered, mut offloaded) = (None, None, false);
    for attribute in attributes(body.get(GENERAL..)?) {
        let (number, value) = attribute?;
        match number {
            1 => original = Some(tuple(value)?),
            2 => reply = Some(tuple(value)?),
            3 => offloaded = u32::from_be_bytes(value.try_into().ok()?) & OFFLOAD != 0,
            9 => sent = Some(traffic(value)?),
            10 => answered = Some(traffic(value)?),
            // As delete() gives it back: the bytes count, not the number.
            12 => id = u32::from_be_bytes(value.try_into().ok()?),
            18 => zone = u16::from_be_bytes(value.try_into().ok()?),
            _ => {}
        }
    }
    // One zone at most: of both directions, or told within the tuple of the one that is in it.
    let placed = |tuple: Tuple| Tuple { zone: tuple.zone.max(zone), ..tuple };
    Some(Flow { id, original: placed(original?), reply: placed(reply?), sent, answered, offloaded })
}

fn traffic(value: &[u8]) -> Option<Traffic> {
    let mut traffic = Traffic::default();
    for attribute in attributes(value) {
        match attribute? {
            (1, packets) => traffic.packets = u64::from_be_bytes(packets.try_into().ok()?),
            (2, bytes) => traffic.bytes = u64::from_be_bytes(bytes.try_into().ok()?),
            _ => {}
        }
    }
    Some(traffic)
}

fn tuple(value: &[u8]) -> Option<Tuple> {
    let (mut addresses, mut protocol, mut zone) = (None, None, 0);
    for attribute in attributes(value) {
        match attribute? {
            (1, value) => addresses = Some(between(value)?),
            (2, value) => protocol = Some(of_protocol(value)?),
            (3, value) => zone = u16::from_be_bytes(value.try_into().ok()?),
            _ => {}
        }
    }
    let (source, destination) = addresses?;
    let (protocol, detail) = protocol?;
    Some(Tuple { source, destination, protocol, detail, zone })
}

fn between(value: &[u8]) -> Option<(IpAddr, IpAddr)> {
    let (mut source, mut destination) = (None, None);
    for attribute in attributes(value) {
        let (number, value) = attribute?;
        let address = match number {
            1 | 2 => IpAddr::from(<[u8; 4]>::try_from(value).ok()?),
            3 | 4 => IpAddr::from(<[u8; 16]>::try_from(value).ok()?),
            _ => continue,
        };
        if number % 2 == 1 {
            source = Some(address);
        } else {
            destination = Some(address);
        }
    }
    source.zip(destination)
}

fn of_protocol(value: &[u8]) -> Option<(u8, Detail)> {
    let byte = |value: &[u8]| value.first().copied();
    let word = |value: &[u8]| Some(u16::from_be_bytes(value.try_into().ok()?));
    let (mut protocol, mut ports, mut icmp) = (None, (None, None), (None, None, None));
    for attribute in attributes(value) {
        let (number, value) = attribute?;
        match number {
            1 => protocol = Some(byte(value)?),
            2 => ports.0 = Some(word(value)?),
            3 => ports.1 = Some(word(value)?),
            4 | 7 => icmp.2 = Some(word(value)?),
            5 | 8 => icmp.0 = Some(byte(value)?),
            6 | 9 => icmp.1 = Some(byte(value)?),
            _ => {}
        }
    }
    let detail = match (ports, icmp) {
        ((Some(source), Some(destination)), _) => Detail::Ports { source, destination },
        (_, (Some(kind), Some(code), Some(id))) => Detail::Icmp { kind, code, id },
        _ => Detail::None,
    };
    Some((protocol?, detail))
}

type Attributes = PushConntrackAttrs<Vec<u8>>;

/// Attributes after an `nfgenmsg`: the family, version 0, no resource.
fn body(family: Family) -> Attributes {
    PushConntrackAttrs::new(vec![family.number(), 0, 0, 0])
}

fn nested(attributes: Attributes, by: By) -> PushTupleAttrs<Attributes> {
    match by {
        By::Original => attributes.nested_tuple_orig(),
        By::Reply => attributes.nested_tuple_reply(),
    }
}

fn push_source<P: Pusher>(attributes: PushTupleIpAttrs<P>, address: IpAddr) -> PushTupleIpAttrs<P> {
    match address {
        IpAddr::V4(address) => attributes.push_ip_v4_src(address),
        IpAddr::V6(address) => attributes.push_ip_v6_src(address),
    }
}

fn push_destination<P: Pusher>(attributes: PushTupleIpAttrs<P>, address: IpAddr) -> PushTupleIpAttrs<P> {
    match address {
        IpAddr::V4(address) => attributes.push_ip_v4_dst(address),
        IpAddr::V6(address) => attributes.push_ip_v6_dst(address),
    }
}

fn push_tuple(attributes: Attributes, by: By, tuple: &Tuple) -> Attributes {
    let addresses = push_source(nested(attributes, by).nested_tuple_ip(), tuple.source);
    let protocol = push_destination(addresses, tuple.destination).end_nested().nested_tuple_proto();
    let protocol = protocol.push_proto_num(tuple.protocol);
    let protocol = match tuple.detail {
        Detail::Ports { source, destination } => protocol.push_proto_src_port(source).push_proto_dst_port(destination),
        Detail::Icmp { kind, code, id } if tuple.protocol == protocol::ICMPV6 => {
            protocol.push_proto_icmpv6_id(id).push_proto_icmpv6_type(kind).push_proto_icmpv6_code(code)
        }
        Detail::Icmp { kind, code, id } => {
            protocol.push_proto_icmp_id(id).push_proto_icmp_type(kind).push_proto_icmp_code(code)
        }
        Detail::None => protocol,
    };
    let attributes = protocol.end_nested().end_nested();
    // The kernel compares the zone of the direction it finds, so the other one's need not be told. One that knows no
    // zones refuses to hear of any.
    if tuple.zone == 0 { attributes } else { attributes.push_zone(tuple.zone) }
}

/// Which fields of a tuple the kernel shall compare.
mod compare {
    pub(super) const SOURCE: u32 = 1 << 0;
    pub(super) const PROTOCOL: u32 = 1 << 3;
    pub(super) const SOURCE_PORT: u32 = 1 << 4;
}

fn push_sender(
    attributes: Attributes,
    by: By,
    source: Ipv4Addr,
    protocol: Option<u8>,
    port: Option<u16>,
) -> Attributes {
    let tuple = push_source(nested(attributes, by).nested_tuple_ip(), source.into()).end_nested();
    let Some(number) = protocol else { return tuple.end_nested() };
    let mut protocol = tuple.nested_tuple_proto().push_proto_num(number);
    if let Some(port) = port {
        protocol = protocol.push_proto_src_port(port);
    }
    protocol.end_nested().end_nested()
}
