//! Several devices under one Ethernet address: repeaters, extenders, virtual machines.

use dots_callhome::source::Confidence::Exact;
use dots_callhome::source::Suspect;

use crate::support::source::table::home;
use crate::support::source::*;

const BY_PORT: &str = "198.51.100.7 40000 > 203.0.113.80 53 / 17";

/// The repeater has device 11's Ethernet address, and these hosts behind it.
fn behind_repeater(addresses: &[&str]) -> TestRouter {
    let mut house = home();
    for address in addresses {
        house.neighbour(address, LAN, Some(mac(11)));
    }
    house
}

fn found(house: &mut TestRouter) -> Suspect {
    house.search(1, &scope(BY_PORT));
    house.pass(seconds(11));
    assert_eq!(house.verdict(1), [(mac(11), Exact)]);
    house.last(1).unwrap()[0].clone()
}

#[test]
fn two_that_send_to_the_target_are_told_as_several() {
    let mut house = behind_repeater(&["192.168.1.61", "192.168.1.62"]);
    house.translated_from("192.168.1.61", UDP, 4000, 40_000, 53, 100);
    house.translated_from("192.168.1.62", UDP, 4000, 40_001, 53, 10);
    let suspect = found(&mut house);
    assert_eq!(suspect.senders, [ip("192.168.1.61")]);
    assert_eq!(suspect.sharers, ["192.168.1.61", "192.168.1.62"].map(ip));
    assert_eq!(suspect.name.as_deref(), Some("192.168.1.61, one of 2 senders under 02:00:00:00:00:0b"));
}

/// The other one need not send to the target: that it has opened flows lately is enough.
#[test]
fn one_that_sends_elsewhere_counts() {
    let mut house = behind_repeater(&["192.168.1.61", "192.168.1.62"]);
    house.translated_from("192.168.1.61", UDP, 4000, 40_000, 53, 100);
    house.opens(mac(11), "192.168.1.62", LAN);
    assert_eq!(found(&mut house).sharers, ["192.168.1.61", "192.168.1.62"].map(ip));
}

/// An address that is only remembered, or that another device has, makes no second sender.
#[test]
fn what_nobody_sends_from_counts_for_nothing() {
    let mut house = behind_repeater(&["192.168.1.61", "192.168.1.62"]);
    house.translated_from("192.168.1.61", UDP, 4000, 40_000, 53, 100);
    house.opens(mac(11), &v4(12), LAN);
    assert!(!found(&mut house).is_shared());
}

#[test]
fn privacy_addresses_are_of_one_device() {
    let mut house = behind_repeater(&["2001:db8:123::aaaa", "2001:db8:123::bbbb", "fe80::11"]);
    house.translated(11, UDP, 4000, 40_000, 53, 100);
    for address in ["2001:db8:123::aaaa", "2001:db8:123::bbbb"] {
        house.untranslated(address, UDP, 4000, 53, 10);
        house.opens(mac(11), address, LAN);
    }
    assert!(!found(&mut house).is_shared());
}

#[test]
fn two_link_local_addresses_are_two_devices() {
    let mut house = behind_repeater(&["fe80::61", "fe80::62"]);
    house.translated(11, UDP, 4000, 40_000, 53, 100);
    assert!(found(&mut house).is_shared());
}

/// A machine with a leg in two networks has an address in each.
#[test]
fn a_leg_in_each_network_is_one_device() {
    let mut house = behind_repeater(&[]);
    house.neighbour("192.168.2.11", GUEST, Some(mac(11)));
    house.translated(11, UDP, 4000, 40_000, 53, 100);
    house.opens(mac(11), "192.168.2.11", GUEST);
    assert!(!found(&mut house).is_shared());
}

/// A device that has got another address is no two devices: it does not answer at the one of before. Whether it does is asked.
#[test]
fn an_address_at_which_nobody_answers_any_more_is_one_of_before() {
    let mut house = behind_repeater(&["192.168.1.61", "192.168.1.62"]);
    house.translated_from("192.168.1.61", UDP, 4000, 40_000, 53, 100);
    house.opens(mac(11), "192.168.1.62", LAN);
    assert!(found(&mut house).is_shared());
    assert_eq!(house.kernel.asked_for, 2);
    house.neighbour("192.168.1.62", LAN, None);
    house.pass(seconds(3));
    let suspect = house.last(1).unwrap()[0].clone();
    assert_eq!((suspect.is_shared(), suspect.former), (false, vec![ip("192.168.1.62")]));
    assert_eq!(suspect.name.as_deref(), Some("192.168.1.61 under 02:00:00:00:00:0b"), "who knows whose name it was");
    // There it is again.
    house.neighbour("192.168.1.62", LAN, Some(mac(11)));
    house.pass(seconds(3));
    assert!(house.last(1).unwrap()[0].is_shared());
}

/// Who sends is there, whether it answers or not.
#[test]
fn one_that_sends_without_answering_counts() {
    let mut house = behind_repeater(&["192.168.1.61", "192.168.1.62"]);
    house.translated_from("192.168.1.61", UDP, 4000, 40_000, 53, 100);
    house.opens(mac(11), "192.168.1.62", LAN);
    house.neighbour("192.168.1.62", LAN, None);
    assert!(!found(&mut house).is_shared());
    house.witness(1, mac(11), "192.168.1.62", LAN);
    house.pass(seconds(3));
    assert!(house.last(1).unwrap()[0].is_shared());
}
