//! Tables of attribution: what is the case in a home, what is asked, and who is found.

use std::time::Duration;

use dots_callhome::model::Scope;
use dots_callhome::source::Confidence;

use crate::support::source::*;

/// One row: what is the case in a home with devices 11 to 18, what is asked, and who is found at the end.
pub struct Row {
    pub name: &'static str,
    pub home: fn(&mut TestRouter),
    pub request: &'static str,
    pub expected: &'static [(u8, Confidence)],
}

pub const NOBODY: &[(u8, Confidence)] = &[];

/// Devices 11 to 18, of whom 18 is a router itself, and two upstreams.
pub fn home() -> TestRouter {
    let mut kernel = Kernel::new().with_devices(11..=18);
    kernel.add_second_upstream();
    kernel.routes.push(Route::new("192.168.50.0/24", Some("192.168.1.18"), LAN));
    TestRouter::on(kernel)
}

/// What a provider that looks for nothing would write: a dash where a word is left out.
fn request(text: &str) -> Scope {
    let text = if text.split_whitespace().count() == 6 { text.replacen(" >", " - >", 1) } else { text.to_owned() };
    scope(&text)
}

/// Plays all rows of a table.
pub fn check(table: &[Row]) {
    let mut failures = Vec::new();
    for row in table {
        let mut house = home();
        (row.home)(&mut house);
        house.search(1, &request(row.request));
        house.pass(Duration::from_secs(20));
        let expected: Vec<_> = row.expected.iter().map(|(n, confidence)| (mac(*n), *confidence)).collect();
        // What has been said once is never taken back.
        let early = house.ever_sure(1);
        if early.iter().any(|sure| !expected.contains(sure)) {
            failures.push(format!("{}: {early:?} at first, not {expected:?}", row.name));
        }
        let verdict = house.verdict(1);
        if verdict != expected {
            failures.push(format!("{}: {verdict:?}, not {expected:?}", row.name));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// Plays them in a home full of others who talk to the same target: the answers are the same or less sure, never another
/// device's.
pub fn check_in_a_crowd(table: &[Row]) {
    for row in table {
        let mut house = home();
        for n in 20..60 {
            house.neighbour(&v4(n), LAN, Some(mac(n)));
            house.translated(n, UDP, 1000, 1000 + u16::from(n), 53, 3);
            house.translated(n, TCP, 1000, 1000 + u16::from(n), 443, 3);
        }
        (row.home)(&mut house);
        house.search(1, &request(row.request));
        house.pass(Duration::from_secs(20));
        for (found, confidence) in house.ever_sure(1).into_iter().chain(house.verdict(1)) {
            let expected = row.expected.iter().find(|(n, _)| mac(*n) == found).map(|(_, confidence)| *confidence);
            let sure = confidence >= Confidence::Likely;
            assert!(!sure || expected == Some(confidence), "{}: {found} {confidence:?}", row.name);
        }
    }
}
