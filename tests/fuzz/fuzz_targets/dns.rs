#![no_main]
//! Any datagram is an answer to a question or none, with few addresses.

use dots_callhome::calling::dns::{RecordType, answer, question};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|datagram: &[u8]| {
    let asked = question(7, "callhome.isp.example", RecordType::A).unwrap();
    // An answer as it begins, and whatever follows.
    let begun = [&asked[..2], &[0x81, 0x80, 0, 1, 0, 9, 0, 0, 0, 0], &asked[12..], datagram].concat();
    for datagram in [datagram, &begun] {
        assert!(answer(&asked, datagram).is_none_or(|found| found.len() <= 16));
    }
});
