//! Every method of our object: what it takes, what it replies, and the status where it refuses.

use std::time::Duration;

use crate::support::enforce;
use crate::support::ledger::{
    CAMERA, LAPTOP, TV, attack, exact, other_attack, packets, policy, possible, seconds, with_device,
};
use crate::support::ubus::{TestRouter, joined};
use dots_callhome::enforce::NotInForce;
use dots_callhome::mitigation::{Client, Consent, DevicePolicy, State};
use dots_callhome::model::{IcmpTypeRange, MitigationId, PortRange, Scope};
use dots_callhome::ubus::{PeerState, PeerStatus};
use serde_json::{Value, json};
use ubus::BlobMsgTable;

fn ask() -> TestRouter {
    joined(policy(Consent::Ask))
}

fn states(reply: &Value) -> Vec<&str> {
    reply["mitigations"].as_array().unwrap().iter().map(|m| m["state"].as_str().unwrap()).collect()
}

#[test]
fn status_tells_of_the_daemon_and_its_peers() {
    let mut desk = ask();
    desk.peers.push(PeerStatus {
        state: PeerState::Waiting,
        transport: None,
        address: None,
        since: None,
        retry_in: Some(Duration::from_millis(4_100)),
        last_error: Some("the peer's certificate has expired".into()),
        rtt: None,
        ..crate::support::ubus::peer("backup")
    });
    desk.pending(1);
    let other = desk.pending(2);
    desk.call("approve", json!({ "id": other.0 })).unwrap();
    desk.pass(seconds(90));
    assert_eq!(
        desk.call("status", json!({})).unwrap(),
        json!({
            "version": "1.2.3", "uptime": 90, "consent": "ask", "pending": 1, "active": 1, "devices": 2,
            "peers": [
                { "name": "isp", "state": "connected", "transport": "tls", "address": "198.51.100.1:4647",
                  "since": 1_767_225_600, "rtt_ms": 12 },
                { "name": "backup", "state": "waiting", "retry_in": 5,
                  "last_error": "the peer's certificate has expired" },
            ],
        })
    );
    desk.not_kept = Some("/etc/dots-callhome/decisions.cbor: No space left on device");
    assert_eq!(desk.call("status", json!({})).unwrap()["not_kept"], desk.not_kept.unwrap());
    assert!(desk.call("status", json!({})).unwrap().get("config_faults").is_none());
    desk.config_faults = vec!["section isp: a quote is never closed (line 5)".into()];
    assert_eq!(desk.call("status", json!({})).unwrap()["config_faults"], json!(desk.config_faults));
    desk.not_read = Some("/etc/dots-callhome/decisions.cbor: it is too large");
    assert_eq!(desk.call("status", json!({})).unwrap()["not_read"], desk.not_read.unwrap());
    for (consent, word) in [(Consent::Auto, "auto"), (Consent::Observe, "observe")] {
        assert_eq!(joined(policy(consent)).call("status", json!({})).unwrap()["consent"], word);
    }
}

#[test]
fn a_mitigation_is_told_in_full() {
    let mut desk = ask();
    desk.finder.set_names([(CAMERA, "Garage camera".to_owned())].into());
    let scope = Scope {
        target_prefixes: vec!["203.0.113.80/32".parse().unwrap(), "2001:db8:2::/48".parse().unwrap()],
        target_ports: vec![PortRange::new(53, 53).unwrap(), PortRange::new(9000, 9999).unwrap()],
        target_protocols: vec![17, 6],
        target_fqdns: vec!["www.example".into()],
        target_uris: vec!["https://www.example/a\0b".into()],
        source_prefixes: vec!["198.51.100.7/32".parse().unwrap()],
        source_ports: vec![PortRange::new(40000, 40000).unwrap()],
        source_icmp_types: vec![IcmpTypeRange::new(8, 10).unwrap()],
    };
    let mut suspect = exact(CAMERA);
    suspect.evidence[0].flow.sent = Some(packets(756_000));
    suspect.evidence[0].rate = packets(4187);
    let id = desk.request(7, &scope, &[suspect, possible(LAPTOP)]);
    let evidence = "udp 192.168.1.23:4000 -> 203.0.113.80:53 as 198.51.100.7:40000";
    let mut expected = json!({
        "id": id.0, "peer": "isp", "cuid": "K", "mid": 7, "state": "pending", "requested": 1_767_225_600,
        "lifetime": 3600, "remaining": 3600, "action": "block",
        "target": { "prefixes": ["2001:db8:2::/48", "203.0.113.80/32"], "ports": ["53", "9000-9999"],
                    "protocols": [17, 6], "fqdns": ["www.example"], "uris": ["https://www.example/a\u{fffd}b"],
                    "unverified": ["fqdns", "uris"], "wide": false, "v4_addresses": 1, "v6_networks": 1 },
        "source": { "prefixes": ["198.51.100.7/32"], "ports": ["40000"], "icmp_types": ["8-10"] },
        "devices": [
            { "mac": "02:00:00:00:00:11", "name": "Garage camera", "addresses": ["192.168.1.23"],
              "interface": "br-lan", "chosen": false, "confidence": "exact", "evidence": [
                { "flow": evidence, "packets": 756_000, "bytes": 75_600_000, "pps": 4187, "bps": 418_700, "seen": 1 } ] },
            { "mac": "02:00:00:00:00:33", "name": "thing", "addresses": ["192.168.1.23"], "interface": "br-lan",
              "chosen": false, "confidence": "possible", "evidence": [
                { "flow": evidence, "pps": 0, "bps": 0, "seen": 1 } ] },
        ],
        "dropped": { "packets": 0, "bytes": 0, "pps": 0, "bps": 0 }, "verified": false,
    });
    assert_eq!(desk.get(id), expected);

    desk.pass(seconds(10));
    desk.ledger.approve(id, None, &[CAMERA], None, "root", desk.now).unwrap();
    assert!(desk.call("status", json!({})).unwrap().get("leaking").is_none());
    desk.ledger.handle_enforced(id, Err(NotInForce::Nft("nft: not found".into())), desk.now);
    assert_eq!(desk.call("status", json!({})).unwrap()["leaking"], 1);
    expected["state"] = json!("active");
    expected["remaining"] = json!(3590);
    expected["devices"][0]["chosen"] = json!(true);
    expected["decision"] = json!({ "by": "root", "at": 1_767_225_610 });
    expected["detail"] = json!("nft: not found");
    assert_eq!(desk.get(id), expected);

    desk.ledger.handle_enforced(id, Ok(()), desk.now);
    desk.pass(seconds(10));
    desk.ledger.handle_counted(id, packets(5_000_000_000), desk.now);
    expected["remaining"] = json!(3580);
    expected["verified"] = json!(true);
    expected["dropped"] = json!({ "packets": 5_000_000_000_u64, "bytes": 500_000_000_000_u64, "pps": 500_000_000, "bps": 50_000_000_000_u64,
                                   "last": desk.now.unix });
    expected.as_object_mut().unwrap().remove("detail");
    assert_eq!(desk.get(id), expected);
}

#[test]
fn list_shows_all_or_those_in_a_state() {
    let mut desk = ask();
    let first = desk.pending(1);
    desk.pending(2);
    desk.call("reject", json!({ "id": first.0 })).unwrap();
    assert_eq!(states(&desk.call("list", json!({})).unwrap()), ["rejected", "pending"]);
    assert_eq!(states(&desk.call("list", json!({ "state": "pending" })).unwrap()), ["pending"]);
    assert_eq!(desk.call("list", json!({ "state": "expired" })).unwrap(), json!({ "mitigations": [] }));
    for state in ["", "Pending", "done"] {
        assert_eq!(desk.call("list", json!({ "state": state })), Err(2), "{state}");
    }
    assert_eq!(desk.call("list", json!({ "state": null })).unwrap()["mitigations"].as_array().unwrap().len(), 2);
}

/// Replies have a bound: first without evidence, then with a count of what is left out.
#[test]
fn a_list_that_is_too_large_is_cut_and_says_so() {
    let mut desk = ask();
    let crowd: Vec<_> = (0..60).map(|n| possible(dots_callhome::model::Mac([2, 0, 0, 0, 1, n]))).collect();
    for mid in 1..=20 {
        desk.request(mid, &other_attack(u16::try_from(mid).unwrap()), &crowd);
    }
    let reply = desk.call("list", json!({})).unwrap();
    let all = reply["mitigations"].as_array().unwrap();
    assert_eq!((all.len(), reply.get("omitted")), (20, None));
    assert!(
        all.iter().all(|m| m["devices"][0]["evidence"] == json!([]) && m["devices"].as_array().unwrap().len() == 8)
    );
    assert_eq!(desk.get(MitigationId(1))["devices"].as_array().unwrap().len(), 60, "one alone is told in full");

    for mid in 101..=208 {
        desk.request(mid.into(), &other_attack(mid), &crowd);
    }
    // Others who come last are not pushed out by one who came first.
    for (peer, count) in [("second", 100), ("third", 1)] {
        let client = Client { peer: peer.into(), cuid: peer.into() };
        for mid in 1..=count {
            let scope = other_attack(1000 + mid);
            let grant = desk.ledger.put(&client, mid.into(), &scope, None, false, desk.now).unwrap();
            desk.ledger.handle_attribution(grant.id, crowd.clone(), desk.now);
        }
    }
    let reply = desk.call("list", json!({})).unwrap();
    let all = reply["mitigations"].as_array().unwrap();
    let of = |peer: &str| all.iter().filter(|m| m["peer"] == peer).count();
    assert!((20..229).contains(&all.len()), "{} shown", all.len());
    assert_eq!(reply["omitted"], 229 - all.len());
    assert!(of("third") == 1 && of("isp").abs_diff(of("second")) <= 28, "{} and {}", of("isp"), of("second"));
    assert!(all.is_sorted_by_key(|m| m["id"].as_u64()), "oldest first");
}

#[test]
fn an_approval_acts_on_the_devices_named() {
    let mut desk = ask();
    let id = desk.request(1, &attack(), &[exact(CAMERA), exact(TV)]);
    let after = desk
        .call(
            "approve",
            json!({ "id": id.0, "action": "quarantine", "devices": [TV.to_string().to_uppercase()], "lifetime": 600 }),
        )
        .unwrap();
    assert_eq!((after["state"].as_str(), after["action"].as_str()), (Some("active"), Some("quarantine")));
    assert_eq!(after["remaining"], 600);
    assert_eq!(after["decision"], json!({ "by": "root", "at": 1_767_225_600 }));
    assert_eq!(desk.quarantined(), [TV]);

    let id = desk.request(2, &other_attack(2), &[exact(CAMERA), exact(TV)]);
    let after = desk.call("approve", json!({ "id": id.0 })).unwrap();
    assert_eq!(after["action"], "block");
    assert_eq!(desk.blocked(), [CAMERA, TV]);
}

#[test]
fn an_approval_that_can_not_be_is_refused_with_its_status() {
    let mut desk = joined(with_device(Consent::Ask, TV, DevicePolicy::Exempt));
    let id = desk.request(1, &attack(), &[possible(CAMERA), possible(LAPTOP), possible(TV)]).0;
    for (arguments, status) in [
        (json!({ "id": 4711 }), 4),
        (json!({ "id": id, "devices": ["02:00:00:00:00:99"] }), 4),
        (json!({ "id": id }), 2),
        (json!({ "id": id, "devices": [TV.to_string()] }), 8),
        (json!({ "id": id, "devices": [] }), 2),
        (json!({ "id": id, "devices": ["all"] }), 2),
        (json!({ "id": id, "devices": [CAMERA.to_string(), 7] }), 2),
        (json!({ "id": id, "devices": CAMERA.to_string() }), 2),
        (json!({ "id": id, "devices": { "0": CAMERA.to_string() } }), 2),
        (json!({ "id": id, "devices": [CAMERA.to_string()], "action": "drop" }), 2),
        (json!({ "id": id, "devices": [CAMERA.to_string()], "lifetime": 0 }), 2),
        (json!({ "id": id, "devices": [CAMERA.to_string()], "lifetime": -1 }), 2),
        (json!({ "id": id, "devices": [CAMERA.to_string()], "lifetime": 4_294_967_296_u64 }), 2),
        (json!({ "id": id, "devices": [CAMERA.to_string()], "lifetime": "600" }), 2),
        (json!({ "id": id, "devices": [CAMERA.to_string()], "comment": "no such argument" }), 2),
        (json!({ "id": -1 }), 2),
        (json!({ "id": 4_294_967_297_u64 }), 2),
        (json!({ "id": 1.0 }), 2),
        (json!({}), 2),
    ] {
        assert_eq!(desk.call("approve", arguments.clone()), Err(status), "{arguments}");
    }
    assert_eq!(desk.state(MitigationId(id)), State::Pending);
    let mut desk = joined(policy(Consent::Observe));
    let id = desk.pending(1);
    assert_eq!(desk.call("approve", json!({ "id": id.0 })), Err(8));
}

#[test]
fn rejections_and_withdrawals_carry_their_comment() {
    for (method, word, status) in [("reject", "rejected", 7), ("withdraw", "withdrawn", 7)] {
        let mut desk = ask();
        let id = desk.pending(1);
        let after = desk.call(method, json!({ "id": id.0, "comment": "our own\ntest" })).unwrap();
        assert_eq!(after["state"], word);
        assert_eq!(after["decision"], json!({ "by": "root", "at": 1_767_225_600, "comment": "our own\ntest" }));
        assert_eq!(desk.status(id), status);
        assert_eq!(desk.call(method, json!({ "id": id.0 })), Err(8));
        assert_eq!(desk.call(method, json!({ "id": 2 })), Err(4));
        assert_eq!(desk.call(method, json!({ "comment": "which?" })), Err(2));
        assert_eq!(desk.call(method, json!({ "id": id.0, "comment": 5 })), Err(2));
    }
}

/// What the provider has withdrawn itself is gone at once: the reply shows it as it was last.
#[test]
fn a_terminating_mitigation_can_be_withdrawn() {
    let mut desk = ask();
    let id = desk.in_force(1, &attack(), CAMERA);
    desk.delete(1);
    assert_eq!(desk.get(id)["state"], "terminating");
    assert_eq!(desk.call("reject", json!({ "id": id.0 })), Err(8));
    let after = desk.call("withdraw", json!({ "id": id.0 })).unwrap();
    assert_eq!((after["state"].as_str(), after["verified"].as_bool()), (Some("expired"), Some(false)));
    assert_eq!(desk.call("get", json!({ "id": id.0 })), Err(4));
}

#[test]
fn devices_are_told_with_what_is_in_force() {
    let mut desk = joined(with_device(Consent::Ask, LAPTOP, DevicePolicy::Exempt));
    let first = desk.in_force(1, &other_attack(1), CAMERA);
    let second = desk.request(2, &other_attack(2), &[exact(CAMERA)]);
    let mut wanted = enforce::blocks(&[enforce::block(first.0, &[CAMERA, TV])]);
    wanted.quarantined = vec![enforce::quarantine(None, LAPTOP)];
    desk.desire(wanted);
    desk.kernel.count("m1", CAMERA, 40);
    desk.kernel.count("m1", TV, 2);
    desk.kernel.count("quarantine", LAPTOP, 7);
    desk.pass(Duration::from_secs(2));
    let dropped = |desk: &mut TestRouter, mac| desk.device(mac)["dropped"]["packets"].as_u64();
    assert_eq!(dropped(&mut desk, LAPTOP), Some(7), "by the administrator's own quarantine");
    assert_eq!(
        desk.device(CAMERA),
        json!({ "mac": CAMERA.to_string(), "name": "thing", "addresses": ["192.168.1.23"], "interface": "br-lan",
                "state": "blocked", "mitigations": [first.0, second.0],
                "dropped": { "packets": 40, "bytes": 4000, "pps": 0, "bps": 0 } })
    );
    assert_eq!(desk.device(TV)["state"], "free");
    assert_eq!(desk.device(TV).get("name"), None);
    assert_eq!(desk.device(LAPTOP)["state"], "exempt");
    desk.finder.set_names([(LAPTOP, "Laptop".to_owned())].into());
    assert_eq!(desk.device(LAPTOP)["name"], "Laptop", "named, though not seen");
    desk.call("approve", json!({ "id": second.0, "action": "quarantine" })).unwrap();
    assert_eq!(desk.device(CAMERA)["state"], "quarantined");
    desk.call("reject", json!({ "id": second.0 })).unwrap();
    assert_eq!(desk.device(CAMERA)["mitigations"], json!([first.0]));
    assert_eq!(desk.device(CAMERA)["state"], "blocked");
}

#[test]
fn a_device_is_quarantined_and_released() {
    let mut desk = joined(with_device(Consent::Ask, LAPTOP, DevicePolicy::Exempt));
    let mac = TV.to_string();
    let after = desk.call("quarantine", json!({ "mac": mac, "lifetime": 60, "comment": "odd" })).unwrap();
    assert_eq!((after["mac"].as_str(), after["state"].as_str()), (Some(mac.as_str()), Some("quarantined")));
    assert_eq!(desk.quarantined(), [TV]);
    assert_eq!(desk.ledger.manual_quarantine(TV).unwrap().decision.comment.as_deref(), Some("odd"));
    assert_eq!(desk.call("release", json!({ "mac": mac })).unwrap()["state"], "free");
    assert_eq!(desk.quarantined(), []);

    desk.ledger.set_router([CAMERA].into(), desk.now);
    for (method, mac, status) in [
        ("release", TV.to_string(), 8),
        ("release", "02:00:00:00:00:99".into(), 4),
        ("quarantine", "02:00:00:00:00:99".into(), 4),
        ("quarantine", CAMERA.to_string(), 4),
        ("quarantine", LAPTOP.to_string(), 8),
        ("quarantine", "ff:ff:ff:ff:ff:ff".into(), 2),
        ("quarantine", "TV".into(), 2),
        ("release", String::new(), 2),
    ] {
        assert_eq!(desk.call(method, json!({ "mac": mac })), Err(status), "{method} {mac}");
    }
    assert_eq!(desk.call("quarantine", json!({ "mac": TV.to_string(), "lifetime": 0 })), Err(2));
    assert_eq!(desk.call("quarantine", json!({})), Err(2));
    assert_eq!(desk.call("release", json!({ "mac": 2 })), Err(2));
}

#[test]
fn history_is_newest_first_and_bounded() {
    let mut desk = ask();
    let id = desk.pending(1);
    desk.call("reject", json!({ "id": id.0, "comment": "ours" })).unwrap();
    let events = desk.call("history", json!({})).unwrap()["events"].clone();
    let words: Vec<_> = events.as_array().unwrap().iter().map(|e| e["event"].as_str().unwrap()).collect();
    assert_eq!(words, ["rejected", "pending", "requested"]);
    assert_eq!(
        events[0],
        json!({ "time": 1_767_225_600, "event": "rejected", "id": 1, "peer": "isp", "mac": CAMERA.to_string(),
                "by": "root", "comment": "ours" })
    );
    assert_eq!(events[2], json!({ "time": 1_767_225_600, "event": "requested", "id": 1, "peer": "isp" }));
    assert_eq!(desk.call("history", json!({ "limit": 2 })).unwrap()["events"].as_array().unwrap().len(), 2);
    assert_eq!(desk.call("history", json!({ "limit": 0 })).unwrap(), json!({ "events": [] }));
    assert_eq!(desk.call("history", json!({ "limit": -1 })), Err(2));
    assert_eq!(desk.call("history", json!({ "limit": "all" })), Err(2));
}

/// Proves CH-5.3.1-24: a no is shown, and can be taken back.
#[test]
fn vetoes_are_shown_and_lifted() {
    let mut desk = ask();
    let id = desk.pending(1);
    assert_eq!(desk.call("vetoes", json!({})).unwrap(), json!({ "vetoes": [] }));
    desk.call("reject", json!({ "id": id.0, "comment": "ours" })).unwrap();
    let veto = desk.call("vetoes", json!({})).unwrap()["vetoes"][0].clone();
    let expected = json!({ "id": id.0, "peer": "isp", "cause": "rejected", "by": "root", "at": 1_767_225_600,
        "comment": "ours", "remaining": 86_400 });
    for (field, value) in expected.as_object().unwrap() {
        assert_eq!(&veto[field], value, "{field}");
    }
    assert_eq!(veto["devices"][0]["mac"], CAMERA.to_string());
    assert_eq!(veto["targets"].as_array().unwrap().len(), 1);
    assert_eq!(desk.call("lift", json!({ "id": 4711 })), Err(4));
    assert_eq!(desk.call("lift", json!({})), Err(2));
    assert_eq!(desk.call("lift", json!({ "id": id.0 })).unwrap(), json!({ "vetoes": [] }));
    let event = desk.call("history", json!({ "limit": 1 })).unwrap()["events"][0].clone();
    assert_eq!(
        (&event["event"], &event["by"], &event["mac"]),
        (&json!("lifted"), &json!("root"), &json!(CAMERA.to_string()))
    );
}

#[test]
fn what_no_method_takes_is_refused() {
    let mut desk = ask();
    let id = desk.pending(1).0;
    for (method, good) in [
        ("status", json!({})),
        ("list", json!({})),
        ("get", json!({ "id": id })),
        ("devices", json!({})),
        ("history", json!({})),
        ("vetoes", json!({})),
        ("ended", json!({})),
        ("incidents", json!({})),
    ] {
        assert!(desk.call(method, good.clone()).is_ok(), "{method}");
        for (name, value, outcome) in [
            ("ubus_rpc_session", json!("0123456789abcdef0123456789abcdef"), true),
            ("ubus_rpc_session", json!("x".repeat(65)), false),
            ("ubus_rpc_session", json!(1), false),
            ("colour", json!("red"), false),
            ("colour", json!(null), false),
            ("", json!("nameless"), false),
        ] {
            let mut arguments = good.clone();
            arguments[name] = value;
            let answer = desk.call(method, arguments.clone());
            assert_eq!(answer.is_ok(), outcome, "{method} {arguments}");
            assert!(answer.is_ok() || answer == Err(2));
        }
    }
    assert_eq!(desk.call("reboot", json!({})), Err(3));
    assert_eq!(desk.call("", json!({})), Err(3));
    assert_eq!(desk.call("list", json!({ "state": "pending".repeat(4000) })), Err(2));
}

/// Callers send the integer type that fits the number; libubox's `ubus` program sends 32 bits, others 64.
#[test]
fn integers_of_any_width_are_understood() {
    let mut desk = ask();
    let id = desk.pending(1);
    assert_eq!(id.0, 1);
    // An attribute of type 6 and 14 bytes: name, value, each padded to four.
    let sixteen = [0x86, 0, 0, 14, 0, 2, b'i', b'd', 0, 0, 0, 0, 0, 1, 0, 0];
    assert_eq!(desk.call_bytes("get", &sixteen).unwrap()["mid"], 1);
    for build in [
        BlobMsgTable::build(|b| b.put_bool(Some("id"), true)),
        BlobMsgTable::build(|b| b.put_i32(Some("id"), 1)),
        BlobMsgTable::build(|b| b.put_i64(Some("id"), 1)),
    ] {
        assert_eq!(desk.call_bytes("get", build.contents()).unwrap()["mid"], 1);
    }
    for build in [
        BlobMsgTable::build(|b| b.put_double(Some("id"), 1.0)),
        BlobMsgTable::build(|b| b.put_str(Some("id"), "1")),
        BlobMsgTable::build(|b| {
            b.put_i32(Some("id"), 1);
            b.put_i32(Some("id"), 1);
        }),
        BlobMsgTable::build(|b| b.put_i32(None, 1)),
    ] {
        assert_eq!(desk.call_bytes("get", build.contents()), Err(2));
    }
}

/// What a person chose is told, and what contradicts itself is refused.
#[test]
fn an_approval_says_until_when() {
    let mut desk = ask();
    let id = desk.pending(1).0;
    for arguments in [
        json!({ "id": id, "until": "ended", "lifetime": 60 }),
        json!({ "id": id, "until": "time" }),
        json!({ "id": id, "until": "never" }),
        json!({ "id": id, "until": 1 }),
    ] {
        assert_eq!(desk.call("approve", arguments.clone()), Err(2), "{arguments}");
    }
    let reply = desk.call("approve", json!({ "id": id })).unwrap();
    assert!(reply.get("until").is_none() && reply.get("asked").is_none());
    let reply = desk.call("approve", json!({ "id": id, "until": "time", "lifetime": 7200 })).unwrap();
    assert_eq!((&reply["until"], &reply["left"], &reply["remaining"]), (&json!("time"), &json!(7200), &json!(3600)));
    let reply = desk.call("approve", json!({ "id": id, "until": "ended" })).unwrap();
    assert_eq!((&reply["until"], reply.get("left")), (&json!("ended"), None));
    desk.pass(seconds(3600));
    let reply = desk.call("get", json!({ "id": id })).unwrap();
    assert_eq!((&reply["asked"], &reply["remaining"], &reply["state"]), (&json!(false), &json!(0), &json!("active")));
}

#[test]
fn what_goes_on_without_a_block_is_told_until_somebody_decides() {
    let mut desk = ask();
    let over = |desk: &mut TestRouter, n| {
        let id = desk.pending(n);
        desk.call("approve", json!({ "id": id.0 })).unwrap();
        desk.delete(n);
        desk.pass(seconds(110));
        desk.ledger.handle_counted(id, packets(500), desk.now);
        desk.pass(seconds(10));
        id.0
    };
    assert!(desk.call("status", json!({})).unwrap().get("ended").is_none());
    let (one, other) = (over(&mut desk, 1), over(&mut desk, 2));
    assert_eq!(desk.call("list", json!({})).unwrap(), json!({ "mitigations": [] }));
    assert_eq!(desk.call("status", json!({})).unwrap()["ended"], 2);
    let told = desk.call("ended", json!({})).unwrap();
    let first = &told["mitigations"][0];
    assert_eq!((&first["id"], &first["state"], &first["asked"]), (&json!(one), &json!("expired"), &json!(false)));
    assert_eq!((&first["devices"][0]["chosen"], &first["dropped"]["packets"]), (&json!(true), &json!(500)));
    assert_eq!(desk.call("withdraw", json!({ "id": one })).unwrap()["state"], "expired");
    assert_eq!(desk.call("approve", json!({ "id": other, "action": "quarantine" })).unwrap()["until"], "ended");
    assert_eq!(desk.call("ended", json!({})).unwrap(), json!({ "mitigations": [] }));
}

/// What is over is told with all that is asked later: who, whom, how much, who decided, how it ended.
#[test]
fn incidents_are_told_for_all_and_for_one_device() {
    let mut desk = ask();
    let id = desk.pending(1);
    desk.call("approve", json!({ "id": id.0 })).unwrap();
    desk.ledger.handle_counted(id, packets(500), desk.now);
    assert_eq!(desk.get(id)["dropped"]["last"], desk.now.unix);
    desk.call("withdraw", json!({ "id": id.0 })).unwrap();
    let told = desk.call("incidents", json!({})).unwrap();
    let incident = &told["incidents"][0];
    assert_eq!((&incident["id"], &incident["outcome"]), (&json!(id.0), &json!("withdrawn")));
    assert_eq!(incident["decision"]["by"], "root");
    assert_eq!((&incident["dropped"]["packets"], &incident["action"]), (&json!(500), &json!("block")));
    assert_eq!(incident["devices"], json!([{ "mac": CAMERA.to_string(), "name": "thing" }]));
    assert_eq!(incident["target"]["prefixes"], json!(["2001:db8:d000::1/128"]));
    let about = |desk: &mut TestRouter, mac: dots_callhome::model::Mac| {
        desk.call("incidents", json!({ "mac": mac.to_string() })).unwrap()["incidents"].as_array().unwrap().len()
    };
    assert_eq!((about(&mut desk, CAMERA), about(&mut desk, TV)), (1, 0));
    assert_eq!(desk.call("incidents", json!({ "mac": "camera" })), Err(2));
}
