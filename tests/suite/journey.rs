//! The whole way and back: a provider's bytes become rules in the kernel, and what they drop becomes bytes to the provider.

use std::time::Duration;

use dots_callhome::mitigation::{Consent, State};
use serde_json::{Value, json};
use ubus::wire::MsgType;

use crate::support::home::*;
use crate::support::router::TestRouter;
use crate::support::signal::{OBSERVE, delete, get, scope};
use crate::support::source::tuple;
use crate::support::ubus::data;

/// The flood as the provider sees it.
fn complaint() -> String {
    scope("6:[\"203.0.113.80/32\"],7:[{8:53}],10:[17],32768:[\"198.51.100.7/32\"],32769:[{8:40000}],14:3600")
}

/// A router with one provider and a bus.
fn connected(consent: Consent, is_stream: bool) -> TestRouter {
    let mut router = TestRouter::new(policy(consent));
    router.answers = Some(Duration::from_millis(20));
    router.connect("isp", is_stream);
    router.join();
    router.sent();
    router
}

/// One whose camera sends 100 packets a second to port 53 of the victim.
fn flooding(consent: Consent, is_stream: bool) -> TestRouter {
    let mut router = connected(consent, is_stream);
    router.flood(0x11, 40000, 53, 100);
    router.pass(seconds(5));
    assert_eq!(passed(&router), 500);
    router
}

fn passed(router: &TestRouter) -> u64 {
    router.kernel.floods[0].passed
}

fn dropped(router: &TestRouter) -> u64 {
    router.kernel.floods[0].dropped
}

/// The states told on the bus since.
fn states(router: &mut TestRouter) -> Vec<String> {
    let sent = router.sent().into_iter().filter(|frame| frame.hdr.ty == MsgType::Invoke).map(|frame| data(&frame));
    let told = sent.filter(|event| event["id"] == "dots-callhome.mitigation");
    told.map(|event| event["data"]["state"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_flood_is_found_approved_dropped_told_and_let_go() {
    for is_stream in [false, true] {
        let mut router = flooding(Consent::Ask, is_stream);
        assert_eq!(router.want(1, &complaint()), "2.01 {1:{2:[{5:1,14:3600,16:1}]}}");
        router.ask(&get("mitigate/K/1").number(OBSERVE, 0).token(b"watch"));
        router.pass(seconds(5));
        assert_eq!((passed(&router), dropped(&router)), (1000, 0), "nobody has decided");
        let id = router.id(1);
        let list = router.call("list", json!({})).unwrap();
        let device = &list["mitigations"][0]["devices"][0];
        assert_eq!((&device["mac"], &device["confidence"]), (&json!(CAMERA.to_string()), &json!("exact")));
        assert_eq!(list["mitigations"][0]["devices"].as_array().map(Vec::len), Some(1));
        assert_eq!(states(&mut router).last().map(String::as_str), Some("pending"));

        assert_eq!(router.call("approve", json!({ "id": id.0 })).unwrap()["state"], "active");
        assert_eq!(router.kernel.flows, [], "what was under way is cut");
        assert_eq!(router.members("m1"), [CAMERA]);
        assert!(router.drops(CAMERA, VICTIM, 53, UDP));
        for (device, target, port, protocol) in [
            (TV, VICTIM, 53, UDP),
            (CAMERA, VICTIM, 54, UDP),
            (CAMERA, VICTIM, 53, TCP),
            (CAMERA, "203.0.113.81", 53, UDP),
            (CAMERA, GATEWAY, 53, UDP),
            (CAMERA, VICTIM6, 53, UDP),
        ] {
            assert!(!router.drops(device, target, port, protocol), "{device} {target} {port} {protocol}");
        }

        router.pass(seconds(10));
        assert_eq!((passed(&router), dropped(&router)), (1000, 1000));
        let status = router.ask(&get("mitigate/K/1")).to_string();
        assert!(status.contains("16:2,25:100000,26:10000,27:1000,28:100,"), "{status}");
        let told: Vec<String> = router.notified(b"watch").iter().map(ToString::to_string).collect();
        assert!(told.iter().any(|told| told.contains("16:2,25:")), "{told:?}");
        assert_eq!(router.device(CAMERA)["dropped"]["packets"], 1000);

        assert_eq!(router.ask(&delete("mitigate/K/1")).code(), "2.02");
        assert_eq!(router.state(id), State::Terminating);
        assert!(router.drops(CAMERA, VICTIM, 53, UDP), "until the period of termination is over");
        router.pass(seconds(600));
        assert_eq!(router.kernel.tables, Default::default());
        assert!(passed(&router) > 1000);
        assert_eq!(passed(&router) + dropped(&router), 62_000);
        assert_eq!(router.ask(&get("mitigate/K/1")).code(), "4.04");
        assert_eq!(router.call("list", json!({})).unwrap(), json!({ "mitigations": [] }));
        let states = states(&mut router);
        assert_eq!(states.last().map(String::as_str), Some("expired"), "{states:?}");
    }
}

#[test]
fn a_block_ends_with_its_lifetime() {
    for is_stream in [false, true] {
        let mut router = flooding(Consent::Auto, is_stream);
        router.want(1, &complaint());
        router.pass(seconds(3599));
        assert_eq!((passed(&router), dropped(&router)), (500, 359_900));
        router.pass(seconds(2));
        assert_eq!(router.kernel.tables, Default::default());
        assert!(!router.drops(CAMERA, VICTIM, 53, UDP));
        assert_eq!(router.ask(&get("mitigate/K/1")).code(), "4.04");
        router.pass(seconds(10));
        assert!(passed(&router) >= 1500);
    }
}

#[test]
fn a_flood_that_begins_after_the_request_is_stopped_as_it_begins() {
    let mut router = connected(Consent::Auto, true);
    router.want(1, &complaint());
    router.pass(seconds(60));
    router.flood(0x11, 40000, 53, 100);
    router.pass(seconds(1));
    assert_eq!(router.blocked(), [CAMERA]);
    let before = passed(&router);
    router.pass(seconds(60));
    assert_eq!((passed(&router), dropped(&router)), (before, 6100 - before));
}

/// A block that came about before it was seen who really sends is taken back, and none follows.
#[test]
fn a_device_is_not_blocked_for_what_is_sent_in_its_name() {
    let mut router = connected(Consent::Auto, false);
    router.flood(0x22, 40000, 53, 100);
    router.kernel.floods[0].original = tuple(CAMERA_V4, VICTIM, UDP, ports(4000, 53));
    router.pass(seconds(5));
    router.want(1, &complaint());
    router.pass(seconds(20));
    assert!(!router.drops(CAMERA, VICTIM, 53, UDP));
    let id = router.id(1);
    assert_eq!((router.framed.as_slice(), router.state(id)), (&[(id, CAMERA, false)][..], State::Pending));
    let suspects: Vec<Value> = router.get(id)["devices"].as_array().unwrap().clone();
    assert!(suspects.iter().all(|suspect| suspect["confidence"] == "possible"), "{suspects:?}");
    assert!(suspects.iter().any(|suspect| suspect["mac"] == TV.to_string()), "{suspects:?}");
}

#[test]
fn a_quarantine_leaves_what_the_router_itself_gives() {
    let mut router = flooding(Consent::Ask, true);
    router.call("quarantine", json!({ "mac": CAMERA.to_string(), "lifetime": 60 })).unwrap();
    for (target, port, protocol, dropped) in
        [(VICTIM, 53, UDP, true), ("8.8.8.8", 443, TCP, true), (GATEWAY, 22, TCP, true), (GATEWAY, 53, UDP, false)]
    {
        assert_eq!(router.drops(CAMERA, target, port, protocol), dropped, "{target} {port} {protocol}");
        assert!(!router.drops(TV, target, port, protocol), "{target} {port} {protocol}");
    }
    router.pass(seconds(61));
    assert_eq!(router.kernel.tables, Default::default());
    router.call("quarantine", json!({ "mac": CAMERA.to_string() })).unwrap();
    assert!(router.drops(CAMERA, VICTIM, 53, UDP));
    router.call("release", json!({ "mac": CAMERA.to_string() })).unwrap();
    assert_eq!(router.kernel.tables, Default::default());
}

/// Who looks an hour later sees what goes on then, and once it has stopped, since when.
#[test]
fn figures_are_of_the_moment_somebody_looks() {
    let mut router = flooding(Consent::Ask, false);
    router.want(1, &complaint());
    router.pass(seconds(3000));
    let id = router.id(1);
    let evidence = |router: &mut TestRouter| router.get(id)["devices"][0]["evidence"][0].clone();
    evidence(&mut router);
    let told = router.sent().len();
    router.pass(seconds(5));
    let fresh = evidence(&mut router);
    assert!(fresh["packets"].as_u64().unwrap() > 300_000, "{fresh}");
    assert_eq!(fresh["pps"], 100);
    assert!(router.now.unix - fresh["seen"].as_u64().unwrap() <= 5);
    assert!(told < 10, "figures are no news");
    router.kernel.floods[0].pps = 0;
    let stopped = router.now.unix;
    router.pass(seconds(20));
    evidence(&mut router);
    router.pass(seconds(5));
    let quiet = evidence(&mut router);
    assert_eq!((&quiet["pps"], &quiet["packets"]), (&json!(0), &json!(router.kernel.floods[0].passed)));
    assert!(quiet["seen"].as_u64().unwrap().abs_diff(stopped) <= 20, "{quiet} {stopped}");
}
