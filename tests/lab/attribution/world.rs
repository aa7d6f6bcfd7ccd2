//! What a home may have besides its devices on one bridge: a second upstream, other networks, routers behind the router.
//!
//! ```text
//! devices 1–40 ── br-lan ──────┐           ┌─ wan   198.51.100.7 ── PROVIDER ─┐
//! GUEST ───────── br-guest ────┤           │                                  VICTIM
//! TAGGED, 6 ───── br-lan.10 ───┤  ROUTER  ─┤                                  │
//! attic ── device 40 ── br-lan ┘           └─ wan2  100.64.9.7 ──── SECOND ───┘
//! ```

use std::net::Ipv4Addr;
use std::process::Child;

use crate::attribution::cases::{GUEST, INNER, TAGGED};
use crate::credentials::{PROVIDER_NAME, ROUTER_NAME};
use crate::home::{VICTIM, device_address, device_mac, link};
use crate::host::Host;
use crate::stage::{PORT, Stage};

/// The router's address on its second upstream: a shared one, which that provider translates once more further out.
pub const WAN2: Ipv4Addr = Ipv4Addr::new(100, 64, 9, 7);
/// The second provider's address towards the router.
const SECOND: Ipv4Addr = Ipv4Addr::new(100, 64, 9, 1);
const SECOND_NAME: &str = "callhome.second.example";

/// As multi-WAN packages do it: marks choose the upstream. Here it is the source port.
const CHOICE: &str = "
table inet choice {
    chain prerouting {
        type filter hook prerouting priority mangle; policy accept;
        iifname \"br-lan\" meta l4proto { tcp, udp } th sport 30000-30999 meta mark set 2 ct mark set 2
    }
    chain srcnat {
        type nat hook postrouting priority srcnat - 1; policy accept;
        meta nfproto ipv4 oifname \"wan2\" masquerade
        oifname \"wan\" udp sport 41500 masquerade to :30500
    }
}
";

/// A port forwarded to device 5, also for those inside; whoever is asked for 192.0.2.50 is given the victim; device 39 has
/// a conntrack zone of its own, and device 37 one for what it sends.
const TRANSLATIONS: &str = "
table ip translations {
    chain in {
        type nat hook prerouting priority dstnat; policy accept;
        ip daddr 198.51.100.7 udp dport 1900 dnat to 192.168.1.15
        ip daddr 192.0.2.50 dnat to 203.0.113.80
    }
    chain hairpin {
        type nat hook postrouting priority srcnat - 1; policy accept;
        iifname \"br-lan\" oifname \"br-lan\" ip daddr 192.168.1.15 masquerade
    }
    chain zones {
        type filter hook prerouting priority raw; policy accept;
        ip saddr 192.168.1.49 ct zone set 7
        ip saddr 192.168.1.47 ct original zone set 8
    }
}
";

/// All of it.
pub struct World {
    _second: Host,
    client: Child,
    pub guest: Host,
    pub tagged: Host,
    pub trunk: Host,
    pub attic: Host,
}

impl World {
    /// Built around a stage that is prepared but not started; starts it.
    pub fn new(stage: &mut Stage, globals: &str) -> Self {
        let router = &stage.home.router;
        let second = upstream(stage);
        let guest = network(router, "br-guest", 2);
        let lan10 = network(router, "br-lan.10", 10);
        // All VLANs of a bridge have its address. That is all that a VLAN is to the daemon: a link of its own.
        for bridge in ["br-lan", "br-lan.10"] {
            router.ip(&format!("link set {bridge} address 02:00:00:ff:00:01"));
        }
        let world = Self {
            client: stage.serve(&second, SECOND, "second"),
            _second: second,
            // In each network the device with the number of device 5.
            guest: guest.device(router, GUEST, 15),
            tagged: lan10.device(router, TAGGED, 15),
            // A machine with a leg in two networks, both with the same Ethernet address.
            trunk: lan10.device(router, 6, 16),
            attic: attic(stage),
        };
        stage.home.router.nft(TRANSLATIONS);
        stage.configure(globals, "", &sections(stage));
        stage.start_bus();
        stage.start_client();
        stage.start_daemon();
        let connected = |s: &Stage| s.log().matches("connected to").count() == 2;
        stage.until("both sessions are up", connected);
        world
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = self.client.kill();
        let _ = self.client.wait();
    }
}

/// The configuration's sections of the second peer and of the router inside.
pub fn sections(stage: &Stage) -> String {
    let at = |name: &str| stage.file(name).display().to_string();
    format!(
        "config peer 'second'\n\toption name '{SECOND_NAME}'\n\tlist address '{SECOND}'\n\toption port '{PORT}'\n\
         \toption transport 'tls'\n\toption ca '{}'\n\toption certificate '{}'\n\toption key '{}'\n\
         \toption interface 'wan2'\n\
         config device\n\toption mac '{}'\n\toption name 'Loft'\n",
        at("ca.pem"),
        at("router.pem"),
        at("router.key"),
        device_mac(INNER)
    )
}

fn upstream(stage: &Stage) -> Host {
    let authority = stage.other_authority();
    for (name, host) in [("provider", PROVIDER_NAME), ("router", ROUTER_NAME), ("second", SECOND_NAME)] {
        authority.issue(name, host);
    }
    std::fs::create_dir_all(stage.file("second")).expect("directory");
    let (router, victim, second) = (&stage.home.router, &stage.home.victim, Host::new("second"));
    link(router, "wan2", &second, "edge");
    link(&second, "out", victim, "net1");
    for (host, device, address) in [
        (router, "wan2", "100.64.9.7/24"),
        (&second, "edge", "100.64.9.1/24"),
        (&second, "out", "192.0.2.1/24"),
        (victim, "net1", "192.0.2.80/24"),
    ] {
        host.ip(&format!("addr add {address} dev {device}"));
    }
    second.sysctl("ipv4/ip_forward", "1");
    second.ip(&format!("route add {VICTIM}/32 via 192.0.2.80"));
    victim.ip("route add 100.64.9.0/24 via 192.0.2.1");
    router.ip("route add default via 100.64.9.1 metric 20");
    router.ip("route add default via 100.64.9.1 table 2");
    router.ip("rule add fwmark 2 lookup 2");
    router.nft(CHOICE);
    second
}

/// A network of the home besides the first, `192.168.N.0/24`.
struct Network {
    bridge: &'static str,
    number: u8,
}

fn network(router: &Host, bridge: &'static str, number: u8) -> Network {
    router.ip(&format!("link add {bridge} type bridge"));
    router.ip(&format!("link set {bridge} up"));
    router.ip(&format!("addr add 192.168.{number}.1/24 dev {bridge}"));
    Network { bridge, number }
}

impl Network {
    fn device(&self, router: &Host, number: usize, last: u8) -> Host {
        let (host, port) = (Host::new("device"), format!("net{}.{last}", self.number));
        link(router, &port, &host, "eth0");
        router.ip(&format!("link set {port} master {}", self.bridge));
        host.ip("link set eth0 down");
        host.ip(&format!("link set eth0 address {}", device_mac(number)));
        host.ip("link set eth0 up");
        host.ip(&format!("addr add 192.168.{}.{last}/24 dev eth0", self.number));
        host.ip(&format!("route add default via 192.168.{}.1", self.number));
        host
    }
}

/// A device behind another router of the home.
fn attic(stage: &Stage) -> Host {
    let (inner, attic) = (stage.home.device(INNER), Host::new("attic"));
    link(inner, "attic1", &attic, "eth0");
    inner.ip("addr add 192.168.50.1/24 dev attic1");
    inner.sysctl("ipv4/ip_forward", "1");
    attic.ip("addr add 192.168.50.20/24 dev eth0");
    attic.ip("route add default via 192.168.50.1");
    stage.home.router.ip(&format!("route add 192.168.50.0/24 via {}", device_address(INNER)));
    attic
}
