//! What is done where several devices send under one Ethernet address.

use std::net::IpAddr;

use crate::support::home::ip;
use crate::support::ledger::*;
use dots_callhome::mitigation::snapshot::{decode, encode};
use dots_callhome::mitigation::{Action, Consent, Denied, Ledger, Policy, State, Term, Whom};
use dots_callhome::model::Mac;
use dots_callhome::source::Suspect;

const CAMERA_ADDRESS: &str = "192.168.1.61";
const LAPTOP_ADDRESS: &str = "192.168.1.62";

/// The camera behind a repeater with the laptop.
fn shared() -> Suspect {
    Suspect {
        senders: vec![ip(CAMERA_ADDRESS)],
        sharers: [CAMERA_ADDRESS, LAPTOP_ADDRESS].map(ip).into(),
        ..exact(CAMERA)
    }
}

fn only(house: &TestRouter, mac: Mac) -> Vec<IpAddr> {
    let desired = house.ledger.desired(house.now);
    desired.blocks.iter().filter_map(|block| block.narrowed.get(&mac)).flatten().copied().collect()
}

#[test]
fn the_policy_asks_which_is_meant() {
    let mut house = TestRouter::by_hand(policy(Consent::Auto));
    let id = house.request(1, &attack(), &[shared()]);
    assert_eq!((house.state(id), house.blocked()), (State::Pending, vec![]));
    let id = house.request(2, &other_attack(1), &[shared(), exact(TV)]);
    assert_eq!((house.state(id), house.blocked()), (State::Active, vec![TV]));
}

#[test]
fn an_approval_is_about_those_who_send() {
    let mut house = TestRouter::by_hand(policy(Consent::Ask));
    let id = house.request(1, &attack(), &[shared()]);
    house.ledger.approve(id, None, &[], None, "root", house.now).unwrap();
    assert_eq!((house.blocked(), only(&house, CAMERA)), (vec![CAMERA], vec![ip(CAMERA_ADDRESS)]));
    // It stays so over a restart, and is handed on.
    let mut ledger = Ledger::new(policy(Consent::Ask));
    ledger.restore(&decode(&encode(&house.ledger.snapshot(house.now))).unwrap(), house.now);
    assert_eq!(only(&TestRouter::resumed(ledger, house.now), CAMERA), [ip(CAMERA_ADDRESS)]);
    house.request(2, &attack(), &[Suspect { senders: vec![ip(LAPTOP_ADDRESS)], ..shared() }]);
    assert_eq!((house.blocked(), only(&house, CAMERA)), (vec![CAMERA], vec![ip(CAMERA_ADDRESS)]));
}

#[test]
fn a_person_may_choose_among_them() {
    let both = || Suspect { senders: [CAMERA_ADDRESS, LAPTOP_ADDRESS].map(ip).into(), ..shared() };
    let mut house = TestRouter::by_hand(policy(Consent::Ask));
    let id = house.request(1, &attack(), &[both()]);
    let approve = |house: &mut TestRouter, addresses: &[IpAddr]| {
        let whom = Whom { devices: &[CAMERA], addresses };
        house.ledger.approve_only(id, None, whom, Term::default(), "root", house.now)
    };
    assert_eq!(approve(&mut house, &[ip("192.168.1.99")]), Err(Denied::NoSuchDevice));
    assert_eq!(house.state(id), State::Pending);
    approve(&mut house, &[ip(CAMERA_ADDRESS)]).unwrap();
    assert_eq!(only(&house, CAMERA), [ip(CAMERA_ADDRESS)]);
    // That the other sends as well is told, and changes nothing by itself.
    house.ledger.handle_enforced(id, Ok(()), house.now);
    house.ledger.handle_attribution(id, vec![Suspect { senders: vec![ip(LAPTOP_ADDRESS)], ..shared() }], house.now);
    assert!(house.m(id).detail().unwrap().starts_with("192.168.1.62 sends as well"));
    assert_eq!(only(&house, CAMERA), [ip(CAMERA_ADDRESS)]);
    approve(&mut house, &[ip(LAPTOP_ADDRESS)]).unwrap();
    assert_eq!(only(&house, CAMERA), [CAMERA_ADDRESS, LAPTOP_ADDRESS].map(ip));
}

/// Only later it shows that others are behind it, who are let go then.
#[test]
fn a_block_is_narrowed_when_others_show_up() {
    let mut house = TestRouter::by_hand(policy(Consent::Auto));
    let id = house.request(1, &attack(), &[exact(CAMERA)]);
    assert_eq!((house.blocked(), only(&house, CAMERA)), (vec![CAMERA], vec![]));
    house.ledger.handle_attribution(id, vec![shared()], house.now);
    assert_eq!((house.blocked(), only(&house, CAMERA)), (vec![CAMERA], vec![ip(CAMERA_ADDRESS)]));
}

#[test]
fn a_quarantine_is_about_the_ethernet_address() {
    let mut house = TestRouter::by_hand(policy(Consent::Ask));
    let id = house.request(1, &attack(), &[shared()]);
    house.ledger.approve(id, Some(Action::Quarantine), &[], None, "root", house.now).unwrap();
    assert_eq!((house.quarantined(), house.m(id).narrowed(CAMERA)), (vec![CAMERA], None));
}

/// One device that had another address before is acted upon without asking, at the address from where it sends: should it have
/// been somebody else's, that one is not hit.
#[test]
fn an_address_of_before_needs_no_question() {
    let moved = || Suspect { sharers: Vec::new(), former: vec![ip(LAPTOP_ADDRESS)], ..shared() };
    let mut house = TestRouter::by_hand(policy(Consent::Auto));
    let id = house.request(1, &attack(), &[moved()]);
    assert_eq!((house.state(id), only(&house, CAMERA)), (State::Active, vec![ip(CAMERA_ADDRESS)]));
    house.ledger.handle_enforced(id, Ok(()), house.now);
    house.ledger.handle_attribution(id, vec![Suspect { senders: vec![ip(LAPTOP_ADDRESS)], ..moved() }], house.now);
    assert!(house.m(id).detail().unwrap().starts_with("192.168.1.62 sends as well"));
    // A quarantine would be about all under the Ethernet address.
    let mut house = TestRouter::by_hand(Policy { action: Action::Quarantine, ..policy(Consent::Auto) });
    let id = house.request(1, &attack(), &[moved()]);
    assert_eq!((house.state(id), house.quarantined()), (State::Pending, vec![]));
}
