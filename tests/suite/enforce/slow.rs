//! An nft that is slow, and rules that an earlier run has left and nobody can account for.

use std::time::Duration;

use dots_callhome::enforce::Enforcer;
use dots_callhome::enforce::desired::{Block, Desired};

use crate::support::enforce::*;

/// A block that began when the house was built, as the ledger asks for it now.
fn remaining(passed: u64) -> Block {
    Block { remaining: seconds(3600 - passed), ..block(7, &[CAMERA]) }
}

/// How long the kernel lets the camera's element last, by the last text that says so.
fn timeout(house: &TestRouter) -> u64 {
    let says = |text: &String| {
        let line = text
            .lines()
            .rev()
            .find(|line| line.starts_with("add element inet dots_callhome m7") && line.contains("timeout"));
        line.map(|line| line.split("timeout ").nth(1).unwrap().split('s').next().unwrap().parse().unwrap())
    };
    house.runs.iter().rev().find_map(says).expect("an element with a timeout")
}

/// One in which all is made by nft, as after the start or where somebody else has been at the tables.
fn by_nft() -> TestRouter {
    let mut house = TestRouter::enforcing();
    house.kernel.no_batches = true;
    house
}

/// The text holds how long elements last from when it was written: what nft brings in 19 seconds later would end 19 seconds
/// late. It is put right, and nobody is told that anything is wrong.
#[test]
fn what_a_slow_nft_brings_in_does_not_last_longer() {
    let mut house = by_nft();
    house.slow_nft = true;
    house.desire(blocks(&[block(7, &[CAMERA])]));
    assert_eq!(timeout(&house), 3600);
    house.pass(seconds(19));
    house.end_nft();
    house.settle();
    let told = house.told();
    assert!(told.contains(&enforced(7)), "it stands: {told:?}");
    house.slow_nft = false;
    house.pass(seconds(1));
    assert_eq!(timeout(&house), 3580, "made anew with what is left");
    let runs = house.runs.len();
    house.desire(blocks(&[remaining(20)]));
    house.pass(seconds(600));
    assert_eq!(house.runs.len(), runs, "once is enough");
    assert!(house.outcomes(7).iter().all(Result::is_ok));
}

/// Where nft is always that slow, it is not run all the time for it.
#[test]
fn a_slow_nft_is_not_run_for_ever() {
    let mut house = by_nft();
    house.slow_nft = true;
    house.desire(blocks(&[block(7, &[CAMERA])]));
    let mut runs = 0;
    for _ in 0..600 {
        if house.runs.len() > runs {
            runs = house.runs.len();
            house.pass(seconds(2));
            house.end_nft();
            house.settle();
        }
        house.pass(seconds(1));
    }
    let made = house.runs.iter().filter(|text| text.contains("\ntable inet dots_callhome {")).count();
    assert!((3..=18).contains(&made) && runs <= 3 * made, "{made} times in 20 minutes, by {runs} runs");
    assert_eq!(house.members("m7"), [CAMERA]);
}

/// The usual nft, some hundredths of a second, is not corrected.
#[test]
fn a_fast_nft_is_run_once() {
    let mut house = by_nft();
    house.slow_nft = true;
    house.desire(blocks(&[block(7, &[CAMERA])]));
    let runs = house.runs.len();
    house.pass(Duration::from_millis(300));
    house.end_nft();
    house.settle();
    house.pass(seconds(600));
    assert_eq!(house.runs.len(), runs);
}

/// Requests and refreshes that come all the time do not keep nft running all the time; a new block does not wait for that.
#[test]
fn nft_rests() {
    let mut house = by_nft();
    house.slow_nft = true;
    let (run, mut busy) = (Duration::from_millis(100), Duration::ZERO);
    house.desire(blocks(&[block(7, &[CAMERA])]));
    let (mut runs, start) = (0, house.now);
    for refreshed in 0..1000 {
        if house.runs.len() > runs {
            runs = house.runs.len();
            house.pass(run);
            busy += run;
            house.end_nft();
            house.settle();
        }
        house.pass(Duration::from_millis(25));
        house.desire(blocks(&[Block { remaining: seconds(4000 + refreshed), ..block(7, &[CAMERA]) }]));
    }
    let passed = house.now.instant - start.instant;
    assert!(busy < passed / 4, "{busy:?} of {passed:?}");
    house.desire(blocks(&[Block { remaining: seconds(9000), ..block(7, &[CAMERA]) }, block(8, &[TV])]));
    if house.runs.len() > runs {
        runs = house.runs.len();
        house.pass(run);
        house.end_nft();
        house.settle();
    }
    assert!(house.members("m8") == [TV] || house.runs.len() > runs, "the new block is on its way");
}

/// An enforcer beside what an earlier run has left touches nothing of it: neither at its start nor later.
#[test]
fn what_cannot_be_accounted_for_is_left_alone() {
    let (house, mut enforcer) = (TestRouter::enforcing(), Enforcer::beside_earlier());
    let mut now = house.now;
    let wanted =
        [Desired::default(), blocks(&[block(7, &[CAMERA])]), quarantines(&[quarantine(None, TV)]), Desired::default()];
    for desired in wanted {
        enforcer.set_desired(desired, Vec::new(), house.finder.inventory(), now);
        // Counters are waited for; nobody answers.
        for _ in 0..60 {
            now = now.after(seconds(1));
            enforcer.handle_timeout(now);
            if let Some(text) = enforcer.poll_ruleset() {
                let tables = text.split_whitespace().filter(|word| word.starts_with("dots_callhome"));
                assert!(
                    tables.clone().count() > 0
                        && tables.clone().all(|name| ["dots_callhome_2", "dots_callhome_2_guard"].contains(&name)),
                    "{text}"
                );
                enforcer.handle_nft(Ok(()), now);
            }
        }
    }
}
