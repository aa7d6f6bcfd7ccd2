//! Faults of the daemon and the whole router: killed, rebooted, given a new firmware.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use dots_callhome::mitigation::snapshot;
use serde_json::json;

use super::blocked::Blocked;
use super::firewall::RULES;
use super::{Fault, Outcome};
use crate::home::device_mac;

/// All of them.
pub const ALL: &[Fault] = &[
    ("kill_9", "kill -9 of the daemon, started again", killed),
    ("reboot", "reboot", reboot),
    ("reboot_in_the_past", "reboot with the clock a year in the past", reboot_in_the_past),
    ("reboot_out_of_the_past", "reboot after deciding with the clock at 1970", reboot_out_of_the_past),
    ("sysupgrade", "sysupgrade: only what the package names is kept", sysupgrade),
];

/// Quarantined besides what is blocked.
const QUARANTINED: usize = 3;

/// A block in force, and a quarantine.
fn decided() -> Blocked {
    let blocked = Blocked::new();
    blocked.stage.quarantine(&device_mac(QUARANTINED));
    blocked
}

/// Everything decided is in force still.
fn holds(blocked: &mut Blocked) {
    blocked.is_told();
    blocked.holds();
    let devices = blocked.stage.ubus("devices", json!({})).expect("devices")["devices"].clone();
    let all = devices.as_array().expect("a list");
    let device = all.iter().find(|device| device["mac"] == device_mac(QUARANTINED)).expect("known");
    assert_eq!(device["state"], "quarantined");
}

fn killed() -> Outcome {
    let mut blocked = decided();
    blocked.stage.stop_daemon("KILL");
    blocked.attack.assert_blocked();
    blocked.start_daemon();
    holds(&mut blocked);
    assert_eq!(blocked.through(), 0);
    blocked.outcome("stays: the kernel keeps it until the daemon takes it up again")
}

/// Without power: nothing is forwarded, nothing runs, and what was in memory is lost.
fn power_off(blocked: &mut Blocked) {
    let stage = &mut blocked.stage;
    stage.stop_daemon("KILL");
    stage.stop_bus();
    let router = &stage.home.router;
    router.sysctl("ipv4/ip_forward", "0");
    router.nft("flush ruleset");
    router.run("conntrack", &["-F"]);
    fs::remove_dir_all(stage.file("run")).expect("removed");
    // So that the dates before and after differ: they count seconds.
    std::thread::sleep(Duration::from_secs(1));
}

/// In OpenWrt's order: the firewall, the network, the bus, the daemon. After how long the block is made again.
fn boot(blocked: &mut Blocked) -> Duration {
    let router = &blocked.stage.home.router;
    router.nft(RULES);
    router.sysctl("ipv4/ip_forward", "1");
    blocked.stage.start_bus();
    let started = Instant::now();
    blocked.stage.start_daemon();
    blocked.made_again(started)
}

fn reboot() -> Outcome {
    let mut blocked = decided();
    power_off(&mut blocked);
    let after = boot(&mut blocked).as_millis();
    holds(&mut blocked);
    blocked.outcome(format!("made again within {after} ms of the daemon's start, open until then"))
}

/// Nothing here can set the clock of one program, so the kept decisions are dated otherwise: the difference is the same. The
/// block goes on with the time that was left when last kept: nobody knows how long the power was off.
fn redated(date: fn(u64) -> u64) -> Outcome {
    let mut blocked = decided();
    power_off(&mut blocked);
    let file = blocked.stage.file("state/decisions.cbor");
    let mut snapshot = snapshot::decode(&fs::read(&file).expect("kept")).expect("readable");
    snapshot.saved = date(snapshot.saved);
    fs::write(file, snapshot::encode(&snapshot)).expect("written");
    let kept = snapshot.mitigations.iter().find(|kept| u64::from(kept.id) == blocked.id).expect("kept").remaining;
    let start = Instant::now();
    boot(&mut blocked);
    blocked.set_remaining(kept, [start, Instant::now()]);
    holds(&mut blocked);
    blocked.outcome("made again with the time that was left when last kept")
}

fn reboot_in_the_past() -> Outcome {
    redated(|saved| saved + 365 * 86_400)
}

fn reboot_out_of_the_past() -> Outcome {
    redated(|_| 1000)
}

/// What the package's recipe says is to be kept.
fn kept() -> Vec<PathBuf> {
    let recipe = Path::new(env!("CARGO_MANIFEST_DIR")).join("openwrt/Makefile");
    let recipe = fs::read_to_string(recipe).expect("the recipe");
    let lines = recipe.lines().skip_while(|line| *line != "define Package/dots-callhome/conffiles").skip(1);
    lines.take_while(|line| *line != "endef").map(PathBuf::from).collect()
}

/// Where the lab has what is at this place on a router.
fn place(blocked: &Blocked, file: &str) -> PathBuf {
    blocked.stage.file(match file {
        "/etc/config/dots-callhome" => "config",
        "/etc/config/dots-callhome-notify" => "notify",
        "/etc/dots-callhome" => "state",
        "/var/run/dots-callhome" => "run",
        other => panic!("{other} is nowhere"),
    })
}

fn sysupgrade() -> Outcome {
    let mut blocked = decided();
    // The credentials lie where the documentation says.
    let text = fs::read_to_string(blocked.stage.file("config")).expect("configuration");
    let state = blocked.stage.file("state");
    let mut moved = text.clone();
    for name in ["ca.pem", "router.pem", "router.key"] {
        let from = blocked.stage.file(name);
        fs::copy(&from, state.join(name)).expect("copied");
        moved = moved.replace(&from.display().to_string(), &state.join(name).display().to_string());
    }
    assert_ne!(moved, text);
    let ways = "config notify 'notify'\n\toption ntfy 'a-name-nobody-guesses'\n";
    fs::write(blocked.stage.file("notify"), ways).expect("ways to reach people");
    fs::write(blocked.stage.file("config"), moved).expect("configuration");
    power_off(&mut blocked);

    let backup = blocked.stage.file("backup");
    fs::create_dir_all(&backup).expect("directory");
    let kept: Vec<PathBuf> = kept().into_iter().filter(|path| !path.starts_with("/etc/hotplug.d")).collect();
    assert!(!kept.is_empty());
    let copy = |from: &Path, to: &Path| {
        blocked.stage.home.router.run("cp", &["-a", &from.display().to_string(), &to.display().to_string()]);
    };
    let at = |path: &Path| place(&blocked, path.to_str().expect("text").trim_end_matches('/'));
    for (number, path) in kept.iter().enumerate() {
        copy(&at(path), &backup.join(number.to_string()));
    }
    for place in ["config", "notify", "state", "router.pem", "router.key", "ca.pem"] {
        let place = blocked.stage.file(place);
        if place.is_dir() { fs::remove_dir_all(place) } else { fs::remove_file(place) }.expect("removed");
    }
    for (number, path) in kept.iter().enumerate() {
        copy(&backup.join(number.to_string()), &at(path));
    }
    assert_eq!(fs::read_to_string(blocked.stage.file("notify")).expect("kept"), ways);
    let after = boot(&mut blocked).as_millis();
    holds(&mut blocked);
    blocked.outcome(format!("made again within {after} ms of the daemon's start, once the package is installed again"))
}
