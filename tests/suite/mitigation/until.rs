//! A person's decision holds as long as the person said, whatever becomes of the provider's request.

use dots_callhome::mitigation::{
    Action, Consent, Denied, DevicePolicy, Happened, Ledger, Policy, Term, Until, snapshot,
};
use dots_callhome::model::{Mac, MitigationId};

use crate::support::ledger::*;

fn house() -> TestRouter {
    TestRouter::by_hand(policy(Consent::Ask))
}

fn until(until: Until) -> Term {
    Term::new(Some(until), None).unwrap()
}

fn during(time: u64) -> Term {
    Term::new(Some(Until::Time), Some(seconds(time))).unwrap()
}

/// A request about the camera that a person has approved so, in force.
fn approved(house: &mut TestRouter, action: Action, term: impl Into<Term>) -> MitigationId {
    let id = house.request(1, &attack(), &[exact(CAMERA)]);
    house.ledger.approve(id, Some(action), &[], term, "root", house.now).unwrap();
    house.ledger.handle_enforced(id, Ok(()), house.now);
    id
}

fn restart(house: &mut TestRouter) {
    let content = snapshot::encode(&house.ledger.snapshot(house.now));
    let mut ledger = Ledger::new(house.ledger.policy().clone());
    ledger.restore(&snapshot::decode(&content).unwrap(), house.now);
    house.ledger = ledger;
}

fn in_force(house: &TestRouter) -> Vec<Mac> {
    [house.blocked(), house.quarantined()].concat()
}

/// All ways in which a provider's request ends.
const ENDS: [fn(&mut TestRouter); 4] = [
    |house| house.pass(seconds(3600)),
    |house| {
        house.delete(1);
        house.pass(seconds(120));
    },
    |house| assert!(house.put(2, &attack()).unwrap().created),
    |house| {
        house.pass(seconds(3000));
        restart(house);
        house.pass(seconds(600));
    },
];

#[test]
fn a_quarantine_lasts_until_released_however_the_request_ends() {
    for end in ENDS {
        let mut house = house();
        let id = approved(&mut house, Action::Quarantine, None);
        end(&mut house);
        assert!(house.ledger.find(&isp(), 1).is_none(), "for the provider it is over");
        assert_eq!(house.quarantined(), [CAMERA]);
        assert!(!house.m(id).asked() && house.m(id).until() == Until::Ended);
        house.pass(seconds(400 * 86_400));
        assert_eq!(house.quarantined(), [CAMERA]);
        restart(&mut house);
        house.pass(seconds(400 * 86_400));
        assert_eq!(house.quarantined(), [CAMERA]);
        house.ledger.release(CAMERA, "root", house.now).unwrap();
        assert!(in_force(&house).is_empty());
        assert!(house.ledger.get(id).is_none());
    }
}

#[test]
fn a_block_lasts_as_chosen_however_the_request_ends() {
    for end in ENDS {
        let mut house = house();
        approved(&mut house, Action::Block, until(Until::Request));
        end(&mut house);
        assert!(in_force(&house).is_empty(), "as long as the provider asks");
        house = self::house();
        let id = approved(&mut house, Action::Block, until(Until::Ended));
        end(&mut house);
        house.pass(seconds(400 * 86_400));
        assert_eq!(house.blocked(), [CAMERA], "until a person ends it");
        house.ledger.withdraw(id, None, "root", house.now).unwrap();
        assert!(in_force(&house).is_empty());
    }
}

/// Longer than the request and shorter, for both actions; a lifetime alone means a time for a quarantine.
#[test]
fn a_time_of_ones_own_is_kept_to_the_second() {
    for (action, term) in [(Action::Block, during(7000)), (Action::Quarantine, Some(seconds(7000)).into())] {
        for end in ENDS {
            let mut house = house();
            let begin = house.now.instant;
            let id = approved(&mut house, action, term);
            end(&mut house);
            assert_eq!(in_force(&house), [CAMERA]);
            let passed = house.now.instant.duration_since(begin);
            assert_eq!(house.m(id).left(house.now), Some(seconds(7000) - passed));
            house.pass(seconds(6999) - passed);
            assert_eq!(in_force(&house), [CAMERA]);
            house.pass(seconds(1));
            assert!(in_force(&house).is_empty() && house.ledger.get(id).is_none());
        }
    }
    let mut house = house();
    approved(&mut house, Action::Quarantine, during(60));
    house.pass(seconds(60));
    assert!(in_force(&house).is_empty() && house.ledger.all().count() == 0);
}

/// As before there was a choice: the time bounds what the provider is granted.
#[test]
fn the_provider_is_told_no_more_than_the_chosen_time() {
    let mut house = house();
    let id = approved(&mut house, Action::Block, Some(seconds(600)));
    assert_eq!((house.m(id).remaining(house.now), house.m(id).until()), (seconds(600), Until::Request));
    house.pass(seconds(600));
    assert!(house.ledger.all().count() == 0);
}

#[test]
fn what_nobody_asks_for_is_no_conflict_and_takes_no_number_of_the_provider() {
    let mut house = house();
    let id = approved(&mut house, Action::Block, until(Until::Ended));
    house.pass(seconds(3600));
    let again = house.put(1, &attack()).unwrap();
    assert!(again.created && again.id != id);
    assert_eq!(house.ledger.of_client(&isp()).count(), 1);
    assert_eq!(house.m(id).remaining(house.now), seconds(0));
    house.delete(1);
    assert_eq!(house.blocked(), [CAMERA]);
}

/// Only what a person has approved goes on without the request: the policy acts because a provider asks.
#[test]
fn devices_of_the_policy_end_with_the_request() {
    let mut house = TestRouter::by_hand(with_device(Consent::Ask, TV, DevicePolicy::Auto));
    let id = house.request(1, &attack(), &[exact(TV), exact(CAMERA)]);
    assert_eq!(house.blocked(), [TV]);
    house.ledger.approve(id, None, &[CAMERA], until(Until::Ended), "root", house.now).unwrap();
    assert_eq!(house.blocked(), [TV, CAMERA]);
    house.pass(seconds(3600));
    assert_eq!(house.blocked(), [CAMERA]);
    assert_eq!(house.m(id).chosen(), [CAMERA]);
}

#[test]
fn rules_and_doubt_still_end_what_goes_on_by_itself() {
    let acts: [fn(&mut TestRouter, MitigationId); 4] = [
        |house, _| {
            let exempt = with_device(Consent::Ask, CAMERA, DevicePolicy::Exempt);
            house.ledger.set_policy(exempt, house.now);
        },
        |house, _| house.ledger.set_policy(policy(Consent::Observe), house.now),
        |house, id| house.ledger.handle_spoofed(id, CAMERA, false, house.now),
        |house, _| house.ledger.set_router([CAMERA].into_iter().collect(), house.now),
    ];
    for act in acts {
        let mut house = house();
        let id = approved(&mut house, Action::Quarantine, None);
        house.pass(seconds(3600));
        act(&mut house, id);
        assert!(in_force(&house).is_empty());
        house.pass(seconds(2 * 86_400));
        assert!(house.ledger.all().count() == 0);
    }
}

/// The policy draws no consequences from what is found for it later.
#[test]
fn without_a_request_the_policy_adds_nobody() {
    let mut house = TestRouter::by_hand(Policy { consent_timeout: Some(seconds(10)), ..policy(Consent::Auto) });
    let id = approved(&mut house, Action::Block, until(Until::Ended));
    house.pass(seconds(3600));
    house.ledger.handle_attribution(id, vec![exact(TV)], house.now);
    house.ledger.set_policy(policy(Consent::Auto), house.now);
    assert_eq!(house.blocked(), [CAMERA]);
    assert!(house.m(id).suspects().iter().any(|suspect| suspect.mac == TV));
}

/// Nobody is left alone with an attack that goes on: it is said and asked, and nothing is done meanwhile.
#[test]
fn who_goes_on_when_the_provider_no_longer_asks_is_asked_about() {
    for withdrawn in [false, true] {
        let mut house = house();
        let id = approved(&mut house, Action::Block, None);
        house.pass(seconds(3560));
        if withdrawn {
            house.delete(1);
            house.pass(seconds(80));
        }
        house.ledger.handle_counted(id, packets(500), house.now);
        house.pass(seconds(40));
        assert_eq!(house.ledger.ended().map(|m| m.id()).collect::<Vec<_>>(), [id]);
        assert!(in_force(&house).is_empty() && house.ledger.all().count() == 0);
        let as_before = house.ledger.approve(id, None, &[], until(Until::Request), "root", house.now);
        assert_eq!(as_before, Err(Denied::NotInThisState), "no provider asks");
        assert!(house.ledger.all().count() == 0 && house.ledger.ended().count() == 1);
        house.ledger.approve(id, None, &[], None, "root", house.now).unwrap();
        assert_eq!((house.blocked(), house.m(id).until()), (vec![CAMERA], Until::Ended));
        assert!(!house.m(id).asked() && house.ledger.ended().count() == 0);
        house.pass(seconds(30 * 86_400));
        assert_eq!(house.blocked(), [CAMERA]);
    }
}

#[test]
fn the_question_is_answered_by_nobody_but_a_person_and_is_gone_after_a_day() {
    let auto = Policy { consent_timeout: Some(seconds(10)), ..policy(Consent::Auto) };
    let mut house = TestRouter::by_hand(auto.clone());
    let id = house.in_force(1, &attack(), CAMERA);
    house.pass(seconds(3590));
    house.ledger.handle_counted(id, packets(500), house.now);
    house.pass(seconds(10));
    house.ledger.handle_attribution(id, vec![exact(CAMERA)], house.now);
    house.ledger.set_policy(auto, house.now);
    house.pass(seconds(86_399));
    assert!(house.ledger.ended().count() == 1 && house.ledger.all().count() == 0);
    house.pass(seconds(1));
    assert_eq!(house.ledger.ended().count(), 0);
}

/// A question that is answered, or is none any more, is not asked.
#[test]
fn the_question_ends_with_its_reason() {
    let acts: [fn(&mut TestRouter, MitigationId); 5] = [
        |house, id| house.ledger.withdraw(id, None, "root", house.now).unwrap(),
        |house, _| assert!(house.put(2, &attack()).unwrap().created),
        |house, _| {
            let exempt = with_device(Consent::Ask, CAMERA, DevicePolicy::Exempt);
            house.ledger.set_policy(exempt, house.now);
        },
        |house, _| house.ledger.set_policy(policy(Consent::Observe), house.now),
        |house, _| house.ledger.set_router([CAMERA].into_iter().collect(), house.now),
    ];
    for act in acts {
        let mut house = house();
        let id = approved(&mut house, Action::Block, None);
        house.pass(seconds(3590));
        house.ledger.handle_counted(id, packets(500), house.now);
        house.pass(seconds(10));
        assert_eq!(house.ledger.ended().count(), 1);
        act(&mut house, id);
        assert_eq!(house.ledger.ended().count(), 0);
        assert!(in_force(&house).is_empty());
    }
}

/// However often a hostile provider asks and stops: they are few.
#[test]
fn questions_are_bounded() {
    let mut house = TestRouter::by_hand(policy(Consent::Auto));
    for n in 1..=40 {
        let id = house.request(n.into(), &other_attack(n), &[exact(CAMERA)]);
        house.ledger.handle_enforced(id, Ok(()), house.now);
        house.delete(n.into());
        house.pass(seconds(110));
        house.ledger.handle_counted(id, packets(500), house.now);
        house.pass(seconds(10));
    }
    assert_eq!(house.ledger.ended().count(), 16);
}

/// Who has stopped is no reason to ask.
#[test]
fn who_has_stopped_is_not_asked_about() {
    let mut house = house();
    let id = approved(&mut house, Action::Block, None);
    house.pass(seconds(10));
    house.ledger.handle_counted(id, packets(500), house.now);
    house.pass(seconds(3590));
    assert!(house.ledger.get(id).is_none());
}

/// While it ends, a person can keep it, and go further.
#[test]
fn what_the_provider_has_withdrawn_can_be_kept() {
    for action in [Action::Block, Action::Quarantine] {
        let mut house = house();
        let id = approved(&mut house, Action::Block, None);
        house.delete(1);
        let kept = house.ledger.approve(id, Some(Action::Block), &[], None, "root", house.now);
        assert_eq!(kept, Err(Denied::NotInThisState), "as long as nobody asks");
        house.ledger.approve(id, Some(action), &[], until(Until::Ended), "root", house.now).unwrap();
        assert_eq!(house.status(id), 5, "the provider is still told that it ends");
        house.pass(seconds(120));
        assert_eq!((in_force(&house), house.m(id).action()), (vec![CAMERA], action));
        assert!(house.ledger.history().any(|entry| entry.event == Happened::Kept));
    }
}

/// Another person, or the same one later, chooses again.
#[test]
fn a_choice_can_be_changed() {
    let mut house = house();
    let id = approved(&mut house, Action::Quarantine, None);
    house.ledger.approve(id, None, &[], until(Until::Request), "root", house.now).unwrap();
    house.pass(seconds(3600));
    assert!(in_force(&house).is_empty());
    let id = approved(&mut house, Action::Block, None);
    house.ledger.approve(id, None, &[], during(5000), "root", house.now).unwrap();
    house.pass(seconds(3600));
    house.ledger.approve(id, None, &[], during(5000), "root", house.now).unwrap();
    assert_eq!(house.m(id).left(house.now), Some(seconds(5000)));
    house.ledger.approve(id, Some(Action::Quarantine), &[], None, "root", house.now).unwrap();
    assert_eq!(
        (house.quarantined(), house.m(id).until()),
        (vec![CAMERA], Until::Time),
        "to go further says nothing of the end"
    );
    house.pass(seconds(5000));
    assert!(in_force(&house).is_empty());
}

#[test]
fn what_contradicts_itself_is_no_term() {
    assert_eq!(Term::new(Some(Until::Time), None), None);
    assert_eq!(Term::new(Some(Until::Ended), Some(seconds(1))), None);
}

/// Files of before know no choice, and those who read them then see a request.
#[test]
fn what_is_kept_without_a_choice_is_as_before() {
    let mut house = house();
    approved(&mut house, Action::Block, None);
    let saved = house.ledger.snapshot(house.now);
    assert_eq!((saved.mitigations[0].until, saved.mitigations[0].asked), (None, None));
}
