//! Senders that are known and no devices: told as what they are, and nobody else is offered in their place.

use dots_callhome::model::MitigationId;
use dots_callhome::source::Confidence::{Exact, Possible};
use dots_callhome::source::{Socket, Stranger, StrangerKind};

use crate::support::source::*;

const BY_PORT: &str = "198.51.100.7 40000 > 203.0.113.80 53 / 17";
const TUNNEL: u32 = 9;

/// A home with a link without Ethernet addresses, and a device that uses the target from another port.
fn home() -> TestRouter {
    let mut house = TestRouter::with_devices(2);
    house.event(Socket::RouteEvents, &messages::link_of(65534, 16, 0, TUNNEL, "wg0"));
    house.event(Socket::RouteEvents, &messages::address(20, 0, TUNNEL, ip("10.9.0.1"), 24));
    house.translated(12, UDP, 4000, 40_001, 53, 100);
    house
}

fn strangers(house: &TestRouter) -> &[Stranger] {
    house.strangers.iter().rfind(|(id, _)| *id == MitigationId(1)).map_or(&[], |(_, strangers)| strangers.as_slice())
}

fn stranger(house: &TestRouter) -> (String, Option<&str>, StrangerKind) {
    let [only] = strangers(house) else { panic!("{:?}", strangers(house)) };
    (only.address.to_string(), only.interface.as_deref(), only.kind)
}

#[test]
fn a_sender_without_an_ethernet_address_is_told_and_nobody_else_named() {
    let mut house = home();
    house.translated_from("10.9.0.2", UDP, 4000, 40_000, 53, 100);
    house.search(1, &scope(BY_PORT));
    house.pass(seconds(11));
    assert_eq!(stranger(&house), ("10.9.0.2".into(), Some("wg0"), StrangerKind::NoEthernet));
    assert_eq!(house.verdict(1), [], "the laptop sends from another port");
}

#[test]
fn the_router_itself_is_told_with_who_has_asked_it() {
    let mut house = home();
    let own = tuple(WAN_ADDRESS, VICTIM, UDP, ports(40_000, 53));
    house.flow(own, tuple(VICTIM, WAN_ADDRESS, UDP, ports(53, 40_000)), 100);
    house.search(1, &scope(BY_PORT));
    house.pass(seconds(2));
    assert_eq!(stranger(&house), (WAN_ADDRESS.into(), None, StrangerKind::Router));
    // A device's packets to the target that the router has taken in itself.
    let asked = tuple(&v4(11), VICTIM, UDP, ports(4000, 53));
    let id = house.flow(asked, tuple(GATEWAY, &v4(11), UDP, ports(5300, 4000)), 100);
    house.announce(id);
    house.end(id);
    house.pass(seconds(60));
    house.search(1, &scope(BY_PORT));
    assert_eq!(strangers(&house)[0].asked_by, [ip(&v4(11))]);
    assert_eq!(house.verdict(1), []);
    let told = strangers(&house)[0].to_string();
    assert!(
        told.starts_with("198.51.100.7 sends: the router itself") && told.contains("asked by 192.168.1.11"),
        "{told}"
    );
}

#[test]
fn an_address_of_nobody_known_is_told_with_its_link() {
    let mut house = home();
    house.translated_from("192.168.1.77", UDP, 4000, 40_000, 53, 100);
    house.search(1, &scope(BY_PORT));
    assert_eq!(stranger(&house), ("192.168.1.77".into(), Some("br-lan"), StrangerKind::Unknown));
    assert_eq!(house.verdict(1), []);
    // Once somebody has it, he is a device and no stranger.
    house.neighbour("192.168.1.77", LAN, Some(mac(77)));
    house.pass(seconds(20));
    assert_eq!(strangers(&house), []);
    assert_eq!(house.verdict(1)[0].0, mac(77));
}

#[test]
fn whoever_comes_in_from_outside_is_told_as_such() {
    let mut house = home();
    house.translated_from("198.51.100.99", UDP, 4000, 40_000, 53, 100);
    house.search(1, &scope(BY_PORT));
    assert_eq!(stranger(&house), ("198.51.100.99".into(), Some("wan"), StrangerKind::Outside));
}

/// Who has other ports is offered only as long as nobody has the one named, be that a device or not.
#[test]
fn nobody_with_another_port_is_offered_besides() {
    let mut house = home();
    house.search(1, &scope(BY_PORT));
    house.pass(seconds(2));
    assert_eq!((house.verdict(1), strangers(&house)), (vec![(mac(12), Possible)], &[][..]));
    let id = house.translated_from("10.9.0.2", UDP, 4000, 40_000, 53, 100);
    house.announce(id);
    house.pass(seconds(2));
    assert_eq!(house.verdict(1), []);
    assert_eq!(stranger(&house).2, StrangerKind::NoEthernet);
}

#[test]
fn a_device_found_has_no_strangers_beside_it() {
    let mut house = home();
    house.translated(11, UDP, 4000, 40_000, 53, 100);
    house.translated_from("10.9.0.2", UDP, 4000, 40_007, 53, 100);
    house.search(1, &scope(BY_PORT));
    assert_eq!((house.verdict(1), strangers(&house)), (vec![(mac(11), Exact)], &[][..]));
}
