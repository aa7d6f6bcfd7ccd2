//! The stream from the broker in bytes: recorded messages, every cut, and whatever a hostile or broken broker may send.

use crate::support::ledger::{policy, seconds};
use crate::support::ubus::{OBJECT, RECEIVER, TestRouter, answer, hello, invoke, joined, message, status, table};
use dots_callhome::mitigation::Consent;
use dots_callhome::ubus::{BusProtocolError, Event};
use serde_json::json;
use ubus::envelope::UbusAttr;
use ubus::wire::MsgType;

fn desk() -> TestRouter {
    joined(policy(Consent::Ask))
}

/// `ubus call dots-callhome get '{"id":1}'` as the C broker forwards it.
const GET: &[u8] = &[
    0, 5, 0, 3, 0x0b, 0xad, 0xca, 0xfe, // version, INVOKE, sequence 3, caller
    0, 0, 0, 0x40, // 64 bytes
    3, 0, 0, 8, 0x12, 0x34, 0x56, 0x78, // object
    4, 0, 0, 8, b'g', b'e', b't', 0, // method
    12, 0, 0, 9, b'r', b'o', b'o', b't', 0, 0, 0, 0, // user
    13, 0, 0, 9, b'r', b'o', b'o', b't', 0, 0, 0, 0, // group
    7, 0, 0, 0x14, // data
    0x85, 0, 0, 0x10, 0, 2, b'i', b'd', 0, 0, 0, 0, 0, 0, 0, 1, // a 32-bit integer
];

#[test]
fn a_recorded_call_is_answered_in_recorded_bytes() {
    let mut desk = desk();
    desk.feed_bus(GET);
    assert_eq!(
        desk.bus.poll_transmit().unwrap(),
        [
            0, 1, 0, 3, 0x0b, 0xad, 0xca, 0xfe, // STATUS, the caller's sequence number and address
            0, 0, 0, 0x14, 1, 0, 0, 8, 0, 0, 0, 4, // not found
            3, 0, 0, 8, 0x12, 0x34, 0x56, 0x78, // by the object
        ]
    );
}

/// A session with everything in it, cut in two at every byte, and fed byte by byte, ends the same.
#[test]
fn any_cut_is_the_same_stream() {
    let mut stream = invoke(OBJECT, 77, 5, "reject", table(&json!({ "id": 1, "comment": "ours" })).contents());
    stream.extend(status(12, 0, 0));
    stream.extend(invoke(RECEIVER, 0, 6, "config.change", table(&json!({ "config": "dots-callhome" })).contents()));
    let fresh = || {
        let mut desk = desk();
        desk.pending(1);
        desk
    };
    let sent = |desk: &mut TestRouter| {
        desk.bus.handle_settled(desk.ledger.generation().decided);
        desk.bus.poll_transmit()
    };
    let mut whole = fresh();
    whole.feed_bus(&stream);
    let (bytes, events) = (sent(&mut whole), whole.bus_events());
    assert!(bytes.is_some() && events == [Event::ConfigChanged], "{events:?}");
    for cut in 0..=stream.len() {
        let mut desk = fresh();
        desk.feed_bus(&stream[..cut]);
        desk.feed_bus(&stream[cut..]);
        assert_eq!((sent(&mut desk), desk.bus_events()), (bytes.clone(), events.clone()), "cut at {cut}");
    }
    let mut desk = fresh();
    stream.chunks(1).for_each(|byte| desk.feed_bus(byte));
    assert_eq!((sent(&mut desk), desk.bus_events()), (bytes, events));
}

#[test]
fn lengths_that_can_not_be_end_the_connection() {
    let header = |length: u32| [&[0, 5, 0, 3, 0, 0, 0, 9][..], &length.to_be_bytes()].concat();
    for length in [0, 3, 1024 * 1024 + 1, 0x00ff_ffff] {
        assert_eq!(desk().try_feed_bus(&header(length)), Err(BusProtocolError::Length(length as usize)));
    }
    for version in [1, 255] {
        assert_eq!(desk().try_feed_bus(&[version]), Err(BusProtocolError::Version(version)));
    }
    let mut desk = desk();
    desk.feed_bus(&header(1024 * 1024));
    assert_eq!(desk.bus.poll_transmit(), None, "the largest message is waited for");
}

#[test]
fn a_stream_that_broke_keeps_what_came_before() {
    let mut desk = desk();
    let mut stream = invoke(OBJECT, crate::support::ubus::CALLER, 5, "status", &[]);
    stream.push(9);
    assert_eq!(desk.try_feed_bus(&stream), Err(BusProtocolError::Version(9)));
    assert!(answer(&desk.sent(), 5).unwrap().is_ok());
}

#[test]
fn unknown_kinds_and_stray_answers_are_passed_over() {
    let mut desk = desk();
    for kind in [3_u8, 4, 6, 7, 8, 9, 11, 12, 200, 255] {
        let mut bytes = status(1, 0, 0);
        bytes[1] = kind;
        desk.feed_bus(&bytes);
    }
    desk.feed_bus(&status(4000, 0, 0));
    desk.feed_bus(&message(MsgType::Data, 4000, 0, |e| e.push_u32(UbusAttr::ObjId, 5)));
    desk.feed_bus(&message(MsgType::Status, 1, 0, |_| {}));
    desk.feed_bus(&invoke(0xdead, crate::support::ubus::CALLER, 8, "status", &[]));
    desk.feed_bus(&message(MsgType::Invoke, 8, crate::support::ubus::CALLER, |e| e.push_u32(UbusAttr::ObjId, OBJECT)));
    desk.feed_bus(&message(MsgType::Notify, 8, 0, |e| e.push_u32(UbusAttr::ObjId, OBJECT)));
    assert_eq!((desk.sent().len(), desk.bus_events()), (0, vec![]));
    assert!(desk.call("status", json!({})).is_ok());
}

/// Arguments nested however deep are an unknown argument like any other.
#[test]
fn deep_nesting_costs_nothing() {
    let mut desk = desk();
    let mut builder = ubus::BlobBuilder::new();
    (0..1000).for_each(|_| builder.open_table(Some("a")));
    (0..1000).for_each(|_| builder.close_table());
    let deep = builder.finish();
    assert_eq!(desk.call_bytes("list", &deep), Err(2));
    desk.feed_bus(&invoke(RECEIVER, 0, 5, "config.change", &deep));
    assert_eq!(desk.bus_events(), []);
}

/// Truncated arguments are refused, not understood by half.
#[test]
fn truncated_arguments_are_refused() {
    let mut desk = desk();
    let id = desk.request(
        1,
        &crate::support::ledger::attack(),
        &[
            crate::support::ledger::exact(crate::support::ledger::CAMERA),
            crate::support::ledger::exact(crate::support::ledger::TV),
        ],
    );
    let devices = [crate::support::ledger::CAMERA.to_string(), crate::support::ledger::TV.to_string()];
    let arguments = table(&json!({ "devices": devices, "id": id.0 }));
    let bytes = arguments.contents();
    for length in 0..bytes.len() {
        assert_eq!(desk.call_bytes("approve", &bytes[..length]), Err(2), "{length} bytes");
    }
    for (position, length) in [(3, bytes[3] - 28), (11 + 8, 200)] {
        // The array, or its first element, claims to end elsewhere.
        let mut bent = bytes.to_vec();
        bent[position] = length;
        assert_eq!(desk.call_bytes("approve", &bent), Err(2), "{position}");
    }
    assert_eq!(desk.blocked(), []);
    assert!(desk.call_bytes("approve", bytes).is_ok());
}

fn xorshift(state: &mut u32) -> u32 {
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    *state
}

/// A whole session with flipped bits never panics, and what we still send is well-formed.
#[test]
fn a_garbled_stream_is_survived() {
    let mut state = 0x2545_f491;
    let mut stream = hello();
    stream.extend(GET);
    stream.extend(invoke(OBJECT, 77, 5, "quarantine", table(&json!({ "mac": "02:00:00:00:00:22" })).contents()));
    stream.extend(invoke(RECEIVER, 0, 6, "network.interface", &[]));
    for sequence in 1..12 {
        let reply = json!({ "interface": [{ "interface": "wan", "route": [{ "target": "::", "mask": 0, "nexthop": "::1" }] }],
                            "02:00:00:00:00:11": { "name": "camera" } });
        stream.extend(message(MsgType::Data, sequence, 0, |e| {
            e.push_u32(UbusAttr::ObjId, 99);
            e.push_data(table(&reply).contents());
        }));
        stream.extend(status(sequence, 0, 0));
    }
    for _ in 0..3000 {
        let mut desk = desk();
        let mut bent = stream.clone();
        for _ in 0..=xorshift(&mut state) % 4 {
            let position = xorshift(&mut state) as usize % bent.len();
            bent[position] ^= 1 << (xorshift(&mut state) % 8);
        }
        let _ = desk.try_feed_bus(&bent);
        desk.pass(seconds(5));
        let _ = desk.sent();
        assert!(desk.bus_events().len() < 100, "bounded");
        assert!(!desk.bus_events().contains(&Event::ConfigChanged));
    }
}
