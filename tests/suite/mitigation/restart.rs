//! What of the ledger is kept over a restart, how large it may become, and that a provider does not wear the flash.

use crate::support::ledger::*;
use dots_callhome::mitigation::snapshot::{self, SavedMitigation, SavedVeto, Snapshot};
use dots_callhome::mitigation::{Cause, Consent, Decision, Denied, DevicePolicy, Ledger, Policy, State};
use dots_callhome::model::{ClockSet, Mac, Now, Scope};
use vecset::VecSet;

/// What is read back of what would be written now.
fn kept(house: &TestRouter) -> Snapshot {
    snapshot::decode(&snapshot::encode(&house.ledger.snapshot(house.now))).expect("what is written is read")
}

/// A house that has taken this up.
fn restored(snapshot: &Snapshot, policy: Policy, now: Now) -> TestRouter {
    let mut ledger = Ledger::new(policy);
    ledger.restore(snapshot, now);
    TestRouter::resumed(ledger, now)
}

/// As much text as a request can hold.
fn verbose(n: u16) -> Scope {
    let name = |i: usize| format!("{n:03}-{i:03}-{}.example.org", "x".repeat(100));
    Scope {
        target_fqdns: (0..230).map(name).collect(),
        target_uris: (0..20).map(|i| format!("https://{}/", name(i))).collect(),
        ..other_attack(n)
    }
}

/// Requests nobody has decided about are not kept, and no text of a provider is, whatever was decided.
#[test]
fn undecided_requests_and_names_are_not_kept() {
    let mut house = TestRouter::by_hand(policy(Consent::Ask));
    for n in 1..=100 {
        house.request(u32::from(n), &verbose(n), &[exact(CAMERA)]);
    }
    assert!(kept(&house).mitigations.is_empty());
    let id = house.ledger.all().next().unwrap().id();
    house.ledger.approve(id, None, &[], None, "root", house.now).unwrap();
    let content = snapshot::encode(&house.ledger.snapshot(house.now));
    assert_eq!(kept(&house).mitigations.len(), 1);
    assert!(content.len() < 1000, "{} bytes", content.len());
    assert!(!content.windows(11).any(|text| text == b"example.org"), "names of the provider are kept");
}

/// Only what is known of the devices acted upon is kept.
#[test]
fn other_suspects_are_not_kept() {
    let mut house = TestRouter::by_hand(policy(Consent::Ask));
    let id = house.request(1, &attack(), &[exact(CAMERA), possible(TV), possible(LAPTOP)]);
    house.ledger.approve(id, None, &[CAMERA], None, "root", house.now).unwrap();
    let after = restored(&kept(&house), policy(Consent::Ask), house.now);
    assert_eq!(after.m(id).suspects().iter().map(|suspect| suspect.mac).collect::<Vec<_>>(), [CAMERA]);
}

/// A provider that repeats its request after the restart, names and all, refreshes it; another one is refused as before.
#[test]
fn a_refresh_brings_the_names_back() {
    let mut before = TestRouter::by_hand(policy(Consent::Ask));
    let id = before.in_force(1, &verbose(1), CAMERA);
    let mut after = restored(&kept(&before), policy(Consent::Ask), before.now);
    let desired = after.ledger.desired(after.now);
    assert!(after.put(1, &other_attack(2)).is_err(), "another target");
    assert!(!after.put(1, &verbose(1)).unwrap().created);
    assert_eq!(after.m(id).scope(), before.m(id).scope());
    assert!(!after.m(id).scope().target_fqdns.is_empty());
    assert_eq!(after.ledger.desired(after.now), desired, "names change no rule");
    assert!(after.put(1, &other_attack(1)).is_err(), "without the names it is another request");
}

/// What is decided about many requests of 200 targets each, made of these.
fn many(like: &Snapshot) -> Snapshot {
    let kinds = like.mitigations.iter().cycle().zip(1..=100);
    let mitigations = kinds.map(|(m, n)| SavedMitigation { id: n, mid: n, ..m.clone() }).collect();
    Snapshot { mitigations, ..like.clone() }
}

fn wide(n: usize) -> Scope {
    let target = |i| format!("2001:db8:{n:x}:{i:x}:ffff:ffff:ffff:ffff/128").parse().unwrap();
    Scope { target_prefixes: (0..200).map(target).collect(), ..attack() }
}

/// However much is decided, what is written is read back; the least severe is left out, and of that the newest.
#[test]
fn never_more_is_written_than_is_read() {
    let mut house = TestRouter::by_hand(policy(Consent::Ask));
    house.ledger.quarantine(TV, None, Some("mine"), "root", house.now).unwrap();
    let approved = house.request(1, &wide(1), &[exact(CAMERA)]);
    house.ledger.approve(approved, None, &[], None, "root", house.now).unwrap();
    let rejected = house.request(2, &wide(2), &[exact(CAMERA)]);
    house.ledger.reject(rejected, None, "root", house.now).unwrap();
    let whole = many(&house.ledger.snapshot(house.now));
    let (fitted, left_out) = whole.clone().fitted();
    assert!(left_out > 0 && fitted.mitigations.len() + left_out == 100);
    let content = snapshot::encode(&whole);
    assert!(content.len() <= snapshot::MOST, "{} bytes", content.len());
    assert_eq!(snapshot::decode(&content), Ok(fitted.clone()));
    assert_eq!(fitted.quarantines.len(), 1, "the administrator's own are the last to go");
    let mids: Vec<u32> = fitted.mitigations.iter().map(|m| m.mid).collect();
    assert!(mids.iter().all(|mid| mid % 2 == 1), "what blocks goes before what does not: {mids:?}");
    assert_eq!(mids, (1..=mids.len() as u32).map(|n| 2 * n - 1).collect::<Vec<_>>(), "the oldest stay");
}

/// Even with quarantines of half the world.
#[test]
fn quarantines_fit_too() {
    let mut house = TestRouter::by_hand(policy(Consent::Ask));
    for n in 0..5_000_u16 {
        let [high, low] = n.to_be_bytes();
        let mac = Mac([2, 0, 0, 1, high, low]);
        house.ledger.quarantine(mac, None, Some(&"é".repeat(256)), "root", house.now).unwrap();
    }
    assert!(snapshot::encode(&house.ledger.snapshot(house.now)).len() <= snapshot::MOST);
    assert!(kept(&house).quarantines.len() > 100);
}

/// A refresh is no decision: it is written neither at once nor later, until what is kept says less than half of the
/// lifetime.
#[test]
fn refreshes_do_not_wear_the_flash() {
    let mut house = TestRouter::by_hand(policy(Consent::Auto));
    let id = house.in_force(1, &attack(), CAMERA);
    let mut generation = house.ledger.generation();
    let mut written = kept(&house);
    let mut writes = 0;
    for _ in 0..24 * 60 {
        house.pass(seconds(60));
        for _ in 0..5 {
            house.put(1, &attack()).unwrap();
        }
        assert_eq!(house.ledger.generation().decided, generation.decided, "nobody has decided anything");
        if house.ledger.generation() != generation {
            (generation, written, writes) = (house.ledger.generation(), kept(&house), writes + 1);
        }
        let after = restored(&written, policy(Consent::Auto), house.now);
        assert!(after.m(id).remaining(after.now) >= seconds(1740), "a restart now would end it long before its time");
        assert!(after.m(id).remaining(after.now) <= house.m(id).remaining(house.now));
    }
    assert!(writes <= 48, "{writes} writes in a day");
}

/// What a provider shortens does not last longer after a restart.
#[test]
fn a_shorter_lifetime_is_kept_too() {
    let mut house = TestRouter::by_hand(policy(Consent::Auto));
    let id = house.in_force(1, &attack(), CAMERA);
    let generation = house.ledger.generation();
    house.ledger.put(&isp(), 1, &attack(), Some(seconds(300)), false, house.now).unwrap();
    assert_ne!(house.ledger.generation(), generation);
    let after = restored(&kept(&house), policy(Consent::Auto), house.now);
    assert_eq!(after.m(id).remaining(after.now), seconds(300));
}

/// Whatever a provider does, nothing counts as a person's decision.
#[test]
fn providers_decide_nothing() {
    let mut house = TestRouter::by_hand(policy(Consent::Auto));
    let decided = house.ledger.generation().decided;
    for mid in 1..100 {
        house.in_force(mid, &attack(), CAMERA);
        house.put(mid, &attack()).unwrap();
    }
    house.delete(99);
    house.put(99, &attack()).unwrap();
    house.pass(seconds(7200));
    assert_eq!(house.ledger.generation().decided, decided);
    house.ledger.quarantine(TV, Some(seconds(60)), None, "root", house.now).unwrap();
    assert_ne!(house.ledger.generation().decided, decided);
}

/// Who is exempt now, or turns out to be the router, is not quarantined again.
#[test]
fn quarantines_are_held_against_the_rules_of_today() {
    let mut before = TestRouter::by_hand(policy(Consent::Ask));
    for mac in [CAMERA, TV] {
        before.ledger.quarantine(mac, None, None, "root", before.now).unwrap();
    }
    let kept = kept(&before);
    let exempt = with_device(Consent::Ask, CAMERA, DevicePolicy::Exempt);
    assert_eq!(restored(&kept, exempt, before.now).quarantined(), [TV]);
    let mut ledger = Ledger::new(policy(Consent::Ask));
    ledger.set_router(VecSet::from([TV]), before.now);
    ledger.restore(&kept, before.now);
    assert_eq!(TestRouter::resumed(ledger, before.now).quarantined(), [CAMERA]);
}

/// Who was acted upon before a restart stays so, though the router has that Ethernet address on another link, where the device was
/// not seen yet; and once it is released it is the router's.
#[test]
fn to_bear_an_address_of_the_router_is_no_way_out_over_a_restart() {
    let mut before = TestRouter::by_hand(policy(Consent::Ask));
    before.in_force(1, &attack(), TV);
    before.ledger.quarantine(CAMERA, None, None, "root", before.now).unwrap();
    let mut after = restored(&kept(&before), policy(Consent::Ask), before.now);
    after.ledger.set_router(VecSet::from([CAMERA, TV, LAPTOP]), after.now);
    assert_eq!((after.quarantined(), after.blocked()), (vec![CAMERA], vec![TV]));
    after.ledger.release(CAMERA, "root", after.now).unwrap();
    after.ledger.set_router(VecSet::from([CAMERA, LAPTOP]), after.now);
    assert_eq!(after.ledger.quarantine(CAMERA, None, None, "root", after.now), Err(Denied::NoSuchDevice));
}

/// A file that says "in force" but not who decided, as a damaged or foreign one may, brings nothing into force.
#[test]
fn nothing_is_done_without_a_decision() {
    let mut before = TestRouter::by_hand(policy(Consent::Ask));
    let id = before.in_force(1, &attack(), CAMERA);
    for state in [State::Active, State::Stopped, State::Terminating] {
        let mut snapshot = kept(&before);
        snapshot.mitigations[0].state = state;
        snapshot.mitigations[0].decision = None;
        let after = restored(&snapshot, policy(Consent::Ask), before.now);
        assert_eq!(after.state(id), State::Searching);
        assert!(after.blocked().is_empty());
    }
}

/// The administrator's bound runs out while the power is off, however late that is known.
#[test]
fn a_bound_ages_when_the_clock_is_set() {
    let mut before = TestRouter::by_hand(policy(Consent::Ask));
    let id = before.request(1, &attack(), &[exact(CAMERA)]);
    before.ledger.approve(id, None, &[], Some(seconds(600)), "root", before.now).unwrap();
    let mut after = restored(&kept(&before), policy(Consent::Ask), Now { unix: 0, ..before.now });
    // Granted anew since: but not beyond the bound.
    after.put(1, &attack()).unwrap();
    let set = ClockSet { since: 0, was: 0, is: before.now.unix + 500 };
    after.now.unix = before.now.unix + 500;
    after.ledger.handle_clock_set(&set, after.now);
    assert_eq!(after.m(id).remaining(after.now), seconds(100));
    assert_eq!(after.put(1, &attack()).unwrap().lifetime, seconds(100));
}

/// The period after a withdrawal is what the protocol allows, whatever the file says (SC-4.4.4-07).
#[test]
fn a_hostile_period_is_bounded() {
    let mut before = TestRouter::by_hand(policy(Consent::Ask));
    let id = before.in_force(1, &attack(), CAMERA);
    for (period, right) in [(0, 120), (u64::MAX, 300)] {
        let mut snapshot = kept(&before);
        snapshot.mitigations[0].period = period;
        let mut after = restored(&snapshot, policy(Consent::Ask), before.now);
        after.delete(1);
        assert_eq!(after.m(id).remaining(after.now), seconds(right));
    }
}

/// What policy has decided for one provider does not push out what a person has for another.
#[test]
fn nobody_pushes_out_what_a_person_decided() {
    let mut house = TestRouter::by_hand(policy(Consent::Ask));
    let id = house.request(1, &wide(1), &[exact(CAMERA)]);
    house.ledger.approve(id, None, &[], None, "root", house.now).unwrap();
    let mut whole = many(&house.ledger.snapshot(house.now));
    for decided in &mut whole.mitigations {
        decided.decision.as_mut().unwrap().by = "policy".into();
    }
    whole.mitigations[99].decision.as_mut().unwrap().by = "root".into();
    let kept = snapshot::decode(&snapshot::encode(&whole)).unwrap();
    assert!(kept.mitigations.len() < 100);
    assert_eq!(kept.mitigations.last().unwrap().id, 100);
}

/// As many noes as are kept, each as large as it may be, are written beside everything else and read back.
#[test]
fn no_veto_is_left_out() {
    let mut house = TestRouter::by_hand(policy(Consent::Ask));
    let id = house.request(1, &wide(1), &[exact(CAMERA)]);
    house.ledger.approve(id, None, &[], None, "root", house.now).unwrap();
    let mut whole = many(&house.ledger.snapshot(house.now));
    let targets =
        |n: u64| (0..16).map(move |i| format!("2001:db8:{n:x}:{i:x}:ffff:ffff:ffff:ffff/128").parse().unwrap());
    let veto = |n: u64| SavedVeto {
        id: u32::MAX - n as u32,
        peer: "p".repeat(64),
        devices: (0..64).map(|i| Mac([2, 0, 0, 0, n as u8, i])).collect(),
        targets: targets(n).collect(),
        cause: Cause::Rejected,
        decision: Decision { by: "a".repeat(64), at: u64::MAX, comment: Some("…".repeat(256)) },
        remaining: u64::MAX,
    };
    whole.vetoes = Some((0..64).map(veto).collect());
    let kept = snapshot::decode(&snapshot::encode(&whole)).unwrap();
    assert_eq!(kept.vetoes, whole.vetoes);
    assert!(!kept.mitigations.is_empty());
    let after = restored(&kept, policy(Consent::Ask), house.now);
    assert_eq!(after.ledger.vetoes().count(), 64);
}
