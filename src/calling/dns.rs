//! The little of DNS (RFC 1035) that it takes to find a provider's addresses, where the system's resolver has nobody to ask.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const HEADER: usize = 12;
/// A question that wants recursion.
const WANTS_RECURSION: u16 = 0x0100;
const IS_ANSWER: u16 = 0x8000;
/// No error, and no such name (section 4.1.1).
const RESPONSE_CODES: [u16; 2] = [0, 3];
const INTERNET: u16 = 1;
/// Longest label and name (section 2.3.4).
const LONGEST_LABEL: usize = 63;
const LONGEST_NAME: usize = 253;
/// Addresses that are looked at.
const MOST: usize = 16;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordType {
    /// IPv4 addresses.
    A = 1,
    /// IPv6 addresses (RFC 3596).
    Aaaa = 28,
}

/// The question for a name's addresses; nothing for what is no name.
pub fn question(id: u16, name: &str, kind: RecordType) -> Option<Vec<u8>> {
    let name = name.strip_suffix('.').unwrap_or(name);
    if name.len() > LONGEST_NAME {
        return None;
    }
    let mut bytes: Vec<u8> = [id, WANTS_RECURSION, 1, 0, 0, 0].iter().flat_map(|word| word.to_be_bytes()).collect();
    for label in name.split('.') {
        let length = u8::try_from(label.len()).ok().filter(|_| (1..=LONGEST_LABEL).contains(&label.len()))?;
        bytes.push(length);
        bytes.extend(label.as_bytes());
    }
    bytes.push(0);
    bytes.extend([kind as u16, INTERNET].iter().flat_map(|word| word.to_be_bytes()));
    Some(bytes)
}

/// The addresses in an answer to this question, whatever names lead to them; nothing for anything else. An answer without any is
/// one too.
pub fn answer(question: &[u8], datagram: &[u8]) -> Option<Vec<IpAddr>> {
    let [id, flags, _, count, ..] = words(datagram)?;
    let is_ours = words(question)?[0] == id && flags & IS_ANSWER != 0 && RESPONSE_CODES.contains(&(flags & 0xf));
    let asked = question.get(HEADER..)?;
    let (echo, mut rest) = datagram.get(HEADER..)?.split_at_checked(asked.len())?;
    if !is_ours || !echo.eq_ignore_ascii_case(asked) {
        return None;
    }
    let kind = asked.get(asked.len().checked_sub(4)?..)?;
    let mut found = Vec::new();
    for _ in 0..count {
        let Some((of, data, after)) = record(rest) else { break };
        rest = after;
        if of == kind && found.len() < MOST {
            found.extend(address(data));
        }
    }
    Some(found)
}

fn words(message: &[u8]) -> Option<[u16; 6]> {
    let header: &[u8; HEADER] = message.first_chunk()?;
    let mut words = [0; 6];
    for (word, bytes) in words.iter_mut().zip(header.chunks(2)) {
        *word = bytes.iter().fold(0, |word, &byte| (word << 8) | u16::from(byte));
    }
    Some(words)
}

/// The type and class of the first record, its data, and what follows it (section 4.1.3).
fn record(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let rest = behind_name(bytes)?;
    let (kind, rest) = rest.split_at_checked(4)?;
    // Its time to live.
    let (&[_, _, _, _, high, low], rest) = rest.split_first_chunk()?;
    let (data, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes([high, low])))?;
    Some((kind, data, rest))
}

/// What follows a name, which may end with a pointer to another one (section 4.1.4).
fn behind_name(mut bytes: &[u8]) -> Option<&[u8]> {
    loop {
        let (&length, rest) = bytes.split_first()?;
        match length {
            0 => return Some(rest),
            0xc0.. => return rest.get(1..),
            _ => bytes = rest.get(usize::from(length)..)?,
        }
    }
}

fn address(data: &[u8]) -> Option<IpAddr> {
    match data.len() {
        4 => <[u8; 4]>::try_from(data).ok().map(|octets| Ipv4Addr::from(octets).into()),
        16 => <[u8; 16]>::try_from(data).ok().map(|octets| Ipv6Addr::from(octets).into()),
        _ => None,
    }
}
