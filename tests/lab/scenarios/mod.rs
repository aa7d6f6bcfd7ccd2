//! What becomes of requests, sessions and configurations. Times are waited for, never measured: figures belong to the bench.

mod datagrams;
mod detector;
mod foreign;
mod hostile;
mod jailed;
mod refusing;

use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::symlink;

use libtest_mimic::Trial;
use serde_json::json;

use crate::attack::{Attack, FLOOD, approve, state, the_id_in_state};
use crate::home::{VICTIM, WAN, device_address, device_mac};
use crate::host::Host;
use crate::stage::Stage;
use crate::traffic::{Sender, Sink};

/// The scenarios by name.
const ALL: &[(&str, fn())] = &[
    ("a_request_lives_its_whole_life", whole_life),
    ("in_its_jail_it_lives_its_whole_life", jailed::life),
    ("a_device_found_later_is_asked_about", found_later),
    ("auto_blocks_without_asking_and_observe_never_acts", auto_and_observe),
    ("auto_asks_where_it_can_only_guess", auto_guesses),
    ("a_rejected_request_blocks_nothing", rejected),
    ("a_quarantined_device_reaches_the_router_only", quarantine),
    ("a_killed_daemon_leaves_the_block_and_takes_it_up_again", killed),
    ("a_lost_bus_is_joined_again", lost_bus),
    ("a_lost_provider_is_called_again", lost_provider),
    ("datagrams_carry_a_session_with_certificates", datagrams::certificates),
    ("datagrams_carry_a_session_with_a_shared_key", datagrams::pre_shared_keys),
    ("a_killed_provider_has_its_routers_back_over_datagrams", datagrams::killed_provider),
    ("fastnetmon_has_a_flood_blocked_at_home", detector::chain),
    ("whoever_refuses_to_resume_is_called_in_full_at_once", refusing::every_way),
    ("a_block_of_ones_own_outlives_its_request", kept),
    ("without_nft_the_provider_is_not_told_lies", without_nft),
    ("a_wrong_certificate_is_refused_with_its_reason", wrong_certificate),
    ("hostile_requests_are_refused", hostile::refused),
    ("an_unknown_interface_accepts_nothing_and_says_so", hostile::unknown_interface),
    ("hostile_requests_do_no_harm", hostile::harmless),
    ("broken_configuration_is_told_and_the_rest_runs", broken_configuration),
];

/// All of them as tests, with those that peers play that are not ours.
pub fn trials() -> Vec<Trial> {
    let name = |name: &str| format!("scenarios::{name}");
    let own = ALL.iter().map(|(scenario, play)| crate::trial(name(scenario), play));
    let foreign = foreign::ALL
        .iter()
        .map(|peer| crate::trial(name(&format!("foreign_{}", peer.name)), move || foreign::life(peer)));
    own.chain(foreign).collect()
}

/// Proves CH-1-05, CH-4-01, CH-5.1-01, CH-5.1-03, CH-5.1-04, CH-5.3.2-06, CH-5.3.2-10, SC-4.4.4-04, DR-1.2-01, DR-3.1-05,
/// DR-3.2.1-08 with packets.
fn whole_life() {
    let stage = Stage::new(2, "");
    let listening = stage.home.router.run("ss", &["-Hlntu"]);
    assert_eq!(listening, "", "the router listens");
    let attack = Attack::start(&stage);
    assert_eq!(IpAddr::from(WAN), attack.seen().ip());
    let request = stage.request(attack.seen(), 3600);
    let mid = request["mid"].as_u64().expect("mid");

    let id = the_id_in_state(&stage, "pending");
    // A router that is not yet sure of who has opened which flow finds out while it is asked.
    stage.until("it is certain", |s| s.mitigation(id)["devices"][0]["confidence"] == "exact");
    let pending = stage.mitigation(id);
    let device = &pending["devices"][0];
    assert_eq!(device["mac"], device_mac(1));
    assert_eq!(pending["devices"].as_array().map(Vec::len), Some(1));
    let flow = device["evidence"][0]["flow"].as_str().expect("evidence");
    assert!(flow.contains(&device_address(1).to_string()) && flow.contains(&attack.seen().to_string()), "{flow}");
    assert_eq!(stage.provider_status(mid)["status"], 1);
    attack.assert_free();

    approve(&stage, id);
    attack.assert_blocked();
    stage.until("the provider hears of it, with counters", |s| {
        let status = s.provider_status(mid);
        status["status"] == 2 && status["dropped"]["packets"].as_u64().is_some_and(|packets| packets > 500)
    });
    assert!(stage.mitigation(id)["dropped"]["packets"].as_u64().is_some_and(|packets| packets > 500));
    assert_eq!(stage.mitigation(id)["decision"]["by"], "root");
    assert_eq!(stage.ubus("devices", json!({})).expect("devices")["devices"][0]["state"], "blocked");

    stage.provider(&["withdraw", "--router", "home-1234.isp.example", "--mid", &mid.to_string()]).expect("withdrawn");
    stage.until("terminating", |s| state(&s.mitigation(id)) == "terminating");
    attack.assert_blocked();
    let before = attack.sink.packets(FLOOD);
    stage.until("traffic is back", |_| attack.sink.packets(FLOOD) > before);
    attack.assert_free();
    let events = stage.ubus("history", json!({ "limit": 20 })).expect("history");
    assert!(events["events"].as_array().is_some_and(|events| events.len() >= 4), "{events}");
}

fn found_later() {
    let stage = Stage::new(2, "");
    let nobody = SocketAddr::from((WAN, 0));
    let request = stage.provider(&[
        "request",
        "--router",
        "home-1234.isp.example",
        "--source",
        &format!("{}/32", nobody.ip()),
        "--target",
        &format!("{VICTIM}/32"),
        "--target-port",
        "53",
        "--protocol",
        "17",
        "--lifetime",
        "600",
    ]);
    assert!(request.is_ok(), "{request:?}");
    let id = the_id_in_state(&stage, "searching");
    let sink = Sink::udp(&stage.home.victim, 53);
    let _flood = Sender::udp(stage.home.device(1), (VICTIM, 53).into(), FLOOD, 500);
    stage.until("the device shows", |s| state(&s.mitigation(id)) == "pending");
    assert_eq!(stage.mitigation(id)["devices"][0]["mac"], device_mac(1));
    let before = sink.packets(FLOOD);
    stage.until("nothing is blocked", |_| sink.packets(FLOOD) > before);
}

fn auto_and_observe() {
    let stage = Stage::new(2, "\toption consent 'auto'");
    let attack = Attack::start(&stage);
    stage.request(attack.seen(), 3600);
    let id = the_id_in_state(&stage, "active");
    stage.until("verified", |s| s.mitigation(id)["verified"] == true);
    attack.assert_blocked();
    drop((attack, stage));

    let stage = Stage::new(2, "\toption consent 'observe'");
    let attack = Attack::start(&stage);
    stage.request(attack.seen(), 3600);
    the_id_in_state(&stage, "pending");
    attack.assert_free();
}

/// Two devices send, and the provider names no port: both are shown, the busier first, and nothing is done.
fn auto_guesses() {
    let stage = Stage::new(2, "\toption consent 'auto'");
    let attack = Attack::start(&stage);
    let source = format!("{WAN}/32");
    let target = format!("{VICTIM}/32");
    let words = ["request", "--router", "home-1234.isp.example", "--source", &source, "--target", &target];
    stage.provider(&[&words[..], &["--target-port", "53", "--protocol", "17"]].concat()).expect("request");
    let id = the_id_in_state(&stage, "pending");
    let rate = |number: usize| stage.mitigation(id)["devices"][number]["evidence"][0]["pps"].as_u64().unwrap_or(0);
    // One sends forty times as much as the other.
    stage.until("rates are known", |_| rate(1) > 0 && rate(0) > 10 * rate(1));
    let devices = stage.mitigation(id)["devices"].clone();
    for (device, number) in [(&devices[0], 1), (&devices[1], 2)] {
        assert_eq!(device["mac"], device_mac(number), "{devices}");
        assert_eq!(device["confidence"], "possible", "{devices}");
    }
    assert_eq!(state(&stage.mitigation(id)), "pending");
    assert_eq!(stage.ubus("approve", json!({ "id": id })), Err(2), "none of the two was named");
    attack.assert_free();
}

fn rejected() {
    let stage = Stage::new(2, "");
    let attack = Attack::start(&stage);
    let mid = stage.request(attack.seen(), 3600)["mid"].as_u64().expect("mid");
    let id = the_id_in_state(&stage, "pending");
    let after = stage.ubus("reject", json!({ "id": id, "comment": "our own test" })).expect("rejected");
    assert_eq!(after["state"], "rejected");
    attack.assert_free();
    stage.until("the provider hears of it", |s| s.provider_status(mid)["conflict"]["cause"] == 4);
    assert_eq!(stage.ubus("approve", json!({ "id": id })), Err(8));
    assert_eq!(stage.ubus("approve", json!({ "id": 4_711 })), Err(4));
    assert_eq!(stage.ubus("approve", json!({ "id": "one" })), Err(2));
}

fn quarantine() {
    let stage = Stage::new(2, "");
    let attack = Attack::start(&stage);
    let device = stage.home.device(1);
    stage.quarantine(&device_mac(1));
    stage.until("the flood ends", |_| attack.is_blocked());
    attack.assert_blocked();
    let reaches = |device: &Host| device.output("ping", &["-c1", "-W1", &VICTIM.to_string()]).status.success();
    // Others are answered in that time.
    stage.until("only the other one reaches the victim", |_| !reaches(device) && reaches(stage.home.device(2)));
    stage.ubus("release", json!({ "mac": device_mac(1) })).expect("released");
    stage.until("the device is free", |_| reaches(device));
    attack.assert_free();
}

fn killed() {
    let mut stage = Stage::new(2, "");
    let attack = Attack::start(&stage);
    stage.request(attack.seen(), 3600);
    let id = the_id_in_state(&stage, "pending");
    approve(&stage, id);
    stage.stop_daemon("KILL");
    attack.assert_blocked();
    stage.start_daemon();
    stage.until("in force and verified again", |s| s.mitigation(id)["verified"] == true);
    attack.assert_blocked();
    assert_eq!(state(&stage.mitigation(id)), "active");
    stage.stop_daemon("TERM");
    attack.assert_blocked();
}

fn lost_bus() {
    let mut stage = Stage::new(1, "");
    stage.stop_bus();
    stage.start_bus();
    stage.until("the object is back", |s| s.peer_state() == "connected");
    stage.signal_daemon("HUP");
    stage.until("still there after a reload", |s| s.peer_state() == "connected");
}

fn lost_provider() {
    let mut stage = Stage::new(2, "\toption consent 'auto'");
    let attack = Attack::start(&stage);
    let mid = stage.request(attack.seen(), 3600)["mid"].as_u64().expect("mid");
    let id = the_id_in_state(&stage, "active");
    stage.until("verified", |s| s.mitigation(id)["verified"] == true);
    stage.stop_client();
    stage.until("the loss is noticed", |s| s.peer_state() != "connected");
    attack.assert_blocked();
    stage.start_client();
    stage.until("the session is back", |s| s.peer_state() == "connected");
    assert_eq!(state(&stage.mitigation(id)), "active");
    stage.until("the provider knows it still", |s| s.provider_status(mid)["status"] == 2);
    let mut other = attack.seen();
    other.set_port(other.port() ^ 1);
    let next = stage.request(other, 3600)["mid"].as_u64().expect("mid");
    assert!(next > mid, "the number {next} after {mid} (RFC 9132 section 4.4.1)");
}

fn kept() {
    let stage = Stage::new(2, "");
    let attack = Attack::start(&stage);
    stage.request(attack.seen(), 40);
    let id = the_id_in_state(&stage, "pending");
    stage.ubus("approve", json!({ "id": id, "until": "ended" })).expect("approved");
    stage.until("in force", |s| s.mitigation(id)["verified"] == true);
    stage.until("the request is over", |s| s.mitigation(id)["asked"] == false);
    stage.until("still in force", |s| s.mitigation(id)["verified"] == true);
    attack.assert_blocked();
    assert_eq!(stage.mitigation(id)["until"], "ended");
    stage.ubus("withdraw", json!({ "id": id })).expect("ended");
    stage.until("it is gone", |s| s.mitigation(id).is_null());
    attack.assert_free();
    let incidents = stage.ubus("incidents", json!({})).expect("incidents");
    assert_eq!(incidents["incidents"][0]["outcome"], "withdrawn", "{incidents}");
}

fn without_nft() {
    let mut stage = Stage::prepare(2, "\toption consent 'auto'");
    let programs = stage.file("programs");
    std::fs::create_dir_all(&programs).expect("directory");
    stage.set_path(programs.clone());
    stage.start_bus();
    stage.start_client();
    stage.start_daemon();
    stage.until("the session is up", |s| s.peer_state() == "connected");
    let attack = Attack::start(&stage);
    let mid = stage.request(attack.seen(), 3600)["mid"].as_u64().expect("mid");
    // Nobody has noted who sends: a person decides.
    stage.until("asked", |s| s.the_mitigation()["state"] == "pending");
    let id = stage.the_mitigation()["id"].clone();
    stage.ubus("approve", json!({ "id": id })).expect("approved");
    stage.until("the reason shows", |s| s.the_mitigation()["detail"].as_str().is_some_and(|d| d.contains("nft")));
    assert_eq!(stage.the_mitigation()["verified"], false);
    assert_eq!(stage.provider_status(mid)["status"], 1);
    assert!(stage.log().contains("nft"), "{}", stage.log());
    let nft = ["/usr/sbin/nft", "/sbin/nft", "/usr/bin/nft"].into_iter().find(|p| std::path::Path::new(p).exists());
    symlink(nft.expect("nft is installed"), programs.join("nft")).expect("link");
    stage.until("tried again", |s| s.the_mitigation()["verified"] == true);
    attack.assert_blocked();
}

fn wrong_certificate() {
    let mut stage = Stage::prepare(1, "");
    let authority = stage.other_authority();
    authority.issue_expired("provider", crate::credentials::PROVIDER_NAME);
    authority.issue("router", crate::credentials::ROUTER_NAME);
    stage.start_bus();
    stage.start_client();
    stage.start_daemon();
    let error = |s: &Stage| s.ubus("status", json!({})).unwrap_or_default()["peers"][0]["last_error"].to_string();
    stage.until("expiry is told", |s| error(s).contains("expired"));
    stage.stop_client();
    authority.issue("provider", "someone.else.example");
    stage.start_client();
    stage.until("the name is told", |s| error(s).contains("callhome.isp.example"));
    assert_ne!(stage.peer_state(), "connected");
}

fn broken_configuration() {
    let mut stage = Stage::prepare(1, "");
    stage.configure(
        "\toption colour 'red'",
        "\toption heartbeat_interval 'often'",
        "config peer 'other'\n\toption port '99999'",
    );
    stage.start_bus();
    stage.start_client();
    stage.start_daemon();
    stage.until("it runs", |s| s.ubus("status", json!({})).is_ok());
    let log = stage.log();
    for said in ["colour", "heartbeat_interval", "99999"] {
        assert!(log.contains(said), "{said} not in {log}");
    }
}
