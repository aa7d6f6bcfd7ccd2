//! A certificate or a public key is nothing without its private key: anybody may have seen it.

use std::sync::Arc;

use crate::support::dtls::{World, random, serving};
use crate::support::tls::*;
use dots_callhome::transport::dtls::ClientConfig as DtlsConfig;
use dots_callhome::transport::raw_public_key::{self, OwnKey, PeerKeys};
use dots_callhome::transport::tls_config::client_config;
use rcgen::KeyPair;
use rustls::client::AlwaysResolvesClientRawPublicKeys;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{AlwaysResolvesServerRawPublicKeys, ClientHello, ResolvesServerCert};
use rustls::sign::{CertifiedKey, SigningKey};
use rustls::version::{TLS12, TLS13};

/// Shows something and signs with the key of something else.
fn impostor(shown: Vec<CertificateDer<'static>>, key: &KeyPair) -> Arc<CertifiedKey> {
    Arc::new(CertifiedKey::new(shown, signing(key)))
}

fn signing(key: &KeyPair) -> Arc<dyn SigningKey> {
    let key = PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).unwrap();
    default_provider().key_provider.load_private_key(key).unwrap()
}

#[derive(Debug)]
struct Always(Arc<CertifiedKey>);

impl ResolvesServerCert for Always {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

#[derive(Debug)]
struct AlwaysClient(Arc<CertifiedKey>);

impl rustls::client::ResolvesClientCert for AlwaysClient {
    fn resolve(&self, _: &[&[u8]], _: &[rustls::SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

fn chain(pem: &str) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_slice_iter(pem.as_bytes()).map(Result::unwrap).collect()
}

/// Proves CH-8-01: the provider's right chain, and another key signs, in both versions.
#[test]
fn a_provider_without_its_key_is_not_believed() {
    let root = Authority::new("Root");
    let (certificate, _) = root.issue_pem(Kind::P256, params(PROVIDER));
    for version in [&TLS12, &TLS13] {
        let ours = router(root.issue(ROUTER), &root);
        let mut foreign = foreign_provider(&root, Kind::P256, version);
        foreign.cert_resolver = Arc::new(Always(impostor(chain(&certificate), &Kind::P256.key())));
        let (client, _) = Line::new(&ours, &Arc::new(foreign)).fail();
        assert!(client.is_some(), "{version:?}");
    }
}

/// Proves CH-8-01: a router's right chain, and another key signs, in both versions.
#[test]
fn a_router_without_its_key_is_not_believed() {
    let root = Authority::new("Root");
    let (certificate, _) = root.issue_pem(Kind::P256, params(ROUTER));
    for version in [&TLS12, &TLS13] {
        let provider = provider(root.issue(PROVIDER), &root);
        let mut foreign = foreign_router(&root, Kind::P256, version);
        foreign.client_auth_cert_resolver = Arc::new(AlwaysClient(impostor(chain(&certificate), &Kind::P256.key())));
        let mut line = Line::new(&Arc::new(foreign), &provider);
        line.carry();
        assert!(line.server_failure.is_some() && !line.server.is_established(), "{version:?}");
    }
}

fn own(key: &KeyPair) -> OwnKey {
    OwnKey::read(key.serialize_pem().as_bytes()).unwrap()
}

fn known(key: &KeyPair) -> PeerKeys {
    PeerKeys::read(key.public_key_pem().as_bytes()).unwrap()
}

/// Proves CH-8-01, CH-8-04: a known raw public key, and another key signs, in both roles.
#[test]
fn a_raw_public_key_without_its_private_key_is_not_believed() {
    let (ours, theirs, other) = (Kind::P256.key(), Kind::P256.key(), Kind::P256.key());
    let shown = |key: &KeyPair| vec![own(key).public().unwrap().clone()];
    // Without anything to resume from.
    let router = || raw_public_key::client_config(own(&ours), known(&theirs), clock(0)).unwrap().config;
    let provider = raw_public_key::server_config(own(&theirs), known(&ours), clock(0)).unwrap();
    Line::new(&router(), &provider).connect();

    let mut false_provider = (*provider).clone();
    let resolver = AlwaysResolvesServerRawPublicKeys::new(impostor(shown(&theirs), &other));
    false_provider.cert_resolver = Arc::new(resolver);
    let (client, _) = Line::new(&router(), &Arc::new(false_provider)).fail();
    assert!(client.is_some());

    let mut false_router = (*router()).clone();
    false_router.client_auth_cert_resolver =
        Arc::new(AlwaysResolvesClientRawPublicKeys::new(impostor(shown(&ours), &other)));
    let mut line = Line::new(&Arc::new(false_router), &provider);
    line.carry();
    assert!(line.server_failure.is_some() && !line.server.is_established());
}

/// Proves CH-8-01 over datagrams. The library refuses a key that is not the certificate's, so an altered signature stands for one;
/// the router says nothing more than that it is wrong, long before the transcript would show it.
#[test]
fn an_altered_signature_is_not_believed_over_datagrams() {
    const SERVER_KEY_EXCHANGE: u8 = 12;
    const CLIENT_KEY_EXCHANGE: u8 = 16;
    let root = Authority::new("Root");
    let server = serving(root.issue(PROVIDER), root.anchors(), Vec::new());
    let client = DtlsConfig::certificate(&root.issue(ROUTER), &root.anchors(), random(1)).unwrap();
    let mut world = World::between(&server, &client, None);
    world.collect();
    let mut altered = false;
    while world.client_failure.is_none() && world.step() {
        for flight in &mut world.under_way {
            if let Some(end) = end_of(&flight.datagram, SERVER_KEY_EXCHANGE).filter(|_| !altered) {
                flight.datagram[end - 1] ^= 1;
                altered = true;
            }
        }
    }
    assert!(altered);
    assert!(world.client_failure.is_some() && !world.client.is_established());
    assert!(world.seen.iter().all(|flight| end_of(&flight.datagram, CLIENT_KEY_EXCHANGE).is_none()));
}

/// Where a handshake message of that kind ends in a datagram.
fn end_of(datagram: &[u8], wanted: u8) -> Option<usize> {
    const HEADER: usize = 13;
    let mut at = 0;
    while at + HEADER + 12 <= datagram.len() {
        let end = at + HEADER + usize::from(u16::from_be_bytes([datagram[at + 11], datagram[at + 12]]));
        if datagram[at] == 22 && datagram[at + 3..at + 5] == [0, 0] && datagram[at + HEADER] == wanted {
            return Some(end);
        }
        at = end;
    }
    None
}

/// A key that is not its certificate's is not even taken from files.
#[test]
fn a_key_of_another_certificate_is_not_used() {
    let root = Authority::new("Root");
    let (certificate, _) = root.issue_pem(Kind::P256, params(ROUTER));
    let mixed = || {
        let key = Kind::P256.key().serialize_pem();
        dots_callhome::transport::credentials::Identity::read(certificate.as_bytes(), key.as_bytes()).unwrap()
    };
    assert!(client_config(mixed(), &root.anchors(), clock(TODAY)).is_err());
    assert!(DtlsConfig::certificate(&mixed(), &root.anchors(), random(1)).is_err());
}
