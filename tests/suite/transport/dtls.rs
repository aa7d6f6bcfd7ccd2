//! Who gets through a DTLS handshake, and what is said to those who don't.

use std::net::{IpAddr, Ipv4Addr};

use crate::support::dtls::*;
use dots_callhome::model::Transport;
use dots_callhome::transport::Failure;
use dots_callhome::transport::credentials::{Fault, Identity, KeyKind, Psk};
use dots_callhome::transport::dtls::{ClientConfig, DtlsChannel};
use dots_callhome::transport::dtls_server::ServerConfig;

use rcgen::{ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose, PKCS_ED25519, SanType};

/// The handshake of a router that trusts `authority` with a provider that shows this.
fn shown(authority: &Authority, identity: Identity) -> World {
    World::between(&serving(identity, authority.anchors(), Vec::new()), &client(authority, ROUTER), None)
}

/// The handshake of a router that shows this with a provider that trusts `authority`.
fn showing(authority: &Authority, identity: &Identity) -> World {
    let client = ClientConfig::certificate(identity, &authority.anchors(), random(1)).unwrap();
    World::between(&server(authority, PROVIDER), &client, None)
}

/// What the router says to such a provider, and the provider is told.
fn refused(authority: &Authority, identity: Identity) -> (Failure, String) {
    let (client, server) = shown(authority, identity).fail();
    (client.unwrap(), server.unwrap().to_string())
}

/// Proves CH-8-01, SC-8-01, SC-8-02, SC-4.4-01, CH-5.1-05.
#[test]
fn both_prove_who_they_are() {
    let mut world = World::new();
    world.connect();
    world.talk();
    assert_eq!(world.server().peer_name().as_deref(), Some(ROUTER));
    assert!(world.client.peer_certificate().is_some() && world.server().peer_certificate().is_some());
    assert!(!world.client.is_resumed() && !world.server().is_resumed());
}

/// Proves SC-7.1-03: the whole path counts, down from what is trusted.
#[test]
fn chains_are_followed() {
    let root = Authority::new("Root");
    let low = root.intermediate("High").intermediate("Low");
    let client = ClientConfig::certificate(&low.issue(ROUTER), &root.anchors(), random(1)).unwrap();
    let server = serving(low.issue(PROVIDER), root.anchors(), Vec::new());
    let mut world = World::between(&server, &client, None);
    world.connect();
    world.talk();
}

/// Proves SC-7.1-03.
#[test]
fn a_missing_intermediate_is_an_unknown_authority() {
    let root = Authority::new("Root");
    let low = root.intermediate("Low");
    let (client, server) = refused(&root, low.issue_alone(PROVIDER));
    assert_eq!(client, Failure::UnknownAuthority);
    assert_eq!(server, "the peer refuses our certificate: it does not know the authority");
    let (client, server) = showing(&root, &low.issue_alone(ROUTER)).fail();
    assert_eq!(server, Some(Failure::UnknownAuthority));
    assert_eq!(client, Some(Failure::Refused("it does not know the authority".into())));
}

/// Proves SC-7.1-03: another authority, even of the same name, and a certificate that signs itself.
#[test]
fn a_foreign_authority_is_refused() {
    let (ours, theirs) = (Authority::new("Root"), Authority::new("Root"));
    assert_eq!(refused(&ours, theirs.issue(PROVIDER)).0, Failure::UnknownAuthority);
    let key = KeyPair::generate().unwrap();
    let names = vec![SanType::DnsName(PROVIDER.try_into().unwrap())];
    let alone = params_with(names, Some("Alone")).self_signed(&key).unwrap();
    let alone = Identity::read(alone.pem().as_bytes(), key.serialize_pem().as_bytes()).unwrap();
    assert_eq!(refused(&ours, alone).0, Failure::UnknownAuthority);
    assert_eq!(showing(&ours, &theirs.issue(ROUTER)).fail().1, Some(Failure::UnknownAuthority));
}

/// A leaf may not sign for others.
#[test]
fn a_leaf_is_no_authority() {
    let root = Authority::new("Root");
    let leaf = root.leaf_that_signs(ROUTER);
    assert_ne!(showing(&root, &leaf.issue("other.isp.example")).fail().1, None);
    assert_eq!(refused(&root, leaf.issue(PROVIDER)).0, Failure::UnknownAuthority);
}

/// Proves SC-7.1-03, SC-8-03.
#[test]
fn an_expired_certificate_is_refused() {
    let root = Authority::new("Root");
    let (client, server) = refused(&root, root.issue_with(Kind::P256, params_from_until(PROVIDER, 2020, 2026)));
    assert_eq!(client, Failure::Expired);
    assert_eq!(server, "the peer refuses our certificate: it has expired");
    let router = root.issue_with(Kind::P256, params_from_until(ROUTER, 2020, 2026));
    let (client, server) = showing(&root, &router).fail();
    assert_eq!(server, Some(Failure::Expired));
    assert_eq!(client, Some(Failure::Refused("it has expired".into())));
}

/// Proves SC-7.1-03.
#[test]
fn a_certificate_of_the_future_is_refused() {
    let root = Authority::new("Root");
    let provider = root.issue_with(Kind::P256, params_from_until(PROVIDER, 2027, 2040));
    assert_eq!(refused(&root, provider).0, Failure::NotYetValid);
    let router = root.issue_with(Kind::P256, params_from_until(ROUTER, 2027, 2040));
    assert_eq!(showing(&root, &router).fail().1, Some(Failure::NotYetValid));
}

/// The dates between leaf and root count as well.
#[test]
fn an_expired_intermediate_is_refused() {
    let root = Authority::new("Root");
    let low = root.intermediate_from_until("Low", 2020, 2026);
    assert_eq!(refused(&root, low.issue(PROVIDER)).0, Failure::Expired);
    let low = root.intermediate_from_until("Low", 2027, 2040);
    assert_eq!(refused(&root, low.issue(PROVIDER)).0, Failure::NotYetValid);
}

/// It is the clock handed in that judges, to the second, and a clock in the past only delays.
#[test]
fn dates_are_judged_by_the_clock_handed_in() {
    const YEAR_2025: u64 = 1_735_689_600;
    const YEAR_2030: u64 = 1_893_456_000;
    let root = Authority::new("Root");
    let client = client(&root, ROUTER);
    let provider = || root.issue_with(Kind::P256, params_from_until(PROVIDER, 2025, 2030));
    let server = serving(provider(), root.anchors(), Vec::new());
    for (unix, failure) in [
        (0, Some(Failure::NotYetValid)),
        (YEAR_2025 - 1, Some(Failure::NotYetValid)),
        (YEAR_2030 + 1, Some(Failure::Expired)),
    ] {
        assert_eq!(World::at(unix, &server, &client, None).fail().0, failure, "{unix}");
    }
    World::at(YEAR_2025, &server, &client, None).connect();
    World::at(YEAR_2030 - 10, &server, &client, None).connect();
}

/// Proves SC-7.1-04: DNS names and wildcards. The common name is not looked at, as over TLS.
#[test]
fn the_name_is_compared() {
    let root = Authority::new("Root");
    let dns = |name: &str| SanType::DnsName(name.try_into().unwrap());
    let fits = |names: Vec<SanType>, common: Option<&str>| {
        let mut world = shown(&root, root.issue_with(Kind::P256, params_with(names, common)));
        while world.client_failure.is_none() && !world.client.is_established() && world.step() {}
        match &world.client_failure {
            None => true,
            Some(failure) => {
                assert_eq!(*failure, Failure::WrongName(PROVIDER.into()));
                false
            }
        }
    };
    assert!(fits(vec![dns("other.example"), dns(PROVIDER)], None));
    assert!(fits(vec![dns("CallHome.ISP.example")], None));
    assert!(fits(vec![dns("*.isp.example")], None));
    assert!(!fits(Vec::new(), Some(PROVIDER)));
    assert!(!fits(vec![dns("other.example")], Some(PROVIDER)));
    assert!(!fits(vec![dns("*.example")], None));
    assert!(!fits(vec![dns("isp.example")], None));
    assert!(!fits(vec![dns("x.callhome.isp.example")], None));
    assert!(!fits(Vec::new(), Some("isp.example")));
    assert!(!fits(Vec::new(), None));
}

/// Proves SC-7.1-05.
#[test]
fn uris_are_no_names() {
    let root = Authority::new("Root");
    for uri in ["coaps://callhome.isp.example/", "coaps://callhome.isp.example", PROVIDER] {
        let names = vec![SanType::URI(uri.try_into().unwrap())];
        let identity = root.issue_with(Kind::P256, params_with(names, Some(PROVIDER)));
        assert_eq!(refused(&root, identity).0, Failure::WrongName(PROVIDER.into()), "{uri}");
    }
}

/// A peer that has only an address.
#[test]
fn an_address_is_a_name_too() {
    let root = Authority::new("Root");
    let outcome = |name: &str, address: IpAddr| {
        let identity = root.issue_with(Kind::P256, params_with(vec![SanType::IpAddress(address)], None));
        let server = serving(identity, root.anchors(), Vec::new());
        let mut world = World::between(&server, &client(&root, ROUTER), None);
        world.client = DtlsChannel::client(&client(&root, ROUTER), name, None, world.now).unwrap();
        while world.client_failure.is_none() && !world.client.is_established() && world.step() {}
        assert!(world.seen.iter().all(|flight| !contains(&flight.datagram, name.as_bytes())), "an address as SNI");
        world.client_failure
    };
    let (four, six) = (Ipv4Addr::new(192, 0, 2, 1), "2001:db8::1".parse().unwrap());
    assert_eq!(outcome("192.0.2.1", four.into()), None);
    assert_eq!(outcome("2001:db8::1", six), None);
    assert_eq!(outcome("192.0.2.2", four.into()), Some(Failure::WrongName("192.0.2.2".into())));
    assert_eq!(outcome("192.0.2.1", six), Some(Failure::WrongName("192.0.2.1".into())));
}

#[test]
fn a_bad_name_is_told_at_once() {
    let now = World::new().now;
    let config = client(&Authority::new("Root"), ROUTER);
    for name in ["", "under score?", "a..b", "nul\0"] {
        let outcome = DtlsChannel::client(&config, name, None, now).err();
        assert_eq!(outcome, Some(Failure::BadName(name.into())));
    }
}

/// A certificate for servers is none for clients, nor one for something else than signatures.
#[test]
fn the_use_of_a_certificate_counts() {
    let root = Authority::new("Root");
    let (mut extended, mut simple) = (params(ROUTER), params(ROUTER));
    extended.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    simple.key_usages = vec![KeyUsagePurpose::KeyAgreement];
    for params in [extended, simple] {
        let (client, server) = showing(&root, &root.issue_with(Kind::P256, params)).fail();
        assert_eq!(client, Some(Failure::Refused("it is of a kind or for a use that it does not take".into())));
        assert_eq!(server, Some(Failure::BadCertificate("it is for another use".into())));
    }
    let mut right = params(ROUTER);
    right.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    right.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    showing(&root, &root.issue_with(Kind::P256, right)).connect();
}

/// Proves CO-9.1.3-02 as far as curves go, and that RSA works.
#[test]
fn every_kind_of_key_works() {
    let root = Authority::new("Root");
    for provider in [Kind::P256, Kind::P384, Kind::Rsa] {
        for router in [Kind::P256, Kind::P384, Kind::Rsa] {
            let client = root.issue_with(router, params(ROUTER));
            let client = ClientConfig::certificate(&client, &root.anchors(), random(1)).unwrap();
            let server = serving(root.issue_with(provider, params(PROVIDER)), root.anchors(), Vec::new());
            let mut world = World::between(&server, &client, None);
            world.connect();
            world.talk();
        }
    }
}

#[test]
fn unusable_keys_are_told() {
    let root = Authority::new("Root");
    let pem = |key: &KeyPair| params_with(Vec::new(), Some(ROUTER)).self_signed(key).unwrap().pem();
    let outcome = |certificate: &str, key: &KeyPair| {
        let identity = Identity::read(certificate.as_bytes(), key.serialize_pem().as_bytes()).unwrap();
        ClientConfig::certificate(&identity, &root.anchors(), random(1)).err()
    };
    let (one, other, rsa) = (Kind::P256.key(), Kind::P256.key(), Kind::Rsa.key());
    assert_eq!(outcome(&pem(&one), &one), None);
    assert_eq!(outcome(&pem(&one), &other), Some(Fault::KeyMismatch));
    assert_eq!(outcome(&pem(&one), &rsa), Some(Fault::KeyMismatch));
    assert_eq!(outcome(&pem(&rsa), &one), Some(Fault::KeyMismatch));
    let odd = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    assert_eq!(outcome(&pem(&odd), &odd), Some(Fault::UnusableKey(KeyKind::Ed25519, Transport::Dtls)));
}

/// A provider that knows these routers' keys.
fn keyed(known: Vec<Psk>) -> Box<Make> {
    let root = Authority::new("Root");
    serving(root.issue(PROVIDER), root.anchors(), known)
}

/// A provider that has nothing but keys.
#[test]
fn a_provider_needs_no_certificate() {
    let known = psk("home-1234", 5);
    let client = ClientConfig::psk(known.clone(), random(1)).unwrap();
    let server = move || ServerConfig::new(None, [known.clone()], &TICKETS, random(2)).unwrap();
    let mut world = World::between(&(Box::new(server) as Box<Make>), &client, None);
    world.connect();
    world.talk();
}

/// Proves SC-7.1-12, SC-8-04.
#[test]
fn a_pre_shared_key_proves_both() {
    let client = ClientConfig::psk(psk("home-1234", 5), random(1)).unwrap();
    let mut world = World::between(&keyed(vec![psk("home-1", 4), psk("home-1234", 5)]), &client, None);
    world.connect();
    world.talk();
    assert_eq!(world.server().peer_name().as_deref(), Some("home-1234"));
    assert!(world.client.peer_certificate().is_none() && world.client.session().is_none());
}

#[test]
fn a_wrong_pre_shared_key_is_refused() {
    let client = ClientConfig::psk(psk("home-1234", 6), random(1)).unwrap();
    let (client, server) = World::between(&keyed(vec![psk("home-1234", 5)]), &client, None).fail();
    assert_eq!(client, Some(Failure::WrongKey("the peer says that it can't verify what we send".into())));
    assert_eq!(server, Some(Failure::WrongKey("they do not agree".into())));
}

#[test]
fn an_unknown_identity_is_refused() {
    let client = ClientConfig::psk(psk("home-9", 5), random(1)).unwrap();
    let (client, server) = World::between(&keyed(vec![psk("home-1234", 5)]), &client, None).fail();
    assert_eq!(client, Some(Failure::WrongKey("the peer says that it does not know our identity".into())));
    assert_eq!(server, Some(Failure::WrongKey("its identity is unknown".into())));
}

#[test]
fn without_common_means_there_is_no_session() {
    let client = ClientConfig::psk(psk("home-1234", 5), random(1)).unwrap();
    let mut world = World::between(&keyed(Vec::new()), &client, None);
    assert_eq!(world.fail().0, Some(Failure::Protocol("the peer says that both have nothing in common".into())));
    assert!(world.server.is_none(), "the provider keeps something for nobody");
}

/// Certificates and pre-shared keys live side by side.
#[test]
fn a_provider_with_keys_takes_certificates_too() {
    let root = Authority::new("Root");
    let server = serving(root.issue(PROVIDER), root.anchors(), vec![psk("home-1", 4)]);
    let mut world = World::between(&server, &client(&root, ROUTER), None);
    world.connect();
    assert_eq!(world.server().peer_name().as_deref(), Some(ROUTER));
}

#[test]
fn keys_are_read_strictly() {
    let reads = |text: &str| Psk::read("x", text.as_bytes()).err();
    assert_eq!(reads(" 00112233445566778899aAbBcCdDeEfF\r\n"), None);
    assert_eq!(reads(&"ab".repeat(64)), None);
    for bad in ["", "secret", &"ab".repeat(15), &"ab".repeat(65), &("ab".repeat(16) + "c"), &"a b ".repeat(16)] {
        assert_eq!(reads(bad), Some(Fault::NoPreSharedKey), "{bad}");
    }
}

fn contains(all: &[u8], part: &[u8]) -> bool {
    all.windows(part.len()).any(|window| window == part)
}
