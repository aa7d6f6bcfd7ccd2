//! More than a router can or will deal with.

use crate::support::signal::*;
use dots_callhome::mitigation::{Consent, Policy};

/// Proves SC-4.4.1.3-01: example 20; full, it says when to come back, and goes on with what it has.
#[test]
fn a_full_table() {
    for mut house in TestRouter::both() {
        house.ledger.set_policy(Policy { max_mitigations: 3, ..policy(Consent::Auto) }, house.now);
        for mid in 0..3 {
            house.want(mid, &wanted(&format!("6:[\"2001:db8:d000::{mid:x}/128\"],14:120")));
        }
        let answer = house.ask(&put("mitigate/K/9", &about(9)));
        assert_eq!((answer.code().as_str(), answer.uint(14)), ("5.03", Some(121)));
        assert!(!answer.text().is_empty());
        assert!(house.want(1, &wanted("6:[\"2001:db8:d000::1/128\"]")).starts_with("2.04"));
        assert!(
            house.want(8, &wanted("6:[\"2001:db8:d000::1/128\"]")).starts_with("2.01"),
            "one that replaces another"
        );
        house.pass(seconds(121));
        assert!(house.want(9, &about(9)).starts_with("2.01"));
    }
}

/// Proves SC-11-03, CO-4.7-02: ever new names don't help, refusals are bounded too, and heartbeats are always served.
#[test]
fn a_flood_of_new_clients() {
    for mut house in TestRouter::both() {
        let (mut served, mut refused, mut ignored) = (0, 0, 0);
        for n in 0..2000 {
            match house.reply(&put(&format!("mitigate/client{n}/1"), &about(n))).map(|answer| answer.code()) {
                Some(code) if code == "2.01" => served += 1,
                Some(code) if code == "5.03" => refused += 1,
                Some(other) => panic!("{other}"),
                None => ignored += 1,
            }
        }
        assert_eq!(served, 128, "as many as a peer may have");
        assert_eq!((refused, ignored), (128 + 256, 2000 - 512));
        assert_eq!(house.ledger.all().count(), 128);
        assert_eq!(house.ask(&put("hb", "{49:{51:true}}")).code(), "2.04");
        house.pass(seconds(1));
        let mut again = 0;
        while house.reply(&get("config")).is_some_and(|answer| answer.code() == "2.05") {
            again += 1;
        }
        assert_eq!(again, 20, "after a second, a second's worth");
    }
}

/// Proves SC-11-03: a burst such as a real attack brings is served as a whole.
#[test]
fn a_burst_is_served() {
    for mut house in TestRouter::both() {
        for mid in 0..128 {
            assert!(house.want(mid, &about(mid)).starts_with("2.01"));
            assert_eq!(house.ask(&get(&format!("mitigate/K/{mid}")).number(6, 0)).code(), "2.05");
        }
    }
}
