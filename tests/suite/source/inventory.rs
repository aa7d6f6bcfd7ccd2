//! The devices of the home, as the neighbour tables tell.

use std::time::Duration;

use crate::support::source::*;
use dots_callhome::model::Mac;
use dots_callhome::source::Socket;
use vecset::VecSet;

fn devices(house: &TestRouter) -> Vec<Mac> {
    house.finder.inventory().devices().map(|device| device.mac).collect()
}

fn numbered(n: u16) -> Mac {
    let [high, low] = n.to_be_bytes();
    Mac([2, 1, 0, 0, high, low])
}

#[test]
fn devices_have_addresses_and_an_interface() {
    let mut house = TestRouter::with_devices(1);
    house.neighbour("fe80::11", LAN, Some(mac(11)));
    house.neighbour("192.168.2.44", GUEST, Some(mac(44)));
    let inventory = house.finder.inventory();
    let device = inventory.device(mac(11)).unwrap();
    assert_eq!(device.addresses, [ip(&v4(11)), ip(&v6(11)), ip("fe80::11")]);
    assert_eq!(device.interface.as_deref(), Some("br-lan"));
    assert_eq!(inventory.device(mac(44)).unwrap().interface.as_deref(), Some("br-guest"));
    assert_eq!(inventory.addresses_of(mac(44)), [ip("192.168.2.44")]);
    assert_eq!(inventory.mac_of(ip(&v6(11))), Some(mac(11)));
    assert_eq!(inventory.mac_of(ip("192.0.2.1")), None);
    assert_eq!(inventory.addresses_of(mac(99)), [] as [std::net::IpAddr; 0]);
}

#[test]
fn nobody_outside_is_a_device() {
    let mut house = TestRouter::with_devices(1);
    house.neighbour("198.51.100.1", WAN, Some(Mac([2, 0xee, 0, 0, 0, 1])));
    house.neighbour("fe80::1", WAN, Some(Mac([2, 0xee, 0, 0, 0, 1])));
    assert_eq!(devices(&house), [mac(11)]);
}

/// Whoever answers to an address where the router would not send its packets does not have it.
#[test]
fn claims_in_the_wrong_place_are_not_believed() {
    let mut kernel = Kernel::new();
    kernel.routes.push(Route::new("192.168.50.0/24", Some("192.168.1.11"), LAN));
    kernel.neighbours.insert((ip(&v4(11)), LAN), mac(11));
    let mut house = TestRouter::on(kernel);
    for (address, link) in [(v4(12), GUEST), (v6(12), GUEST), (WAN_ADDRESS.into(), LAN), ("192.168.50.20".into(), LAN)]
    {
        house.neighbour(&address, link, Some(mac(66)));
        assert_eq!(house.finder.inventory().mac_of(ip(&address)), None, "{address}");
    }
    assert_eq!(devices(&house), [mac(11)]);
    house.neighbour("10.9.9.9", LAN, Some(mac(66)));
    assert_eq!(devices(&house), [mac(11), mac(66)], "where the router would send nothing, anybody may be");
}

#[test]
fn the_router_itself_is_no_device_and_says_its_addresses() {
    let mut house = TestRouter::with_devices(1);
    let own: VecSet<Mac> = [0, 1, 3].map(|last| Mac([2, 0xff, 0, 0, 0, last])).into();
    assert_eq!(house.own_macs, own, "towards the home");
    for address in ["192.168.1.1", "2001:db8:123::1", "fe80::1", "192.168.2.1", "198.51.100.7"] {
        assert!(house.finder.inventory().own().contains(&ip(address)), "{address}");
    }
    assert!(!house.finder.inventory().own().contains(&ip("198.51.100.1")));
    house.neighbour("192.168.1.2", LAN, Some(Mac([2, 0xff, 0, 0, 0, 1])));
    assert_eq!(devices(&house), [mac(11)]);
    let added = messages::link(16, 0, 9, "wlan0", [2, 0xff, 0, 0, 0, 9]);
    house.event(Socket::RouteEvents, &added);
    assert!(house.own_macs.contains(&Mac([2, 0xff, 0, 0, 0, 9])));
}

/// Ethernet addresses are the only ones of their kind on one network, not everywhere: the upstream may bear that of a PC at
/// home, or a device that of the router on another link.
#[test]
fn an_address_is_the_routers_own_on_the_link_that_bears_it() {
    let (upstream, guest) = (Mac([2, 0xff, 0, 0, 0, 2]), Mac([2, 0xff, 0, 0, 0, 3]));
    let mut house = TestRouter::with_devices(1);
    house.neighbour(&v4(12), LAN, Some(upstream));
    house.neighbour(&v4(13), LAN, Some(guest));
    house.neighbour("192.168.2.9", GUEST, Some(guest));
    assert_eq!(devices(&house), [mac(11), upstream, guest]);
    assert_eq!(house.finder.inventory().addresses_of(guest), [ip(&v4(13))]);
    assert!(!house.own_macs.contains(&guest), "who bears it stays where he was put");
    // Ports and VLANs of a bridge are one network with it.
    let port = messages::link_on(Some(LAN), None, 16, 0, 9, "lan1", [2, 0xff, 0, 0, 0, 9]);
    let vlan = messages::link_on(None, Some(LAN), 16, 0, 10, "br-lan.10", [2, 0xff, 0, 0, 0, 1]);
    house.event(Socket::RouteEvents, &[port, vlan].concat());
    house.neighbour(&v4(14), LAN, Some(Mac([2, 0xff, 0, 0, 0, 9])));
    house.neighbour("10.9.9.9", 10, Some(Mac([2, 0xff, 0, 0, 0, 1])));
    assert_eq!(devices(&house), [mac(11), upstream, guest]);
}

/// The router takes over the address of a device on its network, as when a port with that address is put into the bridge.
#[test]
fn a_device_whose_address_becomes_the_routers_is_none_any_more() {
    let mut house = TestRouter::with_devices(2);
    house.event(Socket::RouteEvents, &messages::link_on(Some(LAN), None, 16, 0, 9, "lan1", mac(12).0));
    assert_eq!(devices(&house), [mac(11)]);
}

/// Another link of the router gets the address of a device that is known already: that device is still one, and stays in quarantine.
#[test]
fn a_device_whose_address_another_link_gets_stays_one() {
    let mut house = TestRouter::with_devices(2);
    house.event(Socket::RouteEvents, &messages::link(16, 0, GUEST, "br-guest", mac(12).0));
    assert_eq!(devices(&house), [mac(11), mac(12)]);
    assert!(!house.own_macs.contains(&mac(12)), "what the ledger must let go");
}

/// The sender bears the address that the upstream has cloned; another one uses the same target.
#[test]
fn the_bearer_of_a_cloned_upstream_address_is_found_and_stays_in_quarantine() {
    let cloned = Mac([2, 0xff, 0, 0, 0, 2]);
    let mut house = TestRouter::with_devices(2);
    house.neighbour(&v4(20), LAN, Some(cloned));
    house.translated(20, UDP, 4000, 40_000, 53, 100);
    house.translated(12, UDP, 4000, 40_001, 53, 10);
    house.search(1, &scope("198.51.100.7 40000 > 203.0.113.80 53 / 17"));
    assert_eq!(house.verdict(1), [(cloned, dots_callhome::source::Confidence::Exact)]);
    assert!(!house.own_macs.contains(&cloned), "what the ledger must let go");
}

#[test]
fn a_link_that_becomes_an_upstream_leads_to_no_devices() {
    let mut house = TestRouter::with_devices(1);
    house.neighbour("192.168.2.44", GUEST, Some(mac(44)));
    let route = Route { metric: 99, ..Route::new("0.0.0.0/0", Some("192.168.2.1"), GUEST) };
    house.event(Socket::RouteEvents, &messages::route(24, 0, 0, &route));
    assert_eq!(devices(&house), [mac(11)]);
    house.neighbour("192.168.2.45", GUEST, Some(mac(45)));
    assert_eq!(devices(&house), [mac(11)]);
}

#[test]
fn an_upstream_that_is_down_is_still_one() {
    let mut house = TestRouter::with_devices(1);
    house.event(Socket::RouteEvents, &messages::route(25, 0, 0, &house.kernel.routes[0]));
    house.event(Socket::RouteEvents, &messages::route(25, 0, 0, &house.kernel.routes[1]));
    for (address, length) in [(WAN_ADDRESS, 24), ("2001:db8:1::7", 64)] {
        house.event(Socket::RouteEvents, &messages::address(21, 0, WAN, ip(address), length));
    }
    house.neighbour("198.51.100.1", WAN, Some(Mac([2, 0xee, 0, 0, 0, 1])));
    assert_eq!(devices(&house), [mac(11)]);
}

#[test]
fn a_link_that_is_no_upstream_any_more_leads_to_devices() {
    let mut house = TestRouter::with_devices(1);
    house.kernel.routes.retain(|route| route.link != WAN);
    house.event(Socket::RouteEvents, &messages::route(25, 0, 0, &Route::new("0.0.0.0/0", Some("198.51.100.1"), WAN)));
    house.event(Socket::RouteEvents, &messages::route(25, 0, 0, &Route::new("::/0", Some("fe80::1"), WAN)));
    assert_eq!(devices(&house), [mac(11), Mac([2, 0xee, 0, 0, 0, 1])], "it has addresses, but no default route");
}

/// Proves CH-A-01 as far as the finder goes: the identity stays, whatever the addresses do.
#[test]
fn addresses_come_and_go_and_the_device_stays() {
    let mut house = TestRouter::with_devices(1);
    for suffix in 1..=40 {
        house.neighbour(&format!("2001:db8:123::ffff:{suffix:x}"), LAN, Some(mac(11)));
        house.pass(Duration::from_secs(60));
    }
    assert_eq!(devices(&house), [mac(11)]);
    let addresses = house.finder.inventory().addresses_of(mac(11));
    assert_eq!(addresses.len(), 16);
    assert!(addresses.contains(&ip("2001:db8:123::ffff:28")), "the latest is there");
    assert!(!addresses.contains(&ip("2001:db8:123::ffff:1")), "the oldest is not");
}

#[test]
fn an_address_belongs_to_whom_it_was_taken_by() {
    let mut house = TestRouter::with_devices(2);
    house.neighbour(&v4(11), LAN, Some(mac(12)));
    assert_eq!(house.finder.inventory().mac_of(ip(&v4(11))), Some(mac(12)));
    assert_eq!(house.finder.inventory().addresses_of(mac(11)), [ip(&v6(11))]);
    assert_eq!(house.finder.inventory().addresses_of(mac(12)), [ip(&v4(11)), ip(&v4(12)), ip(&v6(12))]);
    // Without any address left it is no device any more.
    house.neighbour(&v6(11), LAN, Some(mac(12)));
    assert_eq!(devices(&house), [mac(12)]);
}

#[test]
fn lost_addresses_are_remembered_for_two_hours() {
    let mut house = TestRouter::with_devices(2);
    house.pass(Duration::from_secs(72_000));
    assert_eq!(devices(&house), [mac(11), mac(12)], "nobody is forgotten while the kernel knows him");
    house.neighbour(&v4(11), LAN, None);
    house.neighbour(&v6(11), LAN, None);
    house.pass(Duration::from_secs(7400));
    assert_eq!(devices(&house), [mac(11), mac(12)]);
    house.pass(Duration::from_secs(200));
    assert_eq!(devices(&house), [mac(12)]);
    assert_eq!(house.finder.poll_timeout(), None, "nothing more to forget");
}

/// The kernel's table is read again after a loss; what is not in it any more ages like what was lost.
#[test]
fn what_a_new_listing_lacks_is_lost() {
    let mut house = TestRouter::with_devices(2);
    house.kernel.neighbours.retain(|_, owner| *owner != mac(11));
    house.overrun(Socket::RouteEvents);
    assert_eq!(devices(&house), [mac(11), mac(12)]);
    house.pass(Duration::from_secs(7500));
    assert_eq!(devices(&house), [mac(12)]);
}

#[test]
fn link_local_addresses_may_exist_on_several_links() {
    let mut house = TestRouter::with_devices(0);
    house.neighbour("fe80::5", LAN, Some(mac(11)));
    house.neighbour("fe80::5", GUEST, Some(mac(44)));
    assert_eq!(devices(&house), [mac(11), mac(44)]);
    assert_eq!(house.finder.inventory().mac_on(ip("fe80::5"), GUEST), Some(mac(44)));
}

#[test]
fn names_come_from_outside_and_are_cleaned() {
    let mut house = TestRouter::with_devices(2);
    let names = [(mac(11), "Garage\u{7} camera\n"), (mac(12), " \u{1b} "), (mac(13), "later")];
    house.finder.set_names(names.map(|(mac, name)| (mac, name.to_owned())).into());
    house.neighbour(&v4(13), LAN, Some(mac(13)));
    let name = |n| house.finder.inventory().device(mac(n)).unwrap().name.clone();
    assert_eq!(name(11).as_deref(), Some("Garage camera"));
    assert_eq!(name(12), None);
    assert_eq!(name(13).as_deref(), Some("later"));
    house.finder.set_names([(mac(11), "x".repeat(1000))].into());
    let name = |n| house.finder.inventory().device(mac(n)).unwrap().name.clone();
    assert_eq!(name(11).unwrap().len(), 64);
    assert_eq!(name(13), None);
}

#[test]
fn changes_are_told_and_nothing_else() {
    let mut house = TestRouter::with_devices(1);
    let told = house.inventory_changes;
    house.neighbour(&v4(11), LAN, Some(mac(11)));
    house.neighbour("198.51.100.1", WAN, Some(mac(99)));
    assert_eq!(house.inventory_changes, told);
    house.neighbour(&v4(12), LAN, Some(mac(12)));
    assert_eq!(house.inventory_changes, told + 1);
}

/// A device that makes up Ethernet addresses does not push out the others, and memory is bounded.
#[test]
fn inventions_are_bounded() {
    let mut house = TestRouter::with_devices(2);
    house.neighbour(&v4(13), LAN, Some(mac(13)));
    for n in 0..1100_u16 {
        let [high, low] = n.to_be_bytes();
        house.neighbour(&format!("192.168.{}.{}", 100 + high, low), LAN, Some(numbered(n)));
    }
    assert_eq!(house.finder.inventory().devices().count(), 1024);
    for n in 11..=13 {
        assert!(house.finder.inventory().device(mac(n)).is_some(), "device {n}");
    }
    // Who is gone gives way.
    house.neighbour(&v4(13), LAN, None);
    house.neighbour(&v4(14), LAN, Some(mac(14)));
    assert!(house.finder.inventory().device(mac(13)).is_none());
    assert!(house.finder.inventory().device(mac(14)).is_some());
    // An address that goes to nobody we can remember is nobody's.
    house.neighbour(&v4(14), LAN, Some(mac(15)));
    assert_eq!(house.finder.inventory().mac_of(ip(&v4(14))), Some(mac(15)), "its own place has become free");
    house.neighbour(&v4(12), LAN, Some(mac(16)));
    assert_eq!(house.finder.inventory().mac_of(ip(&v4(12))), None);
    assert_eq!(house.finder.inventory().devices().count(), 1024);
}
