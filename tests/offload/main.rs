//! Does a block bite on flows that the kernel forwards past its rules? With real packets: plain flows, flows in a flow
//! table as fw4 makes it, and the proof that the rules alone would not do. Needs a kernel with flow tables; `guest.sh` boots
//! one. Ends with the line `offload: N passed, N failed`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]
// The scenarios use more of the lab than this does.
#![allow(dead_code)]

#[path = "../lab/bus.rs"]
mod bus;
#[path = "../lab/credentials.rs"]
mod credentials;
#[path = "../lab/crowd.rs"]
mod crowd;
mod flows;
#[path = "../lab/home.rs"]
mod home;
#[path = "../lab/host.rs"]
mod host;
#[path = "../suite/support/source/messages.rs"]
mod messages;
#[path = "../lab/raw.rs"]
mod raw;
#[path = "../lab/stage.rs"]
mod stage;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

use flows::{ALL, OFFLOADED};
use world::{Figures, World};

/// The devices of fw4's flow table: of its software, and of hardware offload, where it names the ports of the bridge.
const BRIDGE: &str = "br-lan, wan";
const PORTS: &str = "lan1, lan2, wan";

/// The rows of the table so far.
#[derive(Default)]
struct Table {
    passed: usize,
    failed: usize,
}

impl Table {
    fn head(&self) {
        let (before, after) = ("before: at the target,", "after: dropped,");
        println!("{:52} {before:>22} {:>13} {after:>15} {:>13}", "packets", "seen by rules", "at the target");
    }

    fn row(&mut self, name: &str, play: impl FnOnce() -> Figures) {
        match catch_unwind(AssertUnwindSafe(play)) {
            Ok(Figures { arrived, seen, dropped, through }) => {
                self.passed += 1;
                println!("{name:52} {arrived:22} {seen:13} {dropped:15} {through:13}");
            }
            Err(_) => {
                self.failed += 1;
                println!("{name:52} FAILED");
            }
        }
    }
}

fn main() -> ExitCode {
    if let Err(why) = host::prepare() {
        eprintln!("{why}");
        return ExitCode::FAILURE;
    }
    let mut table = Table::default();
    table.head();
    let mut world = World::start(None);
    for kind in ALL {
        table.row(&format!("{}, plain", kind.name), || world.block(kind));
    }
    drop(world);
    let mut world = World::start(Some(BRIDGE));
    let rules = OFFLOADED.map(|kind| {
        table.row(&format!("{}, offloaded", kind.name), || world.block(kind));
        world.rules()
    });
    table.row("all of these, quarantined", || world.quarantine());
    drop(world);
    let mut world = World::start(Some(PORTS));
    for kind in [OFFLOADED[0], OFFLOADED[2]] {
        table.row(&format!("{}, offloaded from the bridge's port", kind.name), || world.block(kind));
    }
    drop(world);
    // The same rules without the daemon: what was offloaded goes on, so the rows above could have failed.
    let mut world = World::without_daemon(BRIDGE);
    for (kind, rules) in OFFLOADED.into_iter().zip(rules) {
        table.row(&format!("{}, offloaded, the rules alone: passes", kind.name), || world.rules_alone(kind, &rules));
        table.row(&format!("{}, and its flow deleted by hand", kind.name), || world.deleted(kind));
    }
    println!("offload: {} passed, {} failed", table.passed, table.failed);
    if table.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
