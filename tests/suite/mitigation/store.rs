//! What survives a restart, and what a damaged file can do: nothing.

use crate::support::ledger::*;
use dots_callhome::enforce::desired::Desired;
use dots_callhome::mitigation::snapshot::{self, Snapshot, Unreadable};
use dots_callhome::mitigation::{
    Action, Consent, DevicePolicy, Event, Generation, Ledger, Policy, State, TimeoutAction,
};
use dots_callhome::model::{ClockSet, IcmpTypeRange, Now, Scope};
use vecset::VecSet;

/// A house in which everything that can be kept has happened.
fn busy() -> TestRouter {
    let mut house = TestRouter::by_hand(policy(Consent::Ask));
    let full = Scope {
        target_protocols: vec![17],
        target_fqdns: vec!["victim.example".into()],
        target_uris: vec!["https://victim.example/".into()],
        source_icmp_types: vec![IcmpTypeRange::new(3, 8).unwrap()],
        ..with_source_ports(&attack(), 4000, 4999)
    };
    let active = house.in_force(1, &full, CAMERA);
    house.ledger.handle_counted(active, packets(7), house.now);
    house.request(2, &other_attack(2), &[exact(TV)]);
    house.put(3, &other_attack(3)).unwrap();
    house.in_force(4, &other_attack(4), TV);
    house.delete(4);
    let rejected = house.request(5, &other_attack(5), &[exact(TV)]);
    house.ledger.reject(rejected, Some("backup"), "root", house.now).unwrap();
    let withdrawn = house.in_force(6, &other_attack(6), CAMERA);
    house.ledger.withdraw(withdrawn, None, "root", house.now).unwrap();
    let bounded = house.request(7, &other_attack(7), &[exact(CAMERA)]);
    let bound = Some(seconds(600));
    house.ledger.approve(bounded, Some(Action::Quarantine), &[], bound, "root", house.now).unwrap();
    house.ledger.quarantine(LAPTOP, None, None, "root", house.now).unwrap();
    house.ledger.quarantine(TV, Some(seconds(500)), Some("odd"), "root", house.now).unwrap();
    house
}

/// The house after a restart, with the clock at `unix`.
fn restarted(before: &TestRouter, policy: Policy, unix: u64) -> TestRouter {
    let content = snapshot::encode(&before.ledger.snapshot(before.now));
    let snapshot = snapshot::decode(&content).unwrap();
    let mut ledger = Ledger::new(policy);
    let now = Now { unix, ..before.now };
    ledger.restore(&snapshot, now);
    TestRouter::resumed(ledger, now)
}

/// The clock of a house that has been watched since it said `since` says something else.
fn set_clock(house: &mut TestRouter, since: u64, unix: u64) {
    let set = ClockSet { since, was: house.now.unix, is: unix };
    house.now.unix = unix;
    house.ledger.handle_clock_set(&set, house.now);
}

/// What must be in force. Who sends is looked for anew, once the search has begun again.
fn in_force(ledger: &Ledger, now: Now) -> Desired {
    Desired { sender_logs: Vec::new(), ..ledger.desired(now) }
}

/// What was decided holds; it is in force again before anybody is asked anything.
#[test]
fn decisions_survive() {
    let before = busy();
    let mut after = restarted(&before, policy(Consent::Ask), before.now.unix);
    assert_eq!(in_force(&after.ledger, after.now), in_force(&before.ledger, before.now));
    let states: Vec<_> = after.ledger.all().map(|m| (m.mid(), m.state())).collect();
    // Nobody has decided about 2 and 3.
    assert_eq!(
        states,
        [(1, State::Active), (4, State::Terminating), (5, State::Rejected), (6, State::Withdrawn), (7, State::Active),]
    );
    for (old, new) in before.ledger.all().filter(|m| m.decision().is_some()).zip(after.ledger.all()) {
        assert_eq!((old.id(), old.client(), &old.scope().without_names()), (new.id(), new.client(), new.scope()));
        assert_eq!((old.requested(), old.granted(), old.dropped()), (new.requested(), new.granted(), new.dropped()));
        assert_eq!((old.action(), old.decision(), old.started()), (new.action(), new.decision(), new.started()));
        assert!(!new.verified(), "what is in force has to be seen again");
    }
    let searched = after.events().into_iter().filter(|event| matches!(event, Event::Search(_))).count();
    assert_eq!(searched, 2);
    let first = after.ledger.find(&isp(), 1).unwrap().id();
    assert_eq!(after.status(first), 1);
    assert_eq!(after.m(first).suspects()[0].name.as_deref(), Some("thing"));
    after.ledger.handle_enforced(first, Ok(()), after.now);
    assert_eq!(after.status(first), 2);
    let fresh = after.put(8, &other_attack(8)).unwrap().id;
    assert!(before.ledger.all().all(|m| m.id() != fresh), "numbers are not used twice");
}

/// Proves SC-4.4.1.1-31 over a restart: lifetimes go on, and a clock that was set back lengthens none.
#[test]
fn no_lifetime_is_longer_than_before() {
    let before = busy();
    let was = before.now.unix;
    for unix in [0, was - 1, was, was + 1, was + 119, was + 120, was + 3000, was + 3600, u64::MAX] {
        let after = restarted(&before, policy(Consent::Ask), unix);
        let passed = seconds(unix.saturating_sub(was));
        for old in before.ledger.all().filter(|m| m.decision().is_some()) {
            let left = old.remaining(before.now).saturating_sub(passed);
            let new = after.ledger.find(&isp(), old.mid());
            assert_eq!(new.map_or(seconds(0), |m| m.remaining(after.now)), left, "mid {} at {unix}", old.mid());
            assert_eq!(new.is_some(), left > seconds(0));
        }
        let standing = after.ledger.manual_quarantine(TV).and_then(|s| s.ends);
        assert_eq!(standing.is_some(), passed < seconds(500));
        assert!(standing.is_none_or(|ends| ends <= after.now.instant + seconds(500)));
        assert!(after.ledger.manual_quarantine(LAPTOP).is_some(), "until released");
    }
}

/// Proves SC-4.4.1.1-31 where the router starts in the past and learns later how long it was off: what it took up ends when it
/// would have, what was granted since is not touched.
#[test]
fn a_clock_that_is_set_late_counts_the_time_without_power() {
    let before = busy();
    let mut after = restarted(&before, policy(Consent::Ask), 0);
    let off = 100;
    after.pass(seconds(30));
    after.put(1, before.ledger.find(&isp(), 1).unwrap().scope()).unwrap();
    let refreshed = after.ledger.find(&isp(), 1).unwrap().remaining(after.now);
    let generation = after.ledger.generation();
    for _ in 0..2 {
        set_clock(&mut after, 0, before.now.unix + off + 30);
        for old in before.ledger.all().filter(|m| m.decision().is_some() && m.mid() != 1) {
            let left = old.remaining(before.now).saturating_sub(seconds(off + 30));
            let new = after.ledger.find(&isp(), old.mid());
            assert_eq!(new.map_or(seconds(0), |m| m.remaining(after.now)), left, "mid {}", old.mid());
        }
        assert_eq!(after.ledger.find(&isp(), 1).unwrap().remaining(after.now), refreshed);
        let standing = after.ledger.manual_quarantine(TV).and_then(|s| s.ends);
        assert_eq!(standing, Some(after.now.instant + seconds(500 - 130)));
    }
    assert_ne!(after.ledger.generation(), generation, "what is kept gets the right date");
    let later = after.now.unix + 1_000_000;
    set_clock(&mut after, 0, later);
    after.ledger.handle_timeout(after.now);
    assert!(after.events().iter().any(|event| matches!(event, Event::Enforce)));
    let living: Vec<u32> = after.ledger.all().map(|m| m.mid()).collect();
    assert_eq!(living, [1], "only what was granted since lives on");
    assert_eq!(after.quarantined(), [LAPTOP], "until released");
}

/// Dates given before the time was known are put right when it is; those from before the restart were right.
#[test]
fn dates_are_put_right() {
    let before = busy();
    let (boot, known) = (before.now.unix - 5_000, before.now.unix + 9_000);
    let mut after = restarted(&before, policy(Consent::Ask), boot);
    after.pass(seconds(10));
    let new = after.request(8, &other_attack(8), &[exact(CAMERA)]);
    after.pass(seconds(10));
    after.ledger.approve(new, None, &[], None, "root", after.now).unwrap();
    after.ledger.handle_enforced(new, Ok(()), after.now);
    after.ledger.quarantine(CAMERA, None, None, "root", after.now).unwrap();
    after.pass(seconds(10));
    set_clock(&mut after, boot, known);
    let m = after.m(new);
    assert_eq!((m.requested(), m.started()), (known - 20, Some(known - 10)));
    assert_eq!(m.decision().unwrap().at, known - 10);
    assert_eq!(after.ledger.manual_quarantine(CAMERA).unwrap().decision.at, known - 10);
    let times: Vec<u64> = after.ledger.history().map(|entry| entry.time).collect();
    assert!(!times.is_empty() && times.iter().all(|time| (known - 30..=known).contains(time)), "{times:?}");
    let old = after.ledger.find(&isp(), 4).unwrap();
    assert_eq!(old.requested(), before.now.unix);
    assert_eq!(after.ledger.manual_quarantine(LAPTOP).unwrap().decision.at, before.now.unix);
}

/// What was decided before the time was known does not end when it is.
#[test]
fn a_clock_that_was_never_set_ends_nothing() {
    let before = busy();
    let content = snapshot::encode(&Snapshot { saved: 1000, ..before.ledger.snapshot(before.now) });
    let mut ledger = Ledger::new(policy(Consent::Ask));
    ledger.restore(&snapshot::decode(&content).unwrap(), before.now);
    let is = before.now.unix + 7_000_000;
    ledger.handle_clock_set(&ClockSet { since: is, was: is, is }, Now { unix: is, ..before.now });
    assert_eq!(in_force(&ledger, before.now), in_force(&before.ledger, before.now));
}

/// Proves SC-4.4.2-10 over a restart: counters that went on meanwhile, and counters that start again.
#[test]
fn counts_go_on() {
    for (reading, total) in [(7, 7), (20, 20), (3, 10)] {
        let before = busy();
        let mut after = restarted(&before, policy(Consent::Ask), before.now.unix);
        let id = after.ledger.find(&isp(), 1).unwrap().id();
        assert_eq!(after.m(id).dropped(), packets(7));
        after.ledger.handle_counted(id, packets(reading), after.now);
        assert_eq!(after.m(id).dropped(), packets(total));
    }
}

/// The administrator's bound holds against refreshes after a restart too.
#[test]
fn the_bound_survives() {
    let before = busy();
    let mut after = restarted(&before, policy(Consent::Ask), before.now.unix + 100);
    assert_eq!(after.put(7, &other_attack(7)).unwrap().lifetime, seconds(500));
}

/// Rules that changed meanwhile apply.
#[test]
fn the_rules_of_today_apply() {
    let before = busy();
    let exempt = with_device(Consent::Ask, CAMERA, DevicePolicy::Exempt);
    let after = restarted(&before, exempt, before.now.unix);
    assert_eq!(after.blocked(), [TV]);
    assert!(!after.quarantined().contains(&CAMERA));
    let observing = restarted(&before, policy(Consent::Observe), before.now.unix);
    assert!(observing.blocked().is_empty());
    assert_eq!(observing.quarantined(), [TV, LAPTOP], "only the administrator's own");
    let shorter = Policy { max_lifetime: seconds(60), ..policy(Consent::Ask) };
    let after = restarted(&before, shorter, before.now.unix);
    assert!(after.ledger.all().all(|m| m.remaining(after.now) <= seconds(60)));
}

/// The terminating period that had grown is not forgotten (SC-4.4.4-07).
#[test]
fn the_grown_period_survives() {
    let mut before = TestRouter::by_hand(policy(Consent::Auto));
    before.in_force(1, &attack(), CAMERA);
    for _ in 0..3 {
        before.delete(1);
        before.put(1, &attack()).unwrap();
    }
    let mut after = restarted(&before, policy(Consent::Auto), before.now.unix);
    after.delete(1);
    assert_eq!(after.ledger.find(&isp(), 1).unwrap().remaining(after.now), seconds(300));
}

/// What the administrator let go is not taken back by policy after a restart, and the router never becomes a device.
#[test]
fn what_was_let_go_stays_free() {
    let mut before = TestRouter::by_hand(policy(Consent::Auto));
    let id = before.request(1, &attack(), &[exact(CAMERA), exact(TV)]);
    before.in_force(2, &other_attack(2), LAPTOP);
    before.ledger.release(CAMERA, "root", before.now).unwrap();
    let mut after = restarted(&before, policy(Consent::Auto), before.now.unix);
    after.ledger.handle_attribution(id, vec![exact(CAMERA)], after.now);
    assert_eq!(after.blocked(), [TV, LAPTOP]);
    let mut ledger = Ledger::new(policy(Consent::Auto));
    ledger.set_router(VecSet::from([LAPTOP]), before.now);
    ledger.restore(&before.ledger.snapshot(before.now), before.now);
    assert_eq!(TestRouter::resumed(ledger, before.now).blocked(), [TV]);
}

/// Numbers that have run out, as a hostile file may say, start again without touching what is in the book.
#[test]
fn numbers_start_again_past_those_in_use() {
    let mut before = TestRouter::by_hand(policy(Consent::Auto));
    before.in_force(1, &attack(), CAMERA);
    let mut snapshot = before.ledger.snapshot(before.now);
    snapshot.mitigations[0].id = 0;
    snapshot.next = u32::MAX;
    let mut after = TestRouter::by_hand(policy(Consent::Auto));
    after.ledger.restore(&snapshot, after.now);
    let numbers = [2, 3].map(|mid| after.put(mid, &other_attack(9 + mid as u16)).unwrap().id.0);
    assert_eq!(numbers, [u32::MAX, 1]);
    assert_eq!(after.blocked(), [CAMERA]);
}

/// Only decisions are worth the flash: neither counters nor verification nor open questions are.
#[test]
fn only_decisions_are_worth_writing() {
    let mut house = TestRouter::by_hand(Policy {
        consent_timeout: Some(seconds(300)),
        timeout_action: TimeoutAction::Reject,
        ..policy(Consent::Ask)
    });
    let id = house.request(1, &attack(), &[exact(CAMERA)]);
    house.put(1, &attack()).unwrap();
    assert_eq!(house.ledger.generation(), Generation::default());
    house.ledger.approve(id, None, &[], None, "root", house.now).unwrap();
    let approved = house.ledger.generation();
    assert_ne!(approved, Generation::default());
    house.ledger.handle_enforced(id, Ok(()), house.now);
    house.pass(seconds(60));
    house.ledger.handle_counted(id, packets(0), house.now);
    house.ledger.handle_counted(id, packets(5), house.now);
    house.put(1, &attack()).unwrap();
    assert_eq!(house.ledger.generation(), approved, "a refresh is no decision");
    let mut last = approved;
    let mut rises = |house: &TestRouter| {
        assert_ne!(house.ledger.generation(), last);
        last = house.ledger.generation();
    };
    house.delete(1);
    rises(&house);
    house.pass(seconds(120));
    rises(&house);
    house.request(2, &attack(), &[exact(CAMERA)]);
    house.pass(seconds(300));
    rises(&house);
    house.ledger.quarantine(TV, Some(seconds(9)), None, "root", house.now).unwrap();
    rises(&house);
    house.pass(seconds(9));
    rises(&house);
}

fn snapshot() -> Snapshot {
    let house = busy();
    house.ledger.snapshot(house.now)
}

/// What is written is read back as it was.
#[test]
fn a_file_is_read_back_as_written() {
    let snapshot = snapshot();
    assert_eq!(snapshot::decode(&snapshot::encode(&snapshot)), Ok(snapshot));
}

/// Another version is said to be one; what follows the end is no part of a file.
#[test]
fn other_files_are_refused_with_the_reason() {
    let mut content = snapshot::encode(&snapshot());
    content.push(0);
    assert!(matches!(snapshot::decode(&content), Err(Unreadable::Malformed(_))));
    content.pop();
    content[1] = 2;
    assert_eq!(snapshot::decode(&content), Err(Unreadable::Version(2)));
    assert!(matches!(snapshot::decode(&[]), Err(Unreadable::Malformed(_))));
    assert!(matches!(snapshot::decode(b"{\"version\": 1}"), Err(Unreadable::Malformed(_))));
}

/// A hostile file never brings the daemon down, and never makes anything last longer than it may.
#[test]
fn hostile_files_do_no_harm() {
    let content = snapshot::encode(&snapshot());
    for cut in 0..content.len() {
        assert!(snapshot::decode(&content[..cut]).is_err(), "cut at {cut}");
    }
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = move |below: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        usize::try_from(seed >> 33).unwrap() % below
    };
    let (mut readable, mut taken_up) = (0, 0);
    for _ in 0..30_000 {
        let mut hostile = content.clone();
        for _ in 0..=random(3) {
            let at = random(hostile.len());
            hostile[at] = u8::try_from(random(256)).unwrap();
        }
        let Ok(snapshot) = snapshot::decode(&hostile) else { continue };
        readable += 1;
        let mut house = TestRouter::by_hand(policy(Consent::Ask));
        house.ledger.restore(&snapshot, house.now);
        taken_up += house.ledger.all().count();
        assert!(house.ledger.all().all(|m| m.remaining(house.now) <= seconds(86_400)));
        house.ledger.desired(house.now);
        house.pass(seconds(86_400));
        assert_eq!(house.ledger.all().count(), 0);
    }
    assert!(readable > 100 && taken_up > 100, "{readable} readable, {taken_up} taken up");
}
