//! The LuCI page against the real daemon, in a browser. The clicks are in `tests/luci/life.mjs`.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use crate::credentials::ROUTER_NAME;
use crate::home::{VICTIM, device_mac};
use crate::stage::Stage;
use crate::traffic::{Sender, Sink};

/// The tag of the flood's packets.
const FLOOD: u8 = 1;

/// Runs it; whether everything is as it must be.
pub fn run() -> bool {
    let stage = Stage::new(2, "");
    let sink = Sink::udp(&stage.home.victim, 53);
    let _flood = Sender::udp(stage.home.device(1), SocketAddr::from((VICTIM, 53)), FLOOD, 2000);
    stage.until("the flood arrives", |_| sink.last(FLOOD).is_some());

    let status = Command::new("node")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/luci/life.mjs"))
        .env("DOTS_BUS", stage.file("ubus.sock"))
        .env("DOTS_ROOT", stage.page_root())
        .env("DOTS_PID", stage.daemon_pid().to_string())
        .env("DOTS_CLIENT", env!("CARGO_BIN_EXE_dots-callhome-client"))
        .env("DOTS_CONTROL", stage.file("provider.control"))
        .env("DOTS_ROUTER", ROUTER_NAME)
        .env("DOTS_SEEN", sink.last(FLOOD).expect("arrived").1.to_string())
        .env("DOTS_TARGET", VICTIM.to_string())
        .env("DOTS_MAC", device_mac(1))
        .status()
        .expect("node runs");
    status.success()
}
