//! Providers that speak to the router's sessions in bytes.

use std::time::{Duration, Instant};

use dots_callhome::coap::{Broken, Endpoint};
use dots_callhome::mitigation::{Client, Consent};
use dots_callhome::model::MitigationId;
use dots_callhome::signal::session::{Event, Session};

use super::{TestRouter, Wired};
use crate::support::home::*;
use crate::support::random::Dice;
use crate::support::signal::*;

/// A provider and the router's session with it.
pub struct Provider {
    pub session: Session,
    /// What the router has said, when.
    pub heard: Vec<(Instant, Message)>,
    /// What the session has told its owner.
    pub events: Vec<Event>,
    stream: bool,
    bytes: Vec<u8>,
    arriving: Vec<(Instant, Vec<u8>)>,
    id: u16,
    token: u64,
}

impl TestRouter {
    pub fn udp() -> Self {
        Self::serving(false)
    }

    pub fn tcp() -> Self {
        Self::serving(true)
    }

    /// One of each.
    pub fn both() -> [Self; 2] {
        [Self::udp(), Self::tcp()]
    }

    /// One that asks first.
    pub fn asking(mut self) -> Self {
        self.ledger.set_policy(policy(Consent::Ask), self.now);
        self
    }

    /// Another session; its number.
    pub fn connect(&mut self, peer: &str, stream: bool) -> usize {
        let session = self.session(peer, stream);
        let provider = Provider {
            session,
            heard: Vec::new(),
            events: Vec::new(),
            stream,
            bytes: Vec::new(),
            arriving: Vec::new(),
            id: 0x1000,
            token: 0,
        };
        self.providers.push(provider);
        let number = self.providers.len() - 1;
        self.flush();
        if stream {
            assert_eq!(self.providers[number].heard.remove(0).1.code(), "7.01", "settings come first");
            self.feed(number, &[0, 0xe1]);
        }
        number
    }

    /// A session that has only just begun.
    pub fn session(&mut self, peer: &str, stream: bool) -> Session {
        let random = Box::new(Dice(self.dice.roll()));
        let endpoint = if stream { Endpoint::stream(random) } else { Endpoint::datagram(random) };
        let mut session = Session::new(peer.into(), endpoint, 30, self.now);
        session.set_domain(self.domain());
        session
    }

    fn domain(&self) -> Vec<ipnet::IpNet> {
        match self.wired {
            Wired::All => self.finder.domain(&["wan".to_owned()]),
            _ => vec![net("2001:db8:123::/48"), net("198.51.100.7/32")],
        }
    }

    pub(super) fn set_domains(&mut self) {
        let domain = self.domain();
        for provider in &mut self.providers {
            provider.session.set_domain(domain.clone());
        }
    }

    /// The session is lost and another begins in its place.
    pub fn reconnect(&mut self) {
        let stream = self.providers[0].stream;
        self.providers.truncate(0);
        self.connect("isp", stream);
    }

    pub fn is_stream(&self) -> bool {
        self.providers[0].stream
    }

    /// The bytes come in; what follows from them at once follows.
    pub fn feed(&mut self, provider: usize, bytes: &[u8]) {
        self.try_feed(provider, bytes).expect("the session goes on");
    }

    /// The same where they may end the session.
    pub fn try_feed(&mut self, provider: usize, bytes: &[u8]) -> Result<(), Broken> {
        let outcome = self.providers[provider].session.handle_input(bytes, &mut self.ledger, self.now);
        self.settle();
        outcome
    }

    /// Sends a request with a token and id of its own.
    pub fn send_on(&mut self, provider: usize, message: &Message) -> Message {
        let from = &mut self.providers[provider];
        from.id += 1;
        from.token += 1;
        let mut message = message.clone().id(from.id);
        if message.token.is_empty() {
            message.token = from.token.to_be_bytes()[4..].to_vec();
        }
        let bytes = if from.stream { message.frame() } else { message.datagram() };
        self.feed(provider, &bytes);
        message
    }

    pub fn send(&mut self, message: &Message) -> Message {
        self.send_on(0, message)
    }

    /// What is answered at once, if anything is.
    pub fn reply_on(&mut self, provider: usize, message: &Message) -> Option<Message> {
        let sent = self.send_on(provider, message);
        let heard = &mut self.providers[provider].heard;
        let place = heard.iter().position(|(_, answer)| answer.token == sent.token && answer.code >= 0x40)?;
        let (_, answer) = heard.remove(place);
        if !self.providers[provider].stream {
            assert_eq!(answer.kind, if sent.kind == CON { ACK } else { NON }, "{answer:?}");
            assert!(sent.kind != CON || answer.id == sent.id);
        }
        check(&answer);
        Some(answer)
    }

    pub fn reply(&mut self, message: &Message) -> Option<Message> {
        self.reply_on(0, message)
    }

    /// What is answered at once.
    pub fn ask(&mut self, message: &Message) -> Message {
        self.ask_on(0, message)
    }

    pub fn ask_on(&mut self, provider: usize, message: &Message) -> Message {
        self.reply_on(provider, message).unwrap_or_else(|| panic!("no answer to {message:?}"))
    }

    /// The answer to a request with this mid and body, in words.
    pub fn want(&mut self, mid: u32, body: &str) -> String {
        self.ask(&put(&format!("mitigate/K/{mid}"), body)).to_string()
    }

    /// A new request is refused with these words, and leaves nothing behind.
    pub fn refuses(&mut self, body: &str, words: &str) {
        let before = self.ledger.all().count();
        let answer = self.ask(&put("mitigate/K/4000", body));
        assert_eq!(answer.code(), "4.00", "{body}: {answer}");
        assert!(answer.text().contains(words), "{body}: {answer}, expected {words}");
        assert_eq!(self.ledger.all().count(), before);
    }

    /// What the router has said since, and forgets.
    pub fn heard(&mut self) -> Vec<Message> {
        self.providers[0].heard.drain(..).map(|(_, message)| message).collect()
    }

    /// Those of it that bear this token.
    pub fn notified(&mut self, token: &[u8]) -> Vec<Message> {
        let messages: Vec<Message> = self.heard().into_iter().filter(|message| message.token == token).collect();
        messages.iter().for_each(check);
        messages
    }

    /// What the first session has told its owner since.
    pub fn session_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.providers[0].events)
    }

    /// Lets time pass, with a heartbeat of the first provider every 20 seconds.
    pub fn pass_alive(&mut self, time: Duration) {
        let mut left = time;
        while !left.is_zero() {
            let step = left.min(seconds(20));
            self.pass(step);
            assert_eq!(self.ask(&put("hb", "{49:{51:true}}")).code(), "2.04");
            left -= step;
        }
    }

    /// What was under way to the router and is there now.
    pub(super) fn arrive(&mut self) {
        for number in 0..self.providers.len() {
            let now = self.now.instant;
            let due: Vec<_> = self.providers[number].arriving.extract_if(.., |(due, _)| *due <= now).collect();
            for (_, bytes) in due {
                self.feed(number, &bytes);
            }
        }
    }

    /// The sessions do what is due, and say what they have to; whether there was anything.
    pub(super) fn hear_sessions(&mut self) -> bool {
        for provider in &mut self.providers {
            if provider.session.poll_timeout().is_some_and(|due| due <= self.now.instant) {
                provider.session.handle_timeout(&mut self.ledger, self.now);
            }
        }
        self.flush()
    }

    fn flush(&mut self) -> bool {
        let mut any = false;
        for provider in &mut self.providers {
            provider.events.extend(std::iter::from_fn(|| provider.session.poll_event()));
            while let Some(bytes) = provider.session.poll_transmit() {
                any = true;
                provider.take(&bytes, self.answers, self.now.instant);
            }
        }
        any
    }

    /// The mitigation with this mid.
    pub fn id(&self, mid: u32) -> MitigationId {
        let client = Client { peer: "isp".into(), cuid: K.into() };
        self.ledger.find(&client, mid).expect("the mitigation").id()
    }
}

impl Provider {
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let arriving = self.arriving.iter().map(|(due, _)| *due);
        arriving.chain(self.session.poll_timeout()).min()
    }

    fn take(&mut self, bytes: &[u8], answers: Option<Duration>, now: Instant) {
        let mut messages = Vec::new();
        if self.stream {
            self.bytes.extend(bytes);
            while let Some((message, used)) = Message::of_stream(&self.bytes) {
                self.bytes.drain(..used);
                messages.push(message);
            }
        } else {
            messages.push(Message::of_datagram(bytes));
        }
        for message in messages {
            if let Some(delay) = answers.filter(|_| message.code == PUT) {
                self.id += 1;
                let reply =
                    Message { kind: NON, id: self.id, code: 0x44, token: message.token.clone(), ..Message::default() };
                let bytes = if self.stream { reply.frame() } else { reply.datagram() };
                self.arriving.push((now + delay, bytes));
            }
            self.heard.push((now, message));
        }
    }
}
