//! Withdrawals and efficacy updates.

use crate::support::signal::*;

/// Proves SC-4.4.4-03: example 7.
#[test]
fn a_withdrawal_is_acknowledged_whatever_it_names() {
    for mut house in TestRouter::both() {
        house.want(57, &wanted(""));
        for mid in [57, 57, 999, 31337] {
            let answer = house.ask(&delete(&format!("mitigate/K/{mid}")));
            assert_eq!((answer.code().as_str(), answer.payload.len()), ("2.02", 0));
        }
        assert_eq!(house.ask(&delete("mitigate/L/57")).code(), "2.02");
    }
}

/// Proves SC-4.4.4-04, SC-4.4.4-05, SC-4.4.4-06, SC-4.4.4-08, CH-1-05: example 7.
#[test]
fn a_withdrawn_mitigation_goes_on_for_two_minutes() {
    for mut house in TestRouter::both() {
        house.want(57, &wanted(""));
        house.pass_alive(seconds(10));
        house.ask(&delete("mitigate/K/57"));
        let answer = house.ask(&get("mitigate/K/57").query("c=n")).to_string();
        assert!(answer.contains("14:120") && answer.contains("16:5"), "{answer}");
        house.pass_alive(seconds(119));
        assert!(!house.ledger.desired(house.now).blocks.is_empty());
        assert!(house.ask(&get("mitigate/K/57").query("c=n")).to_string().contains("14:1,"));
        house.pass_alive(seconds(1));
        assert_eq!(house.ask(&get("mitigate/K/57")).code(), "4.04");
        assert!(house.ledger.desired(house.now).blocks.is_empty());
    }
}

/// Proves SC-4.4.4-03: what never came into force is gone at once.
#[test]
fn a_request_nobody_had_agreed_to_is_gone_at_once() {
    for mut house in TestRouter::both() {
        house = house.asking();
        house.want(1, &wanted(""));
        house.ask(&delete("mitigate/K/1"));
        assert_eq!(house.ask(&get("mitigate/K/1")).code(), "4.04");
    }
}

/// Proves SC-4.4.4-07.
#[test]
fn asking_again_meanwhile_doubles_the_time() {
    let mut house = TestRouter::udp();
    house.want(1, &wanted(""));
    for period in [120, 240, 300, 300] {
        house.ask(&delete("mitigate/K/1"));
        let answer = house.ask(&get("mitigate/K/1").query("c=n")).to_string();
        assert!(answer.contains(&format!("14:{period},")), "{answer}");
        house.pass_alive(seconds(50));
        assert_eq!(house.want(1, &wanted("")), "2.04 {1:{2:[{5:1,14:3600}]}}");
    }
}

fn update(path: &str, more: &str) -> Message {
    put(path, &wanted(more)).option(1, &[])
}

/// Proves SC-4.4.3-06, SC-4.4.1.3-23: example 6, byte for byte.
#[test]
fn an_efficacy_update_refreshes() {
    let bytes =
        hex("a101a10281a4068174323030313a6462383a633030303a3a312f3132381980008173323030313a6462383a3132333a3a312f
                     3132380e190e10181d01");
    for mut house in TestRouter::both() {
        house.want(56, &wanted(""));
        house.pass_alive(seconds(600));
        let answer = house.ask(&request(PUT, "mitigate/K/56").option(1, &[]).number(12, 271).raw(bytes.clone()));
        assert_eq!((answer.code().as_str(), &answer.payload), ("2.04", &hex("a101a10281a20518380e190e10")));
        assert_eq!(house.ask(&update("mitigate/K/56", "29:2")).code(), "2.04");
        assert!(house.ask(&get("mitigate/K/56").query("c=n")).to_string().contains("14:3600"));
    }
}

/// Proves SC-4.4.3-07: example 6. A confirmable one is acknowledged, or it would come again and again.
#[test]
fn an_efficacy_update_about_nothing_is_ignored() {
    for mut house in TestRouter::both() {
        for mid in [999, 0] {
            assert_eq!(house.reply(&update(&format!("mitigate/K/{mid}"), "29:2")), None);
            assert!(house.heard().is_empty());
        }
        let sent = house.send(&update("mitigate/K/999", "29:2").con());
        let said = house.heard();
        if house.is_stream() {
            assert!(said.is_empty());
        } else {
            assert_eq!(said, [Message { kind: ACK, id: sent.id, ..Message::default() }]);
            house.feed(0, &sent.datagram());
            assert_eq!(house.heard(), said, "and again for the duplicate");
        }
        assert_eq!(house.ask(&get("mitigate/K/999")).code(), "4.04");
        house.want(1, &wanted(""));
        house.ask(&delete("mitigate/K/1"));
        assert_eq!(house.reply(&update("mitigate/K/1", "29:1")), None, "overtaken by the withdrawal");
        assert!(house.ask(&get("mitigate/K/1")).to_string().contains("16:5"));
    }
}

/// Proves SC-4.4.3-03, SC-4.4.3-04.
#[test]
fn an_efficacy_update_says_how_the_attack_stands_and_changes_nothing() {
    for mut house in TestRouter::both() {
        house.want(1, &wanted(""));
        for (more, words) in [
            ("", "attack-status missing"),
            ("29:3", "attack-status"),
            ("29:0", "attack-status"),
            ("29:\"1\"", "attack-status"),
            ("29:1,6:[\"2001:db8:c000::2/128\"]", "differ"),
            ("29:1,32769:[{8:1}]", "differ"),
            ("29:1,14:0", "lifetime"),
        ] {
            let answer = house.ask(&update("mitigate/K/1", more));
            assert_eq!(answer.code(), "4.00", "{more}");
            assert!(answer.text().contains(words), "{answer}");
        }
    }
}

/// Proves SC-4.4.3-06: with ambiguity A7, one without a lifetime leaves what is left of it.
#[test]
fn an_efficacy_update_without_lifetime() {
    let mut house = TestRouter::udp();
    house.want(1, &wanted(""));
    house.pass_alive(seconds(600));
    let bare = scope(&format!("6:[\"{TARGET}\"],32768:[\"{SOURCE}\"],29:1"));
    assert_eq!(house.ask(&put("mitigate/K/1", &bare).option(1, &[])).to_string(), "2.04 {1:{2:[{5:1,14:3000}]}}");
}

/// Proves SC-4.4.3-04: with ambiguity A13, how the attack stands is no news about a request that is not known.
#[test]
fn attack_status_without_if_match() {
    let mut house = TestRouter::udp();
    house.refuses(&wanted("29:1"), "attack-status");
    house.want(1, &wanted(""));
    assert!(house.want(1, &wanted("29:1")).starts_with("2.04"));
}

/// Proves SC-4.4.3-08: the answer where too much has been asked to look at it.
#[test]
fn an_efficacy_update_that_cannot_be_dealt_with() {
    let mut house = TestRouter::udp();
    house.want(1, &wanted(""));
    for _ in 0..300 {
        house.send(&get("mitigate/K/1"));
    }
    house.heard();
    let answer = house.ask(&update("mitigate/K/1", "29:1"));
    assert_eq!(answer.code(), "5.03");
    assert!(answer.uint(14).is_some_and(|seconds| seconds > 0));
}
