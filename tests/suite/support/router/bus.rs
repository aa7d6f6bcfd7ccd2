//! The broker in memory: the test says what it sends, and reads what our end says.

use dots_callhome::model::{Mac, MitigationId};
use dots_callhome::ubus::{BusProtocolError, CallContext, Event};
use serde_json::{Value, json};
use ubus::wire::Frame;

use super::{TestRouter, Wired};
use crate::support::home::CAMERA;
use crate::support::ledger::{exact, other_attack};
use crate::support::ubus::{CALLER, OBJECT, answer, default_answer, hello, invoke, messages, table};

impl TestRouter {
    /// Connects and answers all that is asked on joining.
    pub fn join(&mut self) {
        assert!(self.bus.poll_connect(self.now));
        self.bus.handle_connected();
        self.feed_bus(&hello());
        self.answer_bus();
        let events = self.bus_events();
        assert!(events.contains(&Event::Joined), "{events:?}");
    }

    /// Answers registrations with yes and look-ups with "no such object" until nothing is asked any more.
    pub fn answer_bus(&mut self) {
        loop {
            let asked = self.sent();
            if asked.is_empty() {
                return;
            }
            for frame in asked {
                self.feed_bus(&default_answer(&frame));
            }
        }
    }

    /// The broker says these bytes.
    pub fn try_feed_bus(&mut self, bytes: &[u8]) -> Result<(), BusProtocolError> {
        let now = self.now;
        self.with_bus(|bus, context| bus.handle_input(bytes, context, now))
    }

    pub fn feed_bus(&mut self, bytes: &[u8]) {
        self.try_feed_bus(bytes).expect("a sound stream");
    }

    pub(super) fn handle_bus_timeout(&mut self) {
        let now = self.now;
        self.with_bus(|bus, context| bus.handle_timeout(context, now));
        let next = self.bus.poll_timeout();
        assert!(next.is_none_or(|due| due > now.instant), "a timeout that was handled is done");
    }

    fn with_bus<T>(&mut self, what: impl FnOnce(&mut dots_callhome::ubus::Bus, &mut CallContext<'_>) -> T) -> T {
        let mut context = CallContext {
            ledger: &mut self.ledger,
            peers: &self.peers,
            inventory: self.finder.inventory(),
            enforcer: &self.enforcer,
            started: self.start,
            not_kept: self.not_kept,
            config_faults: &self.config_faults,
            not_read: self.not_read,
        };
        what(&mut self.bus, &mut context)
    }

    /// What the ledger has to tell goes to the bus alone.
    pub fn pump_ledger(&mut self) {
        while let Some(event) = self.ledger.poll_event() {
            self.bus.handle_mitigation(&event, self.now);
        }
    }

    /// Nothing is left to do for now.
    pub fn end_turn(&mut self) {
        self.bus.handle_turn_end(&self.ledger, self.finder.inventory(), self.now);
    }

    pub(super) fn hear_bus(&mut self) {
        while let Some(event) = self.bus.poll_event() {
            if event == Event::Shown {
                self.finder.handle_shown(self.now);
            } else {
                self.bus_heard.push(event);
            }
        }
    }

    /// What our end has to say; nobody else is on the bus. Whether it asked anything.
    pub(super) fn serve_bus(&mut self) -> bool {
        self.bus.handle_settled(self.ledger.generation().decided);
        self.end_turn();
        let Some(bytes) = self.bus.poll_transmit() else { return false };
        for frame in messages(&bytes) {
            if frame.hdr.peer != CALLER {
                self.feed_bus(&default_answer(&frame));
            }
            self.bus_sent.push(frame);
        }
        true
    }

    /// Everything our end has sent since.
    pub fn sent(&mut self) -> Vec<Frame> {
        self.bus.handle_settled(self.ledger.generation().decided);
        self.end_turn();
        let mut sent = std::mem::take(&mut self.bus_sent);
        sent.extend(self.bus.poll_transmit().iter().flat_map(|bytes| messages(bytes)));
        sent
    }

    pub fn bus_events(&mut self) -> Vec<Event> {
        self.hear_bus();
        std::mem::take(&mut self.bus_heard)
    }

    /// Calls a method as `ubus call` does; the reply or the status.
    pub fn call(&mut self, method: &str, arguments: Value) -> Result<Value, i32> {
        self.call_bytes(method, table(&arguments).contents())
    }

    /// The same with the arguments as they stand on the wire.
    pub fn call_bytes(&mut self, method: &str, arguments: &[u8]) -> Result<Value, i32> {
        let sequence = self.begin(method, arguments);
        let sent = self.sent();
        let answer = answer(&sent, sequence).unwrap_or_else(|| panic!("no answer among {sent:?}"));
        if self.wired == Wired::All {
            self.bus_sent.extend(sent.into_iter().filter(|frame| frame.hdr.peer != CALLER));
        }
        answer
    }

    /// Sends a call; its sequence number.
    pub fn begin(&mut self, method: &str, arguments: &[u8]) -> u16 {
        self.sequence += 1;
        self.feed_bus(&invoke(OBJECT, CALLER, self.sequence, method, arguments));
        if self.wired == Wired::All {
            self.settle();
        }
        self.sequence
    }

    /// A request the search has laid at the camera's door.
    pub fn pending(&mut self, mid: u32) -> MitigationId {
        let id = self.request(mid, &other_attack(u16::try_from(mid).unwrap()), &[exact(CAMERA)]);
        self.pump_ledger();
        self.answer_bus();
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
