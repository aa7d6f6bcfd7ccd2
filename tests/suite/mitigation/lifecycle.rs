//! Lifetimes, refreshes, withdrawals, counters: what becomes of a mitigation with time.

use crate::support::ledger::*;
use dots_callhome::enforce::NotInForce;
use dots_callhome::mitigation::{Client, Consent, Event, Happened, Policy, Refusal, State, Status};
use dots_callhome::model::Mac;

fn house() -> House {
    House::new(policy(Consent::Auto))
}

/// Proves SC-4.4.1.3-13, SC-4.4.1.3-23.
#[test]
fn the_same_request_again_restarts_the_lifetime() {
    let mut house = house();
    let first = house.put(1, &attack()).unwrap();
    assert!(first.created);
    assert_eq!(first.lifetime, seconds(3600));
    house.pass(seconds(3000));
    let again = house.put(1, &attack()).unwrap();
    assert!(!again.created);
    assert_eq!(again.id, first.id);
    assert_eq!(house.m(first.id).remaining(house.now), seconds(3600));
    house.pass(seconds(3599));
    assert!(house.ledger.get(first.id).is_some());
}

/// Proves SC-4.4.1.3-24, SC-4.4.3-03.
#[test]
fn the_same_mid_with_other_parameters_changes_nothing() {
    let mut house = house();
    let id = house.in_force(1, &attack(), CAMERA);
    house.pass(seconds(600));
    house.events();
    for changed in [
        scope(&["2001:db8:c000::1/128"], &["2001:db8:123::2/128"]),
        with_source_ports(&attack(), 1, 2),
        dots_callhome::model::Scope { target_protocols: vec![6], ..attack() },
    ] {
        assert_eq!(house.put(1, &changed), Err(Refusal::ScopeChanged));
        let efficacy = house.ledger.put(&isp(), 1, &changed, Some(seconds(60)), true, house.now);
        assert_eq!(efficacy, Err(Refusal::ScopeChanged));
    }
    assert_eq!(house.m(id).scope(), &attack());
    assert_eq!(house.m(id).remaining(house.now), seconds(3000));
    assert!(house.events().is_empty());
}

/// Proves SC-4.4.1.1-28, SC-4.4.1.1-30.
#[test]
fn indefinite_and_overlong_lifetimes_are_granted_as_the_longest_allowed() {
    let mut house = House::new(Policy { max_lifetime: seconds(7200), ..policy(Consent::Auto) });
    let indefinite = house.ledger.put(&isp(), 1, &attack(), None, false, house.now).unwrap();
    assert_eq!(indefinite.lifetime, seconds(7200));
    let long = house.ledger.put(&isp(), 2, &other_attack(1), Some(seconds(7201)), false, house.now).unwrap();
    assert_eq!(long.lifetime, seconds(7200));
    house.pass(seconds(200));
    assert_eq!(house.m(indefinite.id).remaining(house.now), seconds(7000));
    assert_eq!(house.m(indefinite.id).granted(), seconds(7200));
}

/// Proves SC-4.4.1.1-28: no policy makes a lifetime longer than the RFC can express.
#[test]
fn an_absurd_policy_is_harmless() {
    let mut house = House::new(Policy { max_lifetime: std::time::Duration::MAX, ..policy(Consent::Auto) });
    let grant = house.ledger.put(&isp(), 1, &attack(), None, false, house.now).unwrap();
    assert_eq!(grant.lifetime, seconds(u64::from(u32::MAX)));
}

/// Proves SC-4.4.1.1-31.
#[test]
fn at_the_end_of_its_lifetime_a_request_is_gone_and_nothing_blocked() {
    let mut house = house();
    let id = house.in_force(1, &attack(), CAMERA);
    assert_eq!(house.blocked(), [CAMERA]);
    house.events();
    house.pass(seconds(3599));
    assert_eq!(house.blocked(), [CAMERA]);
    house.pass(seconds(1));
    assert!(house.ledger.get(id).is_none());
    assert!(house.ledger.find(&isp(), 1).is_none());
    assert!(house.blocked().is_empty());
    let events = house.events();
    assert!(matches!(events.as_slice(), [Event::Enforce, Event::Gone(m)] if m.id() == id));
    assert_eq!(house.ledger.poll_timeout(), None);
}

/// Proves SC-4.4.1.1-31: a request that comes at the very end finds the old one gone.
#[test]
fn a_put_is_never_judged_by_what_has_expired() {
    let mut house = house();
    house.put(5, &attack()).unwrap();
    house.now = house.now.after(seconds(3600));
    assert!(house.put(4, &attack()).unwrap().created);
}

/// Proves SC-4.4.3-06, SC-4.4.3-07.
#[test]
fn an_efficacy_update_refreshes_what_it_matches_and_creates_nothing() {
    let mut house = house();
    let unmatched = house.ledger.put(&isp(), 999, &attack(), Some(seconds(60)), true, house.now);
    assert_eq!(unmatched, Err(Refusal::Unmatched));
    assert_eq!(house.ledger.all().count(), 0);
    let id = house.put(1, &attack()).unwrap().id;
    house.pass(seconds(100));
    let grant = house.ledger.put(&isp(), 1, &attack(), Some(seconds(3600)), true, house.now).unwrap();
    assert!(!grant.created);
    assert_eq!(house.m(id).remaining(house.now), seconds(3600));
}

/// Proves SC-4.4.3-07: an update overtaken by the withdrawal doesn't undo it.
#[test]
fn a_late_efficacy_update_does_not_revive() {
    let mut house = house();
    let id = house.in_force(1, &attack(), CAMERA);
    house.delete(1);
    let late = house.ledger.put(&isp(), 1, &attack(), Some(seconds(3600)), true, house.now);
    assert_eq!(late, Err(Refusal::Unmatched));
    assert_eq!(house.state(id), State::Terminating);
}

/// Proves SC-4.4.4-03, SC-4.4.4-04, SC-4.4.4-05, SC-4.4.4-06, SC-4.4.4-08, SC-4.4.2-12.
#[test]
fn a_withdrawal_is_in_force_for_two_more_minutes() {
    let mut house = house();
    house.delete(999);
    assert!(house.events().is_empty());
    let id = house.in_force(1, &attack(), CAMERA);
    house.delete(1);
    assert_eq!(house.state(id), State::Terminating);
    assert_eq!(house.status(id), 5);
    assert_eq!(house.m(id).remaining(house.now), seconds(120));
    assert_eq!(house.ledger.desired(house.now).blocks[0].remaining, seconds(120));
    house.pass(seconds(60));
    house.delete(1);
    assert_eq!(house.m(id).remaining(house.now), seconds(60), "asking twice prolongs nothing");
    house.pass(seconds(59));
    assert_eq!(house.blocked(), [CAMERA]);
    house.events();
    house.pass(seconds(1));
    assert!(house.blocked().is_empty());
    let gone = house.gone();
    assert_eq!(gone.len(), 1);
    assert_eq!(gone[0].status(), Status::Terminated);
    assert_eq!(gone[0].status() as u8, 6);
    assert!(house.ledger.find(&isp(), 1).is_none());
}

/// Proves SC-4.4.4-07.
#[test]
fn asking_again_meanwhile_doubles_the_period_up_to_five_minutes() {
    let mut house = house();
    let id = house.in_force(1, &attack(), CAMERA);
    for period in [120, 240, 300, 300] {
        house.delete(1);
        assert_eq!(house.m(id).remaining(house.now), seconds(period));
        house.pass(seconds(10));
        let again = house.put(1, &attack()).unwrap();
        assert!(!again.created);
        assert_eq!(house.state(id), State::Active);
        assert_eq!(house.status(id), 2, "it was in force all the time");
        assert_eq!(house.m(id).remaining(house.now), seconds(3600));
    }
}

/// Proves SC-4.4.4-07: a new mid for the same attack counts as asking again.
#[test]
fn the_period_grows_over_mids_too() {
    let mut house = house();
    house.in_force(1, &attack(), CAMERA);
    house.delete(1);
    let second = house.in_force(2, &attack(), CAMERA);
    house.delete(2);
    assert_eq!(house.m(second).remaining(house.now), seconds(240));
    house.pass(seconds(240));
    let third = house.in_force(3, &attack(), CAMERA);
    house.delete(3);
    assert_eq!(house.m(third).remaining(house.now), seconds(120), "the period had ended");
}

/// Proves SC-4.4.4-04: where nothing is in force there is nothing to end slowly.
#[test]
fn a_withdrawn_question_is_gone_at_once() {
    let mut house = House::new(policy(Consent::Ask));
    for suspects in [vec![], vec![exact(CAMERA)]] {
        let id = house.request(1, &attack(), &suspects);
        house.delete(1);
        assert!(house.ledger.get(id).is_none());
        assert_eq!(house.gone().len(), 1);
    }
}

/// Proves SC-4.4.4-09.
#[test]
fn what_the_router_ends_is_unblocked_at_once_and_stays_readable() {
    let mut house = house();
    let id = house.in_force(1, &attack(), CAMERA);
    house.ledger.withdraw(id, Some("needed"), "root", house.now).unwrap();
    assert!(house.blocked().is_empty());
    assert_eq!(house.status(id), 7);
    assert!(!house.m(id).legitimate());
    assert_eq!(house.m(id).decision().unwrap().comment.as_deref(), Some("needed"));
    house.pass(seconds(1000));
    assert!(!house.put(1, &attack()).unwrap().created);
    house.ledger.handle_attribution(id, vec![exact(CAMERA)], house.now);
    assert_eq!(house.status(id), 7, "a refresh doesn't undo the administrator's word");
    assert!(house.blocked().is_empty());
    house.delete(1);
    assert!(house.ledger.get(id).is_none());
}

/// Proves SC-4.4.4-09 for a mitigation that was ending already.
#[test]
fn ending_what_terminates_leaves_nothing() {
    let mut house = house();
    let id = house.in_force(1, &attack(), CAMERA);
    house.delete(1);
    house.ledger.withdraw(id, None, "root", house.now).unwrap();
    assert!(house.ledger.get(id).is_none());
    assert!(house.blocked().is_empty());
}

/// Proves SC-4.4.2-08, SC-4.4.2-12, CH-5.3.1-26: status 2 only once it is true, mitigation-start from then on.
#[test]
fn mitigated_is_reported_when_it_was_seen() {
    let mut house = house();
    let id = house.request(1, &attack(), &[exact(CAMERA)]);
    assert_eq!(house.blocked(), [CAMERA]);
    assert_eq!(house.status(id), 1);
    assert_eq!(house.m(id).started(), None);
    house.ledger.handle_enforced(id, Err(NotInForce::Nft("no nft".into())), house.now);
    assert_eq!(house.status(id), 1);
    assert_eq!(house.m(id).detail(), Some("no nft"));
    house.pass(seconds(7));
    house.events();
    house.ledger.handle_enforced(id, Ok(()), house.now);
    assert_eq!(house.status(id), 2);
    assert_eq!(house.m(id).started(), Some(house.now.unix));
    assert_eq!(house.m(id).detail(), None);
    assert!(matches!(house.events().as_slice(), [Event::Changed(changed)] if *changed == id));
    let start = house.now.unix;
    house.pass(seconds(7));
    house.ledger.handle_enforced(id, Err(NotInForce::Nft("flows remain".into())), house.now);
    assert_eq!(house.status(id), 1);
    house.ledger.handle_enforced(id, Ok(()), house.now);
    assert_eq!(house.m(id).started(), Some(start), "it starts once");
}

/// Proves SC-4.4.2-12: 3 while nothing matches, 2 when traffic returns, 3 until the end.
#[test]
fn a_quiet_attack_has_stopped_until_it_returns() {
    let mut house = house();
    let id = house.in_force(1, &attack(), CAMERA);
    house.pass(seconds(30));
    house.ledger.handle_counted(id, packets(10), house.now);
    for _ in 0..5 {
        house.pass(seconds(10));
        house.ledger.handle_counted(id, packets(10), house.now);
        assert_eq!(house.status(id), 2);
    }
    house.events();
    house.pass(seconds(10));
    house.ledger.handle_counted(id, packets(10), house.now);
    assert_eq!((house.status(id), house.state(id)), (3, State::Stopped));
    assert_eq!(house.blocked(), [CAMERA], "still in force");
    assert_eq!(house.events().len(), 1, "told once, and nothing to enforce anew");
    house.pass(seconds(500));
    house.ledger.handle_counted(id, packets(10), house.now);
    assert_eq!(house.status(id), 3);
    assert!(house.events().is_empty());
    house.ledger.handle_counted(id, packets(11), house.now);
    assert_eq!(house.status(id), 2);
    house.pass(seconds(60));
    house.ledger.handle_counted(id, packets(11), house.now);
    assert_eq!(house.status(id), 3);
    house.ledger.handle_enforced(id, Err(NotInForce::Nft("the table is gone".into())), house.now);
    assert_eq!(house.status(id), 1);
}

/// Proves SC-4.4.2-12: an attack that was over before the block began.
#[test]
fn what_never_matches_has_stopped() {
    let mut house = house();
    let id = house.in_force(1, &attack(), CAMERA);
    house.pass(seconds(59));
    house.ledger.handle_counted(id, packets(0), house.now);
    assert_eq!(house.status(id), 2);
    house.pass(seconds(1));
    house.ledger.handle_counted(id, packets(0), house.now);
    assert_eq!(house.status(id), 3);
}

/// Proves SC-4.4.2-12: what was never in force can't have stopped.
#[test]
fn silence_before_the_block_is_no_end() {
    let mut house = house();
    let id = house.request(1, &attack(), &[exact(CAMERA)]);
    house.pass(seconds(600));
    house.ledger.handle_counted(id, packets(0), house.now);
    assert_eq!(house.status(id), 1);
}

/// Proves SC-4.4.2-10: totals never count back, though the counters start again with every new table.
#[test]
fn totals_grow_over_new_tables() {
    let mut house = house();
    let id = house.in_force(1, &attack(), CAMERA);
    for (reading, total) in [(100, 100), (150, 150), (20, 170), (20, 170), (0, 170), (5, 175)] {
        house.pass(seconds(10));
        house.ledger.handle_counted(id, packets(reading), house.now);
        assert_eq!(house.m(id).dropped(), packets(total));
    }
    assert_eq!(house.m(id).rate().bytes, 50, "5 packets of 100 bytes in 10 seconds");
}

/// Proves SC-4.4.2-11.
#[test]
fn averages_are_over_full_five_minutes() {
    let mut house = house();
    let id = house.in_force(1, &attack(), CAMERA);
    house.ledger.handle_counted(id, packets(50), house.now);
    assert_eq!(house.m(id).average(), packets(0), "no time has passed");
    house.pass(seconds(100));
    house.ledger.handle_counted(id, packets(1000), house.now);
    assert_eq!(house.m(id).average(), packets(10), "before the first interval is full");
    house.pass(seconds(200));
    house.ledger.handle_counted(id, packets(6000), house.now);
    assert_eq!(house.m(id).average(), packets(20));
    house.pass(seconds(299));
    house.ledger.handle_counted(id, packets(90_000), house.now);
    assert_eq!(house.m(id).average(), packets(20), "the second interval is not full yet");
    house.pass(seconds(1));
    house.ledger.handle_counted(id, packets(90_000), house.now);
    assert_eq!(house.m(id).average(), packets(150));
}

/// Proves SC-4.4.1.3-04, SC-11-08: a cuid counts within its peer. Who knows another one's, and it is no secret, takes nothing of it
/// and keeps nobody out.
#[test]
fn a_cuid_of_another_peer_gives_nothing_and_takes_nothing() {
    let mut house = house();
    let stranger = Client { peer: "other".into(), cuid: "K".into() };
    let put = |house: &mut House, client: &Client, mid, lifetime| {
        house.ledger.put(client, mid, &attack(), Some(seconds(lifetime)), false, house.now).unwrap()
    };
    let theirs = put(&mut house, &stranger, 1, 60);
    let ours = house.put(1, &attack()).unwrap();
    assert!(theirs.created && ours.created && theirs.id != ours.id);
    assert!(!put(&mut house, &stranger, 1, 90).created);
    assert_eq!(house.m(ours.id).remaining(house.now), seconds(3600), "a refresh of the other's");
    assert!(put(&mut house, &stranger, 2, 60).created, "it supersedes its own");
    assert!(house.ledger.find(&isp(), 1).is_some());
    house.ledger.delete(&stranger, 1, house.now);
    house.ledger.delete(&stranger, 2, house.now);
    assert!(house.ledger.find(&isp(), 1).is_some());
    assert_eq!((house.ledger.of_client(&isp()).count(), house.ledger.of_client(&stranger).count()), (1, 0));
}

/// Proves SC-4.4.3-08: too much for one peer is refused until something ends, whatever cuids it uses.
#[test]
fn a_peer_has_its_share_and_no_more() {
    let mut house = House::new(Policy { max_mitigations: 2, ..policy(Consent::Auto) });
    house.put(1, &other_attack(1)).unwrap();
    house.pass(seconds(600));
    house.put(2, &other_attack(2)).unwrap();
    let elsewhere = Client { cuid: "L".into(), ..isp() };
    let full = house.ledger.put(&elsewhere, 3, &other_attack(3), Some(seconds(60)), false, house.now);
    assert_eq!(full, Err(Refusal::Full { retry: seconds(3000) }));
    assert!(!house.put(2, &other_attack(2)).unwrap().created, "a refresh takes no place");
    assert!(house.put(3, &other_attack(2)).unwrap().created, "nor does what takes another's");
    let other = Client { peer: "other".into(), cuid: "M".into() };
    assert!(house.ledger.put(&other, 1, &attack(), Some(seconds(60)), false, house.now).unwrap().created);
    house.pass(seconds(3000));
    assert!(house.put(4, &other_attack(4)).unwrap().created);
}

/// Proves CH-5.3.1-29: every step is told once, and the history keeps it, bounded.
#[test]
fn history_tells_the_steps_newest_first_and_is_bounded() {
    let mut house = house();
    let id = house.in_force(1, &attack(), CAMERA);
    house.delete(1);
    house.pass(seconds(120));
    let steps: Vec<_> = house.ledger.history().map(|entry| entry.event).collect();
    let told = [Happened::Expired, Happened::Terminating, Happened::Enforced, Happened::Approved, Happened::Requested];
    assert_eq!(steps, told);
    let approved = house.ledger.history().find(|entry| entry.event == Happened::Approved).unwrap();
    assert_eq!((approved.id(), approved.mac(), approved.by.as_deref()), (Some(id), Some(CAMERA), Some("policy")));
    assert_eq!(approved.peer(), Some("isp"));
    for mid in 0..300 {
        house.put(1000 + mid, &attack()).unwrap();
    }
    assert_eq!(house.ledger.history().count(), 256);
    assert_eq!(house.ledger.history().next().unwrap().event, Happened::Requested);
}

/// Proves SC-4.7-16: sessions don't matter to the ledger; only time and DELETE end a mitigation.
#[test]
fn nothing_but_time_and_withdrawal_ends_a_mitigation() {
    let mut house = house();
    let id = house.in_force(1, &attack(), CAMERA);
    house.pass(seconds(3599));
    assert_eq!(house.status(id), 2);
    assert_eq!(house.blocked(), [CAMERA]);
    assert_eq!(house.ledger.find(&isp(), 1).map(|m| m.id()), Some(id));
}

/// Every event is announced once however often it is caused before the owner looks.
#[test]
fn events_do_not_pile_up() {
    let mut house = house();
    let id = house.in_force(1, &attack(), CAMERA);
    for n in 0..1000 {
        house.put(1, &attack()).unwrap();
        house.ledger.handle_enforced(id, Err(NotInForce::Nft(n.to_string())), house.now);
    }
    assert!(house.events().len() <= 3);
    house.ledger.handle_attribution(
        id,
        (0..1000_u32)
            .map(|n| {
                let [a, b, c, d] = n.to_be_bytes();
                possible(Mac([2, 1, a, b, c, d]))
            })
            .collect(),
        house.now,
    );
    assert_eq!(house.m(id).suspects().len(), 64);
    assert_eq!(house.m(id).suspects()[0].mac, CAMERA, "the most likely stay");
}

/// Every line of the history is told once, oldest first.
#[test]
fn news_are_the_history_in_order() {
    let mut house = House::new(policy(Consent::Ask));
    house.in_force(1, &attack(), CAMERA);
    let mut told: Vec<_> = std::iter::from_fn(|| house.ledger.poll_news()).collect();
    told.reverse();
    assert!(told.len() >= 3 && house.ledger.history().eq(told.iter()));
    assert_eq!(house.ledger.poll_news(), None);
}
