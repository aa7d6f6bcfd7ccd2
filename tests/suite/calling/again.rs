//! How often the router calls again: what the provider's patience and the network's fate allow.

use crate::support::calling::*;
use dots_callhome::calling::{Caller, CallerPhase};

fn refused() -> World {
    World::both(|_| Fate::Fails(30, "connection refused"))
}

fn answered() -> World {
    World::both(|_| Fate::Established(30))
}

/// Proves SC-4.7-11 from the second failure on; the one earlier retry bridges a provider's restart. Proves SC-4.7-12.
#[test]
fn whole_attempts_are_a_minute_apart_at_first_then_five() {
    let mut world = refused();
    world.pass(seconds(3600));
    let gaps = gaps(&beginnings(&world.seen));
    assert_eq!(gaps.first(), Some(&60));
    assert!(gaps.len() > 10 && gaps[1..].iter().all(|gap| *gap == 300), "{gaps:?}");
}

/// Proves SC-4.7-12.
#[test]
fn nothing_makes_the_router_call_more_often_than_once_a_minute() {
    let mut world = refused();
    for _ in 0..3600 {
        world.pass(seconds(1));
        world.caller.handle_network_changed(world.now);
    }
    let gaps = gaps(&beginnings(&world.seen));
    assert!(gaps.len() > 50 && gaps.iter().all(|gap| *gap >= 60), "{gaps:?}");
}

/// Proves SC-4.7-11, SC-4.7-12 for a provider that only refuses after the handshake, as TLS 1.3 does.
#[test]
fn a_provider_that_hangs_up_at_once_is_not_called_in_a_loop() {
    let mut world = answered();
    for _ in 0..3600 {
        world.pass(seconds(1));
        if world.session.is_some() {
            world.lose();
        }
    }
    let gaps = gaps(&beginnings(&world.seen));
    assert_eq!(gaps.first(), Some(&60));
    assert!(gaps.len() > 10 && gaps[1..].iter().all(|gap| *gap == 300), "{gaps:?}");
    assert!(world.state().is_alarming);
}

/// Proves CH-5.2.1-10.
#[test]
fn a_session_that_lasted_is_built_up_again_soon_after_its_loss() {
    let mut world = answered();
    world.pass(seconds(3600));
    world.take_seen();
    world.lose();
    assert_eq!(world.phase(), CallerPhase::Waiting);
    assert_eq!(world.state().last_error.as_deref(), Some("connection reset"));
    let lost = world.elapsed();
    world.pass(seconds(10));
    assert_eq!(world.phase(), CallerPhase::Connected);
    assert_eq!(world.seen[0].at - lost, seconds(2));
}

#[test]
fn where_nothing_can_be_sent_a_change_of_the_network_is_enough() {
    let mut world = World::both(|_| Fate::Fails(0, "network unreachable"));
    world.pass(seconds(600));
    let idle = beginnings(&world.seen);
    assert!(gaps(&idle).iter().all(|gap| *gap == 60), "{idle:?}");
    world.set_network(|_| Fate::Established(30));
    world.pass(seconds(20));
    assert_eq!(world.phase(), CallerPhase::Waiting);
    world.caller.handle_network_changed(world.now);
    world.pass(seconds(3));
    assert_eq!(world.phase(), CallerPhase::Connected);
}

#[test]
fn a_network_that_changes_during_an_attempt_counts_once_it_has_failed() {
    let mut world = World::new(target(&[]), |_| Fate::Established(30));
    world.pass(seconds(10));
    world.caller.handle_network_changed(world.now);
    world.pass(seconds(19));
    world.names.insert(NAME.into(), Ok(ips(&[V4])));
    assert_eq!(world.phase(), CallerPhase::Connecting);
    world.pass(seconds(4));
    assert_eq!(world.phase(), CallerPhase::Connected);
}

/// A clock that is right at last: the provider's certificate is valid now.
#[test]
fn a_clock_that_jumps_shortens_the_wait_to_what_is_allowed() {
    let mut world = World::both(|_| Fate::Fails(40, "the peer's certificate is not valid yet"));
    world.pass(seconds(61));
    assert!(world.state().retry_in.unwrap() > seconds(200));
    world.set_network(|_| Fate::Established(30));
    world.caller.handle_network_changed(world.now);
    world.pass(seconds(61));
    assert_eq!(world.phase(), CallerPhase::Connected);
    assert_eq!(gaps(&beginnings(&world.seen)), [60, 60]);
}

#[test]
fn a_change_of_the_network_leaves_a_session_alone() {
    let mut world = answered();
    world.pass(seconds(100));
    world.take_seen();
    world.caller.handle_network_changed(world.now);
    world.pass(seconds(1000));
    assert!(world.take_seen().is_empty());
    assert_eq!(world.phase(), CallerPhase::Connected);
}

/// Proves SC-4.7-13.
#[test]
fn a_provider_out_of_reach_is_told_with_reason_and_time() {
    let mut world = refused();
    let begun = world.now;
    world.pass(seconds(5));
    let state = world.state();
    assert_eq!((state.phase, state.is_alarming, state.down_since), (CallerPhase::Waiting, false, Some(begun)));
    assert_eq!(state.retry_in, Some(seconds(55)));
    assert!(state.last_error.unwrap().contains("tls 192.0.2.1: connection refused"));
    world.pass(seconds(60));
    assert!(world.state().is_alarming);
    world.set_network(|_| Fate::Established(30));
    world.pass(seconds(300));
    let state = world.state();
    assert_eq!((state.phase, state.is_alarming, state.down_since), (CallerPhase::Connected, false, None));
    assert_eq!((state.last_error, state.retry_in), (None, None));
}

#[test]
fn what_the_provider_objects_to_is_told_while_others_are_still_awaited() {
    let mut world = World::both(|seen| match seen.path().as_str() {
        "dtls 2001:db8::1" => Fate::Fails(0, "network unreachable"),
        "tls 192.0.2.1" => Fate::Fails(40, "the peer's certificate has expired"),
        _ => Fate::Silent,
    });
    world.pass(seconds(2));
    assert_eq!(world.phase(), CallerPhase::Connecting);
    let told = Some("tls 192.0.2.1: the peer's certificate has expired".to_owned());
    assert_eq!(world.state().last_error, told);
    world.pass(seconds(30));
    assert_eq!((world.phase(), world.state().last_error), (CallerPhase::Waiting, told));
}

/// Whatever happens, in any order: time passes, attempts keep their distance, there is one session at most.
#[test]
fn any_order_of_events_keeps_the_rules() {
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    let mut roll = move |sides: u64| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random % sides
    };
    for round in 0..60 {
        let mut world = World::new(target(if round % 2 == 0 { &[V6, V4] } else { &[] }), |_| Fate::Silent);
        world.names.insert(NAME.into(), Ok(ips(&[V4])));
        for _ in 0..200 {
            match roll(9) {
                0 if world.session.is_some() => world.lose(),
                1 => world.caller.handle_network_changed(world.now),
                2 => world.caller.set_attack(roll(2) == 0),
                3 => world.set_network(|_| Fate::Established(70)),
                4 => world.set_network(|_| Fate::Fails(20, "connection refused")),
                5 => {
                    world.set_network(|seen| if seen.address.is_ipv6() { Fate::Silent } else { Fate::Established(300) })
                }
                6 => world.caller.handle_default_routers(vec!["192.0.2.9:1".parse().unwrap()], world.now),
                7 => drop(world.names.insert(NAME.into(), Err("gone".into()))),
                _ => drop(world.names.insert(NAME.into(), Ok(ips(&[V6, V4])))),
            }
            let early = Caller::handle_established(&mut world.caller, u32::MAX, world.now);
            assert!(!early, "nobody has that number");
            world.pass(millis(roll(90_000)));
            assert_eq!(world.session.is_some(), world.phase() == CallerPhase::Connected);
        }
        let dials = beginnings(&world.seen);
        assert!(gaps(&dials).iter().all(|gap| *gap >= 59), "{:?}", gaps(&dials));
    }
}
