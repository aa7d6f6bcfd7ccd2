//! Providers of another library that do not go on from an earlier session, each in a way of its own: the router is back at once.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::credentials::PROVIDER_NAME;
use crate::home::{PROVIDER, WAN};
use crate::host::PATIENCE;
use crate::stage::{PORT, Stage};

/// Gates listen from here on, and the server behind each so much higher.
const FIRST: u16 = 4700;
const BEHIND: u16 = 100;
const FORGETFUL: u16 = 200;
/// The type of a record of DTLS with what comes after the handshake.
const APPLICATION_DATA: u8 = 23;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    Tls12,
    Tls13,
    Dtls12,
}

/// What becomes of the first offer to go on from an earlier session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    /// A fatal alert.
    Alert,
    /// The end of the connection.
    Close,
    /// Nothing at all.
    Silence,
    /// Something that is no answer.
    Garbage,
    /// A server that has never heard of it, without tickets.
    Forgotten,
    /// It is accepted, and then not a word is said.
    Mute,
}

const VERSIONS: [Version; 3] = [Version::Tls12, Version::Tls13, Version::Dtls12];
const REFUSALS: [Refusal; 6] =
    [Refusal::Alert, Refusal::Close, Refusal::Silence, Refusal::Garbage, Refusal::Forgotten, Refusal::Mute];

/// In front of a server: sees who offers to go on, and refuses that once.
struct Gate {
    version: Version,
    refusal: Refusal,
    port: u16,
    /// Of each beginning of a handshake, whether it was such an offer.
    hellos: Mutex<Vec<bool>>,
}

impl Gate {
    fn name(&self) -> String {
        format!("{:?}_{:?}", self.version, self.refusal).to_lowercase()
    }

    /// Whether what is behind it is a server of OpenSSL.
    fn has_foreign_server(&self) -> bool {
        (self.version, self.refusal) != (Version::Dtls12, Refusal::Mute)
    }

    /// Where this hello is to go on to, or how it is refused.
    fn judge(&self, hello: &[u8]) -> Result<SocketAddr, Refusal> {
        let offers = offers(hello, self.version == Version::Dtls12).expect("a ClientHello");
        let mut hellos = self.hellos.lock().unwrap();
        let first = offers && !hellos.contains(&true);
        hellos.push(offers);
        let behind = |by| Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, self.port + by)));
        match self.refusal {
            Refusal::Mute if self.version == Version::Dtls12 => Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, PORT))),
            Refusal::Forgotten if hellos.contains(&true) => behind(FORGETFUL),
            Refusal::Forgotten | Refusal::Mute => behind(BEHIND),
            refusal if first => Err(refusal),
            _ => behind(BEHIND),
        }
    }

    fn serve_streams(self: &Arc<Self>, listener: &TcpListener) {
        while let Ok((client, _)) = listener.accept() {
            let gate = Arc::clone(self);
            thread::spawn(move || gate.stream(client));
        }
    }

    fn stream(&self, mut client: TcpStream) {
        let mut hello = vec![0; 5];
        if client.read_exact(&mut hello).is_err() {
            return;
        }
        hello.resize(5 + usize::from(u16::from_be_bytes([hello[3], hello[4]])), 0);
        client.read_exact(&mut hello[5..]).expect("a whole hello");
        match self.judge(&hello) {
            Ok(server) => {
                let mut server = patiently(server);
                server.write_all(&hello).expect("sent on");
                let ends = (client.try_clone().unwrap(), server.try_clone().unwrap());
                thread::spawn(move || carry(ends.0, ends.1));
                carry(server, client);
            }
            Err(Refusal::Alert) => client.write_all(&[21, 3, 3, 0, 2, 2, 40]).expect("sent"),
            Err(Refusal::Garbage) => client.write_all(b"HTTP/1.0 400 Bad Request\r\n\r\n").expect("sent"),
            Err(Refusal::Silence) => drop(client.read(&mut [0])),
            Err(_) => {}
        }
    }

    fn serve_datagrams(self: &Arc<Self>, socket: &Arc<UdpSocket>) {
        let mut known: Vec<(SocketAddr, Option<Arc<UdpSocket>>)> = Vec::new();
        let mut datagram = [0; 2048];
        while let Ok((length, from)) = socket.recv_from(&mut datagram) {
            let datagram = &datagram[..length];
            let position = known.iter().position(|(other, _)| *other == from).unwrap_or_else(|| {
                known.push((from, self.association(socket, from, datagram)));
                known.len() - 1
            });
            if let Some(server) = &known[position].1 {
                let _ = server.send(datagram);
            }
        }
    }

    fn association(&self, socket: &Arc<UdpSocket>, from: SocketAddr, hello: &[u8]) -> Option<Arc<UdpSocket>> {
        let record = |kind: u8, content: &[u8]| {
            let head = [kind, 254, 253, 0, 0, 0, 0, 0, 0, 0, 0, 0, u8::try_from(content.len()).unwrap()];
            let _ = socket.send_to(&[&head, content].concat(), from);
            None
        };
        match self.judge(hello) {
            Ok(server) => {
                await_bound(server.port());
                let upstream = Arc::new(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
                upstream.connect(server).unwrap();
                let (back, socket) = (Arc::clone(&upstream), Arc::clone(socket));
                let mute = self.refusal == Refusal::Mute && self.hellos.lock().unwrap().last() == Some(&true);
                thread::spawn(move || {
                    let mut datagram = [0; 2048];
                    while let Ok(length) = back.recv(&mut datagram) {
                        if !(mute && datagram[0] == APPLICATION_DATA) {
                            let _ = socket.send_to(&datagram[..length], from);
                        }
                    }
                });
                Some(upstream)
            }
            Err(Refusal::Alert) => record(21, &[2, 40]),
            Err(Refusal::Close) => record(21, &[1, 0]),
            Err(Refusal::Garbage) => record(22, &[7; 40]),
            Err(_) => None,
        }
    }
}

/// Waits for a server of datagrams that may still be starting: what comes too early for it is lost.
fn await_bound(port: u16) {
    let start = Instant::now();
    let place = format!(" 0100007F:{port:04X} ");
    while !std::fs::read_to_string("/proc/thread-self/net/udp").expect("sockets").contains(&place) {
        assert!(start.elapsed() < PATIENCE, "nobody listens on {port}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// A connection to a server that may still be starting.
fn patiently(server: SocketAddr) -> TcpStream {
    let start = Instant::now();
    loop {
        match TcpStream::connect(server) {
            Ok(stream) => return stream,
            Err(error) => assert!(start.elapsed() < PATIENCE, "{server}: {error}"),
        }
        thread::sleep(Duration::from_millis(20));
    }
}

fn carry(mut from: TcpStream, mut to: TcpStream) {
    let _ = std::io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Both);
}

/// Whether a ClientHello offers to go on: by a pre-shared key of TLS 1.3, or by a ticket.
fn offers(hello: &[u8], is_datagram: bool) -> Option<bool> {
    let rest = hello.get(if is_datagram { 13 + 12 } else { 5 + 4 }..)?.get(2 + 32..)?;
    let short = |from: &[u8]| from.get(1 + usize::from(*from.first()?)..).map(<[u8]>::to_vec);
    let word = |from: &[u8]| Some(usize::from(u16::from_be_bytes([*from.first()?, *from.get(1)?])));
    let mut rest = short(rest)?;
    if is_datagram {
        rest = short(&rest)?;
    }
    let rest = rest.get(2 + word(&rest)?..)?;
    let rest = short(rest)?;
    let mut extensions = rest.get(2..)?;
    let mut found = false;
    while let (Some(kind), Some(length)) = (word(extensions), extensions.get(2..).and_then(word)) {
        found |= kind == 41 || (kind == 35 && length > 0);
        extensions = extensions.get(4 + length..)?;
    }
    Some(found)
}

/// A server of OpenSSL; gone when dropped.
struct Server(Child, Version);

impl Server {
    fn start(stage: &Stage, version: Version, port: u16, more: &[&str]) -> Self {
        let mut command = Command::new("openssl");
        command.args(["s_server", "-accept", &format!("127.0.0.1:{port}"), "-Verify", "2", "-verify_return_error"]);
        command.arg("-CAfile").arg(stage.file("ca.pem")).arg("-cert").arg(stage.file("provider.pem"));
        command.arg("-key").arg(stage.file("provider.key"));
        command.args(match version {
            Version::Tls12 => &["-tls1_2", "-alpn", "coap"][..],
            Version::Tls13 => &["-tls1_3", "-alpn", "coap"],
            Version::Dtls12 => &["-dtls1_2"],
        });
        command.args(more).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        Self(stage.home.provider.enter(|| command.spawn()).expect("openssl starts"), version)
    }

    /// Ends the session and waits for the next; over datagrams it ends itself.
    fn hang_up(&mut self) {
        if self.1 == Version::Dtls12 {
            let _ = self.0.kill();
            let _ = self.0.wait();
            return;
        }
        self.0.stdin.as_mut().unwrap().write_all(b"q\n").expect("it runs");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Proves CH-5.2.1-10 with packets, for what comes of a resumption that fails.
pub fn every_way() {
    let mut stage = Stage::prepare(1, "");
    let ways = VERSIONS.iter().flat_map(|version| REFUSALS.iter().map(move |refusal| (*version, *refusal)));
    let gates: Vec<Arc<Gate>> = (FIRST..)
        .zip(ways)
        .map(|(port, (version, refusal))| Arc::new(Gate { version, refusal, port, hellos: Mutex::default() }))
        .collect();
    let mut peers = String::new();
    let (mut servers, mut idle) = (Vec::new(), Vec::new());
    for gate in &gates {
        let (name, port) = (gate.name(), gate.port);
        let transport = if gate.version == Version::Dtls12 { "dtls" } else { "tls" };
        let file = |name: &str| stage.file(name).display().to_string();
        peers += &format!(
            "config peer '{name}'\n\toption name '{PROVIDER_NAME}'\n\tlist address '{PROVIDER}'\n\toption port '{port}'\n\
             \toption transport '{transport}'\n\toption interface 'wan'\n\toption ca '{}'\n\toption certificate '{}'\n\
             \toption key '{}'\n",
            file("ca.pem"),
            file("router.pem"),
            file("router.key")
        );
        if gate.has_foreign_server() {
            servers.push(Server::start(&stage, gate.version, port + BEHIND, &[]));
        }
        if gate.refusal == Refusal::Forgotten {
            let without = ["-no_ticket", "-no_cache"];
            idle.push(Server::start(&stage, gate.version, port + FORGETFUL, &without));
        }
        open(&stage, gate);
    }
    // Over datagrams OpenSSL's server never goes on from an earlier session, ours does.
    let own = Server(stage.serve(&stage.home.provider, Ipv4Addr::LOCALHOST, "provider"), Version::Dtls12);
    // The first peer of the usual configuration finds nobody there.
    stage.configure("", "\toption enabled '0'", &peers);
    stage.start_bus();
    stage.start_daemon();
    let is_up = |stage: &Stage, name: &str| {
        let status = stage.ubus("status", json!({})).unwrap_or_default();
        let peers = status["peers"].as_array().cloned().unwrap_or_default();
        peers.iter().any(|peer| peer["name"] == name && peer["state"] == "connected")
    };
    let all_up = |stage: &Stage| gates.iter().all(|gate| is_up(stage, &gate.name()));
    stage.until("all sessions are up", all_up);
    // Tickets of TLS 1.3 follow the handshake, and nothing shows that they have come: one that is late fails what follows.
    thread::sleep(Duration::from_secs(1));
    servers.iter_mut().for_each(Server::hang_up);
    let again = |gate: &&Arc<Gate>| gate.version == Version::Dtls12 && gate.refusal != Refusal::Forgotten;
    for gate in gates.iter().filter(again).filter(|gate| gate.has_foreign_server()) {
        servers.push(Server::start(&stage, gate.version, gate.port + BEHIND, &[]));
    }
    stage.logged("the peer closed the connection", 2 * REFUSALS.len());
    // Over datagrams that server says no goodbye; but a session from an address that is gone is lost.
    stage.home.router.ip(&format!("addr del {WAN}/24 dev wan"));
    stage.logged("is gone", REFUSALS.len());
    stage.home.router.ip(&format!("addr add {WAN}/24 dev wan"));
    stage.until("each has offered to go on and is up again", |s| {
        let again = |gate: &Arc<Gate>| gate.hellos.lock().unwrap().len() >= expected(gate).len();
        gates.iter().all(again) && all_up(s)
    });
    let log = stage.log();
    drop((idle, own));
    for gate in &gates {
        assert_eq!(*gate.hellos.lock().unwrap(), expected(gate), "{}", gate.name());
        let told = format!("peer {}: ", gate.name());
        let waits = log.lines().filter(|line| line.contains(&told) && line.contains("calling again in")).count();
        assert_eq!(waits, 1, "only the loss itself is waited after: {}", gate.name());
    }
}

/// Which handshakes begin with an offer: a server that has forgotten goes on within the same one.
fn expected(gate: &Gate) -> &'static [bool] {
    if gate.refusal == Refusal::Forgotten { &[false, true] } else { &[false, true, false] }
}

/// Lets the gate listen, until the test is over.
fn open(stage: &Stage, gate: &Arc<Gate>) {
    let address = (PROVIDER, gate.port);
    let gate = Arc::clone(gate);
    if gate.version == Version::Dtls12 {
        let socket = Arc::new(stage.home.provider.enter(|| UdpSocket::bind(address)).expect("bound"));
        drop(stage.home.provider.spawn(move || gate.serve_datagrams(&socket)));
    } else {
        let listener = stage.home.provider.enter(|| TcpListener::bind(address)).expect("bound");
        drop(stage.home.provider.spawn(move || gate.serve_streams(&listener)));
    }
}
