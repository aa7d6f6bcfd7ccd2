//! Who gets through a TLS handshake, and what is said to those who don't.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Instant;

use crate::support::tls::*;
use dots_callhome::model::Now;
use dots_callhome::transport::credentials::{Anchors, Fault, Identity};
use dots_callhome::transport::tls::TlsChannel;
use dots_callhome::transport::tls_config::{client_config, server_config};
use dots_callhome::transport::{Channel, Failure};
use rcgen::{ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose, SanType};
use rustls::version::{TLS12, TLS13};

/// A call of a router that trusts `authority` to a provider that shows this.
fn shown(authority: &Authority, identity: Identity) -> Line {
    Line::new(&router(authority.issue(ROUTER), authority), &provider(identity, authority))
}

/// A call of a router that shows this to a provider that trusts `authority`.
fn showing(authority: &Authority, identity: Identity) -> Line {
    Line::new(&router(identity, authority), &provider(authority.issue(PROVIDER), authority))
}

/// What the router says to such a provider, and the provider is told.
fn refused(authority: &Authority, identity: Identity) -> (Failure, String) {
    let (client, server) = shown(authority, identity).fail();
    (client.unwrap(), server.unwrap().to_string())
}

fn dns(name: &str) -> SanType {
    SanType::DnsName(name.try_into().unwrap())
}

/// Proves CH-8-01, SC-8-01, SC-8-02, SC-4.4-01, CH-5.1-05, CT-8.2-03.
#[test]
fn both_prove_who_they_are() {
    let root = Authority::new("Root");
    let mut line = shown(&root, root.issue(PROVIDER));
    line.connect();
    assert!(line.client.peer_certificate().is_some() && line.server.peer_certificate().is_some());
    assert!(!line.client.is_resumed() && !line.server.is_resumed());
}

/// Proves SC-7.1-03: the whole path counts, down from what is trusted.
#[test]
fn chains_are_followed() {
    let root = Authority::new("Root");
    let low = root.intermediate("High").intermediate("Low");
    shown(&root, low.issue(PROVIDER)).connect();
    showing(&root, low.issue(ROUTER)).connect();
}

/// Proves SC-7.1-03.
#[test]
fn a_missing_intermediate_is_an_unknown_authority() {
    let root = Authority::new("Root");
    let low = root.intermediate("Low");
    let (client, server) = refused(&root, low.issue_alone(PROVIDER));
    assert_eq!(client, Failure::UnknownAuthority);
    assert_eq!(server, "the peer refuses our certificate: it does not know the authority");
    let (client, server) = showing(&root, low.issue_alone(ROUTER)).fail();
    assert_eq!(server, Some(Failure::UnknownAuthority));
    assert_eq!(client, Some(Failure::Refused("it does not know the authority".into())));
}

/// Proves SC-7.1-03: another authority, even of the same name, and a certificate that signs itself.
#[test]
fn a_foreign_authority_is_refused() {
    let (ours, theirs) = (Authority::new("Root"), Authority::new("Root"));
    assert!(matches!(refused(&ours, theirs.issue(PROVIDER)).0, Failure::UnknownAuthority | Failure::BadCertificate(_)));
    assert!(showing(&ours, theirs.issue(ROUTER)).fail().1.is_some());
    let alone = |name| {
        let key = KeyPair::generate().unwrap();
        let certificate = params_with(vec![dns(name)], Some("Alone")).self_signed(&key).unwrap();
        Identity::read(certificate.pem().as_bytes(), key.serialize_pem().as_bytes()).unwrap()
    };
    assert_eq!(refused(&ours, alone(PROVIDER)).0, Failure::UnknownAuthority);
    assert_eq!(showing(&ours, alone(ROUTER)).fail().1, Some(Failure::UnknownAuthority));
}

/// A leaf may not sign for others.
#[test]
fn a_leaf_is_no_authority() {
    let root = Authority::new("Root");
    let leaf = root.leaf_that_signs(ROUTER);
    assert!(matches!(refused(&root, leaf.issue(PROVIDER)).0, Failure::UnknownAuthority | Failure::BadCertificate(_)));
    assert!(showing(&root, leaf.issue("other.isp.example")).fail().1.is_some());
}

/// Proves SC-7.1-03, SC-8-03.
#[test]
fn an_expired_certificate_is_refused() {
    let root = Authority::new("Root");
    let expired = |name| root.issue_with(Kind::P256, params_from_until(name, 2020, 2026));
    let (client, server) = refused(&root, expired(PROVIDER));
    assert_eq!(client, Failure::Expired);
    assert_eq!(server, "the peer refuses our certificate: it has expired");
    let (client, server) = showing(&root, expired(ROUTER)).fail();
    assert_eq!(server, Some(Failure::Expired));
    assert_eq!(client, Some(Failure::Refused("it has expired".into())));
    let low = root.intermediate_from_until("Low", 2020, 2026);
    assert_eq!(refused(&root, low.issue(PROVIDER)).0, Failure::Expired);
}

/// Proves SC-7.1-03: a clock that is still in the past only delays.
#[test]
fn a_certificate_of_the_future_is_refused_until_it_is_valid() {
    let root = Authority::new("Root");
    let future = |name| root.issue_with(Kind::P256, params_from_until(name, 2027, 2040));
    assert_eq!(refused(&root, future(PROVIDER)).0, Failure::NotYetValid);
    assert_eq!(showing(&root, future(ROUTER)).fail().1, Some(Failure::NotYetValid));
    let clock = clock(0);
    let router = client_config(root.issue(ROUTER), &root.anchors(), Arc::clone(&clock)).unwrap().config;
    let dated = || root.issue_with(Kind::P256, params_from_until(PROVIDER, 2025, 2040));
    assert_eq!(Line::new(&router, &provider(dated(), &root)).fail().0, Some(Failure::NotYetValid));
    clock.set(TODAY);
    Line::new(&router, &provider(dated(), &root)).connect();
}

/// Proves SC-7.1-04: DNS names and wildcards of one label. The common name is not looked at.
#[test]
fn the_name_is_compared() {
    let root = Authority::new("Root");
    let outcome = |names: Vec<SanType>, common: Option<&str>| {
        let mut line = shown(&root, root.issue_with(Kind::P256, params_with(names, common)));
        line.carry();
        line.client_failure
    };
    let wrong = || Some(Failure::WrongName(PROVIDER.into()));
    assert_eq!(outcome(vec![dns("other.example"), dns(PROVIDER)], None), None);
    assert_eq!(outcome(vec![dns("CallHome.ISP.example")], None), None);
    assert_eq!(outcome(vec![dns("*.isp.example")], None), None);
    assert_eq!(outcome(vec![dns("other.example")], Some(PROVIDER)), wrong());
    assert_eq!(outcome(vec![dns("*.example")], None), wrong());
    assert_eq!(outcome(vec![dns("isp.example")], None), wrong());
    assert_eq!(outcome(vec![dns("x.callhome.isp.example")], None), wrong());
    assert_eq!(outcome(Vec::new(), Some(PROVIDER)), wrong());
}

/// A certificate for clients is none for servers and the other way round, nor one for something else than signatures.
#[test]
fn the_use_of_a_certificate_counts() {
    let root = Authority::new("Root");
    for (name, other, own) in [
        (PROVIDER, ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth),
        (ROUTER, ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth),
    ] {
        let line = |identity| if name == PROVIDER { shown(&root, identity) } else { showing(&root, identity) };
        let (mut extended, mut simple, mut right) = (params(name), params(name), params(name));
        extended.extended_key_usages = vec![other];
        simple.key_usages = vec![KeyUsagePurpose::KeyAgreement];
        for params in [extended, simple] {
            let (client, server) = line(root.issue_with(Kind::P256, params)).fail();
            let why = Some(Failure::BadCertificate("it is for another use".into()));
            assert_eq!(if name == PROVIDER { client } else { server }, why);
        }
        right.extended_key_usages = vec![own];
        right.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        line(root.issue_with(Kind::P256, right)).connect();
    }
}

/// Proves SC-7.1-05.
#[test]
fn uris_are_no_names() {
    let root = Authority::new("Root");
    for uri in ["coaps+tcp://callhome.isp.example/", "coaps+tcp://callhome.isp.example", PROVIDER] {
        let names = vec![SanType::URI(uri.try_into().unwrap())];
        let identity = root.issue_with(Kind::P256, params_with(names, Some(PROVIDER)));
        assert_eq!(refused(&root, identity).0, Failure::WrongName(PROVIDER.into()), "{uri}");
    }
}

/// A peer that has only an address; none goes into SNI (RFC 6066 section 3).
#[test]
fn an_address_is_a_name_too() {
    let root = Authority::new("Root");
    let call = |name: &str, address: IpAddr| {
        let identity = root.issue_with(Kind::P256, params_with(vec![SanType::IpAddress(address)], None));
        let mut line = Line::to(name, &router(root.issue(ROUTER), &root), &provider(identity, &root));
        line.carry();
        assert!(!line.to_server.windows(name.len()).any(|bytes| bytes == name.as_bytes()));
        line.client_failure
    };
    let (four, six) = (Ipv4Addr::new(192, 0, 2, 1), "2001:db8::1".parse().unwrap());
    assert_eq!(call("192.0.2.1", four.into()), None);
    assert_eq!(call("2001:db8::1", six), None);
    assert_eq!(call("192.0.2.2", four.into()), Some(Failure::WrongName("192.0.2.2".into())));
}

/// Proves SC-7.1-09, CT-8.2-01.
#[test]
fn the_first_message_names_the_provider_and_the_protocol() {
    let root = Authority::new("Root");
    let mut channel = TlsChannel::client(router(root.issue(ROUTER), &root), PROVIDER).unwrap();
    let hello = channel.poll_transmit().unwrap();
    let mut acceptor = rustls::server::Acceptor::default();
    acceptor.read_tls(&mut &hello[..]).unwrap();
    let accepted = acceptor.accept().unwrap().unwrap();
    assert_eq!(accepted.client_hello().server_name(), Some(PROVIDER));
    assert_eq!(accepted.client_hello().alpn().unwrap().collect::<Vec<_>>(), [b"coap"]);
}

#[test]
fn a_bad_name_is_told_at_once() {
    let root = Authority::new("Root");
    let config = router(root.issue(ROUTER), &root);
    for name in ["", "under score?", "a..b", "nul\0"] {
        let outcome = TlsChannel::client(Arc::clone(&config), name).err();
        assert_eq!(outcome, Some(Failure::BadName(name.into())));
    }
}

/// Proves SC-3-01 for TLS with peers of all kinds of keys, and both versions.
#[test]
fn every_kind_of_key_works_with_both_versions() {
    let root = Authority::new("Root");
    for kind in [Kind::P256, Kind::P384, Kind::Rsa] {
        for version in [&TLS12, &TLS13] {
            let ours = router(root.issue_with(kind, params(ROUTER)), &root);
            Line::new(&ours, &Arc::new(foreign_provider(&root, kind, version))).connect();
            let ours = provider(root.issue_with(kind, params(PROVIDER)), &root);
            Line::new(&Arc::new(foreign_router(&root, kind, version)), &ours).connect();
        }
    }
}

/// Proves SC-7.1-02, SC-11-01: all that is offered authenticates what it encrypts and has forward secrecy.
#[test]
fn no_weak_cipher_suite_is_offered() {
    let root = Authority::new("Root");
    for suite in router(root.issue(ROUTER), &root).crypto_provider().cipher_suites.iter() {
        let name = format!("{:?}", suite.suite());
        assert!(name.contains("GCM") || name.contains("CHACHA20_POLY1305"), "{name}");
        assert!(name.starts_with("TLS13_") || name.starts_with("TLS_ECDHE_"), "{name}");
    }
}

/// Proves SC-7.1-01.
#[test]
fn old_versions_are_refused() {
    const PROTOCOL_VERSION: [u8; 2] = [2, 70];
    let now = Now { instant: Instant::now(), unix: TODAY };
    let root = Authority::new("Root");
    for minor in [0, 1, 2] {
        // A provider that chooses the old version.
        let mut body = vec![3, minor];
        body.extend([0; 32]);
        body.extend([0, 0xc0, 0x13, 0]);
        let mut client = TlsChannel::client(router(root.issue(ROUTER), &root), PROVIDER).unwrap();
        client.poll_transmit();
        assert!(client.handle_input(&handshake(2, &body), now).is_err());
        assert!(client.poll_transmit().unwrap().ends_with(&PROTOCOL_VERSION));
        // A router that knows no newer one.
        let mut body = vec![3, minor];
        body.extend([0; 32]);
        // One cipher suite, no compression, signatures with ECDSA.
        body.extend([0, 0, 2, 0xc0, 0x13, 1, 0, 0, 8, 0, 13, 0, 4, 0, 2, 4, 3]);
        let mut server = TlsChannel::server(provider(root.issue(PROVIDER), &root)).unwrap();
        assert!(server.handle_input(&handshake(1, &body), now).is_err());
        assert!(server.poll_transmit().unwrap().ends_with(&PROTOCOL_VERSION));
    }
}

/// One record with one handshake message.
fn handshake(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u8::try_from(body.len()).unwrap();
    [&[22, 3, 1, 0, length + 4, kind, 0, 0, length], body].concat()
}

/// Proves CH-8-01, SC-8-01.
#[test]
fn a_router_without_a_certificate_is_refused() {
    let root = Authority::new("Root");
    let anonymous = Arc::new(anonymous_router(&root));
    let (client, server) = Line::new(&anonymous, &provider(root.issue(PROVIDER), &root)).fail();
    assert_eq!(server, Some(Failure::NoCertificate));
    assert_eq!(client, Some(Failure::Refused("it wants one".into())));
}

/// Proves CT-8.2-02: the provider chooses no protocol, or says that it knows none of ours.
#[test]
fn a_provider_that_does_not_speak_coap_is_left() {
    let root = Authority::new("Root");
    for version in [&TLS12, &TLS13] {
        let mut mute = foreign_provider(&root, Kind::P256, version);
        mute.alpn_protocols.clear();
        let mut line = Line::new(&router(root.issue(ROUTER), &root), &Arc::new(mute));
        line.carry();
        assert_eq!(line.client_failure, Some(Failure::NoCoap));
        assert!(!line.client.is_established());
        assert_eq!(line.server_failure, Some(Failure::Closed), "it is told goodbye");
        let mut other = foreign_provider(&root, Kind::P256, version);
        other.alpn_protocols = vec![b"h2".to_vec()];
        let (client, _) = Line::new(&router(root.issue(ROUTER), &root), &Arc::new(other)).fail();
        assert_eq!(client, Some(Failure::Protocol("the peer says that it does not speak CoAP there (ALPN)".into())));
    }
}

/// Proves CT-8.2-03.
#[test]
fn a_router_that_speaks_something_else_is_refused() {
    let root = Authority::new("Root");
    let mut other = foreign_router(&root, Kind::P256, &TLS13);
    other.alpn_protocols = vec![b"h2".to_vec()];
    let (client, server) = Line::new(&Arc::new(other), &provider(root.issue(PROVIDER), &root)).fail();
    assert!(client.is_some() && server.is_some());
}

#[test]
fn a_key_of_another_certificate_is_told() {
    let root = Authority::new("Root");
    let (chain, _) = root.issue_pem(Kind::P256, params(ROUTER));
    let (_, key) = root.issue_pem(Kind::P256, params(ROUTER));
    let mixed = || Identity::read(chain.as_bytes(), key.as_bytes()).unwrap();
    assert_eq!(client_config(mixed(), &root.anchors(), clock(TODAY)).err(), Some(Fault::KeyMismatch));
    assert_eq!(server_config(mixed(), &root.anchors(), clock(TODAY)).err(), Some(Fault::KeyMismatch));
}

/// Files that hold something else.
#[test]
fn unusable_files_are_told() {
    let root = Authority::new("Root");
    let (chain, key) = root.issue_pem(Kind::P256, params(ROUTER));
    let (chain, key) = (chain.as_bytes(), key.as_bytes());
    let outcome = |certificate: &[u8], key: &[u8]| Identity::read(certificate, key).err();
    let instead = |wanted, found: &str| Fault::Instead { wanted, found: found.into() };
    assert_eq!(outcome(chain, key), None);
    assert_eq!(outcome(key, key), Some(instead("certificate", "a private key")));
    assert_eq!(outcome(chain, chain), Some(instead("private key", "a certificate")));
    assert_eq!(outcome(b"", key), Some(Fault::NoCertificate));
    assert_eq!(Anchors::read(key).err(), Some(instead("certificate", "a private key")));
    let garbage = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    assert_eq!(Anchors::read(garbage).err(), Some(Fault::BadCertificate));
    let cut = &chain[..chain.len() / 2];
    assert!(outcome(cut, key).is_some());
}
