//! Traffic of one kind from two devices to the victim, and who has seen how many of its packets.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::rc::Rc;

use crate::crowd::{Stream, Victim};
use crate::home::{Home, VICTIM, device_address, device_mac};
use crate::raw::{self, Sniffer};
use crate::stage::Stage;

const VICTIM6: &str = "2001:db8:c000::80";
/// The numbers of the devices.
const CULPRIT: usize = 1;
const INNOCENT: usize = 2;
/// How many packets tell that something flows.
pub const MANY: usize = 100;

/// A kind of traffic.
#[derive(Clone, Copy)]
pub struct Kind {
    pub name: &'static str,
    protocol: &'static str,
    v6: bool,
    /// The victim's; 0 for ICMP.
    port: u16,
}

/// The kinds that flow tables take.
pub const OFFLOADED: [Kind; 4] = [UDP, TCP, UDP6, TCP6];
/// All kinds.
pub const ALL: [Kind; 6] = [UDP, TCP, ICMP, UDP6, TCP6, ICMP6];

const UDP: Kind = Kind { name: "UDP, IPv4", protocol: "udp", v6: false, port: 10_001 };
const TCP: Kind = Kind { name: "TCP, IPv4", protocol: "tcp", v6: false, port: 10_002 };
const ICMP: Kind = Kind { name: "ICMP", protocol: "icmp", v6: false, port: 0 };
const UDP6: Kind = Kind { name: "UDP, IPv6", protocol: "udp", v6: true, port: 10_003 };
const TCP6: Kind = Kind { name: "TCP, IPv6", protocol: "tcp", v6: true, port: 10_004 };
const ICMP6: Kind = Kind { name: "ICMPv6", protocol: "icmpv6", v6: true, port: 0 };

impl Kind {
    /// Whether it is about ports, which tell devices apart after NAT.
    pub fn has_ports(self) -> bool {
        self.port != 0
    }

    fn target(self) -> IpAddr {
        if self.v6 { VICTIM6.parse().expect("address") } else { VICTIM.into() }
    }

    /// How many sent in vain tell that it does not flow: TCP without answers tries again ever less often.
    pub fn few(self) -> usize {
        if self.protocol == "tcp" { 1 } else { MANY }
    }

    /// Whether it goes on at once when it is let through again.
    pub fn resumes(self) -> bool {
        self.protocol != "tcp"
    }

    /// What an innocent device sends meanwhile: the same, but after NAT pings of two devices can't be told apart.
    fn of_the_innocent(self) -> Self {
        if self.protocol == "icmp" { UDP } else { self }
    }

    fn number(self) -> u8 {
        match self.protocol {
            "udp" => raw::UDP,
            "tcp" => raw::TCP,
            "icmp" => raw::ICMP,
            _ => raw::ICMPV6,
        }
    }

    /// Selects it with nft on its way to the victim.
    fn selector(self) -> String {
        let Self { protocol, port, .. } = self;
        if !self.has_ports() {
            return format!("{protocol} type echo-request");
        }
        format!("meta nfproto {} {protocol} dport {port}", if self.v6 { "ipv6" } else { "ipv4" })
    }
}

/// What both devices send, until dropped.
pub struct Traffic {
    pub culprit: Flow,
    pub innocent: Flow,
    _victim: Victim,
}

impl Traffic {
    /// Starts it and waits until the victim sees both.
    pub fn start(stage: &Stage, kind: Kind) -> Self {
        let mut victim = Victim::new();
        let sniffer = Rc::new(Sniffer::new(&stage.home.victim));
        let mut culprit = Flow::start(stage, &mut victim, &sniffer, kind, CULPRIT);
        let mut innocent = Flow::start(stage, &mut victim, &sniffer, kind.of_the_innocent(), INNOCENT);
        let table = format!("count_{}_{}", kind.number(), kind.port);
        stage.home.router.nft(&format!(
            "add table inet {table}
             delete table inet {table}
             table inet {table} {{
                 chain passing {{
                     type filter hook prerouting priority raw - 50
                     {} counter
                     {} counter
                 }}
             }}\n",
            culprit.selector(),
            innocent.selector()
        ));
        for flow in [&mut culprit, &mut innocent] {
            flow.table.clone_from(&table);
        }
        Self { culprit, innocent, _victim: victim }
    }
}

/// What one device sends.
pub struct Flow {
    pub kind: Kind,
    number: usize,
    from: SocketAddr,
    table: String,
    sniffer: Rc<Sniffer>,
    _stream: Stream,
}

impl Flow {
    fn start(stage: &Stage, victim: &mut Victim, sniffer: &Rc<Sniffer>, kind: Kind, number: usize) -> Self {
        let home = &stage.home;
        let device = home.device(number);
        let to = SocketAddr::from((kind.target(), kind.port));
        let any: IpAddr = if kind.v6 { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() };
        let stream = match kind.protocol {
            "udp" => {
                victim.listen(&home.victim, kind.port);
                Stream::udp(device, (any, 0).into(), to, number)
            }
            "tcp" => {
                victim.accept(&home.victim, kind.port);
                Stream::tcp(device, to, number)
            }
            _ => raw::stream(device, kind.number(), to.ip(), number),
        };
        let arrived = || sniffer.arrived(number, kind.number(), kind.target());
        stage.until("the victim sees it", |_| arrived().is_some());
        let from = arrived().expect("seen").from;
        Self { kind, number, from, table: String::new(), sniffer: Rc::clone(sniffer), _stream: stream }
    }

    /// Selects it with nft where it comes from the device.
    fn selector(&self) -> String {
        format!("ether saddr {} {}", device_mac(self.number), self.kind.selector())
    }

    /// Packets that have reached the victim.
    pub fn arrived(&self) -> usize {
        self.sniffer.packets(self.number, self.kind.number(), self.kind.target())
    }

    /// Packets that the router's rules have seen: none of those its flow table forwards.
    pub fn seen_by_rules(&self, home: &Home) -> usize {
        home.router.counted(&self.table)[self.number - 1]
    }

    /// What conntrack and the flow table know of it.
    pub fn entries(&self, home: &Home) -> String {
        self.conntrack(home, "-L")
    }

    /// Deletes that.
    pub fn delete(&self, home: &Home) {
        self.conntrack(home, "-D");
    }

    fn conntrack(&self, home: &Home, command: &str) -> String {
        let (port, address) = (self.kind.port.to_string(), self.address().to_string());
        let family = if self.kind.v6 { "ipv6" } else { "ipv4" };
        let mut words = vec![command, "-f", family, "-p", self.kind.protocol, "-s", &address];
        if self.kind.has_ports() {
            words.extend(["--dport", &port]);
        }
        let output = home.router.output("conntrack", &words);
        // It exits with an error where there is nothing to delete.
        assert!(command == "-D" || output.status.success(), "{output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// The device's address at home.
    fn address(&self) -> IpAddr {
        if self.kind.v6 { self.from.ip() } else { device_address(self.number).into() }
    }

    /// The device's Ethernet address.
    pub fn mac(&self) -> String {
        device_mac(self.number)
    }

    /// What the provider asks about it, as words of its program's command.
    pub fn request(&self) -> Vec<String> {
        let bits = if self.kind.v6 { 128 } else { 32 };
        let (from, to) = (format!("{}/{bits}", self.from.ip()), format!("{}/{bits}", self.kind.target()));
        let mut words = vec!["--source", &from, "--target", &to, "--protocol"];
        let number = self.kind.number().to_string();
        words.push(&number);
        let more = match self.kind.protocol {
            "icmp" => Some("8"),
            "icmpv6" => Some("128"),
            _ => None,
        };
        let ports = (self.from.port().to_string(), self.kind.port.to_string());
        match more {
            Some(kind) => words.extend(["--source-icmp-type", kind]),
            None => words.extend(["--source-port", &ports.0, "--target-port", &ports.1]),
        }
        words.into_iter().map(str::to_owned).collect()
    }
}
