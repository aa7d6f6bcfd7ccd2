//! Whether blocks bite, and only those meant, with real packets: a table of kinds of traffic and of what is done about
//! them, then what else a block must and must not do. Ends with the line `through N, harmed N, stuck N, failed N`.

mod more;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::crowd::{Stream, Victim};
use crate::home::device_mac;
use crate::host::{PATIENCE, comes_true};
use crate::raw::{self, Sniffer};
use crate::stage::Stage;

/// Protocols, each over both families.
const KINDS: [(&str, u8, u8); 4] = [
    ("UDP", raw::UDP, raw::UDP),
    ("TCP, a connection that stands", raw::TCP, raw::TCP),
    ("echo requests", raw::ICMP, raw::ICMPV6),
    ("protocol 50", raw::ESP, raw::ESP),
];
/// Who sends the same as everybody, but shall not be blocked.
const INNOCENT: usize = 17;
const DEVICES: usize = 23;
const PORT: u16 = 7000;
/// How many packets of the guilty must have been sent in vain, and how many of the innocent must have passed.
const VAIN: usize = 50;
const FEW: usize = 20;

/// One line of the table.
struct Row {
    kind: &'static str,
    protocol: u8,
    action: &'static str,
    guilty: usize,
    /// The attacked prefix of two addresses; the innocent device uses the second.
    targets: [IpAddr; 2],
    mid: Value,
    id: u64,
    /// How many packets had arrived when the block was reported to be in force.
    reported: Option<(usize, usize)>,
}

/// The home, and what the victim receives.
struct Lab {
    stage: Stage,
    sniffer: Sniffer,
    victim: Victim,
    /// What is sent, by the sender's number.
    streams: Vec<(usize, Stream)>,
}

impl Lab {
    fn new() -> Self {
        let mut stage = Stage::prepare(DEVICES, "");
        configure(&stage, &[(more::EXEMPT, "exempt")]);
        // The victim has whole networks of addresses.
        let home = &stage.home;
        home.provider.ip("route add 203.0.113.128/25 via 203.0.113.80");
        home.provider.ip("-6 route add 2001:db8:c000:1::/64 via 2001:db8:c000::80");
        home.victim.ip("route add local 203.0.113.128/25 dev lo");
        home.victim.ip("-6 route add local 2001:db8:c000:1::/64 dev lo");
        let sniffer = Sniffer::new(&home.victim);
        stage.start_bus();
        stage.start_client();
        stage.start_daemon();
        stage.until("the session is up", |s| s.peer_state() == "connected");
        Self { stage, sniffer, victim: Victim::new(), streams: Vec::new() }
    }

    fn send(&mut self, number: usize, protocol: u8, to: IpAddr) {
        let host = self.stage.home.device(number);
        let local = if to.is_ipv4() { IpAddr::from(Ipv4Addr::UNSPECIFIED) } else { Ipv6Addr::UNSPECIFIED.into() };
        let stream = match protocol {
            raw::UDP => Stream::udp(host, (local, 0).into(), (to, PORT).into(), number),
            raw::TCP => Stream::tcp(host, (to, PORT).into(), number),
            _ => raw::stream(host, protocol, to, number),
        };
        self.streams.push((number, stream));
    }

    /// What is done about single devices from now on.
    fn set_policies(&self, policies: &[(usize, &str)]) {
        configure(&self.stage, policies);
        self.stage.reload();
    }

    /// A provider's request; its number.
    fn request(&self, words: &str) -> Value {
        let arguments =
            ["request", "--router", crate::credentials::ROUTER_NAME].into_iter().chain(words.split_whitespace());
        let answer = self.stage.provider(&arguments.collect::<Vec<_>>());
        answer.expect("request")["mid"].clone()
    }

    fn mitigation(&self, mid: &Value) -> Value {
        let list = self.stage.ubus("list", json!({})).unwrap_or_default();
        let all = list["mitigations"].as_array().cloned().unwrap_or_default();
        all.into_iter().find(|mitigation| mitigation["mid"] == *mid).unwrap_or_default()
    }

    /// Waits until a device is among those who may be meant; the mitigation's number.
    fn suspected(&self, mid: &Value, number: usize) -> u64 {
        let mac = device_mac(number);
        let named =
            |m: &Value| m["devices"].as_array().is_some_and(|all| all.iter().any(|device| device["mac"] == *mac));
        self.stage.until(&format!("device {number} is suspected"), |_| named(&self.mitigation(mid)));
        self.mitigation(mid)["id"].as_u64().expect("id")
    }

    fn approve(&self, id: u64, action: &str, number: usize) {
        let arguments = json!({ "id": id, "action": action, "devices": [device_mac(number)] });
        self.stage.ubus("approve", arguments).expect("approved");
    }

    fn release(&self, number: usize) {
        self.stage.ubus("release", json!({ "mac": device_mac(number) })).expect("released");
    }

    fn is_verified(&self, id: u64) -> bool {
        self.stage.mitigation(id)["verified"] == true
    }
}

fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for (kind, v4, v6) in KINDS {
        for (family, protocol) in [("IPv4", v4), ("IPv6", v6)] {
            for action in ["block", "quarantine"] {
                let last = 2 * u8::try_from(rows.len()).expect("few");
                let targets = [last, last + 1].map(|last| match family {
                    "IPv4" => IpAddr::from([203, 0, 113, 128 + last]),
                    _ => IpAddr::from([0x2001, 0xdb8, 0xc000, 1, 0, 0, 0, u16::from(last)]),
                });
                let kind: &'static str = format!("{kind}, {family}").leak();
                let (guilty, mid) = (rows.len() + 1, Value::Null);
                rows.push(Row { kind, protocol, action, guilty, targets, mid, id: 0, reported: None });
            }
        }
    }
    rows
}

impl Row {
    fn start(&self, lab: &mut Lab) {
        let [target, beside] = self.targets;
        lab.send(self.guilty, self.protocol, target);
        lab.send(INNOCENT, self.protocol, beside);
    }

    fn request(&self) -> String {
        let (source, length) =
            if self.targets[0].is_ipv4() { ("198.51.100.7/32", 31) } else { ("2001:db8:123::/64", 127) };
        let port =
            if matches!(self.protocol, raw::UDP | raw::TCP) { format!("--target-port {PORT}") } else { String::new() };
        let target = self.targets[0];
        format!("--source {source} --target {target}/{length} --protocol {} {port}", self.protocol)
    }

    /// Counts at the router what the guilty device sends, whether it passes or not.
    fn counter(&self) -> String {
        let family = if self.targets[0].is_ipv4() { "ip" } else { "ip6" };
        format!("ether saddr {} {family} daddr {} counter\n", device_mac(self.guilty), self.targets[0])
    }

    /// How many packets tell that the guilty device still sends: TCP without answers tries again ever less often.
    fn vain(&self) -> usize {
        if self.protocol == raw::TCP { 1 } else { VAIN }
    }

    /// Packets of the guilty and the innocent device that have arrived.
    fn arrived(&self, lab: &Lab) -> (usize, usize) {
        let of = |number, target| lab.sniffer.packets(number, self.protocol, target);
        (of(self.guilty, self.targets[0]), of(INNOCENT, self.targets[1]))
    }
}

fn configure(stage: &Stage, policies: &[(usize, &str)]) {
    let device = |(number, policy): &(usize, &str)| {
        format!("config device\n\toption mac '{}'\n\toption policy '{policy}'\n", device_mac(*number))
    };
    stage.configure("", "", &policies.iter().map(device).collect::<String>());
}

/// How long it takes until each guilty device gets through again.
fn free_again(lab: &Lab, rows: &[Row], blocked: &[(usize, usize)]) -> Vec<Option<Duration>> {
    let start = Instant::now();
    let mut free = vec![None; rows.len()];
    while free.contains(&None) && start.elapsed() < PATIENCE {
        for ((row, (guilty, _)), free) in rows.iter().zip(blocked).zip(&mut free) {
            *free = free.or_else(|| (row.arrived(lab).0 > *guilty).then(|| start.elapsed()));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    free
}

/// Waits until the guilty devices have sent enough since the blocks were reported, and enough of the innocent one's has passed;
/// how many of the guilty have not.
fn send_in_vain(lab: &Lab, rows: &[Row]) -> usize {
    let counted = || lab.stage.home.router.counted("sent");
    let before = counted();
    let passed = |row: &Row| row.arrived(lab).1 >= row.reported.unwrap_or_default().1 + FEW;
    let silent = || {
        let sent = counted().into_iter().zip(&before).map(|(now, before)| now - before);
        rows.iter().zip(sent).filter(|(row, sent)| *sent < row.vain()).count()
    };
    comes_true(|| rows.iter().all(passed) && silent() == 0);
    lab.sniffer.settle();
    silent()
}

/// What the table comes to.
#[derive(Default)]
struct Tally {
    through: usize,
    harmed: usize,
    stuck: usize,
    failed: usize,
}

fn table(lab: &mut Lab, tally: &mut Tally) {
    let mut rows = rows();
    lab.victim.accept(&lab.stage.home.victim, PORT);
    rows.iter().for_each(|row| row.start(lab));
    lab.stage.until("all arrive", |_| rows.iter().all(|row| row.arrived(lab).0 > 0 && row.arrived(lab).1 > 0));
    for row in &mut rows {
        row.mid = lab.request(&row.request());
    }
    for row in &mut rows {
        row.id = lab.suspected(&row.mid, row.guilty);
    }
    let counters: String = rows.iter().map(Row::counter).collect();
    let chain = format!("chain passing {{\ntype filter hook prerouting priority raw - 50\n{counters}}}");
    lab.stage.home.router.nft(&format!("table inet sent {{\n{chain}\n}}\n"));
    rows.iter().for_each(|row| lab.approve(row.id, row.action, row.guilty));
    let start = Instant::now();
    while rows.iter().any(|row| row.reported.is_none()) && start.elapsed() < PATIENCE {
        for row in rows.iter_mut().filter(|row| row.reported.is_none() && lab.is_verified(row.id)) {
            lab.sniffer.settle();
            row.reported = Some(row.arrived(lab));
        }
    }
    tally.failed += send_in_vain(lab, &rows);
    let after: Vec<_> = rows.iter().map(|row| row.arrived(lab)).collect();
    rows.iter().for_each(|row| lab.release(row.guilty));
    let free = free_again(lab, &rows, &after);
    println!("{:38}{:12}{:>8}{:>16}{:>10}", "", "", "through", "innocent", "again");
    for ((row, (guilty, innocent)), free) in rows.iter().zip(after).zip(free) {
        let (before, beside) = row.reported.unwrap_or_default();
        let through = guilty - before;
        tally.through += through;
        tally.harmed += usize::from(innocent < beside + FEW);
        tally.stuck += usize::from(free.is_none());
        let again = free.map_or("never".into(), |after| format!("{} ms", after.as_millis()));
        let innocent = format!("{} packets", innocent - beside);
        println!("{:38}{:12}{through:>8}{innocent:>16}{again:>10}", row.kind, row.action);
    }
    lab.streams.clear();
}

/// Runs it; whether everything is as it must be.
pub fn run() -> bool {
    let (mut lab, mut tally) = (Lab::new(), Tally::default());
    table(&mut lab, &mut tally);
    let only = std::env::var("CHECK").unwrap_or_default();
    for (what, check) in more::ALL.iter().filter(|(what, _)| what.contains(&only)) {
        let outcome = check(&mut lab);
        lab.streams.clear();
        tally.failed += usize::from(outcome.is_err());
        match outcome {
            Ok(()) => println!("right   {what}"),
            Err(why) => println!("FAILED  {what}: {why}"),
        }
    }
    let Tally { through, harmed, stuck, failed } = tally;
    println!("through {through}, harmed {harmed}, stuck {stuck}, failed {failed}");
    through + harmed + stuck + failed == 0
}
