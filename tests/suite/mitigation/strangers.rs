//! What the administrator sees where the sender is no device.

use crate::support::ledger::*;
use dots_callhome::mitigation::{Consent, State};
use dots_callhome::source::{Stranger, StrangerKind};

fn telephone() -> Stranger {
    let address = "10.9.0.2".parse().unwrap();
    Stranger { address, interface: Some("wg0".into()), kind: StrangerKind::NoEthernet, asked_by: Vec::new() }
}

#[test]
fn a_search_says_why_it_goes_on() {
    let mut house = TestRouter::by_hand(policy(Consent::Auto));
    let id = house.request(1, &attack(), &[]);
    assert_eq!((house.state(id), house.m(id).detail()), (State::Searching, None));
    house.ledger.handle_strangers(id, vec![telephone()]);
    assert!(house.m(id).detail().unwrap().starts_with("10.9.0.2 on wg0 sends"));
    house.ledger.handle_strangers(id, Vec::new());
    assert_eq!(house.m(id).detail(), None);
}

/// Whoever was suspected for want of anybody with the port named is suspected no more; whom a person has chosen stays.
#[test]
fn a_stranger_takes_the_place_of_whom_nothing_but_the_target_speaks_against() {
    let mut house = TestRouter::by_hand(policy(Consent::Ask));
    let id = house.request(1, &attack(), &[possible(TV)]);
    assert_eq!(house.state(id), State::Pending);
    house.ledger.handle_strangers(id, vec![telephone()]);
    house.ledger.handle_attribution(id, Vec::new(), house.now);
    assert_eq!((house.state(id), house.m(id).suspects().len()), (State::Searching, 0));
    house.ledger.handle_attribution(id, vec![possible(TV)], house.now);
    assert_eq!(house.state(id), State::Pending);
    house.ledger.approve(id, None, &[TV], None, "root", house.now).unwrap();
    house.ledger.handle_strangers(id, vec![telephone()]);
    house.ledger.handle_attribution(id, Vec::new(), house.now);
    assert_eq!((house.blocked(), house.m(id).suspects().len()), (vec![TV], 1));
}
