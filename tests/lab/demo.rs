//! The whole life of one request, told with measured figures. `STAY=1` stops at the question and leaves it to you.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::attack::{Attack, FLOOD, GOOD};
use crate::home::{VICTIM, WAN, device_address, device_mac};
use crate::stage::Stage;

/// Runs it; it fails where something is not as it must be.
pub fn run() -> bool {
    let scene = Scene::set();
    let mid = scene.report();
    let id = scene.question();
    if std::env::var("STAY").is_ok_and(|stay| !stay.is_empty()) {
        scene.stay(id, mid);
        return true;
    }
    scene.approve(id);
    scene.provider_hears(mid);
    scene.withdraw(id, mid);
    scene.say("every step happened");
    true
}

struct Scene {
    start: Instant,
    stage: Stage,
    attack: Attack,
}

impl Scene {
    fn set() -> Self {
        let start = Instant::now();
        let say = |text: &str| println!("{:7.2} s  {text}", start.elapsed().as_secs_f64());
        say(&format!("a home behind NAT at {WAN}: a camera {} and a laptop {}", device_address(1), device_address(2)));
        let stage = Stage::new(2, "");
        say("the router's daemon has called home: TLS with both certificates checked, no listening socket");
        let attack = Attack::start(&stage);
        let scene = Self { start, stage, attack };
        scene.measure("the camera floods the victim, the laptop uses it");
        scene
    }

    fn say(&self, text: &str) {
        println!("{:7.2} s  {text}", self.start.elapsed().as_secs_f64());
    }

    /// Tells packets a second at the victim, of both.
    fn measure(&self, what: &str) {
        let over = Duration::from_secs(1);
        let (flood, good) = std::thread::scope(|scope| {
            let good = scope.spawn(|| self.attack.sink.rate(GOOD, over));
            (self.attack.sink.rate(FLOOD, over), good.join().expect("measured"))
        });
        self.say(&format!("{what}: at the victim {flood:.0} packets/s from the camera, {good:.0} from the laptop"));
    }

    /// The provider sees addresses and ports after NAT only.
    fn report(&self) -> u64 {
        let seen = self.attack.seen();
        let answer = self.stage.request(seen, 3600);
        let mid = answer["mid"].as_u64().expect("mid");
        self.say(&format!(
            "the provider asks: mid {mid}, source {seen} as seen after NAT, target {VICTIM} UDP port 53"
        ));
        mid
    }

    fn question(&self) -> u64 {
        self.stage.until("pending", |s| s.the_mitigation()["state"] == "pending");
        let pending = self.stage.the_mitigation();
        let (device, evidence) = (&pending["devices"][0], &pending["devices"][0]["evidence"][0]);
        assert_eq!(device["mac"], device_mac(1), "the wrong device");
        self.say(&format!(
            "pending: request {} is about device {} at {}, {}; evidence: {}, {} packets so far",
            pending["id"],
            device["mac"],
            device["addresses"],
            device["confidence"],
            evidence["flow"],
            evidence["packets"],
        ));
        pending["id"].as_u64().expect("id")
    }

    fn approve(&self, id: u64) {
        let asked = Instant::now();
        self.stage.ubus("approve", json!({ "id": id })).expect("approved");
        self.stage.until("in force and verified", |s| s.mitigation(id)["verified"] == true);
        let last = self.attack.sink.last(FLOOD).map_or(Duration::ZERO, |(at, _)| at.saturating_duration_since(asked));
        self.say(&format!("approved over ubus; the last packet of the flood came {} ms after", last.as_millis()));
        self.measure("blocked and verified");
        self.attack.assert_blocked();
    }

    fn provider_hears(&self, mid: u64) {
        let told = |s: &Stage| {
            let status = s.provider_status(mid);
            status["status"] == 2 && status["dropped"]["packets"].as_u64().is_some_and(|packets| packets > 0)
        };
        self.stage.until("the provider hears of it", told);
        let status = self.stage.provider_status(mid);
        self.say(&format!("the provider is told: status 2, {} packets dropped so far", status["dropped"]["packets"]));
    }

    fn withdraw(&self, id: u64, mid: u64) {
        let withdrawn =
            self.stage.provider(&["withdraw", "--router", "home-1234.isp.example", "--mid", &mid.to_string()]);
        withdrawn.expect("withdrawn");
        self.stage.until("terminating", |s| s.mitigation(id)["state"] == "terminating");
        let remaining = self.stage.mitigation(id)["remaining"].clone();
        self.say(&format!(
            "the provider withdraws: terminating, blocked for {remaining} s more (RFC 9132 section 4.4.4)"
        ));
        let before = self.attack.sink.packets(FLOOD);
        self.stage.until("traffic is back", |_| self.attack.sink.packets(FLOOD) > before);
        self.measure("over, traffic is back");
        self.attack.assert_free();
        self.stage.until("forgotten", |s| s.ubus("list", json!({})).is_ok_and(|l| l["mitigations"] == json!([])));
    }

    fn stay(&self, id: u64, mid: u64) {
        let call = |method: &str, arguments: Value| {
            println!("    {} call dots-callhome {method} '{arguments}'", self.stage.ubus_command());
        };
        println!("\nEverything stays up until you press Ctrl-C. Decide about the request in a browser:\n");
        let mut page = self.serve_page();
        println!("\nOr by script:\n");
        call("list", json!({}));
        call("approve", json!({ "id": id }));
        call("reject", json!({ "id": id, "comment": "our own backup" }));
        call("withdraw", json!({ "id": id }));
        call("quarantine", json!({ "mac": device_mac(1) }));
        call("release", json!({ "mac": device_mac(1) }));
        call("devices", json!({}));
        call("history", json!({ "limit": 10 }));
        println!("\nAnd as the provider:\n");
        println!("    {} status", self.stage.provider_command());
        println!("    {} withdraw --router home-1234.isp.example --mid {mid}\n", self.stage.provider_command());
        while page.try_wait().expect("waited").is_none() {
            std::thread::sleep(Duration::from_secs(4));
            self.measure("now");
        }
    }

    /// Serves the LuCI page. It ends when its input does: with us, whatever happens to us.
    fn serve_page(&self) -> Child {
        let mut page = Command::new("node")
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/luci/bridge.mjs"))
            .arg(self.stage.file("ubus.sock"))
            .arg(self.stage.page_root())
            .arg(self.stage.daemon_pid().to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("node starts");
        let mut address = String::new();
        BufReader::new(page.stdout.take().expect("piped")).read_line(&mut address).expect("the page is served");
        println!("    {}", address.trim());
        page
    }
}
