#![no_main]
//! Whatever the broker sends, our end of the bus survives it, and what it sends itself is well-formed.

use std::time::{Duration, Instant};

use dots_callhome::enforce::Enforcer;
use dots_callhome::model::Now;
use dots_callhome::source::Inventory;
use dots_callhome::ubus::{Bus, CallContext};
use libfuzzer_sys::fuzz_target;
use ubus::wire::Codec;

#[path = "../ledger.rs"]
mod ledger;

fuzz_target!(|data: &[u8]| {
    let now = Now { instant: Instant::now(), unix: 1_767_225_600 };
    let (mut ledger, inventory) = (ledger::of_any_provider(), Inventory::new());
    let mut context = CallContext {
        ledger: &mut ledger,
        peers: &[],
        inventory: &inventory,
        enforcer: &Enforcer::new(),
        started: now.instant,
        not_kept: None,
        config_faults: &[],
        not_read: None,
    };
    let mut bus = Bus::new("0");
    assert!(bus.poll_connect(now));
    bus.handle_connected();
    let _ = bus.handle_input(data, &mut context, now);
    bus.handle_timeout(&mut context, now.after(Duration::from_secs(5)));
    bus.handle_settled(ledger.generation().decided);
    let sent = bus.poll_transmit().unwrap_or_default();
    let mut rest = sent.as_slice();
    while !rest.is_empty() {
        let (_, length) = Codec::read_frame(rest).expect("well-formed");
        rest = &rest[length..];
    }
});
