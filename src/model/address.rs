//! Kinds of addresses, for all rooms.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// Whether an address means nothing beyond its link.
pub(crate) fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    }
}

/// Whether nobody outside a network can have seen packets of these addresses.
pub(crate) fn is_internal(prefix: &IpNet) -> bool {
    [prefix.network(), prefix.broadcast()].into_iter().all(|address| match address {
        IpAddr::V4(v4) => v4.is_private() || v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unique_local() || v6.is_unicast_link_local(),
    })
}

/// Whether anybody beyond the link can see the address of `net`. Private and shared IPv4 addresses count: the provider may
/// be the one who translates them (RFC 9066 section 5.3.2).
pub(crate) fn is_visible(net: &IpNet) -> bool {
    let address = net.addr();
    let unique_local = matches!(address, IpAddr::V6(v6) if v6.is_unique_local());
    !is_link_local(address) && !unique_local && !address.is_loopback() && !address.is_unspecified()
}

/// Whether hosts outside the home can see the address of `net` without translation.
pub(crate) fn is_global(net: &IpNet) -> bool {
    let translated = match net.addr() {
        IpAddr::V4(address) => {
            let [first, second, ..] = address.octets();
            address.is_private() || (first == 100 && second & 0xc0 == 64)
        }
        IpAddr::V6(_) => false,
    };
    !translated && is_visible(net)
}

/// Whether a connection to this address makes sense. A link-local IPv6 address means nothing without its scope.
pub(crate) fn is_callable(address: &IpAddr) -> bool {
    let is_special = match address {
        IpAddr::V4(v4) => *v4 == Ipv4Addr::BROADCAST,
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    !is_special && !address.is_unspecified() && !address.is_multicast()
}

/// Whether each address of a prefix stands for one of IPv4 that a translator carries packets to: by the well-known prefix
/// 64:ff9b::/96 (RFC 6052), or one of the network's own in 64:ff9b:1::/48 (RFC 8215).
pub(crate) fn is_translated(prefix: &Ipv6Net) -> bool {
    prefix.prefix_len() >= 48 && matches!(prefix.network().segments(), [0x64, 0xff9b, 0 | 1, ..])
}

/// The IPv4 prefix that an IPv6 one stands for by the well-known prefix, or the prefix itself.
pub(crate) fn untranslated(prefix: &IpNet) -> IpNet {
    let v4 = |v6: &Ipv6Net| {
        let length = v6.prefix_len().checked_sub(96)?;
        let [0x64, 0xff9b, 0, 0, 0, 0, ..] = v6.network().segments() else { return None };
        let [.., a, b, c, d] = v6.network().octets();
        Ipv4Net::new([a, b, c, d].into(), length).ok()
    };
    match prefix {
        IpNet::V6(v6) => v4(v6).map_or(*prefix, IpNet::V4),
        IpNet::V4(_) => *prefix,
    }
}

/// The kind of addresses in a prefix that no attack comes from or goes to: `loopback`, `multicast`, `broadcast`, or
/// `IPv4-mapped`, which stand for those of IPv4 in programs only (RFC 4291 section 2.5.5.2).
pub(crate) fn unroutable(prefix: &IpNet) -> Option<&'static str> {
    let v4 = |a, b, c, d, length| Ipv4Net::new([a, b, c, d].into(), length).map(IpNet::V4);
    let v6 = |head: u16, tail: u16, length| Ipv6Net::new([head, 0, 0, 0, 0, 0, 0, tail].into(), length).map(IpNet::V6);
    let mapped = Ipv6Net::new(Ipv4Addr::UNSPECIFIED.to_ipv6_mapped(), 96).map(IpNet::V6);
    let kinds = [
        (v4(127, 0, 0, 0, 8), "loopback"),
        (v6(0, 1, 128), "loopback"),
        (v4(224, 0, 0, 0, 4), "multicast"),
        (v6(0xff00, 0, 8), "multicast"),
        (v4(255, 255, 255, 255, 32), "broadcast"),
        (mapped, "IPv4-mapped"),
    ];
    let overlaps = |kind: &IpNet| kind.contains(prefix) || prefix.contains(kind);
    kinds.into_iter().find_map(|(kind, name)| kind.ok().filter(overlaps).map(|_| name))
}
