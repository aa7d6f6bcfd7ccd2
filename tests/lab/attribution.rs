//! Whom requests speak of, with real packets in a home of forty devices and 60,000 other flows: a table of cases, each with
//! the device that really sends. Ends with the line `right N, wrong N, undecided N`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]
// The scenarios use more of the lab than this does.
#![allow(dead_code)]

mod bus;
mod cases;
mod credentials;
mod crowd;
mod home;
mod host;
mod stage;
mod traffic;

#[path = "../kernel_support/messages.rs"]
mod messages;

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use cases::{CASES, Case};
use crowd::{Child, Stream, Victim};
use home::{VICTIM, WAN, device_address, device_mac};
use host::Host;
use stage::Stage;

const DEVICES: usize = 40;
/// The number of the device that is a router itself, with another behind it.
const INNER: usize = 40;
/// The number of the device in the guest network.
const GUEST: usize = 60;
const VICTIM6: &str = "2001:db8:c000::80";
/// How long a case may take to be decided.
const PATIENCE: Duration = Duration::from_secs(4);

/// The home, what happens in it, and what the victim sees of it.
struct Lab {
    stage: Stage,
    guest: Host,
    attic: Host,
    streams: Vec<Stream>,
    children: Vec<Child>,
    victim: Victim,
    /// Who shall begin to send after the request, to which port, from which.
    later: Option<(usize, u16, u16)>,
}

impl Lab {
    fn new() -> Self {
        let stage = Stage::new(DEVICES, "\toption consent 'observe'\n");
        let router = &stage.home.router;
        let (guest, attic) = (Host::new("guest"), Host::new("attic"));
        router.ip("link add br-guest type bridge");
        router.ip("link set br-guest up");
        router.ip("addr add 192.168.2.1/24 dev br-guest");
        cable(router, "guest1", &guest);
        router.ip("link set guest1 master br-guest");
        guest.ip("link set eth0 down");
        guest.ip(&format!("link set eth0 address {}", device_mac(GUEST)));
        guest.ip("link set eth0 up");
        guest.ip("addr add 192.168.2.44/24 dev eth0");
        guest.ip("route add default via 192.168.2.1");
        let inner = stage.home.device(INNER);
        cable(inner, "attic1", &attic);
        inner.ip("addr add 192.168.50.1/24 dev attic1");
        inner.sysctl("ipv4/ip_forward", "1");
        attic.ip("addr add 192.168.50.20/24 dev eth0");
        attic.ip("route add default via 192.168.50.1");
        router.ip(&format!("route add 192.168.50.0/24 via {}", device_address(INNER)));
        router.nft(&format!(
            "table ip forwarded {{ chain in {{ type nat hook prerouting priority dstnat;
             iifname \"wan\" udp dport 1900 dnat to {}; }}; }}",
            device_address(5)
        ));
        crowd::fill(router, 60_000);
        let victim = Victim::new();
        Self { stage, guest, attic, streams: Vec::new(), children: Vec::new(), victim, later: None }
    }

    fn host(&self, number: usize) -> &Host {
        match number {
            0 => &self.stage.home.router,
            GUEST => &self.guest,
            number => self.stage.home.device(number),
        }
    }

    /// Devices send from this port, 0 for any; the router is number 0.
    fn send(&mut self, numbers: &[usize], port: u16, from: u16) {
        self.victim.listen(&self.stage.home.victim, port);
        for number in numbers {
            let local = SocketAddr::from((Ipv4Addr::UNSPECIFIED, from));
            let stream = Stream::udp(self.host(*number), local, (VICTIM, port).into(), *number);
            self.streams.push(stream);
        }
    }

    fn send_as(&mut self, number: usize, address: &str, port: u16) {
        self.victim.listen(&self.stage.home.victim, port);
        let address: IpAddr = address.parse().expect("address");
        let target = if address.is_ipv4() { IpAddr::from(VICTIM) } else { VICTIM6.parse().expect("address") };
        let stream = Stream::udp(self.host(number), (address, 0).into(), (target, port).into(), number);
        self.streams.push(stream);
    }

    fn send6(&mut self, numbers: &[usize], port: u16) {
        for number in numbers {
            self.send_as(*number, &format!("2001:db8:123::{:x}", 10 + number), port);
        }
    }

    fn send_from_guest(&mut self, port: u16) {
        self.send(&[GUEST], port, 0);
    }

    fn send_from_attic(&mut self, port: u16) {
        self.victim.listen(&self.stage.home.victim, port);
        let any = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        self.streams.push(Stream::udp(&self.attic, any, (VICTIM, port).into(), INNER));
    }

    fn connect(&mut self, numbers: &[usize], port: u16) {
        self.victim.accept(&self.stage.home.victim, port);
        for number in numbers {
            self.streams.push(Stream::tcp(self.host(*number), (VICTIM, port).into(), *number));
        }
    }

    fn ping(&mut self, number: usize, target: &str) {
        let child = Child::start(self.host(number), "ping", &["-n", "-i", "0.2", target]);
        self.children.push(child);
        std::thread::sleep(Duration::from_secs(1));
    }

    /// The victim asks the forwarded port of the router, and the device behind it answers.
    fn reflect(&mut self, number: usize, port: u16) {
        self.streams.push(Stream::reflector(self.host(number), 1900));
        let local = SocketAddr::from((VICTIM, port));
        self.streams.push(Stream::udp(&self.stage.home.victim, local, (WAN, 1900).into(), number));
        std::thread::sleep(Duration::from_millis(500));
    }

    /// Conntrack loses all flows to this port of the victim.
    fn forget_flows(&self, port: u16) {
        self.stage.home.router.output("conntrack", &["-D", "-p", "udp", "--dport", &port.to_string()]);
    }

    /// From where the victim sees a device send.
    fn seen(&self, number: usize) -> SocketAddr {
        let start = Instant::now();
        loop {
            if let Some(address) = self.victim.seen(number) {
                return address;
            }
            assert!(start.elapsed() < PATIENCE, "device {number} sends nothing");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn own(&self, words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    /// What a provider asks that sees the router's address and a port of the victim.
    fn request(&self, more: &[&str], port: u16, protocol: &str) -> Vec<String> {
        let (source, target, port) = (format!("{WAN}/32"), format!("{VICTIM}/32"), port.to_string());
        let all = ["--source", &source, "--target", &target, "--target-port", &port, "--protocol", protocol];
        self.own(&[&all[..], more].concat())
    }

    fn asked(&self, port: u16, protocol: &str, from: &[u16]) -> Vec<String> {
        let ports: Vec<String> = from.iter().map(ToString::to_string).collect();
        let more: Vec<&str> = ports.iter().flat_map(|port| ["--source-port", port.as_str()]).collect();
        self.request(&more, port, protocol)
    }

    fn asked6(&self, port: u16, source: &str) -> Vec<String> {
        let (target, port) = (format!("{VICTIM6}/128"), port.to_string());
        self.own(&["--source", source, "--target", &target, "--target-port", &port, "--protocol", "17"])
    }

    /// Plays a case: who is found, each with the word for how sure that is.
    fn play(&mut self, case: &Case, port: u16) -> Vec<(String, String)> {
        let words = (case.act)(self, port);
        let mut arguments = vec!["request", "--router", credentials::ROUTER_NAME];
        arguments.extend(words.iter().map(String::as_str));
        let answer = self.stage.provider(&arguments).expect("request");
        let mid = answer["mid"].clone();
        if let Some((number, port, from)) = self.later.take() {
            self.stage.until("searched in vain", |s| mitigation(s, &mid)["state"] == "searching");
            self.send(&[number], port, from);
        }
        let start = Instant::now();
        let mut found = Vec::new();
        while start.elapsed() < PATIENCE {
            found = devices(&mitigation(&self.stage, &mid));
            let sure = found.iter().filter(|(_, confidence)| confidence != "possible").count();
            if case.knowable && !case.culprits.is_empty() && sure >= case.culprits.len() {
                break;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        self.stage
            .provider(&["withdraw", "--router", credentials::ROUTER_NAME, "--mid", &mid.to_string()])
            .expect("gone");
        self.streams.clear();
        self.children.clear();
        self.victim.clear();
        found
    }
}

fn mitigation(stage: &Stage, mid: &Value) -> Value {
    let list = stage.ubus("list", json!({})).unwrap_or_default();
    let all = list["mitigations"].as_array().cloned().unwrap_or_default();
    all.into_iter().find(|mitigation| mitigation["mid"] == *mid).unwrap_or_default()
}

fn devices(mitigation: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let devices = mitigation["devices"].as_array().cloned().unwrap_or_default();
    devices.iter().map(|device| (text(&device["mac"]), text(&device["confidence"]))).collect()
}

fn cable(left: &Host, name: &str, right: &Host) {
    left.ip(&format!("link add {name} type veth peer name eth0 netns {}", right.pid()));
    left.ip(&format!("link set {name} up"));
    right.ip("link set eth0 up");
}

fn main() -> ExitCode {
    if let Err(why) = host::prepare() {
        eprintln!("{why}");
        return ExitCode::FAILURE;
    }
    let mut lab = Lab::new();
    let (mut right, mut wrong, mut undecided, mut missed) = (0, 0, 0, 0);
    for (case, port) in CASES.iter().zip(10_000..) {
        let found = lab.play(case, port);
        let sure = found.iter().filter(|(_, confidence)| confidence != "possible");
        let sure: BTreeSet<String> = sure.map(|(mac, _)| mac.clone()).collect();
        let culprits: BTreeSet<String> = case.culprits.iter().map(|number| device_mac(*number)).collect();
        let verdict = if !sure.is_subset(&culprits) {
            wrong += 1;
            "WRONG"
        } else if sure == culprits {
            right += 1;
            "right"
        } else {
            undecided += 1;
            missed += usize::from(case.knowable);
            if case.knowable { "MISSED" } else { "undecided" }
        };
        println!("{verdict:9}  {}: {}", case.name, describe(&found));
    }
    println!("right {right}, wrong {wrong}, undecided {undecided}");
    if wrong + missed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn describe(found: &[(String, String)]) -> String {
    let all: Vec<String> = found.iter().take(4).map(|(mac, confidence)| format!("{mac} {confidence}")).collect();
    match found.len() {
        0 => "nobody".into(),
        1..=4 => all.join(", "),
        more => format!("{} and {} more", all.join(", "), more - 4),
    }
}
