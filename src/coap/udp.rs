//! The message layer over datagrams: types, message ids, duplicates, retransmission (RFC 7252 section 4).

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use coap_lite::{MessageType, Packet};

use super::message::{Token, packet};
use super::{Random, is_well_formed};

/// A message id isn't seen as new again for this long (RFC 7252 section 4.8.2).
const EXCHANGE_LIFETIME: Duration = Duration::from_secs(247);
/// Remembered messages of the peer; a peer that sends more in that time may repeat itself.
const MOST_SEEN: usize = 512;
/// Remembered messages of ours that a Reset may refer to.
const MOST_SENT: usize = 128;
/// Confirmable messages under way.
const MOST_WAITING: usize = 16;

/// Retransmission of confirmable messages (RFC 7252 section 4.8, RFC 9132 section 4.5.2).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TransmissionParameters {
    /// Before the first retransmission.
    pub ack_timeout: Duration,
    /// The first wait lies between `ack_timeout` and this times as long; at least 1.
    pub ack_random_factor: f32,
    /// Retransmissions before giving up.
    pub max_retransmit: u16,
}

impl Default for TransmissionParameters {
    fn default() -> Self {
        Self { ack_timeout: Duration::from_secs(2), ack_random_factor: 1.5, max_retransmit: 3 }
    }
}

/// What a datagram brings.
pub(super) enum Received {
    /// A request; the id to acknowledge where it is confirmable.
    Request(Packet, Option<u16>),
    /// A response.
    Response(Packet),
    /// The peer rejects what we sent with this token.
    Reset(Token),
    /// Nothing for the rooms above.
    Nothing,
}

struct Seen {
    id: u16,
    until: Instant,
    reply: Option<Vec<u8>>,
}

struct Waiting {
    id: u16,
    token: Token,
    bytes: Vec<u8>,
    wait: Duration,
    due: Instant,
    left: u16,
}

/// The message layer of one session.
pub(super) struct Datagram {
    next_id: u16,
    parameters: TransmissionParameters,
    seen: VecDeque<Seen>,
    sent: VecDeque<(u16, Token)>,
    waiting: Vec<Waiting>,
}

impl Datagram {
    pub(super) fn new(random: &mut dyn Random) -> Self {
        let mut id = [0; 2];
        random.fill(&mut id);
        Self {
            next_id: u16::from_be_bytes(id),
            parameters: TransmissionParameters::default(),
            seen: VecDeque::new(),
            sent: VecDeque::new(),
            waiting: Vec::new(),
        }
    }

    pub(super) fn set_parameters(&mut self, parameters: TransmissionParameters) {
        self.parameters = parameters;
    }

    /// Reads one datagram; acknowledgements, resets and repeated replies go to `out`.
    pub(super) fn receive(&mut self, datagram: &[u8], now: Instant, out: &mut VecDeque<Vec<u8>>) -> Received {
        let Some((&[first, _, high, low], _)) = datagram.split_first_chunk() else { return Received::Nothing };
        if first >> 6 != 1 {
            return Received::Nothing;
        }
        let id = u16::from_be_bytes([high, low]);
        let confirmable = (first >> 4) & 3 == 0;
        let parsed = if is_well_formed(datagram) { Packet::from_bytes(datagram).ok() } else { None };
        let Some(message) = parsed else {
            if confirmable {
                out.push_back(bare(MessageType::Reset, id));
            }
            return Received::Nothing;
        };
        match message.header.get_type() {
            MessageType::Acknowledgement => self.acknowledged(id, message),
            MessageType::Reset => self.reset(id),
            _ if self.is_repeated(id, now, out) => Received::Nothing,
            _ => self.fresh(id, confirmable, message, now, out),
        }
    }

    fn acknowledged(&mut self, id: u16, message: Packet) -> Received {
        self.waiting.retain(|waiting| waiting.id != id);
        if is_response(&message) { Received::Response(message) } else { Received::Nothing }
    }

    fn reset(&mut self, id: u16) -> Received {
        let waited = self.waiting.iter().position(|waiting| waiting.id == id);
        if let Some(position) = waited {
            return Received::Reset(self.waiting.swap_remove(position).token);
        }
        match self.sent.iter().find(|(sent, _)| *sent == id) {
            Some((_, token)) => Received::Reset(token.clone()),
            None => Received::Nothing,
        }
    }

    /// Whether the message came before; its reply, if it had one, is given again.
    fn is_repeated(&mut self, id: u16, now: Instant, out: &mut VecDeque<Vec<u8>>) -> bool {
        while self.seen.front().is_some_and(|seen| seen.until <= now) {
            self.seen.pop_front();
        }
        let Some(seen) = self.seen.iter().find(|seen| seen.id == id) else { return false };
        out.extend(seen.reply.clone());
        true
    }

    fn fresh(
        &mut self,
        id: u16,
        confirmable: bool,
        message: Packet,
        now: Instant,
        out: &mut VecDeque<Vec<u8>>,
    ) -> Received {
        let mut reply = None;
        let received = match u8::from(message.header.code) {
            0 => {
                reply = confirmable.then(|| bare(MessageType::Reset, id));
                Received::Nothing
            }
            1..=31 => Received::Request(message, confirmable.then_some(id)),
            _ if is_response(&message) => {
                reply = confirmable.then(|| bare(MessageType::Acknowledgement, id));
                Received::Response(message)
            }
            _ => {
                reply = confirmable.then(|| bare(MessageType::Reset, id));
                Received::Nothing
            }
        };
        out.extend(reply.clone());
        if self.seen.len() == MOST_SEEN {
            self.seen.pop_front();
        }
        self.seen.push_back(Seen { id, until: now + EXCHANGE_LIFETIME, reply });
        received
    }

    /// The datagram of a request or notification of ours.
    pub(super) fn send(
        &mut self,
        mut packet: Packet,
        token: &Token,
        reliable: bool,
        now: Instant,
        random: &mut dyn Random,
    ) -> Vec<u8> {
        let id = self.take_id();
        packet.header.message_id = id;
        packet.header.set_type(if reliable { MessageType::Confirmable } else { MessageType::NonConfirmable });
        let bytes = packet.to_bytes_unlimited().unwrap_or_default();
        if reliable && self.waiting.len() < MOST_WAITING {
            let wait = self.first_wait(random);
            self.waiting.push(Waiting {
                id,
                token: token.clone(),
                bytes: bytes.clone(),
                wait,
                due: now + wait,
                left: self.parameters.max_retransmit,
            });
        } else {
            if self.sent.len() == MOST_SENT {
                self.sent.pop_front();
            }
            self.sent.push_back((id, token.clone()));
        }
        bytes
    }

    /// The datagram of a response: on the acknowledgement of a confirmable request, non-confirmable else.
    pub(super) fn respond(&mut self, mut packet: Packet, acknowledges: Option<u16>) -> Vec<u8> {
        let Some(id) = acknowledges else {
            packet.header.message_id = self.take_id();
            packet.header.set_type(MessageType::NonConfirmable);
            return packet.to_bytes_unlimited().unwrap_or_default();
        };
        packet.header.message_id = id;
        packet.header.set_type(MessageType::Acknowledgement);
        let bytes = packet.to_bytes_unlimited().unwrap_or_default();
        if let Some(seen) = self.seen.iter_mut().find(|seen| seen.id == id) {
            seen.reply = Some(bytes.clone());
        }
        bytes
    }

    /// When something is to be repeated.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.waiting.iter().map(|waiting| waiting.due).min()
    }

    /// Repeats what is due; the tokens of what was repeated often enough.
    pub(super) fn handle_timeout(&mut self, now: Instant, out: &mut VecDeque<Vec<u8>>) -> Vec<Token> {
        let mut lost = Vec::new();
        self.waiting.retain_mut(|waiting| {
            if waiting.due > now {
                return true;
            }
            if waiting.left == 0 {
                lost.push(waiting.token.clone());
                return false;
            }
            waiting.left -= 1;
            waiting.wait *= 2;
            waiting.due = now + waiting.wait;
            out.push_back(waiting.bytes.clone());
            true
        });
        lost
    }

    fn take_id(&mut self) -> u16 {
        let id = self.next_id;
        self.next_id = id.wrapping_add(1);
        id
    }

    fn first_wait(&self, random: &mut dyn Random) -> Duration {
        let mut byte = [0];
        random.fill(&mut byte);
        let spread = (self.parameters.ack_random_factor - 1.0).max(0.0);
        self.parameters.ack_timeout.mul_f32(1.0 + spread * f32::from(byte[0]) / 255.0)
    }
}

fn is_response(message: &Packet) -> bool {
    (2..=5).contains(&(u8::from(message.header.code) >> 5))
}

/// A message with nothing but type and id.
fn bare(kind: MessageType, id: u16) -> Vec<u8> {
    let mut message = packet(0, &Token(Vec::new()), Vec::new());
    message.header.set_type(kind);
    message.header.message_id = id;
    message.to_bytes_unlimited().unwrap_or_default()
}
