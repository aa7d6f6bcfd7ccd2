//! What nf_tables tells over netlink: the elements of a set with their counters, rules, and that something has changed.

use std::ffi::CStr;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use netlink_bindings::nftables::{
    ExprOps, IterableSetelemAttrs, IterableSetelemListAttrs, Nfgenmsg, OpGetruleDump, OpGetsetelemDump,
    SetelemListElemAttrs,
};

use super::{DONE, DUMP, ERROR, Raw, raw, request};
use crate::model::{Mac, Traffic};

/// NFNL_SUBSYS_NFTABLES in the upper byte of the type.
const NFTABLES: u16 = 10;
const DELETE_TABLE: u8 = 2;
/// The header of a batch's first and last message: about no family, for nf_tables.
pub(crate) const HEADER_OF_TABLES: [u8; 4] = [0, 0, 0, 10];
const NEW_RULE: u8 = 6;
const GET_RULE: u8 = 7;
const NEW_ELEMENTS: u8 = 12;
const GET_ELEMENTS: u8 = 13;
/// NFT_MSG_NEWGEN, the first of the messages that speak of no table of ours.
const NEW_GENERATION: u8 = 15;

/// The families we have tables in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Family {
    /// IPv4 and IPv6.
    Inet,
    /// Frames from one port of a bridge to another.
    Bridge,
}

impl Family {
    /// NFPROTO_INET, NFPROTO_BRIDGE
    pub(crate) fn number(self) -> u8 {
        match self {
            Self::Inet => 1,
            Self::Bridge => 7,
        }
    }

    /// The word nft uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Inet => "inet",
            Self::Bridge => "bridge",
        }
    }
}

/// Where the kernel calls a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    /// As packets come in, before conntrack sees them.
    Prerouting,
    /// On the way from one link to another.
    Forward,
}

impl Hook {
    /// NF_INET_PRE_ROUTING with NF_IP_PRI_RAW; NF_BR_FORWARD with NF_BR_PRI_FILTER_BRIDGED.
    pub(crate) fn numbers(self) -> (u32, i32) {
        match self {
            Self::Prerouting => (0, -300),
            Self::Forward => (2, -200),
        }
    }

    /// The words nft uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Prerouting => "prerouting priority raw",
            Self::Forward => "forward priority filter",
        }
    }
}

/// An element of a set of Ethernet addresses, or of one of `ether_addr . ipv4_addr . iface_index` (or `ipv6_addr`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Element {
    /// The Ethernet address.
    pub mac: Mac,
    /// The rest of the key: the IP address, and the number of the link.
    pub place: Option<(IpAddr, u32)>,
    /// What its counter shows, if it has one.
    pub counted: Option<Traffic>,
}

/// What one message says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Elements of the set that was asked for, or that have been added to some set.
    Elements(Vec<Element>),
    /// So many verdicts of the map that was asked for, or that have been added to some map.
    Verdicts(usize),
    /// A rule of the table that was asked for, or that has been added to some table.
    Rule,
    /// The answer is complete.
    Done,
    /// The request has failed with this errno, or was done (0).
    Error(i32),
    /// Anything else.
    Other,
}

/// Asks for all elements of a set.
pub fn elements(family: Family, table: &str, set: &str, sequence: u32) -> Vec<u8> {
    let mut body = Vec::new();
    OpGetsetelemDump::encode_request(&mut body, &header(family))
        .push_table_bytes(table.as_bytes())
        .push_set_bytes(set.as_bytes());
    request(kind(GET_ELEMENTS), DUMP, sequence, &body)
}

/// Asks for all rules of a table.
pub fn rules(family: Family, table: &str, sequence: u32) -> Vec<u8> {
    let mut body = Vec::new();
    OpGetruleDump::encode_request(&mut body, &header(family)).push_table_bytes(table.as_bytes());
    request(kind(GET_RULE), DUMP, sequence, &body)
}

/// The messages of a datagram, each with the sequence number of the request it answers. What is cut off is left out.
pub fn messages(datagram: &[u8]) -> impl Iterator<Item = (u32, Message)> {
    raw(datagram).map(|message| (message.sequence, read(&message)))
}

/// Whether a datagram of events speaks of a table of this name, in whatever family.
pub fn touches(datagram: &[u8], table: &str) -> bool {
    is_touched_by_others(datagram, table, None)
}

/// Whether it tells of what anybody has done but who sends from this port.
pub fn is_touched_by_others(datagram: &[u8], table: &str, own: Option<u32>) -> bool {
    let foreign = |message: &Raw<'_>| own.is_none_or(|own| own != message.port);
    raw(datagram).any(|message| foreign(&message) && table_of(&message) == Some(table.as_bytes()))
}

/// How a batch has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// The number it was sent with.
    pub sequence: u32,
    /// The port it was sent from.
    pub port: u32,
    /// The errno, or 0.
    pub errno: i32,
}

/// The answers to batches in a datagram.
pub fn ends(datagram: &[u8]) -> impl Iterator<Item = End> {
    let errors = raw(datagram).filter(|message| message.kind == ERROR);
    errors.map(|message| End { sequence: message.sequence, port: message.port, errno: message.errno() })
}

/// Whether a datagram of events says that a table of this name is gone.
pub fn removes(datagram: &[u8], table: &str) -> bool {
    let gone = |message: &Raw<'_>| message_of(message) == Some(DELETE_TABLE);
    raw(datagram).any(|message| gone(&message) && table_of(&message) == Some(table.as_bytes()))
}

fn header(family: Family) -> Nfgenmsg {
    Nfgenmsg { nfgen_family: family.number(), ..Nfgenmsg::default() }
}

pub(crate) fn kind(message: u8) -> u16 {
    NFTABLES << 8 | u16::from(message)
}

/// Which message of nf_tables it is.
fn message_of(raw: &Raw<'_>) -> Option<u8> {
    let [message, subsystem] = raw.kind.to_le_bytes();
    (u16::from(subsystem) == NFTABLES).then_some(message)
}

fn read(raw: &Raw<'_>) -> Message {
    match (raw.kind, message_of(raw)) {
        (DONE, _) => raw.broken_off().map_or(Message::Done, Message::Error),
        (ERROR, _) => Message::Error(raw.errno()),
        (_, Some(NEW_RULE)) => Message::Rule,
        (_, Some(NEW_ELEMENTS)) => {
            let (_, list) = OpGetsetelemDump::decode_request(raw.body);
            match verdicts(&list) {
                0 => Message::Elements(read_elements(&list)),
                verdicts => Message::Verdicts(verdicts),
            }
        }
        _ => Message::Other,
    }
}

/// The table a message is about. All but the last few kinds name it in the same attribute.
fn table_of<'a>(raw: &Raw<'a>) -> Option<&'a [u8]> {
    message_of(raw).filter(|message| *message < NEW_GENERATION)?;
    let (_, attributes) = OpGetsetelemDump::decode_request(raw.body);
    attributes.get_table().ok().map(CStr::to_bytes)
}

/// How many elements bear a verdict. Those that end ranges do not.
fn verdicts(list: &IterableSetelemListAttrs<'_>) -> usize {
    let elements = list.get_elements().into_iter().flatten().flatten();
    elements.filter(|SetelemListElemAttrs::Elem(element)| element.get_data().is_ok()).count()
}

fn read_elements(list: &IterableSetelemListAttrs<'_>) -> Vec<Element> {
    let elements = list.get_elements().into_iter().flatten().flatten();
    elements.filter_map(|SetelemListElemAttrs::Elem(element)| read_element(&element)).collect()
}

fn read_element(element: &IterableSetelemAttrs<'_>) -> Option<Element> {
    let key = element.get_key().ok()?.get_value().ok()?;
    let counter = element.get_expr().ok().and_then(|expression| expression.get_data().ok());
    let counted = match counter {
        Some(ExprOps::Counter(counter)) => {
            counter.get_packets().and_then(|packets| Ok(Traffic { packets, bytes: counter.get_bytes()? })).ok()
        }
        _ => None,
    };
    let (mac, place) = read_key(key)?;
    Some(Element { mac, place, counted })
}

/// The parts of a key fill whole registers of four bytes.
fn read_key(key: &[u8]) -> Option<(Mac, Option<(IpAddr, u32)>)> {
    let (mac, rest) = key.split_first_chunk::<6>()?;
    let place = match rest {
        [] => None,
        [0, 0, rest @ ..] => {
            let (address, link) = rest.split_last_chunk::<4>()?;
            let v4 = || <[u8; 4]>::try_from(address).map(|octets| Ipv4Addr::from(octets).into());
            let v6 = || <[u8; 16]>::try_from(address).map(|octets| Ipv6Addr::from(octets).into());
            Some((v4().or_else(|_| v6()).ok()?, u32::from_ne_bytes(*link)))
        }
        _ => return None,
    };
    Some((Mac(*mac), place))
}
