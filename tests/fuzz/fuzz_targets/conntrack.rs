#![no_main]
//! Whatever a datagram of conntrack holds, it is read without harm, and what is asked about an entry read is well formed.

use dots_callhome::netlink::conntrack::{self, By, Message};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    for (sequence, message) in conntrack::messages(data) {
        if let Message::Flow(flow) | Message::New(flow) | Message::Destroyed(flow) = message {
            for request in [
                conntrack::get(By::Reply, &flow.reply, sequence),
                conntrack::delete(&flow.original, Some(flow.id), sequence),
            ] {
                let length = u32::from_ne_bytes([request[0], request[1], request[2], request[3]]);
                assert_eq!(usize::try_from(length), Ok(request.len()));
            }
            let _ = flow.to_string();
        }
    }
});
