//! DTLS over networks as they are: loss, repetition, delay, small packets, damage; and sessions that are resumed.

use std::time::Duration;

use crate::support::dtls::*;
use dots_callhome::transport::Failure;
use dots_callhome::transport::dtls::{ClientConfig, DtlsChannel, MAX_DATAGRAM};
use dots_callhome::transport::dtls_server::{Answer, ServerConfig};

/// In fine weather nothing is repeated, and an idle session has no timers.
#[test]
fn a_calm_network_sees_no_repetition() {
    let mut world = World::new();
    let start = world.now.instant;
    world.connect();
    world.settle();
    assert!(world.now.instant - start < Duration::from_millis(200), "six flights of 20 ms");
    assert_eq!(world.client.poll_timeout(), None);
    assert_eq!(world.server().poll_timeout(), None);
    world.talk();
}

/// Handshakes get through bad networks (RFC 6347 section 4.2.4), and what arrives then is whole.
#[test]
fn loss_repetition_and_delay_are_survived() {
    let root = Authority::new("Root");
    for seed in 0..40 {
        let mut world = World::between(&server(&root, PROVIDER), &client(&root, ROUTER), None);
        world.dice = Dice::new(seed);
        world.weather = Weather { lost: 25, doubled: 20, late: 20 };
        world.connect();
        world.weather = Weather::default();
        // The last flight may still be on its way.
        for _ in 0..50 {
            world.step();
        }
        assert_eq!((world.client_failure.take(), world.server_failure.take()), (None, None), "seed {seed}");
        world.talk();
    }
}

/// Repeated sooner, then ever later: 1, 2, 4 … seconds, and at last given up.
#[test]
fn silence_is_noticed() {
    let mut world = World::new();
    world.weather.lost = 100;
    let start = world.now.instant;
    assert_eq!(world.fail(), (Some(Failure::Silent), None));
    let sent: Vec<u64> = world.seen.iter().map(|flight| (flight.at - start).as_secs()).collect();
    assert_eq!(sent, [0, 1, 3, 7, 15, 31, 63]);
    assert_eq!(world.client.poll_timeout(), None);
    assert_eq!(world.client.handle_input(b"late", world.now), Err(Failure::Silent));
}

/// Proves SC-7.1-10.
#[test]
fn a_repeated_record_has_no_second_effect() {
    let mut world = World::new();
    world.connect();
    world.settle();
    let before = world.seen.len();
    world.talk();
    let replay: Vec<Flight> = world.seen.drain(before..).collect();
    assert_eq!(replay.len(), 2);
    for _ in 0..3 {
        for flight in &replay {
            world.arrive(flight.to, &flight.datagram);
        }
    }
    world.settle();
    assert_eq!((world.at_client(), world.at_server()), (Vec::new(), Vec::new()));
    assert_eq!(world.seen.len(), before, "an answer to a replay");
    world.talk();
    // A record far behind the window is no more welcome.
    for _ in 0..100 {
        world.talk();
    }
    world.arrive(replay[0].to, &replay[0].datagram);
    assert_eq!((world.at_client(), world.at_server()), (Vec::new(), Vec::new()));
}

/// Old handshake datagrams, however often, do nothing either.
#[test]
fn a_repeated_handshake_has_no_second_effect() {
    let mut world = World::new();
    world.connect();
    world.talk();
    for flight in world.seen.clone() {
        world.arrive(flight.to, &flight.datagram);
        world.settle();
    }
    assert_eq!((world.client_failure.take(), world.server_failure.take()), (None, None));
    assert_eq!((world.at_client(), world.at_server()), (Vec::new(), Vec::new()));
    world.talk();
}

/// Proves SC-7.3-01, SC-7.3-02, SC-7.3-04: every datagram fits (the world measures each), handshakes are cut, and the longest
/// CoAP message has room.
#[test]
fn datagrams_fit_the_smallest_path() {
    let root = Authority::new("Root");
    let low = (0..5).fold(root.intermediate("Between"), |above, _| above.intermediate("Further between"));
    let client =
        ClientConfig::certificate(&low.issue_with(Kind::Rsa, params(ROUTER)), &root.anchors(), random(1)).unwrap();
    let server = serving(low.issue_with(Kind::Rsa, params(PROVIDER)), root.anchors(), Vec::new());
    let mut world = World::between(&server, &client, None);
    world.connect();
    assert!(world.seen.iter().filter(|flight| flight.datagram.len() > MAX_DATAGRAM / 2).count() > 4, "nothing was cut");
    assert!(world.client.max_message() >= 1152, "{}", world.client.max_message());
    let longest = vec![b'x'; world.client.max_message()];
    world.client.write(&longest);
    world.client.write(&[&longest[..], b"x"].concat());
    world.settle();
    assert_eq!(world.at_server(), [longest]);
}

/// Several messages, in any order, stay apart.
#[test]
fn messages_keep_their_bounds() {
    let mut world = World::new();
    world.connect();
    world.settle();
    world.weather.late = 50;
    let messages: Vec<Vec<u8>> = (1..40_u8).map(|number| vec![number; usize::from(number)]).collect();
    messages.iter().for_each(|message| world.client.write(message));
    world.settle();
    let mut arrived = world.at_server();
    assert_ne!(arrived, messages, "nothing was late");
    arrived.sort();
    assert_eq!(arrived, messages);
    // Two records in one datagram, as other libraries send them.
    world.weather.late = 0;
    world.client.write(b"one");
    world.client.write(b"two");
    world.collect();
    let both: Vec<u8> = world.under_way.drain(..).flat_map(|flight| flight.datagram).collect();
    world.arrive(To::Server, &both);
    assert_eq!(world.at_server(), [b"one".to_vec(), b"two".to_vec()]);
}

#[test]
fn nothing_leaves_before_the_peer_is_proven() {
    let mut world = World::new();
    world.client.write(b"too early");
    world.connect();
    world.settle();
    assert_eq!(world.at_server(), Vec::<Vec<u8>>::new());
    assert!(world.client.peer_certificate().is_some());
}

#[test]
fn goodbyes_are_heard() {
    let mut world = World::new();
    world.connect();
    world.server().write(b"last words");
    world.server().close();
    world.settle();
    assert_eq!(world.client_failure, Some(Failure::Closed));
    assert_eq!(world.at_client(), [b"last words".to_vec()]);
    assert_eq!(world.client.handle_input(b"more", world.now), Err(Failure::Closed));
    let before = world.seen.len();
    world.client.write(b"hello?");
    world.settle();
    assert_eq!(world.seen.len(), before);
}

/// Resumes what `first` left, with a provider that has restarted, when its clock shows `unix`.
fn resumed(unix: u64, server: &Make, client: &ClientConfig, first: &World) -> World {
    let mut world = World::at(unix, server, client, first.client.session());
    world.connect();
    world.talk();
    world
}

/// Proves SC-7.1-11, SC-7.2-01: the provider has restarted in between and kept nothing but its secret.
#[test]
fn a_session_is_resumed_from_its_ticket() {
    let root = Authority::new("Root");
    for kind in [Kind::P256, Kind::Rsa] {
        let router = root.issue_with(kind, params(ROUTER));
        let client = ClientConfig::certificate(&router, &root.anchors(), random(1)).unwrap();
        let server = server(&root, PROVIDER);
        let mut first = World::between(&server, &client, None);
        first.connect();
        let mut world = resumed(TODAY + 86_400, &server, &client, &first);
        assert!(world.client.is_resumed() && world.server().is_resumed());
        assert_eq!(world.server().peer_name().as_deref(), Some(ROUTER));
        assert_eq!(world.client.peer_certificate(), first.client.peer_certificate());
        let bytes = |world: &World| world.seen.iter().map(|flight| flight.datagram.len()).sum::<usize>();
        assert!(bytes(&world) < bytes(&first), "{} {}", bytes(&world), bytes(&first));
        // And once more, from what the resumed session left.
        assert!(resumed(TODAY + 86_400, &server, &client, &world).client.is_resumed());
    }
}

#[test]
fn a_session_is_not_resumed_when_it_should_not_be() {
    let root = Authority::new("Root");
    let (server, config) = (server(&root, PROVIDER), client(&root, ROUTER));
    let mut first = World::between(&server, &config, None);
    first.connect();
    // Too old, or the provider's secret is another.
    assert!(!resumed(TODAY + 3 * 86_400, &server, &config, &first).client.is_resumed());
    let (identity, anchors) = (root.issue(PROVIDER), root.anchors());
    let other: Box<Make> =
        Box::new(move || ServerConfig::new(Some((&identity, &anchors)), [], &[8; 32], random(2)).unwrap());
    let world = resumed(TODAY, &other, &config, &first);
    assert!(!world.client.is_resumed());
    // Another authority is trusted now, by either side: no way in with what was proven before.
    let foreign = Authority::new("Other");
    let stranger = serving(foreign.issue(PROVIDER), foreign.anchors(), Vec::new());
    let failures = World::at(TODAY, &stranger, &config, first.client.session()).fail();
    assert_eq!(failures.0, Some(Failure::UnknownAuthority));
    let failures = World::at(TODAY, &server, &client(&foreign, ROUTER), first.client.session()).fail();
    assert_eq!(failures.0, Some(Failure::UnknownAuthority));
    // A certificate has expired since, of the router or of the provider.
    for (for_router, for_provider) in [(true, false), (false, true)] {
        let issue = |short: bool, name: &str| {
            root.issue_with(Kind::P256, if short { params_from_until(name, 2020, 2027) } else { params(name) })
        };
        let provider = serving(issue(for_provider, PROVIDER), root.anchors(), Vec::new());
        let router = ClientConfig::certificate(&issue(for_router, ROUTER), &root.anchors(), random(1)).unwrap();
        const END_OF_2026: u64 = 1_798_761_600;
        let mut first = World::at(END_OF_2026 - 3600, &provider, &router, None);
        first.connect();
        assert!(first.client.session().is_some());
        assert!(resumed(END_OF_2026 - 1800, &provider, &router, &first).client.is_resumed());
        let (client, server) = World::at(END_OF_2026 + 1800, &provider, &router, first.client.session()).fail();
        assert_eq!(if for_router { server } else { client }, Some(Failure::Expired));
    }
}

/// The provider keeps nothing for a peer that may not be there (RFC 6347 section 4.2.1), and sends it less than it got.
#[test]
fn cookies_come_first() {
    let mut world = World::new();
    world.collect();
    let hello = world.under_way[0].datagram.clone();
    let reply = |world: &World, datagram: &[u8]| match world.server_config.accept(world.router, datagram, world.now) {
        Answer::Reply(reply) => reply,
        _ => panic!("no reply"),
    };
    let question = reply(&world, &hello);
    assert!(question.len() < hello.len());
    assert_eq!(question[13], 3, "a HelloVerifyRequest");
    // With its cookie, and then from elsewhere, and later.
    world.client.handle_input(&question, world.now).unwrap();
    let with_cookie = world.client.poll_transmit().unwrap();
    let accept = |world: &World, from: &str, seconds: u64| {
        let now = world.now.after(Duration::from_secs(seconds));
        world.server_config.accept(from.parse().unwrap(), &with_cookie, now)
    };
    let router = world.router.to_string();
    assert!(matches!(accept(&world, &router, 0), Answer::Accepted(_)));
    assert!(matches!(accept(&world, &router, 60), Answer::Accepted(_)));
    assert!(matches!(accept(&world, "[2001:db8:1::7]:40001", 0), Answer::Reply(_)));
    assert!(matches!(accept(&world, "[2001:db8:1::8]:40000", 0), Answer::Reply(_)));
    assert!(matches!(accept(&world, &router, 180), Answer::Reply(_)));
    for nothing in [&b""[..], b"x", &[0x40, 1, 2, 3], &[0; 1200]] {
        assert!(matches!(world.server_config.accept(world.router, nothing, world.now), Answer::Nothing));
    }
}

/// A router that restarts calls from the port it had before: its old session goes on until the new one is proven.
#[test]
fn a_router_begins_anew_from_the_same_port() {
    let root = Authority::new("Root");
    let config = client(&root, ROUTER);
    let mut world = World::between(&server(&root, PROVIDER), &config, None);
    world.connect();
    world.talk();
    let mut old = world.server.take().unwrap();
    world.client = DtlsChannel::client(&config, PROVIDER, None, world.now).unwrap();
    while !world.client.is_established() {
        world.collect();
        for flight in world.under_way.iter().filter(|flight| flight.to == To::Server) {
            assert_eq!(old.handle_input(&flight.datagram, world.now), Ok(()));
        }
        assert!(world.step());
    }
    assert!(old.is_established() && old.poll_plaintext().is_none() && old.poll_transmit().is_none());
    world.talk();
}
