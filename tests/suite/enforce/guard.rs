//! What is in force does not open while it is made anew: a guard stands behind it.

use crate::support::enforce::*;
use crate::support::kernel::Packet;
use dots_callhome::enforce::Enforcer;
use dots_callhome::enforce::desired::{Block, Narrowed};
use dots_callhome::model::{PortRange, Scope};

fn of_two_ranges() -> Block {
    let ports = [(53, 53), (9000, 9999)].map(|(low, high)| PortRange::new(low, high).unwrap());
    let scope = Scope { target_ports: ports.into(), ..scope(&["203.0.113.80/32"]) };
    Block { scope, ..block(7, &[CAMERA]) }
}

fn drops(house: &TestRouter, source: &str) -> bool {
    let (source, target) = (ip(source), ip("203.0.113.80"));
    house.kernel.drops(&Packet { sender: CAMERA, link: LAN, source, target, protocol: UDP, detail: ports(4000, 53) })
}

fn has_guard(house: &TestRouter) -> bool {
    house.kernel.tables.keys().any(|family| family.ends_with("_guard"))
}

/// A daemon that is started again finds what stands, and makes it anew behind a guard, which goes when all stands.
#[test]
fn a_new_start_opens_nothing() {
    let mut house = TestRouter::enforcing();
    house.desire(blocks(&[of_two_ranges()]));
    assert_eq!(house.runs.len(), 1, "nothing stood: nothing to guard");
    house.told();
    house.enforcer = Enforcer::new();
    house.runs.clear();
    house.slow_nft = true;
    house.desire(blocks(&[of_two_ranges()]));
    for run in 1..=3 {
        house.settle();
        assert_eq!(house.runs.len(), run, "{:#?}", house.runs);
        assert!(drops(&house, CAMERA_V4), "before {}", house.runs[run - 1]);
        house.end_nft();
    }
    house.settle();
    assert!(drops(&house, CAMERA_V4) && !has_guard(&house) && !house.kernel.has_gaped);
    assert_eq!(house.runs.len(), 3);
    assert_eq!(house.outcomes(7), [Ok(())]);
}

/// One that died with a guard up leaves it; the next removes it, whatever is wanted then.
#[test]
fn a_guard_that_was_left_is_removed() {
    for wanted in [Vec::new(), vec![of_two_ranges()]] {
        let mut house = TestRouter::enforcing();
        house.desire(blocks(&[of_two_ranges()]));
        house.enforcer = Enforcer::new();
        house.slow_nft = true;
        house.desire(blocks(&[of_two_ranges()]));
        house.settle();
        house.end_nft();
        assert!(has_guard(&house));
        house.enforcer = Enforcer::new();
        house.slow_nft = false;
        house.desire(blocks(&wanted));
        house.settle();
        assert_eq!((drops(&house, CAMERA_V4), has_guard(&house)), (!wanted.is_empty(), false));
        assert!(!house.kernel.has_gaped);
    }
}

/// A batch that failed leaves what stood: that does not open either.
#[test]
fn a_failure_opens_nothing() {
    let mut house = TestRouter::enforcing();
    house.desire(blocks(&[of_two_ranges()]));
    house.kernel.no_batches = true;
    house.desire(blocks(&[of_two_ranges(), block(8, &[CAMERA])]));
    house.settle();
    assert!(!house.kernel.has_gaped && !has_guard(&house));
    assert_eq!(house.outcomes(8), [Ok(())]);
}

/// Rules of a block that stands change, and look into ranges: no batch can do that at one moment.
#[test]
fn a_block_that_becomes_wider_stays_shut() {
    let mut house = TestRouter::enforcing();
    let narrowed: Narrowed = [(CAMERA, vec![ip(CAMERA_V4)])].into();
    house.desire(blocks(&[Block { narrowed, ..of_two_ranges() }]));
    assert!(drops(&house, CAMERA_V4) && !drops(&house, "192.168.1.99"));
    house.desire(blocks(&[of_two_ranges()]));
    house.settle();
    assert!(drops(&house, "192.168.1.99") && !house.kernel.has_gaped && !has_guard(&house));
}
