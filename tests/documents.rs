//! The documents: their links lead somewhere, what they name exists, and the provider's commands do what they say.
#![cfg(feature = "client")]
#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "conformance/gate.rs"]
mod conformance;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use dots_callhome::config::Config;
use serde_json::Value;

/// Far longer than the provider's commands take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(300);
const ROOT: &str = env!("CARGO_MANIFEST_DIR");

fn read(file: impl AsRef<Path>) -> String {
    let file = Path::new(ROOT).join(file);
    fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// Every document, by its path in the repository.
fn documents() -> Vec<PathBuf> {
    let within = |folder: &str| fs::read_dir(Path::new(ROOT).join(folder)).unwrap().map(|entry| entry.unwrap().path());
    let all =
        ["", "docs", "openwrt"].into_iter().flat_map(within).filter(|path| path.extension() == Some("md".as_ref()));
    all.map(|path| path.strip_prefix(ROOT).unwrap().to_owned()).collect()
}

/// The lines of a document, each with whether it is in a fenced block, and the word after the fence.
fn lines(text: &str) -> Vec<(Option<&str>, &str)> {
    let mut fence = None;
    let mut lines = Vec::new();
    for line in text.lines() {
        match (line.trim_start().strip_prefix("```"), fence) {
            (Some(kind), None) => fence = Some(kind),
            (Some(_), Some(_)) => fence = None,
            (None, _) => lines.push((fence, line)),
        }
    }
    lines
}

/// Everything written as code: lines of fenced blocks, and what stands between backticks.
fn code(text: &str) -> Vec<&str> {
    let mut code = Vec::new();
    for (fence, line) in lines(text) {
        match fence {
            Some(_) => code.push(line.trim()),
            None => code.extend(line.split('`').skip(1).step_by(2)),
        }
    }
    code
}

/// What links and pictures of a document lead to.
fn links<'a>(text: &'a str) -> Vec<&'a str> {
    let prose = lines(text).into_iter().filter(|(fence, _)| fence.is_none()).map(|(_, line)| line);
    let after = |line: &'a str, mark, end| line.split(mark).skip(1).filter_map(move |rest| rest.split(end).next());
    prose.flat_map(|line| after(line, "](", ')').chain(after(line, "src=\"", '"'))).collect()
}

/// The anchors of a document's headings, as GitHub makes them.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = lines(text).into_iter().filter(|(fence, line)| fence.is_none() && line.starts_with('#'));
    let anchor = |heading: &str| {
        let kept = heading.trim_start_matches(['#', ' ']).chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        kept.collect::<String>().to_lowercase().replace(' ', "-")
    };
    headings.map(|(_, line)| anchor(line)).collect()
}

/// The part of a document under a heading, up to the next one of the same level or above.
fn section<'a>(text: &'a str, heading: &str) -> &'a str {
    let level = heading.chars().take_while(|c| *c == '#').count();
    let (_, after) = text.split_once(&format!("\n{heading}\n")).unwrap_or_else(|| panic!("no heading {heading}"));
    let ends = (2..=level).filter_map(|level| after.find(&format!("\n{} ", "#".repeat(level))));
    after.get(..ends.min().unwrap_or(after.len())).unwrap()
}

/// The rows of tables, as cells.
fn rows(text: &str) -> Vec<Vec<&str>> {
    let rows = text.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"));
    rows.map(|row| row.split(" | ").map(str::trim).collect()).collect()
}

#[test]
fn links_lead_somewhere() {
    let mut dead = Vec::new();
    for document in documents() {
        let text = read(&document);
        for link in links(&text).into_iter().filter(|link| !link.starts_with("https://")) {
            let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if path.is_empty() { document.clone() } else { document.parent().unwrap().join(path) };
            let there = Path::new(ROOT).join(&target).exists();
            if !there || (!anchor.is_empty() && !anchors(&read(&target)).contains(anchor)) {
                dead.push(format!("{}: {link}", document.display()));
            }
        }
    }
    assert!(dead.is_empty(), "dead links: {dead:#?}");
}

#[test]
fn the_front_page_is_short() {
    assert!(read("README.md").lines().count() <= 140);
}

#[test]
fn targets_of_make_exist() {
    let makefile = read("Makefile");
    let rules =
        makefile.lines().filter(|line| !line.starts_with(['\t', '#', '.'])).filter_map(|line| line.split_once(':'));
    let targets: BTreeSet<&str> = rules.flat_map(|(names, _)| names.split_whitespace()).collect();
    for document in documents() {
        let text = read(&document);
        for named in code(&text).into_iter().filter_map(|code| code.strip_prefix("make ")) {
            let target = named.split_whitespace().next().unwrap_or_default();
            assert!(targets.contains(target), "{}: make {target}", document.display());
        }
    }
}

#[test]
fn methods_are_those_of_the_object() {
    let acl: Value =
        serde_json::from_str(&read("luci-app/root/usr/share/rpcd/acl.d/luci-app-dots-callhome.json")).unwrap();
    let allowed =
        |kind: &str| acl.pointer(&format!("/luci-app-dots-callhome/{kind}/ubus/dots-callhome")).unwrap().clone();
    let methods: Vec<String> = ["read", "write"]
        .into_iter()
        .flat_map(|kind| serde_json::from_value::<Vec<String>>(allowed(kind)).unwrap())
        .collect();
    let methods: BTreeSet<&str> = methods.iter().map(String::as_str).collect();
    let reference = read("docs/reference.md");
    let told = rows(section(&reference, "### Methods")).into_iter().filter_map(|row| row.first()?.strip_prefix('`'));
    assert_eq!(told.map(|name| name.trim_end_matches('`')).collect::<BTreeSet<_>>(), methods);
    for document in documents() {
        let text = read(&document);
        for call in text.split("ubus call dots-callhome ").skip(1) {
            let method = call.split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap();
            assert!(methods.contains(method), "{}: {method}", document.display());
        }
    }
}

#[test]
fn fields_of_replies_are_told() {
    let (reference, replies) = (read("docs/reference.md"), read("src/ubus/reply.rs"));
    let told = section(&reference, "## ubus");
    let named = replies.split("w.").skip(1).filter_map(|call| call.split_once('(')?.1.trim_start().split('"').nth(1));
    let named: BTreeSet<&str> = named.filter(|name| !name.is_empty() && !name.contains(' ')).collect();
    let untold: Vec<_> = named.into_iter().filter(|name| !told.contains(&format!("`{name}`"))).collect();
    assert!(untold.is_empty(), "fields that nothing tells of: {untold:?}");
}

/// The `--flags` in a text.
fn flags(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '-');
    words.filter(|word| word.starts_with("--") && !word.ends_with('-')).map(str::to_owned).collect()
}

fn help(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).arg("--help").output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn arguments_are_those_of_the_programs() {
    let reference = read("docs/reference.md");
    let daemon = help(env!("CARGO_BIN_EXE_dots-callhome"), &[]);
    assert_eq!(flags(section(&reference, "### dots-callhome")), flags(&daemon));
    let client = env!("CARGO_BIN_EXE_dots-callhome-client");
    let general = help(client, &[]);
    let commands = general.split_once("Commands:\n").unwrap().1.lines().take_while(|line| line.starts_with("  "));
    let commands = commands.filter_map(|line| line.split_whitespace().next()).filter(|command| *command != "help");
    let all: String = commands.map(|command| help(client, &[command])).chain([general.clone()]).collect();
    assert_eq!(flags(section(&reference, "### dots-callhome-client")), flags(&all));
}

/// systemd knows all that stands in the unit.
#[test]
fn the_unit_is_understood() {
    let unit = read("docs/dots-callhome-client.service");
    let unit = unit.replace("/usr/bin/dots-callhome-client", env!("CARGO_BIN_EXE_dots-callhome-client"));
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("unit");
    fs::create_dir_all(&directory).unwrap();
    let file = directory.join("dots-callhome-client.service");
    fs::write(&file, unit).unwrap();
    let output = Command::new("systemd-analyze").arg("verify").arg(&file).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && !said.contains("dots-callhome-client.service"), "{said}");
}

/// A whole configuration with an option in one of its sections; what it amounts to, and what is wrong with it.
fn configured(kind: &str, option: Option<(&str, &str)>) -> (Config, Vec<String>) {
    let given = [
        ("globals 'globals'", vec![]),
        ("peer 'isp'", vec![("name", "isp.example"), ("ca", "/a"), ("certificate", "/b"), ("key", "/c")]),
        ("device", vec![("mac", "02:00:00:00:00:11")]),
    ];
    let mut text = String::new();
    for (head, mut options) in given {
        if let Some((name, value)) = option.filter(|_| head.split(' ').next() == Some(kind)) {
            options.retain(|(other, _)| *other != name);
            options.push((name, value));
        }
        let options: String = options.iter().map(|(name, value)| format!("\toption {name} '{value}'\n")).collect();
        text += &format!("config {head}\n{options}\n");
    }
    let (config, problems) = Config::read(&text);
    (config, problems.iter().map(ToString::to_string).collect())
}

#[test]
fn options_are_known_and_have_the_defaults_told() {
    let reference = read("docs/reference.md");
    let mut told = BTreeSet::new();
    for kind in ["globals", "peer", "device"] {
        for row in rows(section(&reference, &format!("### {kind}"))) {
            let [name, _, default, _] = row[..] else { panic!("four cells: {row:?}") };
            let Some(name) = name.split('`').nth(1) else { continue };
            told.insert(name.to_owned());
            let (_, problems) = configured(kind, Some((name, "")));
            assert!(!problems.iter().any(|problem| problem.contains("unknown")), "{kind} {name}: {problems:?}");
            let default = default.trim_matches('`');
            if default.chars().all(|c| c.is_ascii_alphanumeric()) && default != "needed" {
                let (silent, said) = (configured(kind, None), configured(kind, Some((name, default))));
                assert_eq!(said, silent, "{kind} {name} is {default} unless set");
            }
        }
    }
    let shipped = read("files/etc/config/dots-callhome");
    let named = shipped.lines().filter_map(|line| {
        let line = line.trim_start_matches(['\t', '#', ' ']);
        line.strip_prefix("option ").or(line.strip_prefix("list "))?.split_whitespace().next()
    });
    let untold: Vec<&str> = named.filter(|name| !told.contains(*name)).collect();
    assert!(untold.is_empty(), "options of the installed file that nothing tells of: {untold:?}");
}

/// Runs a script, and ends everything it has started.
fn run(command: &mut Command, script: &str, log: &Path) {
    fs::write(log.with_extension("sh"), script).unwrap();
    let file = fs::File::create(log).unwrap();
    let command = command.arg("-ex").arg(log.with_extension("sh")).current_dir(ROOT).process_group(0);
    let mut child = command.stdin(Stdio::null()).stdout(file.try_clone().unwrap()).stderr(file).spawn().unwrap();
    let begun = Instant::now();
    let ended = loop {
        match child.try_wait().unwrap() {
            None if begun.elapsed() < PATIENCE => std::thread::sleep(Duration::from_millis(50)),
            ended => break ended,
        }
    };
    // What it left behind belongs to its group.
    let _ = Command::new("kill").args(["-9", "--", &format!("-{}", child.id())]).stderr(Stdio::null()).status();
    let _ = child.wait();
    let said = fs::read_to_string(log).unwrap();
    let last: Vec<&str> = said.lines().skip(said.lines().count().saturating_sub(30)).collect();
    let done = ended.is_some_and(|status| status.success());
    assert!(done, "{}: {ended:?}, it said last:\n{}", log.display(), last.join("\n"));
}

/// Every `sh` block: the first as on any machine, the others in a namespace of their own, as the document says.
#[test]
fn the_provider_goes_from_nothing_to_a_blocked_device() {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("documents");
    let _ = fs::remove_dir_all(&directory);
    fs::create_dir_all(&directory).unwrap();
    let document = read("docs/provider.md");
    let script = |part: &str| {
        let blocks = lines(part).into_iter().filter(|(fence, _)| *fence == Some("sh"));
        blocks.map(|(_, line)| format!("{line}\n")).collect::<String>()
    };
    let (prepare, rest) = document.split_once("```\nunshare --map-root-user --net sh\n```\n").unwrap();
    run(&mut Command::new("sh"), &script(prepare), &directory.join("prepare.log"));
    let user = Command::new("unshare").args(["--map-root-user", "true"]).status().is_ok_and(|status| status.success());
    let mut inside = Command::new("unshare");
    inside.args(user.then_some("--map-root-user")).args(["--net", "sh"]).env("TMPDIR", &directory);
    run(&mut inside, &script(rest), &directory.join("provider.log"));
}

/// The outcome of the check of advisories for a version and a list, and what it says.
fn advisories(version: &str, list: &str) -> (bool, String) {
    let file = std::env::temp_dir().join(format!("advisories-{}-{}", std::process::id(), list.len()));
    fs::write(&file, list).unwrap();
    let script = Path::new(ROOT).join("tests/advisories.sh");
    let output = Command::new("sh").arg(script).arg(version).arg(&file).output().unwrap();
    fs::remove_file(file).unwrap();
    (output.status.success(), String::from_utf8(output.stdout).unwrap())
}

/// The audit fails for an advisory that nobody has answered, and for a version that nobody has looked at.
#[test]
fn advisories_against_the_c_library_are_answered() {
    let list = read("tests/advisories.tsv");
    let version = list.lines().find_map(|line| line.strip_prefix("version\t")?.split('\t').next()).unwrap();
    let (fine, said) = advisories(version, &list);
    assert!(fine, "{said}");
    for other in ["3.6.6", "3.10.0", "4.0.0"] {
        let (fine, said) = advisories(other, &list);
        assert!(!fine && said.contains("read them"), "{said}");
    }
    for (from, until, affected) in [
        ("3.6.0", "3.6.6", true),
        ("0", "-", true),
        ("3.6.6", "3.6.7", false),
        ("3.0.0", "3.6.5", false),
        ("3.6.5", "3.10.0", true),
    ] {
        let (fine, said) = advisories("3.6.5", &format!("version\t3.6.5\ttoday\nCVE-1\t{from}\t{until}\tworse\t\n"));
        assert_eq!(fine, !affected, "{said}");
        assert_eq!(said.contains("is affected by CVE-1: worse"), affected, "{said}");
        let (fine, said) =
            advisories("3.6.5", &format!("version\t3.6.5\ttoday\nCVE-1\t{from}\t{until}\tworse\tnot compiled\n"));
        assert!(fine, "{said}");
    }
    assert!(!advisories("3.6.5", "CVE-1\t3.6.6\t-\tworse\tnot compiled\n").0, "read by nobody");
    assert!(!advisories("3.6.5", "version\t3.6.5\ttoday\nCVE-1\t3.6.6\n").0, "cut off");
}
