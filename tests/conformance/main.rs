//! Which requirement is proven by which test, on the router's side and on the provider's: a table, made of the tests that name
//! requirements in their doc comments ("Proves SC-4.7-05") and of what a run of `cargo test` has said. Fails for whatever is
//! not proven though the list says so, and for a test that names what is not in the list.
//!
//! Usage: conformance LOG
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod judge;
mod list;
mod outcomes;
mod proofs;

use std::fs;
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let log = std::env::args().nth(1).expect("the log of a run of the tests");
    let outcomes = outcomes::Outcomes::read(&fs::read_to_string(root.join(log)).expect("the log"));
    let list = fs::read_to_string(root.join("tests/conformance/requirements.tsv")).expect("the list");
    let list = list::read(&list).unwrap_or_else(|why| panic!("requirements.tsv: {why}"));
    let proofs = proofs::all(root);
    let table = judge::Table::new(&list, &proofs, &outcomes);
    table.judgements.iter().for_each(|judgement| println!("{judgement}"));
    println!("\n{table}");
    if table.holds() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
