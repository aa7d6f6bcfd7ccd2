//! A kernel to test against: its tables, its answers, its events, and time that passes only when told.

mod asked;
pub mod messages;
pub mod noted;
pub mod table;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use dots_callhome::model::{Detail, Flow, Mac, MitigationId, Now, PortRange, Scope, Traffic, Tuple};
use dots_callhome::source::{Confidence, Sender, Suspect};
use dots_callhome::source::{Event, Finder, Socket};
pub use messages::Route;
use noted::Noted;
use vecset::VecSet;

use asked::{Partial, decode};

pub const LAN: u32 = 2;
pub const WAN: u32 = 3;
pub const GUEST: u32 = 4;
pub const SECOND: u32 = 5;

pub const WAN_ADDRESS: &str = "198.51.100.7";
pub const SECOND_ADDRESS: &str = "192.0.2.99";
pub const VICTIM: &str = "203.0.113.80";
pub const VICTIM6: &str = "2001:db8:c000::80";

pub fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub fn ports(source: u16, destination: u16) -> Detail {
    Detail::Ports { source, destination }
}

pub fn tuple(source: &str, destination: &str, protocol: u8, detail: Detail) -> Tuple {
    Tuple { source: ip(source), destination: ip(destination), protocol, detail, zone: 0 }
}

/// Device number `n`: `02:00:00:00:00:n`, `192.168.1.n`, `2001:db8:123::n` (hexadecimal), on the LAN bridge.
pub fn mac(n: u8) -> Mac {
    Mac([2, 0, 0, 0, 0, n])
}

pub fn v4(n: u8) -> String {
    format!("192.168.1.{n}")
}

pub fn v6(n: u8) -> String {
    format!("2001:db8:123::{n:x}")
}

/// A link of the router.
pub struct Link {
    pub name: &'static str,
    pub mac: [u8; 6],
}

/// The tables, and how fast each flow sends.
pub struct Kernel {
    pub flows: Vec<Flow>,
    /// Packets a second of 100 bytes, by the flow's number: sent, answered.
    pub rates: BTreeMap<u32, (u64, u64)>,
    pub links: BTreeMap<u32, Link>,
    pub addresses: Vec<(u32, IpAddr, u8)>,
    pub routes: Vec<Route>,
    pub neighbours: BTreeMap<(IpAddr, u32), Mac>,
    /// Who would answer if asked for; and how often the finder had somebody asked for.
    pub silent: BTreeMap<(IpAddr, u32), Mac>,
    pub asked_for: usize,
    /// How many lists and single entries of conntrack have been asked for.
    pub lists: usize,
    pub lookups: usize,
    /// Whether lists of conntrack fail with this errno.
    pub list_error: Option<i32>,
    /// Whether lists with a filter fail with this errno.
    pub filter_error: Option<i32>,
    /// Whether accounting is on.
    pub accounting: bool,
    /// The table of senders, and whether nft fails to make or change it.
    pub noted: Option<Noted>,
    pub nft_fails: bool,
    /// How often one of its sets has been read.
    pub table_reads: usize,
    /// On which port of the bridge addresses have been seen.
    pub stations: BTreeMap<Mac, u32>,
}

impl Kernel {
    /// A home with a LAN, a guest network and one upstream.
    pub fn new() -> Self {
        let link = |name, last| Link { name, mac: [2, 0xff, 0, 0, 0, last] };
        let mut kernel = Self {
            flows: Vec::new(),
            rates: BTreeMap::new(),
            links: [(1, link("lo", 0)), (LAN, link("br-lan", 1)), (WAN, link("wan", 2)), (GUEST, link("br-guest", 3))]
                .into(),
            addresses: Vec::new(),
            routes: vec![
                Route::new("0.0.0.0/0", Some("198.51.100.1"), WAN),
                Route::new("::/0", Some("fe80::1"), WAN),
                Route::new("192.168.1.0/24", None, LAN),
            ],
            neighbours: BTreeMap::new(),
            silent: BTreeMap::new(),
            asked_for: 0,
            lists: 0,
            lookups: 0,
            list_error: None,
            filter_error: None,
            accounting: true,
            noted: None,
            nft_fails: false,
            table_reads: 0,
            stations: BTreeMap::new(),
        };
        for (link, address, length) in [
            (1, "127.0.0.1", 8),
            (LAN, "192.168.1.1", 24),
            (LAN, "2001:db8:123::1", 64),
            (LAN, "fd00:1::1", 64),
            (LAN, "fe80::1", 64),
            (GUEST, "192.168.2.1", 24),
            (WAN, WAN_ADDRESS, 24),
            (WAN, "2001:db8:1::7", 64),
            (WAN, "fe80::7", 64),
        ] {
            kernel.addresses.push((link, ip(address), length));
        }
        // The provider's router is a neighbour, too, but no device.
        kernel.neighbours.insert((ip("198.51.100.1"), WAN), Mac([2, 0xee, 0, 0, 0, 1]));
        kernel
    }

    /// A second upstream, with a prefix of its own.
    pub fn add_second_upstream(&mut self) {
        self.links.insert(SECOND, Link { name: "wan2", mac: [2, 0xff, 0, 0, 0, 4] });
        self.addresses.push((SECOND, ip(SECOND_ADDRESS), 24));
        let default = Route { metric: 10, ..Route::new("0.0.0.0/0", Some("192.0.2.1"), SECOND) };
        self.routes.push(default);
    }

    pub fn answer(&mut self, socket: Socket, request: &[u8]) -> Vec<Vec<u8>> {
        let number = |at: usize| u32::from_ne_bytes(request[at..at + 4].try_into().unwrap());
        let kind = u16::from_ne_bytes(request[4..6].try_into().unwrap());
        let dump = u16::from_ne_bytes(request[6..8].try_into().unwrap()) & 0x300 == 0x300;
        let sequence = number(8);
        match (socket, kind) {
            (Socket::Conntrack, 0x101) if dump => self.list_flows(&request[16..], sequence),
            (Socket::Conntrack, 0x101) => self.look_up(&request[16..], sequence),
            (Socket::Route, 30) if request[16] == 7 => self.list_stations(sequence),
            (Socket::Route, 18 | 22 | 26 | 30) => self.list_network(kind, sequence),
            (Socket::Route, 28) => self.ask_for(&request[16..]),
            (Socket::Senders, _) => {
                self.table_reads += usize::from(kind == 0xa0d);
                noted::answer(self.noted.as_ref(), kind, &request[20..], sequence)
            }
            other => panic!("asked for {other:?}"),
        }
    }

    /// Whoever has an address opens a flow from it; behind another router that router does.
    fn note_honestly(&mut self, address: IpAddr) {
        let mac_of =
            |address: IpAddr| [LAN, GUEST].iter().find_map(|l| Some((*self.neighbours.get(&(address, *l))?, *l)));
        let route = self.routes.iter().find(|route| route.to.prefix_len() > 0 && route.to.contains(&address));
        let next = route.and_then(|route| route.gateway).unwrap_or(address);
        if let (Some((mac, link)), Some(noted)) = (mac_of(next), &mut self.noted)
            && !self.addresses.iter().any(|(_, own, _)| *own == address)
        {
            noted.note(Sender { mac, address, link });
        }
    }

    fn list_stations(&self, sequence: u32) -> Vec<Vec<u8>> {
        let stations = self.stations.iter();
        let mut answers: Vec<_> = stations.map(|(mac, port)| messages::station(sequence, *port, LAN, mac.0)).collect();
        answers.push(messages::done(sequence));
        answers
    }

    fn list_network(&self, kind: u16, sequence: u32) -> Vec<Vec<u8>> {
        let mut answers: Vec<Vec<u8>> = match kind {
            18 => self.links.iter().map(|(i, link)| messages::link(16, sequence, *i, link.name, link.mac)).collect(),
            22 => {
                self.addresses.iter().map(|(i, a, length)| messages::address(20, sequence, *i, *a, *length)).collect()
            }
            26 => self.routes.iter().map(|route| messages::route(24, 2, sequence, route)).collect(),
            _ => self
                .neighbours
                .iter()
                .map(|((a, link), mac)| messages::neighbour(28, sequence, *link, *a, 4, Some(mac.0)))
                .collect(),
        };
        answers.push(messages::done(sequence));
        // Several messages in a datagram, as the kernel does.
        answers.chunks(3).map(<[Vec<u8>]>::concat).collect()
    }

    /// What `ip neigh add … use` asks.
    fn ask_for(&mut self, body: &[u8]) -> Vec<Vec<u8>> {
        self.asked_for += 1;
        assert_eq!(body[8..12], [0, 0, 1, 0], "state, NTF_USE, type");
        let address = match body[0] {
            2 => IpAddr::from(<[u8; 4]>::try_from(&body[16..]).unwrap()),
            _ => IpAddr::from(<[u8; 16]>::try_from(&body[16..]).unwrap()),
        };
        let link = u32::from_ne_bytes(body[4..8].try_into().unwrap());
        let Some(mac) = self.silent.remove(&(address, link)) else { return Vec::new() };
        self.neighbours.insert((address, link), mac);
        vec![messages::neighbour(28, 0, link, address, 2, Some(mac.0))]
    }

    fn told(&self, flow: &Flow) -> Flow {
        if self.accounting { *flow } else { Flow { sent: None, answered: None, ..*flow } }
    }

    fn look_up(&mut self, body: &[u8], sequence: u32) -> Vec<Vec<u8>> {
        self.lookups += 1;
        let (tuples, _) = decode(body);
        let wanted = tuples.into_iter().flatten().next().unwrap();
        // A lookup finds an entry by either direction.
        let same = |tuple: &Tuple| wanted.matches(tuple, u32::MAX);
        match self.flows.iter().find(|flow| same(&flow.original) || same(&flow.reply)) {
            Some(flow) => {
                vec![messages::flow(0x100, 2, sequence, &self.told(flow)), messages::error(0, sequence)]
            }
            None => vec![messages::error(2, sequence)],
        }
    }

    fn list_flows(&mut self, body: &[u8], sequence: u32) -> Vec<Vec<u8>> {
        self.lists += 1;
        if let Some(errno) = self.list_error.or(self.filter_error.filter(|_| body.len() > 4)) {
            return vec![messages::error(errno, sequence)];
        }
        let ([original, reply], [original_flags, reply_flags]) = decode(body);
        let v4 = body[0] == 2;
        let passes = |flow: &&Flow| {
            let side = |wanted: &Option<Partial>, flags: Option<u32>, tuple: &Tuple| {
                flags.is_none_or(|flags| wanted.as_ref().unwrap().matches(tuple, flags))
            };
            flow.original.source.is_ipv4() == v4
                && side(&original, original_flags, &flow.original)
                && side(&reply, reply_flags, &flow.reply)
        };
        let mut answers: Vec<Vec<u8>> =
            self.flows.iter().filter(passes).map(|flow| messages::flow(0x100, 2, sequence, &self.told(flow))).collect();
        answers.push(messages::done(sequence));
        answers.chunks(40).map(<[Vec<u8>]>::concat).collect()
    }
}

/// The kernel, the finder on it, and the time.
pub struct House {
    pub kernel: Kernel,
    pub finder: Finder,
    pub now: Now,
    /// What has been found, in order.
    pub found: Vec<(MitigationId, Vec<Suspect>)>,
    /// In whose name others have been seen to send, and whether it was seen to as well.
    pub framed: Vec<(MitigationId, Mac, bool)>,
    pub router: VecSet<Mac>,
    pub domain_changes: usize,
    pub inventory_changes: usize,
    /// Whether events of conntrack get lost.
    pub deaf: bool,
    /// Texts given to nft.
    pub nft_runs: Vec<String>,
    start: Now,
    next: u32,
}

impl House {
    /// A house with devices 11 to 10+n on the LAN, whose finder has looked around.
    pub fn new(devices: u8) -> Self {
        let mut kernel = Kernel::new();
        for n in 11..11 + devices {
            kernel.neighbours.insert((ip(&v4(n)), LAN), mac(n));
            kernel.neighbours.insert((ip(&v6(n)), LAN), mac(n));
        }
        Self::of(kernel)
    }

    /// A table of senders that stands already is an old one.
    pub fn of(mut kernel: Kernel) -> Self {
        kernel.noted.iter_mut().for_each(|noted| noted.young = false);
        let now = Now { instant: Instant::now(), unix: 1_800_000_000 };
        let next = kernel.flows.iter().map(|flow| flow.id + 1).max().unwrap_or(1);
        let mut house = Self {
            kernel,
            finder: Finder::new(),
            now,
            found: Vec::new(),
            framed: Vec::new(),
            router: VecSet::new(),
            domain_changes: 0,
            inventory_changes: 0,
            deaf: false,
            nft_runs: Vec::new(),
            start: now,
            next,
        };
        house.run();
        (house.kernel.lists, house.kernel.lookups) = (0, 0);
        house
    }

    /// Somebody is seen to send what a search is about, with an address that may be another's.
    pub fn witness(&mut self, id: u32, sender: Mac, address: &str, link: u32) {
        let sender = Sender { mac: sender, address: ip(address), link };
        self.finder.handle_senders(MitigationId(id), &[sender], self.now);
        self.run();
    }

    /// Lets the finder and the kernel talk until nothing is left to say.
    pub fn run(&mut self) {
        let mut rounds = 0;
        loop {
            while let Some((socket, request)) = self.finder.poll_transmit() {
                for datagram in self.kernel.answer(socket, &request) {
                    self.finder.handle_datagram(socket, &datagram, self.now);
                }
                rounds += 1;
                assert!(rounds < 100_000, "the finder never stops asking");
            }
            let Some(text) = self.finder.poll_ruleset() else { break };
            let done = !self.kernel.nft_fails && Noted::apply(&mut self.kernel.noted, &text).is_ok();
            self.nft_runs.push(text);
            self.finder.handle_nft(done, self.now);
        }
        while let Some(event) = self.finder.poll_event() {
            match event {
                Event::Found { id, suspects } => self.found.push((id, suspects)),
                Event::Spoofed { id, mac, sends } => self.framed.push((id, mac, sends)),
                Event::DomainChanged => self.domain_changes += 1,
                Event::InventoryChanged => self.inventory_changes += 1,
                Event::RouterAddresses(addresses) => self.router = addresses,
            }
        }
    }

    /// Lets time pass: flows send, timers are due.
    pub fn pass(&mut self, time: Duration) {
        let end = self.now.instant + time;
        let mut rounds = 0;
        loop {
            let next = self.finder.poll_timeout().filter(|due| *due <= end).unwrap_or(end).max(self.now.instant);
            let passed = next - self.now.instant;
            self.send(passed);
            self.now = self.start.after(next - self.start.instant);
            let due = self.finder.poll_timeout().is_some_and(|due| due <= self.now.instant);
            if due {
                self.finder.handle_timeout(self.now);
                self.run();
                rounds += 1;
                assert!(rounds < 10_000, "the finder never rests");
            } else if next == end {
                return;
            }
        }
    }

    fn send(&mut self, passed: Duration) {
        for flow in &mut self.kernel.flows {
            let Some((sent, answered)) = self.kernel.rates.get(&flow.id) else { continue };
            for (traffic, rate) in [(&mut flow.sent, sent), (&mut flow.answered, answered)] {
                let traffic = traffic.as_mut().unwrap();
                let packets = (*rate as f64 * passed.as_secs_f64()) as u64;
                traffic.packets += packets;
                traffic.bytes += packets * 100;
            }
        }
    }

    /// A flow that exists before anybody asks, sending so many packets a second. Returns its number.
    pub fn flow(&mut self, original: Tuple, reply: Tuple, pps: u64) -> u32 {
        [original.source, reply.source].into_iter().for_each(|address| self.kernel.note_honestly(address));
        self.borrowed_flow(original, reply, pps)
    }

    /// A flow of which the table of senders has noted nothing by itself.
    pub fn borrowed_flow(&mut self, original: Tuple, reply: Tuple, pps: u64) -> u32 {
        let id = self.next;
        self.next += 1;
        let sent = Some(Traffic { packets: 10, bytes: 1000 });
        let answered = Some(Traffic { packets: 0, bytes: 0 });
        self.kernel.flows.push(Flow { id, original, reply, sent, answered });
        self.kernel.rates.insert(id, (pps, 0));
        id
    }

    /// A flow from a device through the NAT to port `to` of the victim.
    pub fn translated(&mut self, device: u8, protocol: u8, from: u16, seen: u16, to: u16, pps: u64) -> u32 {
        self.translated_from(&v4(device), protocol, from, seen, to, pps)
    }

    /// The same from any address.
    pub fn translated_from(&mut self, from: &str, protocol: u8, port: u16, seen: u16, to: u16, pps: u64) -> u32 {
        let original = tuple(from, VICTIM, protocol, ports(port, to));
        self.flow(original, tuple(VICTIM, WAN_ADDRESS, protocol, ports(to, seen)), pps)
    }

    /// The table of senders notes that somebody opens flows from an address.
    pub fn opens(&mut self, mac: Mac, address: &str, link: u32) {
        let sender = Sender { mac, address: ip(address), link };
        self.kernel.noted.as_mut().expect("the table").note(sender);
    }

    /// A flow over IPv6.
    pub fn untranslated(&mut self, address: &str, protocol: u8, from: u16, to: u16, pps: u64) -> u32 {
        let original = tuple(address, VICTIM6, protocol, ports(from, to));
        self.flow(original, tuple(VICTIM6, address, protocol, ports(to, from)), pps)
    }

    /// The kernel tells that the flow has been opened.
    pub fn announce(&mut self, id: u32) {
        let flow = *self.kernel.flows.iter().find(|flow| flow.id == id).unwrap();
        let message = messages::flow(0x100, 0x600, 0, &Flow { sent: None, answered: None, ..flow });
        self.event(Socket::ConntrackEvents, &message);
    }

    /// The flow ends, and the kernel tells.
    pub fn end(&mut self, id: u32) {
        let at = self.kernel.flows.iter().position(|flow| flow.id == id).unwrap();
        let flow = self.kernel.flows.remove(at);
        let message = messages::flow(0x102, 0, 0, &self.kernel.told(&flow));
        self.event(Socket::ConntrackEvents, &message);
    }

    /// A neighbour appears, changes or (without an Ethernet address) is lost, and the kernel tells.
    pub fn neighbour(&mut self, address: &str, link: u32, mac: Option<Mac>) {
        let (address, state) = (ip(address), if mac.is_some() { 2 } else { 32 });
        match mac {
            Some(mac) => self.kernel.neighbours.insert((address, link), mac),
            None => self.kernel.neighbours.remove(&(address, link)),
        };
        let message = messages::neighbour(28, 0, link, address, state, mac.map(|mac| mac.0));
        self.event(Socket::RouteEvents, &message);
    }

    pub fn event(&mut self, socket: Socket, datagram: &[u8]) {
        if !(self.deaf && socket == Socket::ConntrackEvents) {
            self.finder.handle_datagram(socket, datagram, self.now);
        }
        self.run();
    }

    /// The bridge sees an address on one of its ports.
    pub fn station(&mut self, mac: Mac, port: u32) {
        self.kernel.stations.insert(mac, port);
        self.event(Socket::RouteEvents, &messages::station(0, port, LAN, mac.0));
    }

    /// The kernel tells that somebody has changed the table of senders.
    pub fn tables_changed(&mut self) {
        let name = [1, 0, 0, 1].into_iter().chain(messages::attribute(1, b"dots_callhome_senders\0"));
        let deleted = messages::message(0xa02, 0, 0, &name.collect::<Vec<u8>>());
        self.finder.handle_tables(&deleted, self.now);
        self.run();
    }

    pub fn overrun(&mut self, socket: Socket) {
        self.finder.handle_overrun(socket, self.now);
        self.run();
    }

    /// Begins a search.
    pub fn search(&mut self, id: u32, scope: &Scope) {
        self.finder.start_search(MitigationId(id), scope, self.now);
        self.run();
    }

    /// What has been said last of a search.
    pub fn last(&self, id: u32) -> Option<&[Suspect]> {
        self.found.iter().rev().find(|(found, _)| *found == MitigationId(id)).map(|(_, suspects)| suspects.as_slice())
    }

    /// Everybody who has ever been said to be surely meant.
    pub fn ever_sure(&self, id: u32) -> Vec<(Mac, Confidence)> {
        let said = self.found.iter().filter(|(found, _)| *found == MitigationId(id)).flat_map(|(_, suspects)| suspects);
        let sure = said.filter(|suspect| suspect.confidence > Confidence::Possible);
        sure.map(|suspect| (suspect.mac, suspect.confidence)).collect()
    }

    /// The same of what has been said last, in short.
    pub fn verdict(&self, id: u32) -> Vec<(Mac, Confidence)> {
        let last = self.last(id).expect("nothing has been said");
        last.iter().map(|suspect| (suspect.mac, suspect.confidence)).collect()
    }
}

/// A request in short: `source source-ports > target target-ports / protocols`, ports and protocols comma separated or
/// left out with `-`.
pub fn scope(text: &str) -> Scope {
    let words: Vec<&str> = text.split_whitespace().filter(|word| !matches!(*word, ">" | "/")).collect();
    let [source, from, target, to, protocols] = words[..] else { panic!("{text}") };
    let list = |word: &str| -> Vec<String> { word.split(',').filter(|w| *w != "-").map(str::to_owned).collect() };
    let ranges = |word: &str| {
        let range = |text: &String| {
            let (lower, upper) = text.split_once('-').unwrap_or((text, text));
            PortRange::new(lower.parse().unwrap(), upper.parse().unwrap()).unwrap()
        };
        list(word).iter().map(range).collect::<Vec<_>>()
    };
    let prefixes = |word: &str| list(word).iter().map(|text| net(text)).collect::<Vec<_>>();
    Scope {
        source_prefixes: prefixes(source),
        source_ports: ranges(from),
        target_prefixes: prefixes(target),
        target_ports: ranges(to),
        target_protocols: list(protocols).iter().map(|text| text.parse().unwrap()).collect(),
        ..Scope::default()
    }
}

/// A prefix, or an address alone.
pub fn net(text: &str) -> ipnet::IpNet {
    text.parse().or_else(|_| text.parse::<IpAddr>().map(Into::into)).unwrap()
}
