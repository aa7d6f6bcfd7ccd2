//! Figures: how fast, how small, how quiet. Nothing here passes or fails; the budgets stand beside the figures.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, UdpSocket};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use dots_callhome::netlink::conntrack::{self, Message};
use netlink_sys::Socket;
use serde_json::{Value, json};

use crate::home::{Home, VICTIM, WAN};
use crate::stage::Stage;
use crate::traffic::{Sender, Sink};

const ENTRIES: usize = 60_000;
const FLOOD: u8 = 1;
/// NETLINK_NETFILTER.
const NETFILTER: isize = 12;
const ROUNDS: u16 = 20;
const BURST: u16 = 128;
const NOTED_ROUNDS: usize = 20;
const NOTED_PACKETS: u16 = 20_000;

/// Runs it.
pub fn run() -> bool {
    let stage = Stage::new(2, "\toption consent 'auto'\n\toption log_level 'debug'");
    settle();
    println!("one session, idle: {} KiB resident (budget 4096)", resident(&stage));
    idle(&stage);
    notes(&stage);
    fill(&stage);
    blocks(&stage);
    without_port(&stage);
    println!("{ROUNDS} mitigations, {ENTRIES} entries: {} KiB resident (budget 6144)", resident(&stage));
    endings(&stage);
    drop(stage);
    burst();
    true
}

fn settle() {
    std::thread::sleep(Duration::from_secs(2));
}

/// From asking the provider's program to the last packet of the flood at the victim.
fn blocks(stage: &Stage) {
    let mut delays = Vec::new();
    for round in 0..ROUNDS {
        let port = 1001 + round;
        let sink = Sink::udp(&stage.home.victim, port);
        let flood = Sender::udp(stage.home.device(1), SocketAddr::from((VICTIM, port)), FLOOD, 4000);
        stage.until("it arrives", |_| sink.last(FLOOD).is_some());
        let seen = sink.last(FLOOD).expect("arrived").1;
        let asked = Instant::now();
        ask(stage, &request(seen.port(), port));
        stage.until("none of many packets passes", |s| {
            let (sent, arrived) = (flood.sent(), sink.packets(FLOOD));
            s.until("they are sent", |_| flood.sent() >= sent + 800);
            sink.packets(FLOOD) == arrived
        });
        let last = sink.last(FLOOD).expect("arrived").0;
        delays.push(last.saturating_duration_since(asked));
    }
    delays.sort_unstable();
    let millis = |delay: Duration| delay.as_secs_f64() * 1000.0;
    println!(
        "request to last packet of the flood, {ROUNDS} times with {ENTRIES} conntrack entries: median {:.1} ms, worst {:.1} ms \
         (budget 10 and 25)",
        millis(delays[delays.len() / 2]),
        millis(delays[delays.len() - 1]),
    );
}

/// A request that names no port of the sender's is looked up in a list; and the longest call of the kernel for that.
fn without_port(stage: &Stage) {
    let port = 1900;
    let sink = Sink::udp(&stage.home.victim, port);
    let _flood = Sender::udp(stage.home.device(1), SocketAddr::from((VICTIM, port)), FLOOD, 4000);
    stage.until("it arrives", |_| sink.last(FLOOD).is_some());
    let asked = Instant::now();
    let mut question = request(0, port);
    question["scope"]["source_port"] = json!([]);
    ask(stage, &question);
    let found = |mitigation: &Value| mitigation["devices"][0]["mac"] == crate::home::device_mac(1);
    stage.until("found", |s| {
        s.ubus("list", json!({})).unwrap_or_default()["mitigations"]
            .as_array()
            .is_some_and(|all| all.last().is_some_and(found))
    });
    println!(
        "request without a port, {ENTRIES} entries: found after {} ms (budget 250); the longest call of the kernel {:.1} ms (budget 20)",
        asked.elapsed().as_millis(),
        longest_call(stage).as_secs_f64() * 1000.0,
    );
}

fn longest_call(stage: &Stage) -> Duration {
    let netlink = stage.home.router.enter(|| {
        let mut socket = Socket::new(NETFILTER).expect("netlink");
        socket.bind_auto().expect("bind");
        socket.connect(&netlink_sys::SocketAddr::new(0, 0)).expect("connect");
        socket
    });
    let mut longest = Duration::ZERO;
    for round in 1..=10 {
        let mut timed = |call: &mut dyn FnMut() -> io::Result<usize>| {
            let start = Instant::now();
            call().expect("netlink");
            longest = longest.max(start.elapsed());
        };
        timed(&mut || netlink.send(&conntrack::list(round), 0));
        let mut over = false;
        while !over {
            let mut answer = Vec::with_capacity(8 * 1024);
            timed(&mut || netlink.recv(&mut answer, 0));
            over = conntrack::messages(&answer).any(|(_, message)| message == Message::Done);
        }
    }
    longest
}

/// What it costs the kernel to note who opens flows, by kind of packet: the least of many rounds with and without.
fn notes(stage: &Stage) {
    const TABLE: &str = "inet dots_callhome_senders";
    let made = stage.home.router.run("nft", &["list", "table", "inet", "dots_callhome_senders"]);
    let home = Home::new(1);
    let mut least = [[u64::MAX; 2]; 3];
    for _ in 0..NOTED_ROUNDS {
        for (noted, rules) in ["", made.as_str()].into_iter().enumerate() {
            home.router.nft(&format!("add table {TABLE}\ndelete table {TABLE}\n{rules}"));
            for (least, cost) in least.iter_mut().zip(costs(&home)) {
                least[noted] = least[noted].min(cost);
            }
        }
    }
    for (kind, [without, with]) in ["opens a flow", "is not answered", "is answered"].into_iter().zip(least) {
        println!("a packet that {kind}: {without} ns without the table of senders, {with} ns with it");
    }
}

/// Nanoseconds a packet, of the sending thread, which pays for forwarding it: one that opens a flow, one of a flow that
/// nobody answers, and one of a flow that is answered.
fn costs(home: &Home) -> [u64; 3] {
    home.router.run("conntrack", &["-F"]);
    let target = home.victim.enter(|| UdpSocket::bind((VICTIM, 9))).expect("socket");
    home.device(1).enter(|| {
        let socket = UdpSocket::bind("0.0.0.0:0").expect("socket");
        let spent = |send: &dyn Fn(u16)| {
            let before = thread_time();
            (0..NOTED_PACKETS).for_each(send);
            (thread_time() - before) / u64::from(NOTED_PACKETS)
        };
        let send = |port: u16| drop(socket.send_to(b"x", (VICTIM, port)));
        let opening = spent(&|n| send(10_000 + n));
        let unanswered = spent(&|_| send(10_000));
        send(9);
        let (_, from) = target.recv_from(&mut [0; 8]).expect("arrives");
        target.send_to(b"x", from).expect("answered");
        socket.recv_from(&mut [0; 8]).expect("answered");
        [opening, unanswered, spent(&|_| send(9))]
    })
}

/// Processor time of this thread in nanoseconds.
fn thread_time() -> u64 {
    let stat = fs::read_to_string("/proc/thread-self/schedstat").expect("schedstat");
    stat.split_whitespace().next().expect("value").parse().expect("number")
}

/// Many requests at once, all about live flows.
fn burst() {
    let stage = Stage::new(2, "\toption consent 'auto'\n\toption log_level 'debug'");
    fill(&stage);
    let ports: Vec<u16> = (0..BURST).map(|n| 2001 + n).collect();
    let sinks: Vec<Sink> = ports.iter().map(|port| Sink::udp(&stage.home.victim, *port)).collect();
    let to = |port: u16| SocketAddr::from((VICTIM, port));
    let floods: Vec<Sender> =
        ports.iter().map(|port| Sender::udp(stage.home.device(1), to(*port), FLOOD, 20)).collect();
    stage.until("all arrive", |_| sinks.iter().all(|sink| sink.last(FLOOD).is_some()));
    let questions: Vec<Value> = ports
        .iter()
        .zip(&sinks)
        .map(|(port, sink)| request(sink.last(FLOOD).expect("arrived").1.port(), *port))
        .collect();
    let before = nft_runs(&stage);
    let asked = Instant::now();
    let mut waiting: Vec<UnixStream> = questions.iter().map(|question| send(&stage, question)).collect();
    stage.until("all verified", |s| {
        let list = s.ubus("list", json!({})).unwrap_or_default();
        list["mitigations"]
            .as_array()
            .is_some_and(|all| all.len() == ports.len() && all.iter().all(|m| m["verified"] == true))
    });
    let verified = asked.elapsed();
    waiting.clear();
    let last =
        sinks.iter().filter_map(|sink| sink.last(FLOOD)).map(|(at, _)| at.saturating_duration_since(asked)).max();
    println!(
        "{BURST} requests in one burst: last packet of the last flood after {} ms (budget 250), all verified within {} ms, {} nft \
         runs (budget 8)",
        last.unwrap_or_default().as_millis(),
        verified.as_millis(),
        nft_runs(&stage) - before,
    );
    println!("{BURST} mitigations, {ENTRIES} entries: {} KiB resident (budget 6144)", resident(&stage));
    drop(floods);
}

/// All flows end at once: what of that does not reach the daemon.
fn endings(stage: &Stage) {
    let before = lost(stage);
    stage.home.router.run("conntrack", &["-F"]);
    settle();
    println!(
        "{ENTRIES} flows end at once: {} of these events lost, {} KiB resident afterwards",
        lost(stage) - before,
        resident(stage)
    );
}

/// Events that found no room in the buffers of netlink sockets.
fn lost(stage: &Stage) -> u64 {
    let sockets = fs::read_to_string(format!("/proc/{}/net/netlink", stage.daemon_pid())).expect("sockets");
    let drops = |line: &str| line.split_whitespace().nth(8).expect("drops").parse::<u64>().expect("number");
    sockets.lines().skip(1).map(drops).sum()
}

/// Fills the router's connection table with flows of another device to the same target.
fn fill(stage: &Stage) {
    stage.home.router.sysctl("netfilter/nf_conntrack_udp_timeout", "900");
    let socket = stage.home.device(2).enter(|| UdpSocket::bind("0.0.0.0:0")).expect("socket");
    for port in (5000..=u16::MAX).take(ENTRIES) {
        let _ = socket.send_to(b"x", (VICTIM, port));
        if port % 64 == 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    let count = stage.home.router.run("conntrack", &["-C"]);
    println!("the router tracks {} connections", count.trim());
    settle();
}

fn request(source_port: u16, target_port: u16) -> Value {
    json!({ "ask": "request", "router": crate::credentials::ROUTER_NAME, "lifetime": 600, "scope": {
        "source": [format!("{WAN}/32")], "source_port": [[source_port, source_port]], "source_icmp_type": [],
        "target": [format!("{VICTIM}/32")], "target_port": [[target_port, target_port]], "protocol": [17],
    } })
}

fn send(stage: &Stage, question: &Value) -> UnixStream {
    let mut control = UnixStream::connect(stage.file("provider.control")).expect("control");
    control.write_all(format!("{question}\n").as_bytes()).expect("asked");
    control
}

fn ask(stage: &Stage, question: &Value) {
    let mut answer = String::new();
    send(stage, question).read_to_string(&mut answer).expect("answered");
    assert!(!answer.contains("error"), "{answer}");
}

/// Wake-ups and processor time over ten seconds, with nothing to do but heartbeats.
fn idle(stage: &Stage) {
    let (switches, ticks) = usage(stage);
    std::thread::sleep(Duration::from_secs(10));
    let (switches_after, ticks_after) = usage(stage);
    println!(
        "idle for 10 s: {} wake-ups, {} ms of processor time",
        switches_after - switches,
        (ticks_after - ticks) * 10
    );
}

fn usage(stage: &Stage) -> (u64, u64) {
    let process = format!("/proc/{}", stage.daemon_pid());
    let status = fs::read_to_string(format!("{process}/status")).expect("status");
    let stat = fs::read_to_string(format!("{process}/stat")).expect("stat");
    let ticks = stat.split_whitespace().skip(13).take(2).map(|field| field.parse::<u64>().expect("ticks")).sum();
    (field(&status, "voluntary_ctxt_switches:"), ticks)
}

fn resident(stage: &Stage) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", stage.daemon_pid())).expect("status");
    field(&status, "VmRSS:")
}

fn field(status: &str, name: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("field");
    line.split_whitespace().next().expect("value").parse().expect("number")
}

fn nft_runs(stage: &Stage) -> usize {
    stage.log().matches("nft run").count()
}
