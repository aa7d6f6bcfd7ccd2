//! What is dropped never grows without a question, and a no binds: over random sequences of requests, decisions, findings, restarts and time,
//! whatever is dropped was consented to. What a scope drops and who consents to what is worked out here a second time.

mod consents;
mod packets;
mod steps;
mod world;

use self::packets::{SCOPES, packets_of};
use self::steps::{Step, steps};
use self::world::run;
use dots_callhome::enforce::DropFilter;
use dots_callhome::mitigation::{Action, Consent, DevicePolicy, State, TimeoutAction};
use dots_callhome::source::Confidence;
use proptest::prelude::*;
use proptest::test_runner::Config;

proptest! {
    #![proptest_config(Config { cases: 400, failure_persistence: None, ..Config::default() })]

    /// Proves CH-5.3.1-24, CH-5.3.1-25.
    #[test]
    fn what_is_dropped_is_covered_by_consents(steps in steps()) {
        run(&steps);
    }
}

/// What a filter says of two scopes, packets say too.
#[test]
fn scopes_are_compared_by_what_they_drop() {
    for (one, other) in SCOPES.iter().flat_map(|one| SCOPES.iter().map(move |other| (one, other))) {
        let within = DropFilter::new(one).is_within(&DropFilter::new(other));
        let covered = packets_of(one) & !packets_of(other) == 0;
        assert!(covered || !within, "{one:?} drops more than {other:?}");
    }
}

fn ask(scope: usize, suspects: &[(usize, Confidence)]) -> Step {
    Step::Ask { client: 0, scope, suspects: suspects.to_vec() }
}

fn yes(action: Option<Action>, devices: &[usize]) -> Step {
    Step::Approve { which: 0, action, devices: devices.to_vec(), lifetime: None, until: None }
}

fn rules(consent: Consent, action: Action, devices: &[(usize, DevicePolicy)]) -> Step {
    Step::Rules { consent, action, devices: devices.to_vec(), timeout_action: TimeoutAction::Ignore }
}

const SURE: &[(usize, Confidence)] = &[(0, Confidence::Exact)];

/// Sequences that once dropped more than was consented to, each with what is then left.
#[test]
fn what_was_once_dropped_without_consent() {
    let successor = Step::Put { client: 0, mid: 2, scope: 0, lifetime: 60 };
    let found = Step::Found { which: 0, suspects: SURE.to_vec() };
    let exempt = rules(Consent::Ask, Action::Block, &[(0, DevicePolicy::Exempt)]);
    let (asking, observing) = (rules(Consent::Ask, Action::Block, &[]), rules(Consent::Observe, Action::Block, &[]));
    let auto = rules(Consent::Auto, Action::Block, &[]);
    let both = [(0, Confidence::Exact), (1, Confidence::Exact)];
    let auto_at_last = auto.clone();
    let counted = Step::Counted { which: 0 };
    let last_minute = Step::Put { client: 0, mid: 1, scope: 0, lifetime: 60 };
    let cases: [&[Step]; 13] = [
        // What the policy does for a request a person has prolonged does not go on with it.
        &[
            ask(0, &both),
            rules(Consent::Auto, Action::Block, &[]),
            yes(Some(Action::Quarantine), &[0]),
            Step::Pass(4000),
        ],
        // A question about who goes on is answered by no rule.
        &[
            auto.clone(),
            ask(0, SURE),
            counted,
            last_minute,
            Step::Pass(10),
            Step::Counted { which: 0 },
            Step::Pass(50),
            found.clone(),
        ],
        // Another device than the one the person quarantined is no reason for the policy to do as much to it.
        &[
            ask(0, SURE),
            yes(Some(Action::Quarantine), &[0]),
            auto.clone(),
            Step::Found { which: 0, suspects: both.to_vec() },
        ],
        &[ask(0, SURE), yes(Some(Action::Quarantine), &[0]), auto.clone(), ask(0, &both)],
        &[ask(0, &both), yes(None, &[0]), yes(Some(Action::Quarantine), &[1])],
        // What the rules said at the time of the request is not what they say now.
        &[rules(Consent::Ask, Action::Quarantine, &[]), ask(0, SURE), auto],
        // What ended consent in between ends it for good.
        &[ask(0, SURE), yes(None, &[]), successor.clone(), observing.clone(), asking.clone(), found.clone()],
        &[ask(0, SURE), yes(None, &[]), successor.clone(), observing, found.clone()],
        &[ask(0, SURE), yes(None, &[]), successor, exempt, asking, found],
        // A release reaches consent that waits for its search, and to take back the no does not bring that back.
        &[
            ask(0, SURE),
            yes(None, &[]),
            ask(6, &[(1, Confidence::Possible)]),
            Step::Release { device: 0 },
            Step::Lift { which: 0 },
            Step::Found { which: 0, suspects: SURE.to_vec() },
        ],
        // Whoever approves one device has taken back a no about whoever sends, but none about another device.
        &[
            ask(0, SURE),
            auto_at_last.clone(),
            Step::Withdraw { which: 0 },
            Step::Put { client: 0, mid: 2, scope: 0, lifetime: 60 },
            Step::Reject { which: 0 },
            ask(0, &[(1, Confidence::Possible)]),
            yes(None, &[]),
            ask(0, SURE),
        ],
        // ICMP types, and source ports, say something about what is dropped.
        &[ask(12, SURE), yes(None, &[]), ask(0, SURE)],
        &[ask(15, SURE), yes(None, &[]), ask(0, SURE)],
    ];
    for steps in cases {
        run(steps);
    }
}

/// The property would be worth nothing if nothing were ever dropped, or if consent never passed on.
#[test]
fn consent_passes_to_whatever_drops_no_more() {
    for (approved, next) in [(0, 0), (1, 0), (2, 1), (1, 2), (3, 0), (0, 6), (7, 6), (9, 10), (13, 12), (0, 15)] {
        let world = run(&[ask(approved, SURE), yes(None, &[]), ask(next, SURE)]);
        let m = world.house.ledger.all().next().unwrap();
        assert_eq!((m.state(), m.mid()), (State::Active, 2), "{approved} then {next}");
        assert_eq!(m.decision().unwrap().by, "root");
    }
    for (approved, next) in [(0, 1), (0, 3), (6, 0), (6, 7), (8, 9), (10, 8), (12, 13), (12, 0), (12, 14), (15, 0)] {
        let world = run(&[ask(approved, SURE), yes(None, &[]), ask(next, SURE)]);
        assert_eq!(world.house.ledger.all().next().unwrap().state(), State::Pending, "{approved} then {next}");
    }
}
