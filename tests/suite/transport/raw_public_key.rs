//! Authentication by raw public keys (RFC 7250).

use std::sync::Arc;

use crate::support::tls::*;
use dots_callhome::transport::Failure;
use dots_callhome::transport::credentials::Fault;
use dots_callhome::transport::identity;
use dots_callhome::transport::raw_public_key::{OwnKey, PeerKeys, client_config, server_config};
use rcgen::{KeyPair, PKCS_ED25519, PublicKeyData};
use rustls::{ClientConfig, ServerConfig};

fn own(key: &KeyPair) -> OwnKey {
    OwnKey::read(key.serialize_pem().as_bytes()).unwrap()
}

fn known(keys: &[&KeyPair]) -> PeerKeys {
    let pem: String = keys.iter().map(|key| key.public_key_pem()).collect();
    PeerKeys::read(pem.as_bytes()).unwrap()
}

fn router(own_key: &KeyPair, peers: &[&KeyPair]) -> Arc<ClientConfig> {
    client_config(own(own_key), known(peers), clock(0)).unwrap().config
}

fn provider(own_key: &KeyPair, peers: &[&KeyPair]) -> Arc<ServerConfig> {
    server_config(own(own_key), known(peers), clock(0)).unwrap()
}

fn key() -> KeyPair {
    Kind::P256.key()
}

/// Proves SC-7.1-12, SC-8-04, CH-8-01; a clock that stands at 1970 is no matter.
#[test]
fn both_prove_their_keys() {
    for kind in [Kind::P256, Kind::P384, Kind::Rsa] {
        let (ours, theirs) = (kind.key(), key());
        let mut line = Line::new(&router(&ours, &[&theirs]), &provider(&theirs, &[&ours]));
        line.connect();
        assert_eq!(line.server.peer_certificate().unwrap().as_ref(), ours.subject_public_key_info());
        assert_eq!(own(&theirs).public(), line.client.peer_certificate());
    }
    let (ours, theirs) = (KeyPair::generate_for(&PKCS_ED25519).unwrap(), key());
    Line::new(&router(&ours, &[&theirs]), &provider(&theirs, &[&ours])).connect();
}

/// One of several: keys can be changed without a gap.
#[test]
fn any_of_the_known_keys_will_do() {
    let (ours, theirs, others) = (key(), key(), key());
    Line::new(&router(&ours, &[&others, &theirs]), &provider(&theirs, &[&others, &ours])).connect();
}

/// Proves CH-8-01.
#[test]
fn an_unknown_key_is_refused() {
    let (ours, theirs, others) = (key(), key(), key());
    let (client, server) = Line::new(&router(&ours, &[&others]), &provider(&theirs, &[&ours])).fail();
    assert_eq!(client, Some(Failure::UnknownKey));
    assert!(server.is_some());
    let (client, server) = Line::new(&router(&ours, &[&theirs]), &provider(&theirs, &[&others])).fail();
    assert_eq!(server, Some(Failure::UnknownKey));
    assert!(client.is_some());
}

/// Neither takes the other kind of proof for its own.
#[test]
fn certificates_and_raw_keys_do_not_mix() {
    let root = Authority::new("Root");
    let (ours, theirs) = (key(), key());
    let certified = crate::support::tls::provider(root.issue(PROVIDER), &root);
    let (client, server) = Line::new(&router(&ours, &[&theirs]), &certified).fail();
    assert!(client.is_some() && server.is_some());
    let certified = crate::support::tls::router(root.issue(ROUTER), &root);
    let (client, server) = Line::new(&certified, &provider(&theirs, &[&ours])).fail();
    assert!(client.is_some() && server.is_some());
}

/// Proves CH-5.2.1-10.
#[test]
fn a_session_resumes_with_the_keys_it_began_with() {
    let (ours, theirs) = (key(), key());
    let (router, provider) = (router(&ours, &[&theirs]), provider(&theirs, &[&ours]));
    for resumed in [false, true, true] {
        let mut line = Line::new(&router, &provider);
        line.connect();
        assert_eq!(line.client.is_resumed(), resumed);
        assert_eq!(line.server.peer_certificate().unwrap().as_ref(), ours.subject_public_key_info());
    }
}

/// The router's name at the provider, and the `cuid` of RFC 9132 section 4.4.1: both made of the key.
#[test]
fn a_key_has_a_name() {
    let (root, key) = (Authority::new("Root"), key());
    let shown = own(&key);
    let name = identity::name(shown.public().unwrap()).unwrap();
    assert!(name.len() == 64 && name.bytes().all(|digit| digit.is_ascii_hexdigit()));
    let params = params_with(Vec::new(), Some("nameless"));
    let certificate = params.self_signed(&key).unwrap();
    assert_eq!(identity::name(certificate.der()), Some(name), "a certificate without a DNS name says the same");
    assert_eq!(identity::cuid(certificate.der()), identity::cuid(shown.public().unwrap()));
    assert_eq!(identity::name(&b"no key at all".to_vec().into()), None);
    drop(root);
}

#[test]
fn unusable_files_are_told() {
    let key = key();
    let certificate = params(ROUTER).self_signed(&key).unwrap().pem();
    let instead = |wanted, found: &str| Some(Fault::Instead { wanted, found: found.into() });
    assert_eq!(OwnKey::read(certificate.as_bytes()).err(), instead("private key", "a certificate"));
    assert_eq!(OwnKey::read(b"").err(), Some(Fault::NoKey));
    assert_eq!(PeerKeys::read(certificate.as_bytes()).err(), instead("public key", "a certificate"));
    assert_eq!(PeerKeys::read(key.serialize_pem().as_bytes()).err(), instead("public key", "a private key"));
    for wrong in ["", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"] {
        assert_eq!(PeerKeys::read(wrong.as_bytes()).err(), Some(Fault::NoPublicKey), "{wrong}");
    }
}

/// Whatever the file holds, reading it has an answer; and what was damaged is no known key.
#[test]
fn damaged_files_are_harmless() {
    let (ours, theirs) = (key(), key());
    let pem = theirs.public_key_pem();
    for end in 0..pem.trim_end().len() {
        assert_eq!(PeerKeys::read(&pem.as_bytes()[..end]).err(), Some(Fault::NoPublicKey), "{end}");
    }
    let provider = provider(&theirs, &[&ours]);
    let mut understood = 0;
    for bit in 0..pem.len() * 8 {
        let mut damaged = pem.clone().into_bytes();
        damaged[bit / 8] ^= 1 << (bit % 8);
        let Ok(keys) = PeerKeys::read(&damaged) else { continue };
        understood += 1;
        if understood % 40 == 0 {
            let router = client_config(own(&ours), keys, clock(0)).unwrap().config;
            let mut line = Line::new(&router, &provider);
            line.carry();
            // Bits of line ends and of letters' case in the frame say nothing.
            assert!(line.client_failure == Some(Failure::UnknownKey) || line.client.is_established());
        }
    }
    assert!(understood > 100);
}
