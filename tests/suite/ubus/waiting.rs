//! Which answers wait for the flash: those that tell of a decision, until that one is kept; no others.

use serde_json::json;
use ubus::wire::{Frame, MsgType};

use crate::support::ledger::{self, policy};
use crate::support::ubus::*;
use dots_callhome::mitigation::Consent;

/// What our end sends while nothing is kept that has been decided since.
fn sent(desk: &mut TestRouter) -> Vec<Frame> {
    desk.bus.poll_transmit().map_or_else(Vec::new, |bytes| messages(&bytes))
}

fn begin(desk: &mut TestRouter, method: &str, arguments: serde_json::Value) -> u16 {
    desk.begin(method, table(&arguments).contents())
}

#[test]
fn only_decisions_wait() {
    let mut desk = joined(policy(Consent::Ask));
    let (one, other) = (desk.pending(1), desk.pending(2));
    let before = desk.ledger.generation().decided;
    let first = begin(&mut desk, "approve", json!({ "id": one.0 }));
    let second = begin(&mut desk, "reject", json!({ "id": other.0 }));
    assert!(sent(&mut desk).is_empty(), "nobody is told before it is kept");
    for method in ["status", "list", "devices", "history"] {
        let sequence = begin(&mut desk, method, json!({}));
        assert!(matches!(answer(&sent(&mut desk), sequence), Some(Ok(_))), "{method} waits");
    }
    let refused = begin(&mut desk, "approve", json!({ "id": 4711 }));
    assert_eq!(answer(&sent(&mut desk), refused), Some(Err(4)), "nothing was decided");
    desk.bus.handle_settled(before);
    assert!(sent(&mut desk).is_empty());
    desk.bus.handle_settled(before + 1);
    let kept = sent(&mut desk);
    assert!(matches!(answer(&kept, first), Some(Ok(_))), "its own write is done");
    assert_eq!(answer(&kept, second), None, "the other one's is not");
    desk.bus.handle_settled(desk.ledger.generation().decided);
    assert!(matches!(answer(&sent(&mut desk), second), Some(Ok(_))));
}

/// A provider that asks and refreshes all the time makes nobody wait.
#[test]
fn providers_make_nobody_wait() {
    let mut desk = joined(policy(Consent::Auto));
    let settled = desk.ledger.generation().decided;
    for mid in 1..50 {
        desk.in_force(mid, &ledger::attack(), ledger::CAMERA);
        desk.put(mid, &ledger::attack()).unwrap();
        assert_eq!(desk.ledger.generation().decided, settled);
    }
    let id = desk.ledger.all().next().unwrap().id();
    let sequence = begin(&mut desk, "withdraw", json!({ "id": id.0 }));
    desk.bus.handle_settled(settled + 1);
    assert!(matches!(answer(&sent(&mut desk), sequence), Some(Ok(_))));
}

/// However slow the flash is, answers that wait are bounded; who has gone away is not answered.
#[test]
fn what_waits_is_bounded() {
    let mut desk = joined(policy(Consent::Ask));
    let quarantine = json!({ "mac": ledger::CAMERA.to_string() });
    for _ in 0..1000 {
        begin(&mut desk, "quarantine", quarantine.clone());
    }
    let refused = sent(&mut desk).iter().filter(|frame| frame.hdr.ty == MsgType::Status).count();
    assert_eq!(refused, 1000 - 256);
    desk.bus.handle_lost(desk.now);
    desk.bus.handle_settled(desk.ledger.generation().decided);
    assert!(sent(&mut desk).is_empty());
}
