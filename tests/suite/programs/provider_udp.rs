//! The provider's program as routers see it over UDP.

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use crate::programs::program::{PATIENCE, Program, told};
use crate::support::dtls::*;
use crate::support::signal::wire::{self, CON, GET, Message, NON, PUT};
use dots_callhome::io::clock::now;
use dots_callhome::transport::Failure;
use dots_callhome::transport::dtls::{ClientConfig, DtlsChannel, SavedSession};

/// An empty confirmable message, and the reset that answers it (RFC 7252 section 4.3).
const PING: [u8; 4] = [0x40, 0, 0x12, 0x34];
const PONG: [u8; 4] = [0x70, 0, 0x12, 0x34];

/// One router.
pub struct Router {
    socket: UdpSocket,
    pub channel: DtlsChannel,
    pub failure: Option<Failure>,
    sent: Vec<Vec<u8>>,
    heard: Vec<Vec<u8>>,
}

impl Router {
    pub fn new(config: &ClientConfig, to: SocketAddr, session: Option<&SavedSession>) -> Self {
        let any = if to.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" };
        let socket = UdpSocket::bind(any).unwrap();
        socket.connect(to).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        let channel = DtlsChannel::client(config, PROVIDER, session, now()).unwrap();
        Self { socket, channel, failure: None, sent: Vec::new(), heard: Vec::new() }
    }

    /// Begins anew from the port it has.
    fn restart(&mut self, config: &ClientConfig) {
        self.channel = DtlsChannel::client(config, PROVIDER, None, now()).unwrap();
        self.sent.clear();
    }

    /// Goes on until something is true.
    pub fn until(&mut self, what: &str, is: impl Fn(&Self) -> bool) {
        let start = Instant::now();
        while !is(self) {
            assert!(start.elapsed() < PATIENCE, "never happened: {what}, {:?}", self.failure);
            self.step();
        }
    }

    fn step(&mut self) {
        while let Some(datagram) = self.channel.poll_transmit() {
            let _ = self.socket.send(&datagram);
            self.sent.push(datagram);
        }
        let mut buffer = [0; 2048];
        if let Ok(length) = self.socket.recv(&mut buffer) {
            let outcome = self.channel.handle_input(buffer.get(..length).unwrap(), now());
            self.failure = self.failure.take().or(outcome.err());
        }
        let _ = self.channel.handle_timeout(now());
        self.heard.extend(std::iter::from_fn(|| self.channel.poll_plaintext()));
    }

    pub fn connect(&mut self) {
        self.until("connected", |router| router.channel.is_established());
    }

    /// The provider answers what only our session can have asked.
    pub fn ping(&mut self) {
        self.heard.clear();
        self.channel.write(&PING);
        self.until("answered", |router| router.heard.iter().any(|message| *message == PONG));
    }
}

/// A provider with certificates and these keys, and the authority of both.
fn provider(test: &str, keys: &str) -> (Program, Authority, Vec<String>) {
    let (program, root) = (Program::new(test), Authority::new("Root"));
    let mut arguments = program.certified(&root.pem(), &root.issue_pem(Kind::P256, params(PROVIDER)));
    arguments.extend(["--psk-file".to_owned(), program.file("keys", keys)]);
    (program, root, arguments)
}

/// Proves SC-3-01, SC-7.1-11, SC-7.1-12.
#[test]
fn routers_call_and_resume() {
    let (mut program, root, arguments) = provider("udp", &format!("home-9:{}\n", "05".repeat(16)));
    program.start(&arguments);
    let by_certificate = client(&root, ROUTER);
    let by_key = ClientConfig::psk(psk("home-9", 5), random(1)).unwrap();
    let (mut first, mut second) =
        (Router::new(&by_certificate, program.v6, None), Router::new(&by_key, program.v4, None));
    for router in [&mut first, &mut second] {
        router.connect();
        router.ping();
    }
    let known = program.routers();
    assert!(known.contains(ROUTER) && known.contains("home-9") && known.contains("dtls"), "{known}");
    program.end();
    for router in [&mut first, &mut second] {
        router.until("a goodbye", |router| router.failure.is_some());
        assert_eq!(router.failure, Some(Failure::Closed));
    }
    assert!(first.channel.session().is_some());
    program.start(&arguments);
    let mut again = Router::new(&by_certificate, program.v4, first.channel.session());
    again.connect();
    again.ping();
    assert!(again.channel.is_resumed());
    assert!(program.routers().contains(ROUTER));
}

/// A router that begins anew from its port takes the place of its old session; one that only seems to does not.
#[test]
fn a_port_can_be_used_again_but_not_taken_away() {
    let (mut program, root, arguments) = provider("again", "");
    program.start(&arguments);
    let config = client(&root, ROUTER);
    let mut router = Router::new(&config, program.v4, None);
    router.connect();
    router.ping();
    // The hellos, one with a good cookie, and all that followed, as somebody on the path could repeat them.
    for datagram in router.sent.clone() {
        router.socket.send(&datagram).unwrap();
    }
    (0..20).for_each(|_| router.step());
    router.ping();
    assert_eq!(router.failure, None);

    router.restart(&config);
    router.until("connected again", |router| router.channel.is_established());
    router.ping();
    assert_eq!(program.routers().matches(ROUTER).count(), 1);
}

/// Proves CH-8-01: others are told that they are strangers.
#[test]
fn strangers_are_refused() {
    let (mut program, _, arguments) = provider("strangers", &format!("home-9:{}\n", "05".repeat(16)));
    program.start(&arguments);
    let wrong_key = ClientConfig::psk(psk("home-9", 6), random(1)).unwrap();
    let mut router = Router::new(&wrong_key, program.v4, None);
    router.until("refused", |router| router.failure.is_some());
    assert_eq!(router.failure, Some(Failure::WrongKey("the peer says that it can't verify what we send".into())));
    assert!(!program.routers().contains("home-9"));
}

/// Proves DR-3.1-01: the port the draft wants, where it is configured.
#[test]
fn routers_call_on_the_port_of_call_home() {
    let (mut program, root, arguments) = provider("port", "");
    program.v4 = "127.46.47.1:4647".parse().unwrap();
    program.start(&arguments);
    let mut router = Router::new(&client(&root, ROUTER), program.v4, None);
    router.connect();
    router.ping();
}

/// Proves SC-4.4-04, SC-4.4-06, SC-4.4.1.3-25, CO-9.1.1-02: the first copy is lost, and so are the first questions of the session.
#[test]
fn a_request_is_repeated_until_it_is_answered() {
    let (mut program, root, arguments) = provider("repeat", "");
    program.start(&arguments);
    let mut router = Router::new(&client(&root, ROUTER), program.v4, None);
    router.connect();
    router.until("the first questions", |router| router.heard.len() > 1);
    let config = Message::of_datagram(router.heard.first().unwrap());
    assert_eq!(config.kind, CON);
    router.channel.write(
        &Message { kind: wire::ACK, id: config.id, code: 0x84, token: config.token, ..Message::default() }.datagram(),
    );
    router.heard.clear();
    // Its numbers have to be above all that the router knows, so that comes first.
    let is_question = |datagram: &Vec<u8>| Message::of_datagram(datagram).code == GET;
    router.until("the question again", |router| router.heard.iter().any(is_question));
    let question = router.heard.iter().find(|datagram| is_question(datagram)).unwrap();
    let question = Message::of_datagram(question);
    router
        .channel
        .write(&Message { kind: NON, id: 2, code: 0x84, token: question.token, ..Message::default() }.datagram());
    let command = ["request", "--router", ROUTER, "--source", "203.0.113.7", "--target", "192.0.2.1"];
    // Before the first copy, which a busy machine may be late to show.
    let asked = Instant::now();
    let command = program.command(&command);
    let copies = |router: &Router| -> Vec<Message> {
        router
            .heard
            .iter()
            .map(|datagram| Message::of_datagram(datagram))
            .filter(|message| message.code == PUT)
            .collect()
    };
    router.until("a request", |router| copies(router).len() == 1);
    router.until("a second copy", |router| copies(router).len() == 2);
    assert!(asked.elapsed() > Duration::from_secs(3));
    let all = copies(&router);
    let [first, second] = &all[..] else { unreachable!() };
    assert!(first.kind == NON && first.id != second.id);
    assert_eq!(first, &second.clone().id(first.id));
    let answer = Message { kind: NON, id: 1, code: 0x44, token: second.token.clone(), ..Message::default() };
    router.channel.write(&answer.datagram());
    router.step();
    told(command).unwrap();
}
