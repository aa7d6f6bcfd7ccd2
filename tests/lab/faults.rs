//! What happens to a block at each fault, with real packets: a table, one line for each. A flood is stopped and an innocent
//! device is not; then something breaks.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]
// The scenarios use more of the lab than this does.
#![allow(dead_code)]

mod attack;
mod blocked;
mod bus;
mod credentials;
mod deaths;
mod firewall;
mod flash;
mod home;
mod host;
mod links;
mod moments;
mod programs;
mod stage;
mod traffic;

use std::sync::Mutex;

use libtest_mimic::{Arguments, Trial};

/// A fault as a test's name and in the table's words, and the scenario that says what happened.
type Fault = (&'static str, &'static str, fn() -> Outcome);

/// What happened to the block.
pub struct Outcome {
    /// In words.
    pub block: String,
    /// Packets of the flood that arrived from when it was blocked to the end.
    pub through: usize,
}

/// Scenarios mostly wait, so more of them run at once than there are cores.
const AT_ONCE: usize = 8;

fn main() {
    if let Err(why) = host::prepare() {
        eprintln!("{why}");
        std::process::exit(1);
    }
    // Those that take longest come first.
    let faults = [links::ALL, moments::ALL, flash::ALL, programs::ALL, deaths::ALL, firewall::ALL].concat();
    let rows = std::sync::Arc::new(Mutex::new(Vec::new()));
    let trial = |(number, (name, fault, scenario)): (usize, Fault)| {
        let rows = std::sync::Arc::clone(&rows);
        Trial::test(name, move || {
            let Outcome { block, through } = scenario();
            rows.lock().expect("not poisoned").push((number, format!("{fault:58} {through:>7}   {block}")));
            Ok(())
        })
    };
    let trials = faults.into_iter().enumerate().map(trial).collect();
    let mut arguments = Arguments::from_args();
    arguments.test_threads = arguments.test_threads.or(Some(AT_ONCE));
    let conclusion = libtest_mimic::run(&arguments, trials);
    let mut rows = std::mem::take(&mut *rows.lock().expect("not poisoned"));
    rows.sort();
    if !rows.is_empty() {
        println!("{:58} {:>7}   what happens to a block", "fault", "through");
        rows.iter().for_each(|(_, row)| println!("{row}"));
    }
    conclusion.exit();
}
