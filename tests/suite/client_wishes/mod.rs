//! What is wanted of routers: kept, sent, refreshed, merged, split, ended and answered, in simulated time.

mod desk;
mod lasting;

use desk::*;
use dots_callhome::client::RequestFailure;
use dots_callhome::client::wishes::{Action, Answer, Want};
use dots_callhome::coap::Code;
use dots_callhome::model::Scope;
use dots_callhome::signal::body::{AttackStatus, Conflict, Report};

const VICTIM: &str = "203.0.113.80/32";
const OTHER: &str = "203.0.113.81/32";

fn error(code: u8, conflict: Option<Conflict>, retry: Option<u32>) -> RequestFailure {
    RequestFailure::ByRouter { code: Code(code), diagnostic: None, conflict, retry }
}

fn reported(status: u8, lifetime: i64) -> Report {
    Report { status: Some(status), lifetime: Some(lifetime), ..Report::default() }
}

/// The wish and the number are kept before anything is sent or answered.
#[test]
fn what_is_wanted_is_kept_first() {
    let mut desk = Desk::new();
    desk.wishes.want(1, desk.about(VICTIM), desk.now);
    assert!(matches!(desk.wishes.poll_action(), Some(Action::Keep(_))));
    assert!(matches!(desk.wishes.poll_action(), Some(Action::Answer { asker: 1, answer: Answer::Waiting(_), .. })));
    assert_eq!(desk.wishes.poll_action(), None);
    desk.wishes.handle_known(ROUTER, &[], LIMIT, desk.now);
    let actions: Vec<Action> = std::iter::from_fn(|| desk.wishes.poll_action()).collect();
    let [Action::Keep(_), Action::Keep(_), Action::Send { mid: 1, lifetime: Some(3600), .. }] = &actions[..] else {
        panic!("{actions:?}")
    };
}

#[test]
fn a_wish_is_answered_once() {
    let mut desk = Desk::with_router();
    desk.ask(1, VICTIM);
    assert_eq!(desk.answers(), [(1, Answer::Accepted)]);
    desk.go();
    desk.come();
    desk.pass(100);
    assert_eq!(desk.answers(), []);
    assert_eq!(desk.states(), ["accepted"]);
}

/// A router that does not answer keeps nobody waiting, and is asked until the wish is over, not longer.
#[test]
fn a_silent_router_is_told_of_in_time() {
    let mut desk = Desk::with_router();
    desk.is_prompt = false;
    desk.ask(1, VICTIM);
    assert_eq!(desk.answers(), []);
    desk.pass(10);
    let answers = desk.answers();
    let [(1, Answer::Waiting(why))] = &answers[..] else { panic!("{answers:?}") };
    assert!(why.contains("has not answered"), "{why}");
    assert_eq!(desk.said(), [(1, false)]);
    desk.pass(3600);
    assert_eq!((desk.said(), desk.states()), (vec![(1, true)], vec!["over"]));
}

/// Proves SC-4.4.1.1-29, SC-4.4.1.3-22: less was granted than is wanted, so it is refreshed before it ends, until nobody wants it.
#[test]
fn what_is_wanted_for_longer_is_refreshed_in_time() {
    let mut desk = Desk::with_router();
    desk.most = 1000;
    desk.ask(1, VICTIM);
    desk.said();
    for _ in 0..4 {
        desk.pass(749);
        assert_eq!(desk.said(), []);
        desk.pass(1);
        let left = desk.router[&1].1.unwrap() - desk.now;
        assert_eq!((desk.said(), left), (vec![(1, false)], if left < 1000 { 600 } else { 1000 }));
    }
    desk.pass(599);
    assert_eq!(desk.states(), ["accepted"]);
    desk.pass(1);
    assert_eq!((desk.said(), desk.states()), (vec![], vec!["over"]));
}

#[test]
fn the_same_again_only_goes_on_for_longer() {
    let mut desk = Desk::with_router();
    let keyed = |desk: &Desk, target| Want { key: Some("incident-7".to_owned()), ..desk.about(target) };
    desk.want(1, keyed(&desk, VICTIM));
    desk.ask(2, OTHER);
    desk.answers();
    desk.said();
    desk.pass(600);
    desk.want(3, keyed(&desk, VICTIM));
    desk.ask(4, OTHER);
    assert_eq!(desk.answers(), [(3, Answer::Extended), (4, Answer::Extended)]);
    assert_eq!((desk.said(), desk.wishes.all().count()), (vec![], 2));
    desk.pass(3500);
    assert_eq!((desk.said(), desk.states()), (vec![(1, false), (2, false)], vec!["accepted", "accepted"]));
}

/// Two attacks at one victim: whatever the ports, a router keeps the younger request only, so both are in it.
#[test]
fn wishes_with_common_targets_make_one_request() {
    let mut desk = Desk::with_router();
    desk.want(1, Want { scope: at_port(VICTIM, 6, "443"), ..desk.about(VICTIM) });
    desk.want(2, Want { scope: at_port(VICTIM, 17, "53"), ..desk.about(VICTIM) });
    assert_eq!(desk.answers(), [(1, Answer::Accepted), (2, Answer::Merged)]);
    // The older one is withdrawn once the router has the other.
    assert_eq!(desk.said(), [(1, false), (2, false), (1, true)]);
    let both = &desk.router[&2].0;
    assert_eq!(both.target_protocols, [6, 17]);
    assert_eq!(both.target_ports.iter().map(ToString::to_string).collect::<Vec<_>>(), ["53", "443"]);
    // One that is part of what is asked already takes no further request.
    desk.want(3, Want { key: Some("part".to_owned()), scope: at_port(VICTIM, 6, "443"), ..desk.about(VICTIM) });
    assert_eq!((desk.answers(), desk.said()), (vec![(3, Answer::Merged)], vec![]));
    // What is withdrawn is asked for no longer; the rest goes on.
    let found = desk.wishes.withdraw_key(None, "part", desk.now);
    assert_eq!(found.len(), 1);
    desk.settle();
    assert_eq!((desk.said(), desk.router.len()), (vec![], 1));
}

/// A router ends the older of two requests by itself (RFC 9132 section 4.4.1), perhaps before it answers the younger.
#[test]
fn a_router_may_end_the_older_request_first() {
    let mut desk = Desk::with_router();
    desk.want(1, Want { scope: at_port(VICTIM, 6, "443"), ..desk.about(VICTIM) });
    assert_eq!(desk.answers(), [(1, Answer::Accepted)]);
    desk.is_prompt = false;
    desk.want(2, Want { scope: at_port(VICTIM, 17, "53"), ..desk.about(VICTIM) });
    desk.wishes.handle_ended(ROUTER, 1, desk.now);
    desk.settle();
    assert_eq!(desk.answers(), []);
    desk.wishes.handle_granted(ROUTER, 2, Some(3600), desk.now);
    desk.settle();
    assert_eq!((desk.answers(), desk.states()), (vec![(2, Answer::Merged)], vec!["accepted", "accepted"]));
}

/// Nothing is asked for the rest in between.
#[test]
fn what_has_one_key_is_withdrawn_together() {
    let mut desk = Desk::with_router();
    for port in ["53", "123"] {
        let key = Some(format!("incident/{port}"));
        desk.want(1, Want { key, scope: at_port(VICTIM, 17, port), ..desk.about(VICTIM) });
    }
    desk.said();
    assert_eq!(desk.wishes.withdraw_key(None, "incident/*", desk.now).len(), 2);
    desk.settle();
    assert_eq!((desk.said(), desk.router.len()), (vec![(2, true)], 0));
}

#[test]
fn a_request_is_withdrawn_by_its_number_with_all_it_is_for() {
    let mut desk = Desk::with_router();
    desk.want(1, Want { scope: at_port(VICTIM, 6, "443"), ..desk.about(VICTIM) });
    desk.want(2, Want { scope: at_port(VICTIM, 17, "53"), ..desk.about(VICTIM) });
    desk.answers();
    assert!(desk.wishes.withdraw_mid(9, ROUTER, 2, desk.now));
    desk.settle();
    assert_eq!((desk.answers(), desk.states()), (vec![(9, Answer::Withdrawn)], vec!["withdrawn", "withdrawn"]));
    assert!(desk.router.is_empty());
    for (router, mid) in [(ROUTER, 2), (ROUTER, 99), ("nobody", 1)] {
        assert!(!desk.wishes.withdraw_mid(9, router, mid, desk.now));
    }
}

/// Also where the router is away: it is told when it calls, and asked for nothing again.
#[test]
fn what_is_withdrawn_while_the_router_is_away_is_withdrawn_when_it_calls() {
    let mut desk = Desk::with_router();
    desk.ask(1, VICTIM);
    desk.go();
    assert!(desk.wishes.withdraw_mid(9, ROUTER, 1, desk.now));
    desk.settle();
    assert!(matches!(&desk.answers()[..], [_, (9, Answer::Waiting(_))]));
    desk.kill();
    assert!(desk.router.is_empty() && desk.said().last() == Some(&(1, true)));
}

/// Proves SC-7.3-05: in pieces with other targets, then with other sources, each under its own number.
#[test]
fn what_is_too_large_for_one_message_goes_in_several() {
    let hosts = |net: &str, count: u32| (0..count).map(|n| format!("{net}{n:x}/128").parse().unwrap()).collect();
    for (targets, sources) in [(120, 2), (1, 120)] {
        let mut desk = Desk::with_router();
        let scope = Scope {
            target_prefixes: hosts("2001:db8:1234:5678:9abc:def0:0:", targets),
            source_prefixes: hosts("2001:db8:8765:4321:9abc:def0:0:", sources),
            ..Scope::default()
        };
        // A router that compares targets only would end a piece for the next one: here it keeps all.
        desk.is_prompt = false;
        desk.want(1, Want { scope: scope.clone(), ..desk.about(VICTIM) });
        let said = desk.said();
        assert!(said.len() > 2, "{said:?}");
        let of = |list: fn(&Scope) -> &Vec<ipnet::IpNet>| desk.history.values().flat_map(list).count();
        let pieces = desk.history.len();
        assert!(of(|scope| &scope.target_prefixes) == if targets > 1 { 120 } else { pieces });
        assert!(of(|scope| &scope.source_prefixes) == if targets > 1 { 2 * pieces } else { 120 });
        for (mid, _) in said {
            assert_eq!(desk.answers(), []);
            desk.wishes.handle_granted(ROUTER, mid, Some(3600), desk.now);
            desk.settle();
        }
        assert_eq!(desk.answers(), [(1, Answer::Accepted)]);
    }
}

#[test]
fn an_attack_that_has_stopped_ends_its_wishes() {
    let mut desk = Desk::with_router();
    desk.ask(1, VICTIM);
    desk.wishes.handle_report(ROUTER, 1, &reported(3, 3000), desk.now);
    desk.settle();
    assert_eq!(desk.states(), ["stopped"]);
    desk.ask(2, VICTIM);
    assert_eq!(desk.answers(), [(1, Answer::Accepted), (2, Answer::Accepted)]);
}

/// Proves SC-4.4.2.1-03: for a day, or for as long as the router says; over a restart; and whoever asks for a part of it.
#[test]
fn what_is_declined_is_not_asked_again() {
    let legitimate = Conflict::because(4);
    let for_a_minute = Conflict { retry_timer: Some(60), ..Conflict::because(1) };
    for (conflict, seconds) in [(legitimate, 86_400), (for_a_minute, 60)] {
        for is_late in [false, true] {
            let mut desk = Desk::with_router();
            desk.is_prompt = is_late;
            desk.ask(1, VICTIM);
            if is_late {
                desk.router.clear();
                let report = Report { conflict: Some(conflict.clone()), ..reported(4, 3000) };
                desk.wishes.handle_report(ROUTER, 1, &report, desk.now);
            } else {
                desk.wishes.handle_refused(ROUTER, 1, &error(0x89, Some(conflict.clone()), None), desk.now);
            }
            desk.settle();
            assert_eq!(desk.states(), ["declined"]);
            desk.said();
            desk.kill();
            desk.pass(seconds - 1);
            desk.answers();
            desk.want(2, Want { scope: at_port(VICTIM, 6, "443"), ..desk.about(VICTIM) });
            assert!(matches!(&desk.answers()[..], [(2, Answer::Declined(_))]));
            desk.is_prompt = true;
            desk.ask(3, OTHER);
            assert_eq!(desk.answers(), [(3, Answer::Accepted)]);
            desk.said();
            desk.pass(1);
            desk.ask(4, VICTIM);
            assert_eq!((desk.answers(), desk.said().len()), (vec![(4, Answer::Accepted)], 1));
        }
    }
}

/// What is in force already stays so when a router declines more.
#[test]
fn declining_more_ends_nothing() {
    let mut desk = Desk::with_router();
    desk.want(1, Want { scope: at_port(VICTIM, 6, "443"), ..desk.about(VICTIM) });
    desk.is_prompt = false;
    desk.want(2, Want { scope: at_port(VICTIM, 17, "53"), ..desk.about(VICTIM) });
    desk.wishes.handle_refused(ROUTER, 2, &error(0x89, Some(Conflict::because(4)), None), desk.now);
    desk.settle();
    assert_eq!(desk.states(), ["accepted", "declined"]);
    assert_eq!(desk.said(), [(1, false), (2, false)]);
}

/// Several devices behind one address, or one address after the other: what is asked about one ends nothing about the other. A
/// router that keeps only one request for a target all the same gets all sources in one.
#[test]
fn other_sources_are_asked_about_apart_where_the_router_allows_it() {
    let from = |source: &str| Scope { source_prefixes: vec![source.parse().unwrap()], ..scope(VICTIM) };
    let mut desk = Desk::with_router();
    desk.want(1, Want { scope: from("198.51.100.7/32"), ..desk.about(VICTIM) });
    desk.want(2, Want { scope: from("198.51.100.8/32"), ..desk.about(VICTIM) });
    assert_eq!(desk.answers(), [(1, Answer::Accepted), (2, Answer::Accepted)]);
    assert_eq!((desk.said(), &desk.history[&2]), (vec![(1, false), (2, false)], &from("198.51.100.8/32")));
    desk.router.remove(&1);
    desk.wishes.handle_ended(ROUTER, 1, desk.now);
    desk.settle();
    assert_eq!((desk.said(), desk.states()), (vec![(3, false), (2, true)], vec!["accepted", "accepted"]));
    assert_eq!(desk.history[&3].source_prefixes.len(), 2);
}

#[test]
fn what_a_router_cannot_do_now_is_asked_again_later() {
    for (retry, seconds) in [(Some(7), 7), (None, 60)] {
        let mut desk = Desk::with_router();
        desk.is_prompt = false;
        desk.ask(1, VICTIM);
        desk.wishes.handle_refused(ROUTER, 1, &error(0xa3, None, retry), desk.now);
        desk.settle();
        assert_eq!(desk.answers(), [(1, Answer::Waiting("5.03".to_owned()))]);
        desk.said();
        desk.pass(seconds - 1);
        assert_eq!(desk.said(), []);
        desk.is_prompt = true;
        desk.pass(1);
        assert_eq!((desk.said(), desk.states()), (vec![(2, false)], vec!["accepted"]));
    }
}

/// Proves SC-4.4.1.1-10, SC-4.4.1.1-11: with its state the program has lost its numbers too; what the router reports is above them.
#[test]
fn numbers_are_above_all_that_a_router_knows() {
    let mut desk = Desk::with_router();
    for host in 1..9 {
        desk.ask(host, &format!("192.0.2.{host}/32"));
    }
    desk.kill_and_forget();
    assert_eq!(desk.said().len(), 8);
    // Nor does it ask again for what the router does already, or end it.
    desk.want(9, Want { scope: at_port("192.0.2.8/32", 17, "53"), ..desk.about(VICTIM) });
    desk.ask(10, VICTIM);
    assert_eq!(desk.answers()[8..], [(9, Answer::Accepted), (10, Answer::Accepted)]);
    assert_eq!((desk.said(), desk.router.len()), (vec![(9, false)], 9));
    assert_eq!(desk.router[&8].0, scope("192.0.2.8/32"));
}

#[test]
fn nobody_may_be_asked_for_some_scopes() {
    let mut desk = Desk::with_router();
    for target in ["127.0.0.1/32", "224.0.0.1/32", "0.0.0.0/0"] {
        desk.ask(1, target);
        assert!(matches!(&desk.answers()[..], [(1, Answer::Declined(_))]), "{target}");
    }
    assert_eq!((desk.said(), desk.wishes.all().count()), (vec![], 0));
    desk.ask(1, VICTIM);
    assert_eq!(desk.said(), [(1, false)]);
}

/// All that serves a key, with what is left of the time; nothing of a router that is not there, or has not taken it on.
#[test]
fn routers_are_told_how_an_attack_stands() {
    let mut desk = Desk::with_router();
    desk.wishes.want(1, Want { key: Some("attack/1".to_owned()), ..desk.about(VICTIM) }, desk.now);
    desk.wishes.want(2, Want { key: Some("attack/2".to_owned()), ..desk.about(OTHER) }, desk.now);
    desk.settle();
    desk.pass(600);
    let tell = |desk: &mut Desk, meant| {
        let told = desk.wishes.tell_efficacy(9, None, meant, AttackStatus::UnderAttack, desk.now);
        desk.settle();
        (told, std::mem::take(&mut desk.told))
    };
    assert_eq!(tell(&mut desk, Err("attack/*")), (2, vec![(9, 1, Some(3000)), (9, 2, Some(3000))]));
    assert_eq!(tell(&mut desk, Err("attack/2")).1, [(9, 2, Some(3000))]);
    assert_eq!(tell(&mut desk, Ok(1)).1, [(9, 1, Some(3000))]);
    assert_eq!(tell(&mut desk, Ok(7)), (0, vec![]));
    desk.wishes.withdraw_key(None, "attack/1", desk.now);
    desk.settle();
    assert_eq!(tell(&mut desk, Err("attack/*")).0, 1);
    desk.go();
    assert_eq!(tell(&mut desk, Err("attack/*")), (0, vec![]));
}
