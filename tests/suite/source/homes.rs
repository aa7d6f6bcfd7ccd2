//! What is ours in the homes people have: upstreams of several interfaces, routes inwards, links that lead elsewhere.

use dots_callhome::source::Confidence::{Exact, Likely};
use dots_callhome::source::{Interface, Socket};

use crate::support::source::*;

/// A link of the kind the test needs.
const TUNNEL: u32 = 9;

fn ours(house: &TestRouter, names: &[&str]) -> Vec<String> {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    house.finder.domain(&names).iter().map(ToString::to_string).collect()
}

fn has(house: &TestRouter, names: &[&str], prefix: &str) -> bool {
    ours(house, names).contains(&prefix.to_owned())
}

fn interface(name: &str, protocol: &str, device: &str) -> Interface {
    Interface { name: name.into(), protocol: protocol.into(), devices: vec![device.into()], ..Interface::default() }
}

fn with(house: &mut TestRouter, interfaces: Vec<Interface>) {
    house.finder.set_interfaces(interfaces, house.now);
    house.settle();
}

fn add_route(house: &mut TestRouter, protocol: u8, route: &Route) {
    let route = messages::route_by(protocol, 24, 0x400, 0, route);
    house.event(Socket::RouteEvents, &route);
}

/// A tunnel with an address, and whatever leads into it.
fn add_tunnel(house: &mut TestRouter, address: &str, length: u8, routes: &[&str]) {
    house.event(Socket::RouteEvents, &messages::link_of(65534, 16, 0, TUNNEL, "tun0"));
    house.event(Socket::RouteEvents, &messages::address(20, 0, TUNNEL, ip(address), length));
    for to in routes {
        add_route(house, 3, &Route::new(to, None, TUNNEL));
    }
}

/// MAP-E, DS-Lite and 464XLAT as netifd makes them: `wan6` on the link, `wan6_4` over it.
fn softwire() -> Vec<Interface> {
    let line = Interface {
        addresses: vec![ip("2001:db8:1::7")],
        prefixes: vec![net("2001:db8:123::/48")],
        gateways: vec![ip("fe80::1")],
        default_route: true,
        ..interface("wan6", "dhcpv6", "wan")
    };
    let softwire = Interface {
        dynamic: true,
        addresses: vec![ip("192.0.2.18")],
        default_route: true,
        ..interface("wan6_4", "map", "map-wan6_4")
    };
    vec![line, softwire]
}

#[test]
fn both_halves_of_one_upstream_are_found_by_either_name() {
    let mut house = TestRouter::with_devices(1);
    with(&mut house, softwire());
    for names in [["wan6"], ["wan6_4"], ["wan"]] {
        assert!(has(&house, &names, "192.0.2.18/32") && has(&house, &names, "2001:db8:123::/48"), "{names:?}");
    }
    assert!(ours(&house, &["wan7"]).is_empty());
}

/// One that the configuration names itself belongs to the line it runs over: the only one with IPv6.
#[test]
fn a_softwire_of_its_own_name_belongs_to_the_line_it_runs_over() {
    let mut house = TestRouter::with_devices(1);
    let mut interfaces = softwire();
    interfaces[1] = Interface { dynamic: false, name: "mape".into(), ..interfaces[1].clone() };
    with(&mut house, interfaces.clone());
    assert!(has(&house, &["wan6"], "192.0.2.18/32") && has(&house, &["mape"], "2001:db8:123::/48"));
    // Over which of two it runs nobody can tell: then a list says so.
    let other = Interface { gateways: vec![ip("fe80::2")], ..interface("lte", "dhcpv6", "wwan0") };
    interfaces.push(Interface { prefixes: vec![net("2001:db8:777::/48")], ..other });
    with(&mut house, interfaces);
    assert!(!has(&house, &["wan6"], "192.0.2.18/32") && !has(&house, &["mape"], "2001:db8:123::/48"));
    assert!(has(&house, &["wan6", "mape"], "192.0.2.18/32") && has(&house, &["wan6", "mape"], "2001:db8:123::/48"));
    assert!(!has(&house, &["wan6", "mape"], "2001:db8:777::/48"));
}

#[test]
fn what_is_translated_to_stands_on_no_link() {
    let mut house = TestRouter::with_devices(2);
    let mut interfaces = softwire();
    interfaces[1] = Interface { addresses: Vec::new(), translated: vec![ip("192.0.2.18")], ..interfaces[1].clone() };
    with(&mut house, interfaces);
    assert!(has(&house, &["wan"], "192.0.2.18/32"));
    let original = tuple(&v4(11), VICTIM, UDP, ports(4000, 53));
    house.flow(original, tuple(VICTIM, "192.0.2.18", UDP, ports(53, 20_046)), 100);
    for (id, ports) in [(1, "20000-20999"), (2, "-")] {
        house.search(id, &scope(&format!("192.0.2.18 {ports} > 203.0.113.80 53 / 17")));
        house.pass(seconds(11));
        assert_eq!(house.verdict(id), [(mac(11), Likely)], "{ports}");
    }
}

/// `wan6` may be a tunnel to somebody who has nothing to do with the provider.
#[test]
fn a_tunnel_to_another_is_no_half_of_the_upstream() {
    let mut house = TestRouter::with_devices(1);
    let wan = Interface { gateways: vec![ip("198.51.100.1")], ..interface("wan", "dhcp", "wan") };
    let prefixes = vec![net("2001:db8:666::/48")];
    let tunnel = Interface { prefixes, default_route: true, ..interface("wan6", "6in4", "6in4-wan6") };
    with(&mut house, vec![wan, tunnel]);
    assert!(!has(&house, &["wan"], "2001:db8:666::/48"));
    assert!(has(&house, &["wan6"], "2001:db8:666::/48"), "where it is named itself");
}

#[test]
fn a_relay_routes_single_hosts_inwards() {
    let mut house = TestRouter::with_devices(1);
    let foreign = ["2001:db8:1::1", "2001:db8:c000::80"];
    assert!(!has(&house, &["wan"], "2001:db8:1::b/128"));
    for host in ["2001:db8:1::b", "2001:db8:c000::80"] {
        add_route(&mut house, 4, &Route::new(&format!("{host}/128"), None, LAN));
    }
    assert!(has(&house, &["wan"], "2001:db8:1::b/128"));
    for host in foreign {
        assert!(!has(&house, &["wan"], &format!("{host}/128")), "whoever says at home that he has {host}");
    }
    // Nor is it the provider's router, whatever is said of that.
    add_route(&mut house, 3, &Route::new("::/0", Some("2001:db8:1::1"), WAN));
    add_route(&mut house, 4, &Route::new("2001:db8:1::1/128", None, LAN));
    assert!(!has(&house, &["wan"], "2001:db8:1::1/128"));
}

#[test]
fn networks_behind_inner_routers_are_ours() {
    let mut house = TestRouter::with_devices(1);
    add_route(&mut house, 4, &Route::new("192.0.2.64/26", Some("192.168.1.11"), LAN));
    add_route(&mut house, 4, &Route::new("2001:db8:555::/56", Some("fe80::b"), LAN));
    add_route(&mut house, 4, &Route::new("10.5.0.0/16", Some("192.168.1.11"), LAN));
    assert!(has(&house, &["wan"], "192.0.2.64/26") && has(&house, &["wan"], "2001:db8:555::/56"));
    assert!(!has(&house, &["wan"], "10.5.0.0/16"), "nobody outside sees it");
}

/// Router advertisements, redirects, routing protocols: what a device can send.
#[test]
fn nothing_announced_at_home_makes_it_larger() {
    for protocol in [1, 2, 9, 12, 42, 188] {
        let mut house = TestRouter::with_devices(1);
        let before = ours(&house, &["wan"]);
        add_route(&mut house, protocol, &Route::new("192.0.2.64/26", Some("192.168.1.11"), LAN));
        add_route(&mut house, protocol, &Route::new("2001:db8:555::/56", Some("fe80::b"), LAN));
        add_route(&mut house, protocol, &Route::new("2001:db8:666::/64", None, LAN));
        add_route(&mut house, protocol, &Route::new("2001:db8:1::b/128", None, LAN));
        assert_eq!(ours(&house, &["wan"]), before, "{protocol}");
    }
    let mut house = TestRouter::with_devices(1);
    let before = ours(&house, &["wan"]);
    let made = messages::announced_address(LAN, ip("2001:db8:666::1"), 64);
    house.event(Socket::RouteEvents, &made);
    assert_eq!(ours(&house, &["wan"]), before);
}

/// Nor does anybody get out of sight by it: the LAN is no way out because somebody there says so.
#[test]
fn an_announced_default_route_makes_no_upstream_of_the_home() {
    let mut house = TestRouter::with_devices(2);
    let lan = Interface { addresses: vec![ip(GATEWAY)], ..interface("lan", "static", "br-lan") };
    let wan = Interface { gateways: vec![ip("198.51.100.1")], ..interface("wan", "dhcp", "wan") };
    with(&mut house, vec![lan, wan]);
    add_route(&mut house, 9, &Route { metric: 2048, ..Route::new("::/0", Some("fe80::b"), LAN) });
    house.translated(11, UDP, 4000, 40_000, 53, 100);
    house.search(1, &scope("198.51.100.7 40000 > 203.0.113.80 53 / 17"));
    assert_eq!(house.verdict(1), [(mac(11), Exact)]);
}

/// The default route stays with the provider; parts that make up everything lead into the tunnel.
#[test]
fn a_vpn_client_is_no_part_of_the_home() {
    let ways: [&[&str]; 4] = [
        &["0.0.0.0/1", "128.0.0.0/1"],
        &["0.0.0.0/5", "8.0.0.0/7", "11.0.0.0/8"],
        &["::/1", "8000::/1"],
        &["2000::/3"],
    ];
    for routes in ways {
        let mut house = TestRouter::with_devices(1);
        let before = ours(&house, &["wan"]);
        add_tunnel(&mut house, "192.0.2.130", 25, routes);
        assert_eq!(ours(&house, &["wan"]), before, "{routes:?}");
        house.neighbour("192.0.2.200", TUNNEL, Some(mac(99)));
        assert!(house.finder.inventory().device(mac(99)).is_none(), "{routes:?}");
    }
    // Nor is one that leads to some networks only.
    let mut house = TestRouter::with_devices(1);
    let before = ours(&house, &["wan"]);
    add_tunnel(&mut house, "192.0.2.130", 25, &["203.0.113.0/24"]);
    assert_eq!(ours(&house, &["wan"]), before);
}

/// A part of the home's prefix given to those who call in is ours, as the provider has given it.
#[test]
fn a_vpn_server_shares_out_what_the_provider_has_given() {
    let mut kernel = Kernel::new();
    kernel.routes.push(Route { kind: 7, ..Route::new("2001:db8:120::/44", None, 1) });
    let mut house = TestRouter::on(kernel);
    add_tunnel(&mut house, "2001:db8:12f::1", 64, &[]);
    assert!(has(&house, &["wan"], "2001:db8:12f::/64"));
}

/// Multicast and private networks are wide, and inside all the same.
#[test]
fn wide_routes_of_the_home_do_not_lead_out() {
    let mut house = TestRouter::with_devices(2);
    for to in ["224.0.0.0/4", "ff00::/8", "fc00::/7", "10.0.0.0/8"] {
        add_route(&mut house, 3, &Route::new(to, None, LAN));
    }
    assert!(house.finder.inventory().device(mac(11)).is_some());
    assert!(has(&house, &["wan"], "2001:db8:123::/64"));
}

/// A provider's service network, a modem's page: another's network, where nobody is a device of the home.
#[test]
fn networks_where_the_router_is_a_guest_are_no_part_of_the_home() {
    let mut house = TestRouter::with_devices(1);
    let wan = Interface {
        gateways: vec![ip("198.51.100.1")],
        lower: Some("br-guest".into()),
        ..interface("wan", "pppoe", "wan")
    };
    with(&mut house, vec![wan.clone()]);
    house.neighbour("192.168.2.9", GUEST, Some(mac(99)));
    assert!(house.finder.inventory().device(mac(99)).is_none(), "the link below PPPoE");
    let wan = Interface { lower: None, ..wan };
    with(&mut house, vec![wan.clone(), interface("iptv", "dhcp", "br-guest")]);
    house.neighbour("192.168.2.9", GUEST, Some(mac(99)));
    assert!(house.finder.inventory().device(mac(99)).is_none(), "an interface by DHCP");
    with(&mut house, vec![wan, interface("guest", "static", "br-guest")]);
    house.neighbour("192.168.2.9", GUEST, Some(mac(99)));
    assert!(house.finder.inventory().device(mac(99)).is_some());
}

/// The page of a modem in front of the router, by an address beside the one that the provider gives.
#[test]
fn a_modems_page_is_not_ours() {
    let mut house = TestRouter::with_devices(1);
    house.event(Socket::RouteEvents, &messages::address(20, 0, WAN, ip("192.168.100.2"), 24));
    assert!(!has(&house, &["wan"], "192.168.100.2/32") && has(&house, &["wan"], "198.51.100.7/32"));
    // Where the provider's own is private, netifd knows which is which.
    house.event(Socket::RouteEvents, &messages::address(21, 0, WAN, ip(WAN_ADDRESS), 24));
    house.event(Socket::RouteEvents, &messages::address(20, 0, WAN, ip("10.0.0.9"), 24));
    let addresses = vec![ip("10.0.0.9")];
    let wan = Interface { addresses, gateways: vec![ip("10.0.0.1")], ..interface("wan", "dhcp", "wan") };
    let modem = Interface { addresses: vec![ip("192.168.100.2")], ..interface("modem", "static", "wan") };
    with(&mut house, vec![wan, modem]);
    assert!(!has(&house, &["wan"], "192.168.100.2/32") && has(&house, &["wan"], "10.0.0.9/32"));
}

/// What leads out is told by any one of these alone: then a private address on it is the one that the provider has given.
#[test]
fn each_sign_of_a_way_out_is_enough() {
    let own = |way_out: Interface| {
        let mut house = TestRouter::with_devices(1);
        house.event(Socket::RouteEvents, &messages::address(21, 0, WAN, ip(WAN_ADDRESS), 24));
        house.event(Socket::RouteEvents, &messages::address(20, 0, WAN, ip("10.0.0.9"), 24));
        with(&mut house, vec![Interface { addresses: vec![ip("10.0.0.9")], ..way_out }]);
        has(&house, &["wan"], "10.0.0.9/32")
    };
    let plain = interface("wan", "static", "wan");
    assert!(!own(plain.clone()), "as a modem's page is");
    assert!(own(Interface { default_route: true, ..plain.clone() }));
    assert!(own(Interface { gateways: vec![ip("10.0.0.1")], ..plain.clone() }));
    assert!(own(Interface { prefixes: vec![net("2001:db8:123::/48")], ..plain }));
    assert!(own(interface("wan", "dhcp", "wan")) && own(interface("wan", "map", "wan")));
}
