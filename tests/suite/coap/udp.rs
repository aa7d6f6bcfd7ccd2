//! CoAP's message layer over datagrams, as a provider sees it.

use std::time::Duration;

use crate::support::signal::*;
use dots_callhome::coap::{Endpoint, Event, Method, Random, Request, TransmissionParameters};

/// A datagram with this first byte, code and rest, and the id 0x1234.
fn datagram(first: u8, code: u8, rest: &[u8]) -> Vec<u8> {
    [&[first, code, 0x12, 0x34], rest].concat()
}

/// What the router says to it at once.
fn says(house: &mut TestRouter, bytes: &[u8]) -> Vec<Message> {
    house.feed(0, bytes);
    house.heard()
}

fn is_reset(said: &[Message]) -> bool {
    said == [Message { kind: RST, id: 0x1234, ..Message::default() }]
}

/// Proves CO-3-01.
#[test]
fn other_versions_are_silently_ignored() {
    let mut house = TestRouter::udp();
    let mut bytes = get("mitigate/K").con().datagram();
    for version in [0, 2, 3] {
        bytes[0] = (version << 6) | (bytes[0] & 0x3f);
        assert_eq!(says(&mut house, &bytes), []);
    }
}

/// Proves CO-3-02, CO-4.2-01, CO-4.3-01.
#[test]
fn what_is_malformed_is_reset_or_ignored() {
    let mut house = TestRouter::udp();
    let malformed: [(u8, &[u8]); 12] = [
        (9, &[0; 12]),
        (15, &[0; 20]),
        (4, &[1, 2, 3]),
        (0, &[0xff]),
        (0, &[0xb4, b'r', b'e']),
        (0, &[0xf0]),
        (0, &[0x0f]),
        (0, &[0xd0]),
        (0, &[0xe0, 0]),
        (0, &[0x0d]),
        (0, &[0xe0, 0xff, 0xff, 0xe0, 0xff, 0xff]),
        (0, &[0xe0, 0xfe, 0xf3]),
    ];
    for (token_length, rest) in malformed {
        for code in [GET, 0x45] {
            assert!(is_reset(&says(&mut house, &datagram(0x40 | token_length, code, rest))), "{rest:?}");
            assert_eq!(says(&mut house, &datagram(0x50 | token_length, code, rest)), [], "{rest:?}");
            assert_eq!(says(&mut house, &datagram(0x60 | token_length, code, rest)), [], "{rest:?}");
            assert_eq!(says(&mut house, &datagram(0x70 | token_length, code, rest)), [], "{rest:?}");
        }
    }
    for few in 0..4 {
        assert_eq!(says(&mut house, &datagram(0x40, GET, &[])[..few]), []);
    }
}

/// Proves CO-4.2-01, CO-4.3-01: empty messages, with content that spoils them or without.
#[test]
fn an_empty_confirmable_message_is_reset() {
    let mut house = TestRouter::udp();
    assert!(is_reset(&says(&mut house, &datagram(0x40, 0, &[]))));
    assert!(is_reset(&says(&mut house, &datagram(0x41, 0, &[7]))));
    assert!(is_reset(&says(&mut house, &datagram(0x40, 0, &[0xff, 1]))));
    for kind in [0x50, 0x60, 0x70] {
        assert_eq!(says(&mut house, &datagram(kind, 0, &[])), []);
    }
}

/// Proves CO-4.2-01: reserved classes are no requests and no responses.
#[test]
fn reserved_codes_are_rejected() {
    for code in [0x20, 0x3f, 0x60, 0x7f, 0xc0, 0xdf, 0xe1, 0xff] {
        let mut house = TestRouter::udp();
        assert!(is_reset(&says(&mut house, &datagram(0x40, code, &[]))), "{code:x}");
        assert_eq!(says(&mut house, &datagram(0x50, code, &[])), [], "{code:x}");
    }
}

/// Proves CO-5.2.3-01, CO-4.2-01, SC-4.5-01, SC-4.4-08: the type of the answer follows that of the request.
#[test]
fn confirmable_is_acknowledged_with_the_answer_and_non_confirmable_answered_so() {
    let mut house = TestRouter::udp();
    for message in [get("config"), put("mitigate/K/1", &wanted("")), get("mitigate/K"), delete("mitigate/K/1")] {
        // The harness holds type and id of every answer against the request.
        assert_eq!(house.ask(&message).code >> 5, 2);
        assert_eq!(house.ask(&message.con()).code >> 5, 2);
    }
    let answers = says(&mut house, &put("hb", "{49:{51:true}}").con().id(9).datagram());
    assert_eq!(answers, [Message { kind: ACK, id: 9, code: 0x44, ..Message::default() }]);
}

/// Proves CO-5.3.1-01.
#[test]
fn tokens_of_any_length_come_back() {
    let mut house = TestRouter::udp();
    for length in 0..=8_u8 {
        let token: Vec<u8> = (0..length).map(|byte| byte.wrapping_mul(37)).collect();
        let said = says(&mut house, &get("config").token(&token).id(length.into()).datagram());
        assert_eq!(said[0].token, token);
    }
}

/// Proves CO-4.5-01.
#[test]
fn a_duplicate_has_no_second_effect() {
    let mut house = TestRouter::udp();
    let first = put("mitigate/K/1", &wanted("")).con().token(b"a").id(7).datagram();
    let answer = says(&mut house, &first);
    assert_eq!(answer[0].code(), "2.01");
    assert_eq!(says(&mut house, &first), answer, "the same acknowledgement, not 2.04");
    house.pass(seconds(222));
    house.heard();
    assert_eq!(says(&mut house, &first), answer);
    house.pass(seconds(2));
    house.heard();
    assert_eq!(says(&mut house, &first)[0].code(), "2.04", "after EXCHANGE_LIFETIME it is another message");

    let second = put("mitigate/K/2", &about(2)).token(b"b").id(8).datagram();
    assert_eq!(says(&mut house, &second)[0].code(), "2.01");
    assert_eq!(says(&mut house, &second), []);
    house.pass(seconds(120));
    house.heard();
    assert_eq!(says(&mut house, &second), []);
    house.pass(seconds(2));
    house.heard();
    assert_eq!(says(&mut house, &second)[0].code(), "2.04", "after NON_LIFETIME it is another message");
}

/// Proves CO-4.5-01, CO-4.4-01: the lifetimes of message ids follow the negotiated parameters.
#[test]
fn longer_retransmission_means_longer_memory() {
    let mut house = TestRouter::udp();
    house.ask(&put("config/sid=1", "{30:{44:{39:{43:4([-2,400])}}}}").con());
    let first = delete("mitigate/K/1").token(b"a").id(7).datagram();
    assert_eq!(says(&mut house, &first)[0].code(), "2.02");
    house.pass(seconds(100 + 42 - 1));
    house.heard();
    assert_eq!(says(&mut house, &first), []);
    house.pass(seconds(2));
    house.heard();
    assert_eq!(says(&mut house, &first)[0].code(), "2.02");
}

/// Proves CO-5.4.1-01: among them Request-Tag (292) and one with a long number and value.
#[test]
fn unknown_elective_options_are_ignored() {
    for mut house in TestRouter::both() {
        let message = put("mitigate/K/1", &wanted(""));
        let message = message.option(2050, b"x").option(292, b"tag").option(65_000, &[7; 300]).option(2, &[]);
        assert_eq!(house.ask(&message).code(), "2.01");
    }
}

/// Proves CO-5.4.1-02: among them Q-Block1 (19), Q-Block2 (31), OSCORE (9) and If-None-Match (5).
#[test]
fn unknown_critical_options_are_refused() {
    for number in [2051, 19, 31, 9, 5, 65_535] {
        let message = put("mitigate/K/1", &wanted("")).option(number, b"x");
        let mut house = TestRouter::udp();
        assert_eq!(house.reply(&message), None, "a non-confirmable one is rejected in silence");
        assert!(house.heard().is_empty());
        let answer = house.ask(&message.clone().con());
        assert_eq!(answer.code(), "4.02");
        assert!(answer.text().contains(&number.to_string()), "{answer}");
        assert_eq!(house.ledger.all().count(), 0);
        assert_eq!(TestRouter::tcp().ask(&message).code(), "4.02");
    }
}

/// Proves CO-5.4.5-01.
#[test]
fn an_option_too_many_counts_as_unknown() {
    for mut house in TestRouter::both() {
        let elective = put("mitigate/K/1", &wanted("")).con().number(12, 50).option(12, &[0; 9]);
        assert_eq!(house.ask(&elective).code(), "2.01");
        let critical = get("config").con().number(17, 271).number(17, 271);
        assert_eq!(house.ask(&critical).code(), "4.02");
    }
}

/// Proves CO-5.4.3-01.
#[test]
fn an_option_of_wrong_length_counts_as_unknown() {
    for mut house in TestRouter::both() {
        assert_eq!(house.ask(&put("mitigate/K/1", &wanted("")).without(12).option(12, &[0, 1, 15])).code(), "2.01");
        let observed = house.ask(&get("config").option(6, &[0, 0, 0, 0]));
        assert_eq!((observed.code().as_str(), observed.value(6)), ("2.05", None));
        for (number, value) in [
            (11, vec![b'x'; 256]),
            (17, vec![0; 3]),
            (23, vec![0; 4]),
            (27, vec![0; 4]),
            (3, vec![]),
            (7, vec![0; 3]),
            (15, vec![b'x'; 256]),
        ] {
            let answer = house.ask(&get("config").con().option(number, &value));
            assert_eq!(answer.code(), "4.02", "{number}");
            assert!(answer.text().contains(&number.to_string()));
        }
        assert_eq!(house.ask(&get("config").con().option(11, &[0xff, 0xfe])).code(), "4.02", "no UTF-8");
    }
}

/// Proves CT-8.5-01: host and port of the request mean nothing here.
#[test]
fn host_and_port_are_not_asked_for() {
    for mut house in TestRouter::both() {
        assert_eq!(house.ask(&get("config").option(3, b"callhome.example").number(7, 4647)).code(), "2.05");
        assert_eq!(house.ask(&get("config")).code(), "2.05");
    }
}

/// Proves CO-5.10.2-01.
#[test]
fn we_are_no_proxy() {
    for mut house in TestRouter::both() {
        for (number, value) in [(35, &b"coap://192.0.2.1/"[..]), (39, b"coap")] {
            let answer = house.ask(&get("config").con().option(number, value));
            assert_eq!(answer.code(), "5.05");
            assert!(!answer.text().is_empty());
        }
    }
}

/// Proves HL-3-01.
#[test]
fn hop_limits() {
    for mut house in TestRouter::both() {
        for bad in [&[0][..], &[0, 0], &[1, 0], &[1, 0, 0, 0]] {
            let answer = house.ask(&put("mitigate/K/71", &wanted("")).option(16, bad));
            assert_eq!(answer.code(), "4.00", "{bad:?}");
            assert!(answer.text().contains("Hop-Limit"));
        }
        assert_eq!(house.ledger.all().count(), 0);
        for (mid, good) in [&[1][..], &[255], &[]].into_iter().enumerate() {
            assert_eq!(house.ask(&put(&format!("mitigate/K/{mid}"), &wanted("")).option(16, good)).code(), "2.01");
        }
    }
}

/// Proves CO-4.4-01, SC-7.2-08: of what the router asks itself.
#[test]
fn ids_rise_and_tokens_are_no_series() {
    let mut house = TestRouter::udp();
    house.answers = Some(Duration::from_millis(20));
    house.pass(seconds(30 * 25));
    let beats: Vec<Message> = house.heard().into_iter().filter(|message| message.code == PUT).collect();
    assert!(beats.len() >= 20);
    for pair in beats.windows(2) {
        assert_eq!(pair[1].id, pair[0].id.wrapping_add(1));
        assert_eq!(pair[1].token.len(), 8);
        let distance = |a: &Message, b: &Message| {
            let number = |m: &Message| u64::from_be_bytes(m.token.clone().try_into().unwrap());
            number(a).abs_diff(number(b))
        };
        assert!(distance(&pair[0], &pair[1]) > 1 << 32, "tokens come from the source of randomness");
    }
}

/// Proves SC-7.3-02, SC-7.3-01, CO-4.6-01: with 1152 bytes and what DTLS, UDP and IPv6 add, 1280 hold every datagram.
#[test]
fn no_datagram_is_larger_than_a_small_path_takes() {
    let mut house = TestRouter::udp();
    for mid in 0..60 {
        house.want(mid, &about(mid));
    }
    let long = "a".repeat(190);
    house.ask(&put(&format!("mitigate/{long}/1"), &about(900)));
    house.send(&get("mitigate/K").token(&[9; 8]).number(6, 0));
    house.refuses(&wanted(&format!("11:[\"{}\"]", "b".repeat(1025))), "1024");
    let many_unknown: String = (54..127).map(|key| format!("{key}:1,")).collect();
    house.refuses(&wanted(&many_unknown), "54");
    house.pass(seconds(120));
    let largest = house.heard().iter().map(|message| message.datagram().len()).max().unwrap();
    assert!((1024..=1152).contains(&largest), "{largest}");
}

/// Proves SC-11-07: options are counted before they are kept.
#[test]
fn more_options_than_anybody_needs() {
    let with = |count: usize| (0..count).fold(get("config").con().id(0x1234), |message, _| message.query("x"));
    let mut house = TestRouter::udp();
    assert_eq!(says(&mut house, &with(61).datagram())[0].code(), "2.05");
    house.pass(seconds(300));
    house.heard();
    assert!(is_reset(&says(&mut house, &with(62).datagram())));
}

/// Proves CO-9.1.1-01, CT-3.4-02.
#[test]
fn answers_of_another_session_are_ignored() {
    for mut house in TestRouter::both() {
        house.pass(seconds(30));
        let asked = house.heard().remove(0);
        house.reconnect();
        let late = Message { kind: NON, id: 5, code: 0x44, token: asked.token, ..Message::default() };
        let bytes = if house.is_stream() { late.frame() } else { late.datagram() };
        house.feed(0, &bytes);
        assert_eq!(house.providers[0].session.rtt(), None);
        assert!(house.heard().is_empty());
    }
}

/// Proves SC-11-07, CO-3-02: whatever is cut off or flipped, the router answers with sense or not at all, and goes on.
#[test]
fn hostile_datagrams() {
    let bodies = [
        put("mitigate/K/56", &wanted("7:[{8:80}],10:[6],32769:[{8:1,9:9}]")).con().token(b"abc"),
        put("config/sid=1", "{30:{32:{33:{36:30},39:{43:4([-2,200])}}}}").con().number(27, block(0, false, 6)),
        get("mitigate/K").query("c=n").number(6, 0).number(23, 6).number(16, 7),
        put("redirect/K/1", "{46:{32773:\"a.example\",32774:[\"2001:db8::1\"],32775:600}}"),
        put("hb", "{49:{51:true}}"),
    ];
    let mut dice = Dice(42);
    let mut house = TestRouter::udp();
    for message in bodies {
        let whole = message.datagram();
        let mut tries: Vec<Vec<u8>> = (0..whole.len()).map(|end| whole[..end].to_vec()).collect();
        for _ in 0..3000 {
            let mut flipped = whole.clone();
            for _ in 0..=dice.roll() % 3 {
                let place = dice.roll() as usize % flipped.len();
                flipped[place] ^= 1 << (dice.roll() % 8);
            }
            tries.push(flipped);
        }
        for bytes in tries {
            // Reading back what was said checks that it is well-formed.
            assert!(says(&mut house, &bytes).len() <= 2);
            house.pass(Duration::from_millis(200));
            house.heard();
        }
    }
    assert!(house.ledger.all().count() < 128);
    house.reconnect();
    assert_eq!(house.ask(&get("config")).code(), "2.05");
}

/// An endpoint that asks, and its clock.
fn endpoint() -> (Endpoint, std::time::Instant) {
    let mut endpoint = Endpoint::datagram(Box::new(Middle));
    assert_eq!(endpoint.poll_event(), Some(Event::Ready));
    (endpoint, std::time::Instant::now())
}

/// Randomness whose first wait is in the middle.
struct Middle;

impl Random for Middle {
    fn fill(&mut self, bytes: &mut [u8]) {
        bytes.fill(128);
    }
}

fn config() -> Request {
    Request { reliable: true, ..Request::new(Method::Get, &[".well-known", "dots", "config"]) }
}

fn sent(endpoint: &mut Endpoint) -> Vec<Message> {
    std::iter::from_fn(|| endpoint.poll_transmit()).map(|bytes| Message::of_datagram(&bytes)).collect()
}

/// Proves CO-4.2-02: with the defaults of RFC 9132 four copies in all, doubling, then a failure; with others, others.
#[test]
fn confirmable_messages_are_repeated_and_given_up() {
    let other = TransmissionParameters { ack_timeout: seconds(1), ack_random_factor: 1.0, max_retransmit: 2 };
    for (parameters, first, copies) in [(TransmissionParameters::default(), 2.5, 4), (other, 1.0, 3)] {
        let (mut endpoint, begin) = endpoint();
        endpoint.set_parameters(parameters);
        let token = endpoint.request(&config(), begin);
        let mut all = sent(&mut endpoint);
        assert_eq!(all[0].kind, CON);
        let mut waits = Vec::new();
        let mut before = begin;
        let failed = loop {
            let due = endpoint.poll_timeout().expect("waits");
            endpoint.handle_timeout(due);
            all.extend(sent(&mut endpoint));
            waits.push(due.saturating_duration_since(before).as_secs_f32());
            before = due;
            if let Some(event) = endpoint.poll_event() {
                break event;
            }
        };
        assert_eq!(failed, Event::Failed { token });
        assert_eq!(all.len(), copies);
        assert!(all.iter().all(|copy| *copy == all[0]));
        for (n, wait) in waits.iter().enumerate() {
            let expected = first * f32::from(1_u16 << n);
            assert!((wait - expected).abs() < expected * 0.01, "{waits:?}");
        }
        assert_eq!(endpoint.poll_timeout(), None);
    }
}

/// Proves CO-5.2.1-01: with the acknowledgement or after it.
#[test]
fn piggybacked_and_separate_answers() {
    let (mut endpoint, now) = endpoint();
    let token = endpoint.request(&config(), now);
    let asked = sent(&mut endpoint).remove(0);
    let answer = |kind, id| Message { kind, id, code: 0x45, token: asked.token.clone(), ..Message::default() };
    endpoint.handle_input(&answer(ACK, asked.id).datagram(), now).unwrap();
    assert!(matches!(endpoint.poll_event(), Some(Event::Response { token: t, .. }) if t == token));
    assert_eq!(endpoint.poll_timeout(), None);

    let token = endpoint.request(&config(), now);
    let asked = sent(&mut endpoint).remove(0);
    let empty = Message { kind: ACK, id: asked.id, ..Message::default() };
    endpoint.handle_input(&empty.datagram(), now).unwrap();
    assert_eq!((endpoint.poll_event(), endpoint.poll_timeout()), (None, None));
    let separate = Message { kind: CON, id: 77, code: 0x45, token: asked.token, ..Message::default() };
    endpoint.handle_input(&separate.datagram(), now).unwrap();
    assert!(matches!(endpoint.poll_event(), Some(Event::Response { token: t, .. }) if t == token));
    assert_eq!(sent(&mut endpoint), [Message { kind: ACK, id: 77, ..Message::default() }]);
    endpoint.handle_input(&separate.datagram(), now).unwrap();
    assert_eq!(endpoint.poll_event(), None, "a duplicate is acknowledged and not told twice");
    assert_eq!(sent(&mut endpoint).len(), 1);
}

/// Proves CO-4.7-01: NSTART is 1.
#[test]
fn one_confirmable_message_at_a_time() {
    let (mut endpoint, now) = endpoint();
    let tokens: Vec<_> = (0..3).map(|_| endpoint.request(&config(), now)).collect();
    for _ in &tokens {
        let under_way = sent(&mut endpoint);
        assert_eq!(under_way.len(), 1);
        let empty = Message { kind: ACK, id: under_way[0].id, ..Message::default() };
        endpoint.handle_input(&empty.datagram(), now).unwrap();
    }
    assert!(sent(&mut endpoint).is_empty());
    for _ in 0..16 {
        endpoint.request(&config(), now);
    }
    assert_eq!(endpoint.poll_event(), None);
    let one_too_many = endpoint.request(&config(), now);
    assert_eq!(endpoint.poll_event(), Some(Event::Failed { token: one_too_many }));
}

/// Proves CO-4.2-01: what the peer rejects has failed.
#[test]
fn a_reset_ends_a_request() {
    let (mut endpoint, now) = endpoint();
    for reliable in [true, false] {
        let token = endpoint.request(&Request { reliable, ..config() }, now);
        let asked = sent(&mut endpoint).remove(0);
        let reset = Message { kind: RST, id: asked.id, ..Message::default() };
        endpoint.handle_input(&reset.datagram(), now).unwrap();
        assert_eq!(endpoint.poll_event(), Some(Event::Failed { token }));
        assert_eq!(endpoint.poll_timeout(), None);
    }
    let unknown = Message { kind: RST, id: 0x7777, ..Message::default() };
    endpoint.handle_input(&unknown.datagram(), now).unwrap();
    assert_eq!(endpoint.poll_event(), None);
}

/// Proves CO-4.2-01: acknowledgements of nothing, and with a request's code, are ignored.
#[test]
fn an_acknowledgement_that_makes_no_sense_is_ignored() {
    let (mut endpoint, now) = endpoint();
    endpoint.request(&config(), now);
    let asked = sent(&mut endpoint).remove(0);
    for nonsense in [
        Message { kind: ACK, id: asked.id, code: GET, token: asked.token.clone(), ..Message::default() },
        Message { kind: ACK, id: asked.id, code: 0x60, token: asked.token.clone(), ..Message::default() },
        Message { kind: RST, id: asked.id, code: 0x45, token: asked.token.clone(), ..Message::default() },
        Message { kind: ACK, id: asked.id ^ 1, ..Message::default() },
    ] {
        endpoint.handle_input(&nonsense.datagram(), now).unwrap();
        assert_eq!(endpoint.poll_event(), None);
        assert!(endpoint.poll_timeout().is_some(), "{nonsense:?}");
    }
    assert!(sent(&mut endpoint).is_empty());
}
