//! Requests of one client about the same attack.

use crate::support::ledger::*;
use dots_callhome::mitigation::{Client, Consent, Happened, Refusal, State};
use dots_callhome::model::{IcmpTypeRange, Scope};

fn house() -> TestRouter {
    TestRouter::by_hand(policy(Consent::Ask))
}

/// Proves SC-4.4.1.3-15.
#[test]
fn the_higher_mid_takes_the_place_of_the_lower() {
    let mut house = house();
    let first = house.put(1, &attack()).unwrap().id;
    house.events();
    let second = house.put(2, &attack()).unwrap();
    assert!(second.created);
    assert_ne!(second.id, first);
    assert!(house.ledger.find(&isp(), 1).is_none());
    assert!(house.ledger.find(&isp(), 2).is_some());
    assert_eq!(house.gone().iter().map(|m| m.mid()).collect::<Vec<_>>(), [1]);
    assert!(house.ledger.history().any(|entry| entry.event == Happened::Superseded));
}

/// Proves SC-4.4.1.3-14, SC-4.4.1.3-16, SC-4.4.1.3-17.
#[test]
fn a_late_lower_mid_is_told_what_it_clashes_with() {
    let mut house = house();
    let wide = scope(&["2001:db8:c000::/48", "203.0.113.0/24"], &["2001:db8:123::/64"]);
    let id = house.in_force(5, &wide, CAMERA);
    house.events();
    let narrow = scope(&["2001:db8:c000::1/128", "192.0.2.1/32"], &["2001:db8:123::1/128"]);
    let prefixes = vec!["2001:db8:c000::1/128".parse().unwrap()];
    assert_eq!(house.put(4, &narrow), Err(Refusal::Overlaps { mid: 5, prefixes }));
    assert_eq!(house.state(id), State::Active);
    assert_eq!(house.m(id).remaining(house.now), seconds(3600));
    assert!(house.events().is_empty());
}

/// Proves SC-4.4.1.3-16: of several clashes the highest mid is named, and nothing is deleted for a request refused.
#[test]
fn a_refused_request_deletes_nothing() {
    let mut house = house();
    house.put(1, &other_attack(1)).unwrap();
    house.put(5, &other_attack(2)).unwrap();
    house.put(9, &other_attack(3)).unwrap();
    let all = scope(&["2001:db8:d000::/112"], &["2001:db8:123::1/128"]);
    let refused = house.put(3, &all);
    assert!(matches!(refused, Err(Refusal::Overlaps { mid: 9, .. })));
    assert_eq!(house.ledger.of_client(&isp()).count(), 3);
    assert!(house.put(10, &all).unwrap().created);
    assert_eq!(house.ledger.of_client(&isp()).map(|m| m.mid()).collect::<Vec<_>>(), [10]);
}

/// Proves SC-4.4.1.3-14 as read for Call Home: targets and sources must both intersect.
#[test]
fn other_sources_or_other_targets_are_another_attack() {
    let behind_nat = scope(&["203.0.113.80/32"], &["198.51.100.7/32"]);
    let icmp = Scope { source_icmp_types: vec![IcmpTypeRange::new(8, 8).unwrap()], ..behind_nat.clone() };
    let reply = Scope { source_icmp_types: vec![IcmpTypeRange::new(0, 3).unwrap()], ..behind_nat.clone() };
    let apart = [
        (attack(), scope(&["2001:db8:c000::1/128"], &["2001:db8:123::2/128"])),
        (attack(), scope(&["2001:db8:c000::2/128"], &["2001:db8:123::1/128"])),
        (attack(), behind_nat.clone()),
        (with_source_ports(&behind_nat, 4000, 4999), with_source_ports(&behind_nat, 5000, 5999)),
        (with_source_ports(&behind_nat, 4000, 4999), icmp.clone()),
        (icmp.clone(), reply),
    ];
    for (one, other) in apart {
        let mut house = house();
        house.put(1, &one).unwrap();
        house.put(2, &other).unwrap();
        assert_eq!(house.ledger.all().count(), 2, "{one:?} and {other:?}");
    }
    let together = [
        (behind_nat.clone(), with_source_ports(&behind_nat, 4000, 4999)),
        (icmp.clone(), behind_nat.clone()),
        (with_source_ports(&behind_nat, 4000, 4999), with_source_ports(&behind_nat, 4999, 5999)),
    ];
    for (one, other) in together {
        let mut house = house();
        house.put(1, &one).unwrap();
        house.put(2, &other).unwrap();
        assert_eq!(house.ledger.all().count(), 1, "{one:?} and {other:?}");
    }
}

/// Proves SC-4.4.1.3-14: only requests of the same client overlap; another client's is kept beside it (SC-4.4.1.3-20).
#[test]
fn clients_do_not_supersede_each_other() {
    let mut house = house();
    house.put(1, &attack()).unwrap();
    let other = Client { peer: "other".into(), cuid: "L".into() };
    assert!(house.ledger.put(&other, 2, &attack(), Some(seconds(60)), false, house.now).unwrap().created);
    assert_eq!(house.ledger.all().count(), 2);
}

/// Proves SC-4.4.1.3-15, CH-5.3.1-25: consent given for a target holds for the request that follows, for the same device only.
#[test]
fn consent_passes_to_the_successor_for_the_same_targets_and_device() {
    let mut house = house();
    house.in_force(1, &attack(), CAMERA);
    let wider = scope(&["2001:db8:c000::1/128"], &["2001:db8:123::1/128", "2001:db8:123::2/128"]);
    let second = house.request(2, &wider, &[exact(CAMERA), exact(TV)]);
    assert_eq!(house.blocked(), [CAMERA], "the television was never agreed upon");
    assert_eq!(house.m(second).decision().unwrap().by, "root");
    assert_eq!(house.status(second), 1, "to be verified anew");
    let third = house.request(3, &wider, &[possible(CAMERA)]);
    assert_eq!(house.state(third), State::Pending, "a mere possibility is always asked");
    assert!(house.blocked().is_empty());
}

/// Proves CH-5.3.1-25: consent does not stretch to other targets.
#[test]
fn other_targets_need_another_consent() {
    let mut house = house();
    house.in_force(1, &attack(), CAMERA);
    let wider = scope(&["2001:db8:c000::/64"], &["2001:db8:123::1/128"]);
    let second = house.request(2, &wider, &[exact(CAMERA)]);
    assert_eq!(house.state(second), State::Pending);
    assert!(house.blocked().is_empty());
}

/// Proves SC-4.4.4-03: what the client has withdrawn stands in the way of nothing.
#[test]
fn a_terminating_request_gives_way_to_any_mid() {
    let mut house = house();
    house.in_force(5, &attack(), CAMERA);
    house.delete(5);
    assert!(house.put(4, &attack()).unwrap().created);
    assert!(house.ledger.find(&isp(), 5).is_none());
}
