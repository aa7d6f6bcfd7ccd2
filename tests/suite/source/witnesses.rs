//! Who sends, by Ethernet address: what a search makes of it when packets don't come from whom their addresses say.

use std::time::Duration;

use crate::support::source::table::home;
use crate::support::source::*;
use dots_callhome::model::Mac;
use dots_callhome::model::MitigationId;
use dots_callhome::source::Confidence::{Exact, Possible};
use dots_callhome::source::Sender;

const BY_PORT: &str = "198.51.100.7 40000 > 203.0.113.80 53 / 17";

/// A home in which packets with the address of device 11 go to the target, asked about by port.
fn asked_about_11() -> TestRouter {
    let mut house = home();
    house.translated(11, UDP, 1, 40000, 53, 100);
    house.search(1, &scope(BY_PORT));
    assert_eq!(house.verdict(1), [(mac(11), Exact)]);
    house
}

/// Proves CH-5.3.2-06 against devices that send in the name of a neighbour that is there. But it may be a router that
/// forwards for that one, so nobody is sure.
#[test]
fn a_flow_is_of_who_sends_it() {
    let mut house = asked_about_11();
    house.witness(1, mac(17), &v4(11), LAN);
    house.pass(Duration::from_secs(20));
    assert_eq!(house.verdict(1), [(mac(17), Possible)]);
    assert_eq!(house.framed, [(MitigationId(1), mac(11), false)]);
    let suspect = &house.last(1).unwrap()[0];
    assert_eq!(suspect.evidence[0].flow.original.source, ip(&v4(11)));
    // Once told is enough.
    house.witness(1, mac(17), &v4(11), LAN);
    assert_eq!(house.framed.len(), 1);
}

/// Whoever has the address and is seen to send changes nothing.
#[test]
fn the_owner_of_an_address_is_no_news() {
    let mut house = asked_about_11();
    let found = house.found.len();
    house.witness(1, mac(11), &v4(11), LAN);
    house.witness(1, mac(12), &v4(12), LAN);
    assert_eq!((house.verdict(1), house.found.len()), (vec![(mac(11), Exact)], found));
    assert!(house.framed.is_empty());
}

/// Where both send from it nobody can say whose a flow is.
#[test]
fn two_who_send_from_one_address_are_both_possible() {
    let mut house = asked_about_11();
    house.witness(1, mac(11), &v4(11), LAN);
    house.witness(1, mac(17), &v4(11), LAN);
    house.pass(Duration::from_secs(20));
    let mut verdict = house.verdict(1);
    verdict.sort();
    assert_eq!(verdict, [(mac(11), Possible), (mac(17), Possible)]);
    assert_eq!(house.framed, [(MitigationId(1), mac(11), true)]);
}

/// An address that nobody has, and no two packets with the same one: whoever sends them is found all the same.
#[test]
fn who_makes_addresses_up_is_found() {
    let mut house = home();
    house.translated(99, UDP, 1, 40000, 53, 100);
    house.search(1, &scope(BY_PORT));
    assert_eq!(house.verdict(1), []);
    house.opens(mac(17), &v4(99), LAN);
    house.witness(1, mac(17), &v4(99), LAN);
    house.pass(Duration::from_secs(20));
    assert_eq!(house.verdict(1), [(mac(17), Exact)]);
    assert!(house.framed.is_empty());
}

/// An address of no network of the home's may be one behind the sender.
#[test]
fn who_sends_from_elsewhere_may_be_a_router() {
    let mut house = home();
    house.translated_from("10.9.9.9", UDP, 1, 40000, 53, 100);
    house.search(1, &scope(BY_PORT));
    house.witness(1, mac(17), "10.9.9.9", LAN);
    house.pass(Duration::from_secs(20));
    assert_eq!(house.verdict(1), [(mac(17), Possible)]);
    assert!(house.last(1).unwrap()[0].behind);
}

/// The owner may answer only when asked, after the other one has been seen: then it is doubtful after all.
#[test]
fn an_owner_that_shows_later_makes_it_doubtful() {
    let mut house = home();
    house.translated(99, UDP, 1, 40000, 53, 100);
    house.search(1, &scope(BY_PORT));
    house.neighbour(&v4(99), LAN, Some(mac(99)));
    house.witness(1, mac(17), &v4(99), LAN);
    house.pass(Duration::from_secs(20));
    assert_eq!(house.verdict(1), [(mac(17), Possible)]);
}

/// Behind a router of the home it is that router that sends.
#[test]
fn a_router_of_the_home_sends_for_those_behind_it() {
    let mut house = home();
    house.translated_from("192.168.50.20", UDP, 1, 40000, 53, 100);
    house.search(1, &scope(BY_PORT));
    house.witness(1, mac(18), "192.168.50.20", LAN);
    house.pass(Duration::from_secs(20));
    assert_eq!(house.verdict(1), [(mac(18), Possible)]);
}

/// From outside anybody may use a device's address, and the router's own is no device's.
#[test]
fn only_devices_of_the_home_are_believed_to_send() {
    let mut house = asked_about_11();
    house.witness(1, mac(17), &v4(11), WAN);
    house.witness(1, mac(17), WAN_ADDRESS, LAN);
    house.pass(Duration::from_secs(20));
    assert_eq!(house.verdict(1), [(mac(11), Exact)]);
    assert!(house.framed.is_empty());
}

/// Whoever sends with the Ethernet address of the router is no device that could be blocked, but it is not the one with the IP
/// address either.
#[test]
fn who_has_the_routers_ethernet_address_is_a_doubt() {
    let router = Mac([2, 0xff, 0, 0, 0, 1]);
    let mut house = asked_about_11();
    house.witness(1, router, &v4(11), LAN);
    house.pass(Duration::from_secs(20));
    assert_eq!((house.verdict(1), &house.framed[..]), (vec![], &[(MitigationId(1), mac(11), false)][..]));
    house.witness(1, mac(11), &v4(11), LAN);
    house.pass(Duration::from_secs(20));
    assert_eq!(house.verdict(1), [(mac(11), Possible)]);
    assert_eq!(house.framed.last(), Some(&(MitigationId(1), mac(11), true)));
}

/// Another search about the same device goes on as before: there it may send.
#[test]
fn what_one_search_sees_is_no_matter_of_another() {
    let mut house = asked_about_11();
    house.search(2, &scope("198.51.100.7 40000 > 203.0.113.0/24 53 / 17"));
    house.witness(1, mac(17), &v4(11), LAN);
    house.pass(Duration::from_secs(20));
    assert_eq!((house.verdict(1), house.verdict(2)), (vec![(mac(17), Possible)], vec![(mac(11), Exact)]));
}

/// Whoever makes up Ethernet addresses too fills nothing without end.
#[test]
fn made_up_senders_are_bounded() {
    let mut house = asked_about_11();
    for n in 0..=255 {
        house.witness(1, mac(n), &v4(11), LAN);
        house.witness(1, mac(19), &format!("10.0.0.{n}"), LAN);
    }
    house.pass(Duration::from_secs(20));
    assert!(house.verdict(1).len() <= 10, "{}", house.verdict(1).len());
    assert!(house.verdict(1).iter().all(|(_, confidence)| *confidence == Possible));
}

/// Who is seen while a list is under way takes nothing away of what the list has told so far.
#[test]
fn a_look_under_way_is_seen_to_its_end() {
    let mut house = home();
    for port in 0..40 {
        house.translated(11, UDP, 1000 + port, 40_000 + port, 53, 100);
    }
    house.translated(12, UDP, 1, 41_000, 53, 100);
    house.finder.start_search(MitigationId(1), &scope("198.51.100.7 - > 203.0.113.80 53 / 17"), house.now);
    let (socket, request) = house.finder.poll_transmit().unwrap();
    for (number, datagram) in house.kernel.answer(&request).iter().enumerate() {
        if number == 1 {
            house.finder.handle_senders(
                MitigationId(1),
                &[Sender { mac: mac(17), address: ip(&v4(99)), link: LAN }],
                house.now,
            );
        }
        house.finder.handle_datagram(socket, datagram, house.now);
    }
    house.settle();
    house.pass(Duration::from_secs(20));
    assert_eq!(house.ever_sure(1), []);
    let mut verdict = house.verdict(1);
    verdict.sort();
    assert_eq!(verdict, [(mac(11), Possible), (mac(12), Possible)]);
}
