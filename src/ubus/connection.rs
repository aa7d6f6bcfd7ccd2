//! One connection to the broker: bytes in, messages out of them; requests matched with their answers; bytes out.
//!
//! Messages of a kind we don't know, and answers nobody waits for, are passed over. What can't be a message at all
//! ends the connection: the stream can't be understood any more.

use std::collections::VecDeque;
use std::fmt;
use std::time::Instant;

use ubus::BlobMsgTable;
use ubus::envelope::{EnvBuilder, UbusAttr, find, unwrap};
use ubus::wire::{HEADER_SIZE, Header, MAX_MSG_LEN, MsgType, PROTO_VERSION};
use vecset::VecMap;

use super::blob::Writer;

/// The broker's own object for events.
const EVENTS: u32 = 1;
/// Header and length of a message.
const START: usize = HEADER_SIZE + 4;
/// Answers that are not the broker's word but ours.
pub(super) const NOT_FOUND: i32 = 4;
/// Nobody has answered in time.
pub(super) const TIMEOUT: i32 = 7;

/// Why the connection can't go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BusProtocolError {
    /// A message of another protocol version.
    Version(u8),
    /// A message shorter than its own header, or longer than the bus allows.
    Length(usize),
    /// The attributes of a message are garbled.
    Garbled,
}

impl fmt::Display for BusProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version(version) => write!(f, "ubus: protocol version {version}"),
            Self::Length(length) => write!(f, "ubus: a message of {length} bytes"),
            Self::Garbled => f.write_str("ubus: a garbled message"),
        }
    }
}

impl std::error::Error for BusProtocolError {}

/// Where the answer to a call has to go; kept until there is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ReplyAddress {
    peer: u32,
    sequence: u16,
    object: u32,
    silent: bool,
}

/// Somebody calls an object of ours.
#[derive(Clone, Debug)]
pub(super) struct Invocation {
    pub(super) caller: ReplyAddress,
    pub(super) object: u32,
    pub(super) method: String,
    /// The Unix user of the caller, as the broker knows it.
    pub(super) user: Option<String>,
    /// The arguments; absent is not the same as none.
    pub(super) data: Option<Vec<u8>>,
}

impl Invocation {
    /// Whether the broker itself calls: only it delivers events.
    pub(super) fn is_from_broker(&self) -> bool {
        self.caller.peer == 0
    }
}

/// A successful answer.
#[derive(Clone, Debug, Default)]
pub(super) struct Reply {
    /// The object that was made or found.
    pub(super) object: Option<u32>,
    /// What a method returned.
    pub(super) data: Vec<u8>,
}

/// A message that came in, or the end of a wait.
#[derive(Debug)]
pub(super) enum BusMessage<P> {
    /// The broker greets: requests may be sent.
    Hello,
    /// A call of one of our objects.
    Invocation(Invocation),
    /// A request of ours is answered, or has failed with the status given.
    Answer(P, Result<Reply, i32>),
    /// Our object has subscribers now, or none any more.
    Subscribers(u32, bool),
}

#[derive(Debug)]
enum RequestStage {
    /// The object is looked up, to call the method then.
    Lookup { method: &'static str, arguments: BlobMsgTable },
    /// The answer is awaited.
    Answer,
}

#[derive(Debug)]
struct Pending<P> {
    purpose: P,
    stage: RequestStage,
    reply: Reply,
    due: Option<Instant>,
}

/// The connection. `P` says what a request is for.
#[derive(Debug)]
pub(super) struct BrokerConnection<P> {
    input: Vec<u8>,
    output: Vec<u8>,
    sequence: u16,
    pending: VecMap<u16, Pending<P>>,
    messages: VecDeque<BusMessage<P>>,
}

impl<P> Default for BrokerConnection<P> {
    fn default() -> Self {
        Self { input: Vec::new(), output: Vec::new(), sequence: 0, pending: VecMap::new(), messages: VecDeque::new() }
    }
}

impl<P> BrokerConnection<P> {
    /// Takes bytes, cut anywhere.
    pub(super) fn handle_input(&mut self, bytes: &[u8]) -> Result<(), BusProtocolError> {
        self.input.extend_from_slice(bytes);
        let mut input = std::mem::take(&mut self.input);
        let mut rest = input.as_slice();
        while let Some(length) = message_length(rest)?.filter(|length| *length <= rest.len()) {
            let (message, following) = rest.split_at(length);
            self.handle_message(message)?;
            rest = following;
        }
        input.drain(..input.len() - rest.len());
        self.input = input;
        Ok(())
    }

    /// The next message.
    pub(super) fn poll_message(&mut self) -> Option<BusMessage<P>> {
        self.messages.pop_front()
    }

    /// Everything there is to send.
    pub(super) fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        (!self.output.is_empty()).then(|| std::mem::take(&mut self.output))
    }

    /// Bytes waiting to be sent.
    pub(super) fn waiting(&self) -> usize {
        self.output.len()
    }

    /// Requests whose answers are awaited.
    pub(super) fn outstanding(&self) -> usize {
        self.pending.len()
    }

    /// When the first request has waited long enough.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.pending.values().filter_map(|pending| pending.due).min()
    }

    /// Gives up requests that have waited long enough.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        let late = |pending: &Pending<P>| pending.due.is_some_and(|due| due <= now);
        let late: Vec<u16> = self.pending.iter().filter(|(_, p)| late(p)).map(|(sequence, _)| *sequence).collect();
        for pending in late.iter().filter_map(|sequence| self.pending.remove(sequence)).collect::<Vec<_>>() {
            self.messages.push_back(BusMessage::Answer(pending.purpose, Err(TIMEOUT)));
        }
    }

    /// Registers an object under a path, with what its methods take.
    pub(super) fn add_object(&mut self, path: &str, signature: &[u8], purpose: P) {
        let mut envelope = EnvBuilder::new();
        envelope.push_str(UbusAttr::ObjPath, path);
        envelope.push_signature(signature);
        self.request(MsgType::AddObject, 0, envelope, RequestStage::Answer, None, purpose);
    }

    /// Registers an object without a path: a receiver of events.
    pub(super) fn add_receiver(&mut self, purpose: P) {
        self.request(MsgType::AddObject, 0, EnvBuilder::new(), RequestStage::Answer, None, purpose);
    }

    /// Asks for events whose name fits `pattern`.
    pub(super) fn listen(&mut self, receiver: u32, pattern: &str, purpose: P) {
        let arguments = Writer::table_of(|w| {
            w.int32("object", receiver.cast_signed());
            w.text("pattern", pattern);
        });
        self.request(
            MsgType::Invoke,
            EVENTS,
            invoke(EVENTS, "register", &arguments),
            RequestStage::Answer,
            None,
            purpose,
        );
    }

    /// Calls a method of whatever object has the path now.
    pub(super) fn call(&mut self, path: &str, method: &'static str, arguments: BlobMsgTable, due: Instant, purpose: P) {
        let mut envelope = EnvBuilder::new();
        envelope.push_str(UbusAttr::ObjPath, path);
        self.request(MsgType::Lookup, 0, envelope, RequestStage::Lookup { method, arguments }, Some(due), purpose);
    }

    /// Sends an event to whoever listens.
    pub(super) fn send_event(&mut self, name: &str, data: &BlobMsgTable) {
        let arguments = Writer::table_of(|w| {
            w.text("id", name);
            w.put(Some("data"), data);
        });
        let sequence = self.next_sequence();
        self.transmit(MsgType::Invoke, sequence, EVENTS, invoke(EVENTS, "send", &arguments));
    }

    /// Tells the subscribers of our object.
    pub(super) fn notify(&mut self, object: u32, name: &str, data: &BlobMsgTable) {
        let mut envelope = invoke(object, name, data);
        envelope.push_u8(UbusAttr::NoReply, 1);
        let sequence = self.next_sequence();
        self.transmit(MsgType::Notify, sequence, 0, envelope);
    }

    /// Answers a call; nothing is sent where no answer is wanted.
    pub(super) fn answer(&mut self, caller: ReplyAddress, outcome: Result<&BlobMsgTable, i32>) {
        if caller.silent {
            return;
        }
        if let Ok(data) = outcome {
            let mut envelope = EnvBuilder::new();
            envelope.push_u32(UbusAttr::ObjId, caller.object);
            envelope.push_data(data.contents());
            self.transmit(MsgType::Data, caller.sequence, caller.peer, envelope);
        }
        let mut envelope = EnvBuilder::new();
        envelope.push_i32(UbusAttr::Status, outcome.err().unwrap_or(0));
        envelope.push_u32(UbusAttr::ObjId, caller.object);
        self.transmit(MsgType::Status, caller.sequence, caller.peer, envelope);
    }

    fn request(
        &mut self,
        kind: MsgType,
        peer: u32,
        envelope: EnvBuilder,
        stage: RequestStage,
        due: Option<Instant>,
        purpose: P,
    ) {
        let sequence = self.next_sequence();
        self.transmit(kind, sequence, peer, envelope);
        self.pending.insert(sequence, Pending { purpose, stage, reply: Reply::default(), due });
    }

    fn transmit(&mut self, kind: MsgType, sequence: u16, peer: u32, envelope: EnvBuilder) {
        let header = Header { version: PROTO_VERSION, ty: kind, seq: sequence, peer };
        self.output.extend_from_slice(&header.encode());
        self.output.extend_from_slice(&envelope.finish());
    }

    /// A number no request bears whose answer is awaited; those are far fewer than there are numbers.
    fn next_sequence(&mut self) -> u16 {
        loop {
            self.sequence = self.sequence.wrapping_add(1);
            if !self.pending.contains_key(&self.sequence) {
                return self.sequence;
            }
        }
    }

    fn handle_message(&mut self, message: &[u8]) -> Result<(), BusProtocolError> {
        // Unknown kinds are the broker's future.
        let Ok(header) = Header::decode(message) else { return Ok(()) };
        let payload = message.get(HEADER_SIZE..).unwrap_or_default();
        unwrap(payload).map_err(|_| BusProtocolError::Garbled)?;
        match header.ty {
            MsgType::Hello => self.messages.push_back(BusMessage::Hello),
            MsgType::Invoke => self.handle_invoke(header, payload),
            MsgType::Data => self.handle_data(header.seq, payload),
            MsgType::Status => self.handle_status(header.seq, payload),
            MsgType::Notify => self.handle_subscribers(payload),
            _ => {}
        }
        Ok(())
    }

    fn handle_invoke(&mut self, header: Header, payload: &[u8]) {
        let Some(object) = number(payload, UbusAttr::ObjId) else { return };
        let Some(method) = text(payload, UbusAttr::Method) else { return };
        let silent = flag(payload, UbusAttr::NoReply).unwrap_or(false);
        let caller = ReplyAddress { peer: header.peer, sequence: header.seq, object, silent };
        let user = text(payload, UbusAttr::User);
        self.messages.push_back(BusMessage::Invocation(Invocation {
            caller,
            object,
            method,
            user,
            data: data(payload),
        }));
    }

    /// Keeps the first data of an answer: we ask for nothing that comes in several.
    fn handle_data(&mut self, sequence: u16, payload: &[u8]) {
        let Some(pending) = self.pending.get_mut(&sequence) else { return };
        if pending.reply.object.is_none() {
            pending.reply.object = number(payload, UbusAttr::ObjId);
        }
        if pending.reply.data.is_empty() {
            pending.reply.data = data(payload).unwrap_or_default();
        }
    }

    fn handle_status(&mut self, sequence: u16, payload: &[u8]) {
        let Some(status) = number(payload, UbusAttr::Status).map(u32::cast_signed) else { return };
        let Some(pending) = self.pending.remove(&sequence) else { return };
        let Pending { purpose, stage, reply, due } = pending;
        match (stage, status, reply.object) {
            (RequestStage::Lookup { method, arguments }, 0, Some(object)) => {
                let envelope = invoke(object, method, &arguments);
                self.request(MsgType::Invoke, object, envelope, RequestStage::Answer, due, purpose);
            }
            (RequestStage::Lookup { .. }, 0, None) => {
                self.messages.push_back(BusMessage::Answer(purpose, Err(NOT_FOUND)))
            }
            (RequestStage::Answer, 0, _) => self.messages.push_back(BusMessage::Answer(purpose, Ok(reply))),
            (_, status, _) => self.messages.push_back(BusMessage::Answer(purpose, Err(status))),
        }
    }

    fn handle_subscribers(&mut self, payload: &[u8]) {
        if let (Some(object), Some(active)) = (number(payload, UbusAttr::ObjId), flag(payload, UbusAttr::Active)) {
            self.messages.push_back(BusMessage::Subscribers(object, active));
        }
    }
}

/// Length of the message at the start of `bytes`, as soon as it can be told.
fn message_length(bytes: &[u8]) -> Result<Option<usize>, BusProtocolError> {
    match bytes.first() {
        Some(&version) if version != PROTO_VERSION => return Err(BusProtocolError::Version(version)),
        _ => {}
    }
    let Some(&[_, high, middle, low]) = bytes.get(HEADER_SIZE..START) else { return Ok(None) };
    let length = u32::from_be_bytes([0, high, middle, low]) as usize;
    if (4..=MAX_MSG_LEN).contains(&length) {
        Ok(Some(HEADER_SIZE + length))
    } else {
        Err(BusProtocolError::Length(length))
    }
}

fn invoke(object: u32, method: &str, arguments: &BlobMsgTable) -> EnvBuilder {
    let mut envelope = EnvBuilder::new();
    envelope.push_u32(UbusAttr::ObjId, object);
    envelope.push_str(UbusAttr::Method, method);
    envelope.push_data(arguments.contents());
    envelope
}

fn number(payload: &[u8], attribute: UbusAttr) -> Option<u32> {
    find(payload, attribute).and_then(|found| found.as_u32())
}

fn text(payload: &[u8], attribute: UbusAttr) -> Option<String> {
    find(payload, attribute).and_then(|found| found.as_str()).map(str::to_owned)
}

fn flag(payload: &[u8], attribute: UbusAttr) -> Option<bool> {
    find(payload, attribute).map(|found| found.as_bool_int8())
}

fn data(payload: &[u8]) -> Option<Vec<u8>> {
    find(payload, UbusAttr::Data).map(|found| found.payload.to_vec())
}
