//! A home and its provider: devices on a bridge, the router with masquerading NAT, the provider, a victim.
//!
//! ```text
//! device 1 ─┐
//! device 2 ─┤ br-lan  ROUTER  wan ──── PROVIDER ──── VICTIM
//! …        ─┘ 192.168.1.1   198.51.100.7  .1    203.0.113.1  .80
//! ```

use std::net::Ipv4Addr;

use crate::host::Host;

/// The router's address towards the provider.
pub const WAN: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);
/// The provider's address towards the router.
pub const PROVIDER: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);
/// Whom the flood hits.
pub const VICTIM: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 80);

/// What fw4 does for us on a router, as far as it matters here.
const NAT: &str = "
table inet fw4 {
    chain forward { type filter hook forward priority filter; policy accept; }
    chain srcnat {
        type nat hook postrouting priority srcnat; policy accept;
        meta nfproto ipv4 oifname \"wan\" masquerade
    }
}
";

/// The whole world of one scenario.
pub struct Home {
    /// The home router.
    pub router: Host,
    /// The provider's edge, also the way to the victim.
    pub provider: Host,
    /// The attacked host.
    pub victim: Host,
    /// The devices in the home; the first is number 1.
    devices: Vec<Host>,
}

impl Home {
    /// A home with as many devices, all up and forwarding.
    pub fn new(devices: usize) -> Self {
        let (router, provider, victim) = (Host::new("router"), Host::new("provider"), Host::new("victim"));
        link(&router, "wan", &provider, "edge");
        link(&provider, "out", &victim, "net0");
        for (host, device, address) in [
            (&router, "wan", "198.51.100.7/24"),
            (&provider, "edge", "198.51.100.1/24"),
            (&provider, "out", "203.0.113.1/24"),
            (&victim, "net0", "203.0.113.80/24"),
            (&router, "wan", "2001:db8:1::7/64"),
            (&provider, "edge", "2001:db8:1::1/64"),
            (&provider, "out", "2001:db8:c000::1/64"),
            (&victim, "net0", "2001:db8:c000::80/64"),
        ] {
            host.ip(&format!("addr add {address} dev {device}{}", if address.contains(':') { " nodad" } else { "" }));
        }
        victim.ip("route add default via 203.0.113.1");
        victim.ip("-6 route add default via 2001:db8:c000::1");
        router.ip("route add default via 198.51.100.1");
        router.ip("-6 route add default via 2001:db8:1::1");
        provider.ip("-6 route add 2001:db8:123::/48 via 2001:db8:1::7");
        for host in [&router, &provider] {
            host.sysctl("ipv4/ip_forward", "1");
            host.sysctl("ipv6/conf/all/forwarding", "1");
        }
        router.sysctl("netfilter/nf_conntrack_acct", "1");
        router.ip("link add br-lan type bridge");
        router.ip("link set br-lan up");
        router.ip("addr add 192.168.1.1/24 dev br-lan");
        router.ip("addr add 2001:db8:123::1/64 dev br-lan nodad");
        router.nft(NAT);
        let mut home = Self { router, provider, victim, devices: Vec::new() };
        for _ in 0..devices {
            home.add_device();
        }
        home
    }

    /// The device of that number, counted from 1.
    pub fn device(&self, number: usize) -> &Host {
        &self.devices[number - 1]
    }

    /// One more device on the bridge: `192.168.1.(10+n)`, `2001:db8:123::(10+n)`, MAC `02:00:00:00:00:(10+n)` in hexadecimal.
    fn add_device(&mut self) {
        let number = self.devices.len() + 1;
        let host = Host::new("device");
        let port = format!("lan{number}");
        link(&self.router, &port, &host, "eth0");
        self.router.ip(&format!("link set {port} master br-lan"));
        host.ip("link set eth0 down");
        host.ip(&format!("link set eth0 address {}", device_mac(number)));
        host.ip("link set eth0 up");
        host.ip(&format!("addr add {}/24 dev eth0", device_address(number)));
        host.ip(&format!("addr add 2001:db8:123::{:x}/64 dev eth0 nodad", 10 + number));
        host.ip("route add default via 192.168.1.1");
        host.ip("-6 route add default via 2001:db8:123::1");
        self.devices.push(host);
    }
}

/// The IPv4 address of a device.
pub fn device_address(number: usize) -> Ipv4Addr {
    Ipv4Addr::new(192, 168, 1, u8::try_from(10 + number).expect("at most 240 devices"))
}

/// The Ethernet address of a device, as text.
pub fn device_mac(number: usize) -> String {
    format!("02:00:00:00:00:{:02x}", 10 + number)
}

/// A cable between two hosts, both ends up.
pub fn link(left: &Host, left_name: &str, right: &Host, right_name: &str) {
    left.ip(&format!("link add {left_name} type veth peer name {right_name} netns {}", right.pid()));
    left.ip(&format!("link set {left_name} up"));
    right.ip(&format!("link set {right_name} up"));
}
