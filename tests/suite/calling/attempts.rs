//! Whom the router calls, in which order, how often, and what it makes of the answers.

use crate::support::calling::*;
use dots_callhome::calling::{CallerPhase, Target};
use dots_callhome::config;
use dots_callhome::model::Transport;

fn silent() -> World {
    World::both(|_| Fate::Silent)
}

/// DTLS is dropped on the way, TLS works.
fn without_udp(seen: &Seen) -> Fate {
    if seen.transport == Transport::Tls { Fate::Established(80) } else { Fate::Silent }
}

const ALL_PATHS: [&str; 4] = ["dtls 2001:db8::1", "dtls 192.0.2.1", "tls 2001:db8::1", "tls 192.0.2.1"];

/// Proves SC-3-03, CH-5.1-07: every way.
#[test]
fn the_port_is_the_one_agreed_upon() {
    let mut world = World::new(Target { port: 4700, ..target(&[V6, V4]) }, |_| Fate::Silent);
    world.pass(seconds(60));
    let ways: std::collections::BTreeSet<String> = world.seen.iter().map(Seen::path).collect();
    assert_eq!(ways.len(), 4, "{ways:?}");
    assert!(world.seen.iter().all(|seen| seen.address.port() == 4700));
}

/// Proves SC-4.3-01, SC-4.3-02, CH-5.1-08, CH-1-02, SC-7.1-09.
#[test]
fn all_ways_are_tried_in_order_one_each_quarter_of_a_second() {
    let mut world = silent();
    world.pass(seconds(10));
    assert_eq!(world.seen.iter().map(|seen| seen.at.as_millis()).collect::<Vec<_>>(), [0, 250, 500, 750]);
    assert!(world.seen.iter().all(|seen| seen.address.port() == 4647 && seen.name == NAME));
    assert_eq!(world.take_paths(), ALL_PATHS);
    assert!(world.asked.is_empty(), "literal addresses need no resolver");
}

/// Proves SC-4.3-03.
#[test]
fn during_an_attack_they_follow_each_other_faster() {
    let mut world = World::new(Target { addresses: Vec::new(), ..target(&[]) }, |_| Fate::Silent);
    world.caller.set_attack(true);
    world.names.insert(NAME.into(), Ok(ips(&[V6, V4])));
    world.pass(seconds(5));
    assert_eq!(world.seen.iter().map(|seen| seen.at.as_millis()).collect::<Vec<_>>(), [0, 100, 200, 300]);
}

/// Proves SC-4.3-02.
#[test]
fn what_fails_early_makes_room_for_the_next_at_once() {
    let mut world = World::both(|seen| match (seen.transport, seen.address.is_ipv6()) {
        (Transport::Dtls, true) => Fate::Fails(0, "network unreachable"),
        (Transport::Dtls, false) => Fate::Fails(10, "connection refused"),
        _ => Fate::Silent,
    });
    world.pass(seconds(5));
    assert_eq!(world.seen.iter().map(|seen| seen.at.as_millis()).collect::<Vec<_>>(), [0, 0, 10, 260]);
}

/// Proves SC-4.3-01.
#[test]
fn second_addresses_have_their_turn_after_the_first_of_each_family() {
    let mut world = World::new(target(&[V4, "192.0.2.2", V6, V4]), |_| Fate::Silent);
    world.pass(seconds(5));
    let expected = [&ALL_PATHS[..], &["dtls 192.0.2.2", "tls 192.0.2.2"]].concat();
    assert_eq!(world.take_paths(), expected);
}

#[test]
fn only_the_configured_secure_channel_is_used() {
    for (transport, expected) in
        [(config::TransportChoice::Dtls, &ALL_PATHS[..2]), (config::TransportChoice::Tls, &ALL_PATHS[2..])]
    {
        let mut world = World::new(Target { transport, ..target(&[V6, V4]) }, |_| Fate::Silent);
        world.pass(seconds(5));
        assert_eq!(world.take_paths(), expected);
    }
}

/// Proves CH-1-01.
#[test]
fn the_first_established_wins_and_the_others_are_dropped() {
    let mut world = World::both(|seen| match (seen.transport, seen.address.is_ipv6()) {
        (Transport::Dtls, true) => Fate::Established(600),
        (Transport::Dtls, false) => Fate::Established(350),
        _ => Fate::Silent,
    });
    world.pass(seconds(60));
    // Both are there in the same millisecond.
    assert_eq!(world.session.as_deref(), Some("dtls 2001:db8::1"));
    assert_eq!((world.running(), world.unwanted), (0, 0));
    assert_eq!(world.take_paths(), ALL_PATHS[..3]);
    assert_eq!(world.phase(), CallerPhase::Connected);
    assert_eq!(world.state().last_error, None);
}

/// Proves CH-1-01.
#[test]
fn a_handshake_done_too_late_is_not_wanted() {
    let mut world = silent();
    world.pass(seconds(1));
    assert!(world.caller.handle_established(1, world.now));
    assert!(!world.caller.handle_established(2, world.now));
    world.caller.handle_failed(3, "reset".into(), world.now);
    assert_eq!(world.phase(), CallerPhase::Connected);
}

#[test]
fn a_race_does_not_last_longer_than_its_connections_may() {
    let mut world = silent();
    world.pass(millis(20_749));
    assert_eq!((world.phase(), world.running()), (CallerPhase::Connecting, 1));
    world.pass(millis(1));
    assert_eq!((world.phase(), world.running()), (CallerPhase::Waiting, 0));
    assert!(world.state().last_error.unwrap().contains("dtls 2001:db8::1: no answer"));
}

#[test]
fn many_addresses_do_not_mean_many_handshakes_at_once() {
    let addresses: Vec<String> = (1..100).map(|n| format!("192.0.2.{n}")).collect();
    let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
    let mut world = World::new(target(&addresses), |_| Fate::Silent);
    world.pass(seconds(30));
    assert_eq!(world.seen.len(), 16);
    world.take_seen();
    world.pass(seconds(60));
    let second = world.take_seen();
    assert_eq!(second.len(), 16);
    assert!(second.iter().all(|seen| seen.path() != "dtls 192.0.2.1"), "others have their turn");
}

/// Proves SC-4.3-04.
#[test]
fn what_worked_is_tried_first_for_ten_minutes() {
    let mut world = World::both(without_udp);
    world.pass(seconds(300));
    assert_eq!(world.session.as_deref(), Some("tls 2001:db8::1"));
    world.take_seen();
    world.lose();
    world.pass(seconds(60));
    assert_eq!(world.take_paths(), ["tls 2001:db8::1"]);
    // The second handshake renewed what is known; ten minutes later nothing is.
    world.pass(seconds(600));
    world.lose();
    world.pass(seconds(60));
    assert_eq!(world.take_paths(), ALL_PATHS[..3]);
}

/// Proves SC-4.3-04.
#[test]
fn what_failed_is_tried_last() {
    let mut world = World::both(|seen| match seen.path().as_str() {
        "dtls 192.0.2.1" => Fate::Established(100),
        _ => Fate::Silent,
    });
    world.pass(seconds(120));
    world.set_network(|_| Fate::Silent);
    world.take_seen();
    world.lose();
    world.pass(seconds(30));
    assert_eq!(world.take_paths(), ["dtls 192.0.2.1", "tls 2001:db8::1", "tls 192.0.2.1", "dtls 2001:db8::1"]);
}

/// Proves SC-4.3-05, SC-4.3-06, SC-4.3-07, CH-1-01.
#[test]
fn a_session_over_tls_looks_for_dtls_once_a_day_and_moves_there() {
    let mut world = World::both(without_udp);
    world.pass(seconds(24 * 3600));
    assert_eq!(world.session.as_deref(), Some("tls 2001:db8::1"));
    world.take_seen();
    world.pass(seconds(2 * 24 * 3600));
    let probes = world.take_seen();
    assert!(probes.iter().all(|seen| seen.transport == Transport::Dtls));
    assert_eq!(probes.len(), 4);
    let gaps = gaps(&beginnings(&probes));
    assert!(gaps.iter().all(|gap| *gap >= 24 * 3600), "{gaps:?}");
    assert_eq!((world.session.as_deref(), world.phase()), (Some("tls 2001:db8::1"), CallerPhase::Connected));
    assert_eq!(world.state().last_error, None, "a probe that fails is no trouble");
    world.set_network(|_| Fate::Established(50));
    world.pass(seconds(25 * 3600));
    assert_eq!(world.session.as_deref(), Some("dtls 2001:db8::1"));
    world.take_seen();
    world.pass(seconds(10 * 24 * 3600));
    assert!(world.take_seen().is_empty(), "it has arrived");
}

/// Proves SC-4.3-05.
#[test]
fn nobody_looks_for_dtls_during_an_attack_or_where_it_is_not_configured() {
    let mut world = World::both(without_udp);
    world.pass(seconds(1));
    world.caller.set_attack(true);
    world.take_seen();
    world.pass(seconds(30 * 3600));
    assert!(world.take_seen().is_empty());
    world.caller.set_attack(false);
    world.pass(seconds(1));
    assert_eq!(world.take_paths(), ALL_PATHS[..2]);
    let mut world = World::new(Target { transport: config::TransportChoice::Tls, ..target(&[V4]) }, without_udp);
    world.pass(seconds(1));
    world.take_seen();
    world.pass(seconds(30 * 3600));
    assert!(world.take_seen().is_empty());
}

#[test]
fn a_session_lost_during_a_probe_is_built_up_again() {
    let mut world = World::both(without_udp);
    world.pass(seconds(24 * 3600 + 5));
    assert_eq!(world.running(), 2);
    world.lose();
    world.pass(seconds(60));
    assert_eq!(world.session.as_deref(), Some("tls 2001:db8::1"));
}

/// Proves SC-4.3-08.
#[test]
fn the_default_router_is_called_where_nothing_is_configured() {
    let nameless = Target { name: String::new(), ..target(&[]) };
    let mut world = World::new(nameless, |_| Fate::Silent);
    world.routers = vec!["[fe80::1%3]:0".parse().unwrap(), "192.168.1.254:0".parse().unwrap()];
    world.pass(seconds(5));
    let first = &world.seen[0];
    assert_eq!((first.address.to_string().as_str(), first.name.as_str()), ("[fe80::1%3]:4647", "fe80::1"));
    assert_eq!(world.take_paths()[1], "dtls 192.168.1.254");
    assert!(world.asked.is_empty());
}

/// Proves SC-4.3-08.
#[test]
fn the_default_router_is_called_where_the_name_leads_nowhere() {
    for answer in [Err("no such name".to_owned()), Ok(Vec::new()), Ok(ips(&["0.0.0.0", "ff02::1", "fe80::1"]))] {
        let mut world = World::new(target(&[]), |_| Fate::Fails(5, "connection refused"));
        world.names.insert(NAME.into(), answer);
        world.routers = vec!["192.168.1.254:0".parse().unwrap()];
        world.pass(seconds(5));
        assert_eq!(world.asked, [NAME]);
        assert_eq!(world.seen[0].name, NAME, "it has to prove the name all the same");
        assert_eq!(world.take_paths(), ["dtls 192.168.1.254", "tls 192.168.1.254"]);
        let error = world.state().last_error.unwrap();
        assert!(error.starts_with("callhome.isp.example: ") && error.contains("connection refused"), "{error}");
    }
}

#[test]
fn without_any_address_the_reason_is_told() {
    let mut world = World::new(target(&[]), |_| Fate::Silent);
    world.names.insert(NAME.into(), Err("no such name".into()));
    world.pass(seconds(5));
    assert_eq!(world.state().last_error.as_deref(), Some("callhome.isp.example: no such name"));
    let mut world = World::new(Target { name: String::new(), ..target(&[]) }, |_| Fate::Silent);
    world.pass(seconds(5));
    assert!(world.state().last_error.unwrap().contains("no default router"));
    assert_eq!(world.phase(), CallerPhase::Waiting);
}

#[test]
fn a_resolver_that_hangs_is_not_waited_for_forever() {
    let mut world = World::new(target(&[]), |_| Fate::Silent);
    world.pass(seconds(29));
    assert_eq!(world.phase(), CallerPhase::Connecting);
    world.caller.handle_resolved("somebody.else.example", Ok(ips(&[V4])), world.now);
    world.pass(seconds(1));
    assert_eq!(world.phase(), CallerPhase::Waiting);
    assert!(world.seen.is_empty());
    // Its answer comes too late.
    world.caller.handle_resolved(NAME, Ok(ips(&[V4])), world.now);
    world.pass(seconds(5));
    assert!(world.seen.is_empty());
}

#[test]
fn an_address_that_has_proven_itself_helps_when_the_resolver_fails() {
    let mut world = World::new(target(&[]), |_| Fate::Established(20));
    world.names.insert(NAME.into(), Ok(ips(&[V6, V4])));
    world.pass(seconds(120));
    world.names.insert(NAME.into(), Err("try again later".into()));
    world.take_seen();
    world.lose();
    world.pass(seconds(10));
    assert_eq!(world.take_paths(), ["dtls 2001:db8::1"]);
    assert_eq!(world.session.as_deref(), Some("dtls 2001:db8::1"));
}
