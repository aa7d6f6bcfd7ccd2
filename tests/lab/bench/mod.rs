//! Figures: how fast, how small, how quiet. Nothing here passes or fails; the budgets and what the least that does the same
//! takes stand beside the figures.

mod figures;
mod forwarding;
mod tax;

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, UdpSocket};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use dots_callhome::model::{Detail, Tuple};
use dots_callhome::netlink::conntrack::{self, By, Message};
use netlink_sys::{Socket, SocketAddr as NetlinkAddress};
use serde_json::{Value, json};

use self::figures::Figures;
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

/// Runs it: the parts named after `bench`, or all.
pub fn run() -> bool {
    let named: Vec<String> = std::env::args().skip(2).collect();
    let is_wanted = |part: &str| named.is_empty() || named.iter().any(|name| name == part);
    let mut figures = Figures::default();
    if ["idle", "tax", "notes", "forwarding", "blocks", "without_port"].into_iter().any(is_wanted) {
        one_by_one(&is_wanted, &mut figures);
    }
    if is_wanted("burst") {
        burst(&mut figures);
    }
    figures.finish();
    true
}

fn one_by_one(is_wanted: &dyn Fn(&str) -> bool, figures: &mut Figures) {
    let stage = Stage::new(2, "\toption consent 'auto'\n\toption log_level 'debug'");
    settle();
    figures.tell("one session, resident", resident(&stage), "KiB").budget(4096.0);
    if is_wanted("idle") {
        idle(&stage, figures);
    }
    if is_wanted("tax") {
        tax::run(&stage, figures);
    }
    if is_wanted("notes") {
        notes(&stage, figures);
    }
    fill(&stage);
    if is_wanted("forwarding") {
        forwarding::run(&stage, figures);
    }
    if is_wanted("blocks") {
        blocks(&stage, figures);
    }
    if is_wanted("without_port") {
        without_port(&stage, figures);
    }
    figures.tell(format!("some mitigations, {ENTRIES} entries, resident"), resident(&stage), "KiB").budget(6144.0);
    if is_wanted("blocks") {
        endings(&stage, figures);
    }
}

fn settle() {
    std::thread::sleep(Duration::from_secs(2));
}

/// From asking the provider's program to the last packet of the flood at the victim.
fn blocks(stage: &Stage, figures: &mut Figures) {
    let (mut delays, mut used) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let port = 1001 + round;
        let sink = Sink::udp(&stage.home.victim, port);
        let flood = Sender::udp(stage.home.device(1), SocketAddr::from((VICTIM, port)), FLOOD, 4000);
        stage.until("it arrives", |_| sink.last(FLOOD).is_some());
        let seen = sink.last(FLOOD).expect("arrived").1;
        let (asked, before) = (Instant::now(), processor_time(stage));
        ask(stage, &question(Some(seen.port()), [port, port]));
        stage.until("none of many packets passes", |s| {
            let (sent, arrived) = (flood.sent(), sink.packets(FLOOD));
            s.until("they are sent", |_| flood.sent() >= sent + 800);
            sink.packets(FLOOD) == arrived
        });
        let last = sink.last(FLOOD).expect("arrived").0;
        delays.push(last.saturating_duration_since(asked).as_secs_f64() * 1e3);
        used.push((processor_time(stage) - before) as f64 / 1e6);
    }
    delays.sort_unstable_by(f64::total_cmp);
    used.sort_unstable_by(f64::total_cmp);
    let [median, worst, used] = [delays[delays.len() / 2], delays[delays.len() - 1], used[used.len() / 2]];
    let nft = nft_alone(stage);
    let name = format!("request to last packet of the flood, {ROUNDS} times with {ENTRIES} entries");
    drop(figures.tell(format!("{name}, median"), median, "ms").floor("a bare nft -f -", nft).budget(2.5));
    figures.tell(format!("{name}, worst"), worst, "ms").budget(10.0);
    let alone = get_and_delete(stage);
    let used = figures.tell("processor time of the daemon for each of them, median", used, "ms");
    drop(used.floor("one entry looked up and deleted", alone).budget(2.0));
}

/// What `nft` takes to add one element to a set that stands, at least, in milliseconds.
fn nft_alone(stage: &Stage) -> f64 {
    let router = &stage.home.router;
    router.nft("table inet bench {\n\tset s {\n\t\ttype ether_addr\n\t}\n}");
    let add = |n: u32| {
        let text = format!("add element inet bench s {{ 02:00:00:00:01:{n:02x} }}");
        let start = Instant::now();
        router.nft(&text);
        start.elapsed().as_secs_f64() * 1e3
    };
    let least = (0..10).map(add).fold(f64::INFINITY, f64::min);
    router.nft("delete table inet bench");
    least
}

/// What one entry looked up and deleted takes, at least, in milliseconds.
fn get_and_delete(stage: &Stage) -> f64 {
    let socket = netlink(stage);
    let flow = |port| Tuple {
        source: "192.168.1.12".parse().expect("an address"),
        destination: VICTIM.into(),
        protocol: 17,
        detail: Detail::Ports { source: 1, destination: port },
        zone: 0,
    };
    let mut answer = Vec::with_capacity(8 * 1024);
    let mut once = |n: u16| {
        let start = Instant::now();
        for request in [conntrack::get(By::Original, &flow(n), 1), conntrack::delete(&flow(n), None, 2)] {
            socket.send(&request, 0).expect("sent");
            answer.clear();
            socket.recv(&mut answer, 0).expect("answered");
        }
        start.elapsed().as_secs_f64() * 1e3
    };
    (1..100).map(&mut once).fold(f64::INFINITY, f64::min)
}

/// A request that names no port of the sender's is looked up in a list; and the longest call of the kernel for that.
fn without_port(stage: &Stage, figures: &mut Figures) {
    let port = 1900;
    let sink = Sink::udp(&stage.home.victim, port);
    let _flood = Sender::udp(stage.home.device(1), SocketAddr::from((VICTIM, port)), FLOOD, 4000);
    stage.until("it arrives", |_| sink.last(FLOOD).is_some());
    let asked = Instant::now();
    ask(stage, &question(None, [port, port]));
    let found = |mitigation: &Value| mitigation["devices"][0]["mac"] == crate::home::device_mac(1);
    stage.until("found", |s| {
        s.ubus("list", json!({})).unwrap_or_default()["mitigations"]
            .as_array()
            .is_some_and(|all| all.last().is_some_and(found))
    });
    let found = asked.elapsed().as_secs_f64() * 1e3;
    let socket = netlink(stage);
    let lists = (1..=5).map(|round| read_list(&socket, &conntrack::list(round)));
    let (whole, longest) = lists.reduce(|a, b| (a.0.min(b.0), a.1.min(b.1))).expect("lists");
    let name = format!("request without a port, {ENTRIES} entries");
    drop(figures.tell(format!("{name}: found after"), found, "ms").floor("a list of all entries", whole).budget(250.0));
    figures.tell("the longest call of the kernel for a list of all entries", longest, "ms").budget(1.0);
}

/// A socket for conntrack.
fn netlink(stage: &Stage) -> Socket {
    stage.home.router.enter(|| {
        let mut socket = Socket::new(NETFILTER).expect("netlink");
        socket.bind_auto().expect("bind");
        socket.connect(&NetlinkAddress::new(0, 0)).expect("connect");
        socket
    })
}

/// How long a list takes in reads like the daemon's, and the longest of its calls, in milliseconds.
fn read_list(netlink: &Socket, request: &[u8]) -> (f64, f64) {
    let begun = Instant::now();
    netlink.send(request, 0).expect("asked");
    let mut longest = begun.elapsed();
    let mut answer = Vec::with_capacity(8 * 1024);
    loop {
        answer.clear();
        let start = Instant::now();
        netlink.recv(&mut answer, 0).expect("answered");
        longest = longest.max(start.elapsed());
        if conntrack::messages(&answer).any(|(_, message)| message == Message::Done) {
            return (begun.elapsed().as_secs_f64() * 1e3, longest.as_secs_f64() * 1e3);
        }
    }
}

/// What it costs the kernel to note who opens flows, by kind of packet: the least of many rounds with and without.
fn notes(stage: &Stage, figures: &mut Figures) {
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
        let told = figures.tell(format!("a packet that {kind}, with the table of senders"), with as f64, "ns");
        drop(told.floor("the same without it", without as f64));
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
fn burst(figures: &mut Figures) {
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
        .map(|(port, sink)| question(Some(sink.last(FLOOD).expect("arrived").1.port()), [*port, *port]))
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
    let name = format!("{BURST} requests in one burst");
    let millis = last.unwrap_or_default().as_secs_f64() * 1e3;
    figures.tell(format!("{name}: last packet of the last flood after"), millis, "ms").budget(60.0);
    figures.tell(format!("{name}: all verified within"), verified.as_secs_f64() * 1e3, "ms");
    figures.tell(format!("{name}: runs of nft"), (nft_runs(&stage) - before) as f64, "").budget(8.0);
    figures.tell(format!("{BURST} mitigations, {ENTRIES} entries, resident"), resident(&stage), "KiB").budget(6144.0);
    drop(floods);
}

/// All flows end at once: what of that does not reach the daemon.
fn endings(stage: &Stage, figures: &mut Figures) {
    let before = lost(stage);
    stage.home.router.run("conntrack", &["-F"]);
    settle();
    let lost = (lost(stage) - before) as f64;
    figures.tell(format!("{ENTRIES} flows end at once: events lost"), lost, "");
    figures.tell(format!("{ENTRIES} flows end at once: resident afterwards"), resident(stage), "KiB");
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

/// A request about UDP to the victim, from a port or any, to a range of ports.
fn question(source_port: Option<u16>, target_port: [u16; 2]) -> Value {
    let source_port: Vec<[u16; 2]> = source_port.map(|port| [port, port]).into_iter().collect();
    json!({ "ask": "request", "router": crate::credentials::ROUTER_NAME, "lifetime": 600, "scope": {
        "source": [format!("{WAN}/32")], "source_port": source_port, "source_icmp_type": [],
        "target": [format!("{VICTIM}/32")], "target_port": [target_port], "protocol": [17],
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
fn idle(stage: &Stage, figures: &mut Figures) {
    let (time, wakes) = (processor_time(stage), wakings(stage));
    std::thread::sleep(Duration::from_secs(10));
    figures.tell("idle for 10 s without a flow: wake-ups", (wakings(stage) - wakes) as f64, "");
    figures.tell("idle for 10 s without a flow: processor time", (processor_time(stage) - time) as f64 / 1e6, "ms");
}

/// How often the daemon has woken.
fn wakings(stage: &Stage) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", stage.daemon_pid())).expect("status");
    field(&status, "voluntary_ctxt_switches:")
}

/// Processor time of the daemon in nanoseconds, of all its threads.
fn processor_time(stage: &Stage) -> u64 {
    let tasks = fs::read_dir(format!("/proc/{}/task", stage.daemon_pid())).expect("threads").flatten();
    let time = |text: String| text.split_whitespace().next().and_then(|word| word.parse::<u64>().ok());
    tasks.filter_map(|task| time(fs::read_to_string(task.path().join("schedstat")).ok()?)).sum()
}

fn resident(stage: &Stage) -> f64 {
    let status = fs::read_to_string(format!("/proc/{}/status", stage.daemon_pid())).expect("status");
    field(&status, "VmRSS:") as f64
}

fn field(status: &str, name: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("field");
    line.split_whitespace().next().expect("value").parse().expect("number")
}

fn nft_runs(stage: &Stage) -> usize {
    stage.log().matches("nft run").count()
}
