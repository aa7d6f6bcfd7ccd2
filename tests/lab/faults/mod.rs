//! What happens to a block at each fault, with real packets: a table, one line for each. A flood is stopped and an innocent
//! device is not; then something breaks.

mod blocked;
mod deaths;
mod firewall;
mod flash;
mod links;
mod moments;
mod programs;

use std::sync::{Arc, Mutex};

use libtest_mimic::Trial;

/// A fault as a test's name and in the table's words, and the scenario that says what happened.
type Fault = (&'static str, &'static str, fn() -> Outcome);

/// What happened to the block.
pub struct Outcome {
    /// In words.
    pub block: String,
    /// Packets of the flood that arrived from when it was blocked to the end.
    pub through: usize,
}

/// The lines of the table so far, by number.
#[derive(Default)]
pub struct Table {
    rows: Arc<Mutex<Vec<(usize, String)>>>,
}

impl Table {
    /// The faults as tests that fill it; those that take longest come first.
    pub fn trials(&self) -> Vec<Trial> {
        let faults = [links::ALL, moments::ALL, flash::ALL, programs::ALL, deaths::ALL, firewall::ALL].concat();
        let trial = |(number, (name, fault, scenario)): (usize, Fault)| {
            let rows = Arc::clone(&self.rows);
            crate::trial(format!("faults::{name}"), move || {
                let Outcome { block, through } = scenario();
                rows.lock().expect("not poisoned").push((number, format!("{fault:58} {through:>7}   {block}")));
            })
        };
        faults.into_iter().enumerate().map(trial).collect()
    }

    /// Prints it, unless no fault was played.
    pub fn print(&self) {
        let mut rows = self.rows.lock().expect("not poisoned");
        rows.sort();
        if !rows.is_empty() {
            println!("{:58} {:>7}   what happens to a block", "fault", "through");
            rows.iter().for_each(|(_, row)| println!("{row}"));
        }
    }
}
