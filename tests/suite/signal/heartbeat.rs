//! Heartbeats in both directions, and when a session counts as lost.

use std::time::{Duration, Instant};

use crate::support::signal::*;
use dots_callhome::signal::session::Event;

/// The router's heartbeats so far: seconds since `begin`, and what each says of the provider's.
fn beats(house: &mut TestRouter, begin: Instant) -> Vec<(u64, bool)> {
    let asked: Vec<_> = house.providers[0].heard.extract_if(.., |(_, message)| message.code == PUT).collect();
    let beat = |(when, message): (Instant, Message)| {
        let status = match message.body().as_str() {
            "{49:{51:true}}" => true,
            "{49:{51:false}}" => false,
            other => panic!("{other}"),
        };
        assert!(message.kind == NON || message.kind == 0 && message.id == 0);
        (when.saturating_duration_since(begin).as_secs(), status)
    };
    asked.into_iter().map(beat).collect()
}

fn beat(house: &mut TestRouter, received: bool) {
    let answer = house.ask(&put("hb", &format!("{{49:{{51:{received}}}}}")));
    assert_eq!((answer.code().as_str(), answer.payload.len()), ("2.04", 0));
}

/// Proves SC-4.7-01, SC-4.7-07, CH-5.2.1-03, CH-5.2.1-05: example 17.
#[test]
fn both_sides_send_them() {
    for mut house in TestRouter::both() {
        let begin = house.now.instant;
        house.answers = Some(Duration::from_millis(30));
        for _ in 0..5 {
            house.pass(seconds(30));
            beat(&mut house, true);
        }
        let expected: Vec<(u64, bool)> = (1..=5).map(|n| (30 * n, true)).collect();
        assert_eq!(beats(&mut house, begin), expected);
        assert_eq!(house.providers[0].session.rtt(), Some(Duration::from_millis(30)));
    }
}

/// Proves SC-4.7-04.
#[test]
fn peer_hb_status_is_mandatory() {
    for mut house in TestRouter::both() {
        for body in [
            "{49:{}}",
            "{}",
            "{49:{51:1}}",
            "{49:{51:null}}",
            "{49:{51:\"true\"}}",
            "{49:true}",
            "[]",
            "{49:{51:true,52:1}}",
            "{49:{51:true},1:1}",
            "{1:{2:[]}}",
        ] {
            let answer = house.ask(&put("hb", body));
            assert_eq!(answer.code(), "4.00", "{body}");
            assert!(!answer.text().is_empty());
        }
        assert_eq!(house.ask(&request(PUT, "hb")).code(), "4.00");
        assert_eq!(house.ask(&put("hb", "271({49:{51:true,200:1}})")).code(), "2.04");
        assert_eq!(house.ask(&put("hb", "{49:{51:true}}").without(12)).code(), "2.04");
    }
}

/// Proves SC-4.7-05: the window is twice the interval.
#[test]
fn the_peer_is_told_whether_its_heartbeats_come() {
    for mut house in TestRouter::both() {
        let begin = house.now.instant;
        house.pass(seconds(25));
        beat(&mut house, true);
        house.pass(seconds(200));
        // Other traffic is no heartbeat.
        house.ask(&get("config"));
        house.pass(seconds(15));
        let told = beats(&mut house, begin);
        assert_eq!(told[..4], [(30, true), (60, true), (90, false), (120, false)]);
        beat(&mut house, true);
        house.pass(seconds(30));
        assert_eq!(beats(&mut house, begin), [(270, true)]);
    }
}

/// Proves SC-4.7-05: at the beginning there is nothing to complain of, for as long as the window.
#[test]
fn a_peer_that_never_sends_any() {
    let mut house = TestRouter::udp();
    let begin = house.now.instant;
    house.pass(seconds(120));
    assert_eq!(beats(&mut house, begin), [(30, true), (60, true), (90, false), (120, false)]);
}

/// Proves SC-4.7-06, SC-4.7-08: example 17. When ours don't get through, the next goes right behind the peer's, but never
/// sooner than 15 seconds after the one before.
#[test]
fn when_ours_are_not_received_another_moment_is_tried() {
    for mut house in TestRouter::both() {
        let begin = house.now.instant;
        house.pass(seconds(50));
        beat(&mut house, false);
        house.pass(Duration::ZERO);
        assert_eq!(beats(&mut house, begin), [(30, true), (50, true)]);
        house.pass(seconds(5));
        beat(&mut house, false);
        house.pass(Duration::ZERO);
        assert!(beats(&mut house, begin).is_empty());
        house.pass(seconds(10));
        assert_eq!(beats(&mut house, begin), [(65, true)]);
        house.pass(seconds(30));
        assert_eq!(beats(&mut house, begin), [(95, true)], "and the interval again");
    }
}

/// Proves SC-4.7-08: whatever is said, in any minute there are no more than four.
#[test]
fn never_more_often_than_every_15_seconds() {
    let mut house = TestRouter::udp();
    let begin = house.now.instant;
    for round in 0..600 {
        house.pass(seconds(1));
        beat(&mut house, round % 3 == 0);
        if round % 50 == 0 {
            house.ask(&put(&format!("config/sid={round}"), "{30:{44:{33:{36:15}},32:{33:{36:16}}}}"));
        }
    }
    let told = beats(&mut house, begin);
    assert!(told.len() > 30);
    assert!(told.windows(2).all(|pair| pair[1].0 - pair[0].0 >= 15), "{told:?}");
}

fn loss(house: &mut TestRouter) -> Option<u64> {
    let begin = house.now.instant;
    for _ in 0..2000 {
        house.pass(seconds(1));
        if house.session_events().iter().any(|event| matches!(event, Event::Lost(_))) {
            return Some(house.now.instant.saturating_duration_since(begin).as_secs());
        }
    }
    None
}

/// Proves CH-5.2.1-09, SC-4.7-09: 15 x 30 seconds without anything at all, on streams too.
#[test]
fn silence_ends_the_session() {
    for mut house in TestRouter::both() {
        house.ask(&get("config"));
        assert_eq!(loss(&mut house), Some(450));
        house.pass(seconds(10_000));
        assert!(house.session_events().is_empty(), "told once");
    }
}

/// Proves CH-5.2.1-09: as negotiated.
#[test]
fn sooner_or_later_as_negotiated() {
    let mut house = TestRouter::udp();
    house.ask(&put("config/sid=1", "{30:{44:{33:{36:20},37:{36:3}}}}"));
    assert_eq!(loss(&mut house), Some(60));
}

/// Proves CH-5.2.1-08, SC-4.7-14: any traffic keeps it, though not one heartbeat of ours is answered.
#[test]
fn traffic_of_any_kind_keeps_the_session() {
    for mut house in TestRouter::both() {
        for _ in 0..5 {
            house.pass(seconds(440));
            house.send(&get("mitigate/K"));
            house.pass(seconds(440));
            house.feed(0, if house.is_stream() { &[0, 0] } else { &[0x70, 0, 0, 1] });
        }
        assert_eq!(house.session_events(), [Event::Ready]);
        for _ in 0..40 {
            house.pass(seconds(100));
            beat(&mut house, false);
        }
        assert!(house.session_events().is_empty());
    }
}

/// Proves SC-4.5.1-03, CH-5.2.1-09: without heartbeats silence means nothing; with the first mitigation it begins to.
#[test]
fn silence_that_was_agreed_upon() {
    let mut house = TestRouter::udp().asking();
    house.ask(&put("config/sid=1", "{30:{44:{33:{36:0}}}}"));
    house.want(1, &wanted("14:60"));
    house.pass(seconds(60));
    assert_eq!(loss(&mut house), None);
    house.want(2, &wanted(""));
    assert_eq!(loss(&mut house), Some(450));
}

/// Proves SC-4.5-04, CH-5.2.1-09: silence agreed upon for the attack counts from the attack's end only.
#[test]
fn silence_that_was_agreed_upon_until_now() {
    let mut house = TestRouter::udp();
    house.ask(&put("config/sid=1", "{30:{32:{33:{36:0}}}}"));
    house.want(1, &wanted("14:3000"));
    assert_eq!(loss(&mut house), None, "in 2000 seconds");
    assert_eq!(loss(&mut house), Some(1000 + 450));
}

/// Proves SC-4.7-16, SC-4.7-17, CH-1-05: the session goes, what was decided stays.
#[test]
fn mitigations_outlive_the_session() {
    for mut house in TestRouter::both() {
        house.want(1, &wanted(""));
        let before = house.ledger.desired(house.now).blocks;
        assert_eq!(loss(&mut house), Some(450));
        house.providers.clear();
        house.pass(seconds(100));
        let stream = false;
        let after = house.ledger.desired(house.now).blocks;
        assert_eq!((after.len(), &after[0].devices), (before.len(), &before[0].devices));
        house.connect("isp", stream);
        let answer = house.ask(&get("mitigate/K/1").query("c=n")).to_string();
        assert!(answer.contains("14:3050") && answer.contains("16:2"), "{answer}");
        house.ask(&delete("mitigate/K/1"));
        house.pass_alive(seconds(120));
        assert!(house.ledger.desired(house.now).blocks.is_empty());
    }
}

/// Proves SC-4.5-02: a heartbeat is the one thing that is never confirmable, in an attack or in peace.
#[test]
fn heartbeats_are_non_confirmable() {
    let mut house = TestRouter::udp();
    house.pass(seconds(60));
    house.want(1, &wanted(""));
    house.pass(seconds(60));
    let asked: Vec<Message> = house.heard().into_iter().filter(|message| message.code == PUT).collect();
    assert_eq!(asked.len(), 4);
    assert!(asked.iter().all(|message| message.kind == NON));
}
