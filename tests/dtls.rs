//! Who gets through a DTLS handshake, and what is said to those who don't.
#![cfg(feature = "client")]
#![allow(clippy::unwrap_used)]

mod dtls_support;

use dtls_support::*;

#[test]
fn both_prove_who_they_are() {
    let mut world = World::new();
    world.connect();
    world.talk();
    assert_eq!(world.server().peer_name(), Some(ROUTER));
    assert!(world.client.peer_certificate().is_some());
    assert!(!world.client.is_resumed());
}
