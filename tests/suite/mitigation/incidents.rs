//! What is over is remembered, over restarts too, within bounds.

use crate::support::ledger::*;
use dots_callhome::mitigation::{Action, Consent, Incident, Ledger, snapshot};

fn house() -> TestRouter {
    TestRouter::by_hand(policy(Consent::Ask))
}

fn outcomes(house: &TestRouter) -> Vec<(u32, String, Option<String>)> {
    let told = |incident: &Incident| {
        (incident.id, incident.outcome.clone(), incident.decision.as_ref().map(|decision| decision.by.clone()))
    };
    house.ledger.incidents().map(told).collect()
}

#[test]
fn each_end_is_told_once_with_who_decided() {
    let mut house = house();
    let expired = house.in_force(1, &other_attack(1), CAMERA).0;
    let rejected = house.request(2, &other_attack(2), &[exact(TV)]);
    house.ledger.reject(rejected, None, "anna", house.now).unwrap();
    let undecided = house.request(3, &other_attack(3), &[possible(TV)]).0;
    house.put(4, &other_attack(4)).unwrap();
    house.pass(seconds(3600));
    let root = Some("root".to_owned());
    let all = outcomes(&house);
    assert_eq!(all.len(), 3, "nobody was found for the last one: {all:?}");
    assert!(all.contains(&(expired, "expired".into(), root)));
    assert!(all.contains(&(rejected.0, "rejected".into(), Some("anna".into()))));
    assert!(all.contains(&(undecided, "expired".into(), None)));
}

/// What goes on is not over; its end is told when it comes.
#[test]
fn what_a_person_keeps_is_over_when_it_ends() {
    let mut house = house();
    let id = house.request(1, &attack(), &[exact(CAMERA)]);
    house.ledger.approve(id, Some(Action::Quarantine), &[], None, "root", house.now).unwrap();
    house.pass(seconds(3600));
    assert!(outcomes(&house).is_empty());
    house.ledger.release(CAMERA, "anna", house.now).unwrap();
    assert_eq!(outcomes(&house), [(id.0, "withdrawn".into(), Some("root".into()))]);
}

/// A provider that asks and goes away pushes out nothing that somebody has decided.
#[test]
fn they_are_bounded_and_survive() {
    let mut house = house();
    for n in 1..=60 {
        house.in_force(n.into(), &other_attack(n), CAMERA);
        house.delete(n.into());
        house.pass(seconds(120));
    }
    assert_eq!(house.ledger.incidents().count(), 50);
    for n in 61..=90 {
        house.request(n.into(), &other_attack(n), &[possible(TV)]);
        house.delete(n.into());
    }
    assert_eq!(house.ledger.incidents().count(), 50);
    let undecided = house.ledger.incidents().filter(|incident| incident.decision.is_none()).count();
    assert!(undecided <= 10, "{undecided}");
    let content = snapshot::encode(&house.ledger.snapshot(house.now));
    assert!(content.len() < 32 * 1024, "{}", content.len());
    let mut again = Ledger::new(policy(Consent::Ask));
    again.restore(&snapshot::decode(&content).unwrap(), house.now);
    assert!(again.incidents().eq(house.ledger.incidents()));
}
