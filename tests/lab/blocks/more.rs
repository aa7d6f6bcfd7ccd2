//! What a block must and must not do besides.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{DEVICES, FEW, INNOCENT, Lab, VAIN};
use crate::crowd::Stream;
use crate::home::{WAN, device_address, device_mac};
use crate::host::{PATIENCE, comes_true};
use crate::raw::UDP;
use crate::stage::Stage;

const NARROW: usize = 18;
const TWICE: usize = 19;
pub const EXEMPT: usize = 20;
const MOVED: usize = 21;
const PRIVATE: usize = 22;
const CUT_OFF: usize = DEVICES;
/// The second stream of a device bears its number and this.
const OTHER: usize = 100;

/// What [`MOVED`] changes its Ethernet address to.
const NEW_MAC: &str = "02:00:00:00:aa:01";

const TARGET: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 250));
const ROUTER: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 1);
/// Zones of conntrack, chosen by the port a device sends from.
const ZONES: &str = "
table inet zones {
    chain prerouting {
        type filter hook prerouting priority raw; policy accept;
        udp sport 21008 ct zone set 7
        udp sport 21009 ct original zone set 8
        udp sport 21010 ct reply zone set 9
    }
}
";
/// How long is waited for an answer at first.
const ATTEMPT: Duration = Duration::from_millis(700);

type Check = fn(&mut Lab) -> Result<(), String>;

/// All of it.
pub const ALL: &[(&str, Check)] = &[
    ("a block of one port leaves the target's other ports", one_port),
    ("of two blocks that overlap the one left still bites", overlap),
    ("flows in zones of conntrack are cut, and the provider told", zones),
    ("an exempt device is never touched, and the provider told", exempt),
    ("a device stays blocked when its IPv6 address changes", private_address),
    ("a device that changes its Ethernet address shows up as new, with a hint", new_mac),
    ("a device in whose name another one sends is not acted upon, and asked is about both", framed),
    ("a quarantined device gets addresses, names and the router's page, and reaches nobody else", quarantine),
];

fn ensure(is: bool, otherwise: &str) -> Result<(), String> {
    if is { Ok(()) } else { Err(otherwise.to_owned()) }
}

impl Lab {
    /// A device sends UDP to a port of the target from a port of its own, under some number; once it arrives.
    fn stream(&mut self, device: usize, from: SocketAddr, to: SocketAddr, number: usize) -> Result<(), String> {
        self.streams.push((number, Stream::udp(self.stage.home.device(device), from, to, number)));
        let arrived = self.sniffer.next(number, UDP, to.ip());
        arrived.map(|_| ()).ok_or_else(|| format!("{number} does not arrive"))
    }

    /// How many packets of a sender pass while it sends enough of them.
    fn passing(&self, number: usize, target: IpAddr) -> usize {
        let sent =
            || self.streams.iter().filter(|(of, _)| *of == number).map(|(_, stream)| stream.sent()).sum::<usize>();
        self.sniffer.settle();
        let (before, passed) = (sent(), self.sniffer.packets(number, UDP, target));
        assert!(comes_true(|| sent() >= before + VAIN), "{number} sends nothing");
        self.sniffer.settle();
        self.sniffer.packets(number, UDP, target) - passed
    }

    fn blocked(&self, words: &str, number: usize) -> u64 {
        let mid = self.request(words);
        let id = self.suspected(&mid, number);
        self.approve(id, "block", number);
        self.stage.until("in force", |_| self.is_verified(id));
        id
    }

    fn withdraw(&self, id: u64) {
        self.stage.ubus("withdraw", json!({ "id": id })).expect("withdrawn");
    }
}

fn any(port: u16) -> SocketAddr {
    (Ipv4Addr::UNSPECIFIED, port).into()
}

fn one_port(lab: &mut Lab) -> Result<(), String> {
    lab.stream(NARROW, any(21_001), (TARGET, 7100).into(), NARROW)?;
    lab.stream(NARROW, any(21_002), (TARGET, 7101).into(), NARROW + OTHER)?;
    let words = format!("--source {WAN}/32 --source-port 21001 --target {TARGET}/32 --target-port 7100 --protocol 17");
    lab.blocked(&words, NARROW);
    ensure(lab.passing(NARROW, TARGET) == 0, "the blocked port passes")?;
    ensure(lab.passing(NARROW + OTHER, TARGET) > 0, "the other port is blocked")?;
    lab.release(NARROW);
    Ok(())
}

fn overlap(lab: &mut Lab) -> Result<(), String> {
    lab.stream(TWICE, any(21_003), (TARGET, 7200).into(), TWICE)?;
    lab.stream(TWICE, any(21_004), (TARGET, 7201).into(), TWICE + OTHER)?;
    // Both are about the first stream; only the second about the other, too.
    let narrow = format!("--source {WAN}/32 --source-port 21003 --target {TARGET}/32 --target-port 7200 --protocol 17");
    let wide = format!("--source {WAN}/32 --source-port 21004 --target {TARGET}/31 --protocol 17");
    let (narrow, wide) = (lab.blocked(&narrow, TWICE), lab.blocked(&wide, TWICE));
    let passing = |lab: &Lab| (lab.passing(TWICE, TARGET) > 0, lab.passing(TWICE + OTHER, TARGET) > 0);
    ensure(passing(lab) == (false, false), "both blocks do not bite")?;
    let counted = |id| lab.stage.mitigation(id)["dropped"]["packets"].as_u64().unwrap_or_default();
    lab.stage.until("both count the same packets", |_| counted(narrow) > 50 && counted(wide) > counted(narrow));
    lab.withdraw(wide);
    lab.stage.until("the other stream is free", |_| lab.passing(TWICE + OTHER, TARGET) > 0);
    ensure(passing(lab) == (false, true), "the narrow block ended with the wide one")?;
    lab.withdraw(narrow);
    lab.stage.until("all is free", |_| passing(lab) == (true, true));
    Ok(())
}

/// One in a zone both ways, one only as it was opened, one only as it is answered.
fn zones(lab: &mut Lab) -> Result<(), String> {
    lab.stage.home.router.nft(ZONES);
    let numbers = [TWICE, TWICE + OTHER, TWICE + 2 * OTHER];
    for (number, port) in numbers.into_iter().zip(21_008..) {
        lab.stream(TWICE, any(port), (TARGET, 7700).into(), number)?;
    }
    let words = format!("--source {WAN}/32 --source-port 21008-21010 --target {TARGET}/32 --target-port 7700");
    let mid = lab.request(&format!("{words} --protocol 17"));
    let id = lab.suspected(&mid, TWICE);
    lab.approve(id, "block", TWICE);
    lab.stage.until("the provider is told", |s| s.provider_status(mid.as_u64().unwrap_or_default())["status"] == 2);
    let left = lab.stage.home.router.run("conntrack", &["-L", "-p", "udp", "--dport", "7700"]);
    ensure(left.is_empty(), &format!("conntrack still has {left}"))?;
    ensure(numbers.iter().all(|number| lab.passing(*number, TARGET) == 0), "one passes")?;
    lab.release(TWICE);
    lab.stage.home.router.nft("delete table inet zones");
    Ok(())
}

fn exempt(lab: &mut Lab) -> Result<(), String> {
    lab.stream(EXEMPT, any(21_005), (TARGET, 7300).into(), EXEMPT)?;
    let words = format!(
        "request --router {} --source {WAN}/32 --source-port 21005 --target {TARGET}/32 --target-port 7300 --protocol 17",
        crate::credentials::ROUTER_NAME
    );
    let answer = lab.stage.provider(&words.split_whitespace().collect::<Vec<_>>());
    match answer {
        Err(why) => ensure(why.contains("4.09"), &format!("the answer is {why}"))?,
        // Found later than the answer could wait for, as on a busy machine: told as a notification.
        Ok(taken) => drop(lab.stage.until("the provider is told", |s| {
            s.provider_status(taken["mid"].as_u64().unwrap_or_default())["conflict"]["cause"] == 4
        })),
    }
    ensure(lab.stage.ubus("quarantine", json!({ "mac": device_mac(EXEMPT) })).is_err(), "it can be quarantined")?;
    ensure(lab.passing(EXEMPT, TARGET) > 0, "it is blocked")
}

fn private_address(lab: &mut Lab) -> Result<(), String> {
    let target: IpAddr = "2001:db8:c000:1::f0".parse().expect("address");
    let own = format!("2001:db8:123::{:x}", 10 + PRIVATE);
    let local = |address: &str| SocketAddr::new(address.parse().expect("address"), 0);
    lab.stream(PRIVATE, local(&own), (target, 7400).into(), PRIVATE)?;
    lab.blocked(&format!("--source {own}/128 --target {target}/128 --target-port 7400 --protocol 17"), PRIVATE);
    let device = lab.stage.home.device(PRIVATE);
    for suffix in 1..=3 {
        let address = format!("2001:db8:123::aa:{suffix}");
        device.ip(&format!("addr add {address}/64 dev eth0 nodad"));
        lab.streams.push((PRIVATE, Stream::udp(device, local(&address), (target, 7400).into(), PRIVATE)));
    }
    device.ip(&format!("addr del {own}/64 dev eth0"));
    ensure(lab.passing(PRIVATE, target) == 0, "it passes with another address")?;
    lab.release(PRIVATE);
    lab.stage.until("it is free", |_| lab.passing(PRIVATE, target) > 0);
    Ok(())
}

fn new_mac(lab: &mut Lab) -> Result<(), String> {
    lab.stream(MOVED, any(21_006), (TARGET, 7500).into(), MOVED)?;
    let words = format!("--source {WAN}/32 --source-port 21006 --target {TARGET}/32 --target-port 7500 --protocol 17");
    let id = lab.blocked(&words, MOVED);
    let device = lab.stage.home.device(MOVED);
    device.ip("link set eth0 down");
    device.ip(&format!("link set eth0 address {NEW_MAC}"));
    device.ip("link set eth0 up");
    device.ip("route add default via 192.168.1.1");
    let hint = format!("{NEW_MAC} sends from {}, as {} did before", device_address(MOVED), device_mac(MOVED));
    let told = |s: &Stage| s.mitigation(id)["detail"].as_str().is_some_and(|detail| detail.contains(&hint));
    lab.stage.until("it shows, with a hint", told);
    let devices = lab.stage.mitigation(id)["devices"].clone();
    let new = devices.as_array().and_then(|all| all.iter().find(|device| device["mac"] == NEW_MAC)).cloned();
    let new = new.ok_or("it is none of the devices that may be meant")?;
    ensure(new["confidence"] == "possible" && new["chosen"] == false, "it is taken for granted")?;
    ensure(lab.passing(MOVED, TARGET) > 0, "it is blocked unasked")?;
    // The log has room for so many warnings only.
    let history = lab.stage.ubus("history", json!({})).expect("history")["events"].clone();
    let tells = |entry: &Value| entry["comment"].as_str().is_some_and(|comment| comment.contains(&hint));
    ensure(history.as_array().is_some_and(|all| all.iter().any(tells)), "the history says nothing")?;
    let approved = json!({ "id": id, "devices": [NEW_MAC] });
    lab.stage.ubus("approve", approved).map_err(|status| format!("it can't be approved: {status}"))?;
    lab.stage.until("in force", |_| lab.is_verified(id));
    ensure(lab.passing(MOVED, TARGET) == 0, "it is not blocked")?;
    lab.withdraw(id);
    Ok(())
}

fn framed(lab: &mut Lab) -> Result<(), String> {
    let (victim, villain) = (INNOCENT, NARROW);
    // The router knows the one, and the other sends from its address without answering for it.
    lab.stage.home.device(victim).says_hello();
    let device = lab.stage.home.device(villain);
    device.says_hello();
    for (what, value) in [("arp_ignore", "1"), ("arp_announce", "2")] {
        device.sysctl(&format!("ipv4/conf/all/{what}"), value);
    }
    device.ip(&format!("addr add {}/32 dev lo", device_address(victim)));
    let from = SocketAddr::from((device_address(victim), 21_007));
    lab.stream(villain, from, (TARGET, 7600).into(), villain)?;
    let words = format!("--source {WAN}/32 --source-port 21007 --target {TARGET}/32 --target-port 7600 --protocol 17");
    // Neither is sure, so the policy acts on none of them.
    lab.set_policies(&[(victim, "auto"), (villain, "auto"), (EXEMPT, "exempt")]);
    let mid = lab.request(&words);
    let id = lab.suspected(&mid, villain);
    let mitigation = lab.stage.mitigation(id);
    ensure(mitigation["state"] == "pending", &format!("nobody is asked about the other: {mitigation}"))?;
    let history = lab.stage.ubus("history", json!({})).expect("history")["events"].clone();
    let entries: Vec<_> = history.as_array().ok_or("no list")?.iter().filter(|entry| entry["id"] == id).collect();
    ensure(entries.iter().any(|entry| entry["event"] == "requested"), "the history does not tell of it")?;
    ensure(entries.iter().all(|entry| entry["event"] != "approved"), "the policy acted on one of them")?;
    lab.approve(id, "block", villain);
    lab.stage.until("the other one is blocked", |_| lab.is_verified(id));
    ensure(lab.passing(villain, TARGET) == 0, "it is not blocked")?;
    lab.set_policies(&[(EXEMPT, "exempt")]);
    lab.withdraw(id);
    lab.stage.home.device(villain).ip(&format!("addr del {}/32 dev lo", device_address(victim)));
    Ok(())
}

fn quarantine(lab: &mut Lab) -> Result<(), String> {
    let router = &lab.stage.home.router;
    let _web: Vec<TcpListener> =
        [53, 80, 443, 8443].map(|port| router.enter(|| TcpListener::bind(("::", port))).expect("socket")).into();
    let [dns, dhcp, other] = [53, 67, 5353].map(|port| router.enter(|| UdpSocket::bind(any(port))).expect("socket"));
    lab.stage.quarantine(&device_mac(CUT_OFF));
    let device = lab.stage.home.device(CUT_OFF);
    lab.stage.until("in force", |_| !lab.reaches(CUT_OFF, (ROUTER, 8443).into(), ATTEMPT));
    // Its neighbours' link addresses have to be found anew.
    device.ip("neigh flush dev eth0");
    let router6: IpAddr = "2001:db8:123::1".parse().expect("address");
    for (to, port) in [(ROUTER.into(), 53), (ROUTER.into(), 80), (ROUTER.into(), 443), (router6, 80)] {
        let reached = comes_true(|| lab.reaches(CUT_OFF, (to, port).into(), ATTEMPT));
        ensure(reached, &format!("it can't reach {to} port {port}"))?;
    }
    ensure(lab.says(CUT_OFF, &dns, ROUTER, 53), "it gets no names")?;
    ensure(lab.says(CUT_OFF, &dhcp, Ipv4Addr::BROADCAST, 67), "it gets no address")?;
    ensure(!lab.says(CUT_OFF, &other, ROUTER, 5353), "it reaches other services of the router")?;
    for (to, what) in [((router6, 8443), "another port of the router over IPv6"), ((TARGET, 7000), "the Internet")] {
        let try_it = |from, within| lab.reaches(from, to.into(), within);
        ensure(
            is_cut_off(|within| try_it(CUT_OFF, within), |within| try_it(NARROW, within)),
            &format!("it reaches {what}"),
        )?;
    }
    let (itself, neighbour) = (device_address(CUT_OFF), device_address(INNOCENT));
    for (from, to, what) in
        [(CUT_OFF, neighbour, "it reaches a neighbour"), (INNOCENT, itself, "a neighbour reaches it")]
    {
        let others = |within| lab.pings(NARROW, neighbour, within);
        ensure(is_cut_off(|within| lab.pings(from, to, within), others), what)?;
    }
    lab.release(CUT_OFF);
    // A link address that was not found is asked for again after a second.
    let free = |_| lab.pings(CUT_OFF, neighbour, ATTEMPT) && lab.reaches(CUT_OFF, (ROUTER, 8443).into(), ATTEMPT);
    ensure((0..10).any(free), "it is not free at once")
}

/// Whether an attempt fails in a time in which others succeed twice over: on a busy machine that is long.
fn is_cut_off(attempt: impl Fn(Duration) -> bool, others: impl Fn(Duration) -> bool) -> bool {
    let mut within = ATTEMPT;
    while within < PATIENCE {
        if attempt(within) {
            return false;
        }
        if others(within / 2) {
            return true;
        }
        within *= 2;
    }
    panic!("the others do not succeed either");
}

impl Lab {
    fn reaches(&self, number: usize, to: SocketAddr, within: Duration) -> bool {
        self.stage.home.device(number).enter(|| TcpStream::connect_timeout(&to, within)).is_ok()
    }

    fn pings(&self, number: usize, to: Ipv4Addr, within: Duration) -> bool {
        let within = format!("-W{}", within.as_secs_f64());
        self.stage.home.device(number).output("ping", &["-c1", &within, &to.to_string()]).status.success()
    }

    /// Whether datagrams of a device arrive; that they do not is said once many of another one have.
    fn says(&self, number: usize, socket: &UdpSocket, to: Ipv4Addr, port: u16) -> bool {
        socket.set_read_timeout(Some(Duration::from_millis(100))).expect("socket");
        let senders = [number, NARROW].map(|number| {
            let sender = self.stage.home.device(number).enter(|| UdpSocket::bind(any(0))).expect("socket");
            sender.set_broadcast(true).expect("socket");
            sender
        });
        let (start, mut heard) = (Instant::now(), [0, 0]);
        while heard[0] == 0 && heard[1] < FEW {
            assert!(start.elapsed() < PATIENCE, "nobody is heard at port {port}");
            for (who, sender) in (0..).zip(&senders) {
                let _ = sender.send_to(&[who], (to, port));
            }
            let mut who = [0];
            while socket.recv_from(&mut who).is_ok() {
                heard[usize::from(who[0])] += 1;
            }
        }
        heard[0] > 0
    }
}
