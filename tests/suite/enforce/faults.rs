//! What can go wrong with enforcement, and that it is noticed, told and repaired.

use std::time::Duration;

use dots_callhome::enforce::desired::{Block, Desired, Owner};
use dots_callhome::enforce::{Event, Socket};
use dots_callhome::model::MitigationId;

use crate::support::enforce::*;
use crate::support::kernel::{batch, messages};

const SEVEN: Owner = Owner::Mitigation(MitigationId(7));

/// What is told after a moment.
const NOT_YET: &str = "the rules do not stand yet";

fn in_force() -> TestRouter {
    let mut house = TestRouter::enforcing();
    house.desire(blocks(&[block(7, &[CAMERA])]));
    assert_eq!(house.outcomes(7), [Ok(())]);
    house
}

/// The same block as before, after some time.
fn after(seconds_passed: u64, id: u32) -> Block {
    Block { remaining: seconds(3600 - seconds_passed), ..block(id, &[CAMERA]) }
}

/// Pauses of 1, 2, 4 … 60 seconds; what stands already stays in force and is told so.
#[test]
fn a_missing_nft_is_told_and_tried_again() {
    let mut house = in_force();
    house.kernel.nft = Some("nft: No such file or directory".into());
    house.desire(blocks(&[after(0, 7), after(0, 8)]));
    let told = house.told();
    assert!(failed(&told, 8, "nft: No such file or directory"));
    assert!(!told.iter().any(|event| matches!(event, Event::Enforced { owner: SEVEN, outcome: Err(_) })));
    let mut runs = house.runs.len();
    for pause in [1, 2, 4, 8, 16, 32, 60, 60] {
        house.pass(seconds(pause) - Duration::from_millis(1));
        assert_eq!(house.runs.len(), runs, "before {pause}");
        house.pass(Duration::from_millis(1));
        assert!(house.runs.len() > runs, "after {pause}");
        runs = house.runs.len();
    }
    assert!(house.outcomes(8).is_empty(), "told once");
    // Others come meanwhile: they know at once.
    house.desire(blocks(&[after(183, 7), after(183, 8), after(0, 9)]));
    assert!(matches!(house.outcomes(9).as_slice(), [Err(_)]));
    house.kernel.nft = None;
    house.pass(seconds(60));
    let told = house.told();
    assert!([8, 9].iter().all(|id| told.contains(&enforced(*id))));
    assert_eq!(house.members("m7"), [CAMERA]);
}

/// A change that fails makes the next transaction start from nothing: what has been counted goes on all the same.
#[test]
fn a_failure_loses_no_counts() {
    let mut house = in_force();
    house.kernel.nft = Some("nft: busy".into());
    house.desire(blocks(&[after(0, 7), after(0, 8)]));
    house.kernel.count("m7", CAMERA, 10);
    house.kernel.nft = None;
    house.pass(seconds(1));
    assert_eq!(house.members("m8"), [CAMERA]);
    assert_eq!(house.kernel.set("m7")[&CAMERA].counter, Some(packets(10)));
}

/// Nothing may be in force yet when the first transactions fail.
#[test]
fn a_failure_at_the_start_is_overcome() {
    let mut house = TestRouter::enforcing();
    house.kernel.nft = Some("nft: busy".into());
    house.desire(blocks(&[block(7, &[CAMERA])]));
    house.kernel.nft = None;
    house.pass(seconds(1));
    assert_eq!(house.members("m7"), [CAMERA]);
}

/// Without the bridge family the rest is in force all the same; it is told once, and tried again with every change of
/// who is quarantined.
#[test]
fn a_kernel_without_bridges_blocks_all_the_same() {
    let mut house = TestRouter::enforcing();
    house.kernel.no_bridge = true;
    house.desire(blocks(&[block(7, &[CAMERA])]));
    assert_eq!(house.outcomes(7), [Ok(())]);
    house.desire(quarantines(&[quarantine(Some(8), TV)]));
    let told = house.told();
    assert!(told.contains(&Event::NoBridge) && told.contains(&enforced(8)));
    assert_eq!(house.members("quarantine"), [TV]);
    house.desire(quarantines(&[quarantine(Some(8), TV), quarantine(None, CAMERA)]));
    let told = house.told();
    assert!(
        !told.contains(&Event::NoBridge)
            && told.contains(&Event::Enforced { owner: Owner::Administrator, outcome: Ok(()) })
    );
    let runs = house.runs.len();
    house.desire(blocks(&[block(9, &[CAMERA])]));
    assert_eq!(house.runs.len(), runs + 1);
    house.kernel.no_bridge = false;
    house.desire(quarantines(&[quarantine(None, CAMERA)]));
    assert_eq!(house.kernel.tables["bridge"].sets["quarantine"].len(), 1);
    house.desire(Desired::default());
    assert!(house.kernel.tables.is_empty());
}

/// The bridge is not to blame for every failure.
#[test]
fn a_failure_with_and_without_bridge_is_a_failure() {
    let mut house = TestRouter::enforcing();
    house.kernel.nft = Some("nft: out of memory".into());
    house.desire(quarantines(&[quarantine(Some(8), TV)]));
    assert_eq!(house.outcomes(8), [Err("nft: out of memory".into())]);
    house.kernel.nft = None;
    house.pass(seconds(1));
    let told = house.told();
    assert!(!told.contains(&Event::NoBridge) && told.contains(&enforced(8)));
    assert_eq!(house.kernel.tables["bridge"].sets["quarantine"].len(), 1);
}

/// A flow that can't be cut: not in force, and looked at again until it is gone.
#[test]
fn a_leak_is_told_once_and_watched() {
    let mut house = TestRouter::enforcing();
    house.kernel.sticky = true;
    house.kernel.flows = vec![outgoing(1, CAMERA_V4, 4000, (VICTIM, 53)), outgoing(2, CAMERA_V4, 4001, (VICTIM, 53))];
    house.desire(blocks(&[block(7, &[CAMERA]), block(8, &[TV])]));
    let told = house.told();
    let reason = "traffic still passes: udp 192.168.1.17:4001 -> 203.0.113.80:53 as 198.51.100.7:4001 and 1 more";
    assert!(failed(&told, 7, reason));
    assert!(told.contains(&enforced(8)));
    house.pass(seconds(300));
    assert!(house.outcomes(7).is_empty());
    house.kernel.flows.clear();
    house.pass(seconds(60));
    assert_eq!(house.outcomes(7), [Ok(())]);
}

/// A single flow that is back may have been on its way when the rules changed; twice it passes.
#[test]
fn a_flow_that_keeps_coming_back_is_a_leak() {
    let mut house = in_force();
    house.kernel.flows = vec![outgoing(1, CAMERA_V4, 4000, (VICTIM, 53))];
    house.pass(seconds(1));
    assert!(house.kernel.flows.is_empty());
    house.pass(seconds(600));
    assert!(house.outcomes(7).is_empty());
    let mut passed = 0;
    let outcomes = loop {
        house.kernel.flows = vec![outgoing(1, CAMERA_V4, 4000, (VICTIM, 53))];
        house.pass(seconds(1));
        passed += 1;
        let outcomes = house.outcomes(7);
        if !outcomes.is_empty() {
            break outcomes;
        }
        assert!(passed < 62, "never noticed");
    };
    assert!(matches!(outcomes.as_slice(), [Err(_)]));
    house.pass(seconds(120));
    assert_eq!(house.outcomes(7), [Ok(())]);
}

/// Without conntrack nobody knows whether flows are left.
#[test]
fn what_can_not_be_verified_is_not_told_to_be() {
    let mut house = TestRouter::enforcing();
    (house.kernel.erases, house.kernel.list_error) = (false, Some(22));
    house.desire(blocks(&[block(7, &[CAMERA])]));
    let outcomes = house.outcomes(7);
    assert!(matches!(outcomes.as_slice(), [Err(reason)] if reason.contains("22")), "{outcomes:?}");
    house.kernel.list_error = None;
    house.pass(seconds(60));
    assert_eq!(house.outcomes(7), [Ok(())]);
}

/// `fw4 stop`: made anew at once, with the time that is left and what was counted; flows that began meanwhile are cut.
#[test]
fn a_deleted_table_is_made_anew() {
    let mut house = in_force();
    house.kernel.count("m7", CAMERA, 10);
    house.pass(seconds(100));
    house.told();
    house.kernel.tables.clear();
    house.kernel.flows = vec![outgoing(1, CAMERA_V4, 4000, (VICTIM, 53))];
    house.hear(Socket::Events, &table_deleted("dots_callhome"));
    assert_eq!(house.kernel.set("m7")[&CAMERA].timeout.as_deref(), Some("3500s"));
    assert_eq!(house.kernel.set("m7")[&CAMERA].counter, Some(packets(10)));
    assert!(house.kernel.flows.is_empty());
    let told = house.told();
    assert!(told.contains(&Event::Vanished));
    assert!(!told.iter().any(|event| matches!(event, Event::Enforced { outcome: Err(_), .. })));
    house.kernel.count("m7", CAMERA, 1);
    house.pass(seconds(10));
    assert_eq!(house.counted(7), Some(packets(11)));
}

/// Noticed by the readings alone where no event comes, and where only a part is gone.
#[test]
fn a_missing_part_is_noticed_without_events() {
    let mut house = in_force();
    house.kernel.set("m7").clear();
    house.pass(seconds(10));
    assert!(house.told().contains(&Event::Vanished));
    assert_eq!(house.members("m7"), [CAMERA]);
    house.kernel.tables.get_mut("inet").unwrap().chains.get_mut("accused").unwrap().push("accept".into());
    house.hear(Socket::Events, &table_deleted("dots_callhome"));
    assert!(house.told().contains(&Event::Vanished));
}

/// The events of our own transactions, other people's tables and lost events cost a look, no transaction.
#[test]
fn events_alone_change_nothing() {
    let mut house = in_force();
    for _ in 0..100 {
        house.hear(Socket::Events, &table_deleted("dots_callhome"));
        house.hear(Socket::Events, &table_deleted("fw4"));
        house.enforcer.handle_overrun(Socket::Events, house.now);
        house.settle();
    }
    assert_eq!(house.runs.len(), 1);
    assert!(!house.told().contains(&Event::Vanished));
}

/// Two programs that undo each other's work must not keep the router busy.
#[test]
fn a_fight_over_the_table_is_not_fought() {
    let mut house = in_force();
    house.pass(seconds(100));
    house.told();
    let runs = house.runs.len();
    for _ in 0..600 {
        house.kernel.tables.clear();
        house.hear(Socket::Events, &table_deleted("dots_callhome"));
        house.pass(Duration::from_millis(100));
    }
    let more = house.runs.len() - runs;
    assert!((2..12).contains(&more), "{more} runs in a minute");
    let outcomes = house.outcomes(7);
    assert!(outcomes.iter().any(|outcome| matches!(outcome, Err(reason) if reason.contains("another program"))));
    house.pass(seconds(120));
    assert_eq!(house.members("m7"), [CAMERA]);
    assert_eq!(house.outcomes(7), [Ok(())]);
}

/// It vanishes while nft fails: what was in force no longer is.
#[test]
fn a_table_that_can_not_be_made_anew_is_told() {
    let mut house = in_force();
    house.kernel.nft = Some("nft: busy".into());
    house.kernel.tables.clear();
    house.hear(Socket::Events, &table_deleted("dots_callhome"));
    assert_eq!(house.outcomes(7), [Err("nft: busy".into())]);
    house.kernel.nft = None;
    house.pass(seconds(1));
    assert_eq!(house.outcomes(7), [Ok(())]);
}

/// A table is gone, and nft does not end: nothing is in force, and nobody hears otherwise for longer than a moment.
#[test]
fn a_table_that_is_long_in_coming_back_is_told() {
    let mut house = in_force();
    house.slow_nft = true;
    house.kernel.tables.clear();
    house.hear(Socket::Events, &table_deleted("dots_callhome"));
    house.pass(Duration::from_millis(900));
    assert!(house.outcomes(7).is_empty(), "it may be back at once");
    house.pass(Duration::from_millis(200));
    assert_eq!(house.outcomes(7), [Err(NOT_YET.into())]);
    house.pass(seconds(28));
    assert!(house.outcomes(7).is_empty(), "told once");
    house.end_nft();
    house.settle();
    assert_eq!(house.outcomes(7), [Ok(())]);
}

/// The rules are back, but nobody knows what has begun without them.
#[test]
fn a_table_that_is_back_is_checked_before_it_is_relied_on() {
    let mut house = in_force();
    house.slow_nft = true;
    house.kernel.tables.clear();
    house.hear(Socket::Events, &table_deleted("dots_callhome"));
    house.kernel.mute = true;
    house.end_nft();
    house.pass(seconds(2));
    assert!(matches!(house.outcomes(7).as_slice(), [Err(_)]));
    house.kernel.mute = false;
    house.pass(seconds(20));
    assert_eq!(house.outcomes(7), [Ok(())]);
}

/// What a transaction has not brought yet is not in force, what it does not touch is.
#[test]
fn a_change_that_takes_long_is_told() {
    let mut house = in_force();
    house.desire(blocks(&[after(0, 7), after(0, 9)]));
    house.told();
    house.slow_nft = true;
    house.desire(blocks(&[after(0, 7), block(8, &[CAMERA]), block(9, &[CAMERA, TV])]));
    house.pass(seconds(2));
    let told = house.told();
    for id in [8, 9] {
        assert!(failed(&told, id, NOT_YET), "{id}: {told:?}");
        assert!(!told.contains(&enforced(id)), "{id}: {told:?}");
    }
    assert!(!told.iter().any(|event| matches!(event, Event::Enforced { owner: SEVEN, outcome: Err(_) })));
    house.end_nft();
    house.settle();
    let told = house.told();
    assert!([8, 9].iter().all(|id| told.contains(&enforced(*id))), "{told:?}");
}

/// What the kernel holds ends when it was to end at first, as long as nft has not prolonged it.
#[test]
fn a_block_that_is_not_prolonged_in_time_is_told() {
    for (hangs, reason) in [(false, "nft: busy"), (true, NOT_YET)] {
        let mut house = TestRouter::enforcing();
        house.desire(blocks(&[Block { remaining: seconds(60), ..block(7, &[CAMERA]) }]));
        house.told();
        house.slow_nft = hangs;
        house.kernel.nft = (!hangs).then(|| reason.into());
        house.desire(blocks(&[after(0, 7)]));
        house.pass(seconds(59));
        assert_eq!(house.outcomes(7), [Ok(())], "it stands, as it is asked again");
        house.kernel.set("m7").clear();
        house.kernel.set("accused").clear();
        house.pass(seconds(2));
        assert_eq!(house.outcomes(7), [Err(reason.into())]);
        house.desire(blocks(&[after(61, 7)]));
        assert_eq!(house.outcomes(7), [Err(reason.into())], "asked again");
        house.kernel.nft = None;
        house.slow_nft = false;
        if hangs {
            house.end_nft();
        }
        house.pass(seconds(60));
        assert_eq!(house.outcomes(7), [Ok(())]);
    }
}

/// Nobody waits for nft to end before looking.
#[test]
fn a_table_that_is_deleted_while_nft_hangs_is_told() {
    let mut house = in_force();
    house.slow_nft = true;
    house.desire(blocks(&[after(0, 7), after(0, 8)]));
    house.kernel.tables.clear();
    house.hear(Socket::Events, &table_deleted("dots_callhome"));
    house.pass(seconds(3));
    let told = house.told();
    assert!(failed(&told, 7, NOT_YET), "{told:?}");
    house.slow_nft = false;
    house.end_nft_as(Err("nft does not end".into()));
    house.settle();
    house.pass(seconds(1));
    let told = house.told();
    assert!([7, 8].iter().all(|id| told.contains(&enforced(*id))), "{told:?}");
    assert_eq!(house.members("m7"), [CAMERA]);
}

/// What nft changes itself is no loss, whether it is seen before it ends or while it does.
#[test]
fn an_nft_that_takes_long_takes_nothing_away() {
    for ends_meanwhile in [false, true] {
        let mut house = in_force();
        house.desire(blocks(&[after(0, 7), after(0, 9)]));
        house.slow_nft = true;
        house.desire(blocks(&[after(0, 7), after(0, 8)]));
        house.pass(seconds(2));
        house.told();
        house.kernel.run(&house.runs.last().unwrap().clone()).unwrap();
        house.enforcer.handle_datagram(Socket::Events, &table_deleted("dots_callhome"), house.now);
        if !ends_meanwhile {
            house.settle();
        }
        house.end_nft_as(Ok(()));
        house.settle();
        let told = house.told();
        assert!(!told.contains(&Event::Vanished), "{told:?}");
        assert!(!told.iter().any(|event| matches!(event, Event::Enforced { outcome: Err(_), .. })), "{told:?}");
        assert!(told.contains(&enforced(8)), "{told:?}");
    }
}

#[test]
fn an_nft_that_ends_all_and_takes_long_is_not_somebody_else() {
    let mut house = in_force();
    house.slow_nft = true;
    house.desire(Desired::default());
    house.pass(seconds(2));
    house.kernel.run(&house.runs.last().unwrap().clone()).unwrap();
    house.hear(Socket::Events, &table_deleted("dots_callhome"));
    house.end_nft_as(Ok(()));
    house.settle();
    assert!(!house.told().contains(&Event::Vanished));
}

/// Elements that have run out are nobody's doing.
#[test]
fn elements_that_end_are_not_missed() {
    let mut house = TestRouter::enforcing();
    house.desire(blocks(&[Block { remaining: seconds(5), ..block(7, &[CAMERA]) }, block(8, &[TV])]));
    house.pass(seconds(5));
    house.told();
    house.kernel.set("m7").clear();
    house.kernel.set("accused").remove(&CAMERA);
    house.pass(seconds(60));
    assert!(!house.told().contains(&Event::Vanished));
    // Letting it go by name works although it is gone.
    house.desire(blocks(&[Block { remaining: seconds(3535), ..block(8, &[TV]) }]));
    assert!(house.members("m7").is_empty());
    assert_eq!(house.members("m8"), [TV]);
}

/// A socket that never answers does not keep the rules from standing, and is asked again.
#[test]
fn lost_answers_are_asked_for_again() {
    let mut house = TestRouter::enforcing();
    house.kernel.mute = true;
    house.desire(blocks(&[block(7, &[CAMERA])]));
    house.pass(seconds(60));
    assert!(house.outcomes(7).is_empty());
    house.desire(blocks(&[Block { remaining: seconds(9999), ..block(7, &[CAMERA]) }]));
    house.pass(seconds(60));
    assert_eq!(house.kernel.set("m7")[&CAMERA].timeout.as_deref(), Some("9989s"));
    house.kernel.mute = false;
    house.pass(seconds(10));
    assert_eq!(house.outcomes(7), [Ok(())]);
}

/// Lost acknowledgements are made up for by the list that follows.
#[test]
fn an_overrun_is_survived() {
    let mut house = TestRouter::enforcing();
    let flow = outgoing(1, CAMERA_V4, 4000, (VICTIM, 53));
    house.kernel.flows = vec![flow];
    house.kernel.mute = true;
    house.desire_cutting(blocks(&[block(7, &[CAMERA])]), &[flow.original]);
    house.kernel.mute = false;
    house.enforcer.handle_overrun(Socket::Netfilter, house.now);
    house.settle();
    assert!(house.kernel.flows.is_empty());
    assert_eq!(house.outcomes(7), [Ok(())]);
}

/// Answers cut short or damaged in any way: no panic, no endless work, and in the end it stands.
#[test]
fn damaged_answers_are_survived() {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut below = move |most: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % u64::try_from(most).unwrap()).unwrap()
    };
    for _ in 0..300 {
        let mut house = TestRouter::enforcing();
        house.kernel.flows = vec![outgoing(1, CAMERA_V4, 4000, (VICTIM, 53))];
        house.enforcer.set_desired(blocks(&[block(7, &[CAMERA])]), Vec::new(), house.finder.inventory(), house.now);
        assert_eq!(house.enforcer.poll_ruleset(), None);
        for _ in 0..20 {
            while let Some((socket, request)) = house.enforcer.poll_transmit() {
                let answers = match socket {
                    Socket::Changes => {
                        let (text, sequence) = batch::text(&request);
                        house.kernel.run(&text).unwrap();
                        vec![messages::error(0, sequence)]
                    }
                    _ => house.kernel.answer(&request),
                };
                for mut datagram in answers {
                    let place = below(datagram.len() * 8);
                    if below(2) == 0 {
                        datagram.truncate(place / 8);
                    } else {
                        datagram[place / 8] ^= 1 << (place % 8);
                    }
                    house.enforcer.handle_datagram(socket, &datagram, house.now);
                    house.enforcer.handle_datagram(Socket::Events, &datagram, house.now);
                }
            }
            house.now = house.now.after(seconds(10));
            house.enforcer.handle_timeout(house.now);
            if let Some(text) = house.enforcer.poll_ruleset() {
                house.kernel.run(&text).unwrap();
                house.enforcer.handle_nft(Ok(()), house.now);
            }
        }
        house.settle();
        house.pass(seconds(200));
        assert_eq!(house.outcomes(7).last(), Some(&Ok(())));
        assert!(house.kernel.flows.is_empty());
        assert_eq!(house.members("m7"), [CAMERA]);
    }
}
