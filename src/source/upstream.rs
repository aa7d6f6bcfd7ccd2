//! Which interfaces of the router's configuration make one upstream: a provider's line is often several of them.

use std::net::IpAddr;

use ipnet::IpNet;
use vecset::VecSet;

use super::network::Network;

/// Protocols by which the router is a guest in another's network, whether that is the way out or not.
const GUEST: [&str; 10] = ["dhcp", "dhcpv6", "pppoe", "pppoa", "ppp", "qmi", "mbim", "ncm", "modemmanager", "wwan"];
/// Protocols that carry one IP version in the other over the same provider's network.
const SOFTWIRES: [&str; 4] = ["map", "dslite", "464xlat", "6rd"];
/// Protocols that lead to somebody else's network over the provider's.
const TUNNELS: [&str; 18] = [
    "6in4",
    "6to4",
    "6over4",
    "wireguard",
    "gre",
    "gretap",
    "grev6",
    "grev6tap",
    "ipip",
    "ip6ip6",
    "vti",
    "vtiv6",
    "xfrm",
    "l2tp",
    "pptp",
    "sstp",
    "openconnect",
    "vpnc",
];

/// An interface of the router's configuration, as netifd tells of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interface {
    /// Its name in the configuration, for example `wan6`.
    pub name: String,
    /// How it is set up, for example `dhcpv6`.
    pub protocol: String,
    /// Whether another interface has brought it up, rather than the configuration.
    pub dynamic: bool,
    /// The network devices it stands on, for example `pppoe-wan`.
    pub devices: Vec<String>,
    /// The network device below those, for example `eth1`.
    pub lower: Option<String>,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// Addresses that packets leaving by it are given, though they stand on no link.
    pub translated: Vec<IpAddr>,
    /// Prefixes delegated over it.
    pub prefixes: Vec<IpNet>,
    /// The routers of its default routes.
    pub gateways: Vec<IpAddr>,
    /// Whether it has a default route, with or without a router.
    pub default_route: bool,
}

impl Interface {
    /// Whether it leads out of the home.
    pub(super) fn is_outward(&self) -> bool {
        self.default_route
            || !self.gateways.is_empty()
            || !self.prefixes.is_empty()
            || GUEST.contains(&self.protocol.as_str())
            || self.is_softwire()
    }

    /// The names of all its network devices.
    pub(super) fn all_devices(&self) -> impl Iterator<Item = String> {
        self.devices.iter().chain(&self.lower).cloned()
    }

    fn is_softwire(&self) -> bool {
        SOFTWIRES.contains(&self.protocol.as_str())
    }

    fn has_ipv6(&self) -> bool {
        !self.prefixes.is_empty() || self.gateways.iter().any(IpAddr::is_ipv6)
    }

    fn shares_device(&self, other: &Self) -> bool {
        self.devices.iter().any(|device| other.devices.contains(device))
    }

    /// Whether it comes of the interface `other`: that has brought it up, and netifd has named it after that one; or it is
    /// the half for IPv6, as OpenWrt names it. A tunnel to somebody else's network is none.
    fn comes_of(&self, other: &str) -> bool {
        match self.name.strip_prefix(other) {
            Some("6") => !TUNNELS.contains(&self.protocol.as_str()),
            Some(rest) => self.dynamic && rest.starts_with('_'),
            None => false,
        }
    }

    /// Whether it is a softwire over the links of `other`.
    fn runs_over(&self, other: &Self, interfaces: &[Self], network: &Network) -> bool {
        if !self.is_softwire() || other.is_softwire() {
            return false;
        }
        let lower: VecSet<u32> = network.links_named(&self.devices).filter_map(|link| network.lower(link)).collect();
        if lower.is_empty() {
            // Over whatever there is, if that is one.
            let mut lines = interfaces.iter().filter(|line| !line.is_softwire() && line.has_ipv6());
            return other.has_ipv6() && lines.all(|line| line == other || line.shares_device(other));
        }
        network.links_named(&other.devices).any(|link| lower.contains(&link))
    }
}

/// The interfaces that make one upstream with that of this name, be that one up or down; none if netifd does not know it.
pub(super) fn group<'a>(name: &str, interfaces: &'a [Interface], network: &Network) -> Vec<&'a Interface> {
    let is_meant = |interface: &&Interface| interface.name == name || interface.comes_of(name);
    let mut group: Vec<&Interface> = interfaces.iter().filter(is_meant).collect();
    let belongs = |one: &Interface, other: &Interface| {
        one.shares_device(other) || one.comes_of(&other.name) || one.runs_over(other, interfaces, network)
    };
    let mut known = 0;
    while known < group.len() {
        known = group.len();
        let more = interfaces.iter().filter(|candidate| {
            !group.contains(candidate)
                && group.iter().any(|member| belongs(candidate, member) || belongs(member, candidate))
        });
        let more: Vec<&Interface> = more.collect();
        group.extend(more);
    }
    group
}
