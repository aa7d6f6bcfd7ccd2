//! What strangers, routers that mean harm and a full disk can't do to the provider's program.

use std::fs::{self, OpenOptions};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::pipe::fcntl_setpipe_size;

use crate::programs::home::*;
use crate::programs::program::PATIENCE;
use crate::support::tls::*;

const OTHER: &str = "home-5678.isp.example";
const PING: u8 = 0xe2;

fn idle(to: SocketAddr, count: usize) -> Vec<TcpStream> {
    // Once the backlog is full nobody answers any more.
    (0..count).map_while(|_| TcpStream::connect_timeout(&to, Duration::from_secs(2)).ok()).collect()
}

fn resident(isp: &Isp) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", isp.program.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("it runs");
    line.trim().split(' ').next().unwrap().parse().unwrap()
}

/// More connections than there are descriptors, from one address that says nothing: others get in, and commands are answered,
/// while they stand and after they have gone.
#[test]
fn idle_strangers_keep_nobody_out() {
    let mut isp = Isp::new("strangers");
    isp.program.start_under("ulimit -n 128", Stdio::null(), &isp.arguments);
    let strangers = idle(isp.program.v4, 200);
    assert!(strangers.len() > 128, "{}", strangers.len());
    assert!(isp.program.routers().contains("routers"), "a command while they stand");
    let mut home = isp.home_at(ROUTER, isp.program.v6);
    home.has_heard_all();
    drop(strangers);
    isp.home_at(OTHER, isp.program.v6).has_heard_all();
    isp.home_at("home-9.isp.example", isp.program.v4).has_heard_all();
    home.has_heard_all();
}

/// The same where even the share of one source is more than the system has descriptors for.
#[test]
fn descriptors_that_run_out_come_back() {
    let mut isp = Isp::new("descriptors");
    isp.program.start_under("ulimit -n 128", Stdio::null(), &isp.arguments);
    let limit = std::process::Command::new("prlimit")
        .args(["--pid", &isp.program.pid().to_string(), "--nofile=24:24"])
        .status();
    assert!(limit.unwrap().success());
    let strangers = idle(isp.program.v4, 100);
    let open = || fs::read_dir(format!("/proc/{}/fd", isp.program.pid())).unwrap().count();
    let start = Instant::now();
    while open() < 24 {
        assert!(start.elapsed() < PATIENCE, "{} descriptors", open());
        std::thread::yield_now();
    }
    drop(strangers);
    isp.home_at(ROUTER, isp.program.v6).has_heard_all();
}

/// It takes as many descriptors as the system allows.
#[test]
fn the_soft_limit_of_descriptors_is_raised() {
    let mut isp = Isp::new("limit");
    isp.program.start_under("ulimit -Sn 64; ulimit -Hn 512", Stdio::null(), &isp.arguments);
    let limits = fs::read_to_string(format!("/proc/{}/limits", isp.program.pid())).unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    assert_eq!(line.split_whitespace().nth(3), Some("512"), "{line}");
}

/// A router that asks as fast as it can and never reads the answers is ended before it costs much memory, and the others are
/// served all the while.
#[test]
fn a_router_that_never_reads_harms_nobody() {
    let isp = Isp::serving("deaf");
    let mut good = isp.home(OTHER);
    for flood in [Message { code: PING, ..Message::default() }, Message { code: GET, ..Message::default() }] {
        let before = resident(&isp);
        let mut bad = isp.home(ROUTER);
        bad.stream.set_write_timeout(Some(PATIENCE)).unwrap();
        let batch: Vec<u8> = flood.frame().repeat(4000);
        let start = Instant::now();
        // Millions of messages unless it is ended; what is kept for it in either kernel is some megabytes.
        let mut sent = 0;
        while sent < 256 << 20 && bad.pour(&batch) {
            sent += batch.len();
            if sent % (16 << 20) < batch.len() {
                good.has_heard_all();
                assert!(isp.program.routers().contains(OTHER));
                assert!(resident(&isp) < before + 32 * 1024, "{} KiB after {sent} bytes", resident(&isp));
            }
            assert!(start.elapsed() < PATIENCE, "neither ended nor served");
        }
        assert!(sent < 256 << 20, "it is never ended");
        good.has_heard_all();
    }
}

/// It tells what happens, or can't: on a full disk, to nobody, to somebody who stands still.
#[test]
fn a_log_that_cannot_be_written_ends_nothing() {
    let mut isp = Isp::new("log");
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    isp.program.start_under("", full, &isp.arguments);
    http(isp.program.v4);
    isp.home(ROUTER).release();
    isp.program.end();

    drop(isp.program.start_under("", Stdio::piped(), &isp.arguments));
    http(isp.program.v4);
    isp.home(ROUTER).release();
    isp.program.end();

    let log = isp.program.start_under("", Stdio::piped(), &isp.arguments).unwrap();
    fcntl_setpipe_size(&log, 4096).unwrap();
    for _ in 0..60 {
        isp.home(ROUTER).release();
    }
    isp.program.end();
}

/// No router, and nobody who asks for another protocol.
fn http(to: SocketAddr) {
    let mut stream = TcpStream::connect(to).unwrap();
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    let _ = stream.read_to_end(&mut Vec::new());
}

/// What a router says about a request steers no terminal, neither as text nor as JSON.
#[test]
fn words_of_routers_are_shown_without_what_steers_a_terminal() {
    let isp = Isp::serving("words");
    let mut home = isp.home(ROUTER);
    let said = "\u{1b}]0;owned\u{7}\u{1b}[2J\u{9b}31mroot@noc \u{202e}txt.exe\u{2028}done";
    for json in [true, false] {
        let wanted = wanting(ROUTER, "203.0.113.7/32", "192.0.2.1/32");
        let mut arguments: Vec<&str> = wanted.iter().map(String::as_str).collect();
        arguments.truncate(7);
        let command = if json { isp.command(&wanted) } else { isp.program.plain_command(&arguments) };
        let put = home.hear();
        home.say(&Message { code: 0x80, token: put.token.clone(), ..Message::default() }.raw(said.as_bytes().to_vec()));
        let shown = crate::programs::program::told(command).unwrap_err();
        assert!(shown.contains("root@noc") && shown.contains("txt.exe"), "{shown:?}");
        let shown = shown.trim_end_matches('\n');
        assert!(!shown.chars().any(|c| c.is_control() || ['\u{202e}', '\u{2028}'].contains(&c)), "{shown:?}");
    }
}
