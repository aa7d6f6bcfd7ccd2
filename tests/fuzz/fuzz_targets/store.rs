#![no_main]
//! Whatever the state file holds, reading it gives an answer, and what is read can be written and read again.

use dots_callhome::mitigation::snapshot;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(snapshot) = snapshot::decode(data) {
        assert_eq!(snapshot::decode(&snapshot::encode(&snapshot)), Ok(snapshot));
    }
});
