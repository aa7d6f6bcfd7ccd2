//! Framing and signalling over a reliable stream (RFC 8323).

use coap_lite::{CoapOption, Packet};

use super::message::{Token, integer, packet};
use super::wire;

const CSM: u8 = 0xe1;
const PING: u8 = 0xe2;
const PONG: u8 = 0xe3;
const RELEASE: u8 = 0xe4;
const ABORT: u8 = 0xe5;

/// Options of a CSM (RFC 8323 section 5.3).
const MAX_MESSAGE_SIZE: u16 = 2;
const BLOCK_WISE_TRANSFER: u16 = 4;
/// What every peer takes (RFC 8323 section 5.3.1).
const BASE_MAX_MESSAGE: usize = 1152;
/// No peer is taken at its word that it takes less: not even a heartbeat would fit.
const SMALLEST_MESSAGE: usize = 128;
/// What we take in one message, and announce: room for a thousand prefixes.
pub(super) const OUR_MAX_MESSAGE: usize = 32 * 1024;

/// Why the stream can't go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// A message violates the format of RFC 7252 section 3 or RFC 8323 section 3.2.
    Format,
    /// A message is larger than announced.
    Oversize,
    /// The first message was no CSM.
    NoCsm,
    /// An unknown critical option in a signalling message.
    SignallingOption(u16),
    /// The peer aborted.
    Aborted,
}

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Format => write!(f, "message format error"),
            Self::Oversize => write!(f, "message larger than {OUR_MAX_MESSAGE} bytes"),
            Self::NoCsm => write!(f, "first message is no CSM"),
            Self::SignallingOption(number) => write!(f, "unknown critical option {number} in a signalling message"),
            Self::Aborted => write!(f, "the peer aborted the connection"),
        }
    }
}

impl std::error::Error for Broken {}

/// What a stream brings besides signalling it deals with itself.
pub(super) enum StreamInput {
    /// The peer's first CSM: the connection is ready.
    Ready,
    /// A request or response.
    Message(Packet),
    /// The peer wants to end.
    Release,
}

/// The framing of one connection.
pub(super) struct Stream {
    buffer: Vec<u8>,
    /// Bytes at the beginning of the buffer that have been read.
    read: usize,
    greeted: bool,
    peer_max_message: usize,
}

impl Stream {
    pub(super) fn new() -> Self {
        Self { buffer: Vec::new(), read: 0, greeted: false, peer_max_message: BASE_MAX_MESSAGE }
    }

    /// Our first message.
    pub(super) fn csm() -> Vec<u8> {
        let mut csm = packet(CSM, &Token(Vec::new()), Vec::new());
        csm.add_option(CoapOption::from(MAX_MESSAGE_SIZE), integer(u32::try_from(OUR_MAX_MESSAGE).unwrap_or(0)));
        csm.add_option(CoapOption::from(BLOCK_WISE_TRANSFER), Vec::new());
        encode(&csm)
    }

    /// Ends the connection in good order.
    pub(super) fn release() -> Vec<u8> {
        encode(&packet(RELEASE, &Token(Vec::new()), Vec::new()))
    }

    /// Ends the connection with its reason.
    pub(super) fn abort(why: Broken) -> Vec<u8> {
        encode(&packet(ABORT, &Token(Vec::new()), why.to_string().into_bytes()))
    }

    /// The largest message the peer takes.
    pub(super) fn peer_max_message(&self) -> usize {
        self.peer_max_message
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.read);
        self.read = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// The next complete message; what must be sent in answer to signalling goes to `out`.
    pub(super) fn next(&mut self, out: &mut impl FnMut(Vec<u8>)) -> Result<Option<StreamInput>, Broken> {
        while let Some((datagram, used)) = frame(self.buffer.get(self.read..).unwrap_or_default())? {
            self.read += used;
            let code = datagram.get(1).copied().unwrap_or(0);
            if !self.greeted && code != CSM {
                return Err(Broken::NoCsm);
            }
            // Empty messages keep the connection alive and are ignored (RFC 8323 section 3.4).
            if code == 0 {
                continue;
            }
            let message = wire::parse(&datagram).ok_or(Broken::Format)?;
            match code {
                CSM => {
                    refuse_critical(&message)?;
                    self.settings(&message);
                    if !std::mem::replace(&mut self.greeted, true) {
                        return Ok(Some(StreamInput::Ready));
                    }
                }
                PING => {
                    refuse_critical(&message)?;
                    out(encode(&packet(PONG, &Token(message.get_token().to_vec()), Vec::new())));
                }
                PONG => refuse_critical(&message)?,
                RELEASE => {
                    refuse_critical(&message)?;
                    return Ok(Some(StreamInput::Release));
                }
                ABORT => return Err(Broken::Aborted),
                // Signalling codes of the future may be ignored: none of them is a request.
                0xe0..=0xff => {}
                _ => return Ok(Some(StreamInput::Message(message))),
            }
        }
        Ok(None)
    }

    fn settings(&mut self, csm: &Packet) {
        let announced = csm.get_first_option(CoapOption::from(MAX_MESSAGE_SIZE)).filter(|value| value.len() <= 4);
        if let Some(value) = announced {
            let size = value.iter().fold(0_usize, |sum, &byte| (sum << 8) | usize::from(byte));
            self.peer_max_message = size.clamp(SMALLEST_MESSAGE, OUR_MAX_MESSAGE);
        }
    }
}

fn refuse_critical(signal: &Packet) -> Result<(), Broken> {
    match signal.options().map(|(&number, _)| number).find(|number| number % 2 == 1) {
        Some(number) => Err(Broken::SignallingOption(number)),
        None => Ok(()),
    }
}

/// Cuts the first complete message out of the stream, in the form of a datagram, with the bytes it took.
fn frame(stream: &[u8]) -> Result<Option<(Vec<u8>, usize)>, Broken> {
    let Some((&first, rest)) = stream.split_first() else { return Ok(None) };
    let token_length = usize::from(first & 15);
    if token_length > 8 {
        return Err(Broken::Format);
    }
    let (extended, offset) = match first >> 4 {
        13 => (1, 13),
        14 => (2, 269),
        15 => (4, 65_805),
        short => (0, usize::from(short)),
    };
    let Some((length, rest)) = rest.split_at_checked(extended) else { return Ok(None) };
    let length = length.iter().fold(0_usize, |sum, &byte| (sum << 8) | usize::from(byte)).saturating_add(offset);
    if length.saturating_add(token_length) > OUR_MAX_MESSAGE {
        return Err(Broken::Oversize);
    }
    let Some((&code, rest)) = rest.split_first() else { return Ok(None) };
    let Some(body) = rest.get(..token_length + length) else { return Ok(None) };
    let mut datagram = vec![0x50 | (first & 15), code, 0, 0];
    datagram.extend_from_slice(body);
    Ok(Some((datagram, 2 + extended + token_length + length)))
}

/// The frame of a packet.
pub(super) fn encode(packet: &Packet) -> Vec<u8> {
    let datagram = packet.to_bytes_unlimited().unwrap_or_default();
    let token_length = packet.get_token().len();
    let body = datagram.get(4..).unwrap_or_default();
    let length = body.len().saturating_sub(token_length);
    let nibble = u8::try_from(token_length).unwrap_or(0);
    let mut bytes = match length {
        0..13 => vec![(u8::try_from(length).unwrap_or(0) << 4) | nibble],
        13..269 => vec![0xd0 | nibble, u8::try_from(length - 13).unwrap_or(0)],
        269..65_805 => {
            let [high, low] = u16::try_from(length - 269).unwrap_or(0).to_be_bytes();
            vec![0xe0 | nibble, high, low]
        }
        _ => {
            let mut header = vec![0xf0 | nibble];
            header.extend_from_slice(&u32::try_from(length - 65_805).unwrap_or(0).to_be_bytes());
            header
        }
    };
    bytes.push(u8::from(packet.header.code));
    bytes.extend_from_slice(body);
    bytes
}
