//! A call over the kernel's own sockets, from the first byte to the question at home: certificates on both sides, one
//! request and its answer. `tests/package/matrix.sh` runs it on every architecture.
// Each transport's support brings the certificates.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use crate::support::dtls::{To, World};
use crate::support::signal::{Message, TestRouter, camera, put, wanted};
use crate::support::tls::{Line, PROVIDER, ROUTER, params};
use dots_callhome::mitigation::{Event, State};
use dots_callhome::model::Now;
use dots_callhome::source::Confidence;
use dots_callhome::transport::Channel;
use dots_callhome::transport::dtls::ClientConfig;
use dots_callhome::transport::tls::TlsChannel;

/// Nothing on this machine takes that long.
const PATIENCE: Option<Duration> = Some(Duration::from_secs(60));

/// A connected channel: what one end writes, in pieces as they come out at the other.
trait Wire {
    fn to_provider(&mut self, plaintext: &[u8]) -> Vec<Vec<u8>>;
    fn to_router(&mut self, plaintext: &[u8]) -> Vec<Vec<u8>>;
}

/// TLS over TCP.
struct Stream {
    line: Line,
    router: TcpStream,
    provider: TcpStream,
}

impl Stream {
    fn connect(kind: crate::support::tls::Kind) -> Self {
        let root = crate::support::tls::Authority::new("Root");
        let ours = crate::support::tls::router(root.issue_with(kind, params(ROUTER)), &root);
        let theirs = crate::support::tls::provider(root.issue_with(kind, params(PROVIDER)), &root);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let router = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (provider, _) = listener.accept().unwrap();
        for socket in [&router, &provider] {
            socket.set_read_timeout(PATIENCE).unwrap();
        }
        let mut stream = Self { line: Line::new(&ours, &theirs), router, provider };
        stream.carry();
        assert!(stream.line.client.is_established() && stream.line.server.is_established());
        stream
    }

    /// Until neither end has more to say.
    fn carry(&mut self) {
        let Self { line, router, provider } = self;
        while hand_on(&mut line.client, router, provider, &mut line.server, &mut line.at_server, line.now)
            || hand_on(&mut line.server, provider, router, &mut line.client, &mut line.at_client, line.now)
        {}
    }
}

/// Whether there was something to send.
fn hand_on(
    from: &mut TlsChannel,
    out: &mut TcpStream,
    into: &mut TcpStream,
    to: &mut TlsChannel,
    at: &mut Vec<u8>,
    now: Now,
) -> bool {
    let Some(bytes) = from.poll_transmit() else { return false };
    out.write_all(&bytes).unwrap();
    let mut arrived = vec![0; bytes.len()];
    into.read_exact(&mut arrived).unwrap();
    to.handle_input(&arrived, now).unwrap();
    at.extend(to.poll_plaintext().into_iter().flatten());
    true
}

impl Wire for Stream {
    fn to_provider(&mut self, plaintext: &[u8]) -> Vec<Vec<u8>> {
        self.line.client.write(plaintext);
        self.carry();
        vec![std::mem::take(&mut self.line.at_server)]
    }

    fn to_router(&mut self, plaintext: &[u8]) -> Vec<Vec<u8>> {
        self.line.server.write(plaintext);
        self.carry();
        vec![std::mem::take(&mut self.line.at_client)]
    }
}

/// DTLS over UDP.
struct Datagrams {
    world: World,
    router: UdpSocket,
    provider: UdpSocket,
}

impl Datagrams {
    fn connect(kind: crate::support::dtls::Kind) -> Self {
        let root = crate::support::dtls::Authority::new("Root");
        let issue = |name| root.issue_with(kind, params(name));
        let ours = ClientConfig::certificate(&issue(ROUTER), &root.anchors(), crate::support::dtls::random(1)).unwrap();
        let theirs = crate::support::dtls::serving(issue(PROVIDER), root.anchors(), Vec::new());
        let [router, provider] = [(); 2].map(|()| UdpSocket::bind("127.0.0.1:0").unwrap());
        for (socket, other) in [(&router, &provider), (&provider, &router)] {
            socket.connect(other.local_addr().unwrap()).unwrap();
            socket.set_read_timeout(PATIENCE).unwrap();
        }
        let mut world = World::between(&theirs, &ours, None);
        world.router = router.local_addr().unwrap();
        let mut datagrams = Self { world, router, provider };
        datagrams.carry();
        assert!(datagrams.world.client.is_established() && datagrams.world.server().is_established());
        datagrams
    }

    /// Until neither end has more to say.
    fn carry(&mut self) {
        self.world.collect();
        while let Some(flight) = self.world.under_way.pop_front() {
            let (from, to) = match flight.to {
                To::Server => (&self.router, &self.provider),
                To::Client => (&self.provider, &self.router),
            };
            from.send(&flight.datagram).unwrap();
            let mut buffer = [0; 2048];
            let length = to.recv(&mut buffer).unwrap();
            self.world.arrive(flight.to, buffer.get(..length).unwrap());
            self.world.collect();
        }
    }
}

impl Wire for Datagrams {
    fn to_provider(&mut self, plaintext: &[u8]) -> Vec<Vec<u8>> {
        self.world.client.write(plaintext);
        self.carry();
        self.world.at_server()
    }

    fn to_router(&mut self, plaintext: &[u8]) -> Vec<Vec<u8>> {
        self.world.server().write(plaintext);
        self.carry();
        self.world.at_client()
    }
}

/// A request comes in over this wire, is answered, and the administrator asked.
fn request(wire: &mut dyn Wire, is_stream: bool) {
    let mut house = TestRouter::serving(is_stream).asking();
    let mut session = house.session("isp", is_stream);
    let request = put("mitigate/K/1", &wanted("")).token(&[7]).id(0x1234);
    // A stream begins with settings.
    let bytes = if is_stream { [&[0, 0xe1][..], &request.frame()].concat() } else { request.datagram() };
    for piece in wire.to_router(&bytes) {
        session.handle_input(&piece, &mut house.ledger, house.now).unwrap();
    }
    while let Some(event) = house.ledger.poll_event() {
        if let Event::Search(id) = event {
            house.ledger.handle_attribution(id, vec![camera(Confidence::Exact)], house.now);
        }
        session.handle_mitigation(&event, &house.ledger);
    }
    session.handle_turn_end(&mut house.ledger, house.now);
    let said = std::iter::from_fn(|| session.poll_transmit()).flat_map(|bytes| wire.to_provider(&bytes));
    let answers: Vec<Message> = if is_stream {
        let bytes = said.collect::<Vec<_>>().concat();
        let mut rest = bytes.as_slice();
        std::iter::from_fn(|| {
            let (message, length) = Message::of_stream(rest)?;
            rest = rest.get(length..)?;
            Some(message)
        })
        .collect()
    } else {
        said.map(|bytes| Message::of_datagram(&bytes)).collect()
    };
    let codes: Vec<String> = answers.iter().filter(|answer| answer.token == [7]).map(Message::code).collect();
    assert_eq!(codes, ["2.01"], "{answers:?}");
    assert_eq!(house.ledger.all().map(|m| m.state()).collect::<Vec<_>>(), [State::Pending]);
}

#[test]
fn over_tls() {
    for kind in [crate::support::tls::Kind::P256, crate::support::tls::Kind::Rsa] {
        request(&mut Stream::connect(kind), true);
    }
}

#[test]
fn over_dtls() {
    for kind in [crate::support::dtls::Kind::P256, crate::support::dtls::Kind::Rsa] {
        request(&mut Datagrams::connect(kind), false);
    }
}
