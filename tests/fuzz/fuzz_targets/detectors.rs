#![no_main]
//! Whatever a detector or a feed reports, it is read or refused, and what is asked for is about one host and one target.

use dots_callhome::client::detectors::{Sighting, read_feed, read_notice, read_reports};
use libfuzzer_sys::fuzz_target;

fn check(sighting: &Sighting) {
    let scope = sighting.scope();
    assert_eq!((scope.source_prefixes.len(), scope.target_prefixes.len()), (1, 1));
    assert!(scope.target_ports.len() <= 8 && scope.source_ports.len() <= 8);
    assert!(sighting.key("feed").starts_with("feed/"));
}

fuzz_target!(|text: &[u8]| {
    let text = String::from_utf8_lossy(text);
    for action in ["ban", "attack_details", "unban"] {
        if let Ok(notice) = read_notice(Some(("198.51.100.7", action)), &text) {
            assert!(notice.sightings.len() <= 3);
            notice.sightings.iter().for_each(check);
        }
    }
    read_reports(&text, 1_800_000_000).iter().flatten().for_each(|row| check(&row.sighting));
    if let Ok(rows) = read_feed(&text, 1_800_000_000) {
        rows.iter().flatten().for_each(|row| check(&row.sighting));
    }
});
