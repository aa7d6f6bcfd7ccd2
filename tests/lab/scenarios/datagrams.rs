//! Sessions over UDP.

use serde_json::json;

use crate::attack::Attack;
use crate::credentials::ROUTER_NAME;
use crate::stage::Stage;

/// The session as the router tells it.
fn transport(stage: &Stage) -> String {
    stage.ubus("status", json!({})).unwrap_or_default()["peers"][0]["transport"].to_string()
}

fn start(stage: &mut Stage) {
    stage.start_bus();
    stage.start_client();
    stage.start_daemon();
    stage.until("the session is up", |s| s.peer_state() == "connected");
    assert_eq!(transport(stage), "\"dtls\"");
}

/// A flood that is reported and blocked; the request's number.
fn block(stage: &Stage) -> u64 {
    let attack = Attack::start(stage);
    let mid = stage.request(attack.seen(), 3600)["mid"].as_u64().expect("mid");
    stage.until("in force and verified", |s| s.the_mitigation()["verified"] == true);
    attack.assert_blocked();
    stage.until("the provider knows", |s| s.provider_status(mid)["status"] == 2);
    mid
}

/// Proves SC-3-01, CH-5.1-01 with packets: certificates, and a provider that leaves.
pub fn certificates() {
    let mut stage = Stage::prepare(2, "");
    stage.configure_transport("dtls", "", "\toption consent 'auto'");
    start(&mut stage);
    let listening = stage.home.router.run("ss", &["-Hlntu"]);
    assert_eq!(listening, "", "the router listens");
    let mid = block(&stage);
    stage.provider(&["withdraw", "--router", ROUTER_NAME, "--mid", &mid.to_string()]).expect("withdrawn");
    stage.until("terminating", |s| s.the_mitigation()["state"] == "terminating");
    stage.stop_client();
    stage.until("its goodbye is heard", |s| s.peer_state() != "connected");
    assert!(stage.log().contains("the peer has closed the session"), "{}", stage.log());
}

/// The provider's program dies without a word, in an attack. Only silence tells the router: with what was negotiated it is back before
/// anybody here loses patience, with the defaults it would take more than twice as long. The block stays meanwhile.
pub fn killed_provider() {
    let mut stage = Stage::prepare(2, "");
    stage.configure_transport("dtls", "", "\toption consent 'auto'");
    start(&mut stage);
    // Three missing heartbeats of 15 seconds.
    let lost_after = |s: &Stage| s.provider(&["routers"]).is_ok_and(|all| all["routers"][0]["lost_after"] == 45);
    stage.until("heartbeats are negotiated", lost_after);
    let attack = Attack::start(&stage);
    let mid = stage.request(attack.seen(), 3600)["mid"].as_u64().expect("mid");
    stage.until("in force and verified", |s| s.the_mitigation()["verified"] == true);
    stage.kill_client();
    attack.assert_blocked();
    stage.start_client();
    let took = stage.until("it is back and tells of it", |s| s.provider_status(mid)["status"] == 2);
    println!("back {:.0} s after the program was started anew", took.as_secs_f32());
    attack.assert_blocked();
}

/// Proves SC-7.1-12 with packets: a pre-shared key, and a daemon that restarts.
pub fn pre_shared_keys() {
    let mut stage = Stage::prepare(2, "");
    let key = "00112233445566778899aabbccddeeff";
    let file = stage.secret("isp.psk", key);
    stage.secret("keys", &format!("# our routers\nsomebody:{}\n{ROUTER_NAME}:{key}\n", "ab".repeat(16)));
    let authentication =
        format!("\toption auth 'psk'\n\toption psk_identity '{ROUTER_NAME}'\n\toption psk_file '{}'", file.display());
    stage.configure_transport("dtls", &authentication, "\toption consent 'auto'");
    start(&mut stage);
    let mid = block(&stage);
    stage.stop_daemon("KILL");
    stage.start_daemon();
    stage.until("the session is up again", |s| s.peer_state() == "connected");
    stage.until("the provider knows it still", |s| s.provider_status(mid)["status"] == 2);
    let routers = stage.provider(&["routers"]).expect("routers");
    assert_eq!(routers["routers"].as_array().map(Vec::len), Some(1), "{routers}");
    assert_eq!(routers["routers"][0]["transport"], "dtls");
}
