//! The message layer over datagrams: types, message ids, duplicates, retransmission (RFC 7252 section 4).

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use coap_lite::{MessageType, Packet};

use super::message::{Token, packet};
use super::random::Random;
use super::wire;

/// The longest a datagram may be under way (RFC 7252 section 4.8.2).
const MAX_LATENCY: Duration = Duration::from_secs(100);
/// Remembered messages of the peer; a peer that sends more in that time may repeat itself.
const MOST_SEEN: usize = 512;
/// Remembered messages of ours that a Reset may refer to.
const MOST_SENT: usize = 128;
/// Confirmable messages that wait, one of them (NSTART, RFC 7252 section 4.7) for its acknowledgement.
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

impl TransmissionParameters {
    /// From the first transmission of a confirmable message to its last, at most (RFC 7252 section 4.8.2).
    fn span(&self) -> Duration {
        let doublings = 2_f32.powi(i32::from(self.max_retransmit.min(16))) - 1.0;
        self.ack_timeout.mul_f32(doublings * self.ack_random_factor.max(1.0))
    }

    /// How long a message id is not seen as new again (RFC 7252 section 4.8.2).
    fn lifetime(&self, confirmable: bool) -> Duration {
        let non_lifetime = self.span() + MAX_LATENCY;
        if confirmable { non_lifetime + MAX_LATENCY + self.ack_timeout } else { non_lifetime }
    }
}

/// What a datagram brings.
pub(super) enum DatagramInput {
    /// A request; the id to acknowledge where it is confirmable.
    Request(Packet, Option<u16>),
    /// A response.
    Response(Packet),
    /// The peer rejects what we sent with this token.
    Reset(Token),
    /// Nothing for the rooms above.
    Nothing,
}

/// Too many confirmable messages wait already.
pub(super) struct Full;

struct Seen {
    id: u16,
    until: Instant,
    reply: Option<Vec<u8>>,
}

struct Unacknowledged {
    id: u16,
    token: Token,
    bytes: Vec<u8>,
    wait: Duration,
    /// When to repeat; nothing: not sent yet.
    due: Option<Instant>,
    left: u16,
}

/// The message layer of one session.
pub(super) struct Datagram {
    next_id: u16,
    parameters: TransmissionParameters,
    seen: VecDeque<Seen>,
    sent: VecDeque<(u16, Token)>,
    waiting: VecDeque<Unacknowledged>,
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
            waiting: VecDeque::new(),
        }
    }

    pub(super) fn set_parameters(&mut self, parameters: TransmissionParameters) {
        self.parameters = parameters;
    }

    /// Reads one datagram; acknowledgements, resets, repeated replies and what had to wait go to `out`.
    pub(super) fn receive(
        &mut self,
        datagram: &[u8],
        now: Instant,
        random: &mut dyn Random,
        is_awaited: &dyn Fn(&Packet) -> bool,
        out: &mut VecDeque<Vec<u8>>,
    ) -> DatagramInput {
        let Some((&[first, _, high, low], _)) = datagram.split_first_chunk() else { return DatagramInput::Nothing };
        if first >> 6 != 1 {
            return DatagramInput::Nothing;
        }
        let id = u16::from_be_bytes([high, low]);
        let confirmable = (first >> 4) & 3 == 0;
        let Some(message) = wire::parse(datagram) else {
            if confirmable {
                out.push_back(bare(MessageType::Reset, id));
            }
            return DatagramInput::Nothing;
        };
        let received = match message.header.get_type() {
            MessageType::Acknowledgement => self.acknowledged(id, message),
            MessageType::Reset => self.reset(id, &message),
            _ if self.is_repeated(id, confirmable, now, out) => DatagramInput::Nothing,
            _ => {
                let is_awaited = is_awaited(&message);
                self.fresh(id, confirmable.then_some(is_awaited), message, now, out)
            }
        };
        self.send_next(now, random, out);
        received
    }

    fn acknowledged(&mut self, id: u16, message: Packet) -> DatagramInput {
        let empty = u8::from(message.header.code) == 0;
        if !empty && !is_response(&message) {
            return DatagramInput::Nothing;
        }
        self.take_sent(id);
        if empty { DatagramInput::Nothing } else { DatagramInput::Response(message) }
    }

    fn reset(&mut self, id: u16, message: &Packet) -> DatagramInput {
        if u8::from(message.header.code) != 0 {
            return DatagramInput::Nothing;
        }
        if let Some(waited) = self.take_sent(id) {
            return DatagramInput::Reset(waited.token);
        }
        match self.sent.iter().find(|(sent, _)| *sent == id) {
            Some((_, token)) => DatagramInput::Reset(token.clone()),
            None => DatagramInput::Nothing,
        }
    }

    /// Whether the message came before; the reply to a confirmable one, if it had one, is given again.
    fn is_repeated(&mut self, id: u16, confirmable: bool, now: Instant, out: &mut VecDeque<Vec<u8>>) -> bool {
        self.seen.retain(|seen| seen.until > now);
        let Some(seen) = self.seen.iter().find(|seen| seen.id == id) else { return false };
        out.extend(seen.reply.clone().filter(|_| confirmable));
        true
    }

    /// A message that is no repetition; `confirmable` is whether one that has to be acknowledged is awaited.
    fn fresh(
        &mut self,
        id: u16,
        confirmable: Option<bool>,
        message: Packet,
        now: Instant,
        out: &mut VecDeque<Vec<u8>>,
    ) -> DatagramInput {
        let (received, answer) = match u8::from(message.header.code) {
            1..=31 => (DatagramInput::Request(message, confirmable.map(|_| id)), None),
            // An answer acknowledges its request, whether the acknowledgement was lost or never sent (RFC 7252 section 5.2.2).
            _ if is_response(&message) => {
                self.waiting.retain(|waiting| waiting.due.is_none() || waiting.token.0 != message.get_token());
                // What nobody has asked for is rejected, and whoever observes for it is gone (RFC 7641 section 3.6).
                let is_known = confirmable.unwrap_or(true);
                let reply = if is_known { MessageType::Acknowledgement } else { MessageType::Reset };
                (DatagramInput::Response(message), Some(reply))
            }
            // Empty, or of a reserved class (RFC 7252 section 4.2).
            _ => (DatagramInput::Nothing, Some(MessageType::Reset)),
        };
        let reply = answer.filter(|_| confirmable.is_some()).map(|kind| bare(kind, id));
        out.extend(reply.clone());
        if self.seen.len() == MOST_SEEN {
            self.seen.pop_front();
        }
        self.seen.push_back(Seen { id, until: now + self.parameters.lifetime(confirmable.is_some()), reply });
        received
    }

    /// The datagram of a non-confirmable request or notification of ours.
    pub(super) fn send(&mut self, mut packet: Packet, token: &Token) -> Vec<u8> {
        let id = self.take_id();
        packet.header.message_id = id;
        packet.header.set_type(MessageType::NonConfirmable);
        if self.sent.len() == MOST_SENT {
            self.sent.pop_front();
        }
        self.sent.push_back((id, token.clone()));
        packet.to_bytes_unlimited().unwrap_or_default()
    }

    /// Sends a confirmable request of ours, now or once those before it are acknowledged.
    pub(super) fn send_reliably(
        &mut self,
        mut packet: Packet,
        token: &Token,
        now: Instant,
        random: &mut dyn Random,
        out: &mut VecDeque<Vec<u8>>,
    ) -> Result<(), Full> {
        if self.waiting.len() == MOST_WAITING {
            return Err(Full);
        }
        let id = self.take_id();
        packet.header.message_id = id;
        packet.header.set_type(MessageType::Confirmable);
        let bytes = packet.to_bytes_unlimited().unwrap_or_default();
        self.waiting.push_back(Unacknowledged {
            id,
            token: token.clone(),
            bytes,
            wait: Duration::ZERO,
            due: None,
            left: 0,
        });
        self.send_next(now, random, out);
        Ok(())
    }

    /// Sends the first confirmable message that waits, unless it has been.
    fn send_next(&mut self, now: Instant, random: &mut dyn Random, out: &mut VecDeque<Vec<u8>>) {
        let Some(next) = self.waiting.front_mut().filter(|waiting| waiting.due.is_none()) else { return };
        let mut byte = [0];
        random.fill(&mut byte);
        let spread = (self.parameters.ack_random_factor - 1.0).max(0.0) * f32::from(byte[0]) / 255.0;
        next.wait = self.parameters.ack_timeout.mul_f32(1.0 + spread);
        next.due = Some(now + next.wait);
        next.left = self.parameters.max_retransmit;
        out.push_back(next.bytes.clone());
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
        self.replied(id, packet.to_bytes_unlimited().unwrap_or_default())
    }

    /// The acknowledgement of a confirmable request that gets no response.
    pub(super) fn acknowledge(&mut self, id: u16) -> Vec<u8> {
        self.replied(id, bare(MessageType::Acknowledgement, id))
    }

    fn replied(&mut self, id: u16, bytes: Vec<u8>) -> Vec<u8> {
        if let Some(seen) = self.seen.iter_mut().find(|seen| seen.id == id) {
            seen.reply = Some(bytes.clone());
        }
        bytes
    }

    /// When something is to be repeated.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.waiting.front().and_then(|waiting| waiting.due)
    }

    /// Repeats what is due; the token of what was repeated often enough.
    pub(super) fn handle_timeout(
        &mut self,
        now: Instant,
        random: &mut dyn Random,
        out: &mut VecDeque<Vec<u8>>,
    ) -> Option<Token> {
        let waiting = self.waiting.front_mut().filter(|waiting| waiting.due.is_some_and(|due| due <= now))?;
        if let Some(left) = waiting.left.checked_sub(1) {
            waiting.left = left;
            waiting.wait = waiting.wait.saturating_mul(2);
            waiting.due = Some(now + waiting.wait);
            out.push_back(waiting.bytes.clone());
            return None;
        }
        let lost = self.waiting.pop_front().map(|waiting| waiting.token);
        self.send_next(now, random, out);
        lost
    }

    /// The confirmable message sent under this id waits no longer.
    fn take_sent(&mut self, id: u16) -> Option<Unacknowledged> {
        let meant = self.waiting.front().is_some_and(|waiting| waiting.id == id && waiting.due.is_some());
        if meant { self.waiting.pop_front() } else { None }
    }

    fn take_id(&mut self) -> u16 {
        let id = self.next_id;
        self.next_id = id.wrapping_add(1);
        id
    }
}

/// Classes 2, 4 and 5; 1, 3, 6 and 7 are reserved (RFC 7252 section 3).
fn is_response(message: &Packet) -> bool {
    matches!(u8::from(message.header.code) >> 5, 2 | 4 | 5)
}

/// A message with nothing but type and id.
fn bare(kind: MessageType, id: u16) -> Vec<u8> {
    let mut message = packet(0, &Token(Vec::new()), Vec::new());
    message.header.set_type(kind);
    message.header.message_id = id;
    message.to_bytes_unlimited().unwrap_or_default()
}
