//! Real packets in network namespaces: the daemon, the provider's program and the kernel together. The first argument may name
//! one of the suites that print a table of their own; all others are tests, named after their suite.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

mod attack;
mod attribution;
mod bench;
mod blocks;
mod bus;
mod credentials;
mod crowd;
mod demo;
mod enforcer;
mod faults;
mod home;
mod homes;
mod host;
mod hostile;
mod offload;
mod page;
mod raw;
mod router;
mod scenarios;
mod soak;
mod stage;
mod traffic;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

/// A suite that prints a table of its own, and tells whether everything is as it must be.
type Table = (&'static str, fn() -> bool);

const TABLES: &[Table] = &[
    ("attribution", attribution::run),
    ("bench", bench::run),
    ("blocks", blocks::run),
    ("demo", demo::run),
    ("hostile", hostile::run),
    ("offload", offload::run),
    ("page", page::run),
    ("soak", soak::run),
];

/// Tests mostly wait, so more of them run at once than there are cores.
const AT_ONCE: usize = 8;

fn main() -> ExitCode {
    if let Err(why) = host::prepare() {
        eprintln!("{why}");
        return ExitCode::FAILURE;
    }
    let named = std::env::args().nth(1);
    let table = TABLES.iter().find(|(name, _)| named.as_deref() == Some(name));
    if table.map_or_else(tests, |(_, run)| run()) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn tests() -> bool {
    let faults = faults::Table::default();
    let blocks = || if blocks::run() { Ok(()) } else { Err("its table says what is wrong".into()) };
    // Those that take longest come first.
    let mut trials = scenarios::trials();
    trials.extend(homes::trials());
    trials.push(Trial::test("blocks", blocks));
    trials.extend(faults.trials());
    trials.extend(enforcer::ALL.iter().map(|(name, test)| trial(format!("enforcer::{name}"), test)));
    let mut arguments = Arguments::from_args();
    arguments.test_threads = arguments.test_threads.or(Some(AT_ONCE));
    let conclusion = libtest_mimic::run(&arguments, trials);
    faults.print();
    !conclusion.has_failed()
}

fn trial(name: String, test: impl FnOnce() + Send + 'static) -> Trial {
    Trial::test(name, move || {
        test();
        Ok(())
    })
}
