//! Hours of everything at once: requests, sessions that begin anew, floods of conntrack's events, garbage from whoever is called,
//! from whoever calls and from the bus, and brokers that restart. What both programs hold is drawn as a table, and must not grow.
//!
//! `lab soak MINUTES`

use std::fmt;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use rustix::net::{self, AddressFamily, SocketType};
use serde_json::json;

use crate::credentials::ROUTER_NAME;
use crate::crowd;
use crate::home::{PROVIDER, VICTIM, WAN};
use crate::stage::{PORT, Stage};
use crate::traffic::{Sender, Sink};

const FLOOD: u8 = 1;
/// Where a peer listens that says nothing but garbage.
const NOISE: u16 = 4700;
/// Flows made and ended in one round.
const FLOWS: u32 = 5000;
/// Requests of one round.
const REQUESTS: u16 = 8;
/// Connections and datagrams of garbage in one round.
const GARBAGE: usize = 50;
/// What is given back to an allocator is not always given back to the system.
const SLACK_KIB: u64 = 256;
/// Calls that happen to be under way.
const SLACK_DESCRIPTORS: u64 = 4;

/// What a process holds.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Held {
    resident_kib: u64,
    descriptors: u64,
    threads: u64,
}

impl Held {
    fn of(pid: u32) -> Self {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a field");
            line.split_whitespace().next().and_then(|number| number.parse().ok()).expect("a number")
        };
        let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).expect("it runs").count();
        Self { resident_kib: field("VmRSS:"), descriptors: descriptors as u64, threads: field("Threads:") }
    }

    /// The most of each.
    fn most(all: &[Self]) -> Self {
        let most = |of: fn(&Self) -> u64| all.iter().map(of).max().unwrap_or_default();
        Self {
            resident_kib: most(|h| h.resident_kib),
            descriptors: most(|h| h.descriptors),
            threads: most(|h| h.threads),
        }
    }
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>10} {:>5} {:>8}", self.resident_kib, self.descriptors, self.threads)
    }
}

/// Whether the last third of a series holds more than the middle one; the first is the warm-up.
fn growth(all: &[Held]) -> Vec<String> {
    let third = all.len() / 3;
    let (before, after) = (Held::most(&all[third..2 * third]), Held::most(&all[2 * third..]));
    let grown = [
        ("KiB resident", before.resident_kib + SLACK_KIB, after.resident_kib),
        ("descriptors", before.descriptors + SLACK_DESCRIPTORS, after.descriptors),
        ("threads", before.threads, after.threads),
    ];
    let grown = grown.into_iter().filter(|(_, most, after)| after > most);
    grown.map(|(what, most, after)| format!("{after} {what} instead of at most {most}")).collect()
}

/// How often everything was done.
#[derive(Default)]
struct Done {
    requests: usize,
    sessions: usize,
    flows: usize,
    garbage: usize,
    brokers: usize,
}

/// Runs it for the minutes that the second argument names.
pub fn run() -> bool {
    let minutes: u64 = std::env::args().nth(2).and_then(|minutes| minutes.parse().ok()).unwrap_or(5);
    let (end, mut soak) = (Instant::now() + Duration::from_secs(60 * minutes), Soak::start());
    let held = format!("{:>10} {:>5} {:>8}", "KiB", "files", "threads");
    println!("{:>24} | {:^45} | {:^25} | {:^25}", "", "done", "dots-callhome", "dots-callhome-client");
    println!(
        "{:>24} | {:>8} {:>8} {:>9} {:>8} {:>8} | {held} | {held}",
        "seconds", "requests", "sessions", "flows", "garbage", "brokers"
    );
    while Instant::now() < end || soak.held[0].len() < 6 {
        soak.round();
    }
    let names = ["dots-callhome", "dots-callhome-client"];
    let grown: Vec<String> = std::iter::zip(names, &soak.held)
        .flat_map(|(name, held)| growth(held).into_iter().map(move |what| format!("{name}: {what}")))
        .collect();
    grown.iter().for_each(|what| println!("grows: {what}"));
    println!("soak: {} rounds, {} things grow", soak.held[0].len(), grown.len());
    grown.is_empty()
}

struct Soak {
    stage: Stage,
    begun: Instant,
    done: Done,
    /// Of the router's program and of the provider's, after each round.
    held: [Vec<Held>; 2],
}

impl Soak {
    fn start() -> Self {
        let mut stage = Stage::prepare(2, "");
        listen_and_babble(&stage);
        Self::configure(&stage, 30);
        stage.start_bus();
        stage.start_client();
        stage.start_daemon();
        stage.until("the session is up", |s| s.peer_state() == "connected");
        Self { stage, begun: Instant::now(), done: Done::default(), held: Default::default() }
    }

    fn configure(stage: &Stage, heartbeat: u16) {
        let noise = format!(
            "config peer 'noise'\n\toption name 'noise.example'\n\tlist address '{PROVIDER}'\n\toption port '{NOISE}'\n\
             \toption transport 'auto'\n\toption ca '{0}/ca.pem'\n\toption certificate '{0}/router.pem'\n\
             \toption key '{0}/router.key'\n",
            stage.file("").display()
        );
        let globals = "\toption consent 'auto'\n\toption log_level 'info'";
        stage.configure(globals, &format!("\toption heartbeat_interval '{heartbeat}'"), &noise);
    }

    /// Everything once, and then a look at what is held.
    fn round(&mut self) {
        self.requests();
        self.flows();
        self.garbage();
        self.broker();
        self.session();
        let pids = [self.stage.daemon_pid(), self.stage.client_pid()];
        let held = pids.map(Held::of);
        std::iter::zip(&mut self.held, held).for_each(|(all, one)| all.push(one));
        let Done { requests, sessions, flows, garbage, brokers } = self.done;
        println!(
            "{:>24} | {requests:>8} {sessions:>8} {flows:>9} {garbage:>8} {brokers:>8} | {} | {}",
            self.begun.elapsed().as_secs(),
            held[0],
            held[1]
        );
    }

    /// One that is put in force and withdrawn, and some that nobody is found for. What is withdrawn stays in force for a while, so
    /// each round is about another port.
    fn requests(&mut self) {
        let port = 1024 + self.done.brokers as u16;
        let sink = Sink::udp(&self.stage.home.victim, port);
        let flood = Sender::udp(self.stage.home.device(1), SocketAddr::from((VICTIM, port)), FLOOD, 200);
        self.stage.until("the flood passes", |_| sink.last(FLOOD).is_some());
        let seen = sink.last(FLOOD).expect("arrived").1.port();
        let mids: Vec<String> = (0..REQUESTS).map(|number| self.request(seen.wrapping_add(number), port)).collect();
        let mid = mids[0].parse().expect("a number");
        self.stage.until("the flood is stopped", |s| s.provider_status(mid)["status"] == 2);
        let sent = flood.sent();
        self.stage.until("it goes on", |_| flood.sent() > sent + 200);
        for mid in &mids {
            self.stage.provider(&["withdraw", "--router", ROUTER_NAME, "--mid", mid]).expect("withdrawn");
        }
        self.done.requests += mids.len();
    }

    fn request(&self, source_port: u16, target_port: u16) -> String {
        let (source, target) = (WAN.to_string(), VICTIM.to_string());
        let (source_port, target_port) = (source_port.to_string(), target_port.to_string());
        let told = self.stage.provider(&[
            "request",
            "--router",
            ROUTER_NAME,
            "--source",
            &source,
            "--source-port",
            &source_port,
            "--target",
            &target,
            "--target-port",
            &target_port,
            "--protocol",
            "17",
        ]);
        told.expect("taken on")["mid"].to_string()
    }

    fn flows(&mut self) {
        crowd::fill(&self.stage.home.router, FLOWS);
        self.stage.home.router.run("conntrack", &["-D", "-s", "192.168.1.250"]);
        self.done.flows += FLOWS as usize;
    }

    /// To the provider over both transports, and to the router over the bus.
    fn garbage(&mut self) {
        let (to, round) = (SocketAddr::from((PROVIDER, PORT)), self.done.brokers as u8);
        self.stage.home.provider.enter(|| (0..GARBAGE).for_each(|number| throw(round, number, to)));
        for method in ["get", "list", "approve", "reject", "quarantine", "release", "devices", "nothing"] {
            for arguments in
                [json!({ "id": "x", "mac": 1 }), json!({ "id": u32::MAX, "mac": "zz", "devices": [[]] }), json!({})]
            {
                let _ = self.stage.ubus(method, arguments);
            }
        }
        self.done.garbage += 2 * GARBAGE + 24;
    }

    fn broker(&mut self) {
        self.stage.stop_bus();
        self.stage.start_bus();
        self.stage.until("it joins again", |s| s.ubus("status", json!({})).is_ok());
        self.done.brokers += 1;
    }

    /// Another interval of heartbeats is another session.
    fn session(&mut self) {
        let heartbeat = if self.done.sessions.is_multiple_of(2) { 31 } else { 30 };
        Self::configure(&self.stage, heartbeat);
        self.stage.reload();
        self.stage.until("the session is up", |s| s.peer_state() == "connected");
        self.done.sessions += 1;
    }
}

/// Garbage over both transports, from an address that is not yet known for it.
fn throw(round: u8, number: usize, to: SocketAddr) {
    let from = SocketAddr::from(([127, 1, round, number as u8 + 1], 0));
    let socket = UdpSocket::bind(from).expect("a socket");
    let _ = socket.send_to(&babble(number, 1200), to);
    let socket = net::socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
    net::bind(&socket, &from).expect("a source");
    if net::connect(&socket, &to).is_ok() {
        let _ = TcpStream::from(socket).write_all(&babble(number, 3000));
    }
}

/// As many bytes that are neither DTLS nor TLS, or only in their first bytes.
fn babble(number: usize, length: usize) -> Vec<u8> {
    let mut state = (number as u32).wrapping_mul(2_654_435_761) | 1;
    let mut bytes: Vec<u8> = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as u8
    })
    .take(length)
    .collect();
    if number.is_multiple_of(2) {
        bytes[..3].copy_from_slice(&[
            22,
            if number.is_multiple_of(4) { 0xfe } else { 3 },
            if number.is_multiple_of(4) { 0xfd } else { 3 },
        ]);
    }
    bytes
}

/// Where the router calls, and hears garbage over both transports.
fn listen_and_babble(stage: &Stage) {
    let host = &stage.home.provider;
    let at = SocketAddr::from((PROVIDER, NOISE));
    host.spawn(move || {
        let listener = TcpListener::bind(at).expect("a listener");
        for (number, stream) in listener.incoming().flatten().enumerate() {
            let mut stream = stream;
            let _ = stream.read(&mut [0; 512]);
            let _ = stream.write_all(&babble(number, 20_000));
        }
    });
    host.spawn(move || {
        let socket = UdpSocket::bind(at).expect("a socket");
        let mut number = 0;
        while let Ok((_, from)) = socket.recv_from(&mut [0; 2048]) {
            number += 1;
            let _ = socket.send_to(&babble(number, 1000), from);
        }
    });
}
