//! What the provider's program makes of what routers report, and how it ends a mitigation or sends a router elsewhere.

use std::io::{BufRead, BufReader, Lines};
use std::net::TcpListener;
use std::process::{Child, ChildStdout};

use crate::programs::home::{self, *};
use crate::programs::program::told;
use crate::support::signal::diag;
use crate::support::tls::*;
use serde_json::Value;

/// `status --watch`.
struct Watch {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Watch {
    fn new(isp: &Isp) -> Self {
        let mut child = isp.command(&["status", "--watch"]);
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    fn next(&mut self) -> Value {
        serde_json::from_str(&self.lines.next().unwrap().unwrap()).unwrap()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A mitigation that runs.
fn mitigation(isp: &Isp, home: &mut Home) -> (u32, Message) {
    let command = isp.command(&wanting(ROUTER, "203.0.113.7", "192.0.2.1"));
    let put = home.hear();
    let observation = home.take_on(&put);
    told(command).unwrap();
    home.has_heard_all();
    (mid(&put), observation)
}

fn reported(mid: u32, more: &str) -> String {
    format!("{{1:{{2:[{{5:{mid},14:3000,{more}}}]}}}}")
}

/// Proves SC-4.4.2.2-03, SC-4.4.2.2-04, SC-4.4.4-01, SC-4.4.2.1-05: it acts on what it is told, and shows it.
#[test]
fn what_is_reported_is_shown_and_ends_the_mitigation() {
    let isp = Isp::serving("reports");
    let mut home = isp.home(ROUTER);
    let (number, observation) = mitigation(&isp, &mut home);
    let mut watch = Watch::new(&isp);
    assert_eq!(watch.next()["status"], 2);
    for (more, pointer, expected) in [
        ("16:2,25:1200,26:100,27:10,28:1", "/dropped/packets", Value::from(10)),
        ("16:1,17:{18:2,19:1,21:{5:7}}", "/conflict/meaning", Value::from("overlaps with mid 7")),
        ("16:4,17:{19:4}", "/conflict/meaning", Value::from("the traffic is legitimate")),
        ("16:2", "/status", Value::from(2)),
    ] {
        home.notify(&observation, &reported(number, more));
        let shown = watch.next();
        assert_eq!(shown.pointer(pointer), Some(&expected), "{shown}");
        assert_eq!(shown["targets"][0], "192.0.2.1/32", "{shown}");
    }
    home.has_heard_all();
    for _ in 0..2 {
        home.notify(&observation, &reported(number, "16:3"));
        assert_eq!(watch.next()["status"], 3);
    }
    let delete = home.hear();
    assert_eq!((delete.code, path(&delete)), (DELETE, path(&observation)));
    home.answer(&delete, DELETED, "");
    home.has_heard_all();
    home.answer(&observation, NOT_FOUND, "");
    assert_eq!(watch.next()["ended"], true);
}

/// Proves SC-4.4.4-01.
#[test]
fn a_mitigation_is_withdrawn() {
    let isp = Isp::serving("withdraw");
    let mut home = isp.home(ROUTER);
    let (number, observation) = mitigation(&isp, &mut home);
    let command = isp.command(&["withdraw", "--router", ROUTER, "--mid", &number.to_string()]);
    let delete = home.hear();
    assert_eq!((delete.code, path(&delete), delete.payload.len()), (DELETE, path(&observation), 0));
    assert!(path(&delete).contains("/cuid=") && mid(&delete) == number);
    home.answer(&delete, DELETED, "");
    told(command).unwrap();
}

/// Proves SC-4.4.1.1-29: what is granted is what is told.
#[test]
fn less_than_for_ever_may_be_granted() {
    let isp = Isp::serving("granted");
    let mut home = isp.home(ROUTER);
    let mut wanted = wanting(ROUTER, "203.0.113.7", "192.0.2.1").to_vec();
    wanted.extend(["--lifetime", "-1"].map(str::to_owned));
    let command = isp.command(&wanted);
    let put = home.hear();
    home.answer(&put, CREATED, &format!("{{1:{{2:[{{5:{},14:3600}}]}}}}", mid(&put)));
    let answer: Value = serde_json::from_str(&told(command).unwrap()).unwrap();
    assert_eq!(answer["lifetime"], 3600);
    home.observed(mid(&put));
    home.has_heard_all();
}

/// Proves CH-5.2.2-03, CH-5.2.2-02: the provider redirects by a request of its own; an alternate in a 5.03 concerns it not.
#[test]
fn a_router_is_sent_elsewhere_and_sends_nobody() {
    let isp = Isp::serving("elsewhere");
    let mut home = isp.home(ROUTER);
    let mut arguments = vec!["redirect", "--router", ROUTER, "--to", "other.isp.example", "--ttl", "600"];
    arguments.extend(["--address", "2001:db8:6401::1", "--address", "192.0.2.9"]);
    let command = isp.command(&arguments);
    let put = home.hear();
    assert_eq!((put.code, path(&put)), (PUT, ".well-known/dots/redirect".to_owned()));
    let body = "{46:{32773:\"other.isp.example\",32774:[\"2001:db8:6401::1\",\"192.0.2.9\"],32775:600}}";
    assert_eq!(put.body(), canonical(body));
    home.answer(&put, CREATED, "");
    told(command).unwrap();

    let alternate = TcpListener::bind("127.0.0.1:4646").ok();
    let command = isp.command(&wanting(ROUTER, "203.0.113.7", "192.0.2.1"));
    let put = home.hear();
    home.answer(&put, 0xa3, "{46:{47:\"localhost\",48:[\"127.0.0.1\"]}}");
    assert_eq!(told(command).unwrap_err().trim_end(), "dots-callhome-client: 5.03");
    home.has_heard_all();
    mitigation(&isp, &mut home);
    if let Some(alternate) = alternate {
        alternate.set_nonblocking(true).unwrap();
        assert!(alternate.accept().is_err(), "it has gone elsewhere");
    }
}

/// Proves SC-4.4.2-15: what a router knows of us is fetched in its blocks, in its size and of one state; then all of it is
/// observed.
#[test]
fn what_a_router_still_knows_is_fetched_in_blocks() {
    let isp = Isp::serving("blocks");
    let mut home = isp.stranger(ROUTER);
    let config = home.hear();
    home.answer(&config, CONTENT, "{30:{}}");
    let mut question = home.hear();
    let entry = |mid: u32| format!("{{5:{mid},6:[\"192.0.2.{mid}/32\"],14:3000,16:2,32768:[\"203.0.113.7/32\"]}}");
    let entries: Vec<String> = (1..6).map(entry).collect();
    let content = diag::encode(&format!("{{1:{{2:[{}]}}}}", entries.join(",")));
    let pieces: Vec<&[u8]> = content.chunks(64).collect();
    assert!(pieces.len() > 2);
    for (number, piece) in (0..).zip(&pieces) {
        let more = number + 1 < pieces.len() as u32;
        home.answer_with(&question, CONTENT, "", |answer| {
            let answer =
                answer.number(12, DOTS.into()).number(23, block(number, more, 2)).number(28, content.len() as u32);
            answer.option(4, b"state").raw(piece.to_vec())
        });
        let next = home.hear();
        if more {
            assert_eq!(next.block(23), Some((number + 1, false, 2)));
            // With an entity tag a server may leave the content out (RFC 7252 section 5.10.6.2).
            assert_eq!((next.value(4), path(&next)), (None, path(&question)));
            assert_eq!(next.value(OBSERVE), None);
        }
        question = next;
    }
    for mid in 1..6 {
        let observation = if mid == 1 { question.clone() } else { home.hear() };
        assert_eq!((observation.uint(OBSERVE), home::mid(&observation)), (Some(0), mid));
        home.notify(&observation, &reported(mid, "16:2"));
    }
    home.has_heard_all();
    let status: Value = serde_json::from_str(&told(isp.command(&["status"])).unwrap()).unwrap();
    let targets: Vec<&Value> =
        status["mitigations"].as_array().unwrap().iter().map(|known| &known["targets"][0]).collect();
    assert_eq!(targets, ["192.0.2.1/32", "192.0.2.2/32", "192.0.2.3/32", "192.0.2.4/32", "192.0.2.5/32"]);
}

/// Blocks that don't fit together lead nowhere, but the session goes on.
#[test]
fn blocks_out_of_order_are_left_alone() {
    let isp = Isp::serving("disorder");
    for (number, size, length) in [(1, 2, 64), (0, 2, 0), ((1 << 20) - 1, 6, 1024)] {
        let mut home = isp.stranger(ROUTER);
        let config = home.hear();
        home.answer(&config, CONTENT, "{30:{}}");
        let question = home.hear();
        home.answer_with(&question, CONTENT, "", |answer| {
            answer.number(12, DOTS.into()).number(23, block(number, true, size)).raw(vec![0; length])
        });
        home.has_heard_all();
    }
}
