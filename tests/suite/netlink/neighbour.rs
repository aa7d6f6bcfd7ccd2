//! What the kernel tells of the router's network.

use crate::support::home::ip;
use crate::support::kernel::messages::{self, attribute, hostile};
use dots_callhome::model::Mac;
use dots_callhome::netlink::neighbour::{
    self, Address, Link, LinkKind, Message, Neighbour, NetworkObject, Route, RouteKind, RouteOrigin,
};

const MAC: [u8; 6] = [2, 0, 0, 0, 0, 0x11];

fn only(datagram: &[u8]) -> Message {
    let said: Vec<_> = neighbour::messages(datagram).collect();
    assert_eq!(said.len(), 1);
    assert_eq!(said[0].0, 9);
    said[0].1.clone()
}

#[test]
fn everything_is_asked_for_once() {
    for (subject, kind, fixed) in [
        (NetworkObject::Links, 18, 16),
        (NetworkObject::Addresses, 22, 8),
        (NetworkObject::Routes, 26, 12),
        (NetworkObject::Neighbours, 30, 12),
    ] {
        let request = neighbour::dump(subject, 9);
        assert_eq!(request, messages::message(kind, 0x301, 9, &vec![0; fixed]));
    }
}

#[test]
fn links_are_read() {
    let link = Link {
        index: 7,
        name: "br-lan".into(),
        mac: Some(Mac(MAC)),
        master: None,
        lower: None,
        kind: LinkKind::Ethernet,
    };
    assert_eq!(only(&messages::link(16, 9, 7, "br-lan", MAC)), Message::Link(link));
    assert_eq!(only(&messages::link(17, 9, 7, "br-lan", MAC)), Message::LinkGone(7));
    // Loopback has an address that is none.
    let loopback = Link { index: 1, name: "lo".into(), mac: None, master: None, lower: None, kind: LinkKind::Ethernet };
    assert_eq!(only(&messages::link(16, 9, 1, "lo", [0; 6])), Message::Link(loopback));
}

/// A port that leaves its bridge is told as a link of the bridge's own family that is gone.
#[test]
fn what_bridges_tell_of_their_ports_is_left_aside() {
    let mut port = messages::link(17, 9, 7, "lan1", MAC);
    port[16] = 7;
    assert_eq!(only(&port), Message::Other);
}

#[test]
fn addresses_are_read_with_the_near_end_of_a_point_to_point_link() {
    let net = |text: &str| Address { link: 3, net: text.parse().unwrap(), announced: false };
    let v6 = messages::address(20, 9, 3, ip("2001:db8::7"), 64);
    assert_eq!(only(&v6), Message::Address(net("2001:db8::7/64")));
    assert_eq!(only(&messages::address(21, 9, 3, ip("192.0.2.7"), 24)), Message::AddressGone(net("192.0.2.7/24")));
    let mut body = [&[2, 32, 0, 0][..], &3_u32.to_ne_bytes()].concat();
    body.extend(attribute(1, &[192, 0, 2, 1]));
    body.extend(attribute(2, &[192, 0, 2, 7]));
    assert_eq!(only(&messages::message(20, 0, 9, &body)), Message::Address(net("192.0.2.7/32")));
}

#[test]
fn neighbours_count_while_the_kernel_trusts_them() {
    for (state, trusted) in
        [(2, true), (4, true), (8, true), (16, true), (128, true), (1, false), (32, false), (64, false)]
    {
        let expected =
            Neighbour { link: 2, address: ip("192.168.1.11"), mac: trusted.then_some(Mac(MAC)), silent: state == 32 };
        let message = messages::neighbour(28, 9, 2, ip("192.168.1.11"), state, Some(MAC));
        assert_eq!(only(&message), Message::Neighbour(expected), "state {state}");
    }
    let gone = Neighbour { link: 2, address: ip("fe80::1"), mac: None, silent: true };
    assert_eq!(only(&messages::neighbour(29, 9, 2, ip("fe80::1"), 32, None)), Message::NeighbourGone(gone));
}

#[test]
fn groups_and_bridge_entries_are_no_neighbours() {
    assert_eq!(only(&messages::neighbour(28, 9, 2, ip("ff02::1"), 64, Some(MAC))), Message::Other);
    let mut bridge = messages::neighbour(28, 9, 2, ip("192.168.1.11"), 2, Some(MAC));
    bridge[16] = 7;
    assert_eq!(only(&bridge), Message::Other);
    let multicast = [1, 0, 0x5e, 0, 0, 1];
    let Message::Neighbour(neighbour) = only(&messages::neighbour(28, 9, 2, ip("192.168.1.11"), 2, Some(multicast)))
    else {
        panic!("a neighbour")
    };
    assert_eq!(neighbour.mac, None);
}

fn expected(to: &str, gateway: Option<&str>, link: u32) -> Route {
    Route {
        destination: to.parse().unwrap(),
        from: None,
        gateway: gateway.map(ip),
        link: Some(link),
        metric: 0,
        kind: RouteKind::Unicast,
        table: 254,
        origin: RouteOrigin::Configured,
    }
}

fn told(hops: Vec<Route>) -> Message {
    Message::Route { hops, replaces: false }
}

#[test]
fn routes_are_read() {
    let default = messages::Route::new("0.0.0.0/0", Some("198.51.100.1"), 3);
    let hop = expected("0.0.0.0/0", Some("198.51.100.1"), 3);
    assert_eq!(only(&messages::route(24, 0, 9, &default)), told(vec![hop]));
    assert_eq!(only(&messages::route(25, 0, 9, &default)), Message::RouteGone(vec![hop]));
    let replacing = Message::Route { hops: vec![hop], replaces: true };
    assert_eq!(only(&messages::route(24, 0x500, 9, &default)), replacing);

    let from = Some("2001:db8:123::/48".parse().unwrap());
    let sourced = messages::Route { from, metric: 512, ..messages::Route::new("::/0", Some("fe80::1"), 3) };
    let hop = Route { from, metric: 512, ..expected("::/0", Some("fe80::1"), 3) };
    assert_eq!(only(&messages::route(24, 0, 9, &sourced)), told(vec![hop]));

    let refused = messages::Route { kind: 7, ..messages::Route::new("2001:db8:123::/48", None, 1) };
    let hop = Route { kind: RouteKind::Refused, ..expected("2001:db8:123::/48", None, 1) };
    assert_eq!(only(&messages::route(24, 0, 9, &refused)), told(vec![hop]));
}

/// One of several next hops, as the kernel puts them into a route.
fn hop(link: u32, gateway: [u8; 4]) -> Vec<u8> {
    [&16_u16.to_ne_bytes()[..], &[0, 0], &link.to_ne_bytes(), &attribute(5, &gateway)].concat()
}

#[test]
fn every_next_hop_of_a_route_is_read() {
    let mut body = vec![2, 0, 0, 0, 254, 3, 0, 1, 0, 0, 0, 0];
    body.extend(attribute(9, &[hop(3, [198, 51, 100, 1]), hop(5, [192, 0, 2, 1])].concat()));
    let hops = vec![expected("0.0.0.0/0", Some("198.51.100.1"), 3), expected("0.0.0.0/0", Some("192.0.2.1"), 5)];
    assert_eq!(only(&messages::message(24, 0, 9, &body)), told(hops));
}

#[test]
fn the_local_table_cached_routes_and_broadcasts_are_no_routes() {
    let local = messages::Route { table: 255, ..messages::Route::new("192.168.1.1/32", None, 2) };
    assert_eq!(only(&messages::route(24, 0, 9, &local)), Message::Other);
    let broadcast = messages::Route { kind: 3, ..messages::Route::new("192.168.1.255/32", None, 2) };
    assert_eq!(only(&messages::route(24, 0, 9, &broadcast)), Message::Other);
    let mut cached = messages::route(24, 0, 9, &messages::Route::new("192.0.2.1/32", None, 2));
    cached[24..28].copy_from_slice(&0x200_u32.to_ne_bytes());
    assert_eq!(only(&cached), Message::Other);
}

#[test]
fn hostile_datagrams_are_survived() {
    let hop = hop(3, [192, 0, 2, 1]);
    let mut multipath = vec![2, 0, 0, 0, 254, 3, 0, 1, 0, 0, 0, 0];
    multipath.extend(attribute(9, &[hop.clone(), hop].concat()));
    let datagram = [
        messages::link(16, 1, 7, "br-lan", MAC),
        messages::address(20, 1, 7, ip("2001:db8::1"), 64),
        messages::neighbour(28, 1, 7, ip("192.168.1.11"), 2, Some(MAC)),
        messages::route(24, 0, 1, &messages::Route::new("2001:db8:123::/48", Some("fe80::1"), 3)),
        messages::message(24, 0, 1, &multipath),
        messages::done(1),
    ]
    .concat();
    for bytes in hostile(&datagram, 20_000) {
        for (_, message) in neighbour::messages(&bytes) {
            if let Message::Route { hops, .. } | Message::RouteGone(hops) = message {
                assert!(hops.len() <= 32);
            }
        }
    }
}
