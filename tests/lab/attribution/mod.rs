//! Whom requests speak of, with real packets in a home of forty devices and 60,000 other flows: a table of cases, each with
//! the device that really sends. Ends with the line `right N, wrong N, undecided N`.

mod cases;
mod world;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use serde_json::{Value, json};

use crate::crowd::{Stream, Victim, fill};
use crate::home::{VICTIM, WAN};
use crate::host::{Host, comes_true};
use crate::raw::{self, Arrived, Sniffer};
use crate::stage::Stage;
use cases::{Case, DEVICES, GUEST, INNER, TAGGED, TRUNK, Who};
use world::World;

const VICTIM6: &str = "2001:db8:c000::80";
const GLOBALS: &str = "\toption consent 'observe'\n";
/// Who sends all the time, from which port, so that the daemon can be asked about it: what it has done for that request it has
/// done for an earlier one as well. The target is another one than the victim, or one request would supersede the other.
const CONTROL: (usize, u16) = (25, 25_000);
const CONTROL_TARGET: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 98);
/// How many readings of what a flow sends there must have been before nobody is said to be found.
const READINGS: usize = 3;

/// The home, what happens in it, and what the victim sees of it.
struct Lab {
    world: World,
    stage: Stage,
    streams: Vec<Stream>,
    _control: Stream,
    victim: Victim,
    sniffer: Sniffer,
    /// Who shall begin to send after the request, to which port, from which.
    later: Option<(usize, u16, u16)>,
    /// Which provider asks.
    asker: &'static str,
    /// What is configured besides the usual.
    globals: &'static str,
}

/// A device found, and what is said of it.
struct Found {
    mac: String,
    name: String,
    interface: String,
    sure: bool,
    confidence: String,
}

/// What a case came to.
enum Outcome {
    Right,
    Wrong(String),
    Undecided(&'static str),
    /// Undecided, or not shown, though it could be known.
    Missed,
}

impl Lab {
    fn new() -> Self {
        let mut stage = Stage::prepare(DEVICES, GLOBALS);
        let world = World::new(&mut stage, GLOBALS);
        fill(&stage.home.router, 60_000);
        let sniffer = Sniffer::new(&stage.home.victim);
        let (victim, streams) = (Victim::new(), Vec::new());
        let (device, from) = CONTROL;
        let from = SocketAddr::from((Ipv4Addr::UNSPECIFIED, from));
        let control = Stream::udp(stage.home.device(device), from, (CONTROL_TARGET, 9).into(), device);
        Self { world, stage, streams, _control: control, victim, sniffer, later: None, asker: "provider", globals: "" }
    }

    fn host(&self, number: usize) -> &Host {
        match number {
            0 => &self.stage.home.router,
            GUEST => &self.world.guest,
            TAGGED => &self.world.tagged,
            TRUNK => &self.world.trunk,
            number => self.stage.home.device(number),
        }
    }

    /// Devices send from this port, 0 for any; the router is number 0.
    fn send(&mut self, numbers: &[usize], port: u16, from: u16) {
        for number in numbers {
            self.send_from(*number, (Ipv4Addr::UNSPECIFIED, from).into(), port);
        }
    }

    fn send_from(&mut self, number: usize, from: SocketAddr, port: u16) {
        self.victim.listen(&self.stage.home.victim, port);
        let target = if from.is_ipv4() { IpAddr::from(VICTIM) } else { VICTIM6.parse().expect("address") };
        let stream = Stream::udp(self.host(number), from, (target, port).into(), number);
        self.streams.push(stream);
    }

    fn send_as(&mut self, number: usize, address: &str, port: u16) {
        self.send_from(number, (address.parse::<IpAddr>().expect("address"), 0).into(), port);
    }

    fn send6(&mut self, numbers: &[usize], port: u16) {
        for number in numbers {
            self.send_as(*number, &format!("2001:db8:123::{:x}", 10 + number), port);
        }
    }

    fn send_from_attic(&mut self, port: u16) {
        self.victim.listen(&self.stage.home.victim, port);
        let any = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        self.streams.push(Stream::udp(&self.world.attic, any, (VICTIM, port).into(), INNER));
    }

    fn connect(&mut self, numbers: &[usize], port: u16) {
        self.victim.accept(&self.stage.home.victim, port);
        for number in numbers {
            self.streams.push(Stream::tcp(self.host(*number), (VICTIM, port).into(), *number));
        }
    }

    /// Packets of any protocol, once the first has arrived.
    fn send_raw(&mut self, number: usize, protocol: u8, target: &str) {
        let target: IpAddr = target.parse().expect("address");
        self.streams.push(raw::stream(self.host(number), protocol, target, number));
        self.arrives(number, protocol, target);
    }

    fn send_sctp(&mut self, number: usize, port: u16, from: u16) -> SocketAddr {
        self.streams.push(raw::sctp(self.host(number), from, (VICTIM, port).into(), number));
        self.arrives(number, raw::SCTP, VICTIM.into()).from
    }

    fn arrives(&self, number: usize, protocol: u8, target: IpAddr) -> Arrived {
        let arrived = self.sniffer.next(number, protocol, target);
        arrived.unwrap_or_else(|| panic!("device {number} sends nothing"))
    }

    /// A device sends to somebody else than the victim.
    fn send_to(&mut self, number: usize, target: SocketAddr) {
        let any = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        self.streams.push(Stream::udp(self.host(number), any, target, number));
    }

    /// The victim asks a port of the router, and the router or the device behind it answers.
    fn reflect(&mut self, number: usize, port: u16, service: u16) {
        self.streams.push(Stream::reflector(self.host(number), service));
        let local = SocketAddr::from((VICTIM, port));
        self.streams.push(Stream::udp(&self.stage.home.victim, local, (WAN, service).into(), number));
        let (port, service) = (port.to_string(), service.to_string());
        let words = ["-L", "-p", "udp", "--orig-port-src", &port, "--orig-port-dst", &service];
        self.stage.until("it answers", |s| {
            let flows = s.home.router.run("conntrack", &words);
            !flows.is_empty() && !flows.contains("UNREPLIED")
        });
    }

    /// Nobody sends any more, and conntrack loses all flows to this port of the victim.
    fn end_flows(&mut self, port: u16) {
        self.streams.clear();
        self.stage.home.router.output("conntrack", &["-D", "-p", "udp", "--dport", &port.to_string()]);
    }

    /// From where the victim sees a device send.
    fn seen(&self, number: usize) -> SocketAddr {
        assert!(comes_true(|| self.victim.seen(number).is_some()), "device {number} sends nothing");
        self.victim.seen(number).expect("seen")
    }

    /// What a provider asks, in words of its program's command.
    fn words(&self, text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    /// What it asks that sees the router's address and a port of the victim.
    fn request(&self, more: &str, port: u16, protocol: u8) -> Vec<String> {
        self.words(&format!("--source {WAN}/32 --target {VICTIM}/32 --target-port {port} --protocol {protocol} {more}"))
    }

    fn asked(&self, port: u16, protocol: u8, from: &[u16]) -> Vec<String> {
        let from: Vec<String> = from.iter().map(|port| format!("--source-port {port}")).collect();
        self.request(&from.join(" "), port, protocol)
    }

    fn asked6(&self, port: u16, source: &str) -> Vec<String> {
        self.words(&format!("--source {source} --target {VICTIM6}/128 --target-port {port} --protocol 17"))
    }

    /// The configuration gets more lines for a while.
    fn reconfigure(&mut self, globals: &'static str) {
        self.globals = globals;
        self.stage.configure(&format!("{GLOBALS}{globals}"), "", &world::sections(&self.stage));
        self.stage.reload();
    }

    /// Plays a case and judges it; tells whom the daemon found.
    fn play(&mut self, case: &Case, port: u16) -> (Outcome, String) {
        let words = (case.act)(self, port);
        let mut arguments = vec!["request", "--router", crate::credentials::ROUTER_NAME];
        arguments.extend(words.iter().map(String::as_str));
        let played = match self.stage.ask(self.asker, &arguments) {
            Err(why) => (refused(case, &why), why),
            Ok(answer) => {
                let found = self.watch(case, &answer["mid"]);
                (judge(case, &found), describe(&found))
            }
        };
        self.clear();
        played
    }

    fn clear(&mut self) {
        self.streams.clear();
        self.victim.clear();
        self.asker = "provider";
        if !self.globals.is_empty() {
            self.reconfigure("");
        }
    }

    /// Waits until the case is decided, or has been looked into as often as must not decide it; then ends the request.
    fn watch(&mut self, case: &Case, mid: &Value) -> Vec<Found> {
        if let Some((number, port, from)) = self.later.take() {
            self.stage.until("searched in vain", |s| self.mitigation(s, mid)["state"] == "searching");
            self.send(&[number], port, from);
        }
        let found = || devices(&self.mitigation(&self.stage, mid));
        let sure = || found().iter().filter(|found| found.sure).count();
        let _ = match case.who {
            Who::Surely(culprits) if !culprits.is_empty() => comes_true(|| sure() >= culprits.len()),
            Who::InTheEnd(_) => comes_true(|| matches!(judge(case, &found()), Outcome::Right)),
            Who::Behind(_) => {
                self.look_into();
                comes_true(|| !found().is_empty())
            }
            _ => {
                self.look_into();
                comes_true(|| !matches!(judge(case, &found()), Outcome::Missed))
            }
        };
        let found = found();
        self.withdraw(self.asker, mid);
        found
    }

    /// Waits until the daemon has found the control for sure and read several times what it sends.
    fn look_into(&self) {
        let (device, from) = CONTROL;
        let words =
            format!("--source {WAN}/32 --source-port {from} --target {CONTROL_TARGET}/32 --protocol {}", raw::UDP);
        let words = self.words(&words);
        let mut arguments = vec!["request", "--router", crate::credentials::ROUTER_NAME];
        arguments.extend(words.iter().map(String::as_str));
        let mid = self.stage.ask("provider", &arguments).expect("the control")["mid"].clone();
        let readings = RefCell::new(BTreeSet::new());
        self.stage.until("the control is looked into", |stage| {
            let found = request(stage, "isp", &mid)["devices"][0].clone();
            let sure = found["mac"] == cases::mac(device) && found["confidence"] == "exact";
            readings.borrow_mut().extend(found["evidence"][0]["packets"].as_u64().filter(|_| sure));
            readings.borrow().len() >= READINGS
        });
        self.withdraw("provider", &mid);
    }

    fn withdraw(&self, asker: &str, mid: &Value) {
        let words = ["withdraw", "--router", crate::credentials::ROUTER_NAME, "--mid", &mid.to_string()];
        self.stage.ask(asker, &words).expect("gone");
    }

    fn mitigation(&self, stage: &Stage, mid: &Value) -> Value {
        request(stage, if self.asker == "provider" { "isp" } else { self.asker }, mid)
    }
}

/// What has become of a request.
fn request(stage: &Stage, peer: &str, mid: &Value) -> Value {
    let list = stage.ubus("list", json!({})).unwrap_or_default();
    let all = list["mitigations"].as_array().cloned().unwrap_or_default();
    all.into_iter().find(|m| m["mid"] == *mid && m["peer"] == peer).unwrap_or_default()
}

fn devices(mitigation: &Value) -> Vec<Found> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let devices = mitigation["devices"].as_array().cloned().unwrap_or_default();
    let found = |device: &Value| Found {
        mac: text(&device["mac"]),
        name: text(&device["name"]),
        interface: text(&device["interface"]),
        sure: device["confidence"] != "possible",
        confidence: text(&device["confidence"]),
    };
    devices.iter().map(found).collect()
}

fn refused(case: &Case, why: &str) -> Outcome {
    match case.who {
        Who::Refused(reason) if why.contains(reason) => Outcome::Right,
        _ => Outcome::Wrong("refused".into()),
    }
}

fn judge(case: &Case, found: &[Found]) -> Outcome {
    let of = |numbers: &[usize]| -> BTreeSet<String> { numbers.iter().map(|number| cases::mac(*number)).collect() };
    let sure: BTreeSet<String> = found.iter().filter(|found| found.sure).map(|found| found.mac.clone()).collect();
    let misplaced = |numbers: &[usize]| {
        let place = |found: &&Found| {
            numbers.iter().any(|n| cases::mac(*n) == found.mac && cases::interface(*n) == found.interface)
        };
        found
            .iter()
            .filter(|found| of(numbers).contains(&found.mac))
            .find(|found| !place(found))
            .map(|found| found.interface.clone())
    };
    match case.who {
        Who::Surely(culprits) | Who::InTheEnd(culprits) | Who::Nobody(culprits, _) if misplaced(culprits).is_some() => {
            Outcome::Wrong(format!("the interface: {:?}", misplaced(culprits)))
        }
        Who::Surely(culprits) | Who::InTheEnd(culprits) if sure == of(culprits) => Outcome::Right,
        Who::Surely(culprits) | Who::InTheEnd(culprits) if sure.is_subset(&of(culprits)) => Outcome::Missed,
        Who::Surely(_) | Who::InTheEnd(_) => Outcome::Wrong("another device".into()),
        // Right by chance is not right.
        Who::Nobody(..) if !sure.is_empty() => Outcome::Wrong("a guess".into()),
        Who::Nobody(culprits, why) => {
            let shown = of(culprits).iter().all(|mac| found.iter().any(|found| found.mac == *mac));
            if shown { Outcome::Undecided(why) } else { Outcome::Missed }
        }
        Who::Behind(router) => {
            let named = |found: &&Found| found.mac == cases::mac(router) && found.name.contains("behind router Loft");
            let shown = found.iter().filter(|found| !found.sure).find(named);
            if shown.is_some() && found.len() == 1 {
                Outcome::Undecided("a block would hit all behind that router")
            } else {
                Outcome::Wrong("not said to be behind".into())
            }
        }
        Who::Refused(_) => Outcome::Wrong("accepted".into()),
    }
}

/// Runs it; whether everything is as it must be.
pub fn run() -> bool {
    let mut lab = Lab::new();
    let only = std::env::var("CASE").unwrap_or_default();
    let (mut right, mut wrong, mut undecided, mut missed) = (0, 0, 0, 0);
    for (case, port) in cases::all().filter(|case| case.name.contains(&only)).zip(10_000..) {
        let (outcome, found) = lab.play(case, port);
        let (word, why) = match outcome {
            Outcome::Right => (right += 1, ("right", String::new())).1,
            Outcome::Wrong(what) => (wrong += 1, ("WRONG", format!(" ({what})"))).1,
            Outcome::Undecided(why) => (undecided += 1, ("undecided", format!("; {why}"))).1,
            Outcome::Missed => (missed += 1, ("MISSED", String::new())).1,
        };
        println!("{word:9}  {}: {found}{why}", case.name);
    }
    println!("right {right}, wrong {wrong}, undecided {}", undecided + missed);
    wrong + missed == 0
}

fn describe(found: &[Found]) -> String {
    let one = |found: &Found| {
        let Found { mac, name, confidence, .. } = found;
        if name.is_empty() { format!("{mac} {confidence}") } else { format!("{name} {confidence}") }
    };
    let all: Vec<String> = found.iter().take(4).map(one).collect();
    match found.len() {
        0 => "nobody".into(),
        1..=4 => all.join(", "),
        more => format!("{} and {} more", all.join(", "), more - 4),
    }
}
