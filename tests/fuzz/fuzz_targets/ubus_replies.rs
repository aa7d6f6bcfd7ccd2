#![no_main]
//! Whatever other objects of the bus answer to what we ask them, our end survives it, and asks no more than a bounded number of
//! times: the input is a series of answers, each behind its length.

use std::time::{Duration, Instant};

use dots_callhome::enforce::Enforcer;
use dots_callhome::model::Now;
use dots_callhome::source::Inventory;
use dots_callhome::ubus::{Bus, CallContext};
use libfuzzer_sys::fuzz_target;
use ubus::envelope::{EnvBuilder, UbusAttr};
use ubus::wire::{Codec, Frame, MsgType};

#[path = "../ledger.rs"]
mod ledger;

fn message(kind: MsgType, to: &Frame, fill: impl FnOnce(&mut EnvBuilder)) -> Vec<u8> {
    let mut envelope = EnvBuilder::new();
    fill(&mut envelope);
    Codec::write_frame(&Frame::to_peer(kind, to.hdr.seq, to.hdr.peer, envelope.finish()))
}

/// The object or its number is there, and answers a call with this.
fn answer(to: &Frame, data: &[u8]) -> Vec<u8> {
    let mut bytes = match to.hdr.ty {
        MsgType::AddObject | MsgType::Lookup => message(MsgType::Data, to, |e| {
            e.push_u32(UbusAttr::ObjId, 7);
            e.push_u32(UbusAttr::ObjType, 7);
        }),
        MsgType::Invoke => message(MsgType::Data, to, |e| e.push_data(data)),
        _ => Vec::new(),
    };
    bytes.extend(message(MsgType::Status, to, |e| e.push_i32(UbusAttr::Status, 0)));
    bytes
}

fuzz_target!(|data: &[u8]| {
    let mut now = Now { instant: Instant::now(), unix: 1_767_225_600 };
    let (mut ledger, inventory, enforcer) = (ledger::of_any_provider(), Inventory::new(), Enforcer::new());
    let mut context = CallContext {
        ledger: &mut ledger,
        peers: &[],
        inventory: &inventory,
        enforcer: &enforcer,
        started: now.instant,
        not_kept: None,
        config_faults: &[],
        not_read: None,
    };
    let mut bus = Bus::new("0");
    assert!(bus.poll_connect(now));
    bus.handle_connected();
    let hello = Codec::write_frame(&Frame::to_peer(MsgType::Hello, 0, 0x4242, EnvBuilder::new().finish()));
    assert!(bus.handle_input(&hello, &mut context, now).is_ok());
    let mut rest = data;
    for _ in 0..64 {
        let sent = bus.poll_transmit().unwrap_or_default();
        let mut sent = sent.as_slice();
        while !sent.is_empty() {
            let (frame, length) = Codec::read_frame(sent).expect("well-formed");
            sent = &sent[length..];
            let mut told: &[u8] = &[];
            if frame.hdr.ty == MsgType::Invoke
                && let Some((&length, after)) = rest.split_first()
            {
                (told, rest) = after.split_at(after.len().min(usize::from(length) * 4));
            }
            if bus.handle_input(&answer(&frame, told), &mut context, now).is_err() {
                return;
            }
        }
        while bus.poll_event().is_some() {}
        now = now.after(Duration::from_secs(5));
        bus.handle_timeout(&mut context, now);
    }
});
