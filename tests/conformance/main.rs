//! Which requirement is proven by which test: runs the tests that name requirements in their doc comments ("Proves
//! SC-4.7-05") and prints the table. Nothing counts that no test ran.
//!
//! Arguments restrict the run to those test targets.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// One line of `requirements.tsv`.
struct Requirement {
    id: String,
    level: String,
    role: String,
    text: String,
    /// `test`, or why it is not reached.
    reach: String,
}

/// A test by its target, as cargo names it, and its name there.
type Test = (Vec<String>, Name);

/// The function of a test and the module whose file it stands in; `_*` at the end means a family of tests.
struct Name {
    module: String,
    function: String,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Verdict {
    Pass,
    Fail,
    NotRun,
    Unproven,
    NotReachable,
}

const VERDICTS: [(Verdict, &str); 5] = [
    (Verdict::Pass, "pass"),
    (Verdict::Fail, "FAIL"),
    (Verdict::NotRun, "not run"),
    (Verdict::Unproven, "unproven"),
    (Verdict::NotReachable, "not reachable"),
];

fn main() -> ExitCode {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let only: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let requirements = requirements(&root.join("tests/conformance/requirements.tsv"));
    let proofs = proofs(root);
    let known: BTreeSet<&str> = requirements.iter().map(|requirement| requirement.id.as_str()).collect();
    let unknown: Vec<&String> = proofs.keys().filter(|id| !known.contains(id.as_str())).collect();
    let targets: BTreeSet<&Vec<String>> = proofs.values().flatten().map(|(target, _)| target).collect();
    let outcomes: BTreeMap<&Vec<String>, BTreeMap<String, bool>> = targets
        .into_iter()
        .filter(|target| only.is_empty() || only.contains(target.last().unwrap()))
        .map(|target| (target, run(root, target)))
        .collect();
    let mut counts: BTreeMap<(String, Verdict), usize> = BTreeMap::new();
    for requirement in &requirements {
        let tests: Vec<(&Test, Option<bool>)> = proofs
            .get(&requirement.id)
            .into_iter()
            .flatten()
            .map(|test| (test, outcomes.get(&test.0).and_then(|all| outcome(all, &test.1))))
            .collect();
        let verdict = judge(requirement, &tests);
        print_row(requirement, verdict, &tests);
        for group in [&requirement.role, "all"] {
            *counts.entry((group.to_owned(), verdict)).or_default() += 1;
        }
    }
    print_totals(&counts);
    for id in &unknown {
        println!("a test names {id}, which is no requirement");
    }
    let bad = |verdict| counts.contains_key(&("all".to_owned(), verdict));
    let failed = bad(Verdict::Fail) || (only.is_empty() && bad(Verdict::NotRun)) || !unknown.is_empty();
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn requirements(file: &Path) -> Vec<Requirement> {
    let text = fs::read_to_string(file).expect("the list of requirements");
    let row = |line: &str| {
        let [id, level, role, text, reach] = line.split('\t').collect::<Vec<_>>()[..] else {
            panic!("five columns: {line}")
        };
        Requirement { id: id.into(), level: level.into(), role: role.into(), text: text.into(), reach: reach.into() }
    };
    text.lines().filter(|line| !line.starts_with('#')).map(row).collect()
}

/// Every test that names requirements, by requirement.
fn proofs(root: &Path) -> BTreeMap<String, Vec<Test>> {
    let mut proofs: BTreeMap<String, Vec<Test>> = BTreeMap::new();
    for file in ["tests", "src"].iter().flat_map(|room| sources(&root.join(room))) {
        let place = file.strip_prefix(root).unwrap();
        let Some(target) = target(place) else { continue };
        let module = module(place);
        let text = fs::read_to_string(&file).expect("a source file");
        for Named { ids, function, is_test } in named(&text) {
            // A harness of our own lists its functions as `("name", function)`, or makes several tests of one.
            let family = || format!("{}_*", file.file_stem().unwrap().to_string_lossy());
            let function = if is_test { function } else { alias(&text, &function).unwrap_or_else(family) };
            for id in ids {
                let name = Name { module: module.clone(), function: function.clone() };
                proofs.entry(id).or_default().push((target.clone(), name));
            }
        }
    }
    proofs
}

fn sources(directory: &Path) -> Vec<PathBuf> {
    let mut entries: Vec<PathBuf> =
        fs::read_dir(directory).expect("a directory").map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    let of = |path: PathBuf| match (path.is_dir(), path.extension().is_some_and(|end| end == "rs")) {
        (true, _) => sources(&path),
        (false, true) => vec![path],
        (false, false) => Vec::new(),
    };
    entries.into_iter().flat_map(of).collect()
}

/// What cargo calls the target a source file belongs to.
fn target(file: &Path) -> Option<Vec<String>> {
    let parts: Vec<&str> = file.iter().map(|part| part.to_str().unwrap()).collect();
    let target: &[&str] = match parts[..] {
        ["tests", "conformance" | "fuzz", ..] => return None,
        ["tests", test, ..] => &["--test", test],
        ["src", "bin", program, ..] => &["--bin", program],
        _ => &["--lib"],
    };
    Some(target.iter().map(|part| part.trim_end_matches(".rs").to_owned()).collect())
}

/// The module that a source file is.
fn module(file: &Path) -> String {
    let parts: Vec<&str> = file.iter().map(|part| part.to_str().unwrap().trim_end_matches(".rs")).collect();
    let inside = match parts[..] {
        ["tests", _, ref inside @ ..] | ["src", "bin", _, ref inside @ ..] | ["src", ref inside @ ..] => inside,
        _ => &[],
    };
    let named: Vec<&str> = inside.iter().copied().filter(|part| !["main", "lib", "mod"].contains(part)).collect();
    named.join("::")
}

/// A function whose doc comment says what it proves.
struct Named {
    ids: Vec<String>,
    function: String,
    is_test: bool,
}

fn named(text: &str) -> Vec<Named> {
    let mut found = Vec::new();
    let mut comment = String::new();
    let mut is_test = false;
    for line in text.lines().map(str::trim) {
        if let Some(words) = line.strip_prefix("///") {
            comment += words;
        } else if line.starts_with("#[") {
            is_test |= line == "#[test]";
        } else {
            let ids = comment.split_once("Proves ").map(|(_, proves)| ids(proves)).unwrap_or_default();
            let function = line.split("fn ").nth(1).and_then(|rest| rest.split('(').next());
            if let Some(function) = function.filter(|_| !ids.is_empty()) {
                found.push(Named { ids, function: function.to_owned(), is_test });
            }
            comment.clear();
            is_test = false;
        }
    }
    found
}

/// The requirements named in a text, as in `SC-4.4.1.3-05` or `CH-B-01`.
fn ids(text: &str) -> Vec<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '-' && c != '.');
    let words = words.map(|word| word.trim_end_matches(['.', '-']));
    let is_id = |word: &&str| match word.split('-').collect::<Vec<_>>()[..] {
        [document, _, number] => {
            document.len() == 2
                && document.chars().all(|c| c.is_ascii_uppercase())
                && number.len() == 2
                && number.chars().all(|c| c.is_ascii_digit())
        }
        _ => false,
    };
    words.filter(is_id).map(str::to_owned).collect()
}

/// The name under which a function is listed.
fn alias(text: &str, function: &str) -> Option<String> {
    let (before, _) = text.split_once(&format!("\", {function})"))?;
    before.rsplit('"').next().map(str::to_owned)
}

/// Runs a target; which of its tests passed, by their whole names.
fn run(root: &Path, target: &[String]) -> BTreeMap<String, bool> {
    eprintln!("running {}", target.join(" "));
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let output = Command::new(cargo)
        .current_dir(root)
        .args(["test", "--all-features"])
        .args(target)
        .output()
        .expect("cargo runs");
    let said = String::from_utf8_lossy(&output.stdout);
    let outcome = |line: &str| {
        let (name, outcome) = line.strip_prefix("test ")?.split_once(" ... ")?;
        let name = name.split_whitespace().next()?;
        match outcome.split_whitespace().next()? {
            "ok" => Some((name.to_owned(), true)),
            "FAILED" => Some((name.to_owned(), false)),
            _ => None,
        }
    };
    let outcomes: BTreeMap<String, bool> = said.lines().filter_map(outcome).collect();
    if outcomes.is_empty() {
        eprintln!("{}", String::from_utf8_lossy(&output.stderr));
    }
    outcomes
}

/// How a test ended; of a family, all of them.
fn outcome(all: &BTreeMap<String, bool>, name: &Name) -> Option<bool> {
    let is_meant = |known: &str| {
        // A harness of our own lists its tests without modules.
        let (module, function) = known.rsplit_once("::").unwrap_or((&name.module, known));
        let is_function = match name.function.strip_suffix('*') {
            Some(family) => function.starts_with(family),
            None => function == name.function,
        };
        // Unit tests stand in a module inside the file.
        is_function && (module == name.module || module.strip_suffix("::tests") == Some(&name.module))
    };
    all.iter().filter(|(known, _)| is_meant(known)).map(|(_, passed)| *passed).reduce(|one, other| one && other)
}

fn judge(requirement: &Requirement, tests: &[(&Test, Option<bool>)]) -> Verdict {
    if tests.iter().any(|(_, passed)| *passed == Some(false)) {
        Verdict::Fail
    } else if tests.iter().any(|(_, passed)| passed.is_none()) {
        Verdict::NotRun
    } else if !tests.is_empty() {
        Verdict::Pass
    } else if requirement.reach == "test" {
        Verdict::Unproven
    } else {
        Verdict::NotReachable
    }
}

fn print_row(requirement: &Requirement, verdict: Verdict, tests: &[(&Test, Option<bool>)]) {
    let telling = tests.iter().filter(|(_, passed)| verdict != Verdict::Fail || *passed == Some(false));
    let whole = |(target, name): &Test| {
        let parts = [target.last().unwrap(), &name.module, &name.function];
        parts.into_iter().filter(|part| !part.is_empty()).cloned().collect::<Vec<_>>().join("::")
    };
    let mut names = telling.map(|(test, _)| whole(test));
    let why = match (verdict, names.next()) {
        (Verdict::NotReachable, _) => requirement.reach.trim_start_matches("- ").to_owned(),
        (_, Some(first)) => match names.count() {
            0 => first,
            more => format!("{first} and {more} more"),
        },
        (_, None) => requirement.text.clone(),
    };
    let Requirement { id, level, role, .. } = requirement;
    println!("{id:15} {level:7} {role:4} {:13} {why}", word(verdict));
}

fn print_totals(counts: &BTreeMap<(String, Verdict), usize>) {
    println!();
    print!("{:6}", "");
    VERDICTS.iter().for_each(|(_, word)| print!("{word:>15}"));
    println!("{:>8}", "rows");
    for group in ["S", "both", "C", "all"] {
        let count = |verdict| counts.get(&(group.to_owned(), verdict)).copied().unwrap_or(0);
        print!("{group:6}");
        VERDICTS.iter().for_each(|(verdict, _)| print!("{:>15}", count(*verdict)));
        println!("{:>8}", VERDICTS.iter().map(|(verdict, _)| count(*verdict)).sum::<usize>());
    }
}

fn word(verdict: Verdict) -> &'static str {
    VERDICTS.iter().find(|(known, _)| *known == verdict).map_or("", |(_, word)| word)
}
