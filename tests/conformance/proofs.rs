//! Which tests name which requirements in their doc comments, as in "Proves SC-4.7-05".

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use super::list::Side;

/// A test that names a requirement.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Proof {
    pub id: String,
    /// What cargo calls the target: the path of its first file.
    pub target: PathBuf,
    pub module: String,
    /// `_*` at the end means a family of tests.
    pub function: String,
    pub sides: &'static [Side],
}

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = [&self.module, &self.function].map(String::as_str);
        let target = self.target.iter().nth(1).and_then(|part| part.to_str()).unwrap_or_default();
        let parts = [target.trim_end_matches(".rs")].into_iter().chain(whole).filter(|part| !part.is_empty());
        f.write_str(&parts.collect::<Vec<_>>().join("::"))
    }
}

/// All of them, in a tree like this repository's.
pub fn all(root: &Path) -> Vec<Proof> {
    let files = ["tests", "src"].iter().flat_map(|room| sources(&root.join(room)));
    let read = |file: &Path| fs::read_to_string(file).unwrap_or_default();
    let of =
        |file: PathBuf| of_file(file.strip_prefix(root).unwrap(), &read(&file), &read(&file.with_file_name("mod.rs")));
    files.flat_map(of).collect()
}

/// What one source file has; `above` is the text of the module that it is in.
pub fn of_file(place: &Path, text: &str, above: &str) -> Vec<Proof> {
    let Some(target) = target(place) else { return Vec::new() };
    let mut proofs = Vec::new();
    for Named { ids, function, is_test } in named(text) {
        // A harness of our own lists its functions as `("name", function)`, there or above, or makes several tests of one.
        let (own, stem) = (module(place), place.file_stem().unwrap().to_string_lossy());
        let parent = own.rsplit_once("::").map_or("", |(parent, _)| parent).to_owned();
        let there = || Some((own.clone(), alias(text, &function)?));
        let listed = || Some((parent, alias(above, &format!("{stem}::{function}"))?));
        let family = || (own.clone(), format!("{stem}_*"));
        let (module, function) = match is_test {
            true => (own.clone(), function.clone()),
            false => there().or_else(listed).unwrap_or_else(family),
        };
        proofs.extend(ids.into_iter().map(|id| Proof {
            id,
            target: target.clone(),
            module: module.clone(),
            function: function.clone(),
            sides: sides(place),
        }));
    }
    proofs
}

fn sources(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let mut entries: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    let of = |path: PathBuf| match (path.is_dir(), path.extension().is_some_and(|end| end == "rs")) {
        (true, _) => sources(&path),
        (false, true) => vec![path],
        (false, false) => Vec::new(),
    };
    entries.into_iter().flat_map(of).collect()
}

fn parts(file: &Path) -> Vec<&str> {
    file.iter().map(|part| part.to_str().unwrap()).collect()
}

/// The target that a source file belongs to.
pub fn target(file: &Path) -> Option<PathBuf> {
    let parts = parts(file);
    Some(match parts[..] {
        ["tests", "conformance" | "fuzz", ..] => return None,
        ["tests", test, ..] if test.ends_with(".rs") => Path::new("tests").join(test),
        ["tests", test, ..] => Path::new("tests").join(test).join("main.rs"),
        ["src", "bin", program, ..] => Path::new("src/bin").join(program).join("main.rs"),
        ["src", "main.rs"] => file.to_owned(),
        _ => "src/lib.rs".into(),
    })
}

/// Whose behaviour a test shows, by where it stands. Below the signal channel both sides run the same code, and in the lab
/// both programs run, unless the other end is not ours.
fn sides(file: &Path) -> &'static [Side] {
    let parts = parts(file);
    let is_provider = |name: &str| name.starts_with("provider") || name.starts_with("client");
    match parts[..] {
        ["tests", "suite", "programs", name] | ["tests", "suite", name, ..] if is_provider(name) => &[Side::Provider],
        ["src", "bin" | "client", ..] => &[Side::Provider],
        ["tests", "suite", "coap" | "transport", ..] | ["src", "coap" | "transport", ..] => {
            super::list::SIDES.as_slice()
        }
        ["tests", "lab", "scenarios", "foreign.rs" | "hostile.rs"] => &[Side::Router],
        ["tests", "lab", ..] => super::list::SIDES.as_slice(),
        _ => &[Side::Router],
    }
}

/// The module that a source file is.
fn module(file: &Path) -> String {
    let parts: Vec<&str> = parts(file).into_iter().map(|part| part.trim_end_matches(".rs")).collect();
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
            let ids = ids(&comment);
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

/// What looks like a requirement's number, as `SC-4.4.1.3-05` or `CH-B-01`, however it is misspelt: the list tells.
fn ids(comment: &str) -> Vec<String> {
    let Some((_, proves)) = comment.split_once("Proves ") else { return Vec::new() };
    let words = proves.split(|c: char| !c.is_ascii_alphanumeric() && !"-.".contains(c));
    let words = words.map(|word| word.trim_end_matches(['.', '-']));
    let is_id = |word: &&str| match word.split_once('-') {
        Some((document, number)) => {
            document.len() <= 3
                && document.chars().filter(char::is_ascii_uppercase).count() == 2
                && number.chars().all(|c| !c.is_ascii_lowercase())
                && number.chars().any(|c| c.is_ascii_digit())
        }
        None => false,
    };
    words.filter(is_id).map(str::to_owned).collect()
}

/// The name under which a function is listed.
fn alias(text: &str, function: &str) -> Option<String> {
    let (before, _) = text.split_once(&format!("\", {function})"))?;
    before.rsplit('"').next().map(str::to_owned)
}
