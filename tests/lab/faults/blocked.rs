//! A home in which a flood is blocked, and what must be true of that block whatever happens.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::Outcome;
use crate::attack::{Attack, FLOOD, approve, state, the_id_in_state};
use crate::host::PATIENCE;
use crate::stage::Stage;

/// Seconds asked for.
pub const LIFETIME: u64 = 3600;
/// Seconds by which figures rounded in three places may differ.
const ROUNDING: u64 = 3;

/// The block, approved and verified.
pub struct Blocked {
    /// Everything around it.
    pub stage: Stage,
    /// What it is about.
    pub attack: Attack,
    /// Its number on the router.
    pub id: u64,
    /// Its number at the provider.
    pub mid: u64,
    /// When its lifetime is over, at the earliest and at the latest.
    ends: [Instant; 2],
    /// What nft may have needed at most to make it: the kernel's time begins that much later.
    making: Duration,
    /// What had arrived of the flood when it was blocked.
    arrived: usize,
    dropped: u64,
    reported: u64,
}

impl Blocked {
    /// A block in force that has counted, and of which the provider knows.
    pub fn new() -> Self {
        Self::on(Stage::new(3, ""))
    }

    /// The same on a stage that has been set already.
    pub fn on(stage: Stage) -> Self {
        stage.home.router.nft(super::firewall::RULES);
        // A device that says nothing is unknown.
        stage.home.device(3).says_hello();
        let attack = Attack::start(&stage);
        let asked = Instant::now();
        let mid = stage.request(attack.seen(), LIFETIME as u32)["mid"].as_u64().expect("mid");
        let ends = [asked, Instant::now()].map(|asked| asked + Duration::from_secs(LIFETIME));
        let id = the_id_in_state(&stage, "pending");
        let approved = Instant::now();
        approve(&stage, id);
        let making = approved.elapsed();
        attack.assert_blocked();
        let arrived = attack.sink.packets(FLOOD);
        let mut blocked = Self { stage, attack, id, mid, ends, making, arrived, dropped: 0, reported: 0 };
        blocked.stage.until("the provider hears of it", |s| s.provider_status(mid)["status"] == 2);
        blocked.stage.until("it counts", |s| dropped(&s.mitigation(id)) > 0);
        blocked.look();
        blocked
    }

    /// Packets of the flood that have arrived since it was blocked.
    pub fn through(&self) -> usize {
        self.attack.settle();
        self.attack.sink.packets(FLOOD) - self.arrived
    }

    /// Takes the figures of this moment: none may have gone back.
    pub fn look(&mut self) {
        let (ours, theirs) = (self.stage.mitigation(self.id), self.stage.provider_status(self.mid));
        let (dropped, reported) = (dropped(&ours), dropped(&theirs));
        assert!(dropped >= self.dropped, "{dropped} dropped after {}", self.dropped);
        assert!(reported >= self.reported, "{reported} reported after {}", self.reported);
        (self.dropped, self.reported) = (dropped, reported);
    }

    /// The flood is stopped and the innocent device is not, the router is sure of it, and the figures go on.
    pub fn holds(&mut self) {
        self.is_verified();
        let id = self.id;
        self.stage.until("counting", |s| dropped(&s.mitigation(id)) > self.dropped);
        self.attack.assert_blocked();
        assert_eq!(state(&self.stage.mitigation(id)), "active");
        self.look();
        self.remains();
        assert_eq!(self.stage.provider_status(self.mid)["status"], 2);
    }

    fn is_verified(&mut self) {
        let verified = self.stage.until("in force and verified", |s| s.mitigation(self.id)["verified"] == true);
        self.making = self.making.max(verified);
    }

    /// Starts the daemon again, which takes up what it finds and may make it anew.
    pub fn start_daemon(&mut self) {
        self.stage.start_daemon();
        self.is_verified();
    }

    /// The provider hears that it holds, and of no less than the router had counted before.
    pub fn is_told(&mut self) {
        let (mid, before) = (self.mid, self.dropped);
        self.stage.until("the provider is told", |s| {
            let status = s.provider_status(mid);
            status["status"] == 2 && dropped(&status) >= before
        });
        self.look();
    }

    /// What is left of the lifetime is right, at the router and in the kernel.
    fn remains(&self) {
        let left = |ends: Instant| ends.saturating_duration_since(Instant::now()).as_secs();
        let most = left(self.ends[1]);
        let ours = self.stage.mitigation(self.id)["remaining"].as_u64().expect("remaining");
        let kernel = self.in_kernel().expect("an element with a timeout");
        let least = left(self.ends[0]);
        let right = least.saturating_sub(ROUNDING)..=most + ROUNDING;
        assert!(right.contains(&ours), "{ours} s remain instead of {right:?}");
        let right = *right.start()..=right.end() + self.making.as_secs();
        assert!(right.contains(&kernel), "the kernel ends it in {kernel} s instead of {right:?}");
    }

    /// So much was left at some time between these two.
    pub fn set_remaining(&mut self, seconds: u64, between: [Instant; 2]) {
        self.ends = between.map(|at| at + Duration::from_secs(seconds));
    }

    /// Seconds after which the kernel ends the block by itself; nothing where it has none.
    pub fn in_kernel(&self) -> Option<u64> {
        let set = format!("m{}", self.id);
        let output = self.stage.home.router.output("nft", &["-j", "list", "set", "inet", "dots_callhome", &set]);
        let listed: Value = serde_json::from_slice(&output.stdout).ok()?;
        let element = &listed["nftables"].as_array()?.iter().find(|item| item.get("set").is_some())?["set"]["elem"][0];
        element["elem"]["expires"].as_u64()
    }

    /// Whether packets of accused devices to the target are led to a rule of the block.
    fn has_rule(&self) -> bool {
        let listed = self.stage.home.router.output("nft", &["list", "table", "inet", "dots_callhome"]).stdout;
        let (table, id) = (String::from_utf8_lossy(&listed), self.id);
        let parts = ["@accused jump accused", "ip daddr vmap @blocked_v4", &format!(": jump m{id}_v4")];
        parts.iter().all(|part| table.contains(part)) && table.contains(&format!("ether saddr @m{id} drop"))
    }

    /// Waits until the block has been made again by the running daemon, and tells how long after the fault that was.
    pub fn made_again(&mut self, fault: Instant) -> Duration {
        self.stage.until("the block is there again", |_| self.in_kernel().is_some() && self.has_rule());
        self.making = self.making.max(fault.elapsed());
        fault.elapsed()
    }

    /// Waits until the router looks at its rules, which shows in its count; a moment just before that.
    pub fn looked(&self) -> Instant {
        let count = || dropped(&self.stage.mitigation(self.id));
        let (start, before) = (Instant::now(), count());
        let mut asked = start;
        loop {
            let now = Instant::now();
            if count() > before {
                return asked;
            }
            assert!(start.elapsed() < PATIENCE, "it no longer counts");
            asked = now;
        }
    }

    /// What is told of it.
    pub fn outcome(&self, block: impl Into<String>) -> Outcome {
        Outcome { block: block.into(), through: self.through() }
    }
}

/// Packets dropped as a mitigation's report says, at the router or the provider.
pub fn dropped(report: &Value) -> u64 {
    report["dropped"]["packets"].as_u64().unwrap_or_default()
}
