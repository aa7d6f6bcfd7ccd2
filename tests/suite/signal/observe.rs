//! Notifications: to whom, when, in which form, and when they end.

use std::time::Duration;

use crate::support::signal::*;
use dots_callhome::enforce::NotInForce;
use dots_callhome::model::Traffic;

fn observe(path: &str) -> Message {
    get(path).token(b"obs").number(6, 0)
}

/// The status in each notification for the token.
fn statuses(house: &mut TestRouter) -> Vec<String> {
    let status = |message: &Message| match message.to_string().split_once("16:") {
        Some((_, rest)) => rest.chars().take_while(char::is_ascii_digit).collect(),
        None => message.code(),
    };
    house.notified(b"obs").iter().map(status).collect()
}

/// Proves SC-4.4.2.1-06, SC-4.4.2.1-09, CH-5.3.1-26, DR-3.2.1-10, OB-4.2-01: example 4.
#[test]
fn every_change_of_status_is_told() {
    for mut house in TestRouter::both() {
        house = house.asking();
        house.want(57, &wanted(""));
        let first = house.ask(&observe("mitigate/K/57"));
        assert!(first.value(6).is_some() && first.to_string().contains("16:1"));
        house.pass_alive(seconds(100));
        assert!(house.notified(b"obs").is_empty(), "nothing has changed");
        let id = house.id(57);
        house.ledger.approve(id, None, &[], None, "root", house.now).unwrap();
        house.settle();
        house.pass(seconds(3));
        assert_eq!(statuses(&mut house).last().unwrap(), "2");
        house.pass_alive(seconds(58));
        statuses(&mut house);
        house.ledger.handle_counted(id, Traffic::default(), house.now);
        house.settle();
        house.pass(seconds(3));
        assert_eq!(statuses(&mut house), ["3"]);
    }
}

/// Proves SC-4.4.2.1-09: what is lost on the way comes again.
#[test]
fn while_something_is_mitigated_it_is_told_again_and_again() {
    for mut house in TestRouter::both() {
        house.want(1, &wanted(""));
        house.ask(&observe("mitigate/K/1"));
        house.pass(seconds(60));
        let told = statuses(&mut house);
        assert_eq!(told, ["2"; 4]);
    }
}

/// Proves SC-4.4.2.1-08: for ever, also towards one that never says a word.
#[test]
fn notifications_are_never_confirmable() {
    let mut house = TestRouter::udp();
    house.want(1, &wanted("14:-1"));
    house.ask(&observe("mitigate/K/1"));
    for _ in 0..25 {
        house.pass(seconds(3600));
        house.ask(&put("hb", "{49:{51:true}}"));
    }
    let told = house.notified(b"obs");
    assert!(told.len() > 1000);
    assert!(told.iter().all(|message| message.kind == NON));
}

/// Proves OB-4.4-01, OB-4.2-01.
#[test]
fn sequence_numbers_rise() {
    let mut house = TestRouter::udp();
    house.want(1, &wanted(""));
    let mut before = house.ask(&observe("mitigate/K/1")).uint(6).unwrap();
    house.ask(&get("mitigate/K").token(b"all").number(6, 0));
    house.pass(seconds(300));
    for message in house.notified(b"obs") {
        let next = message.uint(6).unwrap();
        assert!(next > before && next < 1 << 24);
        before = next;
    }
}

/// Proves SC-4.4.2.1-01, SC-4.4.2.1-02, SC-4.4-03, CO-4.7-01: without a measured round-trip time no two notifications of
/// the session are closer than 3 seconds, however many are due.
#[test]
fn three_seconds_between_notifications() {
    let mut house = TestRouter::udp().asking();
    for mid in 0..4 {
        house.want(mid, &about(mid));
        house.ask(&get(&format!("mitigate/K/{mid}")).token(format!("obs{mid}").as_bytes()).number(6, 0));
    }
    for step in 0..20 {
        for mid in 0..4 {
            let id = house.id(mid);
            if step == 0 {
                house.ledger.approve(id, None, &[], None, "root", house.now).unwrap();
            }
            house.ledger.handle_enforced(id, Err(NotInForce::Nft(format!("reason {step}"))), house.now);
            house.settle();
        }
        house.pass(Duration::from_millis(700));
        house.feed(0, &[0; 4]);
    }
    let told: Vec<_> =
        house.providers[0].heard.iter().filter(|(_, message)| message.token.starts_with(b"obs")).collect();
    assert!(told.len() >= 4, "{}", told.len());
    for pair in told.windows(2) {
        assert!(pair[1].0 - pair[0].0 >= seconds(3));
    }
}

/// Proves SC-4.4-03: with one, they may follow each other after it.
#[test]
fn one_notification_a_round_trip() {
    let mut house = TestRouter::udp();
    house.answers = Some(Duration::from_millis(80));
    for mid in 0..10 {
        house.want(mid, &about(mid));
        house.ask(&get(&format!("mitigate/K/{mid}")).token(format!("obs{mid}").as_bytes()).number(6, 0));
    }
    house.pass(seconds(60));
    house.providers[0].heard.clear();
    for mid in 0..10 {
        let id = house.id(mid);
        house.ledger.withdraw(id, None, "root", house.now).unwrap();
    }
    house.settle();
    house.pass(seconds(2));
    let told: Vec<_> =
        house.providers[0].heard.iter().filter(|(_, message)| message.token.starts_with(b"obs")).collect();
    assert_eq!(told.len(), 10);
    for pair in told.windows(2) {
        assert!(pair[1].0 - pair[0].0 >= Duration::from_millis(80));
    }
}

/// Proves CO-4.7-01: a peer of which nothing comes gets no more than the probing rate, 5 bytes a second.
#[test]
fn a_silent_peer_is_not_flooded() {
    let mut house = TestRouter::udp();
    house.want(1, &wanted(""));
    house.ask(&observe("mitigate/K/1"));
    house.pass(seconds(61));
    house.providers[0].heard.clear();
    house.pass(seconds(380));
    let told = &house.providers[0].heard;
    let bytes: usize = told.iter().filter(|(_, m)| m.token == b"obs").map(|(_, m)| m.datagram().len()).sum();
    assert!((1..=380 * 5 + 300).contains(&bytes), "{bytes} bytes");
    let heartbeats: usize = told.iter().filter(|(_, m)| m.code == PUT).map(|(_, m)| m.datagram().len()).sum();
    assert!((1..=380 * 5).contains(&heartbeats));
}

/// Proves OB-4.1-01.
#[test]
fn registering_twice_is_observing_once_and_cancelling_ends_it() {
    for mut house in TestRouter::both() {
        house.want(1, &wanted(""));
        house.ask(&observe("mitigate/K/1"));
        house.ask(&observe("mitigate/K/1"));
        house.pass(seconds(15));
        assert_eq!(house.notified(b"obs").len(), 1);
        let cancelled = house.ask(&get("mitigate/K/1").token(b"obs").number(6, 1));
        assert_eq!((cancelled.code().as_str(), cancelled.value(6)), ("2.05", None));
        house.pass(seconds(60));
        assert!(house.notified(b"obs").is_empty());
        assert_eq!(house.ask(&get("mitigate/K/1").number(6, 2)).value(6), None, "neither the one nor the other");
    }
}

/// Proves OB-4.5-01.
#[test]
fn a_reset_ends_an_observation() {
    let mut house = TestRouter::udp();
    house.want(1, &wanted(""));
    house.ask(&observe("mitigate/K/1"));
    house.pass(seconds(15));
    let told = house.notified(b"obs").remove(0);
    house.feed(0, &Message { kind: RST, id: told.id, ..Message::default() }.datagram());
    house.pass(seconds(60));
    assert!(house.notified(b"obs").is_empty());
}

/// Proves OB-4.2-01, SC-4.4.4-08: the last status, then 4.04 without Observe, then silence: example 7.
#[test]
fn the_end_of_an_observed_mitigation() {
    for mut house in TestRouter::both() {
        house.want(57, &wanted(""));
        house.ask(&observe("mitigate/K/57"));
        house.ask(&delete("mitigate/K/57"));
        house.pass_alive(seconds(130));
        let told = house.notified(b"obs");
        let [.., last, end] = told.as_slice() else { panic!("{told:?}") };
        assert!(last.to_string().contains("16:6") && last.value(6).is_some(), "{last}");
        assert_eq!((end.code().as_str(), end.value(6)), ("4.04", None));
        assert!(told[0].to_string().contains("16:5"), "{}", told[0]);
        house.pass_alive(seconds(100));
        assert!(house.notified(b"obs").is_empty());
    }
}

/// Proves OB-4.2-01: who observes all of them hears of each end among those that go on.
#[test]
fn the_end_of_one_among_many() {
    for mut house in TestRouter::both() {
        house.want(1, &about(1));
        house.want(2, &about(2));
        house.ask(&observe("mitigate/K").query("c=n"));
        let id = house.id(2);
        house.ledger.withdraw(id, None, "root", house.now).unwrap();
        house.ask(&delete("mitigate/K/2"));
        house.pass(seconds(6));
        let told: Vec<String> = house.notified(b"obs").iter().map(Message::to_string).collect();
        assert!(
            told.iter().any(|said| said.contains("{5:1,") && said.contains("5:2,14:0") && said.contains("16:6")),
            "{told:?}"
        );
        assert!(told.last().unwrap().contains("{5:1,") && !told.last().unwrap().contains("5:2,"));
        house.ask(&delete("mitigate/K/1"));
        house.pass_alive(seconds(130));
        assert_eq!(house.notified(b"obs").last().unwrap().code(), "4.04");
    }
}

/// Proves SC-4.4.2.1-08, SC-4.4-03: many that end at once do not burst.
#[test]
fn many_ends_at_once_keep_the_distance() {
    let mut house = TestRouter::udp();
    for mid in 0..50 {
        house.want(mid, &wanted(&format!("6:[\"2001:db8:d000::{mid:x}/128\"],14:60")));
        house.ask(&get(&format!("mitigate/K/{mid}")).token(format!("obs{mid}").as_bytes()).number(6, 0));
    }
    house.pass_alive(seconds(60));
    house.providers[0].heard.clear();
    house.pass_alive(seconds(200));
    let told: Vec<_> =
        house.providers[0].heard.iter().filter(|(_, message)| message.token.starts_with(b"obs")).collect();
    assert!(told.len() > 20);
    assert!(told.windows(2).all(|pair| pair[1].0 - pair[0].0 >= seconds(3)));
}

/// Proves SC-4.5.3-09, SC-4.4.2.1-06: changes of the configuration.
#[test]
fn the_configuration_can_be_observed() {
    for mut house in TestRouter::both() {
        let first = house.ask(&observe("config").con());
        assert!(first.value(6).is_some());
        house.pass(seconds(20));
        assert!(house.notified(b"obs").is_empty());
        house.ask(&put("config/sid=1", "{30:{44:{33:{36:99}}}}").con());
        house.pass(seconds(3));
        let told = house.notified(b"obs");
        assert_eq!(told.len(), 1);
        assert!(told[0].body().contains("36:99") && told[0].uint(6) > first.uint(6));
        house.ask(&delete("config").con());
        house.pass(seconds(3));
        assert!(!house.notified(b"obs")[0].body().contains("36:99"));
    }
}

/// Proves SC-4.4.2-03: what does not exist can't be observed.
#[test]
fn nothing_to_observe() {
    for mut house in TestRouter::both() {
        let answer = house.ask(&observe("mitigate/K/1"));
        assert_eq!((answer.code().as_str(), answer.value(6)), ("4.04", None));
        house.want(1, &wanted(""));
        house.pass(seconds(60));
        assert!(house.notified(b"obs").is_empty());
    }
}

/// Proves SC-11-07: observations are bounded, and one there is no room for is not promised.
#[test]
fn observations_are_bounded() {
    let mut house = TestRouter::tcp();
    house.want(1, &wanted(""));
    let mut promised = 0;
    for n in 0..300_u32 {
        promised +=
            usize::from(house.ask(&get("mitigate/K/1").token(&n.to_be_bytes()).number(6, 0)).value(6).is_some());
        house.pass(Duration::from_millis(60));
    }
    assert_eq!(promised, 256);
    let mut house = TestRouter::tcp();
    house.want(1, &wanted(""));
    let all = |n: u8| get("mitigate/K").token(&[n]).number(6, 0);
    let promised = (0..20).filter(|n| house.ask(&all(*n)).value(6).is_some()).count();
    assert_eq!(promised, 8, "of all at once");
    assert!(house.ask(&all(0)).value(6).is_some(), "again for the same token");
}

/// Proves SC-11-07: what takes long to put together is told less often, and costs more to ask for.
#[test]
fn large_contents_are_told_with_measure() {
    let mut house = TestRouter::tcp();
    let fqdns = (0..25).map(|_| format!("\"{}\"", "a".repeat(100))).collect::<Vec<_>>().join(",");
    for mid in 0..128 {
        house.want(mid, &wanted(&format!("6:[\"2001:db8:d000::{mid:x}/128\"],11:[{fqdns}]")));
    }
    // Of names little is kept.
    let size = house.ask(&get("mitigate/K").token(b"obs").number(6, 0)).uint(28).unwrap();
    assert!((60_000..100_000).contains(&size), "{size}");
    let served = (0..256).take_while(|_| house.ask(&get("mitigate/K")).code() == "2.05").count();
    assert!(served < 10, "{served} of 256");
    for round in 0..600 {
        let id = house.id(5);
        house.ledger.handle_enforced(id, Err(NotInForce::Nft(format!("reason {round}"))), house.now);
        house.settle();
        house.pass(Duration::from_millis(500));
    }
    assert!((2..=300).contains(&house.notified(b"obs").len()), "of 600 changes in five minutes");
}
