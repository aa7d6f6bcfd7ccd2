//! What homes are made of besides devices on a bridge: netifd's word, links without Ethernet addresses; and what is asked.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;

use serde_json::{Value, json};
use ubus::DispatchOutcome;
use ubus::json::json_to_blobmsg;
use ubus::server::{UbusConnection, UbusObject};
use ubus::unix::UnixUbusTransport;

use crate::credentials::ROUTER_NAME;
use crate::home::Home;
use crate::host::Host;
use crate::stage::Stage;

/// A home built by `build`, with everything running; netifd says what `interfaces` is, if there is any.
pub fn open(globals: &str, devices: usize, build: impl FnOnce(&Home), interfaces: Value) -> Stage {
    let mut stage = Stage::prepare(devices, globals);
    build(&stage.home);
    stage.start_bus();
    if interfaces.is_array() {
        serve(&stage.file("ubus.sock").display().to_string(), interfaces);
    }
    stage.start_client();
    stage.start_daemon();
    stage.until("the session is up", |s| s.peer_state() == "connected");
    stage
}

/// Answers `network.interface dump` as long as there is a bus.
fn serve(socket: &str, interfaces: Value) {
    let reply = json!({ "interface": interfaces });
    let answer = move |_: &[u8]| Ok(json_to_blobmsg(&reply).expect("a table"));
    let (socket, (ready, is_ready)) = (socket.to_owned(), mpsc::channel());
    std::thread::spawn(move || {
        let transport = UnixUbusTransport::connect(&socket).expect("the bus");
        let object = UbusObject::new("network.interface").method("dump", answer);
        let mut connection = UbusConnection::connect_and_register(transport, object).expect("registered");
        ready.send(()).expect("awaited");
        while let Ok(outcome) = connection.poll_one() {
            if matches!(outcome, DispatchOutcome::Idle) {
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
        }
    });
    is_ready.recv().expect("registered");
}

/// An interface as netifd tells of it, with whatever else is to be said.
pub fn interface(name: &str, protocol: &str, device: &str, more: Value) -> Value {
    let mut interface = json!({ "interface": name, "up": true, "proto": protocol, "l3_device": device, "route": [] });
    let more = more.as_object().expect("a table").clone();
    interface.as_object_mut().expect("a table").extend(more);
    interface
}

/// A default route, of IPv4 or IPv6 by its router.
pub fn default_route(router: &str) -> Value {
    json!([{ "target": if router.contains(':') { "::" } else { "0.0.0.0" }, "mask": 0, "nexthop": router }])
}

/// A link without Ethernet addresses, until dropped.
pub struct Tunnel(Child);

impl Tunnel {
    /// Both ends are up.
    pub fn new(one: &Host, name: &str, other: &Host, far: &str) -> Self {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/lab/homes/tunnel.py");
        let arguments = [one.pid().to_string(), name.to_owned(), other.pid().to_string(), far.to_owned()];
        let mut command = Command::new("python3");
        command.arg(script).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("python3 starts");
        let mut ready = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut ready).expect("it answers");
        assert_eq!(ready, "ready\n", "no tunnel");
        one.ip(&format!("link set {name} up"));
        other.ip(&format!("link set {far} up"));
        Self(child)
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What comes of a request about this source, and a target of that number.
pub fn ask(stage: &Stage, source: &str, number: usize) -> Result<Value, String> {
    let target = match source.contains(':') {
        true => format!("2001:db8:c000::{number:x}/128"),
        false => format!("203.0.113.{number}/32"),
    };
    let words = ["request", "--router", ROUTER_NAME, "--source", source, "--target", &target, "--target-port", "53"];
    stage.provider(&[&words[..], &["--protocol", "17", "--lifetime", "3600"]].concat())
}

/// The provider may speak of the first ones, as soon as the router knows its upstream, and not of the others.
pub fn assert_ours(stage: &Stage, ours: &[&str], others: &[&str]) {
    for (number, source) in (100..).zip(ours) {
        stage.until(&format!("{source} is accepted"), |s| ask(s, source, number).is_ok());
    }
    for (number, source) in (150..).zip(others) {
        let refused = ask(stage, source, number).expect_err(source);
        assert!(refused.contains("out of scope") || refused.contains("not visible"), "{source}: {refused}");
    }
}

/// The mitigation with this number of the provider.
pub fn mitigation(stage: &Stage, mid: &Value) -> Value {
    let list = stage.ubus("list", json!({})).unwrap_or_default();
    let all = list["mitigations"].as_array().cloned().unwrap_or_default();
    all.into_iter().find(|mitigation| mitigation["mid"] == *mid).unwrap_or_default()
}

/// The devices that a request has found, each with how sure it is.
pub fn found(mitigation: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let devices = mitigation["devices"].as_array().cloned().unwrap_or_default();
    devices.iter().map(|device| (text(&device["mac"]), text(&device["confidence"]))).collect()
}
