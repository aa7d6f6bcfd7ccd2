//! What a rule looks at and does, as expressions for the kernel.

use super::attributes::{attribute, nested, number, text};

/// NFT_REG_VERDICT; the first register of 16 bytes, which are four of four.
const VERDICT: u32 = 0;
const FIRST: u32 = 1;
const OF_FOUR_BYTES: u32 = 8;

/// NFT_CMP_EQ, NFT_CMP_NEQ, NFT_CMP_LTE, NFT_CMP_GTE
const EQUAL: u32 = 0;
const OTHER: u32 = 1;
const AT_MOST: u32 = 3;
const AT_LEAST: u32 = 5;

/// Linux's number of a kind of value, with its length in bytes; `nft` shows elements by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ValueKind {
    pub(super) number: u32,
    pub(super) length: u32,
}

impl ValueKind {
    /// `ipv4_addr`
    pub const IPV4: Self = Self { number: 7, length: 4 };
    /// `ipv6_addr`
    pub const IPV6: Self = Self { number: 8, length: 16 };
    /// `ether_addr`
    pub const ETHERNET: Self = Self { number: 9, length: 6 };
    /// `inet_proto`
    pub const PROTOCOL: Self = Self { number: 12, length: 1 };
    /// `inet_service`
    pub const PORT: Self = Self { number: 13, length: 2 };
    /// `icmp_type`
    pub const ICMP: Self = Self { number: 14, length: 1 };
    /// `icmpv6_type`
    pub const ICMPV6: Self = Self { number: 29, length: 1 };
    /// `fib_addrtype`
    pub const LOCALITY: Self = Self { number: 38, length: 4 };
    /// `iface_index`
    pub const LINK: Self = Self { number: 20, length: 4 };

    /// Values of these kinds one after the other, each filled up to whole registers.
    pub fn of(kinds: &[Self]) -> Self {
        let number = kinds.iter().fold(0, |number, kind| number << 6 | kind.number);
        Self { number, length: kinds.iter().map(|kind| kind.length.next_multiple_of(4)).sum() }
    }
}

/// What a rule does with a packet where all before it has matched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict<'a> {
    /// Drops it.
    Drop,
    /// Lets it go, as far as this table is concerned.
    Accept,
    /// Goes back to the chain it came from.
    Return,
    /// Goes to a chain and comes back.
    Jump(&'a str),
    /// Goes to a chain for good.
    Goto(&'a str),
}

/// Where a value of a packet is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// The Ethernet address of the sender, on links that have them.
    EtherSource,
    /// The Ethernet address of the receiver, on links that have them.
    EtherDestination,
    /// The IPv4 address of the sender.
    SourceV4,
    /// The IPv6 address of the sender.
    SourceV6,
    /// The IPv4 address of the receiver.
    DestinationV4,
    /// The IPv6 address of the receiver.
    DestinationV6,
    /// The protocol above IP.
    Protocol,
    /// The port of the receiver, of a protocol that has ports.
    DestinationPort,
    /// The type of an ICMP message.
    IcmpType,
    /// The type of an ICMPv6 message.
    Icmpv6Type,
    /// What the receiver's address is to this router, as its routes tell.
    Locality,
    /// The mark.
    Mark,
    /// The number of the link it came in by.
    Link,
}

impl Field {
    fn kind(self) -> ValueKind {
        match self {
            Self::EtherSource | Self::EtherDestination => ValueKind::ETHERNET,
            Self::SourceV4 | Self::DestinationV4 => ValueKind::IPV4,
            Self::SourceV6 | Self::DestinationV6 => ValueKind::IPV6,
            Self::Protocol => ValueKind::PROTOCOL,
            Self::DestinationPort => ValueKind::PORT,
            Self::IcmpType => ValueKind::ICMP,
            Self::Icmpv6Type => ValueKind::ICMPV6,
            Self::Locality => ValueKind::LOCALITY,
            Self::Mark | Self::Link => ValueKind::LINK,
        }
    }
}

/// A value, or all from one to another.
pub(super) type Range2 = (Vec<u8>, Vec<u8>);

/// The expressions of a rule, in order.
#[derive(Debug)]
pub struct Expressions {
    pub(super) list: Vec<u8>,
    pub(super) unnamed: Vec<(ValueKind, Vec<Range2>)>,
    pub(super) first: u32,
}

impl Expressions {
    /// Whether the field has one of these values, or lies in one of these ranges: sorted, and none touches the next.
    pub fn is_any_of(&mut self, field: Field, ranges: Vec<(Vec<u8>, Vec<u8>)>) {
        self.load(field, FIRST);
        match ranges.as_slice() {
            [(low, high)] if low == high => self.equals(low),
            [(low, high)] => {
                self.compare(AT_LEAST, low);
                self.compare(AT_MOST, high);
            }
            _ => {
                let id = self.first + u32::try_from(self.unnamed.len()).unwrap_or(u32::MAX);
                self.unnamed.push((field.kind(), ranges));
                self.add("lookup", |out| {
                    attribute(out, 1, &text("__set%d"));
                    number(out, 2, FIRST);
                    number(out, 4, id);
                });
            }
        }
    }

    /// Whether the field has another value.
    pub fn is_not(&mut self, field: Field, value: &[u8]) {
        self.load(field, FIRST);
        self.compare(OTHER, value);
    }

    /// Whether a set has the field's value.
    pub fn is_in(&mut self, field: Field, set: &str) {
        self.load(field, FIRST);
        self.add("lookup", |out| {
            attribute(out, 1, &text(set));
            number(out, 2, FIRST);
        });
    }

    /// What a map says of the field's value.
    pub fn by_map(&mut self, field: Field, map: &str) {
        self.load(field, FIRST);
        self.add("lookup", |out| {
            attribute(out, 1, &text(map));
            number(out, 2, FIRST);
            number(out, 3, VERDICT);
        });
    }

    /// Whether it has this mark.
    pub fn has_mark(&mut self, mark: u32) {
        self.load(Field::Mark, FIRST);
        self.equals(&mark.to_ne_bytes());
    }

    /// Marks it.
    pub fn set_mark(&mut self, mark: u32) {
        self.add("immediate", |out| {
            number(out, 1, FIRST);
            nested(out, 2, |out| attribute(out, 1, &mark.to_ne_bytes()));
        });
        self.add("meta", |out| {
            number(out, 2, 3);
            number(out, 3, FIRST);
        });
    }

    /// Notes these fields together in a set.
    pub fn note(&mut self, fields: &[Field], set: &str) {
        let mut register = OF_FOUR_BYTES;
        for field in fields {
            self.load(*field, if register == OF_FOUR_BYTES { FIRST } else { register });
            register += field.kind().length.div_ceil(4);
        }
        self.add("dynset", |out| {
            attribute(out, 1, &text(set));
            // NFT_DYNSET_OP_UPDATE
            number(out, 3, 1);
            number(out, 4, FIRST);
        });
    }

    /// Decides.
    pub fn verdict(&mut self, verdict: Verdict<'_>) {
        self.add("immediate", |out| {
            number(out, 1, VERDICT);
            nested(out, 2, |out| write_verdict(out, verdict));
        });
    }

    /// With what it depends on, as `nft` writes it.
    fn load(&mut self, field: Field, register: u32) {
        const LINK_HEADER: u32 = 0;
        const NETWORK_HEADER: u32 = 1;
        const TRANSPORT_HEADER: u32 = 2;
        const MARK: u32 = 3;
        const IIF: u32 = 4;
        const PROTOCOL: u32 = 16;
        match field {
            Field::EtherSource => self.payload(LINK_HEADER, 6, 6, register),
            Field::EtherDestination => self.payload(LINK_HEADER, 0, 6, register),
            Field::SourceV4 => self.payload(NETWORK_HEADER, 12, 4, register),
            Field::SourceV6 => self.payload(NETWORK_HEADER, 8, 16, register),
            Field::DestinationV4 => self.payload(NETWORK_HEADER, 16, 4, register),
            Field::DestinationV6 => self.payload(NETWORK_HEADER, 24, 16, register),
            Field::DestinationPort => self.payload(TRANSPORT_HEADER, 2, 2, register),
            Field::IcmpType | Field::Icmpv6Type => self.payload(TRANSPORT_HEADER, 0, 1, register),
            Field::Protocol => self.meta(PROTOCOL, register),
            Field::Mark => self.meta(MARK, register),
            Field::Link => self.meta(IIF, register),
            Field::Locality => self.add("fib", |out| {
                // NFT_FIB_RESULT_ADDRTYPE, NFTA_FIB_F_DADDR
                number(out, 1, register);
                number(out, 2, 3);
                number(out, 3, 2);
            }),
        }
    }

    /// Whether it came in by a link with Ethernet addresses (ARPHRD_ETHER).
    pub fn is_ethernet(&mut self) {
        const TYPE_OF_LINK: u32 = 8;
        self.meta(TYPE_OF_LINK, FIRST);
        self.equals(&1_u16.to_ne_bytes());
    }

    /// Whether it is of IP version 4, or else 6.
    pub fn is_v4(&mut self, v4: bool) {
        const PROTOCOL_FAMILY: u32 = 15;
        self.meta(PROTOCOL_FAMILY, FIRST);
        self.equals(&[if v4 { 2 } else { 10 }]);
    }

    /// Whether the protocol above IP is this one.
    pub fn is_protocol(&mut self, protocol: u8) {
        self.load(Field::Protocol, FIRST);
        self.equals(&[protocol]);
    }

    fn payload(&mut self, base: u32, offset: u32, length: u32, register: u32) {
        self.add("payload", |out| {
            for (kind, value) in [(1, register), (2, base), (3, offset), (4, length)] {
                number(out, kind, value);
            }
        });
    }

    fn meta(&mut self, key: u32, register: u32) {
        self.add("meta", |out| {
            number(out, 2, key);
            number(out, 1, register);
        });
    }

    fn equals(&mut self, value: &[u8]) {
        self.compare(EQUAL, value);
    }

    fn compare(&mut self, how: u32, value: &[u8]) {
        self.add("cmp", |out| {
            number(out, 1, FIRST);
            number(out, 2, how);
            nested(out, 3, |out| attribute(out, 1, value));
        });
    }

    fn add(&mut self, name: &str, write: impl FnOnce(&mut Vec<u8>)) {
        nested(&mut self.list, 1, |out| {
            attribute(out, 1, &text(name));
            nested(out, 2, write);
        });
    }
}

pub(super) fn write_verdict(out: &mut Vec<u8>, verdict: Verdict<'_>) {
    let (code, chain) = match verdict {
        Verdict::Drop => (0, None),
        Verdict::Accept => (1, None),
        Verdict::Jump(chain) => (-3, Some(chain)),
        Verdict::Goto(chain) => (-4, Some(chain)),
        Verdict::Return => (-5_i32, None),
    };
    nested(out, 2, |out| {
        attribute(out, 1, &code.to_be_bytes());
        if let Some(chain) = chain {
            attribute(out, 2, &text(chain));
        }
    });
}
