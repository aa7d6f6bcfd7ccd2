//! What a channel resumes from is forgotten when it is refused, and replaced by each full handshake.

use std::sync::Arc;

use crate::support::tls::*;
use dots_callhome::transport::raw_public_key::{self, OwnKey, PeerKeys};
use dots_callhome::transport::tls_config::{TlsClientConfig, client_config};
use rustls::ServerConfig;
use rustls::version::{TLS12, TLS13};

fn ours(root: &Authority) -> TlsClientConfig {
    client_config(root.issue(ROUTER), &root.anchors(), clock(TODAY)).unwrap()
}

/// A channel to the provider, which works, and whether it has offered to resume.
fn connect(ours: &TlsClientConfig, provider: &Arc<ServerConfig>, resumes: bool) -> (bool, bool) {
    let mut line = Line::new(&ours.config, provider);
    line.client = ours.channel(PROVIDER, resumes).unwrap();
    line.connect();
    (line.client.has_offered(), line.client.is_resumed())
}

/// Both versions: several tickets of one session are forgotten with the first.
#[test]
fn nothing_is_offered_after_it_was_forgotten() {
    let root = Authority::new("Root");
    for version in [&TLS12, &TLS13] {
        let (ours, provider) = (ours(&root), Arc::new(foreign_provider(&root, Kind::P256, version)));
        assert_eq!(connect(&ours, &provider, true), (false, false));
        assert_eq!(connect(&ours, &provider, true), (true, true));
        ours.forget(PROVIDER);
        assert_eq!(connect(&ours, &provider, true), (false, false));
        assert_eq!(connect(&ours, &provider, true), (true, true));
        ours.forget("other.example");
        assert!(ours.channel(PROVIDER, true).unwrap().has_offered());
    }
}

/// A full handshake on purpose makes no offer, and what it leaves takes the place of all that was before.
#[test]
fn a_full_handshake_on_purpose_leaves_something_to_resume_from() {
    let root = Authority::new("Root");
    for version in [&TLS12, &TLS13] {
        let ours = ours(&root);
        let provider = || Arc::new(foreign_provider(&root, Kind::P256, version));
        let (first, second) = (provider(), provider());
        assert_eq!(connect(&ours, &first, true), (false, false));
        assert_eq!(connect(&ours, &second, false), (false, false));
        for _ in 0..3 {
            assert_eq!(connect(&ours, &second, true), (true, true), "{version:?}");
        }
    }
}

/// A provider that has forgotten shakes hands in full within the same handshake, and the tickets it forgot are gone.
#[test]
fn tickets_of_before_a_full_handshake_are_not_offered_again() {
    let root = Authority::new("Root");
    let (ours, first, second) =
        (ours(&root), provider(root.issue(PROVIDER), &root), provider(root.issue(PROVIDER), &root));
    connect(&ours, &first, true);
    assert_eq!(connect(&ours, &second, true), (true, false));
    for _ in 0..4 {
        assert_eq!(connect(&ours, &second, true), (true, true));
    }
}

/// Nothing of before is left, also where the full handshake leaves nothing: what began an older session may have expired since.
#[test]
fn a_full_handshake_without_tickets_leaves_nothing() {
    let root = Authority::new("Root");
    for version in [&TLS12, &TLS13] {
        let ours = ours(&root);
        let first = Arc::new(foreign_provider(&root, Kind::P256, version));
        let mut second = foreign_provider(&root, Kind::P256, version);
        second.send_tls13_tickets = 0;
        second.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
        connect(&ours, &first, true);
        assert_eq!(connect(&ours, &Arc::new(second), false), (false, false));
        assert!(!ours.channel(PROVIDER, true).unwrap().has_offered(), "{version:?}");
    }
}

#[test]
fn raw_public_keys_are_no_different() {
    let (own, theirs) = (Kind::P256.key(), Kind::P256.key());
    let read = |key: &rcgen::KeyPair| OwnKey::read(key.serialize_pem().as_bytes()).unwrap();
    let peer = |key: &rcgen::KeyPair| PeerKeys::read(key.public_key_pem().as_bytes()).unwrap();
    let ours = raw_public_key::client_config(read(&own), peer(&theirs), clock(TODAY)).unwrap();
    let provider = || raw_public_key::server_config(read(&theirs), peer(&own), clock(TODAY)).unwrap();
    let first = provider();
    assert_eq!(connect(&ours, &first, true), (false, false));
    assert_eq!(connect(&ours, &first, true), (true, true));
    ours.forget(PROVIDER);
    assert_eq!(connect(&ours, &first, true), (false, false));
    let second = provider();
    assert_eq!(connect(&ours, &second, true), (true, false));
    assert_eq!(connect(&ours, &second, true), (true, true));
}
