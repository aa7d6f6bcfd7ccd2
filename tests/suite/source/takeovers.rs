//! Addresses that a device gives up and another one takes, as devices do that change theirs by themselves.

use crate::support::source::table::home;
use crate::support::source::*;
use dots_callhome::source::Confidence::Exact;

/// Temporary addresses of device 11, one after the other (RFC 8981).
const FIRST: &str = "2001:db8:123::a:1";
const SECOND: &str = "2001:db8:123::a:2";

fn request(source: &str) -> dots_callhome::model::Scope {
    scope(&format!("{source} - > 2001:db8:c000::80 53 / 17"))
}

/// Device 11 has sent from its first address, which it still answers to, and sends from the second one now.
fn rotated() -> TestRouter {
    let mut house = home();
    house.neighbour(FIRST, LAN, Some(mac(11)));
    let old = house.untranslated(FIRST, UDP, 4000, 53, 100);
    house.pass(seconds(60));
    house.end(old);
    house.neighbour(SECOND, LAN, Some(mac(11)));
    house
}

fn nobody_is_sure(house: &mut TestRouter, source: &str) {
    house.search(1, &request(source));
    house.pass(seconds(60));
    assert_eq!(house.ever_sure(1), [], "{source}");
}

/// A device that changes its address by itself is as sure as ever, from the old one and from the new one.
#[test]
fn a_device_that_changes_its_address_is_no_doubt() {
    let mut house = rotated();
    house.untranslated(SECOND, UDP, 4000, 53, 100);
    for (id, source) in [(1, FIRST), (2, SECOND)] {
        house.search(id, &request(source));
        assert_eq!(house.verdict(id), [(mac(11), Exact)], "{source}");
    }
}

/// The address it has given up, or is about to, borrowed by another one: both are in doubt, whether or not that one says so to its
/// neighbours, whether or not it is still at it.
#[test]
fn an_address_given_up_and_borrowed_is_doubt() {
    for (tells, lasts) in [(false, false), (false, true), (true, false), (true, true)] {
        let mut house = rotated();
        if tells {
            house.neighbour(FIRST, LAN, Some(mac(17)));
        }
        house.opens(mac(17), FIRST, LAN);
        let original = tuple(FIRST, VICTIM6, UDP, ports(5000, 53));
        let id = house.borrowed_flow(original, tuple(VICTIM6, FIRST, UDP, ports(53, 5000)), 100);
        house.pass(seconds(3));
        if !lasts {
            house.end(id);
        }
        nobody_is_sure(&mut house, FIRST);
    }
}

/// Forgotten by the router, as the kernel does with neighbours that are silent: what is noted of it still counts.
#[test]
fn a_borrower_of_a_forgotten_address_is_not_alone() {
    let mut house = rotated();
    house.neighbour(FIRST, LAN, None);
    house.pass(seconds(700));
    house.opens(mac(17), FIRST, LAN);
    house.neighbour(FIRST, LAN, Some(mac(17)));
    let original = tuple(FIRST, VICTIM6, UDP, ports(5000, 53));
    house.borrowed_flow(original, tuple(VICTIM6, FIRST, UDP, ports(53, 5000)), 100);
    nobody_is_sure(&mut house, FIRST);
}
