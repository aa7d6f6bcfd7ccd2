//! Who sends what mitigations are about, as the rules note it.

use std::time::Duration;

use dots_callhome::enforce::Event;
use dots_callhome::enforce::desired::{Desired, SenderLog};
use dots_callhome::model::{Mac, MitigationId};
use dots_callhome::source::Sender;

use crate::support::enforce::*;

fn log(id: u32) -> SenderLog {
    SenderLog { id: MitigationId(id), scope: scope(&["203.0.113.80/32", "2001:db8:2::80/128"]) }
}

fn sender(mac: Mac, address: &str) -> Sender {
    Sender { mac, address: ip(address), link: 4 }
}

/// Who has been told of as sending, by mitigation; everything told is forgotten.
fn witnessed(house: &mut TestRouter) -> Vec<(u32, Vec<Sender>)> {
    let of = |event| match event {
        Event::Senders { id, senders } => Some((id.0, senders)),
        _ => None,
    };
    house.told().into_iter().filter_map(of).collect()
}

/// They are told a moment after the rules stand, with nothing in force against anybody, and again while they send.
#[test]
fn senders_are_told_while_they_send() {
    let mut house = TestRouter::enforcing();
    house.desire(Desired { sender_logs: vec![log(7), log(8)], ..Desired::default() });
    let (v4, v6) = (sender(CAMERA, TV_V4), sender(TV, CAMERA_V6));
    house.kernel.senders.insert("w7v4".into(), vec![v4]);
    house.kernel.senders.insert("w7v6".into(), vec![v6]);
    house.pass(Duration::from_millis(100));
    assert_eq!(witnessed(&mut house), [(7, vec![v4, v6])]);
    house.pass(seconds(2));
    assert_eq!(witnessed(&mut house), [(7, vec![v4, v6])]);
    house.kernel.senders.clear();
    house.pass(seconds(60));
    assert_eq!(witnessed(&mut house), []);
    house.desire(Desired::default());
    assert!(house.kernel.tables.is_empty());
    assert_eq!(house.wakes(seconds(600)), 0);
}

/// A block comes after it: those blocked are seen as well, and what has been seen is not forgotten.
#[test]
fn a_block_changes_nothing_about_it() {
    let mut house = TestRouter::enforcing();
    let watched = Desired { sender_logs: vec![log(7)], ..Desired::default() };
    house.desire(watched.clone());
    house.desire(Desired { sender_logs: watched.sender_logs, ..blocks(&[block(7, &[CAMERA])]) });
    assert_eq!(house.outcomes(7), [Ok(())]);
    let prerouting = &house.kernel.tables["inet"].chains["prerouting"];
    let jumps: Vec<_> = prerouting.iter().filter_map(|rule| rule.split_once("jump ").map(|(_, to)| to)).collect();
    assert_eq!(jumps, ["witness", "accused"]);
    assert!(!house.runs[1].contains("delete set"), "{}", house.runs[1]);
    house.kernel.senders.insert("w7v4".into(), vec![sender(TV, CAMERA_V4)]);
    house.pass(seconds(2));
    assert_eq!(witnessed(&mut house), [(7, vec![sender(TV, CAMERA_V4)])]);
}
