//! Single checks of consent, exemption and bounds, each of which nothing else would make up for.

use crate::support::ledger::*;
use dots_callhome::mitigation::snapshot::Snapshot;
use dots_callhome::mitigation::{Action, Consent, Denied, DevicePolicy, Ledger, Policy, State, TimeoutAction};
use dots_callhome::source::Suspect;
use vecset::VecSet;

fn asking() -> TestRouter {
    TestRouter::by_hand(policy(Consent::Ask))
}

fn restored(snapshot: &Snapshot, policy: Policy, house: &TestRouter) -> TestRouter {
    let mut ledger = Ledger::new(policy);
    ledger.restore(snapshot, house.now);
    TestRouter::resumed(ledger, house.now)
}

/// Proves CH-5.3.1-25: what was refused after all, or ended by a person, hands no consent on.
#[test]
fn what_is_refused_hands_no_consent_on() {
    for rejected in [true, false] {
        let mut house = asking();
        let id = house.in_force(1, &attack(), CAMERA);
        match rejected {
            true => house.ledger.reject(id, None, "root", house.now).unwrap(),
            false => house.ledger.withdraw(id, None, "root", house.now).unwrap(),
        }
        let next = house.request(2, &attack(), &[exact(CAMERA)]);
        assert_eq!((house.state(next), house.blocked()), (State::Pending, vec![]));
    }
}

/// Proves CH-5.3.1-24: "for an hour" is an hour, whatever number the provider asks with.
#[test]
fn the_administrators_bound_passes_to_the_successor() {
    let mut house = asking();
    let id = house.request(1, &attack(), &[exact(CAMERA)]);
    house.ledger.approve(id, None, &[], Some(seconds(600)), "root", house.now).unwrap();
    house.pass(seconds(100));
    let next = house.request(2, &attack(), &[exact(CAMERA)]);
    assert_eq!((house.blocked(), house.m(next).remaining(house.now)), (vec![CAMERA], seconds(500)));
    assert_eq!(house.put(2, &attack()).unwrap().lifetime, seconds(500));
    house.pass(seconds(500));
    assert!(house.blocked().is_empty());
}

/// Proves CH-5.3.1-24: silence is no yes for an exempt device, however sure the search is.
#[test]
fn silence_spares_exempt_devices() {
    let rules = with_device(Consent::Ask, CAMERA, DevicePolicy::Exempt);
    let (consent_timeout, timeout_action) = (Some(seconds(300)), TimeoutAction::Approve);
    let mut house = TestRouter::by_hand(Policy { consent_timeout, timeout_action, ..rules });
    house.request(1, &attack(), &[exact(CAMERA), exact(TV)]);
    house.pass(seconds(300));
    assert_eq!(house.blocked(), [TV]);
}

/// Proves CH-5.3.1-28: that only exempt devices are left as suspects does not undo what is in force.
#[test]
fn a_block_in_force_is_not_legitimate_traffic() {
    let mut house = asking();
    let id = house.request(1, &attack(), &[exact(CAMERA), possible(TV)]);
    house.ledger.approve(id, None, &[TV], None, "root", house.now).unwrap();
    house.ledger.set_policy(with_device(Consent::Ask, CAMERA, DevicePolicy::Exempt), house.now);
    house.ledger.handle_attribution(id, vec![exact(CAMERA)], house.now);
    assert_eq!((house.state(id), house.blocked()), (State::Active, vec![TV]));
}

/// Whose consent it was is not said of a device that nobody consented to.
#[test]
fn a_decision_is_shown_for_whom_it_was_about() {
    let mut house = asking();
    house.in_force(1, &attack(), CAMERA);
    house.ledger.set_policy(policy(Consent::Auto), house.now);
    let next = house.request(2, &attack(), &[exact(TV)]);
    assert_eq!((house.m(next).decision().unwrap().by.as_str(), house.blocked()), ("policy", vec![TV]));
}

/// Proves CH-5.3.1-25: an inherited consent is worth nothing under `observe`.
#[test]
fn consent_does_not_outlive_a_change_to_observe() {
    let mut house = asking();
    house.in_force(1, &attack(), CAMERA);
    let next = house.put(2, &attack()).unwrap().id;
    house.ledger.set_policy(policy(Consent::Observe), house.now);
    house.ledger.handle_attribution(next, vec![exact(CAMERA)], house.now);
    assert_eq!((house.state(next), house.blocked()), (State::Pending, vec![]));
    house.ledger.set_policy(policy(Consent::Ask), house.now);
    assert_eq!((house.state(next), house.blocked()), (State::Pending, vec![]));
}

/// What goes further is about all devices of a mitigation: who names but some of them has not meant the others.
#[test]
fn a_stronger_action_names_all_whom_it_is_about() {
    let mut house = asking();
    let id = house.request(1, &attack(), &[exact(CAMERA), exact(TV)]);
    house.ledger.approve(id, None, &[CAMERA], None, "root", house.now).unwrap();
    let quarantine = Some(Action::Quarantine);
    let denied = house.ledger.approve(id, quarantine, &[TV], None, "root", house.now);
    assert_eq!((denied, house.blocked(), house.quarantined()), (Err(Denied::Ambiguous), vec![CAMERA], vec![]));
    house.ledger.approve(id, quarantine, &[CAMERA, TV], None, "root", house.now).unwrap();
    assert_eq!(house.quarantined(), [CAMERA, TV]);
    house.ledger.approve(id, Some(Action::Block), &[TV], None, "root", house.now).unwrap();
    assert_eq!((house.blocked(), house.quarantined()), (vec![CAMERA, TV], vec![]));
}

/// What a file says is in force needs somebody who decided so.
#[test]
fn nothing_is_restored_without_a_decision() {
    let mut before = asking();
    before.in_force(1, &attack(), CAMERA);
    let mut snapshot = before.ledger.snapshot(before.now);
    snapshot.mitigations[0].decision = None;
    let after = restored(&snapshot, policy(Consent::Ask), &before);
    assert_eq!((after.ledger.all().next().unwrap().state(), after.blocked()), (State::Searching, vec![]));
}

/// Proves CH-9-01 over a restart: neither an exempt device nor the router is quarantined again.
#[test]
fn quarantines_are_restored_by_the_rules_of_today() {
    let mut before = asking();
    for mac in [CAMERA, TV, LAPTOP] {
        before.ledger.quarantine(mac, None, None, "root", before.now).unwrap();
    }
    let mut ledger = Ledger::new(with_device(Consent::Ask, CAMERA, DevicePolicy::Exempt));
    ledger.set_router(VecSet::from([TV]), before.now);
    ledger.restore(&before.ledger.snapshot(before.now), before.now);
    assert_eq!(TestRouter::resumed(ledger, before.now).quarantined(), [LAPTOP]);
}

/// Who was let go stays so in the same request, also when the no that followed from it is over: the request has been renewed for
/// longer than that.
#[test]
fn a_device_let_go_stays_so_as_long_as_its_request() {
    for restarts in [false, true] {
        let mut house = TestRouter::by_hand(policy(Consent::Auto));
        let id = house.request(1, &attack(), &[exact(CAMERA), exact(TV)]);
        house.ledger.release(TV, "root", house.now).unwrap();
        if restarts {
            house = restored(&house.ledger.snapshot(house.now), policy(Consent::Auto), &house);
        }
        for _ in 0..50 {
            house.pass(seconds(1800));
            house.put(1, &attack()).unwrap();
        }
        assert_eq!(house.ledger.vetoes().count(), 0);
        let again = Suspect { addresses: Vec::new(), ..exact(TV) };
        house.ledger.handle_attribution(id, vec![exact(CAMERA), again], house.now);
        assert_eq!(house.blocked(), [CAMERA], "{restarts}");
    }
}

/// A yes to a device that was let go is one like any other: it passes to the successor.
#[test]
fn a_yes_after_a_release_counts_for_the_successor() {
    let mut house = asking();
    let id = house.request(1, &attack(), &[exact(CAMERA), exact(TV)]);
    house.ledger.approve(id, None, &[CAMERA, TV], None, "root", house.now).unwrap();
    house.ledger.release(TV, "root", house.now).unwrap();
    house.ledger.approve(id, None, &[TV], None, "root", house.now).unwrap();
    house.request(2, &attack(), &[exact(CAMERA), exact(TV)]);
    assert_eq!(house.blocked(), [CAMERA, TV]);
}

/// An Ethernet address that turns out to be the router's own is no suspect any more, whoever approves.
#[test]
fn the_router_can_never_be_approved() {
    let mut house = asking();
    let id = house.request(1, &attack(), &[possible(CAMERA), possible(TV)]);
    house.ledger.set_router([CAMERA].into(), house.now);
    assert_eq!(house.ledger.approve(id, None, &[CAMERA], None, "root", house.now), Err(Denied::NoSuchDevice));
    house.ledger.approve(id, None, &[], None, "root", house.now).unwrap();
    assert_eq!(house.blocked(), [TV]);
}

/// Where all suspects have become exempt there is nobody to approve.
#[test]
fn an_approval_is_of_somebody() {
    let mut house = asking();
    let id = house.request(1, &attack(), &[possible(CAMERA)]);
    house.ledger.set_policy(with_device(Consent::Ask, CAMERA, DevicePolicy::Exempt), house.now);
    assert_eq!(house.state(id), State::Pending);
    assert_eq!(house.ledger.approve(id, None, &[], None, "root", house.now), Err(Denied::NoSuchDevice));
}

/// What has ended is judged no more, whatever the rules become.
#[test]
fn an_ended_request_is_not_judged_again() {
    let mut house = asking();
    let id = house.in_force(1, &attack(), CAMERA);
    house.ledger.withdraw(id, None, "root", house.now).unwrap();
    house.ledger.set_policy(with_device(Consent::Ask, CAMERA, DevicePolicy::Exempt), house.now);
    assert_eq!(house.state(id), State::Withdrawn);
}

/// Consent that waits for a search is not lost by rules that say nothing of its device.
#[test]
fn other_rules_leave_consent_that_waits() {
    let mut house = asking();
    house.in_force(1, &attack(), CAMERA);
    let next = house.put(2, &attack()).unwrap().id;
    house.ledger.set_policy(with_device(Consent::Ask, TV, DevicePolicy::Exempt), house.now);
    house.ledger.handle_attribution(next, vec![exact(CAMERA)], house.now);
    assert_eq!(house.blocked(), [CAMERA]);
}

/// Who was known to be in doubt and was approved all the same is let go once it is seen not to send itself; who was not, is told
/// once.
#[test]
fn a_doubt_counts_again_for_whom_was_approved_since() {
    let mut house = asking();
    let id = house.request(1, &attack(), &[exact(CAMERA)]);
    house.ledger.handle_spoofed(id, CAMERA, true, house.now);
    let vetoes = house.ledger.generation();
    house.ledger.handle_spoofed(id, CAMERA, true, house.now);
    assert_eq!(house.ledger.generation(), vetoes, "once");
    house.ledger.approve(id, None, &[CAMERA], None, "root", house.now).unwrap();
    assert_eq!(house.blocked(), [CAMERA]);
    house.ledger.handle_spoofed(id, CAMERA, false, house.now);
    assert_eq!((house.state(id), house.blocked()), (State::Pending, vec![]));
}

/// A doubt is about suspects only, and about one that is not acted upon while another one is.
#[test]
fn a_doubt_is_about_its_suspect() {
    let mut house = asking();
    let id = house.in_force(1, &attack(), CAMERA);
    house.ledger.handle_spoofed(id, TV, true, house.now);
    assert_eq!(house.ledger.vetoes().count(), 0, "no suspect");
    house.ledger.handle_attribution(id, vec![exact(CAMERA), exact(TV)], house.now);
    house.ledger.handle_spoofed(id, CAMERA, true, house.now);
    assert_eq!((house.ledger.vetoes().count(), house.blocked()), (0, vec![CAMERA]), "it sends itself");
    house.ledger.handle_spoofed(id, TV, true, house.now);
    assert_eq!(house.ledger.vetoes().next().map(|veto| veto.devices.clone()), Some(vec![TV]));
    assert_eq!(house.blocked(), [CAMERA]);
}

/// Nothing is in force against a device that is only suspected, or while another one is blocked.
#[test]
fn only_what_is_in_force_is_released() {
    let mut house = asking();
    house.request(1, &attack(), &[exact(CAMERA), exact(TV)]);
    assert_eq!(house.ledger.release(CAMERA, "root", house.now), Err(Denied::NotInThisState));
    house.in_force(2, &other_attack(1), CAMERA);
    assert_eq!(house.ledger.release(TV, "root", house.now), Err(Denied::NotInThisState));
    house.ledger.release(CAMERA, "root", house.now).unwrap();
    assert_eq!(house.ledger.vetoes().count(), 1);
}

/// The first clock that is believed: what was kept then has aged since, what was kept a second before has not.
#[test]
fn time_counts_from_the_first_clock_that_is_believed() {
    const KNOWN: u64 = 1_735_689_600;
    for (saved, lasts) in [(KNOWN - 1, true), (KNOWN, false)] {
        let mut house = asking();
        house.ledger.quarantine(CAMERA, Some(seconds(100)), None, "root", house.now).unwrap();
        let snapshot = Snapshot { saved, ..house.ledger.snapshot(house.now) };
        house.now.unix = KNOWN + 200;
        assert_eq!(restored(&snapshot, policy(Consent::Ask), &house).ledger.manual_quarantine(CAMERA).is_some(), lasts);
    }
}
