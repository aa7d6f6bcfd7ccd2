//! What belongs to one provider alone, and what only begins within a bound.

use crate::support::signal::*;

/// Proves CH-5.3.1-20: a prefix that begins or ends in private space, but isn't all of it, is nobody's.
#[test]
fn a_source_that_is_internal_in_part_is_refused() {
    for mut house in TestRouter::both() {
        house.providers[0].session.set_internal_sources(true);
        for source in ["10.0.0.0/7", "172.16.0.0/11", "192.168.0.0/15", "169.254.0.0/15", "fe80::/9"] {
            house.refuses(&wanted(&format!("32768:[\"{source}\"]")), "out of scope");
            house.refuses(&wanted(&format!("32768:[\"10.0.0.1/32\",\"{source}\"]")), "out of scope");
        }
    }
}

/// Heartbeats of this line in so many seconds.
fn beats(house: &mut TestRouter, line: usize, time: u64) -> usize {
    house.providers[line].heard.clear();
    house.pass(seconds(time));
    house.providers[line].heard.drain(..).filter(|(_, message)| message.code == PUT).count()
}

/// The parameters of a session follow the mitigations of its own provider.
#[test]
fn another_providers_attack_is_no_attack_here() {
    let mut house = TestRouter::tcp();
    let other = house.connect("other", true);
    assert_eq!(house.ask(&put("config/sid=1", "{30:{32:{33:{36:20}},44:{33:{36:60}}}}")).code(), "2.01");
    assert_eq!(house.ask_on(other, &put("mitigate/anotherprovidersclient/1", &about(1))).code(), "2.01");
    assert_eq!(beats(&mut house, 0, 121), 2);
    house.want(2, &about(2));
    assert_eq!(beats(&mut house, 0, 121), 6);
}

/// Two providers that go by the same names hear of their own mitigations only.
#[test]
fn nobody_hears_of_another_providers_mitigation() {
    for stream in [false, true] {
        let mut house = TestRouter::serving(stream).asking();
        let other = house.connect("other", stream);
        house.want(1, &about(1));
        assert_eq!(house.ask_on(other, &put("mitigate/K/1", &about(2))).code(), "2.01");
        let observe = get("mitigate/K/1").number(OBSERVE, 0).token(&[0xaa]);
        assert_eq!(house.ask(&observe).code(), "2.05");
        house.pass(seconds(10));
        house.heard();
        assert_eq!(house.ask_on(other, &delete("mitigate/K/1")).code(), "2.02");
        house.pass(seconds(200));
        assert!(house.notified(&[0xaa]).is_empty());
        // Its own it hears of.
        assert_eq!(house.ask(&delete("mitigate/K/1")).code(), "2.02");
        house.pass(seconds(10));
        assert!(!house.notified(&[0xaa]).is_empty());
    }
}

/// Proves SC-11-07: a body may be as large as what we say we take, and not a byte larger.
#[test]
fn a_body_of_the_largest_size_and_one_byte_more() {
    let most = dots_callhome::coap::Endpoint::max_body();
    for (length, code) in [(most, "4.00"), (most + 1, "4.13")] {
        let mut house = TestRouter::udp();
        let body = vec![0; length];
        let mut answer = String::new();
        for (number, piece) in body.chunks(1024).enumerate() {
            let more = (number + 1) * 1024 < length;
            let part = request(PUT, "mitigate/K/1").number(12, DOTS.into()).number(27, block(number as u32, more, 6));
            answer = house.ask(&part.raw(piece.to_vec())).code();
            if answer != "2.31" {
                break;
            }
            house.pass(seconds(1));
        }
        assert_eq!(answer, code, "{length} bytes");
    }
}
