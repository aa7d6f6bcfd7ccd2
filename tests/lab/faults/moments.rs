//! `kill -9` at random moments of a request's life: what anybody was told is true after the restart.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{Fault, Outcome};
use crate::attack::{Attack, FLOOD, GOOD, state};
use crate::credentials::ROUTER_NAME;
use crate::home::device_mac;
use crate::host::comes_true;
use crate::stage::Stage;

/// The scenario.
pub const ALL: &[Fault] =
    &[("kill_9_at_any_moment", "kill -9 at ten moments between request and withdrawal", any_moment)];

const MOMENTS: usize = 10;
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

impl Progress {
    /// Which kinds of promise were given that can be checked: quarantine, approval, block, rejection, release.
    fn told(&self) -> [bool; 5] {
        let quarantined = self.quarantined && !self.releasing;
        [quarantined, self.approved.is_some(), self.in_force.is_some(), self.rejected.is_some(), self.released]
    }
}

/// The life of two requests, from a quarantine to the withdrawal; it ends early when the daemon does.
struct Life<'a> {
    /// No two have the same.
    number: usize,
    stage: &'a Stage,
    attack: &'a Attack,
    progress: Mutex<Progress>,
    /// When something was noted.
    steps: Mutex<Vec<Instant>>,
    /// Whether the daemon has been killed: only then a question may fail.
    killed: AtomicBool,
}

impl<'a> Life<'a> {
    fn new(number: usize, stage: &'a Stage, attack: &'a Attack) -> Self {
        Self {
            number,
            stage,
            attack,
            progress: Mutex::default(),
            steps: Mutex::default(),
            killed: AtomicBool::new(false),
        }
    }

    fn note(&self, note: impl FnOnce(&mut Progress)) {
        note(&mut self.progress.lock().expect("not poisoned"));
        self.steps.lock().expect("not poisoned").push(Instant::now());
    }

    fn progress(&self) -> Progress {
        *self.progress.lock().expect("not poisoned")
    }

    fn steps(&self) -> Vec<Instant> {
        self.steps.lock().expect("not poisoned").clone()
    }

    fn live(&self) -> Option<()> {
        self.ask("quarantine", json!({ "mac": device_mac(QUARANTINED) }))?;
        self.note(|p| p.quarantined = true);

        let (mid, id) = self.request(FLOOD)?;
        self.ask("approve", json!({ "id": id }))?;
        self.note(|p| p.approved = Some(id));
        self.reach("in force", || Some((self.ask("get", json!({ "id": id }))?["verified"] == true).then_some(())))?;
        // What had passed the rules before them is still on its way to the counter.
        self.attack.settle();
        let arrived = self.attack.sink.packets(FLOOD);
        self.note(|p| p.in_force = Some(arrived));

        let (_, other) = self.request(GOOD)?;
        self.ask("reject", json!({ "id": other }))?;
        self.note(|p| p.rejected = Some(other));

        self.note(|p| p.releasing = true);
        self.ask("release", json!({ "mac": device_mac(QUARANTINED) }))?;
        self.note(|p| p.released = true);

        self.note(|p| p.withdrawing = true);
        self.command(&["withdraw", "--router", ROUTER_NAME, "--mid", &mid.to_string()])?;
        let terminating = || Some((state(&self.ask("get", json!({ "id": id }))?) == "terminating").then_some(()));
        self.reach("terminating", terminating)?;
        self.note(|p| p.withdrawn = true);
        Some(())
    }

    /// An answer; none once the daemon has been killed.
    fn ask(&self, method: &str, arguments: Value) -> Option<Value> {
        self.unless_killed(self.stage.ubus(method, arguments).map_err(|status| format!("{method}: status {status}")))
    }

    fn command(&self, words: &[&str]) -> Option<Value> {
        self.unless_killed(self.stage.provider(words))
    }

    fn unless_killed<T>(&self, answer: Result<T, String>) -> Option<T> {
        answer.map_err(|why| assert!(self.killed.load(Ordering::SeqCst), "before the daemon was killed: {why}")).ok()
    }

    /// The provider asks about the traffic with that tag; its number there and here, once the question is put.
    fn request(&self, tag: u8) -> Option<(u64, u64)> {
        let seen = self.attack.sink.last(tag)?.1;
        let port = seen.port().to_string();
        let (source, target) = (format!("{}/32", seen.ip()), format!("{}/32", crate::home::VICTIM));
        // What was called legitimate is not asked again: each life is about other ports beside the one that is attacked.
        let ports = format!("53-{}", 1000 + self.number);
        let words = ["--source", &source, "--source-port", &port, "--target", &target, "--target-port", &ports];
        let words = [&words[..], &["--protocol", "17"]].concat();
        let words = [&["request", "--router", ROUTER_NAME, "--lifetime", "3600"][..], &words].concat();
        let mid = self.command(&words)?["mid"].as_u64()?;
        let id = self.reach("pending", || {
            let list = self.ask("list", json!({ "state": "pending" }))?;
            Some(list["mitigations"].as_array()?.iter().find(|m| m["mid"] == mid).and_then(|m| m["id"].as_u64()))
        })?;
        Some((mid, id))
    }

    /// Asks until there is what is looked for; none once the daemon has been killed.
    fn reach<T>(&self, what: &str, look: impl Fn() -> Option<Option<T>>) -> Option<T> {
        let found = Mutex::new(None);
        let came = comes_true(|| {
            let answer = look();
            let over = answer.as_ref().is_none_or(Option::is_some);
            *found.lock().expect("not poisoned") = answer.flatten();
            over
        });
        assert!(came, "never happened: {what}");
        found.into_inner().expect("not poisoned")
    }
}

/// All that was told is true.
fn check(stage: &Stage, attack: &Attack, p: Progress) {
    stage.until("the daemon answers", |s| s.ubus("status", json!({})).is_ok());
    let quarantined = || {
        let devices = stage.ubus("devices", json!({})).expect("the devices")["devices"].clone();
        devices
            .as_array()
            .expect("a list")
            .iter()
            .any(|device| device["mac"] == device_mac(QUARANTINED) && device["state"] == "quarantined")
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
    stage.until("the session is up", |s| s.peer_state() == "connected");
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
    stage.home.device(QUARANTINED).says_hello();
    let attack = Attack::start(&stage);
    let life = Life::new(0, &stage, &attack);
    let start = Instant::now();
    life.live().expect("a life without a death");
    // How long each step took, the last one a second: nothing follows it.
    let times = [vec![start], life.steps()].concat();
    let steps: Vec<Duration> = times.windows(2).map(|pair| pair[1] - pair[0]).chain([Duration::from_secs(1)]).collect();
    check(&stage, &attack, life.progress());
    clear(&stage, &attack);
    let mut checked = [0; 5];
    for seed in 1..=MOMENTS {
        let (step, life) = (seed % steps.len(), Life::new(seed, &stage, &attack));
        std::thread::scope(|scope| {
            let living = scope.spawn(|| life.live());
            let reached = comes_true(|| life.steps().len() >= step || living.is_finished());
            assert!(reached, "step {step} never came");
            // The moment is the test: any other would do as well.
            std::thread::sleep(steps[step].mul_f64(random(seed as u64)));
            life.killed.store(true, Ordering::SeqCst);
            stage.signal_daemon("KILL");
            living.join().expect("a life")
        });
        let progress = life.progress();
        eprintln!("seed {seed}, killed after step {step}: {progress:?}");
        stage.stop_daemon("KILL");
        stage.start_daemon();
        check(&stage, &attack, progress);
        for (count, told) in checked.iter_mut().zip(progress.told()) {
            *count += usize::from(told);
        }
        clear(&stage, &attack);
    }
    assert!(checked.iter().all(|count| *count > 0), "a kind of promise was never checked: {checked:?}");
    let told: usize = checked.iter().sum();
    Outcome { block: format!("stays; none of {told} things told is lost"), through: 0 }
}

/// From 0 to 1, the same for the same seed (splitmix64).
fn random(seed: u64) -> f64 {
    let mut x = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (x >> 11) as f64 / (1_u64 << 53) as f64
}
