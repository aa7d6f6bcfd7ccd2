//! What conntrack is asked, taken apart.

use std::net::IpAddr;

use dots_callhome::model::{Detail, Tuple};
use netlink_bindings::conntrack::{ConntrackAttrs, FilterAttrs, OpGetDo, TupleAttrs, TupleIpAttrs, TupleProtoAttrs};

/// What a request says of a tuple.
#[derive(Debug, Default)]
pub struct Partial {
    source: Option<IpAddr>,
    destination: Option<IpAddr>,
    protocol: Option<u8>,
    from: Option<u16>,
    to: Option<u16>,
    icmp: (Option<u8>, Option<u8>, Option<u16>),
    zone: u16,
}

impl Partial {
    /// Whether it can't be the whole tuple of an entry.
    pub fn is_incomplete(&self) -> bool {
        self.source.is_none() || self.destination.is_none() || self.protocol.is_none()
    }

    /// As the kernel compares: the fields of the flags, all others not at all.
    pub fn matches(&self, tuple: &Tuple, flags: u32) -> bool {
        let (from, to, icmp) = match tuple.detail {
            Detail::Ports { source, destination } => (Some(source), Some(destination), (None, None, None)),
            Detail::Icmp { kind, code, id } => (None, None, (Some(kind), Some(code), Some(id))),
            Detail::None => (None, None, (None, None, None)),
        };
        let fields = [
            (0, self.source == Some(tuple.source)),
            (1, self.destination == Some(tuple.destination)),
            (2, self.zone == tuple.zone),
            (3, self.protocol == Some(tuple.protocol)),
            (4, self.from == from),
            (5, self.to == to),
            (6, self.icmp == icmp),
        ];
        fields.iter().all(|(bit, same)| flags & (1 << bit) == 0 || *same)
    }
}

/// The tuples of a request, original and reply, and the flags of its filter.
pub fn decode(body: &[u8]) -> ([Option<Partial>; 2], [Option<u32>; 2]) {
    let (mut tuples, mut flags, mut zone) = ([None, None], [None, None], 0);
    let (_, attributes) = OpGetDo::decode_request(body);
    for attribute in attributes {
        match attribute.unwrap() {
            ConntrackAttrs::TupleOrig(attributes) => tuples[0] = Some(partial(attributes)),
            ConntrackAttrs::TupleReply(attributes) => tuples[1] = Some(partial(attributes)),
            ConntrackAttrs::Filter(attributes) => {
                for attribute in attributes {
                    match attribute.unwrap() {
                        FilterAttrs::OrigFlags(value) => flags[0] = Some(value),
                        FilterAttrs::ReplyFlags(value) => flags[1] = Some(value),
                    }
                }
            }
            ConntrackAttrs::Zone(number) => zone = number,
            _ => panic!("an attribute the kernel would not expect"),
        }
    }
    (tuples.map(|tuple| tuple.map(|tuple| Partial { zone, ..tuple })), flags)
}

fn partial(attributes: netlink_bindings::conntrack::IterableTupleAttrs<'_>) -> Partial {
    let mut partial = Partial::default();
    for attribute in attributes {
        match attribute.unwrap() {
            TupleAttrs::TupleIp(attributes) => {
                for attribute in attributes {
                    match attribute.unwrap() {
                        TupleIpAttrs::IpV4Src(address) => partial.source = Some(address.into()),
                        TupleIpAttrs::IpV4Dst(address) => partial.destination = Some(address.into()),
                        TupleIpAttrs::IpV6Src(address) => partial.source = Some(address.into()),
                        TupleIpAttrs::IpV6Dst(address) => partial.destination = Some(address.into()),
                    }
                }
            }
            TupleAttrs::TupleProto(attributes) => {
                for attribute in attributes {
                    match attribute.unwrap() {
                        TupleProtoAttrs::ProtoNum(number) => partial.protocol = Some(number),
                        TupleProtoAttrs::ProtoSrcPort(port) => partial.from = Some(port),
                        TupleProtoAttrs::ProtoDstPort(port) => partial.to = Some(port),
                        TupleProtoAttrs::ProtoIcmpType(kind) | TupleProtoAttrs::ProtoIcmpv6Type(kind) => {
                            partial.icmp.0 = Some(kind);
                        }
                        TupleProtoAttrs::ProtoIcmpCode(code) | TupleProtoAttrs::ProtoIcmpv6Code(code) => {
                            partial.icmp.1 = Some(code);
                        }
                        TupleProtoAttrs::ProtoIcmpId(id) | TupleProtoAttrs::ProtoIcmpv6Id(id) => {
                            partial.icmp.2 = Some(id);
                        }
                    }
                }
            }
            TupleAttrs::TupleZone(_) => panic!("the kernel would take the other direction to be in zone 0"),
        }
    }
    partial
}
