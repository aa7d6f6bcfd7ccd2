//! How much is kept of those who match, and that whoever is meant is among them.

use dots_callhome::model::MitigationId;
use dots_callhome::source::Confidence::{Exact, Possible};

use crate::support::source::*;

/// Without a protocol it is not looked up: all that go to the target are listed.
const BY_PORT: &str = "198.51.100.7 40000 > 203.0.113.80 53 / -";

fn crowd() -> TestRouter {
    let mut house = TestRouter::with_devices(70);
    for n in 11..80 {
        for port in 0..10 {
            house.translated(n, UDP, 1000 + port, 20_000 + 100 * u16::from(n) + port, 53, 3);
        }
    }
    house
}

fn begin(house: &mut TestRouter, wanted: &str, most: usize) {
    house.finder.start_search(MitigationId(1), &scope(wanted), house.now);
    house.finder.set_most_suspects(MitigationId(1), most);
}

/// However many others talk to the target: the one who has the port that was seen is found, be it the last one.
#[test]
fn nobody_is_crowded_out_by_those_who_match_less() {
    for most in [64, 8, 1] {
        let mut house = crowd();
        house.translated(80, UDP, 4000, 40_000, 53, 100);
        begin(&mut house, BY_PORT, most);
        house.pass(std::time::Duration::from_secs(20));
        assert_eq!(house.verdict(1), [(mac(80), Exact)], "{most}");
    }
}

/// Devices, and flows of all of them together.
#[test]
fn what_is_kept_of_a_search_is_bounded() {
    for (most, flows) in [(64, 128), (8, 16), (4, 8)] {
        let mut house = crowd();
        begin(&mut house, "198.51.100.7 - > 203.0.113.80 53 / 17", most);
        house.pass(std::time::Duration::from_secs(20));
        let suspects = house.last(1).unwrap();
        assert!(suspects.len() <= most, "{} devices of {most}", suspects.len());
        let evidence: usize = suspects.iter().map(|suspect| suspect.evidence.len()).sum();
        assert!((most..=flows).contains(&evidence), "{evidence} flows");
    }
}

/// A port that two devices have had points to neither of them, even where one has had more ports than are kept.
#[test]
fn a_port_that_could_not_be_kept_is_doubt() {
    let mut house = TestRouter::with_devices(2);
    let ranges: Vec<String> = (0..80).map(|n| (40_000 + 2 * n).to_string()).collect();
    let wanted = scope(&format!("198.51.100.7 {} > 203.0.113.80 53 / 17", ranges.join(",")));
    let flows: Vec<u32> = (0..80).map(|n| house.translated(11, UDP, 1000 + n, 40_000 + 2 * n, 53, 3)).collect();
    house.search(1, &wanted);
    house.pass(std::time::Duration::from_secs(5));
    assert_eq!(house.verdict(1), [(mac(11), Exact)], "nobody else has had any");
    house.end(flows[79]);
    let id = house.translated(12, UDP, 1000, 40_000 + 2 * 79, 53, 3);
    house.announce(id);
    house.pass(std::time::Duration::from_secs(20));
    let of_second = house.verdict(1).into_iter().find(|(found, _)| *found == mac(12));
    assert_eq!(of_second, Some((mac(12), Possible)));
}

/// To have as many ports as are kept is no doubt yet, however often they are looked at.
#[test]
fn as_many_ports_as_are_kept_are_all_kept() {
    let mut house = TestRouter::with_devices(2);
    let ranges: Vec<String> = (0..17).map(|n| (40_000 + 2 * n).to_string()).collect();
    for n in 0..16 {
        house.translated(11, UDP, 1000 + n, 40_000 + 2 * n, 53, 3);
    }
    house.translated(12, UDP, 1000, 40_032, 53, 3);
    house.search(1, &scope(&format!("198.51.100.7 {} > 203.0.113.80 53 / 17", ranges.join(","))));
    house.pass(std::time::Duration::from_secs(60));
    let mut verdict = house.verdict(1);
    verdict.sort();
    assert_eq!(verdict, [(mac(11), Exact), (mac(12), Exact)]);
}
