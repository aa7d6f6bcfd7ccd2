//! Traffic that passes rules that stand: whose it can't be, and what is doubted before that is said.

use dots_callhome::enforce::desired::{Block, Desired, SenderLog};
use dots_callhome::enforce::{Event, Socket};
use dots_callhome::model::{Mac, MitigationId};

use crate::support::enforce::*;

/// In whose name others have been told to send; everything told is forgotten.
fn spoofed(house: &mut TestRouter) -> Vec<(u32, Mac)> {
    let of = |event| match event {
        Event::Spoofed { id, mac } => Some((id.0, mac)),
        _ => None,
    };
    house.told().into_iter().filter_map(of).collect()
}

/// Somebody sends from the address of the camera, which is blocked: each flow that is cut is opened again at once.
fn borrowed() -> TestRouter {
    let mut house = TestRouter::enforcing();
    house.desire(blocks(&[block(7, &[CAMERA, TV])]));
    house.kernel.flows = vec![outgoing(1, CAMERA_V4, 4000, (VICTIM, 53))];
    house.kernel.reopened = true;
    house
}

/// Proves CH-5.3.2-06 after the fact: the rules stand and nothing of the camera's own has been dropped, so it is another
/// one that sends. The TV is no matter of that.
#[test]
fn a_borrowed_address_lets_its_owner_go() {
    let mut house = borrowed();
    house.pass(seconds(60));
    assert_eq!(spoofed(&mut house)[0], (7, CAMERA));
    assert!(!spoofed(&mut house).contains(&(7, TV)));
}

/// The same where each packet is opened as a flow only after the look that follows the cut, and gets the number of the one
/// before.
#[test]
fn a_borrowed_address_that_sends_seldom_lets_its_owner_go() {
    let mut house = TestRouter::enforcing();
    house.desire(blocks(&[block(7, &[CAMERA])]));
    for _ in 0..60 {
        house.kernel.flows = vec![outgoing(1, CAMERA_V4, 4000, (VICTIM, 53))];
        house.pass(seconds(2));
    }
    assert!(spoofed(&mut house).contains(&(7, CAMERA)));
}

/// The same where the flows were there before the rules, and for a device in quarantine.
#[test]
fn an_address_borrowed_before_the_block_is_seen_at_once() {
    let (block, quarantine) = (blocks(&[block(7, &[CAMERA])]), quarantines(&[quarantine(Some(7), CAMERA)]));
    let on_each = |desired: Desired| TestRouter::enforcing_on_each_kernel().map(|house| (house, desired.clone()));
    for (mut house, desired) in [block, quarantine].into_iter().flat_map(on_each) {
        house.kernel.flows = vec![outgoing(1, CAMERA_V4, 4000, (VICTIM, 53))];
        house.kernel.reopened = true;
        house.desire(desired);
        assert_eq!(spoofed(&mut house), [(7, CAMERA)]);
    }
}

/// Whoever has had packets dropped sends itself, whatever others do.
#[test]
fn a_device_that_sends_as_well_stays() {
    let mut house = borrowed();
    house.kernel.count("m7", CAMERA, 1);
    house.pass(seconds(300));
    assert_eq!(spoofed(&mut house), []);
}

/// A flow that can't be cut may be forwarded past all rules, or be left from before: that tells nothing of its sender.
#[test]
fn a_flow_that_stays_is_nobodys_fault() {
    let mut house = borrowed();
    (house.kernel.reopened, house.kernel.sticky) = (false, true);
    house.pass(seconds(300));
    assert_eq!(spoofed(&mut house), []);
}

/// Where the rules are gone it is no wonder that traffic passes. That it does leads to a look at them.
#[test]
fn rules_that_are_gone_are_missed_when_traffic_passes() {
    let mut house = borrowed();
    house.told();
    house.kernel.tables.get_mut("inet").unwrap().chains.get_mut("accused").unwrap().clear();
    let runs = house.runs.len();
    house.pass(seconds(3));
    // What passes once they stand again is another matter.
    let told = house.told().into_iter().filter(|event| matches!(event, Event::Vanished | Event::Spoofed { .. }));
    assert_eq!(told.take(1).collect::<Vec<_>>(), [Event::Vanished]);
    assert!(house.runs.len() > runs);
}

/// Whoever is quarantined by the administrator stays so.
#[test]
fn the_administrators_own_quarantine_stays() {
    let mut house = TestRouter::enforcing();
    house.kernel.flows = vec![outgoing(1, CAMERA_V4, 4000, (VICTIM, 53))];
    house.kernel.reopened = true;
    house.desire(quarantines(&[quarantine(None, CAMERA)]));
    house.pass(seconds(60));
    assert_eq!(spoofed(&mut house), []);
}

/// A leak is not over because conntrack can't be read.
#[test]
fn a_leak_that_can_not_be_looked_at_is_a_leak() {
    let mut house = TestRouter::enforcing();
    house.kernel.flows = vec![outgoing(1, CAMERA_V4, 4000, (VICTIM, 53))];
    house.kernel.sticky = true;
    house.desire(blocks(&[block(7, &[CAMERA])]));
    assert!(matches!(house.outcomes(7).as_slice(), [Err(_)]));
    house.kernel.flows.clear();
    house.kernel.list_error = Some(1);
    house.pass(seconds(200));
    assert_eq!(house.outcomes(7), []);
    house.kernel.list_error = None;
    house.pass(seconds(120));
    assert_eq!(house.outcomes(7), [Ok(())]);
}

/// Tables that can't be read are neither whole nor gone: nothing is told or made again for that.
#[test]
fn an_inspection_that_fails_tells_nothing() {
    let log = SenderLog { id: MitigationId(7), scope: scope(&["203.0.113.80/32"]) };
    let mut house = TestRouter::enforcing();
    house.desire(Desired { sender_logs: vec![log], ..blocks(&[block(7, &[CAMERA])]) });
    house.kernel.count("m7", CAMERA, 3);
    house.told();
    let runs = house.runs.len();
    house.kernel.unreadable = Some(1);
    house.hear(Socket::Events, &table_deleted("dots_callhome"));
    house.pass(seconds(30));
    assert_eq!((house.told(), house.runs.len()), (vec![], runs));
    house.kernel.unreadable = None;
    house.pass(seconds(30));
    assert_eq!(house.counted(7), Some(packets(3)));
}

/// A set that somebody has deleted is missed although it had no elements.
#[test]
fn an_empty_set_that_is_gone_is_missed() {
    let log = SenderLog { id: MitigationId(7), scope: scope(&["203.0.113.80/32"]) };
    let mut house = TestRouter::enforcing();
    house.desire(Desired { sender_logs: vec![log], ..Desired::default() });
    house.kernel.tables.get_mut("inet").unwrap().sets.remove("w7v4");
    house.pass(seconds(30));
    assert!(house.told().contains(&Event::Vanished));
    assert_eq!(house.runs.len(), 2);
}

/// Two blocks of one device, each about its own target: only the one that is passed tells.
#[test]
fn each_mitigation_tells_for_itself() {
    let other = Block { scope: scope(&["203.0.113.81/32"]), ..block(8, &[CAMERA]) };
    let mut house = TestRouter::enforcing();
    house.desire(blocks(&[block(7, &[CAMERA]), other]));
    house.kernel.flows = vec![outgoing(1, CAMERA_V4, 4000, (VICTIM, 53))];
    house.kernel.reopened = true;
    house.pass(seconds(60));
    let told = spoofed(&mut house);
    assert!(!told.is_empty() && told.iter().all(|spoofed| *spoofed == (7, CAMERA)), "{told:?}");
}
