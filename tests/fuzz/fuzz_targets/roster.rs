#![no_main]
//! Whatever the provider's file of routers holds, it is read or refused with its line, and only who is named in it is admitted.

use std::fs;

use libfuzzer_sys::fuzz_target;

#[expect(dead_code, reason = "who is revoked is no input")]
#[path = "../../../src/bin/dots-callhome-client/roster.rs"]
mod roster;
#[path = "../../../src/bin/dots-callhome-client/scope_arguments.rs"]
mod scope_arguments;

use roster::Roster;

fuzz_target!(|text: &[u8]| {
    let file = std::env::temp_dir().join(format!("roster-{}", std::process::id()));
    fs::write(&file, text).expect("a file");
    match Roster::read(&file) {
        Ok(roster) => {
            let text = String::from_utf8_lossy(text);
            let name_of = |line: &str| line.split('#').next()?.split_whitespace().next().map(str::to_owned);
            let named = |name: &str| text.lines().any(|line| name_of(line).as_deref() == Some(name));
            for name in ["home-1", "home-2"] {
                assert_eq!(roster.admits(name), named(name));
            }
            let sources = ["192.0.2.1/32", "2001:db8::/32"].map(|source| source.parse().expect("a prefix"));
            let _ = roster.foreign("home-1", &sources);
        }
        Err(why) => assert!(!why.is_empty()),
    }
});
