//! Our end of the bus in simulated time: joining, who decides, what others tell us, what we tell, losing the broker.

use std::time::Duration;

use crate::support::ledger::{CAMERA, TV, attack, policy, seconds};
use crate::support::ubus::{
    OBJECT, RECEIVER, TestRouter, answer, apart, data, hello, invoke, joined, message, number, status, table, text,
};
use dots_callhome::enforce::NotInForce;
use dots_callhome::mitigation::{Consent, State};
use dots_callhome::model::Mac;
use dots_callhome::ubus::{Event, PeerState};
use serde_json::{Value, json};
use ubus::envelope::{UbusAttr, find};
use ubus::wire::{Frame, MsgType};
use vecset::VecMap;

const SESSION: &str = "0123456789abcdef0123456789abcdef";
const THEIRS: u32 = 0x0055_aa55;

fn desk() -> TestRouter {
    joined(policy(Consent::Ask))
}

/// A reply of another object.
fn data_message(frame: &Frame, value: &Value) -> Vec<u8> {
    let mut bytes = message(MsgType::Data, frame.hdr.seq, frame.hdr.peer, |e| {
        e.push_u32(UbusAttr::ObjId, THEIRS);
        e.push_data(table(value).contents());
    });
    bytes.extend(status(frame.hdr.seq, frame.hdr.peer, 0));
    bytes
}

/// The broker has the object looked for.
fn found(frame: &Frame) -> Vec<u8> {
    assert_eq!(frame.hdr.ty, MsgType::Lookup);
    let mut bytes = message(MsgType::Data, frame.hdr.seq, 0, |e| {
        e.push_str(UbusAttr::ObjPath, &text(frame, UbusAttr::ObjPath).unwrap());
        e.push_u32(UbusAttr::ObjId, THEIRS);
        e.push_u32(UbusAttr::ObjType, 9);
        e.push_signature(&[]);
    });
    bytes.extend(status(frame.hdr.seq, 0, 0));
    bytes
}

/// The only message sent.
fn only(desk: &mut TestRouter) -> Frame {
    let mut sent = desk.sent();
    assert_eq!(sent.len(), 1, "{sent:?}");
    sent.remove(0)
}

/// A bus event.
fn event(desk: &mut TestRouter, name: &str, value: &Value) {
    desk.feed_bus(&invoke(RECEIVER, 0, 99, name, table(value).contents()));
}

/// Answers the look-up of `path` and the call that follows.
fn serve(desk: &mut TestRouter, path: &str, method: &str, reply: &Value) -> Value {
    let lookup = only(desk);
    assert_eq!(text(&lookup, UbusAttr::ObjPath).as_deref(), Some(path));
    desk.feed_bus(&found(&lookup));
    let call = only(desk);
    assert_eq!((call.hdr.ty, call.hdr.peer, number(&call, UbusAttr::ObjId)), (MsgType::Invoke, THEIRS, Some(THEIRS)));
    assert_eq!(text(&call, UbusAttr::Method).as_deref(), Some(method));
    desk.feed_bus(&data_message(&call, reply));
    data(&call)
}

#[test]
fn joining_registers_object_receiver_and_patterns() {
    let mut desk = apart(policy(Consent::Ask));
    assert!(desk.bus.poll_connect(desk.now));
    assert!(!desk.bus.poll_connect(desk.now), "one attempt at a time");
    desk.bus.handle_connected();
    assert_eq!(desk.bus.poll_transmit(), None, "the broker greets first");
    desk.feed_bus(&hello());
    let sent = desk.sent();
    let [object, receiver] = sent.as_slice() else { panic!("{sent:?}") };
    assert_eq!(text(object, UbusAttr::ObjPath).as_deref(), Some("dots-callhome"));
    let signature = find(&object.payload, UbusAttr::Signature).unwrap();
    let signature = ubus::json::blobmsg_to_json(signature.payload).unwrap();
    assert_eq!(
        signature,
        json!({
            "status": {}, "list": { "state": 3 }, "get": { "id": 5 },
            "approve": { "id": 5, "action": 3, "devices": 1, "addresses": 1, "lifetime": 5, "until": 3 },
            "reject": { "id": 5, "comment": 3 }, "withdraw": { "id": 5, "comment": 3 }, "devices": {},
            "quarantine": { "mac": 3, "lifetime": 5, "comment": 3 }, "release": { "mac": 3 }, "history": { "limit": 5 },
            "vetoes": {}, "ended": {}, "incidents": { "mac": 3 }, "lift": { "id": 5 },
        })
    );
    assert_eq!((receiver.hdr.ty, text(receiver, UbusAttr::ObjPath)), (MsgType::AddObject, None));
    desk.feed_bus(&hello());
    assert_eq!(desk.sent(), [], "one greeting is enough");
    for frame in &sent {
        desk.feed_bus(&crate::support::ubus::default_answer(frame));
    }
    assert_eq!(desk.bus_events(), [Event::Joined]);
    let sent = desk.sent();
    let patterns = sent.iter().filter(|frame| frame.hdr.ty == MsgType::Invoke);
    let patterns: Vec<Value> = patterns.inspect(|frame| assert_eq!(frame.hdr.peer, 1)).map(data).collect();
    let pattern = |name: &str| json!({ "object": RECEIVER, "pattern": name });
    assert_eq!(patterns, [pattern("config.change"), pattern("network.interface"), pattern("ubus.object.add")]);
    let asked: Vec<_> = sent.iter().filter_map(|frame| text(frame, UbusAttr::ObjPath)).collect();
    assert_eq!(asked, ["luci-rpc", "network.interface"]);
}

#[test]
fn a_refused_object_is_offered_again() {
    let mut desk = apart(policy(Consent::Ask));
    assert!(desk.bus.poll_connect(desk.now));
    desk.bus.handle_connected();
    desk.feed_bus(&hello());
    let object = desk.sent().remove(0);
    desk.feed_bus(&status(object.hdr.seq, 0, 2));
    let events = desk.bus_events();
    assert!(matches!(events.as_slice(), [Event::Trouble(line)] if line.contains("status 2")), "{events:?}");
    assert_eq!(desk.bus.poll_timeout(), Some(desk.now.instant + Duration::from_secs(1)));
    desk.pass(seconds(1));
    let object = only(&mut desk);
    desk.feed_bus(&status(object.hdr.seq, 0, 2));
    assert_eq!(desk.bus_events(), [], "told once");
    desk.pass(seconds(1));
    let object = only(&mut desk);
    desk.feed_bus(&crate::support::ubus::default_answer(&object));
    assert_eq!(desk.bus_events(), [Event::Joined]);
    assert!(desk.call("status", json!({})).is_ok());
}

#[test]
fn a_pattern_refused_is_told() {
    let mut desk = apart(policy(Consent::Ask));
    assert!(desk.bus.poll_connect(desk.now));
    desk.bus.handle_connected();
    desk.feed_bus(&hello());
    for frame in desk.sent() {
        desk.feed_bus(&crate::support::ubus::default_answer(&frame));
    }
    desk.bus_events();
    for frame in desk.sent() {
        desk.feed_bus(&status(frame.hdr.seq, frame.hdr.peer, 6));
    }
    let events = desk.bus_events();
    assert_eq!(events.len(), 3, "{events:?}");
    assert!(matches!(&events[0], Event::Trouble(line) if line.contains("config.change") && line.contains('6')));
}

/// Without a receiver there are no events, but all else works, and nobody waits for what can't come.
#[test]
fn a_refused_receiver_stops_nothing_else() {
    let mut desk = apart(policy(Consent::Ask));
    assert!(desk.bus.poll_connect(desk.now));
    desk.bus.handle_connected();
    desk.feed_bus(&hello());
    let sent = desk.sent();
    let [object, receiver] = sent.as_slice() else { panic!("{sent:?}") };
    desk.feed_bus(&crate::support::ubus::default_answer(object));
    desk.request(1, &attack(), &[crate::support::ledger::exact(CAMERA)]);
    desk.pump_ledger();
    desk.feed_bus(&status(receiver.hdr.seq, 0, 2));
    let asked: Vec<_> = desk.sent().iter().filter_map(|frame| text(frame, UbusAttr::ObjPath)).collect();
    assert_eq!(asked, ["luci-rpc", "network.interface"]);
    desk.pass(seconds(10));
    assert!(desk.call("status", json!({})).is_ok());
}

/// LuCI calls as root for everybody: the session tells who decides, and meanwhile others are served.
#[test]
fn a_decision_waits_for_the_name_behind_the_session() {
    let mut desk = desk();
    let id = desk.pending(1);
    let arguments = table(&json!({ "id": id.0, "ubus_rpc_session": SESSION }));
    let waiting = desk.begin("approve", arguments.contents());
    let lookup = only(&mut desk);
    assert_eq!(text(&lookup, UbusAttr::ObjPath).as_deref(), Some("session"));
    assert_eq!(desk.get(id)["state"], "pending", "others are answered meanwhile");
    desk.feed_bus(&found(&lookup));
    let call = only(&mut desk);
    assert_eq!(text(&call, UbusAttr::Method).as_deref(), Some("get"));
    assert_eq!(data(&call), json!({ "ubus_rpc_session": SESSION, "keys": ["username"] }));
    assert_eq!(desk.state(id), State::Pending);
    desk.feed_bus(&data_message(&call, &json!({ "values": { "username": "anna" } })));
    let sent = desk.sent();
    let after = answer(&sent, waiting).expect("answered").expect("approved");
    assert_eq!((after["state"].as_str(), after["decision"]["by"].as_str()), (Some("active"), Some("anna")));
}

type Say = fn(&Frame) -> Vec<u8>;

#[test]
fn an_unknown_session_is_no_ones_name() {
    let answers: [(&str, Say); 5] = [
        ("no such session", |frame| status(frame.hdr.seq, frame.hdr.peer, 4)),
        ("no user in it", |frame| data_message(frame, &json!({ "values": {} }))),
        ("an empty name", |frame| data_message(frame, &json!({ "values": { "username": " \u{7}" } }))),
        ("something else", |frame| data_message(frame, &json!({ "values": ["anna"], "username": "anna" }))),
        ("no answer at all", |_| Vec::new()),
    ];
    for (case, say) in answers {
        let mut desk = desk();
        let id = desk.pending(1);
        let arguments = table(&json!({ "id": id.0, "ubus_rpc_session": SESSION }));
        let waiting = desk.begin("reject", arguments.contents());
        let lookup = only(&mut desk);
        desk.feed_bus(&found(&lookup));
        let call = only(&mut desk);
        let said = say(&call);
        if said.is_empty() {
            desk.pass(seconds(1));
            assert_eq!((desk.sent().len(), desk.state(id)), (0, State::Pending), "{case}");
            assert_eq!(desk.bus.poll_timeout(), Some(desk.now.instant + Duration::from_secs(1)));
            desk.pass(seconds(1));
        } else {
            desk.feed_bus(&said);
        }
        let after = answer(&desk.sent(), waiting).expect(case).expect(case);
        assert_eq!(after["decision"]["by"], "root, unknown session", "{case}");
        // An answer that comes too late means nothing any more.
        desk.feed_bus(&data_message(&call, &json!({ "values": { "username": "anna" } })));
        assert_eq!(desk.sent(), []);
    }
}

/// Who holds sessions may not be there at all, and a broker may tell no users.
#[test]
fn without_rpcd_or_user_the_decision_still_has_a_name() {
    let mut desk = desk();
    let id = desk.pending(1);
    let arguments = table(&json!({ "id": id.0, "ubus_rpc_session": SESSION }));
    let waiting = desk.begin("withdraw", arguments.contents());
    let lookup = only(&mut desk);
    desk.feed_bus(&status(lookup.hdr.seq, 0, 4));
    assert_eq!(answer(&desk.sent(), waiting).unwrap().unwrap()["decision"]["by"], "root, unknown session");

    let id = desk.pending(2);
    let bytes = message(MsgType::Invoke, 900, crate::support::ubus::CALLER, |e| {
        e.push_u32(UbusAttr::ObjId, OBJECT);
        e.push_str(UbusAttr::Method, "reject");
        e.push_data(table(&json!({ "id": id.0 })).contents());
    });
    desk.feed_bus(&bytes);
    assert_eq!(answer(&desk.sent(), 900).unwrap().unwrap()["decision"]["by"], "ubus");
}

/// A refusal needs no name, but the question is settled only when the session is.
#[test]
fn a_deferred_call_is_judged_when_it_is_carried_out() {
    let mut desk = desk();
    let id = desk.pending(1);
    let arguments = table(&json!({ "id": id.0, "ubus_rpc_session": SESSION }));
    let waiting = desk.begin("approve", arguments.contents());
    let lookup = only(&mut desk);
    desk.call("reject", json!({ "id": id.0 })).unwrap();
    desk.feed_bus(&status(lookup.hdr.seq, 0, 4));
    assert_eq!(answer(&desk.sent(), waiting), Some(Err(8)));
}

/// However many decide at once: nobody waits in more lines than we keep.
#[test]
fn many_deferred_calls_are_bounded() {
    let mut desk = desk();
    let mut lookups = 0;
    for n in 0..200_u32 {
        let arguments = table(&json!({ "mac": TV.to_string(), "ubus_rpc_session": SESSION }));
        desk.begin(if n % 2 == 0 { "quarantine" } else { "release" }, arguments.contents());
        lookups += desk.sent().iter().filter(|frame| frame.hdr.ty == MsgType::Lookup).count();
    }
    assert_eq!(lookups, 64);
    desk.pass(seconds(2));
    assert_eq!(desk.sent().iter().filter(|frame| frame.hdr.ty == MsgType::Status).count(), 64);
}

#[test]
fn calls_that_want_no_answer_get_none() {
    let mut desk = desk();
    let id = desk.pending(1);
    let bytes = message(MsgType::Invoke, 7, crate::support::ubus::CALLER, |e| {
        e.push_u32(UbusAttr::ObjId, OBJECT);
        e.push_str(UbusAttr::Method, "reject");
        e.push_u8(UbusAttr::NoReply, 1);
        e.push_data(table(&json!({ "id": id.0 })).contents());
    });
    desk.feed_bus(&bytes);
    assert_eq!((desk.sent().len(), desk.state(id)), (0, State::Rejected));
}

/// As libubus answers it.
#[test]
fn a_call_without_arguments_at_all_is_an_invalid_argument() {
    let mut desk = desk();
    for method in ["status", "no such method"] {
        let bytes = message(MsgType::Invoke, 7, crate::support::ubus::CALLER, |e| {
            e.push_u32(UbusAttr::ObjId, OBJECT);
            e.push_str(UbusAttr::Method, method);
        });
        desk.feed_bus(&bytes);
        assert_eq!(answer(&desk.sent(), 7), Some(Err(2)));
    }
}

#[test]
fn names_are_asked_on_joining_and_when_mitigations_change_but_not_too_often() {
    let mut desk = apart(policy(Consent::Ask));
    desk.join();
    let id = desk.request(1, &attack(), &[crate::support::ledger::exact(CAMERA)]);
    desk.pump_ledger();
    let sent = desk.sent();
    assert!(sent.iter().all(|frame| frame.hdr.ty != MsgType::Lookup), "asked a moment ago: {sent:?}");
    let due = desk.now.instant + Duration::from_secs(10);
    assert_eq!(desk.bus.poll_timeout(), Some(due));
    desk.pass(seconds(10));
    let reply = json!({
        "02:00:00:00:00:11": { "ipaddrs": ["192.168.1.23"], "ip6addrs": [], "name": "camera\n\u{1b}[31m" },
        "02:00:00:00:00:22": { "ipaddrs": ["192.168.1.24"] },
        "02:00:00:00:00:AA": { "name": "x".repeat(300) },
        "02:00:00:00:00:BB": { "name": 7 },
        "02:00:00:00:00:CC": "tv",
        "not an address": { "name": "ghost" },
        "FF:FF:FF:FF:FF:FF": { "name": "everybody" },
    });
    serve(&mut desk, "luci-rpc", "getHostHints", &reply);
    let names = VecMap::from([(CAMERA, "camera[31m".to_owned()), (Mac([2, 0, 0, 0, 0, 0xaa]), "x".repeat(63))]);
    assert_eq!(desk.bus_events(), [Event::Names(names)]);
    assert_eq!(desk.bus.poll_timeout(), None, "nothing more to ask");
    desk.ledger.handle_enforced(id, Err(NotInForce::Nft("no".into())), desk.now);
    desk.ledger.reject(id, None, "root", desk.now).unwrap();
    desk.pump_ledger();
    assert!(desk.sent().iter().all(|frame| frame.hdr.ty != MsgType::Lookup));
    desk.pass(seconds(10));
    let lookup = only(&mut desk);
    desk.feed_bus(&status(lookup.hdr.seq, 0, 4));
    assert_eq!(desk.bus_events(), [], "a bus without LuCI is fine");
}

#[test]
fn interfaces_are_learnt_on_joining_and_whenever_one_changes() {
    let mut desk = desk();
    desk.pass(seconds(1));
    event(&mut desk, "network.interface", &json!({ "action": "ifup", "interface": "wan" }));
    let reply = json!({ "interface": [
        { "interface": "loopback", "up": true, "l3_device": "lo", "device": "lo",
          "ipv4-address": [{ "address": "127.0.0.1", "mask": 8 }], "ipv6-address": [], "ipv6-prefix": [], "route": [] },
        { "interface": "wan", "up": true, "l3_device": "pppoe-wan", "device": "eth1",
          "ipv4-address": [{ "address": "198.51.100.7", "mask": 32 }, { "address": "nonsense", "mask": 24 },
                           { "address": "198.51.100.8", "mask": 33 }, { "address": "198.51.100.9" }],
          "route": [{ "target": "0.0.0.0", "mask": 0, "nexthop": "198.51.100.1", "source": "198.51.100.7/32" },
                    { "target": "192.0.2.0", "mask": 24, "nexthop": "198.51.100.2", "source": "0.0.0.0/0" }] },
        { "interface": "wan6", "up": true, "device": "eth1", "ipv6-address": [{ "address": "2001:db8:1::7", "mask": 64 }],
          "ipv6-prefix": [{ "address": "2001:db8:123::", "mask": 48, "class": "wan6", "assigned": {} }],
          "route": [{ "target": "::", "mask": 0, "nexthop": "fe80::1", "metric": 512, "source": "2001:db8:123::/48" },
                    { "target": "::", "mask": 0, "nexthop": "::", "source": "::/0" }] },
        { "interface": "guest", "up": false },
        { "up": true, "device": "nameless" },
        "nonsense",
    ] });
    serve(&mut desk, "network.interface", "dump", &reply);
    let events = desk.bus_events();
    let [Event::Interfaces(interfaces)] = events.as_slice() else { panic!("{events:?}") };
    assert_eq!(interfaces.keys().collect::<Vec<_>>(), ["guest", "loopback", "wan", "wan6"]);
    let wan = &interfaces["wan"];
    assert!(wan.up && !interfaces["guest"].up);
    assert_eq!(wan.device.as_deref(), Some("pppoe-wan"));
    assert_eq!(wan.addresses, ["198.51.100.7/32".parse().unwrap()]);
    assert_eq!(wan.gateways, ["198.51.100.1".parse::<std::net::IpAddr>().unwrap()]);
    let wan6 = &interfaces["wan6"];
    assert_eq!(wan6.device.as_deref(), Some("eth1"));
    assert_eq!(wan6.addresses, ["2001:db8:1::7/64".parse().unwrap()]);
    assert_eq!(wan6.prefixes, ["2001:db8:123::/48".parse().unwrap()]);
    assert_eq!(wan6.gateways, ["fe80::1".parse::<std::net::IpAddr>().unwrap()]);
}

/// Interfaces come up in a burst: one question while one is open, one afterwards.
#[test]
fn a_burst_of_interface_events_is_one_question() {
    let mut desk = desk();
    desk.pass(seconds(1));
    let burst = |desk: &mut TestRouter| {
        for _ in 0..20 {
            event(desk, "network.interface", &json!({ "action": "ifup", "interface": "lan" }));
        }
    };
    burst(&mut desk);
    let lookup = only(&mut desk);
    burst(&mut desk);
    desk.pass(seconds(3));
    assert_eq!(desk.sent(), [], "one is open");
    desk.feed_bus(&status(lookup.hdr.seq, 0, 4));
    assert_eq!(text(&only(&mut desk), UbusAttr::ObjPath).as_deref(), Some("network.interface"));
}

/// At once: rpcd and netifd start after us, or anew.
#[test]
fn objects_that_come_back_are_asked_again() {
    let mut desk = desk();
    for path in ["luci-rpc", "network.interface"] {
        event(&mut desk, "ubus.object.add", &json!({ "id": 1234, "path": path }));
        let lookup = only(&mut desk);
        assert_eq!(text(&lookup, UbusAttr::ObjPath).as_deref(), Some(path));
        desk.feed_bus(&status(lookup.hdr.seq, 0, 4));
    }
    event(&mut desk, "ubus.object.add", &json!({ "id": 1234, "path": "network.interface.wan" }));
    event(&mut desk, "ubus.object.remove", &json!({ "id": 1234, "path": "luci-rpc" }));
    assert_eq!(desk.sent(), []);
}

#[test]
fn only_our_own_configuration_matters_and_only_the_broker_may_say_so() {
    let mut desk = desk();
    event(&mut desk, "config.change", &json!({ "config": "network" }));
    event(&mut desk, "config.change", &json!({ "config": ["dots-callhome"] }));
    event(&mut desk, "config.changed", &json!({ "config": "dots-callhome" }));
    let change = table(&json!({ "config": "dots-callhome" }));
    desk.feed_bus(&invoke(RECEIVER, 4711, 5, "config.change", change.contents()));
    desk.feed_bus(&invoke(OBJECT, 0, 5, "config.change", change.contents()));
    assert_eq!(desk.bus_events(), []);
    event(&mut desk, "config.change", &json!({ "config": "dots-callhome" }));
    assert_eq!(desk.bus_events(), [Event::ConfigChanged]);
}

/// Every change is an event for whoever listens; subscribers are told the same, but only if there are any.
#[test]
fn changes_are_events_and_notifications() {
    let mut desk = desk();
    let id = desk.request(1, &attack(), &[crate::support::ledger::exact(CAMERA)]);
    desk.pump_ledger();
    let sent: Vec<Frame> = desk.sent().into_iter().filter(|frame| frame.hdr.ty != MsgType::Lookup).collect();
    let [event] = sent.as_slice() else { panic!("one event for one mitigation: {sent:?}") };
    assert_eq!(
        (event.hdr.ty, event.hdr.peer, text(event, UbusAttr::Method).as_deref()),
        (MsgType::Invoke, 1, Some("send"))
    );
    assert_eq!(data(event)["id"], "dots-callhome.mitigation");
    assert_eq!(data(event)["data"], desk.get(id));

    let active = |on| {
        message(MsgType::Notify, 3, 0, |e| {
            e.push_u32(UbusAttr::ObjId, OBJECT);
            e.push_u8(UbusAttr::Active, on);
        })
    };
    desk.feed_bus(&active(1));
    desk.call("reject", json!({ "id": id.0 })).unwrap();
    desk.pump_ledger();
    let sent = desk.sent();
    let [_, notification] = sent.as_slice() else { panic!("{sent:?}") };
    assert_eq!((notification.hdr.ty, number(notification, UbusAttr::ObjId)), (MsgType::Notify, Some(OBJECT)));
    assert_eq!(text(notification, UbusAttr::Method).as_deref(), Some("dots-callhome.mitigation"));
    assert!(find(&notification.payload, UbusAttr::NoReply).unwrap().as_bool_int8());
    assert_eq!(data(notification)["state"], "rejected");

    desk.feed_bus(&active(0));
    let mut status = crate::support::ubus::peer("isp");
    status.state = PeerState::Connecting;
    desk.bus.handle_peer(&status);
    let event = only(&mut desk);
    assert_eq!(data(&event)["id"], "dots-callhome.peer");
    assert_eq!(data(&event)["data"]["state"], "connecting");
}

#[test]
fn the_end_of_a_mitigation_is_told_once() {
    let mut desk = desk();
    let id = desk.request(1, &attack(), &[]);
    desk.pump_ledger();
    desk.sent();
    desk.ledger.handle_attribution(id, vec![crate::support::ledger::exact(CAMERA)], desk.now);
    desk.pump_ledger();
    desk.delete(1);
    desk.pump_ledger();
    let sent: Vec<Value> =
        desk.sent().iter().map(data).filter(|sent| sent["id"] == "dots-callhome.mitigation").collect();
    assert_eq!(sent.len(), 1, "what happens between two writes is one event");
    assert_eq!(sent[0]["data"]["state"], "expired");
}

/// In the order of what happened, one after the other.
#[test]
fn hooks_are_run_through_the_bus() {
    let mut desk = desk();
    desk.bus.hotplug(&[("ACTION", "approved"), ("ID", "7"), ("NAME", "my\ncamera\0")], desk.now);
    desk.bus.hotplug(&[("ACTION", "enforced")], desk.now);
    let given = serve(&mut desk, "hotplug.dots-callhome", "call", &json!({}));
    assert_eq!(given, json!({ "env": ["ACTION=approved", "ID=7", "NAME=my camera ", "SEQUENCE=1"] }));
    // procd has not run the scripts yet when it answers.
    assert_eq!(desk.sent(), []);
    desk.pass(Duration::from_millis(999));
    assert_eq!(desk.sent(), []);
    desk.pass(Duration::from_millis(1));
    let given = serve(&mut desk, "hotplug.dots-callhome", "call", &json!({}));
    assert_eq!(given, json!({ "env": ["ACTION=enforced", "SEQUENCE=2"] }));
    desk.pass(Duration::from_secs(60));
    assert_eq!(desk.sent(), []);
}

#[test]
fn hooks_wait_for_the_bus_within_bounds() {
    let mut desk = apart(policy(Consent::Ask));
    for n in 0..1000 {
        desk.bus.hotplug(&[("ID", &n.to_string())], desk.now);
    }
    assert!(desk.bus.poll_connect(desk.now));
    desk.bus.handle_connected();
    assert_eq!(desk.bus.poll_transmit(), None);
    desk.feed_bus(&hello());
    let mut calls = 0;
    loop {
        desk.pass(Duration::from_secs(1));
        let sent = desk.sent();
        if sent.is_empty() {
            break;
        }
        for frame in sent {
            let ours = text(&frame, UbusAttr::ObjPath).is_some_and(|path| path == "hotplug.dots-callhome");
            calls += usize::from(frame.hdr.peer == THEIRS);
            desk.feed_bus(&if ours { found(&frame) } else { crate::support::ubus::default_answer(&frame) });
        }
    }
    assert_eq!(calls, 256);

    // Where nobody runs scripts the rest is forgotten.
    desk.pass(Duration::from_secs(1));
    for _ in 0..10 {
        desk.bus.hotplug(&[("ACTION", "approved")], desk.now);
    }
    let lookup = only(&mut desk);
    desk.feed_bus(&status(lookup.hdr.seq, 0, 4));
    assert_eq!(desk.sent(), []);
}

/// Retried after 200 ms, 400 ms, 800 ms, then every second.
#[test]
fn a_lost_broker_is_joined_again() {
    let mut desk = desk();
    let id = desk.pending(1);
    let arguments = table(&json!({ "id": id.0, "ubus_rpc_session": SESSION }));
    desk.begin("approve", arguments.contents());
    assert!(!desk.bus.poll_connect(desk.now));
    for pause in [200, 400, 800, 1000, 1000] {
        desk.bus.handle_lost(desk.now);
        assert!(!desk.bus.poll_connect(desk.now));
        let due = desk.bus.poll_timeout().expect("tried again");
        assert_eq!(due, desk.now.instant + Duration::from_millis(pause));
        desk.now = desk.now.after(Duration::from_millis(pause));
        assert!(desk.bus.poll_connect(desk.now));
    }
    assert_eq!(desk.bus.poll_transmit(), None, "what was open is void");
    desk.bus.handle_peer(&crate::support::ubus::peer("isp"));
    assert_eq!(desk.bus.poll_transmit(), None, "nobody to tell");
    desk.bus.handle_connected();
    desk.feed_bus(&hello());
    desk.answer_bus();
    assert!(desk.bus_events().contains(&Event::Joined));
    assert_eq!(desk.get(id)["state"], "pending", "nothing was decided behind the caller's back");
    desk.bus.handle_lost(desk.now);
    assert_eq!(desk.bus.poll_timeout(), Some(desk.now.instant + Duration::from_millis(200)), "it had worked");
}

/// A stream of calls for large replies that are not read fills no memory.
#[test]
fn replies_nobody_reads_are_bounded() {
    let mut desk = desk();
    for mid in 1..=60 {
        desk.request(
            mid,
            &crate::support::ledger::other_attack(u16::try_from(mid).unwrap()),
            &[crate::support::ledger::exact(CAMERA)],
        );
    }
    for _ in 0..400 {
        desk.begin("list", &[]);
    }
    let bytes = desk.bus.poll_transmit().unwrap();
    assert!(bytes.len() < 1024 * 1024, "{}", bytes.len());
    let refused = crate::support::ubus::messages(&bytes);
    let refused = refused.iter().filter(|frame| number(frame, UbusAttr::Status) == Some(9)).count();
    assert!(refused > 300, "{refused}");
    assert!(desk.call("list", json!({})).is_ok());
}
