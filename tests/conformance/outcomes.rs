//! How tests ended, as a run of `cargo test` has said.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::proofs::Proof;

/// All tests of a run: by target and whole name, whether it passed.
#[derive(Debug, Default)]
pub struct Outcomes(BTreeMap<PathBuf, BTreeMap<String, bool>>);

impl Outcomes {
    /// Reads what the run has said.
    pub fn read(log: &str) -> Self {
        let mut all = Self::default();
        let mut target = PathBuf::new();
        for line in log.lines() {
            if let Some(running) = line.trim_start().strip_prefix("Running ") {
                let words = running.strip_prefix("unittests ").unwrap_or(running);
                target = Path::new(words.split(" (").next().unwrap_or_default()).to_owned();
            } else if let Some((name, passed)) = outcome(line) {
                all.0.entry(target.clone()).or_default().insert(name.to_owned(), passed);
            }
        }
        all
    }

    /// How a test ended; of a family, all of them.
    pub fn of(&self, proof: &Proof) -> Option<bool> {
        let is_meant = |known: &str| {
            // A harness of our own lists its tests without modules.
            let (module, function) = known.rsplit_once("::").unwrap_or((&proof.module, known));
            match proof.function.strip_suffix('*') {
                // A family is listed where the file's module is.
                Some(family) => {
                    function.starts_with(family)
                        && proof.module.rsplit_once("::").is_some_and(|(above, _)| module == above)
                }
                // Unit tests stand in a module inside the file.
                None => function == proof.function && module.strip_suffix("::tests").unwrap_or(module) == proof.module,
            }
        };
        let all = self.0.get(&proof.target)?;
        all.iter().filter(|(known, _)| is_meant(known)).map(|(_, passed)| *passed).reduce(|one, other| one && other)
    }
}

fn outcome(line: &str) -> Option<(&str, bool)> {
    let (name, outcome) = line.strip_prefix("test ")?.split_once(" ... ")?;
    match outcome.split_whitespace().next()? {
        "ok" => Some((name.split_whitespace().next()?, true)),
        "FAILED" => Some((name.split_whitespace().next()?, false)),
        _ => None,
    }
}
