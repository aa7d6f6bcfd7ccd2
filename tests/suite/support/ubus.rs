//! A broker in memory: the test says what it sends, and reads what our end says. Time is simulated.

use std::time::Instant;

use crate::support::ledger;
use dots_callhome::enforce::Enforcer;
use dots_callhome::mitigation::Policy;
use dots_callhome::model::{Mac, MitigationId};
use dots_callhome::source::Inventory;
use dots_callhome::ubus::{Bus, BusProtocolError, CallContext, Event, PeerState, PeerStatus};
use serde_json::{Value, json};
use ubus::BlobMsgTable;
use ubus::envelope::{EnvBuilder, UbusAttr, find};
use ubus::json::{blobmsg_to_json, json_to_blobmsg};
use ubus::wire::{Codec, Frame, MsgType};

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

/// Our end on the bus with a house behind it.
pub struct Desk {
    pub bus: Bus,
    pub home: ledger::House,
    pub inventory: Inventory,
    pub enforcer: Enforcer,
    pub peers: Vec<PeerStatus>,
    pub started: Instant,
    pub not_kept: Option<&'static str>,
    pub not_read: Option<&'static str>,
    sequence: u16,
}

impl Desk {
    /// Not joined yet.
    pub fn apart(policy: Policy) -> Self {
        let home = ledger::House::new(policy);
        let mut inventory = Inventory::new();
        for (address, mac) in [("192.168.1.23", ledger::CAMERA), ("192.168.1.24", ledger::TV)] {
            inventory.learn(address.parse().unwrap(), 3, Some("br-lan"), mac, home.now.instant);
        }
        let started = home.now.instant;
        Self {
            bus: Bus::new("1.2.3"),
            home,
            inventory,
            enforcer: Enforcer::new(),
            peers: vec![peer("isp")],
            started,
            not_kept: None,
            not_read: None,
            sequence: 0,
        }
    }

    /// Joined, with nothing said that the test did not ask for; nobody else is on the bus.
    pub fn new(policy: Policy) -> Self {
        let mut desk = Self::apart(policy);
        desk.join();
        desk
    }

    /// Connects and answers all that is asked on joining.
    pub fn join(&mut self) {
        assert!(self.bus.poll_connect(self.home.now));
        self.bus.handle_connected();
        self.feed(&hello());
        self.settle();
        let events = self.events();
        assert!(events.contains(&Event::Joined), "{events:?}");
    }

    /// Answers registrations with yes and look-ups with "no such object" until nothing is asked any more.
    pub fn settle(&mut self) {
        loop {
            let asked = self.sent();
            if asked.is_empty() {
                return;
            }
            for frame in asked {
                self.feed(&default_answer(&frame));
            }
        }
    }

    pub fn try_feed(&mut self, bytes: &[u8]) -> Result<(), BusProtocolError> {
        let mut context = CallContext {
            ledger: &mut self.home.ledger,
            peers: &self.peers,
            inventory: &self.inventory,
            enforcer: &self.enforcer,
            started: self.started,
            not_kept: self.not_kept,
            not_read: self.not_read,
        };
        self.bus.handle_input(bytes, &mut context, self.home.now)
    }

    pub fn feed(&mut self, bytes: &[u8]) {
        self.try_feed(bytes).expect("a sound stream");
    }

    /// Lets time pass, and the bus do what is due.
    pub fn pass(&mut self, seconds: u64) {
        self.home.now = self.home.now.after(std::time::Duration::from_secs(seconds));
        let mut context = CallContext {
            ledger: &mut self.home.ledger,
            peers: &self.peers,
            inventory: &self.inventory,
            enforcer: &self.enforcer,
            started: self.started,
            not_kept: self.not_kept,
            not_read: self.not_read,
        };
        self.bus.handle_timeout(&mut context, self.home.now);
        let next = self.bus.poll_timeout();
        assert!(next.is_none_or(|due| due > self.home.now.instant), "a timeout that was handled is done");
    }

    /// What the ledger has to tell goes to the bus.
    pub fn pump_ledger(&mut self) {
        while let Some(event) = self.home.ledger.poll_event() {
            self.bus.handle_mitigation(&event, self.home.now);
        }
    }

    /// Nothing is left to do for now.
    pub fn end_turn(&mut self) {
        self.bus.handle_turn_end(&self.home.ledger, &self.inventory, self.home.now);
    }

    /// Everything our end has sent since.
    pub fn sent(&mut self) -> Vec<Frame> {
        self.bus.handle_settled(self.home.ledger.generation().decided);
        self.end_turn();
        self.bus.poll_transmit().map_or_else(Vec::new, |bytes| messages(&bytes))
    }

    pub fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.bus.poll_event()).collect()
    }

    /// Calls a method as `ubus call` does; the reply or the status.
    pub fn call(&mut self, method: &str, arguments: Value) -> Result<Value, i32> {
        self.call_bytes(method, table(&arguments).contents())
    }

    /// The same with the arguments as they stand on the wire.
    pub fn call_bytes(&mut self, method: &str, arguments: &[u8]) -> Result<Value, i32> {
        let sequence = self.begin(method, arguments);
        let sent = self.sent();
        answer(&sent, sequence).unwrap_or_else(|| panic!("no answer among {sent:?}"))
    }

    /// Sends a call; its sequence number.
    pub fn begin(&mut self, method: &str, arguments: &[u8]) -> u16 {
        self.sequence += 1;
        self.feed(&invoke(OBJECT, CALLER, self.sequence, method, arguments));
        self.sequence
    }

    /// A request the search has laid at the camera's door.
    pub fn pending(&mut self, mid: u32) -> MitigationId {
        let id = self.home.request(
            mid,
            &ledger::other_attack(u16::try_from(mid).unwrap()),
            &[ledger::exact(ledger::CAMERA)],
        );
        self.pump_ledger();
        self.settle();
        id
    }

    /// The reply to `get`.
    pub fn get(&mut self, id: MitigationId) -> Value {
        self.call("get", json!({ "id": id.0 })).expect("known")
    }

    pub fn device(&mut self, mac: Mac) -> Value {
        let reply = self.call("devices", json!({})).expect("devices");
        let devices = reply["devices"].as_array().expect("array");
        devices.iter().find(|device| device["mac"] == mac.to_string()).cloned().unwrap_or_default()
    }
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
