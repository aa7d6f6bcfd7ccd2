//! CoAP as the other side speaks it: messages to bytes and back, over datagrams (RFC 7252) and streams (RFC 8323).
//! Independent of the code under test.

use std::fmt;

use super::diag;

/// The `cuid` called K in short paths.
pub const K: &str = "dz6pHjaADkaFTbjr0JGBpw";

pub const GET: u8 = 1;
pub const POST: u8 = 2;
pub const PUT: u8 = 3;
pub const DELETE: u8 = 4;

pub const CREATED: u8 = 0x41;
pub const DELETED: u8 = 0x42;
pub const CHANGED: u8 = 0x44;
pub const CONTENT: u8 = 0x45;
pub const BAD_REQUEST: u8 = 0x80;
pub const NOT_FOUND: u8 = 0x84;
pub const CONFLICT: u8 = 0x89;
pub const UNPROCESSABLE: u8 = 0x96;

pub const CON: u8 = 0;
pub const NON: u8 = 1;
pub const ACK: u8 = 2;
pub const RST: u8 = 3;

pub const IF_MATCH: u16 = 1;
pub const OBSERVE: u16 = 6;
pub const MAX_AGE: u16 = 14;

pub const DOTS: u16 = 271;

/// A message. Over streams type and id mean nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    pub kind: u8,
    pub id: u16,
    pub code: u8,
    pub token: Vec<u8>,
    pub options: Vec<(u16, Vec<u8>)>,
    pub payload: Vec<u8>,
}

/// A non-confirmable request. `path` is short: `mitigate/K/5` is `.well-known`, `dots`, `mitigate`, `cuid=…`, `mid=5`; a
/// leading slash makes it literal.
pub fn request(method: u8, path: &str) -> Message {
    let mut segments: Vec<String> = Vec::new();
    let literal = path.strip_prefix('/');
    if literal.is_none() {
        segments.extend([".well-known".to_owned(), "dots".to_owned()]);
    }
    for (place, segment) in literal.unwrap_or(path).split('/').enumerate() {
        segments.push(match place {
            1 if literal.is_none() && segment == "K" => format!("cuid={K}"),
            1 if literal.is_none() && !segment.contains('=') => format!("cuid={segment}"),
            2 if literal.is_none() && !segment.contains('=') => format!("mid={segment}"),
            _ => segment.to_owned(),
        });
    }
    let options = segments.into_iter().map(|segment| (11, segment.into_bytes())).collect();
    Message { kind: NON, code: method, options, ..Message::default() }
}

pub fn get(path: &str) -> Message {
    request(GET, path)
}

/// A PUT with a body in diagnostic notation.
pub fn put(path: &str, body: &str) -> Message {
    request(PUT, path).number(12, DOTS.into()).raw(diag::encode(body))
}

pub fn delete(path: &str) -> Message {
    request(DELETE, path)
}

/// The shortest form of an option's number.
pub fn number(value: u32) -> Vec<u8> {
    value.to_be_bytes().into_iter().skip_while(|&byte| byte == 0).collect()
}

/// The value of a Block option.
pub fn block(number: u32, more: bool, szx: u32) -> u32 {
    (number << 4) | (u32::from(more) << 3) | szx
}

impl Message {
    pub fn con(mut self) -> Self {
        self.kind = CON;
        self
    }

    pub fn option(mut self, number: u16, value: &[u8]) -> Self {
        self.options.push((number, value.to_vec()));
        self
    }

    pub fn number(self, option: u16, value: u32) -> Self {
        self.option(option, &number(value))
    }

    pub fn query(self, argument: &str) -> Self {
        self.option(15, argument.as_bytes())
    }

    pub fn raw(mut self, payload: Vec<u8>) -> Self {
        self.payload = payload;
        self
    }

    pub fn without(mut self, option: u16) -> Self {
        self.options.retain(|(number, _)| *number != option);
        self
    }

    pub fn token(mut self, token: &[u8]) -> Self {
        self.token = token.to_vec();
        self
    }

    pub fn id(mut self, id: u16) -> Self {
        self.id = id;
        self
    }

    /// The first value of an option.
    pub fn value(&self, option: u16) -> Option<&[u8]> {
        self.options.iter().find(|(number, _)| *number == option).map(|(_, value)| value.as_slice())
    }

    /// An option as a number.
    pub fn uint(&self, option: u16) -> Option<u32> {
        self.value(option).map(|value| value.iter().fold(0, |sum, &byte| (sum << 8) | u32::from(byte)))
    }

    /// The block in an option: number, more, size exponent.
    pub fn block(&self, option: u16) -> Option<(u32, bool, u32)> {
        self.uint(option).map(|value| (value >> 4, value & 8 != 0, value & 7))
    }

    /// The code as in `4.04`.
    pub fn code(&self) -> String {
        format!("{}.{:02}", self.code >> 5, self.code & 31)
    }

    /// The body in diagnostic notation.
    pub fn body(&self) -> String {
        assert_eq!(self.uint(12), Some(DOTS.into()), "a body has a Content-Format: {self:?}");
        diag::decode(&self.payload)
    }

    /// The diagnostic payload.
    pub fn text(&self) -> &str {
        assert_eq!(self.value(12), None, "a diagnostic payload has no Content-Format");
        std::str::from_utf8(&self.payload).expect("UTF-8")
    }

    /// Options and payload, the options in the order of their numbers.
    fn tail(&self) -> Vec<u8> {
        let mut options: Vec<_> = self.options.iter().collect();
        options.sort_by_key(|(number, _)| *number);
        let mut out = Vec::new();
        let mut before = 0;
        for (number, value) in options {
            let (delta, delta_tail) = nibble(usize::from(number - before));
            let (length, length_tail) = nibble(value.len());
            out.push((delta << 4) | length);
            out.extend(delta_tail);
            out.extend(length_tail);
            out.extend(value);
            before = *number;
        }
        if !self.payload.is_empty() {
            out.push(0xff);
            out.extend(&self.payload);
        }
        out
    }

    pub fn datagram(&self) -> Vec<u8> {
        let mut out = vec![0x40 | (self.kind << 4) | self.token.len() as u8, self.code];
        out.extend(self.id.to_be_bytes());
        out.extend(&self.token);
        out.extend(self.tail());
        out
    }

    pub fn frame(&self) -> Vec<u8> {
        let tail = self.tail();
        let token = self.token.len() as u8;
        let mut out = match tail.len() {
            length @ 0..13 => vec![((length as u8) << 4) | token],
            length @ 13..269 => vec![0xd0 | token, (length - 13) as u8],
            length @ 269..65_805 => [&[0xe0 | token], &((length - 269) as u16).to_be_bytes()[..]].concat(),
            length => [&[0xf0 | token], &((length - 65_805) as u32).to_be_bytes()[..]].concat(),
        };
        out.push(self.code);
        out.extend(&self.token);
        out.extend(tail);
        out
    }

    /// Reads a datagram, which has to be perfect.
    pub fn of_datagram(bytes: &[u8]) -> Self {
        assert_eq!(bytes[0] >> 6, 1, "version 1");
        let token_length = usize::from(bytes[0] & 15);
        assert!(token_length <= 8);
        let message = Self {
            kind: (bytes[0] >> 4) & 3,
            code: bytes[1],
            id: u16::from_be_bytes([bytes[2], bytes[3]]),
            token: bytes[4..4 + token_length].to_vec(),
            ..Self::default()
        };
        message.with_tail(&bytes[4 + token_length..])
    }

    /// Reads the first message of a stream, if it is there as a whole, with its length.
    pub fn of_stream(bytes: &[u8]) -> Option<(Self, usize)> {
        let token_length = usize::from(bytes.first()? & 15);
        let (extended, offset) = [(1, 13), (2, 269), (4, 65_805)]
            .get(usize::from(bytes[0] >> 4).wrapping_sub(13))
            .copied()
            .unwrap_or((0, usize::from(bytes[0] >> 4)));
        let length = bytes.get(1..1 + extended)?.iter().fold(0, |sum, &byte| (sum << 8) | usize::from(byte)) + offset;
        let begin = 2 + extended + token_length;
        let tail = bytes.get(begin..begin + length)?;
        let token = bytes[begin - token_length..begin].to_vec();
        let message = Self { code: bytes[1 + extended], token, ..Self::default() };
        Some((message.with_tail(tail), begin + length))
    }

    fn with_tail(mut self, mut rest: &[u8]) -> Self {
        let mut number = 0;
        while let Some((&byte, mut after)) = rest.split_first() {
            if byte == 0xff {
                assert!(!after.is_empty(), "a payload behind its marker");
                self.payload = after.to_vec();
                break;
            }
            let mut extend = |nibble: u8| match nibble {
                13 => {
                    let value = usize::from(after[0]) + 13;
                    after = &after[1..];
                    value
                }
                14 => {
                    let value = usize::from(u16::from_be_bytes([after[0], after[1]])) + 269;
                    after = &after[2..];
                    value
                }
                15 => panic!("a reserved nibble"),
                short => usize::from(short),
            };
            number += extend(byte >> 4) as u16;
            let length = extend(byte & 15);
            self.options.push((number, after[..length].to_vec()));
            rest = &after[length..];
        }
        self
    }
}

fn nibble(value: usize) -> (u8, Vec<u8>) {
    match value {
        0..13 => (value as u8, vec![]),
        13..269 => (13, vec![(value - 13) as u8]),
        _ => (14, ((value - 269) as u16).to_be_bytes().to_vec()),
    }
}

impl fmt::Display for Message {
    /// `2.01 {1:{2:[{5:1}]}}`, or `4.00 why`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.code())?;
        match (self.value(12), self.payload.is_empty()) {
            (_, true) => Ok(()),
            (Some(_), _) => write!(f, " {}", self.body()),
            (None, _) => write!(f, " {}", self.text()),
        }
    }
}
