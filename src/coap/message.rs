//! Requests and responses as the rooms above see them, and their form in options (RFC 7252 section 5).

use std::collections::LinkedList;
use std::fmt;

use coap_lite::{CoapOption, MessageClass, Packet};

// Option numbers (RFC 7252 section 5.10, RFC 7641, RFC 7959, RFC 8768).
const IF_MATCH: u16 = 1;
const URI_HOST: u16 = 3;
const ETAG: u16 = 4;
const OBSERVE: u16 = 6;
const URI_PORT: u16 = 7;
const URI_PATH: u16 = 11;
const CONTENT_FORMAT: u16 = 12;
const MAX_AGE: u16 = 14;
const URI_QUERY: u16 = 15;
const HOP_LIMIT: u16 = 16;
const ACCEPT: u16 = 17;
const BLOCK2: u16 = 23;
const BLOCK1: u16 = 27;
const SIZE2: u16 = 28;
const PROXY_URI: u16 = 35;
const PROXY_SCHEME: u16 = 39;
const SIZE1: u16 = 60;

/// Characters of a diagnostic payload.
const LONGEST_DIAGNOSTIC: usize = 256;
/// SZX 7 means "as much as fits" and exists over reliable transports only (RFC 8323 section 6).
pub(super) const BERT: u8 = 7;

/// What an option's value may look like: number, whether it may come several times, shortest and longest value.
const KNOWN: &[(u16, bool, usize, usize)] = &[
    (IF_MATCH, true, 0, 8),
    (URI_HOST, false, 1, 255),
    (ETAG, true, 1, 8),
    (OBSERVE, false, 0, 3),
    (URI_PORT, false, 0, 2),
    (URI_PATH, true, 0, 255),
    (CONTENT_FORMAT, false, 0, 2),
    (MAX_AGE, false, 0, 4),
    (URI_QUERY, true, 0, 255),
    (HOP_LIMIT, false, 1, 1),
    (ACCEPT, false, 0, 2),
    (BLOCK2, false, 0, 3),
    (BLOCK1, false, 0, 3),
    (SIZE2, false, 0, 4),
    (SIZE1, false, 0, 4),
];

/// One block of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// Which one, from 0.
    pub number: u32,
    /// Whether more follow.
    pub more: bool,
    /// Size exponent: the block has `2^(szx+4)` bytes; 7 only over TCP.
    pub szx: u8,
}

impl Block {
    fn from_value(value: u32) -> Self {
        Self { number: value >> 4, more: value & 8 != 0, szx: u8::try_from(value & 7).unwrap_or(0) }
    }

    fn to_value(self) -> u32 {
        (self.number << 4) | (u32::from(self.more) << 3) | u32::from(self.szx & 7)
    }

    /// Bytes of a full block; 1024 for SZX 7, whose blocks are multiples of that.
    pub fn size(self) -> usize {
        1 << (self.szx.min(6) + 4)
    }
}

/// A request method (RFC 7252 section 5.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// 0.01
    Get,
    /// 0.02
    Post,
    /// 0.03
    Put,
    /// 0.04
    Delete,
    /// Any other code of class 0.
    Other(u8),
}

impl Method {
    fn from_code(code: u8) -> Self {
        match code {
            1 => Self::Get,
            2 => Self::Post,
            3 => Self::Put,
            4 => Self::Delete,
            other => Self::Other(other),
        }
    }

    fn code(self) -> u8 {
        match self {
            Self::Get => 1,
            Self::Post => 2,
            Self::Put => 3,
            Self::Delete => 4,
            Self::Other(code) => code,
        }
    }
}

/// A response code (RFC 7252 section 5.9): three bits of class, five of detail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Code(pub u8);

#[allow(missing_docs, reason = "the names and numbers are the registry's own")]
impl Code {
    pub const CREATED: Self = Self(0x41);
    pub const DELETED: Self = Self(0x42);
    pub const CHANGED: Self = Self(0x44);
    pub const CONTENT: Self = Self(0x45);
    pub const CONTINUE: Self = Self(0x5f);
    pub const BAD_REQUEST: Self = Self(0x80);
    pub const UNAUTHORIZED: Self = Self(0x81);
    pub const BAD_OPTION: Self = Self(0x82);
    pub const NOT_FOUND: Self = Self(0x84);
    pub const METHOD_NOT_ALLOWED: Self = Self(0x85);
    pub const NOT_ACCEPTABLE: Self = Self(0x86);
    pub const INCOMPLETE: Self = Self(0x88);
    pub const CONFLICT: Self = Self(0x89);
    pub const TOO_LARGE: Self = Self(0x8d);
    pub const UNSUPPORTED_FORMAT: Self = Self(0x8f);
    pub const UNPROCESSABLE: Self = Self(0x96);
    pub const TOO_MANY_REQUESTS: Self = Self(0x9d);
    pub const UNAVAILABLE: Self = Self(0xa3);
    pub const PROXYING_NOT_SUPPORTED: Self = Self(0xa5);
}

impl Code {
    /// Whether the class is 2.
    pub fn is_success(self) -> bool {
        self.0 >> 5 == 2
    }

    /// Whether the class is 5.
    pub fn is_server_error(self) -> bool {
        self.0 >> 5 == 5
    }
}

impl fmt::Display for Code {
    /// `4.04`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:02}", self.0 >> 5, self.0 & 31)
    }
}

/// What ties a response to its request: up to 8 bytes (RFC 7252 section 5.3.1).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Token(pub(super) Vec<u8>);

/// A request, received or to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// What to do.
    pub method: Method,
    /// Segments of the path.
    pub path: Vec<String>,
    /// Arguments of the query.
    pub query: Vec<String>,
    /// 0 registers, 1 cancels (RFC 7641 section 2).
    pub observe: Option<u32>,
    /// Whether an If-Match option was given; DOTS uses it with an empty value only.
    pub if_match: bool,
    /// Number of the payload's format.
    pub content_format: Option<u16>,
    /// Number of the wanted format.
    pub accept: Option<u16>,
    /// The first entity tag.
    pub etag: Option<Vec<u8>>,
    /// Block of the payload (RFC 7959).
    pub block1: Option<Block>,
    /// Block wanted of the answer.
    pub block2: Option<Block>,
    /// Size of the whole payload.
    pub size1: Option<u32>,
    /// Whether over UDP it is confirmable.
    pub reliable: bool,
    /// The payload, empty for none.
    pub payload: Vec<u8>,
}

impl Request {
    /// A non-confirmable request without payload.
    pub fn new(method: Method, path: &[impl AsRef<str>]) -> Self {
        Self {
            method,
            path: path.iter().map(|segment| segment.as_ref().to_owned()).collect(),
            query: Vec::new(),
            observe: None,
            if_match: false,
            content_format: None,
            accept: None,
            etag: None,
            block1: None,
            block2: None,
            size1: None,
            reliable: false,
            payload: Vec::new(),
        }
    }

    /// Whether it has a block of size exponent 7, which datagrams must not have (RFC 7959 section 2.2).
    pub fn has_block_size_seven(&self) -> bool {
        [self.block1, self.block2].iter().flatten().any(|block| block.szx == BERT)
    }

    /// With a payload of that format.
    pub fn with_payload(mut self, content_format: u16, payload: Vec<u8>) -> Self {
        self.content_format = Some(content_format);
        self.payload = payload;
        self
    }

    pub(super) fn to_packet(&self, token: &Token) -> Packet {
        let mut packet = packet(self.method.code(), token, self.payload.clone());
        let mut add = |number: u16, value: Vec<u8>| packet.add_option(CoapOption::from(number), value);
        if self.if_match {
            add(IF_MATCH, Vec::new());
        }
        for segment in &self.path {
            add(URI_PATH, segment.clone().into_bytes());
        }
        for argument in &self.query {
            add(URI_QUERY, argument.clone().into_bytes());
        }
        if let Some(etag) = &self.etag {
            add(ETAG, etag.clone());
        }
        let blocks = [(BLOCK1, self.block1), (BLOCK2, self.block2)].map(|(n, block)| (n, block.map(Block::to_value)));
        let formats = [(CONTENT_FORMAT, self.content_format), (ACCEPT, self.accept)]
            .map(|(n, format)| (n, format.map(u32::from)));
        for (number, value) in formats.into_iter().chain(blocks).chain([(OBSERVE, self.observe), (SIZE1, self.size1)]) {
            if let Some(value) = value {
                add(number, integer(value));
            }
        }
        packet
    }
}

/// Why a well-formed request can't be served whatever it asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// A critical option that is unknown, repeated or of a wrong length.
    Option(u16),
    /// We forward nothing.
    Proxy,
    /// Hop-Limit is 0 (RFC 8768 section 3).
    HopLimit,
}

impl Refused {
    pub(super) fn response(self) -> Response {
        match self {
            Self::Option(number) => {
                Response::text(Code::BAD_OPTION, &format!("critical option {number} not understood"))
            }
            Self::Proxy => Response::text(Code::PROXYING_NOT_SUPPORTED, "this is no proxy"),
            Self::HopLimit => Response::text(Code::BAD_REQUEST, "Hop-Limit out of range 1..255"),
        }
    }
}

/// Reads a packet whose code is a request's.
pub(super) fn request(packet: Packet, reliable: bool) -> Result<Request, Refused> {
    if [PROXY_URI, PROXY_SCHEME].iter().any(|&n| packet.get_option(CoapOption::from(n)).is_some()) {
        return Err(Refused::Proxy);
    }
    let options = Options::of(&packet, true)?;
    if is_hop_limit_invalid(&packet) {
        return Err(Refused::HopLimit);
    }
    Ok(Request {
        method: Method::from_code(u8::from(packet.header.code)),
        path: options.texts(URI_PATH)?,
        query: options.texts(URI_QUERY)?,
        observe: options.number(OBSERVE),
        if_match: options.first(IF_MATCH).is_some(),
        content_format: options.format(CONTENT_FORMAT),
        accept: options.format(ACCEPT),
        etag: options.first(ETAG).cloned(),
        block1: options.number(BLOCK1).map(Block::from_value),
        block2: options.number(BLOCK2).map(Block::from_value),
        size1: options.number(SIZE1),
        reliable,
        payload: packet.payload,
    })
}

/// Whether there is a Hop-Limit of 0 or above 255. A value of more than one byte would have to be ignored for its length,
/// were it not for this rule of RFC 8768 section 3.
fn is_hop_limit_invalid(request: &Packet) -> bool {
    let value = request.get_first_option(CoapOption::from(HOP_LIMIT)).filter(|value| !value.is_empty());
    value.is_some_and(|value| value.iter().rev().skip(1).any(|&byte| byte != 0) || value.last() == Some(&0))
}

/// A response or notification, received or to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The outcome.
    pub code: Code,
    /// Number of the payload's format; none for diagnostic text.
    pub content_format: Option<u16>,
    /// Seconds the content stays fresh.
    pub max_age: Option<u32>,
    /// Sequence number of a notification.
    pub observe: Option<u32>,
    /// Entity tag.
    pub etag: Option<Vec<u8>>,
    /// Acknowledged block of the request's payload.
    pub block1: Option<Block>,
    /// Block of this payload.
    pub block2: Option<Block>,
    /// Largest payload taken, with 4.13.
    pub size1: Option<u32>,
    /// Size of the whole content.
    pub size2: Option<u32>,
    /// The payload, empty for none.
    pub payload: Vec<u8>,
}

impl Response {
    /// Without payload.
    pub fn empty(code: Code) -> Self {
        Self {
            code,
            content_format: None,
            max_age: None,
            observe: None,
            etag: None,
            block1: None,
            block2: None,
            size1: None,
            size2: None,
            payload: Vec::new(),
        }
    }

    /// With a diagnostic payload for a person (RFC 7252 section 5.5.2), as far as it is short.
    pub fn text(code: Code, diagnostic: &str) -> Self {
        let short: String = diagnostic.chars().take(LONGEST_DIAGNOSTIC).collect();
        Self { payload: short.into_bytes(), ..Self::empty(code) }
    }

    /// With content of that format.
    pub fn content(code: Code, content_format: u16, payload: Vec<u8>) -> Self {
        Self { content_format: Some(content_format), payload, ..Self::empty(code) }
    }

    /// The diagnostic payload, where there is one.
    pub fn diagnostic(&self) -> Option<&str> {
        let text = std::str::from_utf8(&self.payload).ok()?;
        (self.content_format.is_none() && !text.is_empty()).then_some(text)
    }

    pub(super) fn to_packet(&self, token: &Token) -> Packet {
        let mut packet = packet(self.code.0, token, self.payload.clone());
        if let Some(etag) = &self.etag {
            packet.add_option(CoapOption::from(ETAG), etag.clone());
        }
        let blocks = [(BLOCK1, self.block1), (BLOCK2, self.block2)].map(|(n, block)| (n, block.map(Block::to_value)));
        let numbers = [
            (CONTENT_FORMAT, self.content_format.map(u32::from)),
            (MAX_AGE, self.max_age),
            (OBSERVE, self.observe),
            (SIZE1, self.size1),
            (SIZE2, self.size2),
        ];
        for (number, value) in numbers.into_iter().chain(blocks) {
            if let Some(value) = value {
                packet.add_option(CoapOption::from(number), integer(value));
            }
        }
        packet
    }
}

/// Reads a packet whose code is a response's. A critical option we don't know spoils it (RFC 7252 section 5.4.1).
pub(super) fn response(packet: Packet) -> Result<Response, Refused> {
    let options = Options::of(&packet, false)?;
    Ok(Response {
        code: Code(u8::from(packet.header.code)),
        content_format: options.format(CONTENT_FORMAT),
        max_age: options.number(MAX_AGE),
        observe: options.number(OBSERVE),
        etag: options.first(ETAG).cloned(),
        block1: options.number(BLOCK1).map(Block::from_value),
        block2: options.number(BLOCK2).map(Block::from_value),
        size1: options.number(SIZE1),
        size2: options.number(SIZE2),
        payload: packet.payload,
    })
}

/// Whether a response has no critical option that we don't know.
pub(super) fn is_understood(packet: &Packet) -> bool {
    Options::of(packet, false).is_ok()
}

/// A packet of any code, type and message id still unset.
pub(super) fn packet(code: u8, token: &Token, payload: Vec<u8>) -> Packet {
    let mut packet = Packet::new();
    packet.header.code = MessageClass::from(code);
    packet.set_token(token.0.clone());
    packet.payload = payload;
    packet
}

/// The options that count: unknown elective ones, and elective ones of wrong length or repeated, are left out.
struct Options<'a> {
    packet: &'a Packet,
}

impl<'a> Options<'a> {
    fn of(packet: &'a Packet, of_request: bool) -> Result<Self, Refused> {
        for (&number, values) in packet.options() {
            let known = Self::acceptable(number, values)
                && (of_request || !matches!(number, IF_MATCH | URI_HOST | URI_PORT | URI_PATH | URI_QUERY));
            if number % 2 == 1 && !known {
                return Err(Refused::Option(number));
            }
        }
        Ok(Self { packet })
    }

    fn acceptable(number: u16, values: &LinkedList<Vec<u8>>) -> bool {
        KNOWN.iter().any(|&(known, repeatable, shortest, longest)| {
            known == number
                && (repeatable || values.len() == 1 || number.is_multiple_of(2))
                // Of an elective option that may not be repeated only the first counts (RFC 7252 section 5.4.5).
                && values.iter().take(if repeatable { values.len() } else { 1 }).all(|v| (shortest..=longest).contains(&v.len()))
        })
    }

    /// The first value, where its length is right.
    fn first(&self, number: u16) -> Option<&'a Vec<u8>> {
        let values = self.packet.get_option(CoapOption::from(number))?;
        values.front().filter(|_| Self::acceptable(number, values))
    }

    fn number(&self, number: u16) -> Option<u32> {
        self.first(number).map(|value| value.iter().fold(0, |sum, &byte| (sum << 8) | u32::from(byte)))
    }

    fn format(&self, number: u16) -> Option<u16> {
        self.number(number).and_then(|value| u16::try_from(value).ok())
    }

    fn texts(&self, number: u16) -> Result<Vec<String>, Refused> {
        let values = self.packet.get_option(CoapOption::from(number)).into_iter().flatten();
        let text = |value: &Vec<u8>| String::from_utf8(value.clone()).map_err(|_| Refused::Option(number));
        values.map(text).collect()
    }
}

/// The shortest form of an option's number (RFC 7252 section 3.2).
pub(super) fn integer(value: u32) -> Vec<u8> {
    value.to_be_bytes().into_iter().skip_while(|&byte| byte == 0).collect()
}
