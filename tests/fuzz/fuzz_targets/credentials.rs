#![no_main]
//! Whatever a file of credentials holds, reading it gives an answer, and what is read can be used.

use dots_callhome::transport::credentials::{Anchors, Identity, Psk};
use dots_callhome::transport::crypto::Clock;
use dots_callhome::transport::raw_public_key::{self, OwnKey, PeerKeys};
use dots_callhome::transport::tls_config::client_config;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let (anchors, own) = (Anchors::read(data), OwnKey::read(data));
    if let (Ok(identity), Ok(anchors)) = (Identity::read(data, data), anchors) {
        let _ = identity.valid_until(1_781_481_600);
        let _ = client_config(identity, &anchors, Clock::default().into());
    }
    if let (Ok(own), Ok(peer)) = (own, PeerKeys::read(data)) {
        let _ = raw_public_key::client_config(own, peer, Clock::default().into());
    }
    let _ = Psk::read("home-1234", data);
});
