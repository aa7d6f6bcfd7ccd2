//! A router's sessions with simulated time, and providers that speak to it in bytes.

pub mod diag;
pub mod wire;

use std::time::{Duration, Instant};

use dots_callhome::coap::{Broken, Endpoint, Random};
use dots_callhome::mitigation::{self, Action, Client, Consent, Ledger, Policy, TimeoutAction};
use dots_callhome::model::{Mac, MitigationId, Now};
use dots_callhome::signal::session::{Event, Session};
use dots_callhome::source::{Confidence, Suspect};

pub use diag::{canonical, hex};
pub use wire::*;

pub const CAMERA: Mac = Mac([2, 0, 0, 0, 0, 0x11]);
pub const TARGET: &str = "2001:db8:c000::1/128";
pub const SOURCE: &str = "2001:db8:123::1/128";
/// A second before any other; what `mitigation-start` is counted from.
pub const BEGIN: u64 = 1_767_225_600;

pub fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// The body of a request: the usual target and source, and what `more` adds or, with the same key, puts in their place.
pub fn wanted(more: &str) -> String {
    let mut entries = String::new();
    for (key, value) in [("6", format!("[\"{TARGET}\"]")), ("32768", format!("[\"{SOURCE}\"]")), ("14", "3600".into())]
    {
        if !more.starts_with(&format!("{key}:")) && !more.contains(&format!(",{key}:")) {
            entries += &format!("{key}:{value},");
        }
    }
    scope(&format!("{entries}{more}"))
}

/// A request with these attributes and no others.
pub fn scope(attributes: &str) -> String {
    format!("{{1:{{2:[{{{attributes}}}]}}}}")
}

/// A request about another target, which overlaps with no other number's.
pub fn about(n: u32) -> String {
    wanted(&format!("6:[\"2001:db8:d000::{n:x}/128\"]"))
}

pub fn policy(consent: Consent) -> Policy {
    Policy {
        consent,
        action: Action::Block,
        consent_timeout: None,
        timeout_action: TimeoutAction::Ignore,
        max_lifetime: seconds(86_400),
        max_mitigations: 128,
        devices: Default::default(),
    }
}

pub fn camera(confidence: Confidence) -> Suspect {
    let (addresses, evidence) = (Vec::new(), Vec::new());
    Suspect { mac: CAMERA, name: None, addresses, interface: None, behind: false, confidence, evidence }
}

/// Not random at all, but never the same twice.
pub struct Dice(pub u64);

impl Random for Dice {
    fn fill(&mut self, bytes: &mut [u8]) {
        bytes.fill_with(|| self.roll() as u8);
    }
}

impl Dice {
    /// The next number, by xorshift.
    pub fn roll(&mut self) -> u64 {
        for shift in [13, -7, 17_i32] {
            self.0 ^= if shift > 0 { self.0 << shift } else { self.0 >> -shift };
        }
        self.0
    }
}

/// A provider and the router's session with it.
pub struct Line {
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

/// The router.
pub struct House {
    pub ledger: Ledger,
    pub now: Now,
    begin: Instant,
    pub lines: Vec<Line>,
    /// Whom every search finds; nothing: the search takes its time.
    pub suspects: Option<Vec<Suspect>>,
    /// Whether what is decided comes into force.
    pub enforces: bool,
    /// How long a provider takes to answer our heartbeats, if it does.
    pub answers: Option<Duration>,
    dice: Dice,
}

impl House {
    /// A router that acts by itself against the camera, with one session.
    pub fn new(stream: bool) -> Self {
        let begin = Instant::now();
        let mut house = Self {
            ledger: Ledger::new(policy(Consent::Auto)),
            now: Now { instant: begin, unix: BEGIN },
            begin,
            lines: Vec::new(),
            suspects: Some(vec![camera(Confidence::Exact)]),
            enforces: true,
            answers: None,
            dice: Dice(0x9e37_79b9_7f4a_7c15),
        };
        house.connect("isp", stream);
        house
    }

    pub fn udp() -> Self {
        Self::new(false)
    }

    pub fn tcp() -> Self {
        Self::new(true)
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
        let line = Line {
            session,
            heard: Vec::new(),
            events: Vec::new(),
            stream,
            bytes: Vec::new(),
            arriving: Vec::new(),
            id: 0x1000,
            token: 0,
        };
        self.lines.push(line);
        let number = self.lines.len() - 1;
        self.flush();
        if stream {
            assert_eq!(self.lines[number].heard.remove(0).1.code(), "7.01", "settings come first");
            self.feed(number, &[0, 0xe1]);
        }
        number
    }

    /// A session that has only just begun.
    pub fn session(&mut self, peer: &str, stream: bool) -> Session {
        let random = Box::new(Dice(self.dice.roll()));
        let endpoint = if stream { Endpoint::stream(random) } else { Endpoint::datagram(random) };
        let mut session = Session::new(peer.into(), endpoint, 30, self.now);
        session.set_domain(vec!["2001:db8:123::/48".parse().unwrap(), "198.51.100.7/32".parse().unwrap()]);
        session
    }

    /// The session is lost and another begins in its place.
    pub fn reconnect(&mut self) {
        let stream = self.lines[0].stream;
        self.lines.truncate(0);
        self.connect("isp", stream);
    }

    pub fn is_stream(&self) -> bool {
        self.lines[0].stream
    }

    /// The bytes come in; what follows from them at once follows.
    pub fn feed(&mut self, line: usize, bytes: &[u8]) {
        self.try_feed(line, bytes).expect("the session goes on");
    }

    /// The same where they may end the session.
    pub fn try_feed(&mut self, line: usize, bytes: &[u8]) -> Result<(), Broken> {
        let outcome = self.lines[line].session.handle_input(bytes, &mut self.ledger, self.now);
        self.settle();
        outcome
    }

    /// Sends a request with a token and id of its own.
    pub fn send_on(&mut self, line: usize, message: &Message) -> Message {
        let from = &mut self.lines[line];
        from.id += 1;
        from.token += 1;
        let mut message = message.clone().id(from.id);
        if message.token.is_empty() {
            message.token = from.token.to_be_bytes()[4..].to_vec();
        }
        let bytes = if from.stream { message.frame() } else { message.datagram() };
        self.feed(line, &bytes);
        message
    }

    pub fn send(&mut self, message: &Message) -> Message {
        self.send_on(0, message)
    }

    /// What is answered at once, if anything is.
    pub fn reply_on(&mut self, line: usize, message: &Message) -> Option<Message> {
        let sent = self.send_on(line, message);
        let heard = &mut self.lines[line].heard;
        let place = heard.iter().position(|(_, answer)| answer.token == sent.token && answer.code >= 0x40)?;
        let (_, answer) = heard.remove(place);
        if !self.lines[line].stream {
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

    pub fn ask_on(&mut self, line: usize, message: &Message) -> Message {
        self.reply_on(line, message).unwrap_or_else(|| panic!("no answer to {message:?}"))
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
        self.lines[0].heard.drain(..).map(|(_, message)| message).collect()
    }

    /// Those of it that bear this token.
    pub fn notified(&mut self, token: &[u8]) -> Vec<Message> {
        let messages: Vec<Message> = self.heard().into_iter().filter(|message| message.token == token).collect();
        messages.iter().for_each(check);
        messages
    }

    /// What the first session has told its owner since.
    pub fn events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.lines[0].events)
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

    /// Lets time pass, with everything at its moment.
    pub fn pass(&mut self, time: Duration) {
        let end = self.now.after(time);
        let mut steps = 0;
        while let Some(due) = self.next_due().filter(|due| *due <= end.instant) {
            let moment = due.max(self.now.instant);
            steps = if moment == self.now.instant { steps + 1 } else { 0 };
            assert!(steps < 1000, "time stands still");
            self.now = self.at(moment);
            self.arrive();
            self.ledger.handle_timeout(self.now);
            for number in 0..self.lines.len() {
                let line = &mut self.lines[number];
                if line.session.poll_timeout().is_some_and(|due| due <= self.now.instant) {
                    line.session.handle_timeout(&mut self.ledger, self.now);
                }
            }
            self.settle();
        }
        self.now = self.at(end.instant);
    }

    fn at(&self, moment: Instant) -> Now {
        Now { instant: moment, unix: BEGIN + moment.saturating_duration_since(self.begin).as_secs() }
    }

    fn next_due(&self) -> Option<Instant> {
        let arriving = self.lines.iter().flat_map(|line| line.arriving.iter().map(|(due, _)| *due));
        let sessions = self.lines.iter().filter_map(|line| line.session.poll_timeout());
        arriving.chain(sessions).chain(self.ledger.poll_timeout()).min()
    }

    /// What was under way to the router and is there now.
    fn arrive(&mut self) {
        for number in 0..self.lines.len() {
            let now = self.now.instant;
            let due: Vec<_> = self.lines[number].arriving.extract_if(.., |(due, _)| *due <= now).collect();
            for (_, bytes) in due {
                self.feed(number, &bytes);
            }
        }
    }

    /// Everything that follows at once: searches, decisions, enforcement, notifications.
    pub fn settle(&mut self) {
        loop {
            while let Some(event) = self.ledger.poll_event() {
                match &event {
                    mitigation::Event::Search(id) => {
                        if let Some(suspects) = self.suspects.clone() {
                            self.ledger.handle_attribution(*id, suspects, self.now);
                        }
                    }
                    mitigation::Event::Enforce if self.enforces => {
                        let decided: Vec<MitigationId> =
                            self.ledger.all().filter(|m| m.state().in_force()).map(|m| m.id()).collect();
                        for id in decided {
                            self.ledger.handle_enforced(id, Ok(()), self.now);
                        }
                    }
                    _ => {}
                }
                for line in &mut self.lines {
                    line.session.handle_mitigation(&event, &self.ledger);
                }
            }
            for line in &mut self.lines {
                line.session.handle_turn_end(&mut self.ledger, self.now);
            }
            if !self.flush() {
                break;
            }
        }
    }

    /// Takes what the sessions say; whether there was anything.
    fn flush(&mut self) -> bool {
        let mut any = false;
        for line in &mut self.lines {
            line.events.extend(std::iter::from_fn(|| line.session.poll_event()));
            while let Some(bytes) = line.session.poll_transmit() {
                any = true;
                line.take(&bytes, self.answers, self.now.instant);
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

impl Line {
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

/// What holds for every response: RFC 9132 sections 3 and 4.4.1.
pub fn check(answer: &Message) {
    if answer.block(23).is_some() || (answer.payload.is_empty() && (answer.code >> 5 == 2 || answer.code() == "4.06")) {
        return;
    }
    match answer.code >> 5 {
        2 => assert_eq!(answer.uint(12), Some(271), "a success has application/dots+cbor: {answer:?}"),
        _ if answer.code() == "4.09" => assert_eq!(answer.uint(12), Some(271)),
        _ => assert!(!answer.text().is_empty()),
    }
}
