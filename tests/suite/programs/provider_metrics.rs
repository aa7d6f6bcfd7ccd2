//! What an operator watches, and how routers are sent elsewhere before maintenance.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

use crate::programs::home::*;
use crate::programs::program::{PATIENCE, told};
use crate::programs::provider_config::until;
use crate::support::tls::ROUTER;

const OTHER: &str = "home-5678.isp.example";

/// What comes back for these bytes; nothing where the connection is ended without a word.
fn fetch(from: SocketAddr, said: &str) -> String {
    let mut stream = TcpStream::connect(from).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let _ = stream.write_all(said.as_bytes());
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8(answer).unwrap()
}

/// A port of the loopback that is free.
fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// As Prometheus' own checker wants it: each metric has its help and type before its values, once, and what only rises says so.
fn check(text: &str) {
    let mut known = BTreeSet::new();
    let mut current = ("", "");
    for line in text.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["#", "HELP", name, _, ..] => assert!(known.insert(name), "{name} twice"),
            ["#", "TYPE", name, kind] => {
                assert_eq!(kind == "counter", name.ends_with("_total"), "{name}");
                current = (name, kind);
            }
            [value, number] => {
                let name = value.split('{').next().unwrap();
                assert!(name == current.0 && number.parse::<f64>().is_ok(), "{line}");
            }
            _ => panic!("{line}"),
        }
    }
    assert!(known.len() > 10);
}

#[test]
fn metrics_are_told() {
    let mut isp = Isp::new("metrics");
    let at = free();
    isp.arguments.extend(["--metrics".to_owned(), at.to_string()]);
    isp.start();
    let mut home = isp.home(ROUTER);
    let request = isp.command(&wanting(ROUTER, "203.0.113.7", "192.0.2.1"));
    let put = home.hear();
    home.take_on(&put);
    told(request).unwrap();
    let value = |name: &str| {
        let text = told(isp.program.plain_command(&["metrics"])).unwrap();
        check(&text);
        let line =
            text.lines().find_map(|line| line.strip_prefix(&format!("dots_callhome_{name} ")).map(str::to_owned));
        line.unwrap_or_else(|| panic!("no {name}: {text}"))
    };
    assert_eq!(value("routers{transport=\"tls\"}"), "1");
    assert_eq!(value("calls_total{outcome=\"admitted\"}"), "1");
    assert_eq!(value("wishes{state=\"wanted\"}"), "1");
    assert_eq!((value("store_up"), value("draining")), ("1".to_owned(), "0".to_owned()));
    until("it is mitigated", || value("mitigations{status=\"2\"}") == "1");
    assert!(value("certificate_expiry_seconds").parse::<u64>().unwrap() > 1_800_000_000);

    let answer = fetch(at, "GET /metrics HTTP/1.1\r\nHost: isp\r\n\r\n");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && head.contains("version=0.0.4"), "{head}");
    assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{head}");
    check(body);
    assert!(fetch(at, "GET / HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 404"));
    assert!(fetch(at, "POST /metrics HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 405"));
    assert_eq!(fetch(at, &"x".repeat(10_000)), "", "nobody waits for the end of that");
    // Whoever says nothing keeps nobody out.
    let silent: Vec<TcpStream> = (0..40).map(|_| TcpStream::connect(at).unwrap()).collect();
    assert!(fetch(at, "GET /metrics HTTP/1.0\r\n\r\n").starts_with("HTTP/1.1 200"));
    drop(silent);
    home.has_heard_all();
}

#[test]
fn metrics_are_told_at_home_only() {
    let mut isp = Isp::new("metrics-abroad");
    for address in ["0.0.0.0:9100", "192.0.2.1:9100", "[::]:9100"] {
        let state = isp.program.path("checked").display().to_string();
        let arguments: Vec<&str> = isp.arguments.iter().map(String::as_str).collect();
        let serve = ["serve", "--listen", "127.0.0.1:0", "--state", &state, "--metrics", address];
        let why = told(isp.program.plain_command(&[&serve, &arguments[..]].concat())).unwrap_err();
        assert!(why.contains(address) && why.contains("loopback"), "{why}");
    }
    isp.program.end();
}

/// All that are there and all that come are sent elsewhere, until that is ended.
#[test]
fn all_routers_are_sent_elsewhere() {
    let isp = Isp::serving("drain");
    let mut homes = [isp.home(ROUTER), isp.home(OTHER)];
    until("both are there", || isp.program.routers().contains(ROUTER) && isp.program.routers().contains(OTHER));
    let drain = ["drain", "--to", "callhome2.isp.example", "--address", "192.0.2.9", "--ttl", "600"];
    told(isp.command(&drain)).unwrap();
    for home in &mut homes {
        let redirect = home.hear();
        assert_eq!((redirect.code, path(&redirect)), (PUT, ".well-known/dots/redirect".to_owned()));
        home.answer(&redirect, CHANGED, "");
    }
    let mut late = isp.home("home-9.isp.example");
    assert_eq!(path(&late.hear()), ".well-known/dots/redirect");
    told(isp.command(&["drain", "--stop"])).unwrap();
    let mut later = isp.home("home-10.isp.example");
    later.has_heard_all();
}
