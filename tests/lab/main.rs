//! The lab: scenarios with real packets in network namespaces.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

mod attack;
mod bus;
mod credentials;
mod datagrams;
mod foreign;
mod home;
mod host;
mod hostile;
mod scenarios;
mod stage;
mod traffic;

use libtest_mimic::{Arguments, Trial};

fn main() {
    if let Err(why) = host::prepare() {
        eprintln!("{why}");
        std::process::exit(1);
    }
    let own = scenarios::ALL.iter().map(|(name, scenario)| trial((*name).to_owned(), scenario));
    let foreign = foreign::ALL.iter().map(|peer| trial(format!("foreign_{}", peer.name), move || foreign::life(peer)));
    libtest_mimic::run(&Arguments::from_args(), own.chain(foreign).collect()).exit();
}

fn trial(name: String, scenario: impl FnOnce() + Send + 'static) -> Trial {
    Trial::test(name, move || {
        scenario();
        Ok(())
    })
}
