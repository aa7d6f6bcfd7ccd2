//! What is wanted lasts: whatever is lost on the way, and wherever the program is killed.

use proptest::prelude::*;

use super::desk::*;
use dots_callhome::client::wishes::{Answer, Want};

#[test]
fn a_router_that_has_forgotten_is_asked_again() {
    let mut desk = Desk::with_router();
    desk.ask(1, "203.0.113.80/32");
    desk.go();
    desk.router.clear();
    desk.pass(60);
    desk.come();
    assert_eq!((desk.said(), desk.states()), (vec![(1, false), (2, false)], vec!["accepted"]));
    assert!(desk.router.len() == 1 && desk.router[&2].1 == Some(desk.now + 3540));
}

/// It has restarted within its session, or its time was less than it said; not over and over at once.
#[test]
fn what_a_router_ends_by_itself_is_asked_again_a_minute_later() {
    let mut desk = Desk::with_router();
    desk.ask(1, "203.0.113.80/32");
    desk.router.clear();
    desk.wishes.handle_ended(ROUTER, 1, desk.now);
    desk.settle();
    desk.pass(59);
    assert_eq!(desk.said(), [(1, false)]);
    desk.pass(1);
    assert_eq!(desk.said(), [(2, false)]);
}

#[test]
fn what_was_asked_of_an_absent_router_is_sent_when_it_calls() {
    let mut desk = Desk::new();
    desk.ask(1, "203.0.113.80/32");
    assert!(matches!(&desk.answers()[..], [(1, Answer::Waiting(why))] if why.contains("has not called")));
    desk.pass(600);
    desk.kill();
    assert_eq!((desk.said(), desk.states()), (vec![(1, false)], vec!["accepted"]));
}

#[derive(Clone, Debug)]
enum Step {
    /// Ask for the traffic to a host and port, under a key or without.
    Want(u8, u8, Option<u8>),
    WithdrawKey(u8),
    WithdrawMid(u8),
    Go,
    Come,
    /// The router loses all it knows.
    Reset,
    Pass(u16),
    /// The program is killed after it has done so many things.
    Kill(u8),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0..3_u8, 0..3_u8, prop::option::of(0..3_u8)).prop_map(|(host, port, key)| Step::Want(host, port, key)),
        1 => (0..3_u8).prop_map(Step::WithdrawKey),
        1 => (0..9_u8).prop_map(Step::WithdrawMid),
        1 => Just(Step::Go),
        1 => Just(Step::Come),
        1 => Just(Step::Reset),
        2 => (1..2000_u16).prop_map(Step::Pass),
        3 => (0..8_u8).prop_map(Step::Kill),
    ];
    prop::collection::vec(step, 1..24)
}

proptest! {
    /// Between any two things that it does the program may be killed: what was confirmed is still wanted, nothing is there twice, no
    /// number is given to two scopes, and in the end the router does what is wanted and nothing else.
    #[test]
    fn no_wish_is_lost_wherever_the_program_is_killed(steps in steps()) {
        let mut desk = Desk::with_router();
        for step in steps {
            let now = desk.now;
            match step {
                Step::Want(host, port, key) => {
                    let scope = at_port(&format!("203.0.113.{host}/32"), 17, &port.to_string());
                    let key = key.map(|key| key.to_string());
                    desk.wishes.want(0, Want { key, scope, ..desk.about("203.0.113.1/32") }, now);
                }
                Step::WithdrawKey(key) => drop(desk.wishes.withdraw_key(None, &key.to_string(), now)),
                Step::WithdrawMid(mid) => drop(desk.wishes.withdraw_mid(0, ROUTER, mid.into(), now)),
                Step::Go => desk.go(),
                Step::Come => desk.come(),
                Step::Reset => {
                    desk.router.clear();
                    desk.go();
                    desk.come();
                }
                Step::Pass(seconds) => desk.pass(seconds.into()),
                Step::Kill(after) => {
                    let (before, confirmed) = (wanted(&desk), desk.answers().len());
                    desk.do_some(after.into());
                    let all_confirmed = desk.answers().len() + confirmed > 0 && desk.wishes.poll_action().is_none();
                    desk.kill();
                    prop_assert!(!all_confirmed || before.len() >= wanted(&desk).len());
                    continue;
                }
            }
            desk.settle();
            let before = wanted(&desk);
            desk.kill();
            prop_assert_eq!(&before, &wanted(&desk));
        }
        desk.come();
        desk.pass(61);
        let now = desk.now;
        desk.router.retain(|_, (_, until)| until.is_none_or(|until| until > now));
        let wanted = wanted(&desk);
        for (_, scope) in &wanted {
            let covering = desk.router.values().filter(|(held, _)| {
                held.target_prefixes.contains(&scope.target_prefixes[0])
                    && held.target_ports.iter().any(|range| range.contains(scope.target_ports[0].lower()))
            });
            prop_assert_eq!(covering.count(), 1, "{:?} {:?}", scope, desk.router);
        }
        for (held, _) in desk.router.values() {
            prop_assert!(wanted.iter().any(|(_, scope)| scope.target_prefixes == held.target_prefixes));
        }
    }
}

fn wanted(desk: &Desk) -> Vec<(u64, dots_callhome::model::Scope)> {
    desk.wishes.all().filter(|wish| wish.is_wanted()).map(|wish| (wish.id, wish.scope.clone())).collect()
}
