//! Who is acted upon, and who is asked first.

use crate::support::ledger::*;
use dots_callhome::enforce::NotInForce;
use dots_callhome::enforce::desired::{Desired, Owner, SenderLog};
use dots_callhome::mitigation::{
    Action, Consent, Denied, DevicePolicy, Event, Happened, Policy, Refusal, State, Term, TimeoutAction, Until,
};
use dots_callhome::model::{Mac, MitigationId, Scope};
use dots_callhome::source::Confidence;
use vecset::VecSet;

fn asking() -> TestRouter {
    TestRouter::by_hand(policy(Consent::Ask))
}

fn approve(house: &mut TestRouter, id: MitigationId, devices: &[Mac]) -> Result<(), Denied> {
    house.ledger.approve(id, None, devices, None, "root", house.now)
}

/// Proves CH-5.3.1-24, CH-5.3.1-25, CH-5.3.1-26.
#[test]
fn with_consent_required_nothing_happens_before_the_approval() {
    let mut house = asking();
    let grant = house.put(1, &attack()).unwrap();
    assert!(matches!(house.events().as_slice(), [Event::Search(id)] if *id == grant.id));
    assert!(!house.m(grant.id).assessed());
    house.ledger.handle_attribution(grant.id, vec![exact(CAMERA)], house.now);
    assert!(house.m(grant.id).assessed());
    assert_eq!((house.state(grant.id), house.status(grant.id)), (State::Pending, 1));
    // Nothing but that it is looked who sends.
    let log = SenderLog { id: grant.id, scope: attack() };
    let desired = Desired { sender_logs: vec![log], ..Desired::default() };
    assert_eq!(house.ledger.desired(house.now), desired);
    assert!(house.events().iter().any(|event| matches!(event, Event::Enforce)));
    approve(&mut house, grant.id, &[]).unwrap();
    assert_eq!(house.blocked(), [CAMERA]);
    assert!(house.events().iter().any(|event| matches!(event, Event::Enforce)));
    assert_eq!(house.m(grant.id).decision().unwrap().by, "root");
    house.ledger.handle_enforced(grant.id, Ok(()), house.now);
    assert_eq!(house.status(grant.id), 2);
}

/// Proves CH-5.3.1-25, CH-5.3.1-28.
#[test]
fn without_consent_a_sure_device_is_blocked_at_once() {
    for confidence in [Confidence::Likely, Confidence::Exact] {
        let mut house = TestRouter::by_hand(policy(Consent::Auto));
        let id = house.request(1, &attack(), &[suspect(CAMERA, confidence)]);
        assert_eq!(house.state(id), State::Active);
        assert_eq!(house.blocked(), [CAMERA]);
        assert_eq!(house.m(id).decision().unwrap().by, "policy");
    }
}

/// Proves CH-5.3.1-25: never a device by guess.
#[test]
fn a_possible_device_is_never_acted_upon_without_asking() {
    let mut house = TestRouter::by_hand(with_device(Consent::Auto, CAMERA, DevicePolicy::Auto));
    let id = house.request(1, &attack(), &[possible(CAMERA), possible(TV)]);
    assert_eq!(house.state(id), State::Pending);
    assert!(house.blocked().is_empty());
    let mixed = house.request(2, &other_attack(1), &[possible(CAMERA), exact(TV)]);
    assert_eq!(house.m(mixed).chosen(), [TV]);
    assert_eq!(house.blocked(), [TV]);
}

/// Proves CH-9-01: under observe nothing is ever done, not even by hand or by timeout.
/// Whoever is not the one after all is let go, whatever points to it; only a person can have it blocked again.
#[test]
fn a_device_in_whose_name_another_one_sends_is_let_go() {
    for consent in [Consent::Auto, Consent::Ask] {
        let mut house = TestRouter::by_hand(policy(consent));
        let id = house.request(1, &attack(), &[exact(CAMERA)]);
        if consent == Consent::Ask {
            approve(&mut house, id, &[CAMERA]).unwrap();
        }
        assert_eq!(house.m(id).state(), State::Active);
        let now = house.now;
        house.ledger.handle_spoofed(id, TV, false, now);
        assert_eq!(house.m(id).state(), State::Active, "nothing is in force against that one");
        house.ledger.handle_spoofed(id, CAMERA, true, now);
        assert_eq!(house.m(id).state(), State::Active, "it sends as well");
        house.ledger.handle_spoofed(id, CAMERA, false, now);
        house.ledger.handle_attribution(id, vec![exact(CAMERA)], now);
        let m = house.m(id);
        assert_eq!((m.state(), m.chosen(), m.verified()), (State::Pending, &[][..], false));
        assert_eq!(m.suspects()[0].confidence, Confidence::Possible);
        assert!(m.detail().is_some_and(|detail| detail.contains("another device sends from the address of")));
        assert!(house.blocked().is_empty());
        approve(&mut house, id, &[CAMERA]).unwrap();
        assert_eq!(house.m(id).state(), State::Active);
    }
}

/// Asked for again after its only device was let go while it was ending, nothing is mitigated until somebody decides anew.
#[test]
fn what_has_no_device_left_is_asked_anew_when_it_is_wanted_again() {
    let mut house = TestRouter::by_hand(policy(Consent::Auto));
    let id = house.in_force(1, &attack(), CAMERA);
    house.delete(1);
    house.ledger.handle_spoofed(id, CAMERA, false, house.now);
    assert_eq!((house.state(id), house.blocked()), (State::Terminating, vec![]));
    let generation = house.ledger.generation();
    assert!(!house.put(1, &attack()).unwrap().created);
    assert_eq!((house.state(id), house.status(id)), (State::Pending, 1));
    assert_ne!(house.ledger.generation(), generation);
    approve(&mut house, id, &[CAMERA]).unwrap();
    assert_eq!(house.blocked(), [CAMERA]);
}

/// Nobody is asked about it as if it were sure, and the real one is acted upon as if nothing had been.
#[test]
fn a_suspect_in_whose_name_another_one_sends_is_doubted() {
    for (consent, state) in [(Consent::Ask, State::Pending), (Consent::Auto, State::Active)] {
        let mut house =
            TestRouter::by_hand(Policy { devices: [(CAMERA, DevicePolicy::Ask)].into(), ..policy(consent) });
        let id = house.request(1, &attack(), &[exact(CAMERA)]);
        let now = house.now;
        assert_eq!(house.m(id).state(), State::Pending);
        house.ledger.handle_spoofed(id, CAMERA, true, now);
        assert_eq!(house.m(id).suspects()[0].confidence, Confidence::Possible);
        assert!(house.m(id).detail().is_some_and(|detail| detail.starts_with("another device sends from the address")));
        house.ledger.handle_attribution(id, vec![possible(TV)], now);
        let suspects: Vec<Mac> = house.m(id).suspects().iter().map(|suspect| suspect.mac).collect();
        assert_eq!(suspects, [TV, CAMERA], "the one that sends comes first");
        house.ledger.handle_attribution(id, vec![exact(TV)], now);
        let m = house.m(id);
        assert_eq!((m.state(), m.suspects()[0].mac), (state, TV));
        assert_eq!(house.blocked(), if consent == Consent::Auto { vec![TV] } else { vec![] });
    }
}

/// Who sends from where a blocked device sent before may be the same with another Ethernet address.
#[test]
fn a_successor_is_hinted_at_and_not_acted_upon() {
    let mut house = TestRouter::by_hand(policy(Consent::Auto));
    let id = house.request(1, &attack(), &[exact(CAMERA)]);
    let now = house.now;
    house.ledger.handle_enforced(id, Ok(()), now);
    assert_eq!(house.m(id).detail(), None);
    house.ledger.handle_attribution(id, vec![possible(TV)], now);
    let m = house.m(id);
    assert_eq!((m.chosen(), m.verified()), (&[CAMERA][..], true));
    let hint = "02:00:00:00:00:22 sends from 192.168.1.23, as 02:00:00:00:00:11 did before";
    assert!(m.detail().is_some_and(|detail| detail.starts_with(hint)), "{:?}", m.detail());
}

#[test]
fn observing_means_never_acting() {
    let mut house = TestRouter::by_hand(Policy {
        consent_timeout: Some(seconds(10)),
        timeout_action: TimeoutAction::Approve,
        ..with_device(Consent::Observe, CAMERA, DevicePolicy::Auto)
    });
    let id = house.request(1, &attack(), &[exact(CAMERA)]);
    assert_eq!((house.state(id), house.status(id)), (State::Pending, 1));
    assert_eq!(approve(&mut house, id, &[]), Err(Denied::NotInThisState));
    house.pass(seconds(60));
    assert_eq!(house.state(id), State::Pending);
    assert!(house.blocked().is_empty() && house.quarantined().is_empty());
}

/// Proves CH-9-01: each device's own rule goes before the general one.
#[test]
fn a_device_has_its_own_rule() {
    let mut house = TestRouter::by_hand(with_device(Consent::Ask, CAMERA, DevicePolicy::Auto));
    let id = house.request(1, &attack(), &[exact(CAMERA), exact(TV)]);
    assert_eq!(house.m(id).chosen(), [CAMERA]);
    assert_eq!(house.m(id).suspects().len(), 2);
    let mut house = TestRouter::by_hand(with_device(Consent::Auto, CAMERA, DevicePolicy::Ask));
    let id = house.request(1, &attack(), &[exact(CAMERA)]);
    assert_eq!(house.state(id), State::Pending);
}

/// Proves CH-9-01, CH-5.3.1-27: an exempt device makes the request one about legitimate traffic.
#[test]
fn requests_about_an_exempt_device_are_refused_as_legitimate() {
    let mut house = TestRouter::by_hand(with_device(Consent::Auto, CAMERA, DevicePolicy::Exempt));
    let id = house.request(1, &attack(), &[exact(CAMERA)]);
    assert!(house.m(id).assessed() && house.m(id).legitimate());
    assert_eq!((house.state(id), house.status(id)), (State::Rejected, 7));
    assert!(house.blocked().is_empty());
    house.delete(1);
    assert!(house.ledger.get(id).is_none());
    let beside = house.request(2, &attack(), &[exact(CAMERA), exact(TV)]);
    assert_eq!(house.m(beside).chosen(), [TV], "the exempt one is never among them");
    let unsure = house.request(3, &attack(), &[possible(CAMERA)]);
    assert_eq!(house.state(unsure), State::Searching, "a guess neither blames nor clears");
    assert_eq!(approve(&mut house, unsure, &[CAMERA]), Err(Denied::NotInThisState));
    let asked = house.request(4, &attack(), &[possible(CAMERA), possible(TV)]);
    assert_eq!(approve(&mut house, asked, &[CAMERA]), Err(Denied::Exempt));
    assert_eq!(house.ledger.quarantine(CAMERA, None, None, "root", house.now), Err(Denied::Exempt));
    approve(&mut house, asked, &[]).unwrap();
    assert_eq!(house.blocked(), [TV]);
}

/// Proves CH-5.3.1-27.
#[test]
fn a_rejection_is_told_until_the_lifetime_ends() {
    let mut house = asking();
    let id = house.request(1, &attack(), &[exact(CAMERA)]);
    house.ledger.reject(id, Some("my backup"), "root", house.now).unwrap();
    assert_eq!((house.state(id), house.status(id)), (State::Rejected, 7));
    assert!(house.m(id).legitimate());
    assert!(house.blocked().is_empty());
    house.pass(seconds(600));
    assert_eq!(house.put(1, &attack()), Err(Refusal::Legitimate));
    assert_eq!(house.m(id).remaining(house.now), seconds(3000));
    house.ledger.handle_attribution(id, vec![exact(CAMERA)], house.now);
    assert_eq!(house.state(id), State::Rejected);
    assert_eq!(approve(&mut house, id, &[]), Err(Denied::NotInThisState));
    assert_eq!(house.ledger.reject(id, None, "root", house.now), Err(Denied::NotInThisState));
    house.pass(seconds(3000));
    assert!(house.ledger.get(id).is_none());
}

/// Proves CH-5.3.1-27: what is in force already can be judged legitimate too.
#[test]
fn rejecting_what_is_in_force_unblocks_at_once() {
    let mut house = TestRouter::by_hand(policy(Consent::Auto));
    let id = house.in_force(1, &attack(), CAMERA);
    house.ledger.handle_enforced(id, Err(NotInForce::Nft("flows remain".into())), house.now);
    house.ledger.reject(id, None, "root", house.now).unwrap();
    assert!(house.blocked().is_empty());
    assert_eq!(house.m(id).detail(), None, "why it was not in force is of no concern any more");
    assert!(house.m(id).legitimate());
}

/// Proves CH-5.3.1-24: among several devices the administrator chooses.
#[test]
fn with_several_candidates_the_devices_have_to_be_named() {
    let mut house = asking();
    let unsure = house.request(1, &attack(), &[exact(CAMERA), possible(TV)]);
    assert_eq!(approve(&mut house, unsure, &[]), Err(Denied::Ambiguous));
    assert_eq!(approve(&mut house, unsure, &[LAPTOP]), Err(Denied::NoSuchDevice));
    assert_eq!(approve(&mut house, unsure, &[TV, LAPTOP]), Err(Denied::NoSuchDevice));
    assert!(house.blocked().is_empty());
    approve(&mut house, unsure, &[TV]).unwrap();
    assert_eq!(house.blocked(), [TV]);
    let sure = house.request(2, &other_attack(1), &[exact(CAMERA), exact(TV)]);
    approve(&mut house, sure, &[]).unwrap();
    assert_eq!(house.m(sure).chosen(), [CAMERA, TV]);
    let one = house.request(3, &other_attack(2), &[possible(LAPTOP)]);
    approve(&mut house, one, &[]).unwrap();
    assert_eq!(house.m(one).chosen(), [LAPTOP]);
    let nobody = house.request(4, &other_attack(3), &[]);
    assert_eq!(approve(&mut house, nobody, &[]), Err(Denied::NotInThisState));
    assert_eq!(approve(&mut house, MitigationId(4711), &[]), Err(Denied::NoSuchMitigation));
}

/// Proves CH-5.3.1-28: an unattributed request keeps searching and acts when the device shows.
#[test]
fn a_search_ends_when_the_device_shows() {
    let mut house = TestRouter::by_hand(policy(Consent::Auto));
    let id = house.request(1, &attack(), &[]);
    assert_eq!((house.state(id), house.status(id)), (State::Searching, 1));
    house.pass(seconds(100));
    house.ledger.handle_attribution(id, vec![exact(CAMERA)], house.now);
    assert_eq!(house.blocked(), [CAMERA]);
    house.ledger.handle_enforced(id, Ok(()), house.now);
    house.ledger.handle_attribution(id, vec![], house.now);
    assert_eq!((house.m(id).suspects().len(), house.status(id)), (1, 2), "finding nothing later changes nothing");
    house.ledger.handle_attribution(id, vec![exact(TV)], house.now);
    assert_eq!(house.m(id).chosen(), [CAMERA, TV]);
    assert_eq!(house.status(id), 1, "the second has yet to be verified");
}

/// Proves CH-5.3.1-24: later evidence is shown; a decision made stays what it was.
#[test]
fn later_evidence_updates_the_question_and_not_the_answer() {
    let mut house = asking();
    let id = house.request(1, &attack(), &[possible(CAMERA)]);
    house.events();
    house.ledger.handle_attribution(id, vec![exact(CAMERA)], house.now);
    assert_eq!(house.m(id).suspects()[0].confidence, Confidence::Exact);
    assert_eq!(house.state(id), State::Pending);
    assert!(matches!(house.events().as_slice(), [Event::Changed(_)]));
    house.ledger.handle_attribution(id, vec![possible(CAMERA)], house.now);
    assert_eq!(house.m(id).suspects()[0].confidence, Confidence::Exact, "what was known stays known");
    approve(&mut house, id, &[]).unwrap();
    house.ledger.handle_attribution(id, vec![exact(TV)], house.now);
    assert_eq!(house.m(id).suspects().len(), 2);
    assert_eq!(house.blocked(), [CAMERA]);
    approve(&mut house, id, &[TV]).unwrap();
    assert_eq!(house.blocked(), [CAMERA, TV]);
}

/// Proves CH-5.3.1-24: silence is answered as configured, and approval by silence still never guesses.
#[test]
fn silence_is_answered_as_configured() {
    let silent = |timeout_action, suspects: &[_]| {
        let mut house =
            TestRouter::by_hand(Policy { consent_timeout: Some(seconds(300)), timeout_action, ..policy(Consent::Ask) });
        let id = house.request(1, &attack(), suspects);
        house.pass(seconds(299));
        assert_eq!(house.state(id), State::Pending);
        house.pass(seconds(1));
        (house.state(id), house.blocked())
    };
    assert_eq!(silent(TimeoutAction::Ignore, &[exact(CAMERA)]), (State::Pending, vec![]));
    assert_eq!(silent(TimeoutAction::Reject, &[exact(CAMERA)]), (State::Rejected, vec![]));
    assert_eq!(silent(TimeoutAction::Approve, &[exact(CAMERA), possible(TV)]), (State::Active, vec![CAMERA]));
    assert_eq!(silent(TimeoutAction::Approve, &[possible(CAMERA)]), (State::Pending, vec![]));
}

/// Proves CH-9-01: the router itself is never a device.
#[test]
fn the_router_is_never_a_device() {
    let mut house = TestRouter::by_hand(policy(Consent::Auto));
    house.ledger.set_router(VecSet::from([CAMERA]), house.now);
    let id = house.request(1, &attack(), &[exact(CAMERA)]);
    assert_eq!(house.state(id), State::Searching);
    assert!(house.m(id).suspects().is_empty());
    assert_eq!(house.ledger.quarantine(CAMERA, None, None, "root", house.now), Err(Denied::NoSuchDevice));
    let late = house.request(2, &other_attack(1), &[exact(TV)]);
    assert_eq!(house.blocked(), [TV]);
    house.ledger.set_router(VecSet::from([TV]), house.now);
    assert!(house.blocked().is_empty());
    assert_eq!(house.state(late), State::Withdrawn);
}

/// Proves CH-5.3.1-28: a quarantine asked for as long as the provider asks lasts as long as the mitigation, a standing one until released.
#[test]
fn quarantine_ends_with_the_mitigation_unless_made_standing() {
    let mut house = asking();
    let id = house.request(1, &attack(), &[exact(CAMERA)]);
    let while_asked = Term::new(Some(Until::Request), None).unwrap();
    house.ledger.approve(id, Some(Action::Quarantine), &[], while_asked, "root", house.now).unwrap();
    assert_eq!(house.quarantined(), [CAMERA]);
    assert!(house.blocked().is_empty());
    let desired = house.ledger.desired(house.now);
    assert_eq!(desired.quarantined[0].owner, Owner::Mitigation(id));
    assert_eq!(desired.quarantined[0].remaining, Some(seconds(3600)));
    house.ledger.quarantine(TV, Some(seconds(7200)), Some("odd"), "root", house.now).unwrap();
    house.ledger.quarantine(LAPTOP, None, None, "root", house.now).unwrap();
    house.pass(seconds(3600));
    assert_eq!(house.quarantined(), [TV, LAPTOP]);
    assert_eq!(house.ledger.manual_quarantine(TV).unwrap().decision.comment.as_deref(), Some("odd"));
    house.events();
    house.pass(seconds(3600));
    assert_eq!(house.quarantined(), [LAPTOP]);
    assert!(matches!(house.events().as_slice(), [Event::Enforce]));
    house.ledger.release(LAPTOP, "root", house.now).unwrap();
    assert!(house.quarantined().is_empty());
    assert_eq!(house.ledger.release(LAPTOP, "root", house.now), Err(Denied::NotInThisState));
    assert_eq!(
        house.ledger.history().next().map(|entry| (entry.event, entry.mac())),
        Some((Happened::Released, Some(LAPTOP)))
    );
}

/// Proves CH-5.3.1-28: release ends everything in force against a device, and policy doesn't take it back.
#[test]
fn release_ends_all_that_is_in_force_against_a_device() {
    let mut house = TestRouter::by_hand(policy(Consent::Auto));
    let alone = house.in_force(1, &attack(), CAMERA);
    let shared = house.request(2, &other_attack(1), &[exact(CAMERA), exact(TV)]);
    house.ledger.handle_enforced(shared, Ok(()), house.now);
    house.ledger.quarantine(CAMERA, None, None, "root", house.now).unwrap();
    house.ledger.release(CAMERA, "root", house.now).unwrap();
    assert_eq!((house.blocked(), house.quarantined()), (vec![TV], vec![]));
    assert_eq!((house.state(alone), house.status(alone)), (State::Withdrawn, 7));
    assert_eq!(house.status(shared), 2);
    house.ledger.handle_attribution(shared, vec![exact(CAMERA)], house.now);
    assert_eq!(house.blocked(), [TV]);
    approve(&mut house, shared, &[CAMERA]).unwrap();
    assert_eq!(house.blocked(), [TV, CAMERA], "the administrator may change his mind");
}

/// Proves CH-5.3.1-24: the administrator's bound on the lifetime holds against every refresh.
#[test]
fn the_administrators_bound_outlives_refreshes() {
    let mut house = asking();
    let id = house.request(1, &attack(), &[exact(CAMERA)]);
    house.ledger.approve(id, None, &[], Some(seconds(600)), "root", house.now).unwrap();
    assert_eq!(house.m(id).remaining(house.now), seconds(600));
    house.pass(seconds(500));
    assert_eq!(house.put(1, &attack()).unwrap().lifetime, seconds(100));
    house.pass(seconds(50));
    house.delete(1);
    assert_eq!(house.m(id).remaining(house.now), seconds(50), "nor does the terminating period pass it");
    house.pass(seconds(50));
    assert!(house.blocked().is_empty());
}

/// Proves CH-9-01: a change of the rules applies to what is pending and to what is in force.
#[test]
fn new_rules_apply_at_once() {
    let mut house = asking();
    let pending = house.request(1, &attack(), &[exact(CAMERA)]);
    house.ledger.set_policy(with_device(Consent::Ask, CAMERA, DevicePolicy::Auto), house.now);
    assert_eq!(house.blocked(), [CAMERA]);
    house.ledger.quarantine(CAMERA, None, None, "root", house.now).unwrap();
    house.ledger.set_policy(with_device(Consent::Ask, CAMERA, DevicePolicy::Exempt), house.now);
    assert_eq!((house.blocked(), house.quarantined()), (vec![], vec![]));
    assert!(house.m(pending).legitimate());
    let mut house = TestRouter::by_hand(policy(Consent::Auto));
    let active = house.in_force(1, &attack(), CAMERA);
    house.ledger.handle_enforced(active, Err(NotInForce::Nft("flows remain".into())), house.now);
    house.in_force(2, &other_attack(1), TV);
    house.delete(2);
    house.ledger.quarantine(LAPTOP, None, None, "root", house.now).unwrap();
    house.ledger.set_policy(policy(Consent::Observe), house.now);
    assert_eq!((house.blocked(), house.quarantined()), (vec![], vec![LAPTOP]));
    assert_eq!((house.state(active), house.status(active)), (State::Pending, 1));
    assert_eq!(house.m(active).detail(), None);
    assert!(house.ledger.find(&isp(), 2).is_none());
    house.ledger.set_policy(policy(Consent::Auto), house.now);
    assert_eq!(house.blocked(), [CAMERA]);
}

/// Comments come from people and pages: only as much as is useful is kept.
#[test]
fn comments_are_bounded() {
    let mut house = asking();
    let id = house.request(1, &attack(), &[exact(CAMERA)]);
    house.ledger.reject(id, Some(&"é".repeat(100_000)), "root", house.now).unwrap();
    assert_eq!(house.m(id).decision().unwrap().comment, Some("é".repeat(256)));
}

/// Who has not answered for a day is reminded, once; not who has, nor where nothing is to be decided.
#[test]
fn a_question_is_asked_once_more_after_a_day() {
    let day = seconds(86_400);
    let reminders = |house: &TestRouter| house.ledger.history().filter(|e| e.event == Happened::Reminder).count();
    let ask = |house: &mut TestRouter, mid, scope: &Scope, mac| {
        let id = house.ledger.put(&isp(), mid, scope, None, false, house.now).unwrap().id;
        house.ledger.handle_attribution(id, vec![exact(mac)], house.now);
        id
    };
    let mut house = TestRouter::by_hand(Policy { max_lifetime: 4 * day, ..policy(Consent::Ask) });
    let id = ask(&mut house, 1, &attack(), CAMERA);
    let other = ask(&mut house, 2, &other_attack(1), TV);
    approve(&mut house, other, &[]).unwrap();
    house.pass(day - seconds(1));
    assert_eq!(reminders(&house), 0);
    house.pass(seconds(1));
    assert_eq!((reminders(&house), house.state(id)), (1, State::Pending));
    let reminder = house.ledger.history().find(|e| e.event == Happened::Reminder).unwrap();
    assert_eq!((reminder.id(), reminder.mac()), (Some(id), Some(CAMERA)));
    house.pass(day);
    assert_eq!((reminders(&house), house.state(id)), (1, State::Pending));

    let mut house = TestRouter::by_hand(Policy { max_lifetime: 4 * day, ..policy(Consent::Observe) });
    ask(&mut house, 1, &attack(), CAMERA);
    house.pass(day + day);
    assert_eq!(reminders(&house), 0);
}
