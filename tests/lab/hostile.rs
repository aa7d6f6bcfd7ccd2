//! A hostile provider for some minutes: the largest requests it may make, as fast as it may, and what they cost. Figures
//! beside their budgets; `MINUTES` says how long, 3 if nothing does.

use std::fs;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::credentials::ROUTER_NAME;
use crate::home::{VICTIM, WAN};
use crate::stage::Stage;
use crate::traffic::{Sender, Sink};

const FLOOD: u8 = 1;
const PORT: u16 = 4021;

/// What was seen while the provider was at it.
#[derive(Default)]
struct Seen {
    over: AtomicBool,
    resident: AtomicUsize,
    writes: AtomicUsize,
    slowest: AtomicUsize,
    failed: AtomicUsize,
    calls: AtomicUsize,
}

/// Runs it.
pub fn run() -> bool {
    let minutes = std::env::var("MINUTES").ok().and_then(|minutes| minutes.parse().ok()).unwrap_or(3);
    let mut stage = Stage::prepare(2, "\toption consent 'auto'\n\toption log_level 'info'");
    measured_nft(&mut stage);
    stage.start_bus();
    stage.start_client();
    stage.start_daemon();
    stage.until("the session is up", |s| s.peer_state() == "connected");
    let sink = Sink::udp(&stage.home.victim, PORT);
    let _flood = Sender::udp(stage.home.device(1), SocketAddr::from((VICTIM, PORT)), FLOOD, 50);
    stage.until("it arrives", |_| sink.last(FLOOD).is_some());
    let source_port = sink.last(FLOOD).expect("arrived").1.port();
    let (before, seen) = (stage.log().len(), Seen::default());
    let asked = std::thread::scope(|scope| {
        scope.spawn(|| watch(&stage, &seen));
        scope.spawn(|| call(&stage, &seen));
        let asked = torment(&stage, Duration::from_secs(60 * minutes), source_port);
        seen.over.store(true, Ordering::Relaxed);
        asked
    });
    print(&stage, &seen, before, minutes, asked);
    true
}

/// Every `nft` notes the size of its text and the most memory it had.
fn measured_nft(stage: &mut Stage) {
    let directory = stage.file("bin");
    fs::create_dir_all(&directory).expect("directory");
    let notes = stage.file("nft").display().to_string();
    let script = format!(
        "#!/bin/sh\nPATH=/usr/sbin:/usr/bin:/sbin:/bin\ncat >{notes}.text\nwc -c <{notes}.text >>{notes}.sizes\n\
         nft \"$@\" <{notes}.text &\nwhile grep VmHWM /proc/$!/status >>{notes}.peaks 2>/dev/null; do :; done\nwait $!\n"
    );
    fs::write(directory.join("nft"), script).expect("script");
    fs::set_permissions(directory.join("nft"), fs::Permissions::from_mode(0o755)).expect("mode");
    stage.set_path(directory);
}

/// The largest number in a file of lines.
fn most(stage: &Stage, notes: &str) -> usize {
    let text = fs::read_to_string(stage.file(notes)).unwrap_or_default();
    text.split_whitespace().filter_map(|word| word.parse().ok()).max().unwrap_or_default()
}

/// Memory and writes of the daemon, as often as they may change.
fn watch(stage: &Stage, seen: &Seen) {
    let file = stage.file("state/decisions.cbor");
    let mut last = None;
    while !seen.over.load(Ordering::Relaxed) {
        let status = fs::read_to_string(format!("/proc/{}/status", stage.daemon_pid())).expect("status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("resident");
        let resident = line.split_whitespace().next().expect("a number").parse().expect("a number");
        seen.resident.fetch_max(resident, Ordering::Relaxed);
        let now = fs::metadata(&file).ok().map(|about| (about.ino(), about.mtime_nsec()));
        if now != last && now.is_some() {
            seen.writes.fetch_add(1, Ordering::Relaxed);
        }
        last = now;
        // A sample, often enough for what is sought: how large and how often at most.
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The administrator looks every now and then.
fn call(stage: &Stage, seen: &Seen) {
    while !seen.over.load(Ordering::Relaxed) {
        let start = Instant::now();
        let outcome = stage.ubus("status", json!({}));
        seen.failed.fetch_add(usize::from(outcome.is_err()), Ordering::Relaxed);
        seen.calls.fetch_add(1, Ordering::Relaxed);
        seen.slowest.fetch_max(usize::try_from(start.elapsed().as_millis()).unwrap_or(usize::MAX), Ordering::Relaxed);
        // A pace, as of a page that is open.
        std::thread::sleep(Duration::from_millis(250));
    }
}

/// Large requests that nobody is found for, then one about a live flow, again and again with ever higher numbers, each of
/// them a decision of the policy. Returns how many were taken and how many refused.
fn torment(stage: &Stage, time: Duration, source_port: u16) -> [usize; 2] {
    let (start, mut count, mut standing) = (Instant::now(), [0, 0], Vec::new());
    let mut make = |question: &Value, standing: &mut Vec<Value>| {
        let answer = ask(stage, question);
        count[usize::from(answer["mid"].is_null())] += 1;
        standing.extend(answer.get("mid").cloned());
    };
    for n in 0..128 {
        make(&wide(n), &mut standing);
    }
    while start.elapsed() < time {
        for n in 0..8 {
            make(&live(source_port), &mut Vec::new());
            make(&wide(n), &mut standing);
        }
        for mid in standing.drain(..standing.len().min(4)) {
            ask(stage, &json!({ "ask": "withdraw", "router": ROUTER_NAME, "mid": mid }));
        }
    }
    count
}

fn request(scope: Value) -> Value {
    json!({ "ask": "request", "router": ROUTER_NAME, "lifetime": 3600, "scope": scope })
}

/// As many targets as one request may have, of the family whose addresses are longest, in as many rules as that allows.
fn wide(n: usize) -> Value {
    let count = [256, 160, 120, 4][n % 4];
    let targets: Vec<String> =
        (0..count).map(|i| format!("2001:db8:{n:x}{:x}:ffff:ffff:ffff:ffff:ffff/128", 0x100 + i)).collect();
    let ports: Vec<[usize; 2]> = (0..count / 4).map(|i| [100 * i + 1, 100 * i + 50]).collect();
    let types = if count == 120 { json!([[1, 9]]) } else { json!([]) };
    request(json!({
        "source": [format!("{WAN}/32")], "source_port": [], "source_icmp_type": types,
        "target": targets, "target_port": ports, "protocol": [6, 17],
    }))
}

fn live(source_port: u16) -> Value {
    request(json!({
        "source": [format!("{WAN}/32")], "source_port": [[source_port, source_port]], "source_icmp_type": [],
        "target": [format!("{VICTIM}/32")], "target_port": [[PORT, PORT]], "protocol": [17],
    }))
}

fn ask(stage: &Stage, question: &Value) -> Value {
    let mut control = UnixStream::connect(stage.file("provider.control")).expect("control");
    control.write_all(format!("{question}\n").as_bytes()).expect("asked");
    // Whoever asks too much is not answered.
    control.set_read_timeout(Some(Duration::from_secs(5))).expect("a socket");
    let mut answer = String::new();
    let _ = control.read_to_string(&mut answer);
    serde_json::from_str(&answer).unwrap_or_default()
}

fn print(stage: &Stage, seen: &Seen, before: usize, minutes: u64, [taken, refused]: [usize; 2]) {
    let log = stage.log();
    let lines: Vec<&str> = log[before..].lines().collect();
    let longest = lines.iter().map(|line| line.len()).max().unwrap_or_default();
    let of = |count: &AtomicUsize| count.load(Ordering::Relaxed);
    println!("a hostile provider for {minutes} minutes: {taken} requests taken, {refused} refused");
    println!("{:40} {:>10}   budget", "", "most");
    let row = |what: &str, figure: usize, budget: &str| println!("{what:40} {figure:>10}   {budget}");
    row("daemon, resident, KiB", of(&seen.resident), "8192");
    row("nft, resident, KiB", most(stage, "nft.peaks"), "12288");
    row("nft, text of one run, bytes", most(stage, "nft.sizes"), "");
    row("lines of the log in a minute", lines.len() / usize::try_from(minutes.max(1)).unwrap_or(1), "20");
    row("bytes of a line", longest, "300");
    row("writes of the flash", of(&seen.writes), &format!("{} (1 a minute, and the first)", minutes + 1));
    row("ubus call status, ms", of(&seen.slowest), "100");
    row("calls that failed", of(&seen.failed), &format!("0 of {}", of(&seen.calls)));
}
