//! Messages of a broker in memory: the test says what it sends, and reads what our end says.

use dots_callhome::mitigation::Policy;
use dots_callhome::ubus::{PeerState, PeerStatus};
use serde_json::Value;
use ubus::BlobMsgTable;
use ubus::envelope::{EnvBuilder, UbusAttr, find};
use ubus::json::{blobmsg_to_json, json_to_blobmsg};
use ubus::wire::{Codec, Frame, MsgType};

use super::home::{CAMERA, LAN, TV};
pub use super::router::TestRouter;

/// Numbers the broker gives to our objects.
pub const OBJECT: u32 = 0x1234_5678;
pub const RECEIVER: u32 = 0x7777_0001;
/// The caller of our methods.
pub const CALLER: u32 = 0x0bad_cafe;

pub fn message(kind: MsgType, sequence: u16, peer: u32, fill: impl FnOnce(&mut EnvBuilder)) -> Vec<u8> {
    let mut envelope = EnvBuilder::new();
    fill(&mut envelope);
    Codec::write_frame(&Frame::to_peer(kind, sequence, peer, envelope.finish()))
}

pub fn hello() -> Vec<u8> {
    message(MsgType::Hello, 0, 0x4242, |_| {})
}

pub fn status(sequence: u16, peer: u32, status: i32) -> Vec<u8> {
    message(MsgType::Status, sequence, peer, |e| e.push_i32(UbusAttr::Status, status))
}

/// A call of an object of ours; without arguments the attribute is there but empty, as from every client.
pub fn invoke(object: u32, peer: u32, sequence: u16, method: &str, arguments: &[u8]) -> Vec<u8> {
    message(MsgType::Invoke, sequence, peer, |e| {
        e.push_u32(UbusAttr::ObjId, object);
        e.push_str(UbusAttr::Method, method);
        e.push_str(UbusAttr::User, "root");
        e.push_str(UbusAttr::Group, "root");
        e.push_data(arguments);
    })
}

/// All messages in `bytes`.
pub fn messages(mut bytes: &[u8]) -> Vec<Frame> {
    let mut frames = Vec::new();
    while !bytes.is_empty() {
        let (frame, length) = Codec::read_frame(bytes).expect("our own messages are whole");
        frames.push(frame);
        bytes = &bytes[length..];
    }
    frames
}

pub fn number(frame: &Frame, attribute: UbusAttr) -> Option<u32> {
    find(&frame.payload, attribute).and_then(|found| found.as_u32())
}

pub fn text(frame: &Frame, attribute: UbusAttr) -> Option<String> {
    find(&frame.payload, attribute).and_then(|found| found.as_str()).map(str::to_owned)
}

pub fn data(frame: &Frame) -> Value {
    let data = find(&frame.payload, UbusAttr::Data).map_or(&[][..], |found| found.payload);
    blobmsg_to_json(data).expect("well-formed")
}

pub fn table(value: &Value) -> BlobMsgTable {
    json_to_blobmsg(value).expect("an object")
}

pub fn peer(name: &str) -> PeerStatus {
    PeerStatus {
        name: name.into(),
        state: PeerState::Connected,
        transport: Some("tls"),
        address: Some("198.51.100.1:4647".parse().unwrap()),
        since: Some(1_767_225_600),
        retry_in: None,
        last_error: None,
        rtt: Some(std::time::Duration::from_millis(12)),
    }
}

/// A router that has not joined, whose ledger the test plays with; camera and TV are at home.
pub fn apart(policy: Policy) -> TestRouter {
    let mut router = TestRouter::by_hand(policy);
    router.neighbour("192.168.1.23", LAN, Some(CAMERA));
    router.neighbour("192.168.1.24", LAN, Some(TV));
    router
}

/// One that has joined, with nothing said that the test did not ask for; nobody else is on the bus.
pub fn joined(policy: Policy) -> TestRouter {
    let mut router = apart(policy);
    router.join();
    router
}

/// The answer to one call among the messages, if it is complete.
pub fn answer(sent: &[Frame], sequence: u16) -> Option<Result<Value, i32>> {
    let ours = |frame: &&Frame| frame.hdr.seq == sequence && frame.hdr.peer == CALLER;
    let mut answers = sent.iter().filter(ours);
    let first = answers.next()?;
    assert_eq!(number(first, UbusAttr::ObjId), Some(OBJECT), "the broker routes answers by the object");
    let (reply, last) = match first.hdr.ty {
        MsgType::Data => (data(first), answers.next()?),
        _ => (Value::Null, first),
    };
    assert_eq!(last.hdr.ty, MsgType::Status);
    assert_eq!(answers.next().map(|frame| frame.hdr.ty), None, "one answer to one call");
    match number(last, UbusAttr::Status).expect("status").cast_signed() {
        0 => Some(Ok(reply)),
        status => Some(Err(status)),
    }
}

/// What a broker says on which nobody else is registered.
pub fn default_answer(frame: &Frame) -> Vec<u8> {
    let (sequence, peer) = (frame.hdr.seq, frame.hdr.peer);
    match frame.hdr.ty {
        MsgType::AddObject => {
            let object = if text(frame, UbusAttr::ObjPath).is_some() { OBJECT } else { RECEIVER };
            let mut bytes = message(MsgType::Data, sequence, peer, |e| {
                e.push_u32(UbusAttr::ObjId, object);
                e.push_u32(UbusAttr::ObjType, 7);
            });
            bytes.extend(status(sequence, peer, 0));
            bytes
        }
        MsgType::Lookup => status(sequence, peer, 4),
        _ => status(sequence, peer, 0),
    }
}
