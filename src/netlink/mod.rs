//! What the kernel is asked and tells over netlink: bytes to types and back, no sockets.
//!
//! A datagram holds messages one after the other, each a header and a body. Whatever does not parse is skipped: a message
//! cut short or of a kind nobody asked for must not stop what follows it.

mod attributes;
pub mod batch;
pub mod conntrack;
mod exchange;
pub mod expressions;
pub mod neighbour;
pub mod nftables;

pub(crate) use exchange::Exchange;
use netlink_bindings::utils::{nla_align_up, parse_i32, parse_u16, parse_u32};

/// Length of the header before every message.
const HEADER: usize = 16;

/// A request (`NLM_F_REQUEST`).
pub(crate) const REQUEST: u16 = 0x001;
/// A request whose end is to be told (`NLM_F_ACK`).
pub(crate) const ACK: u16 = 0x004;
/// A request that is told of what it has changed (`NLM_F_ECHO`).
pub(crate) const ECHO: u16 = 0x008;
/// A request for all there is (`NLM_F_DUMP`).
pub(crate) const DUMP: u16 = 0x300;

/// An error or, with 0, an acknowledgement.
pub(crate) const ERROR: u16 = 2;
/// The end of a dump.
pub(crate) const DONE: u16 = 3;

/// One message of a datagram.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Raw<'a> {
    /// Its type.
    pub(crate) kind: u16,
    /// The flags of its header.
    pub(crate) flags: u16,
    /// The sequence number of the request it answers; 0 for what the kernel tells by itself.
    pub(crate) sequence: u32,
    /// The port of who is answered, or has brought about what is told; 0 for the kernel.
    pub(crate) port: u32,
    /// What follows the header.
    pub(crate) body: &'a [u8],
}

impl Raw<'_> {
    /// The positive errno of an `NLMSG_ERROR`, 0 for an acknowledgement. A body too short for one counts as `EBADMSG`.
    pub(crate) fn errno(&self) -> i32 {
        const EBADMSG: i32 = 74;
        parse_i32(self.body).map_or(EBADMSG, |errno| errno.checked_neg().unwrap_or(EBADMSG))
    }

    /// Why a dump ended early, by its `NLMSG_DONE`; nothing: it is complete.
    pub(crate) fn broken_off(&self) -> Option<i32> {
        Some(self.errno()).filter(|errno| !self.body.is_empty() && *errno > 0)
    }
}

/// The messages of a datagram, as far as their lengths make sense.
pub(crate) fn raw(mut datagram: &[u8]) -> impl Iterator<Item = Raw<'_>> {
    std::iter::from_fn(move || {
        let (header, _) = datagram.split_at_checked(HEADER)?;
        let length = usize::try_from(parse_u32(header)?).ok()?;
        let body = datagram.get(HEADER..length)?;
        let message = Raw {
            kind: parse_u16(header.get(4..)?)?,
            flags: parse_u16(header.get(6..)?)?,
            sequence: parse_u32(header.get(8..12)?)?,
            port: parse_u32(header.get(12..16)?)?,
            body,
        };
        datagram = datagram.get(nla_align_up(length)..).unwrap_or_default();
        Some(message)
    })
}

/// The attributes of a body, or of an attribute that nests others: their numbers and values. Nothing in place of one whose
/// length makes no sense, which is the last.
pub(crate) fn attributes(mut rest: &[u8]) -> impl Iterator<Item = Option<(u16, &[u8])>> {
    /// Length of the header before every value.
    const HEAD: usize = 4;
    /// The bits beside the number: nested, in the network's order.
    const NUMBER: u16 = 0x3fff;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let bytes = std::mem::take(&mut rest);
        let attribute = || {
            let length = usize::from(parse_u16(bytes.get(..2)?)?);
            let value = bytes.get(HEAD..length)?;
            Some((length, parse_u16(bytes.get(2..4)?)? & NUMBER, value))
        };
        let (length, number, value) = match attribute() {
            Some(attribute) => attribute,
            None => return Some(None),
        };
        rest = bytes.get(nla_align_up(length)..).unwrap_or_default();
        Some(Some((number, value)))
    })
}

/// A request with its header.
pub(crate) fn request(kind: u16, flags: u16, sequence: u32, body: &[u8]) -> Vec<u8> {
    let length = HEADER + body.len();
    let mut message = Vec::with_capacity(length);
    // Our requests are a few hundred bytes.
    message.extend(u32::try_from(length).unwrap_or(u32::MAX).to_ne_bytes());
    message.extend(kind.to_ne_bytes());
    message.extend((flags | REQUEST).to_ne_bytes());
    message.extend(sequence.to_ne_bytes());
    message.extend([0; 4]);
    message.extend(body);
    message
}
