#![no_main]
//! Any text is read or refused, and names are what shell scripts can use.

use dots_callhome::uci;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(sections) = uci::parse(text) {
        for section in &sections {
            assert!(!section.kind().is_empty());
            let names = section.settings().iter().map(|setting| setting.name()).chain(section.name());
            for name in names {
                assert!(!name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'));
            }
        }
    }
});
