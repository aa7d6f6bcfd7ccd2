//! The provider's program as routers see it, over the loopback interface.
#![cfg(feature = "client")]
#![allow(clippy::unwrap_used)]

mod provider_support;
mod tls_support;

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use dots_callhome::transport::identity;
use dots_callhome::transport::raw_public_key::{OwnKey, PeerKeys, client_config};
use dots_callhome::transport::tls::Channel;
use provider_support::Program;
use rcgen::KeyPair;
use rustls::ClientConfig;
use tls_support::*;

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
    client_config(own, provider, clock(TODAY)).unwrap()
}

/// How a call ends: with the provider's first words, or without; and how many bytes it has sent.
fn call(config: &Arc<ClientConfig>, to: SocketAddr) -> (Option<(TcpStream, Channel)>, usize) {
    let mut stream = TcpStream::connect(to).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut channel = Channel::client(Arc::clone(config), PROVIDER).unwrap();
    let (mut plaintext, mut received) = (Vec::new(), 0);
    let mut buffer = [0; 4096];
    while plaintext.is_empty() {
        while let Some(bytes) = channel.poll_transmit() {
            let _ = stream.write_all(&bytes);
        }
        let length = match stream.read(&mut buffer) {
            Ok(0) => return (None, received),
            Ok(length) => length,
            Err(error) => {
                assert!(error.kind() != ErrorKind::WouldBlock, "the provider does not answer");
                return (None, received);
            }
        };
        received += length;
        if channel.handle_input(buffer.get(..length).unwrap(), &mut plaintext).is_err() {
            return (None, received);
        }
    }
    (Some((stream, channel)), received)
}

/// Proves CH-8-04, SC-7.1-12, CH-8-01.
#[test]
fn routers_with_known_keys_are_admitted_and_others_dropped_in_the_end() {
    let (provider, known, unknown) = (Kind::P256.key(), Kind::P256.key(), Kind::P256.key());
    let program = serving(&provider, &known);
    let (good, bad) = (router(&known, &provider), router(&unknown, &provider));

    let (admitted, _) = call(&good, program.v4);
    let own = OwnKey::read(known.serialize_pem().as_bytes()).unwrap();
    let name = own.public().and_then(identity::name).unwrap();
    assert!(admitted.is_some() && program.routers().contains(&name));

    for _ in 0..10 {
        let (refused, received) = call(&bad, program.v4);
        assert!(refused.is_none() && received > 0);
    }
    assert!(program.routers().contains(&name), "a session there is stays");
    let (refused, received) = call(&good, program.v4);
    assert!(refused.is_none() && received == 0, "no handshake for this source now");
    assert!(call(&good, program.v6).0.is_some(), "others are unaffected");
}
