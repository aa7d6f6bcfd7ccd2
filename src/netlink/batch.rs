//! Changes of nf_tables over netlink: one batch is one transaction, all of it or nothing.
//!
//! Tables, sets, chains, rules and elements in the form `nft` sends them: `nft list` shows what text would have made.

use std::ops::Range;
use std::time::Duration;

use super::nftables::{Family, HEADER_OF_TABLES, Hook, kind};
use super::{ACK, HEADER, REQUEST};
use crate::model::Traffic;

/// Longest batch: the kernel takes no message longer than a socket's send buffer, 160 KiB where nobody has changed it.
pub const LONGEST: usize = 128 * 1024;

/// NFNL_MSG_BATCH_BEGIN, NFNL_MSG_BATCH_END; of no subsystem.
pub(crate) const BEGIN: u16 = 0x10;
pub(crate) const END: u16 = 0x11;

const NEW_TABLE: u8 = 0;
const DELETE_TABLE: u8 = 2;
const NEW_CHAIN: u8 = 3;
const DELETE_CHAIN: u8 = 5;
const NEW_RULE: u8 = 6;
const DELETE_RULE: u8 = 8;
const NEW_SET: u8 = 9;
const DELETE_SET: u8 = 11;
const NEW_ELEMENTS: u8 = 12;
const DELETE_ELEMENTS: u8 = 14;

const CREATE: u16 = 0x400;
const APPEND: u16 = 0x800;

/// Bytes of elements in one message: an attribute's length has 16 bits.
const MOST_ELEMENTS: usize = 32 * 1024;

const NESTED: u16 = 0x8000;

/// NFT_REG_VERDICT; the first register of 16 bytes, which are four of four.
const VERDICT: u32 = 0;
const FIRST: u32 = 1;
const OF_FOUR_BYTES: u32 = 8;

/// NFT_CMP_EQ, NFT_CMP_LTE, NFT_CMP_GTE
const EQUAL: u32 = 0;
const OTHER: u32 = 1;
const AT_MOST: u32 = 3;
const AT_LEAST: u32 = 5;

/// Linux's number of a kind of value, with its length in bytes; `nft` shows elements by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ValueKind {
    number: u32,
    length: u32,
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

/// What a set is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetUse {
    /// Elements that end by themselves, with or without counters.
    Timeouts {
        /// Whether each element counts what it matches.
        counts: bool,
    },
    /// What is in it stays, as long as rules look into it. Numbers in this machine's order of bytes.
    Constant,
    /// Rules fill it: so many elements, each for so long.
    Log {
        /// Most elements.
        size: u32,
        /// How long one stays.
        timeout: Duration,
    },
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

/// An element of a set or map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewElement<'a> {
    /// Its value.
    pub key: Vec<u8>,
    /// When it ends by itself.
    pub timeout: Option<Duration>,
    /// What its counter starts from.
    pub counted: Option<Traffic>,
    /// Of a map: what is done.
    pub verdict: Option<Verdict<'a>>,
    /// Whether it stands for the first value after a range.
    pub ends_range: bool,
}

impl NewElement<'_> {
    /// Just a value.
    pub fn of(key: Vec<u8>) -> Self {
        Self { key, timeout: None, counted: None, verdict: None, ends_range: false }
    }
}

/// A table of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Table {
    /// Its family.
    pub family: Family,
    /// Its name.
    pub name: &'static str,
}

/// A transaction being written.
#[derive(Debug)]
pub struct Batch {
    bytes: Vec<u8>,
    /// Where the last message begins.
    last: usize,
    /// Sets without a name so far.
    unnamed: u32,
}

impl Default for Batch {
    fn default() -> Self {
        Self::new()
    }
}

impl Batch {
    /// Begins one.
    pub fn new() -> Self {
        let mut batch = Self { bytes: Vec::new(), last: 0, unnamed: 0 };
        batch.bound(BEGIN);
        batch
    }

    /// The datagram; its messages bear this number, and so does the answer, which comes when all of it stands or nothing.
    pub fn finish(mut self, sequence: u32) -> Vec<u8> {
        let answered = self.last;
        self.bound(END);
        let mut start = 0;
        while let Some((header, _)) =
            self.bytes.get_mut(start..).and_then(|rest| rest.split_first_chunk_mut::<HEADER>())
        {
            let [l0, l1, l2, l3, _, _, f0, f1, s0, s1, s2, s3, ..] = header;
            [*s0, *s1, *s2, *s3] = sequence.to_ne_bytes();
            if start == answered {
                [*f0, *f1] = (u16::from_ne_bytes([*f0, *f1]) | ACK).to_ne_bytes();
            }
            start += usize::try_from(u32::from_ne_bytes([*l0, *l1, *l2, *l3])).unwrap_or(usize::MAX);
        }
        self.bytes
    }

    /// Makes a table, unless it is there.
    pub fn add_table(&mut self, table: Table) {
        self.message(table, NEW_TABLE, CREATE, |_| {});
    }

    /// Deletes a table with all there is in it.
    pub fn delete_table(&mut self, table: Table) {
        self.message(table, DELETE_TABLE, 0, |_| {});
    }

    /// Makes a map from ranges of values to verdicts, unless it is there.
    pub fn add_map(&mut self, table: Table, name: &str, kind: ValueKind) {
        const INTERVAL: u32 = 4;
        const MAP: u32 = 8;
        const VERDICT: u32 = 0xffff_ff00;
        self.message(table, NEW_SET, CREATE, |out| {
            attribute(out, 2, &text(name));
            number(out, 3, INTERVAL | MAP);
            number(out, 4, kind.number);
            number(out, 5, kind.length);
            number(out, 6, VERDICT);
            number(out, 7, 0);
            number(out, 10, u32::MAX);
        });
    }

    /// Makes a set, unless it is there.
    pub fn add_set(&mut self, table: Table, name: &str, kind: ValueKind, used: SetUse) {
        const CONSTANT: u32 = 2;
        const TIMEOUT: u32 = 0x10;
        const EVAL: u32 = 0x20;
        self.message(table, NEW_SET, CREATE, |out| {
            attribute(out, 2, &text(name));
            let flags = match used {
                SetUse::Constant => CONSTANT,
                SetUse::Timeouts { .. } => TIMEOUT,
                SetUse::Log { .. } => TIMEOUT | EVAL,
            };
            number(out, 3, flags);
            number(out, 4, kind.number);
            number(out, 5, kind.length);
            // An identifier is required; what is named is looked up by its name.
            number(out, 10, u32::MAX);
            match used {
                // NFTNL_UDATA_SET_KEYBYTEORDER, for whoever lists it.
                SetUse::Constant => attribute(out, 13, &[&[0, 4][..], &1_u32.to_ne_bytes()].concat()),
                SetUse::Timeouts { counts: false } => {}
                SetUse::Timeouts { counts: true } => nested(out, 17, |out| {
                    attribute(out, 1, &text("counter"));
                    nested(out, 2, |_| {});
                }),
                SetUse::Log { size, timeout } => {
                    nested(out, 9, |out| number(out, 1, size));
                    milliseconds(out, 11, timeout);
                }
            }
        });
    }

    /// Deletes a set that nothing refers to any more.
    pub fn delete_set(&mut self, table: Table, name: &str) {
        self.message(table, DELETE_SET, 0, |out| attribute(out, 2, &text(name)));
    }

    /// Makes a chain, unless it is there: one that the kernel calls, or one that others lead to.
    pub fn add_chain(&mut self, table: Table, name: &str, hook: Option<Hook>) {
        self.message(table, NEW_CHAIN, CREATE, |out| {
            attribute(out, 3, &text(name));
            if let Some(hook) = hook {
                let (place, priority) = hook.numbers();
                attribute(out, 7, &text("filter"));
                // Accepts what no rule decides.
                number(out, 5, 1);
                nested(out, 4, |out| {
                    number(out, 1, place);
                    attribute(out, 2, &priority.to_be_bytes());
                });
            }
        });
    }

    /// Takes all rules out of a chain.
    pub fn flush_chain(&mut self, table: Table, name: &str) {
        self.message(table, DELETE_RULE, 0, |out| attribute(out, 2, &text(name)));
    }

    /// Deletes an empty chain that nothing refers to any more.
    pub fn delete_chain(&mut self, table: Table, name: &str) {
        self.message(table, DELETE_CHAIN, 0, |out| attribute(out, 3, &text(name)));
    }

    /// Adds a rule at the end of a chain.
    pub fn add_rule(&mut self, table: Table, chain: &str, write: impl FnOnce(&mut Expressions)) {
        let mut expressions = Expressions { list: Vec::new(), unnamed: Vec::new(), first: self.unnamed };
        write(&mut expressions);
        let Expressions { list, unnamed, first } = expressions;
        for ((kind, values), id) in unnamed.into_iter().zip(first..) {
            self.add_unnamed(table, id, kind, &values);
        }
        self.message(table, NEW_RULE, CREATE | APPEND, |out| {
            attribute(out, 2, &text(chain));
            attribute(out, 4 | NESTED, &list);
        });
    }

    /// Adds elements; those that are there already stay as they are.
    pub fn add_elements(&mut self, table: Table, set: &str, elements: &[NewElement<'_>]) {
        self.elements(table, NEW_ELEMENTS, CREATE, elements, |out| attribute(out, 2, &text(set)));
    }

    /// Deletes elements, all of which must be there.
    pub fn delete_elements(&mut self, table: Table, set: &str, elements: &[NewElement<'_>]) {
        self.elements(table, DELETE_ELEMENTS, 0, elements, |out| attribute(out, 2, &text(set)));
    }

    /// How long it has become.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether it changes nothing so far.
    pub fn is_empty(&self) -> bool {
        self.last == 0
    }

    /// A set that belongs to one rule.
    fn add_unnamed(&mut self, table: Table, id: u32, kind: ValueKind, ranges: &[Range2]) {
        const ANONYMOUS: u32 = 1;
        const CONSTANT: u32 = 2;
        const INTERVAL: u32 = 4;
        self.unnamed = id + 1;
        let has_ranges = ranges.iter().any(|(low, high)| low != high);
        self.message(table, NEW_SET, CREATE, |out| {
            attribute(out, 2, &text("__set%d"));
            number(out, 3, ANONYMOUS | CONSTANT | if has_ranges { INTERVAL } else { 0 });
            number(out, 4, kind.number);
            number(out, 5, kind.length);
            number(out, 10, id);
        });
        let mut elements = Vec::new();
        for (low, high) in ranges {
            elements.push(NewElement::of(low.clone()));
            if has_ranges {
                elements.extend(after(high).map(|key| NewElement { ends_range: true, ..NewElement::of(key) }));
            }
        }
        self.elements(table, NEW_ELEMENTS, CREATE, &elements, |out| {
            attribute(out, 2, &text("__set%d"));
            number(out, 4, id);
        });
    }

    fn elements(
        &mut self,
        table: Table,
        message: u8,
        flags: u16,
        elements: &[NewElement<'_>],
        set: impl Fn(&mut Vec<u8>),
    ) {
        let mut rest = elements.iter().peekable();
        while rest.peek().is_some() {
            self.message(table, message, flags, |out| {
                set(out);
                nested(out, 3, |out| {
                    let full = out.len() + MOST_ELEMENTS;
                    while out.len() < full
                        && let Some(element) = rest.next()
                    {
                        nested(out, 1, |out| write_element(out, element));
                    }
                });
            });
        }
    }

    /// A message about a table.
    fn message(&mut self, table: Table, message: u8, flags: u16, write: impl FnOnce(&mut Vec<u8>)) {
        let header = [table.family.number(), 0, 0, 0];
        self.open(kind(message), flags, header);
        attribute(&mut self.bytes, 1, &text(table.name));
        write(&mut self.bytes);
        self.close();
    }

    /// The first message or the last.
    fn bound(&mut self, kind: u16) {
        self.open(kind, 0, HEADER_OF_TABLES);
        self.close();
    }

    fn open(&mut self, kind: u16, flags: u16, header: [u8; 4]) {
        self.last = self.bytes.len();
        self.bytes.extend([0; 4]);
        self.bytes.extend(kind.to_ne_bytes());
        self.bytes.extend((flags | REQUEST).to_ne_bytes());
        // The number comes last.
        self.bytes.extend([0; 8]);
        self.bytes.extend(header);
    }

    fn close(&mut self) {
        debug_assert!(self.bytes.len() >= self.last + HEADER);
        let length = u32::try_from(self.bytes.len() - self.last).unwrap_or(u32::MAX);
        if let Some(place) = self.bytes.get_mut(self.last..self.last + 4) {
            place.copy_from_slice(&length.to_ne_bytes());
        }
    }
}

/// A value, or all from one to another.
type Range2 = (Vec<u8>, Vec<u8>);

/// The expressions of a rule, in order.
#[derive(Debug)]
pub struct Expressions {
    list: Vec<u8>,
    unnamed: Vec<(ValueKind, Vec<Range2>)>,
    first: u32,
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

/// The value after this one, where there is one.
pub fn after(value: &[u8]) -> Option<Vec<u8>> {
    let mut next = value.to_vec();
    for byte in next.iter_mut().rev() {
        let (sum, carries) = byte.overflowing_add(1);
        *byte = sum;
        if !carries {
            return Some(next);
        }
    }
    None
}

fn write_element(out: &mut Vec<u8>, element: &NewElement<'_>) {
    if element.ends_range {
        number(out, 3, 1);
    }
    nested(out, 1, |out| attribute(out, 1, &element.key));
    if let Some(verdict) = element.verdict {
        nested(out, 2, |out| write_verdict(out, verdict));
    }
    if let Some(timeout) = element.timeout {
        milliseconds(out, 4, timeout);
    }
    if let Some(counted) = element.counted {
        nested(out, 7, |out| {
            attribute(out, 1, &text("counter"));
            nested(out, 2, |out| {
                attribute(out, 1, &counted.bytes.to_be_bytes());
                attribute(out, 2, &counted.packets.to_be_bytes());
            });
        });
    }
}

fn write_verdict(out: &mut Vec<u8>, verdict: Verdict<'_>) {
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

fn text(text: &str) -> Vec<u8> {
    [text.as_bytes(), &[0]].concat()
}

fn number(out: &mut Vec<u8>, kind: u16, value: u32) {
    attribute(out, kind, &value.to_be_bytes());
}

fn milliseconds(out: &mut Vec<u8>, kind: u16, time: Duration) {
    attribute(out, kind, &u64::try_from(time.as_millis()).unwrap_or(u64::MAX).to_be_bytes());
}

fn attribute(out: &mut Vec<u8>, kind: u16, value: &[u8]) {
    write(out, kind, |out| out.extend(value));
}

fn nested(out: &mut Vec<u8>, kind: u16, fill: impl FnOnce(&mut Vec<u8>)) {
    write(out, kind | NESTED, fill);
}

/// An attribute, filled up to whole words. What is longer than its length can say is refused by the kernel.
fn write(out: &mut Vec<u8>, kind: u16, fill: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend([0; 2]);
    out.extend(kind.to_ne_bytes());
    fill(out);
    let length = u16::try_from(out.len() - start).unwrap_or_default();
    if let Some(place) = out.get_mut(Range { start, end: start + 2 }) {
        place.copy_from_slice(&length.to_ne_bytes());
    }
    out.resize(out.len().next_multiple_of(4), 0);
}
