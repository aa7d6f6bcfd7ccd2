//! A wide target is no target: whatever the policy and the confidence, a person is asked.

use crate::support::ledger::*;
use dots_callhome::mitigation::{Action, Consent, DevicePolicy, Policy, State, TimeoutAction};
use dots_callhome::model::{Breadth, Scope};

fn targets(prefixes: &[&str]) -> Scope {
    scope(prefixes, &["198.51.100.7/32"])
}

fn many(count: usize, prefix: impl Fn(usize) -> String) -> Scope {
    let prefixes: Vec<String> = (0..count).map(prefix).collect();
    targets(&prefixes.iter().map(String::as_str).collect::<Vec<_>>())
}

/// Every unicast address, in pieces none of which is unroutable.
fn nearly_everything() -> Scope {
    targets(&[
        "0.0.0.0/2",
        "64.0.0.0/3",
        "96.0.0.0/4",
        "112.0.0.0/5",
        "120.0.0.0/6",
        "124.0.0.0/7",
        "126.0.0.0/8",
        "128.0.0.0/2",
        "192.0.0.0/3",
        "2000::/3",
    ])
}

fn wide() -> Vec<Scope> {
    vec![
        nearly_everything(),
        targets(&["203.0.112.0/23"]),
        targets(&["203.0.112.0/24", "203.0.113.0/24"]),
        targets(&["203.0.112.0/24", "198.51.100.0/32"]),
        targets(&["2001:db8::/47"]),
        targets(&["2001:db8::/48", "2001:db9::1/128"]),
        targets(&["203.0.113.5/32", "2000::/3"]),
        many(100, |n| format!("203.0.{n}.0/24")),
        many(9, |n| format!("203.0.113.{}/32", 2 * n)),
        many(9, |n| format!("203.0.113.{n}/32")),
        // The Internet of IPv4 behind a translator, and half of it, and more than one network.
        targets(&["64:ff9b::/96"]),
        targets(&["64:ff9b::8000:0/97"]),
        targets(&["64:ff9b::/64"]),
        targets(&["64:ff9b:1::/48"]),
        targets(&["64:ff9b:1:2:3::/96"]),
        targets(&["64:ff9b::cb00:7000/119"]),
        targets(&["203.0.113.0/24", "64:ff9b::cb00:7200/120"]),
    ]
}

fn narrow() -> Vec<Scope> {
    vec![
        targets(&["203.0.113.0/24"]),
        targets(&["203.0.113.0/25", "203.0.113.128/25"]),
        targets(&["203.0.113.0/24", "203.0.113.7/32"]),
        targets(&["2001:db8::/48"]),
        targets(&["203.0.113.0/24", "2001:db8::/48"]),
        targets(&["64:ff9b::cb00:7100/120", "2001:db8::/48"]),
        targets(&["64:ff9b:2::/48"]),
        many(8, |n| format!("203.0.113.{}/32", 2 * n)),
    ]
}

/// Proves CH-5.3.1-25: `auto`, and a device's own rule, ask; a person may say yes.
#[test]
fn the_policy_asks_about_wide_targets() {
    for (rules, name) in
        [(policy(Consent::Auto), "auto"), (with_device(Consent::Ask, CAMERA, DevicePolicy::Auto), "device")]
    {
        for action in [Action::Block, Action::Quarantine] {
            for scope in wide() {
                let mut house = TestRouter::by_hand(Policy { action, ..rules.clone() });
                let id = house.request(1, &scope, &[exact(CAMERA)]);
                assert_eq!(
                    (house.state(id), house.blocked(), house.quarantined()),
                    (State::Pending, vec![], vec![]),
                    "{name} {scope:?}"
                );
                house.ledger.approve(id, None, &[], None, "root", house.now).unwrap();
                assert_eq!(house.state(id), State::Active);
            }
        }
        for scope in narrow() {
            let mut house = TestRouter::by_hand(rules.clone());
            house.request(1, &scope, &[exact(CAMERA)]);
            assert_eq!(house.blocked(), [CAMERA], "{name} {scope:?}");
        }
    }
}

/// Proves CH-5.3.1-24: nobody has seen it, so nobody has agreed.
#[test]
fn silence_is_no_yes_to_a_wide_target() {
    let (consent_timeout, timeout_action) = (Some(seconds(300)), TimeoutAction::Approve);
    for scope in wide() {
        let mut house = TestRouter::by_hand(Policy { consent_timeout, timeout_action, ..policy(Consent::Ask) });
        let id = house.request(1, &scope, &[exact(CAMERA)]);
        house.pass(seconds(301));
        assert_eq!((house.state(id), house.blocked()), (State::Pending, vec![]), "{scope:?}");
        house.ledger.approve(id, None, &[], None, "root", house.now).unwrap();
        assert_eq!(house.blocked(), [CAMERA]);
    }
}

/// A wide request does not add devices to what a person has approved of it, nor does its like for a narrow one.
#[test]
fn more_devices_of_a_wide_target_are_asked() {
    let mut house = TestRouter::by_hand(policy(Consent::Auto));
    let id = house.request(1, &nearly_everything(), &[exact(CAMERA)]);
    house.ledger.approve(id, None, &[], None, "root", house.now).unwrap();
    house.ledger.handle_attribution(id, vec![exact(TV)], house.now);
    assert_eq!(house.blocked(), [CAMERA]);
    let narrow = targets(&["203.0.113.5/32"]);
    house.in_force(2, &Scope { source_prefixes: vec!["198.51.100.8/32".parse().unwrap()], ..narrow.clone() }, LAPTOP);
    let wider = Scope {
        target_prefixes: nearly_everything().target_prefixes,
        source_prefixes: vec!["198.51.100.8/32".parse().unwrap()],
        ..narrow
    };
    house.request(3, &wider, &[exact(LAPTOP)]);
    assert_eq!(house.blocked(), [CAMERA], "the successor is wide");
}

#[test]
fn breadth_counts_each_address_once() {
    let of = |prefixes: &[&str]| {
        let Breadth { v4_addresses, v6_networks } = targets(prefixes).breadth();
        (v4_addresses, v6_networks)
    };
    assert_eq!(of(&["203.0.113.0/24", "203.0.113.7/32", "2001:db8::1/128"]), (256, 1));
    assert_eq!(of(&["0.0.0.0/0", "::/0"]), (1 << 32, 1 << 48));
    assert_eq!(of(&["2000::/3", "2001:db8::/32"]), (0, 1 << 45));
    assert_eq!(of(&["2001:db8::/48", "2001:db9::/49"]), (0, 2), "rounded up");
    assert_eq!(of(&["192.0.2.1/32"]), (1, 0));
    assert_eq!(of(&["64:ff9b::/96", "64:ff9b:1::/48"]), (1 << 33, 0), "each stands for all of them");
    assert_eq!(of(&["64:ff9b::c000:201/128", "64:ff9a::/48"]), (1, 1));
}
