//! The table of conformance: what it takes for proven, and at what it fails. And that the repository's own list and tests agree.

mod judge;
mod list;
mod outcomes;
mod proofs;

use std::fs;
use std::path::Path;

use judge::{Table, Verdict};
use list::{Reach, Requirement, Side};
use outcomes::Outcomes;
use proofs::Proof;

const ROUTERS: &str = "tests/suite/signal/status.rs";
const PROVIDERS: &str = "tests/suite/client.rs";
const SHARED: &str = "tests/suite/coap/udp.rs";
/// The module above all of them.
const ABOVE: &str = "(\"whole\", datagrams::everything)";

/// What a run of `cargo test` prints.
const LOG: &str = "
     Running unittests src/lib.rs (target/debug/deps/dots_callhome-1)
test model::time::tests::good ... ok
     Running tests/suite/main.rs (target/debug/deps/suite-2)
test signal::status::good ... ok
test client::good ... ok
test coap::udp::good ... ok
test signal::status::bad ... FAILED
test signal::status::slow has been running for over 60 seconds
     Running tests/lab/main.rs (target/debug/deps/lab-3)
test scenarios::whole           ... ok
test scenarios::foreign_one     ... ok
";

fn test(words: &str, name: &str) -> String {
    format!("/// {words}\n#[test]\nfn {name}() {{\n}}\n")
}

/// How a row stands on each side, with these tests; and whether the whole holds.
fn verdicts(row: &str, tests: &[(&str, String)]) -> ([Option<Verdict>; 2], bool) {
    let list = list::read(row).unwrap();
    let proofs: Vec<Proof> =
        tests.iter().flat_map(|(file, text)| proofs::of_file(Path::new(file), text, ABOVE)).collect();
    let table = Table::new(&list, &proofs, &Outcomes::read(LOG));
    let of = |side| table.judgements.iter().find(|judgement| judgement.side == side).map(|judgement| judgement.verdict);
    ([of(Side::Router), of(Side::Provider)], table.holds())
}

#[test]
fn each_side_needs_a_test_of_its_own() {
    let row = "SC-1-01\tMUST\tWords.\ttest\ttest";
    let [router, provider, shared] = [ROUTERS, PROVIDERS, SHARED].map(|file| (file, test("Proves SC-1-01.", "good")));
    let (pass, unproven) = (Some(Verdict::Pass), Some(Verdict::Unproven));
    assert_eq!(verdicts(row, &[]), ([unproven, unproven], false));
    assert_eq!(verdicts(row, std::slice::from_ref(&router)), ([pass, unproven], false));
    assert_eq!(verdicts(row, std::slice::from_ref(&provider)), ([unproven, pass], false));
    assert_eq!(verdicts(row, &[router, provider]), ([pass, pass], true));
    assert_eq!(verdicts(row, &[shared]), ([pass, pass], true));
}

#[test]
fn a_test_counts_only_if_it_ran_and_passed() {
    let row = "SC-1-01\tMUST\tWords.\ttest\t";
    for (name, verdict) in
        [("good", Verdict::Pass), ("bad", Verdict::Fail), ("slow", Verdict::NotRun), ("gone", Verdict::NotRun)]
    {
        let tests = [(ROUTERS, test("Proves SC-1-01.", name))];
        assert_eq!(verdicts(row, &tests), ([Some(verdict), None], verdict == Verdict::Pass), "{name}");
    }
    let good_and_bad = ["good", "bad"].map(|name| (ROUTERS, test("Proves SC-1-01.", name)));
    assert_eq!(verdicts(row, &good_and_bad), ([Some(Verdict::Fail), None], false));
    let inside = [("src/model/time.rs", test("Proves SC-1-01.", "good"))];
    assert_eq!(verdicts(row, &inside), ([Some(Verdict::Pass), None], true));
}

#[test]
fn the_lab_lists_its_tests_by_other_names() {
    let row = "SC-1-01\tMUST\tWords.\ttest\ttest";
    let listed = "(\"whole\", whole_life)\n/// Proves SC-1-01.\nfn whole_life() {\n}\n".to_owned();
    let family = "/// Proves SC-1-01.\npub fn life(peer: &Peer) {\n}\n".to_owned();
    let pass = Some(Verdict::Pass);
    let listed_above = "/// Proves SC-1-01.\npub fn everything() {\n}\n".to_owned();
    assert_eq!(verdicts(row, &[("tests/lab/scenarios/datagrams.rs", listed_above)]), ([pass, pass], true));
    assert_eq!(verdicts(row, &[("tests/lab/scenarios/mod.rs", listed)]), ([pass, pass], true));
    // The other end is not ours.
    let (of_family, _) = verdicts(row, &[("tests/lab/scenarios/foreign.rs", family)]);
    assert_eq!(of_family, [pass, Some(Verdict::Unproven)]);
}

#[test]
fn a_misspelt_number_is_told() {
    let row = "SC-1-01\tMUST\tWords.\ttest\t";
    let good = (ROUTERS, test("Proves SC-1-01.", "good"));
    for misspelt in ["SC-1-02", "SC-1-1", "SC-1.01", "SC1-01", "XX-1-01"] {
        let tests = [good.clone(), (ROUTERS, test(&format!("Proves {misspelt}: words."), "good"))];
        assert_eq!(verdicts(row, &tests), ([Some(Verdict::Pass), None], false), "{misspelt}");
    }
    let words = [(ROUTERS, test("Proves SC-1-01 with DTLS-1.2 and TLS, X.509, IPv6-only, 10-20.", "good"))];
    assert_eq!(verdicts(row, &words), ([Some(Verdict::Pass), None], true));
}

#[test]
fn what_is_said_to_be_unproven_is_named_by_no_test() {
    let named = |file| [(file, test("Proves SC-1-01.", "good"))];
    for (cell, verdict) in [("open: words", Verdict::Open), ("- words", Verdict::Excluded)] {
        let row = format!("SC-1-01\tMUST\tWords.\t{cell}\t");
        assert_eq!(verdicts(&row, &[]), ([Some(verdict), None], true));
        assert_eq!(verdicts(&row, &named(ROUTERS)), ([Some(Verdict::Contradicted), None], false));
        // A test of both speaks for the other side.
        let row = format!("SC-1-01\tMUST\tWords.\t{cell}\ttest");
        assert_eq!(verdicts(&row, &named(SHARED)), ([Some(verdict), Some(Verdict::Pass)], true));
    }
    let foreign = "SC-1-01\tMUST\tWords.\t\ttest";
    assert_eq!(verdicts(foreign, &named(ROUTERS)), ([Some(Verdict::Contradicted), Some(Verdict::Unproven)], false));
}

#[test]
fn the_list_says_of_every_row_how_it_is_reached() {
    for bad in [
        "SC-1-01\tMUST\tWords.\ttest",
        "SC-1-01\tMUST\tWords.\t\t",
        "SC-1-01\tMUST\tWords.\ttested\t",
        "SC-1-01\tMUST\tWords.\topen: \t",
        "SC-1-01\tMUST\tWords.\t-\t",
    ] {
        assert!(list::read(bad).is_err(), "{bad}");
    }
    let row = "SC-1-01\tMUST\tWords.\ttest\t\n";
    assert!(list::read(&format!("# words\n{row}")).is_ok_and(|list| list.len() == 1));
    assert!(list::read(&[row, row].concat()).is_err());
}

/// Whatever the outcomes: every row that needs a test has one, and every number that a test names is a row.
#[test]
fn the_list_and_the_tests_agree() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(root.join("tests/conformance/requirements.tsv")).unwrap();
    let list = list::read(&text).unwrap();
    let proofs = proofs::all(root);
    let table = Table::new(&list, &proofs, &Outcomes::default());
    let unknown: Vec<String> = table.unknown.iter().map(|proof| format!("{proof}: {}", proof.id)).collect();
    assert!(unknown.is_empty(), "no such requirements: {unknown:#?}");
    let wrong = |verdict| matches!(verdict, Verdict::Unproven | Verdict::Contradicted);
    let wrong = table.judgements.iter().filter(|judgement| wrong(judgement.verdict));
    let wrong: Vec<String> = wrong.map(|j| format!("{} {}: {}", j.requirement.id, j.side, j.verdict)).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(list.iter().any(|requirement| *requirement.reach(Side::Provider) == Reach::Test));
}

/// Above it are the rows made from the list of requirements.
const MADE: &str = "cargo test --all-features --test documents conformance -->\n";

/// The list as the document shows it.
fn document() -> String {
    let list =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance/requirements.tsv")).unwrap();
    let list = list::read(&list).unwrap();
    let of = |requirement: &Requirement, side| match requirement.reach(side) {
        Reach::Foreign => String::new(),
        Reach::Test => "test".into(),
        Reach::Open(missing) => format!("**open**: {missing}"),
        Reach::Excluded(why) => why.clone(),
    };
    let count = |side, is: fn(&Reach) -> bool| list.iter().filter(|requirement| is(requirement.reach(side))).count();
    let mut text = format!(
        "\n{} requirements.\n\n| side | proven by tests | open | not to be reached here |\n| --- | --- | --- | --- |\n",
        list.len()
    );
    for side in list::SIDES {
        let counts = [
            count(side, |reach| *reach == Reach::Test),
            count(side, |reach| matches!(reach, Reach::Open(_))),
            count(side, |reach| matches!(reach, Reach::Excluded(_))),
        ];
        text += &format!("| {side} | {} |\n", counts.map(|count| count.to_string()).join(" | "));
    }
    text += "\n| ID | level | requirement | router | provider |\n| --- | --- | --- | --- | --- |\n";
    for requirement in &list {
        let Requirement { id, level, text: words, .. } = requirement;
        let cells = [id, level, words, &of(requirement, Side::Router), &of(requirement, Side::Provider)];
        text += &format!("| {} |\n", cells.map(|cell| cell.replace('|', "\\|")).join(" | "));
    }
    text
}

/// `RENEW=1` writes the document instead.
#[test]
fn the_document_is_that_of_the_list() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/conformance.md");
    let old = fs::read_to_string(&file).unwrap();
    let (before, table) = old.split_once(MADE).unwrap();
    if std::env::var_os("RENEW").is_some() {
        fs::write(file, format!("{before}{MADE}{}", document())).unwrap();
    } else {
        assert!(table == document(), "docs/conformance.md is old: RENEW=1 {}", MADE.trim_end_matches(" -->\n"));
    }
}
