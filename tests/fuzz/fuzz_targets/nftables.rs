#![no_main]
//! Whatever comes over netlink is read without harm, and no more is read than there is.

use dots_callhome::netlink::nftables;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    assert!(nftables::messages(data).count() <= data.len() / 16);
    nftables::touches(data, "dots_callhome");
    nftables::is_touched_by_others(data, "dots_callhome", Some(1));
    assert!(nftables::ends(data).count() <= data.len() / 16);
});
