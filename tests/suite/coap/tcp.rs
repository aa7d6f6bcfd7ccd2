//! CoAP over a stream, as a provider sees it.

use crate::support::signal::*;
use dots_callhome::coap::{Broken, Endpoint};
use dots_callhome::signal::session::Event;

const CSM: &[u8] = &[0x00, 0xe1];

/// A router whose connection has only just been made.
fn fresh() -> TestRouter {
    let mut house = TestRouter::tcp();
    let session = house.session("isp", true);
    house.providers[0].session = session;
    house.session_events();
    house
}

fn signal(code: u8) -> Message {
    Message { code, ..Message::default() }
}

/// What ends the connection, and the reason told to the peer.
fn aborts(house: &mut TestRouter, bytes: &[u8]) -> (Broken, Message) {
    let why = house.try_feed(0, bytes).expect_err("the connection ends");
    let said = house.heard().pop().expect("an Abort");
    assert_eq!(said.code(), "7.05");
    assert!(!said.payload.is_empty());
    (why, said)
}

/// Proves CT-3.3-01, CT-3.3-02, CT-5.3.2-01: ours goes out whether the peer's has come or not.
#[test]
fn settings_come_first() {
    let mut endpoint = Endpoint::stream(Box::new(Dice(1)));
    let (csm, used) = Message::of_stream(&endpoint.poll_transmit().unwrap()).unwrap();
    assert_eq!((csm.code().as_str(), used), ("7.01", csm.frame().len()));
    assert!(csm.uint(2).is_some_and(|size| size > 1152));
    assert_eq!(csm.value(4), Some(&[][..]));
    assert_eq!(endpoint.poll_event(), None, "nothing may be asked before the peer's settings");
    let mut house = fresh();
    house.pass(seconds(100));
    assert!(house.session_events().is_empty());
    house.feed(0, CSM);
    assert_eq!(house.session_events(), [Event::Ready]);
    house.feed(0, CSM);
    assert!(house.session_events().is_empty(), "settings may come again");
}

/// Proves CT-3.3-03.
#[test]
fn anything_before_the_settings_aborts() {
    for first in [get("config").frame(), vec![0, 0xe2], vec![0, 0], put("hb", "{49:{51:true}}").frame()] {
        assert_eq!(aborts(&mut fresh(), &first).0, Broken::NoCsm);
    }
}

/// Proves CT-3.2-01: every form of the length, and the stream cut at any byte.
#[test]
fn frames_of_any_length_cut_anywhere() {
    for payload in [0, 1, 5, 6, 7, 250, 261, 262, 263, 264, 300, 5000, 30_000] {
        let message = request(POST, "/a").token(b"tok").raw(vec![7; payload]);
        let frame = message.frame();
        assert_eq!(
            Message::of_stream(&frame).map(|(read, used)| (read.frame(), used)),
            Some((frame.clone(), frame.len()))
        );
        let mut house = TestRouter::tcp();
        let cuts: Vec<usize> =
            if frame.len() < 400 { (0..=frame.len()).collect() } else { vec![1, 2, 3, 4, 5, 9, frame.len() - 1] };
        for cut in cuts {
            house.feed(0, &frame[..cut]);
            house.feed(0, &frame[cut..]);
            let said = house.heard();
            assert_eq!(said.len(), 1, "{payload} cut at {cut}");
            assert_eq!((said[0].code().as_str(), said[0].token.as_slice()), ("4.04", &b"tok"[..]));
            house.pass(seconds(1));
            house.heard();
        }
    }
    let mut house = TestRouter::tcp();
    let bytes = [get("config").token(b"1").frame(), vec![0, 0], get("mitigate/K").token(b"2").frame()].concat();
    for byte in bytes {
        house.feed(0, &[byte]);
    }
    assert_eq!(house.heard().iter().map(Message::code).collect::<Vec<_>>(), ["2.05", "4.04"]);
}

/// Proves SC-4.7-01, CT-3.2-01: example 17, byte for byte.
#[test]
fn heartbeats_on_the_wire() {
    let mut house = TestRouter::tcp();
    house.feed(0, &hex("d1120301bb2e77656c6c2d6b6e6f776e04646f747302686212010fffa11831a11833f5"));
    let said = house.heard();
    assert_eq!(said[0].frame(), hex("014401"));
    house.pass(seconds(30));
    let ours = house.heard().remove(0);
    assert_eq!(
        ours.token(b"\x01").frame(),
        hex("d1120301bb2e77656c6c2d6b6e6f776e04646f747302686212010fffa11831a11833f5")
    );
}

/// Proves CT-3.4-01: even with what an empty message must not have.
#[test]
fn empty_messages_are_ignored() {
    let mut house = TestRouter::tcp();
    for bytes in [&[0_u8, 0][..], &[0x01, 0, 7], &[0x20, 0, 0xff, 1], &[0x10, 0, 0xff]] {
        house.feed(0, bytes);
        assert!(house.heard().is_empty());
    }
    assert_eq!(house.ask(&get("config")).code(), "2.05");
}

/// Proves CT-5.4-01.
#[test]
fn a_ping_is_answered_with_its_token() {
    let mut house = TestRouter::tcp();
    for token in [&b""[..], b"a", b"12345678"] {
        house.feed(0, &signal(0xe2).token(token).option(2, &[]).option(258, b"x").frame());
        assert_eq!(house.heard(), [signal(0xe3).token(token)]);
    }
    house.feed(0, &signal(0xe3).token(b"a").frame());
    assert!(house.heard().is_empty());
}

/// Proves CT-5.2-01.
#[test]
fn unknown_critical_options_of_signals_abort() {
    for code in [0xe1, 0xe2, 0xe3, 0xe4] {
        assert_eq!(
            aborts(&mut TestRouter::tcp(), &signal(code).option(3, b"x").frame()).0,
            Broken::SignallingOption(3)
        );
        let mut house = TestRouter::tcp();
        house.feed(0, &signal(code).option(60, b"x").frame());
        assert!(house.heard().iter().all(|said| said.code() != "7.05"));
    }
    assert_eq!(aborts(&mut fresh(), &signal(0xe1).option(1, b"x").frame()).0, Broken::SignallingOption(1));
    let mut house = TestRouter::tcp();
    for code in [0xe0, 0xe6, 0xff, 0x20, 0x60, 0xc0] {
        house.feed(0, &signal(code).frame());
        assert!(house.heard().is_empty(), "{code:x} is no request and no signal we know");
    }
}

/// Proves CT-5.5-01: what was asked before is still answered.
#[test]
fn a_release_ends_the_session_when_all_is_answered() {
    let mut house = TestRouter::tcp().asking();
    house.suspects = None;
    assert_eq!(house.reply(&put("mitigate/K/1", &wanted(""))), None);
    house.feed(0, &[get("config").token(b"x").frame(), signal(0xe4).frame()].concat());
    let said: Vec<String> = house.heard().iter().map(Message::code).collect();
    assert_eq!(said, ["2.05", "2.01"]);
    assert!(matches!(house.session_events().as_slice(), [Event::Ready, Event::Lost(_)]));
    house.pass(seconds(1000));
    assert!(house.session_events().is_empty(), "lost once");
    house.providers[0].session.release();
    house.settle();
    assert_eq!(house.heard().pop().unwrap().code(), "7.04");
}

/// Proves CO-3-02, CT-3.3-03: what ends the connection, and that the peer is told why.
#[test]
fn format_errors_abort() {
    let long_frame = [&[0xf0_u8][..], &(65_805_u32 - 65_805).to_be_bytes(), &[GET]].concat();
    for (bytes, why) in [
        (&[0x09_u8, GET, 0, 0][..], Broken::Format),
        (&[0x0f, GET], Broken::Format),
        (&[0x10, GET, 0xff], Broken::Format),
        (&[0x10, GET, 0xf0], Broken::Format),
        (&[0x10, GET, 0x0f], Broken::Format),
        (&[0x20, GET, 0xb5, b'a'], Broken::Format),
        (&long_frame, Broken::Oversize),
        (&[0xf0, 0xff, 0xff, 0xff, 0xff, GET], Broken::Oversize),
        (&[0xe0, 0x7f, 0xff, GET], Broken::Oversize),
    ] {
        assert_eq!(aborts(&mut TestRouter::tcp(), bytes).0, why, "{bytes:?}");
    }
    let mut house = TestRouter::tcp();
    assert_eq!(house.try_feed(0, &signal(0xe5).option(2, b"\x01").raw(b"bad".to_vec()).frame()), Err(Broken::Aborted));
    assert!(house.heard().is_empty(), "an Abort is not answered");
}

/// Proves CT-5.3.1-01: the base value until the peer says otherwise, then what it says.
#[test]
fn messages_are_no_larger_than_the_peer_takes() {
    let mut house = TestRouter::tcp();
    for mid in 0..60 {
        house.want(mid, &about(mid));
    }
    let first = house.ask(&get("mitigate/K").token(&[1; 8]));
    assert!(first.frame().len() <= 1152);
    assert_eq!(first.block(23), Some((0, true, 6)));
    for (size, szx) in [(1087_u32, 5), (1050, 5), (500, 4), (290, 3), (128, 2), (1, 2)] {
        house.feed(0, &signal(0xe1).number(2, size).frame());
        let block = house.ask(&get("mitigate/K").token(&[1; 8]));
        assert!(block.frame().len() <= size.max(128) as usize, "{size}: {}", block.frame().len());
        assert_eq!(block.block(23), Some((0, true, szx)));
        let refused = house.ask(&put("mitigate/K/1", &wanted("14:0")));
        assert!(refused.frame().len() <= size.max(128) as usize);
    }
    house.feed(0, &signal(0xe1).number(2, 1 << 24).frame());
    assert_eq!(house.ask(&get("mitigate/K")).block(23), None, "now all of it fits");
    house.feed(0, &signal(0xe1).option(2, &[1, 0, 0, 0, 0]).frame());
    assert_eq!(house.ask(&get("mitigate/K")).block(23), None, "a value of wrong length says nothing");
}

/// Proves CT-3.3-04, CH-5.1-04: both sides ask over the one connection.
#[test]
fn requests_go_both_ways() {
    let mut house = TestRouter::tcp();
    house.answers = Some(std::time::Duration::from_millis(40));
    house.pass(seconds(31));
    assert_eq!(house.providers[0].session.rtt(), Some(std::time::Duration::from_millis(40)));
    assert!(house.want(1, &wanted("")).starts_with("2.01"));
}

/// Proves CT-7.4-01, CT-3.4-02: a new connection knows nothing of the old one's observations.
#[test]
fn observations_end_with_their_connection() {
    for mut house in TestRouter::both() {
        house.want(1, &wanted(""));
        house.send(&get("mitigate/K/1").token(b"obs").number(6, 0));
        house.reconnect();
        house.ask(&delete("mitigate/K/1"));
        house.pass(seconds(200));
        assert!(house.notified(b"obs").is_empty());
    }
}

/// Proves SC-11-07, CO-3-02: whatever is cut off or flipped, the connection goes on with sense or is aborted.
#[test]
fn hostile_streams() {
    let stream = [
        put("mitigate/K/56", &wanted("7:[{8:80}],10:[6],32769:[{8:1,9:9}]")).token(b"abc").frame(),
        signal(0xe2).token(b"p").frame(),
        put("config/sid=1", "{30:{32:{33:{36:30},39:{43:4([-2,200])}}}}").token(b"d").number(27, 0).frame(),
        get("mitigate/K").query("c=n").number(6, 0).number(23, 6).number(16, 7).frame(),
    ]
    .concat();
    let mut dice = Dice(7);
    let (mut ended, mut went_on) = (0, 0);
    for round in 0..3000 {
        let mut house = TestRouter::tcp();
        let mut bytes = stream.clone();
        for _ in 0..round % 4 {
            let place = dice.roll() as usize % bytes.len();
            bytes[place] ^= 1 << (dice.roll() % 8);
        }
        bytes.truncate(bytes.len() - dice.roll() as usize % 40);
        let cut = dice.roll() as usize % bytes.len();
        let outcome = house.try_feed(0, &bytes[..cut]).and_then(|()| house.try_feed(0, &bytes[cut..]));
        // Reading back what was said checks that it is well-formed.
        let said = house.heard();
        match outcome {
            Ok(()) => went_on += 1,
            Err(Broken::Aborted) => ended += 1,
            Err(_) => {
                ended += 1;
                assert_eq!(said.last().unwrap().code(), "7.05");
            }
        }
    }
    assert!(ended > 100 && went_on > 100, "{ended} {went_on}");
}

/// Proves SC-11-07: small messages by the thousand cost no more than their bytes.
#[test]
fn a_stream_of_tiny_messages() {
    let mut house = TestRouter::tcp();
    house.feed(0, &[0; 16 * 1024]);
    house.feed(0, &[0x00, GET].repeat(8 * 1024));
    let refused = house.heard();
    assert!(refused.len() <= 512, "{}", refused.len());
    assert_eq!(refused.last().unwrap().code(), "5.03");
}
