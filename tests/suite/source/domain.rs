//! What is ours: the addresses and prefixes of an upstream.

use crate::support::source::*;
use dots_callhome::source::{Interface, Socket};

fn texts(house: &TestRouter, interface: &str) -> Vec<String> {
    house.finder.domain(&[interface.to_owned()]).iter().map(ToString::to_string).collect()
}

fn interface(name: &str, device: &str, addresses: &[&str], prefixes: &[&str], gateways: &[&str]) -> Interface {
    Interface {
        name: name.into(),
        devices: vec![device.into()],
        addresses: addresses.iter().map(|text| ip(text)).collect(),
        prefixes: prefixes.iter().map(|text| net(text)).collect(),
        gateways: gateways.iter().map(|text| ip(text)).collect(),
        ..Interface::default()
    }
}

fn knows(house: &TestRouter, interface: &str) -> bool {
    house.finder.knows(&[interface.to_owned()])
}

fn with(house: &mut TestRouter, interfaces: Vec<Interface>) {
    house.finder.set_interfaces(interfaces, house.now);
    house.settle();
}

const HOME: [&str; 3] = ["198.51.100.7/32", "2001:db8:1::7/128", "2001:db8:123::/64"];

/// Proves CH-5.3.2-09: the address towards the provider and the prefixes seen untranslated; nothing internal.
#[test]
fn without_netifd_the_kernel_tells() {
    let house = TestRouter::with_devices(1);
    assert_eq!(texts(&house, "wan"), HOME);
}

/// A mistyped name, or a modem that is away, is not all upstreams; an interface that is only down is known all the same.
#[test]
fn an_unknown_interface_is_no_upstream() {
    let mut house = TestRouter::with_devices(1);
    assert!(texts(&house, "uplink").is_empty() && !knows(&house, "uplink"));
    assert!(knows(&house, "wan"));
    let up = |name: &str, device: &str, address: &str| interface(name, device, &[address], &[], &["192.0.2.1"]);
    let down = Interface { name: "lte".into(), ..Interface::default() };
    with(&mut house, vec![up("wan", "wan", WAN_ADDRESS), up("vpn", "tun0", "203.0.113.200"), down]);
    for wrong in ["wna", "WAN", "wan ", ""] {
        assert!(texts(&house, wrong).is_empty() && !knows(&house, wrong), "{wrong:?}");
    }
    assert_eq!(texts(&house, "vpn"), ["203.0.113.200/32"]);
    assert!(knows(&house, "lte"));
    for other in [WAN_ADDRESS, "203.0.113.200"] {
        assert!(!texts(&house, "lte").contains(&format!("{other}/32")));
    }
}

#[test]
fn what_netifd_calls_wan_is_found_by_its_device() {
    let mut house = TestRouter::with_devices(1);
    house.kernel.links.get_mut(&WAN).unwrap().name = "pppoe-wan";
    house.overrun(Socket::RouteEvents);
    let interfaces = vec![
        interface("lan", "br-lan", &["192.168.1.1", "2001:db8:123::1"], &[], &[]),
        interface("wan", "pppoe-wan", &[WAN_ADDRESS], &[], &["198.51.100.1"]),
        interface("wan6", "pppoe-wan", &["2001:db8:1::7"], &["2001:db8:123::/48"], &["fe80::1"]),
    ];
    with(&mut house, interfaces);
    let expected = ["198.51.100.7/32", "2001:db8:1::7/128", "2001:db8:123::/48", "2001:db8:123::/64"];
    assert_eq!(texts(&house, "wan"), expected);
    assert_eq!(texts(&house, "wan6"), expected);
}

/// Proves CH-5.3.2-09: what the provider's own NAT sees of us is ours.
#[test]
fn a_shared_or_private_address_towards_the_provider_is_ours() {
    let mut house = TestRouter::with_devices(0);
    for (old, new) in [(WAN_ADDRESS, "100.64.3.4"), ("100.64.3.4", "10.0.0.9")] {
        house.event(Socket::RouteEvents, &messages::address(21, 0, WAN, ip(old), 24));
        house.event(Socket::RouteEvents, &messages::address(20, 0, WAN, ip(new), 24));
        let expected = format!("{new}/32");
        let domain = texts(&house, "wan");
        assert!(domain.contains(&expected), "{domain:?}");
        assert!(!domain.contains(&format!("{old}/32")), "{domain:?}");
    }
}

#[test]
fn each_upstream_has_its_own() {
    let mut kernel = Kernel::new();
    kernel.add_second_upstream();
    let mut house = TestRouter::on(kernel);
    assert_eq!(texts(&house, "wan"), HOME);
    // Nothing of IPv6 leaves by the second.
    assert_eq!(texts(&house, "wan2"), ["192.0.2.99/32"]);
    let second = Route { metric: 20, ..Route::new("::/0", Some("fe80::2"), SECOND) };
    house.event(Socket::RouteEvents, &messages::route(24, 0, 0, &second));
    assert_eq!(texts(&house, "wan2"), ["192.0.2.99/32", "2001:db8:123::/64"]);
    // The default route says whose the home's prefix is.
    let from = Some(net("2001:db8:123::/48"));
    let sourced = Route { from, ..Route::new("::/0", Some("fe80::1"), WAN) };
    house.event(Socket::RouteEvents, &messages::route(24, 0, 0, &sourced));
    assert!(texts(&house, "wan").contains(&"2001:db8:123::/48".to_owned()));
    assert_eq!(texts(&house, "wan2"), ["192.0.2.99/32"]);
}

#[test]
fn netifd_says_whose_a_prefix_is() {
    let mut kernel = Kernel::new();
    kernel.add_second_upstream();
    let mut house = TestRouter::on(kernel);
    let interfaces = vec![
        interface("first", "wan", &[WAN_ADDRESS], &["2001:db8:123::/48"], &["198.51.100.1"]),
        interface("second", "wan2", &[SECOND_ADDRESS], &["2001:db8:999::/48"], &["192.0.2.1"]),
    ];
    with(&mut house, interfaces);
    assert_eq!(texts(&house, "second"), ["192.0.2.99/32", "2001:db8:999::/48"]);
    assert!(texts(&house, "first").contains(&"2001:db8:123::/48".to_owned()));
}

/// What has been delegated but is not assigned to any link is marked by a route that refuses it.
#[test]
fn a_delegated_prefix_is_known_by_its_refusing_route() {
    let mut kernel = Kernel::new();
    kernel.routes.push(Route { kind: 7, ..Route::new("2001:db8:120::/44", None, 1) });
    // Private, or all there is: such routes mean nothing.
    kernel.routes.push(Route { kind: 7, ..Route::new("fd00:1::/48", None, 1) });
    kernel.routes.push(Route { kind: 7, ..Route::new("10.0.0.0/8", None, 1) });
    kernel.routes.push(Route { kind: 7, metric: 4_294_967_295, ..Route::new("::/0", None, 1) });
    let house = TestRouter::on(kernel);
    let expected = ["198.51.100.7/32", "2001:db8:1::7/128", "2001:db8:120::/44", "2001:db8:123::/64"];
    assert_eq!(texts(&house, "wan"), expected);
}

#[test]
fn an_upstream_that_netifd_knows_to_be_down_has_nothing() {
    let mut house = TestRouter::with_devices(0);
    with(&mut house, vec![interface("wan", "wwan0", &[], &[], &[])]);
    assert_eq!(texts(&house, "wan"), [""; 0]);
}

#[test]
fn changes_are_told_once_and_only_if_something_is_different() {
    let mut house = TestRouter::with_devices(0);
    let told = house.domain_changes;
    house.event(Socket::RouteEvents, &messages::link(16, 0, WAN, "wan", [2, 0xff, 0, 0, 0, 2]));
    house.event(Socket::RouteEvents, &messages::address(20, 0, LAN, ip("fe80::77"), 64));
    assert_eq!(house.domain_changes, told);
    house.event(Socket::RouteEvents, &messages::address(20, 0, WAN, ip("198.51.100.8"), 24));
    assert_eq!(house.domain_changes, told + 1);
    assert!(texts(&house, "wan").contains(&"198.51.100.8/32".to_owned()));
    house.event(Socket::RouteEvents, &messages::link(17, 0, WAN, "wan", [2, 0xff, 0, 0, 0, 2]));
    assert_eq!(house.domain_changes, told + 2);
    assert_eq!(texts(&house, "wan"), [""; 0], "a modem that is away");
}

/// Proves SC-4.3-08: the default routers of both families; a link-local one is dialled on its link.
#[test]
fn default_routers_come_best_first_and_can_be_dialled() {
    let mut kernel = Kernel::new();
    kernel.add_second_upstream();
    let other = Route { table: 1, ..Route::new("0.0.0.0/0", Some("198.51.100.254"), WAN) };
    kernel.routes.insert(0, other);
    let mut house = TestRouter::on(kernel);
    let routers =
        |house: &TestRouter| house.finder.default_routers().iter().map(ToString::to_string).collect::<Vec<_>>();
    let link_local = format!("[fe80::1%{WAN}]:0");
    assert_eq!(routers(&house), ["198.51.100.1:0", &link_local, "192.0.2.1:0", "198.51.100.254:0"]);
    // Replaced: netifd gives a route a new next hop without taking the old one away first.
    let replaced = Route::new("0.0.0.0/0", Some("198.51.100.3"), WAN);
    house.event(Socket::RouteEvents, &messages::route(24, 0x500, 0, &replaced));
    assert_eq!(routers(&house), ["198.51.100.3:0", &link_local, "192.0.2.1:0", "198.51.100.254:0"]);
    house.event(Socket::RouteEvents, &messages::route(25, 0, 0, &replaced));
    assert_eq!(routers(&house), [&link_local, "192.0.2.1:0", "198.51.100.254:0"]);
    let told = house.domain_changes;
    let moved = Route::new("::/0", Some("fe80::1"), SECOND);
    house.event(Socket::RouteEvents, &messages::route(24, 0x500, 0, &moved));
    assert_eq!(routers(&house), [&format!("[fe80::1%{SECOND}]:0"), "192.0.2.1:0", "198.51.100.254:0"]);
    assert_eq!(house.domain_changes, told + 1);
}

#[test]
fn a_listing_that_fails_is_tried_again() {
    let mut house = TestRouter::on(Kernel::new());
    house.finder = dots_callhome::source::Finder::new();
    let (_, request) = house.finder.poll_transmit().unwrap();
    let sequence = u32::from_ne_bytes(request[8..12].try_into().unwrap());
    house.event(Socket::Route, &messages::error(16, sequence));
    assert_eq!(texts(&house, "wan"), [] as [&str; 0]);
    house.pass(std::time::Duration::from_secs(6));
    assert_eq!(texts(&house, "wan"), HOME);
}
