//! A no binds the policy, whoever asks with whatever number, until its time is over or the administrator says otherwise.

use crate::support::ledger::*;
use dots_callhome::mitigation::snapshot::{self, SavedVeto, Snapshot};
use dots_callhome::mitigation::{
    Action, Cause, Client, Consent, Denied, Happened, Ledger, Policy, State, TimeoutAction, Veto,
};
use dots_callhome::model::{ClockSet, Mac, MitigationId, Now, PortRange, Scope};
use dots_callhome::source::Suspect;

const DAY: u64 = 86_400;

fn auto() -> TestRouter {
    TestRouter::by_hand(policy(Consent::Auto))
}

fn other() -> Client {
    Client { peer: "other".into(), cuid: "L".into() }
}

/// What the other provider asks, with its search ended.
fn asked_by_other(house: &mut TestRouter, scope: &Scope) -> MitigationId {
    let id = house.ledger.put(&other(), 1, scope, Some(seconds(3600)), false, house.now).unwrap().id;
    house.ledger.handle_attribution(id, vec![exact(CAMERA)], house.now);
    id
}

fn vetoes(house: &TestRouter) -> Vec<Veto> {
    house.ledger.vetoes().cloned().collect()
}

type Say = fn(&mut TestRouter, MitigationId);

const EVERY_NO: [(Cause, Say); 4] = [
    (Cause::Rejected, |house, id| house.ledger.reject(id, Some("our own backup"), "root", house.now).unwrap()),
    (Cause::Withdrawn, |house, id| house.ledger.withdraw(id, None, "root", house.now).unwrap()),
    (Cause::Released, |house, _| house.ledger.release(CAMERA, "root", house.now).unwrap()),
    (Cause::Spoofed, |house, id| house.ledger.handle_spoofed(id, CAMERA, false, house.now)),
];

/// Proves CH-5.3.1-24, CH-5.3.1-26: the next number, the same one after a DELETE, another client: all are asked.
#[test]
fn a_no_binds_whatever_number_or_client_comes() {
    for (cause, say) in EVERY_NO {
        let mut house = auto();
        let id = house.in_force(1, &attack(), CAMERA);
        say(&mut house, id);
        assert!(house.blocked().is_empty(), "{cause:?}");
        let next = house.request(2, &attack(), &[exact(CAMERA)]);
        assert_eq!((house.state(next), house.blocked()), (State::Pending, vec![]), "{cause:?}");
        house.delete(2);
        let again = house.request(1, &attack(), &[exact(CAMERA)]);
        assert_eq!((house.state(again), house.blocked()), (State::Pending, vec![]), "{cause:?}");
        let others = asked_by_other(&mut house, &attack());
        assert_eq!((house.state(others), house.blocked()), (State::Pending, vec![]), "{cause:?}");
        let veto = &vetoes(&house)[0];
        assert_eq!((veto.id, veto.peer.as_str(), veto.cause, &veto.devices), (id, "isp", cause, &vec![CAMERA]));
        assert_eq!(veto.targets, attack().target_prefixes);
    }
}

/// The wider request and the narrower one are about the same target; another target or another device is not.
#[test]
fn a_no_is_about_a_device_and_overlapping_targets() {
    let narrow = scope(&["203.0.113.5/32"], &["198.51.100.7/32"]);
    let wide = scope(&["203.0.113.0/24"], &["198.51.100.7/32"]);
    let ported = Scope { target_ports: vec![PortRange::new(53, 53).unwrap()], ..narrow.clone() };
    for (said, asked) in [(&narrow, &wide), (&wide, &narrow), (&narrow, &ported), (&ported, &narrow)] {
        let mut house = auto();
        let id = house.in_force(1, said, CAMERA);
        house.ledger.withdraw(id, None, "root", house.now).unwrap();
        house.request(2, asked, &[exact(CAMERA)]);
        assert!(house.blocked().is_empty());
        house.request(3, &scope(&["203.0.114.5/32"], &["198.51.100.7/32"]), &[exact(CAMERA)]);
        assert_eq!(house.blocked(), [CAMERA], "another target");
        house.request(4, asked, &[exact(TV)]);
        assert_eq!(house.blocked(), [CAMERA, TV], "another device");
    }
}

/// Nor does a target by the name it has behind a translator of addresses.
#[test]
fn a_no_is_about_a_target_by_any_name() {
    let (v4, translated) = (["203.0.113.5/32"], ["64:ff9b::cb00:7105/128"]);
    for (said, asked) in [(v4, translated), (translated, v4), (["203.0.113.0/24"], translated), (["64:ff9b::/96"], v4)]
    {
        let mut house = auto();
        let id = house.request(1, &scope(&said, &["198.51.100.7/32"]), &[exact(CAMERA)]);
        house.ledger.reject(id, None, "root", house.now).unwrap();
        house.request(2, &scope(&asked, &["198.51.100.7/32"]), &[exact(CAMERA)]);
        assert_eq!(house.blocked(), [], "{said:?} {asked:?}");
        house.request(3, &scope(&["64:ff9b::cb00:7205/128"], &["198.51.100.8/32"]), &[exact(CAMERA)]);
        assert_eq!(house.blocked().is_empty(), said == ["64:ff9b::/96"], "another one");
    }
}

/// Who is cut off reaches no target at all: no quarantine by policy while there is any no about the device.
#[test]
fn a_quarantine_is_about_every_target() {
    let mut house = TestRouter::by_hand(Policy { action: Action::Quarantine, ..policy(Consent::Auto) });
    let id = house.in_force(1, &attack(), CAMERA);
    assert_eq!(house.quarantined(), [CAMERA]);
    house.ledger.reject(id, None, "root", house.now).unwrap();
    for n in [1, 2] {
        house.request(n + 1, &other_attack(n as u16), &[exact(CAMERA)]);
        assert!(house.quarantined().is_empty());
    }
    house.ledger.set_policy(policy(Consent::Auto), house.now);
    assert_eq!((house.blocked(), house.quarantined()), (vec![CAMERA, CAMERA], vec![]), "other targets may be blocked");
}

/// What the policy does for others is no better than what it would do next; what a person has approved stands.
#[test]
fn a_no_ends_what_the_policy_does_for_others() {
    for (cause, say) in EVERY_NO {
        let mut house = auto();
        let others = asked_by_other(&mut house, &attack());
        let id = house.in_force(1, &attack(), CAMERA);
        assert_eq!(house.blocked(), [CAMERA, CAMERA]);
        say(&mut house, id);
        assert!(house.blocked().is_empty(), "{cause:?}");
        let expected = if cause == Cause::Released { State::Withdrawn } else { State::Pending };
        assert_eq!(house.state(others), expected, "{cause:?}");
    }
    let mut house = auto();
    let others = asked_by_other(&mut house, &attack());
    house.ledger.approve(others, None, &[CAMERA], None, "root", house.now).unwrap();
    let id = house.in_force(1, &attack(), CAMERA);
    house.ledger.reject(id, None, "root", house.now).unwrap();
    assert_eq!(house.blocked(), [CAMERA]);
    let mut house = {
        let mut again = house;
        again.ledger.put(&other(), 2, &attack(), None, false, again.now).unwrap();
        again
    };
    let next = house.ledger.find(&other(), 2).unwrap().id();
    house.ledger.handle_attribution(next, vec![exact(CAMERA)], house.now);
    assert_eq!(
        (house.state(next), house.blocked()),
        (State::Pending, vec![]),
        "but its consent passes to no successor"
    );
}

/// A request refused before anybody was found is refused whoever it is.
#[test]
fn a_request_refused_without_a_device_is_refused_for_all() {
    let mut house = auto();
    let id = house.request(1, &attack(), &[]);
    house.ledger.reject(id, None, "root", house.now).unwrap();
    let next = house.request(2, &attack(), &[exact(CAMERA)]);
    assert_eq!((house.state(next), house.blocked()), (State::Pending, vec![]));
    house.ledger.approve(next, None, &[], None, "root", house.now).unwrap();
    assert_eq!((house.blocked(), vetoes(&house)), (vec![CAMERA], vec![]));
}

/// Silence says no as a person does, and is no yes to what a person refused.
#[test]
fn silence_binds_and_is_bound() {
    let rules = |timeout_action| Policy { consent_timeout: Some(seconds(300)), timeout_action, ..policy(Consent::Ask) };
    let mut house = TestRouter::by_hand(rules(TimeoutAction::Reject));
    house.request(1, &attack(), &[exact(CAMERA)]);
    house.pass(seconds(300));
    house.ledger.set_policy(policy(Consent::Auto), house.now);
    house.request(2, &attack(), &[exact(CAMERA)]);
    assert!(house.blocked().is_empty());
    house.ledger.set_policy(rules(TimeoutAction::Approve), house.now);
    house.pass(seconds(300));
    assert!(house.blocked().is_empty());
    let released = house.request(3, &other_attack(1), &[exact(CAMERA), exact(TV)]);
    house.ledger.approve(released, None, &[CAMERA], None, "root", house.now).unwrap();
    house.ledger.release(CAMERA, "root", house.now).unwrap();
    house.request(4, &other_attack(1), &[exact(CAMERA), exact(TV)]);
    house.pass(seconds(300));
    assert_eq!(house.blocked(), [TV]);
}

/// The longer of a day and the lifetime granted.
#[test]
fn a_no_lasts_a_day_or_the_lifetime() {
    for (lifetime, lasts) in [(60, DAY), (3 * DAY, 3 * DAY)] {
        let mut house = TestRouter::by_hand(Policy { max_lifetime: seconds(10 * DAY), ..policy(Consent::Auto) });
        let put = |house: &mut TestRouter, mid| {
            let id = house.ledger.put(&isp(), mid, &attack(), Some(seconds(lifetime)), false, house.now).unwrap().id;
            house.ledger.handle_attribution(id, vec![exact(CAMERA)], house.now);
            id
        };
        let id = put(&mut house, 1);
        house.ledger.reject(id, None, "root", house.now).unwrap();
        house.pass(seconds(lasts - 1));
        put(&mut house, 2);
        assert!(house.blocked().is_empty(), "{lifetime}");
        let generation = house.ledger.generation();
        house.pass(seconds(1));
        assert!(vetoes(&house).is_empty());
        assert_ne!(house.ledger.generation(), generation, "the file is not to say so any more");
        put(&mut house, 3);
        assert_eq!(house.blocked(), [CAMERA], "{lifetime}");
    }
}

/// What the provider has withdrawn already was granted as long all the same.
#[test]
fn a_no_to_what_was_withdrawn_lasts_the_lifetime() {
    let mut house = TestRouter::by_hand(Policy { max_lifetime: seconds(10 * DAY), ..policy(Consent::Auto) });
    let id = house.ledger.put(&isp(), 1, &attack(), Some(seconds(3 * DAY)), false, house.now).unwrap().id;
    house.ledger.handle_attribution(id, vec![exact(CAMERA)], house.now);
    house.delete(1);
    house.ledger.withdraw(id, None, "root", house.now).unwrap();
    house.pass(seconds(3 * DAY - 1));
    house.request(2, &attack(), &[exact(CAMERA)]);
    assert_eq!(house.blocked(), []);
    house.pass(seconds(1));
    assert!(vetoes(&house).is_empty());
}

/// Proves CH-5.3.1-24: the administrator may change his mind, by a yes or by taking back the no.
#[test]
fn the_administrator_takes_back_a_no() {
    let mut house = auto();
    let id = house.in_force(1, &attack(), CAMERA);
    house.ledger.reject(id, None, "root", house.now).unwrap();
    let next = house.request(2, &attack(), &[exact(CAMERA)]);
    house.ledger.approve(next, None, &[], None, "root", house.now).unwrap();
    assert!(vetoes(&house).is_empty());
    house.request(3, &attack(), &[exact(CAMERA)]);
    assert_eq!(house.blocked(), [CAMERA], "a yes counts for the successor as ever");
    house.ledger.release(CAMERA, "root", house.now).unwrap();
    let waiting = house.request(4, &attack(), &[exact(CAMERA)]);
    assert_eq!(house.state(waiting), State::Pending);
    let veto = vetoes(&house)[0].id;
    let generation = house.ledger.generation();
    assert_eq!(house.ledger.lift(MitigationId(4711), "root", house.now), Err(Denied::NoSuchVeto));
    house.ledger.lift(veto, "root", house.now).unwrap();
    assert_eq!((vetoes(&house), house.blocked()), (vec![], vec![CAMERA]));
    assert_ne!(house.ledger.generation(), generation);
    let lifted = house.ledger.history().find(|entry| entry.event == Happened::Lifted).unwrap();
    assert_eq!((lifted.mac(), lifted.by.as_deref()), (Some(CAMERA), Some("root")));
}

/// What a person had approved before letting go is no yes for what the policy does after the no was taken back.
#[test]
fn a_yes_ends_with_the_release() {
    let mut house = auto();
    let id = house.request(1, &attack(), &[exact(CAMERA), exact(TV)]);
    house.ledger.approve(id, None, &[CAMERA, TV], None, "root", house.now).unwrap();
    house.ledger.release(TV, "root", house.now).unwrap();
    house.ledger.lift(id, "root", house.now).unwrap();
    assert_eq!(house.blocked(), [CAMERA, TV], "by policy");
    let others = house.ledger.put(&other(), 1, &attack(), None, false, house.now).unwrap().id;
    house.ledger.handle_attribution(others, vec![exact(TV)], house.now);
    house.ledger.reject(others, None, "root", house.now).unwrap();
    assert_eq!(house.blocked(), [CAMERA]);
}

/// A yes to less than what was refused leaves the rest refused.
#[test]
fn a_smaller_yes_leaves_the_no() {
    let mut house = auto();
    let wide = scope(&["203.0.113.0/24"], &["198.51.100.7/32"]);
    let id = house.in_force(1, &wide, CAMERA);
    house.ledger.reject(id, None, "root", house.now).unwrap();
    house.delete(1);
    let narrow = house.request(2, &scope(&["203.0.113.5/32"], &["198.51.100.7/32"]), &[exact(CAMERA)]);
    house.ledger.approve(narrow, None, &[], None, "root", house.now).unwrap();
    house.request(3, &scope(&["203.0.113.5/32"], &["198.51.100.7/32"]), &[exact(CAMERA)]);
    assert_eq!(house.blocked(), [CAMERA], "that yes counts");
    house.request(4, &wide, &[exact(CAMERA)]);
    assert!(house.blocked().is_empty());
}

fn restarted(before: &TestRouter, unix: u64) -> TestRouter {
    let content = snapshot::encode(&before.ledger.snapshot(before.now));
    let mut ledger = Ledger::new(before.ledger.policy().clone());
    let now = Now { unix, ..before.now };
    ledger.restore(&snapshot::decode(&content).unwrap(), now);
    TestRouter::resumed(ledger, now)
}

/// It survives a restart, and a clock that says anything at all, then or later.
#[test]
fn a_no_survives_a_restart_and_any_clock() {
    let mut before = auto();
    let id = before.in_force(1, &attack(), CAMERA);
    before.ledger.reject(id, Some("backup"), "root", before.now).unwrap();
    before.pass(seconds(3600));
    let was = before.now.unix;
    for unix in [0, was - 1, was, was + 10, was + 40 * DAY, u64::MAX] {
        let mut after = restarted(&before, unix);
        let veto = &vetoes(&after)[0];
        assert_eq!((veto.cause, veto.decision.by.as_str()), (Cause::Rejected, "root"));
        let set = ClockSet { since: unix, was: unix, is: was + 50 * DAY };
        after.now.unix = set.is;
        after.ledger.handle_clock_set(&set, after.now);
        after.request(2, &attack(), &[exact(CAMERA)]);
        assert!(after.blocked().is_empty(), "at {unix}");
        after.pass(seconds(DAY - 3600));
        assert!(vetoes(&after).is_empty(), "nor does it last longer, at {unix}");
    }
}

/// Files from before there were vetoes are read, and what a person had approved is known as such.
#[test]
fn older_files_are_read() {
    let mut before = auto();
    before.ledger.set_policy(policy(Consent::Ask), before.now);
    before.in_force(1, &attack(), CAMERA);
    let mut old: Snapshot = before.ledger.snapshot(before.now);
    old.vetoes = None;
    old.mitigations[0].confirmed = None;
    let mut house = auto();
    house.ledger.restore(&snapshot::decode(&snapshot::encode(&old)).unwrap(), house.now);
    let others = asked_by_other(&mut house, &attack());
    house.ledger.reject(others, None, "root", house.now).unwrap();
    assert_eq!(house.blocked(), [CAMERA]);
}

/// However often no is said, a bounded number of vetoes says it; what has no room of its own is in a wider one.
#[test]
fn vetoes_are_bounded_and_never_forgotten() {
    let mut house = TestRouter::by_hand(Policy { max_mitigations: 1000, ..policy(Consent::Auto) });
    for n in 1..=200 {
        let id = house.in_force(n, &other_attack(n as u16), if n % 2 == 0 { CAMERA } else { TV });
        house.ledger.reject(id, None, "root", house.now).unwrap();
        assert!(house.ledger.vetoes().count() <= 64);
    }
    let many: Vec<String> = (0..100).map(|n| format!("203.0.113.{}/32", 2 * n)).collect();
    let pieces = scope(&many.iter().map(String::as_str).collect::<Vec<_>>(), &["198.51.100.7/32"]);
    house.ledger.set_policy(Policy { max_mitigations: 1000, ..policy(Consent::Ask) }, house.now);
    let id = house.in_force(300, &pieces, LAPTOP);
    house.ledger.reject(id, None, "root", house.now).unwrap();
    house.ledger.set_policy(Policy { max_mitigations: 1000, ..policy(Consent::Auto) }, house.now);
    for veto in house.ledger.vetoes() {
        assert!(veto.targets.len() <= 16 && veto.devices.len() <= 64);
    }
    let mut house = restarted(&house, house.now.unix);
    for n in 1..=200 {
        house.request(1000 + n, &other_attack(n as u16), &[exact(if n % 2 == 0 { CAMERA } else { TV })]);
    }
    house.request(2000, &scope(&["203.0.113.198/32"], &["198.51.100.7/32"]), &[exact(LAPTOP)]);
    assert!(house.blocked().is_empty());
}

/// The same no again and again is one no.
#[test]
fn the_same_no_is_kept_once() {
    let mut house = auto();
    for mid in 1..=100 {
        let id = house.request(mid, &attack(), &[exact(CAMERA)]);
        house.ledger.reject(id, None, "root", house.now).unwrap();
        house.pass(seconds(60));
    }
    assert_eq!(vetoes(&house).len(), 1);
}

/// Between two numbers of a request nothing is in force: letting a device go then binds as well.
#[test]
fn a_release_reaches_a_consent_that_waits_for_its_search() {
    let mut house = TestRouter::by_hand(policy(Consent::Ask));
    house.in_force(1, &attack(), CAMERA);
    let next = house.put(2, &attack()).unwrap().id;
    house.ledger.release(CAMERA, "root", house.now).unwrap();
    house.ledger.handle_attribution(next, vec![exact(CAMERA)], house.now);
    assert_eq!((house.state(next), house.blocked()), (State::Pending, vec![]));
}

/// Numbers never come twice: neither after a restart that remembers nothing nor as that of a veto.
#[test]
fn numbers_begin_where_they_are_told_to() {
    let mut house = auto();
    house.ledger.set_first_number(1_000_000);
    let id = house.in_force(1, &attack(), CAMERA);
    assert_eq!(id.0, 1_000_000);
    house.ledger.reject(id, None, "root", house.now).unwrap();
    house.delete(1);
    house.ledger.set_first_number(1_000_000);
    assert_eq!(house.put(2, &attack()).unwrap().id.0, 1_000_001, "the veto has that number");
}

/// As many devices and targets as one veto holds are still named; one more target, and it is about every address.
#[test]
fn a_no_names_what_it_can_hold() {
    for (targets, named) in [(16, 16), (17, 2)] {
        let mut house = TestRouter::by_hand(policy(Consent::Ask));
        let many: Vec<String> = (0..targets).map(|n| format!("203.0.113.{}/32", 2 * n)).collect();
        let pieces = scope(&many.iter().map(String::as_str).collect::<Vec<_>>(), &["198.51.100.7/32"]);
        let crowd: Vec<Suspect> = (0..64).map(|n| exact(Mac([2, 0, 0, 0, 1, n]))).collect();
        let id = house.request(1, &pieces, &crowd);
        house.ledger.reject(id, None, "root", house.now).unwrap();
        let veto = &vetoes(&house)[0];
        assert_eq!((veto.devices.len(), veto.targets.len()), (64, named));
    }
}

/// A no about whoever sends is still about whoever sends when it has become one with others.
#[test]
fn a_no_about_all_is_not_lost_among_others() {
    let mut house = TestRouter::by_hand(Policy { max_mitigations: 1000, ..policy(Consent::Auto) });
    for n in 1..=65 {
        let suspects = if n == 7 { Vec::new() } else { vec![exact(CAMERA)] };
        let id = house.request(n, &other_attack(n as u16), &suspects);
        house.ledger.reject(id, None, "root", house.now).unwrap();
    }
    assert_eq!(house.ledger.vetoes().count(), 1);
    house.request(100, &other_attack(7), &[exact(LAPTOP)]);
    assert_eq!(house.blocked(), []);
}

/// Nor is it lost to a later no about one device.
#[test]
fn a_no_about_all_stays_beside_one_about_a_device() {
    let mut house = auto();
    let id = house.request(1, &attack(), &[]);
    house.ledger.reject(id, None, "root", house.now).unwrap();
    house.pass(seconds(10));
    let id = house.request(2, &attack(), &[exact(CAMERA)]);
    house.ledger.reject(id, None, "root", house.now).unwrap();
    house.request(3, &attack(), &[exact(LAPTOP)]);
    assert_eq!(house.blocked(), []);
}

/// What a file says of a no that is over, or about nothing, is none: about no target, it would still keep its device from any quarantine.
#[test]
fn a_no_that_says_nothing_is_not_restored() {
    let mut before = auto();
    let id = before.in_force(1, &attack(), CAMERA);
    before.ledger.reject(id, None, "root", before.now).unwrap();
    let restored = |change: fn(&mut SavedVeto)| {
        let mut snapshot = before.ledger.snapshot(before.now);
        snapshot.vetoes.iter_mut().flatten().for_each(change);
        let mut ledger = Ledger::new(policy(Consent::Auto));
        ledger.restore(&snapshot, before.now);
        ledger.vetoes().count()
    };
    assert_eq!(restored(|veto| veto.remaining = 1), 1);
    assert_eq!(restored(|veto| veto.remaining = 0), 0);
    assert_eq!(restored(|veto| veto.targets.clear()), 0);
}

/// A no elsewhere lets nobody go who is but suspected: neither beside another one that is acted upon, nor while the question about
/// it is open, which has its time as before.
#[test]
fn a_no_elsewhere_is_about_whom_the_policy_acts_on() {
    let let_go = |house: &TestRouter| house.ledger.history().any(|entry| entry.event == Happened::Failed);
    let mut house = auto();
    let others = asked_by_other(&mut house, &attack());
    house.ledger.handle_attribution(others, vec![exact(CAMERA), possible(TV)], house.now);
    let id = house.request(1, &attack(), &[possible(TV)]);
    house.ledger.reject(id, None, "root", house.now).unwrap();
    assert_eq!((house.blocked(), let_go(&house)), (vec![CAMERA], false));

    let silence =
        Policy { consent_timeout: Some(seconds(300)), timeout_action: TimeoutAction::Reject, ..policy(Consent::Ask) };
    let mut house = TestRouter::by_hand(silence);
    let others = asked_by_other(&mut house, &attack());
    house.pass(seconds(200));
    let id = house.request(1, &attack(), &[exact(CAMERA)]);
    house.ledger.reject(id, None, "root", house.now).unwrap();
    assert_eq!((house.state(others), let_go(&house)), (State::Pending, false));
    house.pass(seconds(100));
    assert_eq!(house.state(others), State::Rejected);
}
