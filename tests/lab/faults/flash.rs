//! Faults of the flash: full, and read-only.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use serde_json::json;

use super::blocked::Blocked;
use super::{Fault, Outcome};
use crate::home::device_mac;
use crate::stage::Stage;

/// All of them.
pub const ALL: &[Fault] = &[
    ("the_flash_is_full", "the flash is full", full),
    ("the_flash_is_read_only", "the flash is read-only", read_only),
    ("the_file_cannot_be_read", "the file of decisions is broken at the start", unreadable),
];

/// Where the router keeps its decisions: a small file system in a mount namespace, as long as a holder waits on our pipe.
struct Flash {
    holder: Child,
    directory: String,
}

impl Flash {
    fn new(stage: &Stage) -> Self {
        let directory = stage.file("state").display().to_string();
        let script = "mount -t tmpfs -o size=64k flash \"$0\" && echo ready && exec cat >/dev/null";
        let mut holder = Command::new("unshare")
            .args(["--mount", "sh", "-c", script, &directory])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare starts");
        let mut ready = String::new();
        BufReader::new(holder.stdout.take().expect("piped")).read_line(&mut ready).expect("holder answers");
        assert_eq!(ready, "ready\n", "no flash");
        Self { holder, directory }
    }

    /// The words before a program that is to see it.
    fn wrapper(&self) -> Vec<String> {
        vec!["nsenter".into(), format!("--mount=/proc/{}/ns/mnt", self.holder.id())]
    }

    /// Runs a script in its directory.
    fn run(&self, script: &str) -> String {
        let words = self.wrapper();
        let script = format!("cd {} && {script}", self.directory);
        let output = Command::new(&words[0]).args(&words[1..]).args(["sh", "-c", &script]).output().expect("nsenter");
        assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

impl Drop for Flash {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

fn full() -> Outcome {
    spoilt("dd if=/dev/zero of=filler bs=4k 2>/dev/null; ! echo x >more", "rm filler", "No space left")
}

fn read_only() -> Outcome {
    spoilt("mount -o remount,ro .", "mount -o remount,rw .", "Read-only file system")
}

/// Decisions take effect, trouble is told once, and once it is over they are written.
fn spoilt(spoil: &str, mend: &str, why: &str) -> Outcome {
    let mut stage = Stage::prepare(3, "");
    let flash = Flash::new(&stage);
    stage.set_wrapper(flash.wrapper());
    stage.start_bus();
    stage.start_client();
    stage.start_daemon();
    stage.until("the session is up", |s| s.peer_state() == "connected");
    flash.run(spoil);
    let mut blocked = Blocked::on(stage);
    blocked.stage.quarantine(&device_mac(3));
    blocked.holds();
    let complaints = |s: &Stage| s.log().lines().filter(|line| line.contains(why)).count();
    assert_eq!(complaints(&blocked.stage), 1, "{}", blocked.stage.log());
    let told = blocked.stage.ubus("status", json!({})).expect("status")["not_kept"].clone();
    assert!(told.as_str().is_some_and(|told| told.contains(why)), "{told}");

    // A crash now loses nothing, though a reboot would.
    blocked.stage.stop_daemon("KILL");
    blocked.start_daemon();
    blocked.is_told();
    blocked.holds();
    assert_eq!(complaints(&blocked.stage), 2, "once more after the start: {}", blocked.stage.log());

    flash.run(mend);
    blocked.stage.until("kept again", |s| s.ubus("status", json!({})).is_ok_and(|status| status["not_kept"].is_null()));
    assert!(blocked.stage.log().contains("decisions are kept again"), "{}", blocked.stage.log());
    blocked.stage.stop_daemon("KILL");
    std::fs::remove_dir_all(blocked.stage.file("run")).expect("removed");
    blocked.start_daemon();
    blocked.is_told();
    blocked.holds();
    let device = blocked.stage.ubus("devices", json!({})).expect("devices")["devices"].clone();
    assert!(device.to_string().contains("quarantined"), "{device}");
    assert_eq!(blocked.through(), 0);
    blocked.outcome("comes into force and stays; told once, kept as soon as there is room")
}

/// Nothing is flushed that nobody can account for: it stays, over further restarts too, while new rules stand beside it.
fn unreadable() -> Outcome {
    let mut blocked = Blocked::on(Stage::new(3, ""));
    blocked.stage.stop_daemon("KILL");
    let file = blocked.stage.file("state/decisions.cbor");
    std::fs::write(&file, vec![0; 3_500_000]).expect("spoilt");
    for round in 0..2 {
        blocked.stage.start_daemon();
        blocked.stage.until("the daemon answers", |s| s.ubus("status", json!({})).is_ok());
        let told = blocked.stage.ubus("status", json!({})).expect("status")["not_read"].clone();
        assert!(told.as_str().is_some_and(|told| told.contains("too large")), "{told}");
        blocked.attack.assert_blocked();
        if round == 0 {
            blocked.stage.home.device(3).says_hello();
            blocked.stage.quarantine(&device_mac(3));
        }
        let devices = || blocked.stage.ubus("devices", json!({})).expect("devices")["devices"].to_string();
        assert!(devices().contains("quarantined"), "{}", devices());
        blocked.attack.assert_blocked();
        assert!(blocked.in_kernel().is_some(), "what the earlier run had in force is gone");
        blocked.stage.stop_daemon("KILL");
    }
    assert!(std::fs::metadata(file).expect("written anew").len() < 3_000);
    assert_eq!(blocked.through(), 0);
    blocked.outcome("stays until its timeouts; told; new ones come into force beside it")
}
