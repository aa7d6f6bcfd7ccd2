//! What is dropped is counted, by mitigation and by device, whatever happens to the elements that count it.

use std::time::Duration;

use dots_callhome::enforce::Enforcer;
use dots_callhome::enforce::desired::{Block, Desired};
use dots_callhome::model::Traffic;

use crate::support::enforce::*;

#[test]
fn sums_a_mitigation_over_its_devices_and_a_device_over_its_mitigations() {
    let mut house = TestRouter::enforcing();
    let other = Block { scope: scope(&["198.18.0.1/32"]), ..block(8, &[CAMERA]) };
    house.desire(blocks(&[block(7, &[CAMERA, TV]), other]));
    house.kernel.count("m7", CAMERA, 10);
    house.kernel.count("m7", TV, 5);
    house.kernel.count("m8", CAMERA, 1);
    house.pass(seconds(2));
    assert_eq!(house.counted(7), Some(packets(15)));
    house.pass(seconds(2));
    assert_eq!(house.counted(8), Some(packets(1)));
    assert_eq!(house.enforcer.dropped_by(CAMERA), packets(11));
    assert_eq!(house.enforcer.dropped_by(TV), packets(5));
    assert_eq!(house.enforcer.dropped_by(LAPTOP), packets(0));
}

/// A mitigation whose action is quarantine is counted too; what its device has had dropped counts once.
#[test]
fn counts_quarantines() {
    let mut house = TestRouter::enforcing();
    house.desire(quarantines(&[quarantine(Some(7), CAMERA), quarantine(Some(8), CAMERA), quarantine(None, TV)]));
    for (set, mac) in [("q7", CAMERA), ("q8", CAMERA), ("quarantine", CAMERA), ("quarantine", TV)] {
        house.kernel.count(set, mac, 10);
    }
    house.pass(seconds(2));
    assert_eq!(house.counted(7), Some(packets(10)));
    assert_eq!(house.enforcer.dropped_by(CAMERA), packets(10));
    assert_eq!(house.enforcer.dropped_by(TV), packets(10));
}

/// Every two seconds while anything is dropped, less often when not, never when nothing is in force.
#[test]
fn reads_as_often_as_there_is_something_to_read() {
    let mut house = TestRouter::enforcing();
    house.desire(blocks(&[block(7, &[CAMERA])]));
    house.told();
    let read_within = |house: &mut TestRouter, time| {
        house.pass(Duration::from_millis(time));
        house.counted(7).is_some()
    };
    for _ in 0..10 {
        house.kernel.count("m7", CAMERA, 1);
        assert!(!read_within(&mut house, 1900));
        assert!(read_within(&mut house, 100));
    }
    for pause in [2000, 4000, 8000, 10_000, 10_000] {
        assert!(!read_within(&mut house, pause - 1));
        assert!(read_within(&mut house, 1));
    }
    // Six readings and one check of the flows a minute.
    assert!(house.wakes(seconds(3600)) <= 7 * 60 + 1);
    house.desire(Desired::default());
    assert_eq!(house.wakes(seconds(3600)), 0);
}

/// A timeout can be changed only by making the element anew: what it has counted goes on, up to the last packet.
#[test]
fn a_refresh_keeps_what_was_counted() {
    let mut house = TestRouter::enforcing();
    house.desire(blocks(&[block(7, &[CAMERA, TV]), block(8, &[TV])]));
    house.kernel.count("m7", CAMERA, 10);
    house.kernel.count("m8", TV, 3);
    house.pass(seconds(2));
    house.kernel.count("m7", CAMERA, 1);
    let refreshed = Block { remaining: seconds(7200), ..block(7, &[CAMERA, TV]) };
    let other = Block { remaining: seconds(3598), ..block(8, &[TV]) };
    house.desire(blocks(&[refreshed, other]));
    assert_eq!(house.kernel.set("m7")[&CAMERA].counter, Some(packets(11)));
    assert_eq!(house.kernel.set("m7")[&CAMERA].timeout.as_deref(), Some("7200s"));
    assert_eq!(house.kernel.set("m8")[&TV].counter, Some(packets(3)));
    assert_eq!(house.kernel.set("m8")[&TV].timeout.as_deref(), Some("3600s"));
    house.pass(seconds(2));
    assert_eq!(house.counted(7), Some(packets(11)));
}

/// Totals never fall: not with a device that is let go, nor with a changed action, nor when somebody resets counters.
#[test]
fn totals_never_fall() {
    let mut house = TestRouter::enforcing();
    house.desire(blocks(&[block(7, &[CAMERA, TV])]));
    house.kernel.count("m7", CAMERA, 10);
    house.kernel.count("m7", TV, 5);
    house.desire(blocks(&[Block { remaining: seconds(3600), ..block(7, &[TV]) }]));
    house.pass(seconds(2));
    assert_eq!(house.counted(7), Some(packets(15)));
    house.kernel.count("m7", TV, 1);
    house.desire(quarantines(&[quarantine(Some(7), TV)]));
    house.kernel.count("q7", TV, 2);
    house.kernel.count("quarantine", TV, 2);
    house.pass(seconds(2));
    assert_eq!(house.counted(7), Some(packets(18)));
    assert_eq!(house.enforcer.dropped_by(TV), packets(8));
    house.kernel.set("q7").get_mut(&TV).unwrap().counter = Some(packets(1));
    house.pass(seconds(4));
    assert_eq!(house.counted(7), Some(packets(19)));
}

/// A daemon that starts again goes on from what the kernel has counted meanwhile.
#[test]
fn a_new_start_keeps_what_was_counted() {
    let mut house = TestRouter::enforcing();
    house.desire(blocks(&[block(7, &[CAMERA])]));
    house.kernel.count("m7", CAMERA, 10);
    house.enforcer = Enforcer::new();
    house.runs.clear();
    house.desire(blocks(&[block(7, &[CAMERA])]));
    let made = house.runs.iter().find(|text| text.contains("\ntable inet dots_callhome {")).unwrap();
    assert!(made.contains("counter packets 10 "), "{made}");
    assert_eq!(house.counted(7), Some(packets(10)), "before anybody asks");
    house.kernel.count("m7", CAMERA, 1);
    house.pass(seconds(2));
    assert_eq!(house.counted(7), Some(packets(11)));
}

/// A mitigation that is over leaves no total to one that gets its number later.
#[test]
fn forgets_with_the_mitigation() {
    let mut house = TestRouter::enforcing();
    house.desire(blocks(&[block(7, &[CAMERA])]));
    house.kernel.count("m7", CAMERA, 10);
    house.pass(seconds(2));
    house.desire(Desired::default());
    house.desire(blocks(&[block(7, &[CAMERA])]));
    house.told();
    house.pass(seconds(2));
    assert_eq!(house.counted(7), Some(packets(0)));
    assert_eq!(house.enforcer.dropped_by(CAMERA), packets(0));
}

/// Counters at their end are no reason to start again.
#[test]
fn survives_the_largest_numbers() {
    let mut house = TestRouter::enforcing();
    house.desire(blocks(&[block(7, &[CAMERA, TV])]));
    let most = Traffic { packets: u64::MAX, bytes: u64::MAX };
    for mac in [CAMERA, TV] {
        house.kernel.set("m7").get_mut(&mac).unwrap().counter = Some(most);
    }
    house.pass(seconds(2));
    assert_eq!(house.counted(7), Some(most));
}
