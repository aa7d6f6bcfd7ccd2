//! The lab: scenarios with real packets in network namespaces.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

mod bus;
mod credentials;
mod home;
mod host;
mod scenarios;
mod stage;
mod traffic;

use libtest_mimic::{Arguments, Trial};

fn main() {
    if let Err(why) = host::prepare() {
        eprintln!("{why}");
        std::process::exit(1);
    }
    let trials = scenarios::ALL.iter().map(|(name, scenario)| {
        Trial::test(*name, move || {
            scenario();
            Ok(())
        })
    });
    libtest_mimic::run(&Arguments::from_args(), trials.collect()).exit();
}
