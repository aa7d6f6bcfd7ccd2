//! `kill -9` at random moments of a request's life: what anybody was told is true after the restart.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::attack::{Attack, FLOOD, GOOD, state};
use crate::credentials::ROUTER_NAME;
use crate::home::device_mac;
use crate::stage::Stage;
use crate::{Fault, Outcome};

/// The scenario.
pub const ALL: &[Fault] =
    &[("kill_9_at_any_moment", "kill -9 at ten moments between request and withdrawal", any_moment)];

const MOMENTS: u64 = 10;
/// The device that is quarantined first and released last.
const QUARANTINED: usize = 3;

/// What somebody has been told, and what they have asked for and not been answered yet.
#[derive(Clone, Copy, Debug, Default)]
struct Progress {
    quarantined: bool,
    approved: Option<u64>,
    /// What had arrived of the flood when its block was said to be in force.
    in_force: Option<usize>,
    rejected: Option<u64>,
    releasing: bool,
    released: bool,
    withdrawing: bool,
    withdrawn: bool,
}

/// The life of two requests, from a quarantine to the withdrawal; it ends early when the daemon does.
struct Life<'a> {
    stage: &'a Stage,
    attack: &'a Attack,
    progress: Mutex<Progress>,
}

impl Life<'_> {
    fn note(&self, note: impl FnOnce(&mut Progress)) {
        note(&mut self.progress.lock().expect("not poisoned"));
    }

    fn progress(&self) -> Progress {
        *self.progress.lock().expect("not poisoned")
    }

    fn live(&self) -> Option<()> {
        let ask = |method: &str, arguments: Value| self.stage.ubus(method, arguments).ok();
        ask("quarantine", json!({ "mac": device_mac(QUARANTINED) }))?;
        self.note(|p| p.quarantined = true);

        let (mid, id) = self.request(FLOOD)?;
        ask("approve", json!({ "id": id }))?;
        self.note(|p| p.approved = Some(id));
        self.reach(id, |m| m["verified"] == true)?;
        // What had passed the rules before them is still on its way to the counter.
        std::thread::sleep(Duration::from_millis(30));
        let arrived = self.attack.sink.packets(FLOOD);
        self.note(|p| p.in_force = Some(arrived));

        let (_, other) = self.request(GOOD)?;
        ask("reject", json!({ "id": other }))?;
        self.note(|p| p.rejected = Some(other));

        self.note(|p| p.releasing = true);
        ask("release", json!({ "mac": device_mac(QUARANTINED) }))?;
        self.note(|p| p.released = true);

        self.note(|p| p.withdrawing = true);
        self.stage.provider(&["withdraw", "--router", ROUTER_NAME, "--mid", &mid.to_string()]).ok()?;
        self.reach(id, |m| state(m) == "terminating")?;
        self.note(|p| p.withdrawn = true);
        Some(())
    }

    /// The provider asks about the traffic with that tag; its number there and here, once the question is put.
    fn request(&self, tag: u8) -> Option<(u64, u64)> {
        let seen = self.attack.sink.last(tag)?.1;
        let port = seen.port().to_string();
        let (source, target) = (format!("{}/32", seen.ip()), format!("{}/32", crate::home::VICTIM));
        let words = ["--source", &source, "--source-port", &port, "--target", &target, "--protocol", "17"];
        let words = [&["request", "--router", ROUTER_NAME, "--lifetime", "3600"][..], &words].concat();
        let mid = self.stage.provider(&words).ok()?["mid"].as_u64()?;
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(5) {
            let list = self.stage.ubus("list", json!({ "state": "pending" })).ok()?;
            if let Some(m) = list["mitigations"].as_array()?.iter().find(|m| m["mid"] == mid) {
                return Some((mid, m["id"].as_u64()?));
            }
        }
        None
    }

    fn reach(&self, id: u64, is: impl Fn(&Value) -> bool) -> Option<()> {
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(5) {
            if is(&self.stage.ubus("get", json!({ "id": id })).ok()?) {
                return Some(());
            }
        }
        None
    }
}

/// All that was told is true.
fn check(stage: &Stage, attack: &Attack, p: Progress) {
    stage.until("the daemon answers", |s| s.ubus("status", json!({})).is_ok());
    let quarantined = || {
        let devices = stage.ubus("devices", json!({})).unwrap_or_default()["devices"].clone();
        let all = devices.as_array().cloned().unwrap_or_default();
        all.iter().any(|device| device["mac"] == device_mac(QUARANTINED) && device["state"] == "quarantined")
    };
    if p.quarantined && !p.releasing {
        assert!(quarantined(), "the quarantine is lost");
    }
    if p.released {
        assert!(!quarantined(), "the release is lost");
    }
    if let Some(id) = p.approved {
        stage.until("in force and verified again", |s| s.mitigation(id)["verified"] == true);
        let now = stage.mitigation(id);
        let right = match state(&now) {
            "active" => !p.withdrawn,
            "terminating" => p.withdrawing,
            _ => false,
        };
        assert!(right, "the approval has become {now}");
        attack.assert_blocked();
    }
    if let Some(arrived) = p.in_force {
        assert_eq!(attack.sink.packets(FLOOD), arrived, "the block has opened");
    }
    if let Some(id) = p.rejected {
        assert_eq!(state(&stage.mitigation(id)), "rejected", "the rejection is lost");
    }
}

/// Ends everything there is, and waits until all is as in the beginning.
fn clear(stage: &Stage, attack: &Attack) {
    stage.until_within("the session is up", Duration::from_secs(60), |s| s.peer_state() == "connected");
    for number in 1..=QUARANTINED {
        let _ = stage.ubus("release", json!({ "mac": device_mac(number) }));
    }
    let list = stage.ubus("list", json!({})).expect("list")["mitigations"].clone();
    for m in list.as_array().expect("a list") {
        let _ = stage.ubus("withdraw", json!({ "id": m["id"] }));
        let _ = stage.provider(&["withdraw", "--router", ROUTER_NAME, "--mid", &m["mid"].to_string()]);
    }
    let before = attack.sink.packets(FLOOD);
    stage.until("the flood is back", |_| attack.sink.packets(FLOOD) > before);
}

fn any_moment() -> Outcome {
    let mut stage = Stage::new(3, "");
    stage.home.device(QUARANTINED).run("ping", &["-c1", "-W2", "192.168.1.1"]);
    let attack = Attack::start(&stage);
    let life = Life { stage: &stage, attack: &attack, progress: Mutex::default() };
    let start = Instant::now();
    life.live().expect("a life without a death");
    let length = start.elapsed();
    check(&stage, &attack, life.progress());
    clear(&stage, &attack);
    let mut decisions = 0;
    for seed in 1..=MOMENTS {
        let moment = length.mul_f64(random(seed));
        let life = Life { stage: &stage, attack: &attack, progress: Mutex::default() };
        std::thread::scope(|scope| {
            let living = scope.spawn(|| life.live());
            // The moment is the test: any other would do as well.
            std::thread::sleep(moment);
            stage.signal_daemon("KILL");
            living.join().expect("a life")
        });
        let progress = life.progress();
        eprintln!("seed {seed}, killed after {moment:?}: {progress:?}");
        stage.stop_daemon("KILL");
        stage.start_daemon();
        check(&stage, &attack, progress);
        let told = [progress.quarantined, progress.approved.is_some(), progress.rejected.is_some(), progress.released];
        decisions += told.iter().filter(|told| **told).count();
        clear(&stage, &attack);
    }
    assert!(decisions > 0, "killed too early each time");
    Outcome { block: format!("stays; none of {decisions} decisions told is lost"), through: 0 }
}

/// From 0 to 1, the same for the same seed (splitmix64).
fn random(seed: u64) -> f64 {
    let mut x = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (x >> 11) as f64 / (1_u64 << 53) as f64
}
