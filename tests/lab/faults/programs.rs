//! Faults of the programs around the daemon.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::time::Instant;

use serde_json::json;

use super::blocked::Blocked;
use super::{Fault, Outcome};
use crate::stage::Stage;

/// All of them.
pub const ALL: &[Fault] = &[
    ("nft_hangs", "the nft program does not end while the table is deleted", hanging),
    ("nft_is_missing", "the nft program is missing while the table is deleted", missing),
    ("nft_fails", "the nft program fails while the table is deleted", failing),
    ("ubusd_restarts", "ubusd is restarted", bus),
];

/// The daemon looks for nft in a directory of its own.
fn with_own_nft() -> (Blocked, std::path::PathBuf) {
    let mut stage = Stage::prepare(3, "");
    let programs = stage.file("programs");
    fs::create_dir_all(&programs).expect("directory");
    let nft = ["/usr/sbin/nft", "/sbin/nft", "/usr/bin/nft"].into_iter().find(|path| Path::new(path).exists());
    symlink(nft.expect("nft is installed"), programs.join("nft")).expect("link");
    stage.set_path(programs.clone());
    stage.start_bus();
    stage.start_client();
    stage.start_daemon();
    stage.until("the session is up", |s| s.peer_state() == "connected");
    (Blocked::on(stage), programs.join("nft"))
}

/// Without the program what stands stays; what is lost meanwhile is told, and made again when the program is back.
fn without(reason: &str, take_away: impl Fn(&Path)) -> Outcome {
    let (mut blocked, nft) = with_own_nft();
    let (id, mid) = (blocked.id, blocked.mid);
    let real = fs::read_link(&nft).expect("a link");
    fs::remove_file(&nft).expect("removed");
    take_away(&nft);
    blocked.holds();
    assert_eq!(blocked.through(), 0);
    blocked.stage.home.router.nft("delete table inet dots_callhome");
    let told = blocked.stage.until("the provider is told", |s| s.provider_status(mid)["status"] == 1);
    assert_eq!(blocked.stage.mitigation(id)["verified"], false);
    blocked.stage.until("the reason shows", |s| {
        let mitigation = s.mitigation(id);
        mitigation["verified"] == false && mitigation["detail"].as_str().is_some_and(|text| text.contains(reason))
    });
    let _ = fs::remove_file(&nft);
    let back = Instant::now();
    symlink(real, &nft).expect("link");
    blocked.made_again(back);
    blocked.is_told();
    blocked.holds();
    let told = told.as_millis();
    blocked.outcome(format!(
        "what stands stays; once deleted the provider is told within {told} ms, made again when nft is back"
    ))
}

fn missing() -> Outcome {
    without("nft", |_| {})
}

fn failing() -> Outcome {
    without("out of order", |nft| script(nft, "echo out of order >&2\nexit 1"))
}

fn hanging() -> Outcome {
    without("does not end", |nft| script(nft, "exec /bin/sleep 1000"))
}

fn script(program: &Path, what: &str) {
    fs::write(program, format!("#!/bin/sh\n{what}\n")).expect("written");
    fs::set_permissions(program, fs::Permissions::from_mode(0o755)).expect("a program");
}

fn bus() -> Outcome {
    let mut blocked = Blocked::new();
    blocked.stage.stop_bus();
    blocked.attack.assert_blocked();
    blocked.stage.start_bus();
    let id = blocked.id;
    blocked.stage.until("our object is back", |s| s.ubus("get", json!({ "id": id })).is_ok());
    blocked.holds();
    assert_eq!(blocked.through(), 0);
    blocked.outcome("stays, untouched; decisions are possible again at once")
}
