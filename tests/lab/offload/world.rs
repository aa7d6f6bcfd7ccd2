//! A home whose router forwards by a flow table, or not, and what is played in it.

use std::time::Duration;

use serde_json::{Value, json};

use super::flows::{Flow, Kind, MANY, OFFLOADED, Traffic};
use crate::credentials::ROUTER_NAME;
use crate::stage::Stage;

/// What the row of one kind of traffic shows.
#[derive(Default)]
pub struct Figures {
    /// Packets at the target in a span before the block.
    pub arrived: usize,
    /// Packets that the router's rules saw in that span.
    pub seen: usize,
    /// Packets dropped by the block.
    pub dropped: usize,
    /// Packets at the target since the block was in force.
    pub through: usize,
}

/// Two devices, their router, the provider and the victim.
pub struct World {
    stage: Stage,
    offloading: bool,
    rules: String,
    traffic: Option<Traffic>,
}

impl World {
    /// Everything runs; with `devices`, the router has a flow table between them. Nothing flows before it is noted who opens
    /// flows: packets that are offloaded are seen by no rule, so that nobody could ever be sure of an older one.
    pub fn start(devices: Option<&str>) -> Self {
        let stage = Stage::new(2, "");
        stage.logged("who opens flows is noted from now on", 1);
        Self::new(stage, devices)
    }

    /// The same, but nothing of ours runs.
    pub fn without_daemon(devices: &str) -> Self {
        Self::new(Stage::prepare(2, ""), Some(devices))
    }

    fn new(stage: Stage, devices: Option<&str>) -> Self {
        if let Some(devices) = devices {
            // As fw4 does it with the option flow_offloading.
            stage.home.router.nft(&format!(
                "table inet fw4 {{
                     flowtable ft {{
                         hook ingress priority 0
                         devices = {{ {devices} }}
                         counter
                     }}
                     chain forward {{
                         meta l4proto {{ tcp, udp }} flow add @ft
                         ct state established,related accept
                     }}
                 }}\n"
            ));
        }
        Self { stage, offloading: devices.is_some(), rules: String::new(), traffic: None }
    }

    /// Traffic begins, is reported, and blocked with the administrator's consent; then the block is withdrawn.
    pub fn block(&mut self, kind: Kind) -> Figures {
        let (stage, home) = (&self.stage, &self.stage.home);
        let Traffic { culprit, innocent, .. } = &Traffic::start(stage, kind);
        let (arrived, seen) = self.flows(culprit);
        self.flows(innocent);
        let untouched = innocent.seen_by_rules(home);

        let words = culprit.request();
        let mut request = vec!["request", "--router", ROUTER_NAME];
        request.extend(words.iter().map(String::as_str));
        let mid = stage.provider(&request).expect("requested")["mid"].as_u64().expect("mid");
        self.until("the administrator is asked", |s| by_mid(s, mid)["state"] == "pending");
        if kind.has_ports() {
            self.until("it is certain", |s| by_mid(s, mid)["devices"][0]["confidence"] == "exact");
        }
        let pending = by_mid(stage, mid);
        assert_eq!(pending["devices"].as_array().map(Vec::len), Some(1), "{pending}");
        assert_eq!(pending["devices"][0]["mac"], culprit.mac(), "{pending}");
        let id = pending["id"].as_u64().expect("id");
        let evidence = pending["devices"][0]["evidence"][0]["packets"].as_u64();
        assert!(
            evidence.is_some_and(|packets| packets as usize >= arrived),
            "what is offloaded is no evidence: {pending}"
        );

        stage.ubus("approve", json!({ "id": id, "devices": [culprit.mac()] })).expect("approved");
        self.until("in force and verified", |s| s.mitigation(id)["verified"] == true);
        let through = self.stay_blocked(&[culprit]);
        self.flows(innocent);
        if self.offloading {
            assert_eq!(innocent.seen_by_rules(home), untouched, "the innocent device's flow was cut");
        }
        self.until("the provider hears of it", |s| s.provider_status(mid)["status"] == 2);
        let dropped = |s: &Stage| s.mitigation(id)["dropped"]["packets"].as_u64().unwrap_or(0) as usize;
        self.until("drops are counted", |s| dropped(s) > 0);
        let after = stage.mitigation(id);
        assert_eq!(after["verified"], true, "{after}");
        self.rules = home.router.run("nft", &["list", "table", "inet", "dots_callhome"]);

        stage.ubus("withdraw", json!({ "id": id })).expect("withdrawn");
        if kind.resumes() {
            self.flows(culprit);
        }
        Figures { arrived, seen, dropped: dropped(stage), through }
    }

    /// The rules that were in force in the last block, as nft tells them.
    pub fn rules(&self) -> String {
        self.rules.clone()
    }

    /// All kinds of traffic of a device that is then quarantined.
    pub fn quarantine(&mut self) -> Figures {
        let (stage, home) = (&self.stage, &self.stage.home);
        let all: Vec<Traffic> = OFFLOADED.iter().map(|kind| Traffic::start(stage, *kind)).collect();
        let mut figures = Figures::default();
        for Traffic { culprit, innocent, .. } in &all {
            let (arrived, seen) = self.flows(culprit);
            self.flows(innocent);
            figures.arrived += arrived;
            figures.seen += seen;
        }
        let untouched: Vec<usize> = all.iter().map(|traffic| traffic.innocent.seen_by_rules(home)).collect();
        let mac = all[0].culprit.mac();
        stage.quarantine(&mac);
        self.until("all is cut", |_| all.iter().all(|traffic| traffic.culprit.entries(home).is_empty()));
        figures.through = self.stay_blocked(&all.iter().map(|traffic| &traffic.culprit).collect::<Vec<_>>());
        for (Traffic { innocent, .. }, untouched) in all.iter().zip(untouched) {
            self.flows(innocent);
            assert_eq!(innocent.seen_by_rules(home), untouched, "the innocent device's flow was cut");
        }
        let dropped = |s: &Stage| {
            let reply = s.ubus("devices", json!({})).unwrap_or_default();
            let devices = reply["devices"].as_array().cloned().unwrap_or_default();
            let device = devices.into_iter().find(|device| device["mac"] == mac).unwrap_or_default();
            device["dropped"]["packets"].as_u64().unwrap_or(0) as usize
        };
        self.until("drops are counted", |s| dropped(s) > 0);
        figures.dropped = dropped(stage);
        stage.ubus("release", json!({ "mac": mac })).expect("released");
        figures
    }

    /// The rules of an earlier block come into force, but nobody deletes the flow: what is offloaded passes them.
    pub fn rules_alone(&mut self, kind: Kind, rules: &str) -> Figures {
        let traffic = Traffic::start(&self.stage, kind);
        let (arrived, seen) = self.flows(&traffic.culprit);
        self.flows(&traffic.innocent);
        self.stage.home.router.nft(&format!("add table inet dots_callhome\ndelete table inet dots_callhome\n{rules}"));
        let before = self.dropped_by_hand();
        let (through, _) = self.flows(&traffic.culprit);
        let dropped = self.dropped_by_hand() - before;
        assert_eq!(dropped, 0, "the rules saw what was offloaded");
        self.traffic = Some(traffic);
        Figures { arrived, seen, dropped, through }
    }

    /// Then somebody does.
    pub fn deleted(&mut self, kind: Kind) -> Figures {
        let traffic = self.traffic.take().expect("left by the row before");
        let (arrived, seen) = self.flows(&traffic.culprit);
        let before = self.dropped_by_hand();
        traffic.culprit.delete(&self.stage.home);
        let through = self.stay_blocked(&[&traffic.culprit]);
        let dropped = self.dropped_by_hand() - before;
        assert!(dropped >= kind.few(), "only {dropped} dropped");
        self.stage.home.router.nft("delete table inet dots_callhome\n");
        Figures { arrived, seen, dropped, through }
    }

    /// It flows: packets at the target, and packets seen by the router's rules, in a span of enough packets. Where it can be
    /// offloaded it is, and the rules see none.
    fn flows(&self, flow: &Flow) -> (usize, usize) {
        let home = &self.stage.home;
        if self.offloading {
            self.until("it is offloaded", |_| flow.entries(home).contains("[OFFLOAD]"));
        }
        let span = || {
            let (arrived, seen) = (flow.arrived(), flow.seen_by_rules(home));
            self.until("it flows", |_| flow.arrived() >= arrived + MANY);
            (flow.arrived() - arrived, flow.seen_by_rules(home) - seen)
        };
        let first = span();
        // What was on its way to the rules when it was offloaded may still have met them.
        let (arrived, seen) = if self.offloading && first.1 > 0 { span() } else { first };
        assert_eq!(seen == 0, self.offloading, "{arrived} arrived, {seen} seen by rules");
        (arrived, seen)
    }

    /// Packets that still reach the target while enough are sent in vain, of which conntrack must know nothing.
    fn stay_blocked(&self, flows: &[&Flow]) -> usize {
        let home = &self.stage.home;
        let before: Vec<_> = flows.iter().map(|flow| (flow.arrived(), flow.seen_by_rules(home))).collect();
        for (flow, (_, seen)) in flows.iter().zip(&before) {
            self.until("what is blocked is still sent", |_| {
                assert_eq!(flow.entries(home), "", "it has come back");
                flow.seen_by_rules(home) >= seen + flow.kind.few()
            });
        }
        let through = flows.iter().zip(&before).map(|(flow, (arrived, _))| flow.arrived() - arrived).sum();
        assert_eq!(through, 0, "packets still pass");
        through
    }

    /// An emulated machine on a busy one is slow: it is not asked too often.
    fn until(&self, what: &str, is: impl Fn(&Stage) -> bool) {
        let is = |stage: &Stage| {
            std::thread::sleep(Duration::from_millis(150));
            is(stage)
        };
        self.stage.until(what, is);
    }

    /// What the rules that were put in by hand have dropped.
    fn dropped_by_hand(&self) -> usize {
        self.stage.home.router.counted("dots_callhome")[0]
    }
}

/// What became of a request.
fn by_mid(stage: &Stage, mid: u64) -> Value {
    let list = stage.ubus("list", json!({})).unwrap_or_default();
    let all = list["mitigations"].as_array().cloned().unwrap_or_default();
    all.into_iter().find(|mitigation| mitigation["mid"] == mid).unwrap_or_default()
}
