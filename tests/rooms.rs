//! The rooms of the crate, in order: each imports only from those before it, and no circle of files is left anywhere.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The rooms from the ground up. A room may leave out any of those below it, and knows none above it.
const ROOMS: [&str; 15] = [
    "model",
    "uci",
    "netlink",
    "coap",
    "transport",
    "io",
    "source",
    "enforce",
    "mitigation",
    "config",
    "signal",
    "ubus",
    "calling",
    "client",
    "driver",
];

/// A path's segments, from `crate`, `super` or `self` on.
type Import = Vec<String>;

/// What a file imports, and what it passes on by `pub use`.
#[derive(Default)]
struct Source {
    imports: Vec<Import>,
    exports: Vec<Import>,
}

type Sources = BTreeMap<PathBuf, Source>;

#[test]
fn a_room_imports_only_from_those_below_it() {
    let mut wrong = Vec::new();
    for (file, source) in sources() {
        let own = room_of(&file);
        for import in source.imports.into_iter().chain(source.exports) {
            let [first, room, ..] = &import[..] else { continue };
            if first != "crate" || file.starts_with("bin") || file == Path::new("main.rs") {
                continue;
            }
            let level = |room: &str| ROOMS.iter().position(|known| *known == room);
            match (level(room), level(&own)) {
                (Some(theirs), Some(ours)) if theirs <= ours => {}
                _ => wrong.push(format!("{} imports {}", file.display(), import.join("::"))),
            }
        }
    }
    assert!(wrong.is_empty(), "imports that run up, or rooms that are not in the list:\n{}", wrong.join("\n"));
}

#[test]
fn every_room_is_in_the_list() {
    let rooms: BTreeSet<String> = sources().into_keys().map(|file| room_of(&file)).collect();
    let known: BTreeSet<String> = ROOMS.into_iter().chain(["lib", "main", "bin"]).map(str::to_owned).collect();
    assert_eq!(rooms, known);
}

#[test]
fn no_circle_of_files() {
    let sources = sources();
    let mut arrows: BTreeMap<PathBuf, BTreeSet<PathBuf>> = BTreeMap::new();
    for (file, source) in &sources {
        let targets = source.imports.iter().filter_map(|import| target(file, import, &sources)).filter(|to| to != file);
        arrows.insert(file.clone(), targets.collect());
    }
    let circles: Vec<String> = arrows
        .iter()
        .flat_map(|(from, to)| to.iter().map(move |to| (from, to)))
        .filter(|(from, to)| reaches(to, from, &arrows))
        .map(|(from, to)| format!("{} imports {}", from.display(), to.display()))
        .collect();
    assert!(circles.is_empty(), "files that need each other:\n{}", circles.join("\n"));
}

/// Whether following the arrows leads from one file to another.
fn reaches(from: &Path, wanted: &Path, arrows: &BTreeMap<PathBuf, BTreeSet<PathBuf>>) -> bool {
    let (mut waiting, mut seen) = (vec![from], BTreeSet::new());
    while let Some(file) = waiting.pop() {
        if file == wanted {
            return true;
        }
        if seen.insert(file) {
            waiting.extend(arrows.get(file).into_iter().flatten().map(PathBuf::as_path));
        }
    }
    false
}

/// The room a file of `src/` stands in.
fn room_of(file: &Path) -> String {
    Path::new(file.iter().next().unwrap()).file_stem().unwrap().to_str().unwrap().to_owned()
}

/// All files of `src/` and what they import.
fn sources() -> Sources {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders = vec![root.clone()];
    let mut sources = Sources::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                sources.insert(path.strip_prefix(&root).unwrap().to_owned(), read(&text));
            }
        }
    }
    sources
}

/// What a file imports, by `use` or by a path in its code; comments and documentation links don't count.
fn read(text: &str) -> Source {
    let lines = text.lines().map(|line| line.split("//").next().unwrap_or_default());
    let code: String = lines.take_while(|line| line.trim() != "mod tests {").map(|line| format!("{line}\n")).collect();
    let mut source = Source::default();
    for start in ["crate::", "super::"] {
        for (at, _) in code.match_indices(start) {
            let (before, path) = code.split_at(at);
            if !before.ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':') {
                let is_export = before.trim_end().ends_with("pub use");
                expand(path, &mut Vec::new(), if is_export { &mut source.exports } else { &mut source.imports });
            }
        }
    }
    // A file that has others below it names them without `self::`.
    for module in
        code.lines().filter_map(|line| line.trim_start_matches("pub ").strip_prefix("mod ")?.strip_suffix(';'))
    {
        for (visible, found) in [("use", &mut source.imports), ("pub use", &mut source.exports)] {
            for (at, start) in code.match_indices(&format!("\n{visible} {module}::")) {
                let path = &code[at + start.len() - module.len() - "::".len()..];
                expand(path, &mut vec!["self".to_owned()], found);
            }
        }
    }
    source
}

/// Follows one path, and every branch of it where it has braces; returns what is left behind it.
fn expand<'a>(code: &'a str, before: &mut Vec<String>, found: &mut Vec<Import>) -> &'a str {
    let depth = before.len();
    let mut rest = code;
    loop {
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        before.push(rest[..end].to_owned());
        rest = &rest[end..];
        let Some(after) = rest.strip_prefix("::") else { break };
        rest = after;
        if let Some(mut branches) = rest.strip_prefix('{') {
            while !branches.starts_with('}') {
                branches = expand(branches, before, found).trim_start_matches([',', ' ', '\n', '\t']);
                assert!(!branches.is_empty(), "no end of {before:?}");
            }
            before.truncate(depth);
            return &branches[1..];
        }
    }
    found.push(before.clone());
    before.truncate(depth);
    rest
}

/// The file an import leads to; nothing where it is not ours.
fn target(from: &Path, import: &Import, sources: &Sources) -> Option<PathBuf> {
    let is_folder = |file: &Path| ["mod.rs", "lib.rs", "main.rs"].iter().any(|name| file.ends_with(name));
    let own = if is_folder(from) { from.parent()?.to_owned() } else { from.with_extension("") };
    let mut at = match import.first()?.as_str() {
        "self" => own,
        "super" => own.parent()?.to_owned(),
        _ if from.starts_with("bin") => from.iter().take(2).collect(),
        _ => PathBuf::new(),
    };
    let file_of = |at: &Path| {
        let files = [at.with_extension("rs"), at.join("mod.rs"), at.join("main.rs"), at.join("lib.rs")];
        files.into_iter().find(|file| sources.contains_key(file))
    };
    for segment in import.iter().skip(1) {
        if segment == "super" {
            at.pop();
            continue;
        }
        if file_of(&at.join(segment)).is_none() {
            let file = file_of(&at)?;
            let passed_on = sources[&file].exports.iter().find(|export| export.last() == Some(segment));
            return passed_on.map_or(Some(file.clone()), |export| target(&file, export, sources));
        }
        at.push(segment);
    }
    file_of(&at)
}
