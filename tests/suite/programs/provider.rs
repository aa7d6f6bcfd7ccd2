//! The provider's program as routers see it, over the loopback interface.

use std::sync::Arc;

use crate::programs::home::Home;
use crate::programs::program::Program;
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
        assert!(Home::call(&bad, PROVIDER, program.v4).is_err_and(|received| received > 0));
    }
    assert!(program.routers().contains(&name), "a session there is stays");
    assert_eq!(Home::call(&good, PROVIDER, program.v4).err(), Some(0), "no handshake for this source now");
    assert!(Home::call(&good, PROVIDER, program.v6).is_ok(), "others are unaffected");
}
