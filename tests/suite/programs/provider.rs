//! The provider's program as routers see it, over the loopback interface.

use std::sync::Arc;
use std::time::Instant;

use crate::programs::home::{Home, Isp};
use crate::programs::program::{PATIENCE, Program};
use crate::support::tls::*;
use dots_callhome::transport::identity;
use dots_callhome::transport::raw_public_key::{OwnKey, PeerKeys, client_config};
use rcgen::KeyPair;
use rustls::ClientConfig;

/// The program, serving routers that prove this key.
fn serving(own: &KeyPair, router: &KeyPair) -> Program {
    let mut program = Program::new("keys");
    let key = program.file("own.key", &own.serialize_pem());
    let routers = program.file("routers.pub", &router.public_key_pem());
    program.start(&["--key", &key, "--peer-keys", &routers]);
    program
}

fn router(own: &KeyPair, provider: &KeyPair) -> Arc<ClientConfig> {
    let own = OwnKey::read(own.serialize_pem().as_bytes()).unwrap();
    let provider = PeerKeys::read(provider.public_key_pem().as_bytes()).unwrap();
    client_config(own, provider, clock(TODAY)).unwrap().config
}

/// Proves CH-8-04, DR-5-02, SC-7.1-12, CH-8-01.
#[test]
fn routers_with_known_keys_are_admitted_and_others_dropped_in_the_end() {
    let (provider, known, unknown) = (Kind::P256.key(), Kind::P256.key(), Kind::P256.key());
    let program = serving(&provider, &known);
    let (good, bad) = (router(&known, &provider), router(&unknown, &provider));

    let admitted = Home::call(&good, PROVIDER, program.v4);
    let own = OwnKey::read(known.serialize_pem().as_bytes()).unwrap();
    let name = own.public().and_then(identity::name).unwrap();
    assert!(admitted.is_ok() && program.routers().contains(&name));

    for _ in 0..10 {
        assert!(Home::call(&bad, PROVIDER, program.v6).is_err_and(|received| received > 0));
    }
    assert!(program.routers().contains(&name), "a session there is stays");
    assert_eq!(Home::call(&good, PROVIDER, program.v6).err(), Some(0), "no handshake for this source now");
    assert!(Home::call(&good, PROVIDER, program.v4).is_ok(), "others are unaffected");
}

/// Many homes may share an address: where one router is proven the others get in, though some there fail all the time.
#[test]
fn a_shared_address_is_not_shut_out() {
    let isp = Isp::serving("shared");
    let _first = isp.home(ROUTER);
    let stranger = router_of(&Authority::new("Foreign"), &isp.root);
    for _ in 0..20 {
        let _ = Home::call(&stranger, PROVIDER, isp.program.v4);
    }
    let good = crate::support::tls::router(isp.root.issue("home-2.isp.example"), &isp.root);
    let start = Instant::now();
    while Home::call(&good, PROVIDER, isp.program.v4).is_err() {
        assert!(start.elapsed() < PATIENCE, "it is shut out");
    }
}

fn router_of(authority: &Authority, trusts: &Authority) -> Arc<ClientConfig> {
    crate::support::tls::router(authority.issue("foreign.example"), trusts)
}

/// Two routers with one name: in the end one of them keeps the session, and it is told.
#[test]
fn duplicates_do_not_throw_each_other_out_for_ever() {
    let isp = Isp::serving("duplicates");
    let mut homes = Vec::new();
    for _ in 0..6 {
        homes.push(isp.home(ROUTER));
    }
    let config = crate::support::tls::router(isp.root.issue(ROUTER), &isp.root);
    let start = Instant::now();
    // Each of the first six displaces the one before it; then whoever has the session keeps it.
    assert!(Home::call(&config, PROVIDER, isp.program.v4).is_err() && start.elapsed() < PATIENCE);
    homes.pop().unwrap().has_heard_all();
}
