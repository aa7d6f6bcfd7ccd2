//! Requests that no honest provider would make: refused in so many words, or harmless.

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::attack::{Attack, approve, the_id_in_state};
use crate::credentials::ROUTER_NAME;
use crate::home::{PROVIDER, VICTIM, WAN};
use crate::host::comes_true;
use crate::stage::Stage;

/// Asks about UDP that comes from `seen` and goes to all of these targets and ports.
fn ask(stage: &Stage, seen: SocketAddr, targets: &[String], ports: &[&str]) -> Result<(), String> {
    let (source, port) = (format!("{}/32", seen.ip()), seen.port().to_string());
    let mut words = vec!["request", "--router", ROUTER_NAME, "--source", &source, "--source-port", &port];
    words.extend(["--protocol", "17"]);
    words.extend(targets.iter().flat_map(|target| ["--target", target.as_str()]));
    words.extend(ports.iter().flat_map(|port| ["--target-port", *port]));
    stage.provider(&words).map(drop)
}

/// Proves SC-4.4.1.1-21, CH-5.3.1-20, SC-11-07 with packets.
pub fn refused() {
    let stage = Stage::new(2, "\toption consent 'auto'");
    let attack = Attack::start(&stage);
    let victim = [format!("{VICTIM}/32")];
    let refused = |outcome: Result<(), String>, why: &str| {
        let said = outcome.expect_err(why);
        assert!(said.contains(why), "{said}");
    };
    for everything in ["0.0.0.0/0", "::/0"] {
        refused(ask(&stage, attack.seen(), &[everything.to_owned()], &[]), "Internet");
    }
    let provider = SocketAddr::from((PROVIDER, 4000));
    refused(ask(&stage, provider, &victim, &[]), "out of scope");
    attack.assert_free();
    assert_eq!(stage.ubus("list", json!({})).expect("list")["mitigations"], json!([]));
    // What is too much for one request goes in several, and whoever asks for so much is asked about.
    let thousand: Vec<String> = (0..1000).map(|n| format!("203.0.{}.{}/32", 100 + n / 250, n % 250)).collect();
    ask(&stage, attack.seen(), &thousand, &[]).expect("accepted");
    let list = stage.ubus("list", json!({})).expect("list");
    let states: Vec<&Value> = list["mitigations"].as_array().expect("list").iter().map(|m| &m["state"]).collect();
    assert!(states.len() > 1 && states.iter().all(|state| *state != "active"), "{states:?}");
    attack.assert_free();
    assert_eq!(stage.peer_state(), "connected");
}

/// A mistyped interface is not all upstreams: nothing is accepted, and it is told; the right name mends it at once.
pub fn unknown_interface() {
    let mut stage = Stage::prepare(2, "");
    let config = std::fs::read_to_string(stage.file("config")).expect("configuration");
    std::fs::write(stage.file("config"), config.replace("interface 'wan'", "interface 'wna'")).expect("configuration");
    stage.start_bus();
    stage.start_client();
    stage.start_daemon();
    stage.until("the session is up", |s| s.peer_state() == "connected");
    let told = |s: &Stage| s.ubus("status", json!({})).unwrap_or_default()["peers"][0]["last_error"].to_string();
    stage.until("the status says so", |s| told(s).contains("no interface wna"));
    assert_eq!(stage.log().matches("there is no interface wna, so no request is accepted").count(), 1);
    let attack = Attack::start(&stage);
    let refused = ask(&stage, attack.seen(), &[format!("{VICTIM}/32")], &[]).expect_err("nothing is ours");
    assert!(refused.contains("out of scope"), "{refused}");
    std::fs::write(stage.file("config"), config).expect("configuration");
    stage.reload();
    stage.until("it is back", |s| s.peer_state() == "connected" && told(s) == "null");
    ask(&stage, attack.seen(), &[format!("{VICTIM}/32")], &[]).expect("accepted");
}

/// Proves CH-5.3.2-06, CH-9-01 with packets: what a request names besides the attacked target harms neither the session nor the
/// way to the router, and overlapping scopes are one.
pub fn harmless() {
    let stage = Stage::new(2, "");
    let attack = Attack::start(&stage);
    let victims = ["/32", "/26", "/24"].map(|length| format!("{VICTIM}{length}"));
    let house = ["192.168.0.0/16", "2001:db8:123::/48"].map(str::to_owned);
    let edge = [format!("{WAN}/32"), format!("{PROVIDER}/32"), "198.51.100.0/24".to_owned()];
    let all = [&victims[..], &house[..], &edge[..]].concat();
    ask(&stage, attack.seen(), &all, &["1-100", "53", "40-60", "60000-65535"]).expect("asked");
    approve(&stage, the_id_in_state(&stage, "pending"));
    attack.assert_blocked();
    let reaches = |number: usize, address: &str| {
        comes_true(|| stage.home.device(number).output("ping", &["-c1", "-W1", address]).status.success())
    };
    for router in ["192.168.1.1", &WAN.to_string(), "2001:db8:123::1"] {
        assert!(reaches(1, router), "the device is cut off from the router at {router}");
    }
    assert!(reaches(2, &PROVIDER.to_string()), "the innocent device suffers");
    stage.until("the provider hears of it over the same session", |s| {
        s.provider(&["status"]).is_ok_and(|status| status["mitigations"][0]["status"] == 2)
    });
    assert_eq!(stage.log().matches("peer isp: connected").count(), 1, "{}", stage.log());
}
