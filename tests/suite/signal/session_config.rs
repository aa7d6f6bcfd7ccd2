//! The session configuration: discovery, change, refusal, reset.

use crate::support::signal::*;
use dots_callhome::coap::Endpoint;
use dots_callhome::signal::session::{Event, Session};

/// One set with the limits that this router announces.
fn set(heartbeat: u16) -> String {
    format!(
        "{{33:{{34:240,35:15,36:{heartbeat}}},37:{{34:20,35:3,36:15}},38:{{34:15,35:2,36:3}},\
         39:{{41:4([-2,3000]),42:4([-2,100]),43:4([-2,200])}},40:{{41:4([-2,400]),42:4([-2,110]),43:4([-2,150])}},\
         50:{{34:20,35:5,36:5}}}}"
    )
}

fn config(house: &mut TestRouter) -> String {
    house.ask(&get("config").con()).body()
}

/// Proves SC-4.5.1-02, SC-4.5.2-13, SC-4.5.2-14, SC-4.5.2-16, SC-4.5.2-18, SC-4.5.3-01, SC-4.5.3-02, SC-6-03, CH-5.2.1-02,
/// SC-4.5-01: example 1.
#[test]
fn what_a_client_finds() {
    let mut house = TestRouter::udp();
    let answer = house.ask(&get("config").con());
    assert_eq!(answer.body(), format!("{{30:{{32:{},44:{}}}}}", set(30), set(30)));
    assert_eq!((answer.code().as_str(), answer.uint(14)), ("2.05", Some(86_400)));
    let example = diag::decode(&hex(
        "a1181ea21820a61821a3182218f018230f1824181e1825a318221418230318240f1832a31822141823051824051826a318220f1823021824
         031827a31829c48221190bb8182ac482211864182bc4822118c81828a31829c48221190190182ac48221186e182bc482211896182ca61821
         a3182218f018230f182418191825a318221418230318240f1832a31822141823051824051826a318220f1823021824031827a31829c48221
         190bb8182ac482211864182bc4822118c81828a31829c48221190190182ac48221186e182bc482211896",
    ));
    assert_eq!(example, format!("{{30:{{32:{},44:{}}}}}", set(30), set(25)), "the example but for its idle heartbeat");
    house.pass(seconds(30));
    let beat = house.heard().pop().expect("a heartbeat").datagram().len();
    assert!(beat <= 30 * 5, "{beat} bytes fit the probing rate");
}

/// Proves CH-5.2.1-02, SC-4.5.2-18: the administrator's interval is what a client finds.
#[test]
fn the_interval_is_ours_to_choose() {
    let mut house = TestRouter::udp();
    let endpoint = Endpoint::datagram(Box::new(Dice(3)));
    house.providers[0].session = Session::new("isp".into(), endpoint, 20, house.now);
    assert_eq!(config(&mut house).matches("36:20").count(), 2);
    house.pass(seconds(20));
    assert_eq!(house.heard().len(), 1);
}

/// Proves SC-4.5-05.
#[test]
fn over_a_stream_there_is_less_to_negotiate() {
    let mut house = TestRouter::tcp();
    let both = "{33:{34:240,35:15,36:30},50:{34:20,35:5,36:5}}";
    assert_eq!(config(&mut house), format!("{{30:{{32:{both},44:{both}}}}}"));
    let put = put("config/sid=1", "{30:{32:{37:{36:3},33:{36:20}},44:{37:{36:3},33:{36:20},39:{43:4([-2,3000])}}}}");
    assert_eq!(house.ask(&put).code(), "2.01");
    house.pass(seconds(20 * 15 - 1));
    assert_eq!(house.session_events(), [Event::Ready], "three missing ones were not agreed upon");
    house.pass(seconds(2));
    assert!(matches!(house.session_events().as_slice(), [Event::Lost(_)]));
}

/// Proves SC-4.5.2-05, SC-4.5.2-06, SC-4.5.2-07, SC-4.5.2-17, SC-4.5.4-01, SC-4.5.1-03, SC-4.5.2-12: example 16.
#[test]
fn accepted_updated_refused_deleted() {
    let first = hex("a1181ea21820a31821a11824181e1825a118240f1827a1182bc4822118c8182ca11821a1182400");
    let second = hex("a1181ea11820a11821a1182405");
    for mut house in TestRouter::both() {
        let put =
            |sid: u32, body: &[u8]| request(PUT, &format!("config/sid={sid}")).con().number(12, 271).raw(body.to_vec());
        let created = house.ask(&put(1, &first));
        assert_eq!((created.code().as_str(), created.payload.len()), ("2.01", 0));
        assert_eq!(house.ask(&put(1, &first)).code(), "2.04");
        let refused = house.ask(&put(2, &second));
        assert_eq!((refused.code().as_str(), refused.text()), ("4.22", "heartbeat-interval outside 15..240"));
        let now = config(&mut house);
        assert!(now.contains("36:30") && now.contains("36:0"), "sid 1 still in force: {now}");
        assert_eq!(house.ask(&get("config/sid=1").con()).body(), now);
        let missing = house.ask(&request(PUT, "config").con().number(12, 271).raw(first.clone()));
        assert_eq!((missing.code().as_str(), missing.text()), ("4.00", "sid missing"));
        for unknown in [0, 2, 77] {
            assert_eq!(house.ask(&get(&format!("config/sid={unknown}")).con()).code(), "4.04");
            assert_eq!(house.ask(&delete(&format!("config/sid={unknown}")).con()).code(), "4.04");
        }
        assert_eq!(config(&mut house), now);
        assert_eq!(house.ask(&delete("config/sid=1").con()).code(), "2.02");
        assert!(!config(&mut house).contains("36:0"));
        assert_eq!(house.ask(&get("config/sid=1").con()).code(), "4.04");
    }
}

/// Proves SC-4.5.4-02, SC-4.5.4-01.
#[test]
fn a_client_that_restarts_may_reset() {
    for mut house in TestRouter::both() {
        assert_eq!(house.ask(&delete("config").con()).code(), "2.02");
        let defaults = config(&mut house);
        house.ask(&put("config/sid=9", "{30:{44:{33:{36:60}}}}"));
        assert_ne!(config(&mut house), defaults);
        assert_eq!(house.ask(&delete("config").con()).code(), "2.02");
        assert_eq!(config(&mut house), defaults);
        assert_eq!(house.ask(&put("config/sid=1", "{30:{44:{33:{36:60}}}}")).code(), "2.01", "numbers begin again");
    }
}

/// Proves SC-4.5.2-09, SC-4.5.2-10.
#[test]
fn the_higher_sid_counts() {
    for mut house in TestRouter::both() {
        let put = |sid: u32, interval: u32| {
            put(&format!("config/sid={sid}"), &format!("{{30:{{44:{{33:{{36:{interval}}}}}}}}}"))
        };
        assert_eq!(house.ask(&put(1, 20)).code(), "2.01");
        assert_eq!(house.ask(&put(9, 40)).code(), "2.01");
        assert_eq!(house.ask(&get("config/sid=1")).code(), "4.04");
        let late = house.ask(&put(3, 60));
        assert_eq!(late.code(), "4.00");
        assert!(late.text().contains("sid"));
        assert!(house.ask(&get("config/sid=9")).body().contains("36:40"));
        assert_eq!(house.ask(&put(u32::MAX, 60)).code(), "2.01");
    }
}

/// Proves SC-4.5.2-03, SC-4.5.2-12: one parameter is enough; the rest keeps what it was.
#[test]
fn some_parameters() {
    for mut house in TestRouter::both() {
        for empty in ["{30:{}}", "{30:{32:{}}}", "{30:{32:{},44:{}}}", "{30:{32:{200:1}}}", "{}", "{30:{44:{33:{}}}}"] {
            assert_eq!(house.ask(&put("config/sid=1", empty)).code(), "4.00", "{empty}");
        }
        let before = config(&mut house);
        assert_eq!(house.ask(&put("config/sid=1", "{30:{32:{50:{36:7}}}}")).code(), "2.01");
        let after = config(&mut house);
        assert_eq!(after, before.replacen("50:{34:20,35:5,36:5}", "50:{34:20,35:5,36:7}", 1));
    }
}

/// Proves SC-4.5.2-04, SC-4.5.2-11, SC-9-02, SC-6-01, SC-6-06.
#[test]
fn invalid_and_unknown_parameters() {
    for mut house in TestRouter::both() {
        for body in [
            "{30:{32:{33:{34:100,36:30}}}}",
            "{30:{32:{33:{35:15,36:30}}}}",
            "{30:{32:{39:{41:4([-2,300]),43:4([-2,200])}}}}",
            "{30:{32:{39:{42:4([-2,100]),43:4([-2,200])}}}}",
            "{30:{32:{33:{36:30},60:{36:1}}}}",
            "{30:{32:{33:{36:30,60:1}}}}",
            "{30:{32:{33:{36:30}},60:{}}}",
            "{30:{32:{33:{36:30}}},60:1}",
            "{30:{32:{33:{43:4([-2,3000])}}}}",
            "{30:{32:{39:{36:2}}}}",
            "{30:{32:{33:{36:\"30\"}}}}",
            "{30:{32:{33:{36:-1}}}}",
            "{30:{32:{33:{36:65536}}}}",
            "{30:{32:{33:30}}}",
            "{30:{32:[30]}}",
            "{30:7}",
            "{1:{2:[]}}",
            "{31:1,30:{32:{33:{36:30}}}}",
            "{\"ietf-dots-signal-channel:signal-config\":{}}",
            "[1]",
        ] {
            let answer = house.ask(&put("config/sid=1", body));
            assert_eq!(answer.code(), "4.00", "{body}");
            assert!(!answer.text().is_empty());
        }
        assert_eq!(house.ask(&request(PUT, "config/sid=1")).code(), "4.00", "no body at all");
        assert_eq!(house.ask(&get("config/sid=1")).code(), "4.04");
    }
}

/// Proves SC-4.5.2-07, SC-4.5.2-15, SC-4.7-08: outside the limits announced, and nothing of it is applied.
#[test]
fn values_that_are_not_acceptable() {
    let mut house = TestRouter::udp();
    let before = config(&mut house);
    for (key, value) in [
        (33, "36:14"),
        (33, "36:1"),
        (33, "36:5"),
        (33, "36:241"),
        (37, "36:2"),
        (37, "36:21"),
        (37, "36:0"),
        (50, "36:4"),
        (50, "36:21"),
        (38, "36:1"),
        (38, "36:16"),
        (39, "43:4([-2,99])"),
        (39, "43:4([-2,3001])"),
        (39, "43:4([-2,-200])"),
        (39, "43:4([-2,0])"),
        (40, "43:4([-2,90])"),
        (40, "43:4([-2,109])"),
        (40, "43:4([-2,401])"),
    ] {
        let answer =
            house.ask(&put("config/sid=1", &format!("{{30:{{32:{{33:{{36:60}}}},44:{{{key}:{{{value}}}}}}}}}")));
        assert_eq!(answer.code(), "4.22", "{key} {value}");
        assert!(answer.text().contains(".."), "{answer}");
    }
    assert_eq!(config(&mut house), before);
}

/// Proves SC-6-03: any exponent that says the same, and nothing that is no decimal fraction.
#[test]
fn decimal_fractions() {
    let mut house = TestRouter::udp();
    for (sid, (written, hundredths)) in [
        ("4([-2,250])", 250),
        ("4([-1,25])", 250),
        ("4([0,2])", 200),
        ("4([-3,2500])", 250),
        ("4([-10,25000000000])", 250),
        ("4([1,1])", 1000),
        ("4([-17,250000000000000000])", 250),
    ]
    .iter()
    .enumerate()
    {
        let body = format!("{{30:{{44:{{39:{{43:{written}}}}}}}}}");
        assert_eq!(house.ask(&put(&format!("config/sid={sid}"), &body)).code(), "2.01", "{written}");
        assert!(config(&mut house).contains(&format!("43:4([-2,{hundredths}])")), "{written}");
    }
    for (written, code) in [
        ("2.0", "4.00"),
        ("2", "4.00"),
        ("\"2.00\"", "4.00"),
        ("4(2)", "4.00"),
        ("4([-2])", "4.00"),
        ("4([-2,200,0])", "4.00"),
        ("4([-2,\"200\"])", "4.00"),
        ("5([-2,200])", "4.00"),
        ("[-2,200]", "4.00"),
        ("4([-2,2(h'c8')])", "4.00"),
        ("4([-3,2001])", "4.22"),
        ("4([2,1])", "4.22"),
        ("4([18446744073709551615,1])", "4.00"),
        ("4([9223372036854775807,1])", "4.22"),
        ("4([-9223372036854775807,1])", "4.22"),
        ("4([-9223372036854775807,9223372036854775807])", "4.22"),
    ] {
        let body = format!("{{30:{{44:{{39:{{43:{written}}}}}}}}}");
        assert_eq!(house.ask(&put("config/sid=99", &body)).code(), code, "{written}");
    }
}

/// The moments of the router's heartbeats within a time, in seconds.
fn beats(house: &mut TestRouter, time: u64) -> Vec<u64> {
    house.providers[0].heard.clear();
    let begin = house.now.instant;
    for _ in 0..time {
        house.pass(seconds(1));
        if house.now.unix.is_multiple_of(10) {
            house.ask(&put("hb", "{49:{51:true}}"));
        }
    }
    let asked = house.providers[0].heard.iter().filter(|(_, message)| message.code == PUT);
    asked.map(|(when, _)| when.saturating_duration_since(begin).as_secs()).collect()
}

/// Proves SC-4.5-03, SC-4.5-04, CH-5.2.1-03, SC-4.7-07, SC-4.5.1-03.
#[test]
fn the_set_in_force_follows_the_mitigations() {
    for mut house in TestRouter::both() {
        house.ask(&put("config/sid=1", "{30:{32:{33:{36:40}},44:{33:{36:20}}}}"));
        assert_eq!(beats(&mut house, 60), [20, 40, 60]);
        house.want(1, &wanted(""));
        assert_eq!(beats(&mut house, 120), [40, 80, 120]);
        let id = house.id(1);
        house.ledger.withdraw(id, None, "root", house.now).unwrap();
        house.settle();
        assert_eq!(beats(&mut house, 60), [20, 40, 60]);
        house.ask(&put("config/sid=1", "{30:{44:{33:{36:0}}}}"));
        assert_eq!(beats(&mut house, 600), [0_u64; 0], "0 means none at all");
        house.ask(&delete("config"));
        let at_once = house.heard().iter().filter(|message| message.code == PUT).count();
        assert_eq!(at_once + beats(&mut house, 61).len(), 3, "one that is overdue, and two more");
    }
}

/// Proves SC-4.5.3-07, SC-4.5.3-08: neither in an attack nor in peace does the router end a session for that.
#[test]
fn a_configuration_that_is_not_refreshed_ends_nothing() {
    for mut house in TestRouter::both() {
        config(&mut house);
        house.want(1, &wanted("14:-1"));
        for _ in 0..25 {
            house.pass_alive(seconds(3600));
        }
        assert_eq!(house.session_events(), [Event::Ready]);
    }
}

/// Proves SC-4.5.2-12: retransmission is what was negotiated, from then on; also tested in the message layer.
#[test]
fn a_new_session_begins_with_the_defaults() {
    for mut house in TestRouter::both() {
        let defaults = config(&mut house);
        house.ask(&put("config/sid=5", "{30:{44:{33:{36:99}}}}"));
        house.reconnect();
        assert_eq!(config(&mut house), defaults);
        assert_eq!(house.ask(&get("config/sid=5")).code(), "4.04");
    }
}
