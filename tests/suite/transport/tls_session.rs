//! A TLS session once it stands: resumed later, closed in order, and hostile bytes.

use std::sync::Arc;

use crate::support::tls::*;
use dots_callhome::transport::tls::TlsChannel;
use dots_callhome::transport::tls_config::{client_config, server_config};
use dots_callhome::transport::{Channel, Failure};
use rustls::version::{TLS12, TLS13};

const YEAR_2024: u64 = 1_704_067_200;
const YEAR_2030: u64 = 1_893_456_000;

/// Proves CH-5.2.1-10, SC-7.2-01 and, over TLS, SC-7.1-11: tickets are all there is.
#[test]
fn the_second_handshake_is_a_resumption() {
    let root = Authority::new("Root");
    let ours = router(root.issue(ROUTER), &root);
    let provider = provider(root.issue(PROVIDER), &root);
    for round in 0..5 {
        let mut line = Line::new(&ours, &provider);
        line.connect();
        assert_eq!((line.client.is_resumed(), line.server.is_resumed()), (round > 0, round > 0));
        assert!(line.client.peer_certificate().is_some() && line.server.peer_certificate().is_some());
    }
    // It knows no session, so this is what its ticket says.
    let mut other = (*provider).clone();
    other.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    let mut line = Line::new(&ours, &Arc::new(other));
    line.connect();
    assert!(line.client.is_resumed());
}

/// Proves CH-5.2.1-10 for both versions.
#[test]
fn both_versions_resume() {
    let root = Authority::new("Root");
    for version in [&TLS12, &TLS13] {
        let ours = router(root.issue(ROUTER), &root);
        let foreign = Arc::new(foreign_provider(&root, Kind::P256, version));
        for resumed in [false, true, true] {
            let mut line = Line::new(&ours, &foreign);
            line.connect();
            assert_eq!(line.client.is_resumed(), resumed);
        }
        let provider = provider(root.issue(PROVIDER), &root);
        let foreign = Arc::new(foreign_router(&root, Kind::P256, version));
        for resumed in [false, true, true] {
            let mut line = Line::new(&foreign, &provider);
            line.connect();
            assert_eq!(line.server.is_resumed(), resumed);
        }
    }
}

#[test]
fn a_provider_that_has_forgotten_shakes_hands_anew() {
    let root = Authority::new("Root");
    let ours = router(root.issue(ROUTER), &root);
    Line::new(&ours, &provider(root.issue(PROVIDER), &root)).connect();
    let mut line = Line::new(&ours, &provider(root.issue(PROVIDER), &root));
    line.connect();
    assert!(!line.client.is_resumed());
}

#[test]
fn sessions_are_for_one_name() {
    let root = Authority::new("Root");
    let ours = router(root.issue(ROUTER), &root);
    let both =
        params_with([PROVIDER, "other.example"].map(|n| rcgen::SanType::DnsName(n.try_into().unwrap())).into(), None);
    let provider = provider(root.issue_with(Kind::P256, both), &root);
    Line::new(&ours, &provider).connect();
    let mut line = Line::to("other.example", &ours, &provider);
    line.connect();
    assert!(!line.client.is_resumed());
}

/// Proves SC-7.1-03: a certificate that has expired meanwhile, or is not valid yet by a clock set back, is not overlooked, in
/// either role and version.
#[test]
fn nothing_is_resumed_when_the_certificate_has_expired() {
    let root = Authority::new("Root");
    for version in [&TLS12, &TLS13] {
        let (ours, theirs) = (clock(TODAY), clock(TODAY));
        let dated = |name| root.issue_with(Kind::P256, params_from_until(name, 2025, 2030));
        let router = client_config(root.issue(ROUTER), &root.anchors(), Arc::clone(&ours)).unwrap().config;
        let mut provider = foreign_provider(&root, Kind::P256, version);
        let dated_provider = server_config(dated(PROVIDER), &root.anchors(), clock(TODAY)).unwrap();
        provider.cert_resolver = Arc::clone(&dated_provider.cert_resolver);
        let provider = Arc::new(provider);
        Line::new(&router, &provider).connect();
        ours.set(YEAR_2030 + 1);
        assert_eq!(Line::new(&router, &provider).fail().0, Some(Failure::Expired));

        let mut router = foreign_router(&root, Kind::P256, version);
        let dated_router = client_config(dated(ROUTER), &root.anchors(), clock(TODAY)).unwrap().config;
        router.client_auth_cert_resolver = Arc::clone(&dated_router.client_auth_cert_resolver);
        let router = Arc::new(router);
        let provider = server_config(root.issue(PROVIDER), &root.anchors(), Arc::clone(&theirs)).unwrap();
        Line::new(&router, &provider).connect();
        for (unix, failure) in [(YEAR_2024, Failure::NotYetValid), (YEAR_2030 + 1, Failure::Expired)] {
            theirs.set(unix);
            let mut line = Line::new(&router, &provider);
            line.carry();
            assert!(line.server.is_resumed());
            assert_eq!(line.server_failure, Some(failure));
            assert!(!line.server.is_established() && line.at_server.is_empty());
        }
    }
}

/// Proves SC-7.2-03: there is no early data, even where the provider would take it.
#[test]
fn nothing_is_sent_early() {
    let root = Authority::new("Root");
    let ours = router(root.issue(ROUTER), &root);
    let mut eager = foreign_provider(&root, Kind::P256, &TLS13);
    eager.max_early_data_size = 16_384;
    let eager = Arc::new(eager);
    Line::new(&ours, &eager).connect();
    let mut channel = TlsChannel::client(ours, PROVIDER).unwrap();
    channel.write(b"too early");
    let first = channel.poll_transmit().unwrap();
    let mut server = rustls::ServerConnection::new(eager).unwrap();
    server.read_tls(&mut &first[..]).unwrap();
    server.process_new_packets().unwrap();
    assert!(server.early_data().is_none());
    assert_eq!(channel.poll_transmit(), None);
}

#[test]
fn whatever_is_written_arrives_whole() {
    let root = Authority::new("Root");
    let mut line = Line::new(&router(root.issue(ROUTER), &root), &provider(root.issue(PROVIDER), &root));
    line.carry();
    let piece: Vec<u8> = (0..=255).cycle().take(1000).collect();
    (0..500).for_each(|_| line.server.write(&piece));
    line.carry();
    assert_eq!(line.at_client, piece.repeat(500));
}

#[test]
fn a_goodbye_is_heard_after_the_last_word() {
    let root = Authority::new("Root");
    let mut line = Line::new(&router(root.issue(ROUTER), &root), &provider(root.issue(PROVIDER), &root));
    line.carry();
    line.server.write(b"last word");
    line.server.close();
    line.carry();
    assert_eq!(line.at_client, b"last word");
    assert_eq!(line.client_failure, Some(Failure::Closed));
}

/// Proves SC-11-07 for the stream: what was damaged or cut says nothing.
#[test]
fn damaged_bytes_say_nothing() {
    let root = Authority::new("Root");
    let (ours, theirs) = (router(root.issue(ROUTER), &root), provider(root.issue(PROVIDER), &root));
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for _ in 0..300 {
        let mut line = Line::new(&ours, &theirs);
        line.carry();
        line.server.write(b"secret");
        let mut bytes = line.server.poll_transmit().unwrap();
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let bit = usize::try_from(state >> 32).unwrap() % (bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        let outcome = line.client.handle_input(&bytes, line.now);
        let plaintext = line.client.poll_plaintext().unwrap_or_default();
        // What a record says of type and version outside means nothing any more (RFC 8446 section 5.2).
        let ignored = bit / 8 < 3 && plaintext == b"secret";
        assert!(plaintext.is_empty() || ignored, "{bit}: {outcome:?}");
    }
    let now = Line::new(&ours, &theirs).now;
    for length in 0..2000 {
        let mut client = TlsChannel::client(Arc::clone(&ours), PROVIDER).unwrap();
        let noise: Vec<u8> = (0..length).map(|n| u8::try_from((n * 7 + length) % 256).unwrap()).collect();
        let _ = client.handle_input(&noise, now);
        assert!(client.poll_plaintext().is_none() && !client.is_established());
    }
}
