#![no_main]
//! Whatever a datagram about the router's network holds, it is read without harm.

use dots_callhome::netlink::neighbour;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    assert!(neighbour::messages(data).count() <= data.len() / 16);
});
