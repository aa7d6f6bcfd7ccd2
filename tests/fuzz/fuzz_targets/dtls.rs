#![no_main]
//! Whatever datagrams arrive before, in and after a handshake: no crash, and nothing is delivered that nobody wrote.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use dots_callhome::model::Now;
use dots_callhome::transport::Channel;
use dots_callhome::transport::credentials::{Anchors, Identity, Psk};
use dots_callhome::transport::dtls::{ClientConfig, DtlsChannel};
use dots_callhome::transport::dtls_server::{Answer, ServerConfig};
use libfuzzer_sys::fuzz_target;
use rcgen::{CertificateParams, KeyPair};

/// The provider, and the router with a certificate and with a key.
type Ends = (ServerConfig, ClientConfig, ClientConfig);

thread_local! {
    static ENDS: Ends = {
        let key = KeyPair::generate().expect("key");
        let params = CertificateParams::new(["callhome.isp.example".to_owned()]).expect("a name");
        let certificate = params.self_signed(&key).expect("certificate").pem();
        let identity = Identity::read(certificate.as_bytes(), key.serialize_pem().as_bytes()).expect("identity");
        let anchors = Anchors::read(certificate.as_bytes()).expect("anchors");
        let random = rustls::crypto::ring::default_provider().secure_random;
        let psk = Psk::read("home", b"00112233445566778899aabbccddeeff").expect("key");
        (
            ServerConfig::new(Some((&identity, &anchors)), [psk.clone()], &[1; 32], random).expect("server"),
            ClientConfig::certificate(&identity, &anchors, random).expect("client"),
            ClientConfig::psk(psk, random).expect("client"),
        )
    };
}

// The first byte chooses certificate or key, and the step from which on datagrams are slipped in; the others are these
// datagrams, each behind twice its length in two bytes, and one more if it is for the router.
fuzz_target!(|data: &[u8]| {
    if let Some((&first, data)) = data.split_first() {
        ENDS.with(|ends| run(ends, first, data));
    }
});

fn run((server, by_certificate, by_key): &Ends, first: u8, mut data: &[u8]) {
    let client = if first & 1 == 0 { by_certificate } else { by_key };
    let undisturbed = data.is_empty();
    let mut now = Now { instant: Instant::now(), unix: 1_781_481_600 };
    let mut router = DtlsChannel::client(client, "callhome.isp.example", None, now).expect("channel");
    let mut provider: Option<DtlsChannel> = None;
    let from = SocketAddr::from(([192, 0, 2, 1], 4000));
    for step in 0..64_u8 {
        let mut datagrams: Vec<(bool, Vec<u8>)> = Vec::new();
        datagrams.extend(std::iter::from_fn(|| router.poll_transmit()).map(|datagram| (true, datagram)));
        let answers = std::iter::from_fn(|| provider.as_mut().and_then(Channel::poll_transmit));
        datagrams.extend(answers.map(|datagram| (false, datagram)));
        if step >= first >> 1 & 15
            && let Some((&length, rest)) = data.split_first_chunk()
        {
            let length = u16::from_be_bytes(length);
            let (datagram, rest) = rest.split_at(usize::from(length >> 1).min(rest.len()));
            datagrams.insert(0, (length & 1 == 0, datagram.to_vec()));
            data = rest;
        }
        now = now.after(Duration::from_millis(100));
        for (to_provider, datagram) in datagrams {
            match &mut provider {
                _ if !to_provider => drop(router.handle_input(&datagram, now)),
                Some(channel) => drop(channel.handle_input(&datagram, now)),
                None => match server.accept(from, &datagram, now) {
                    Answer::Accepted(channel) => provider = Some(channel),
                    Answer::Reply(reply) => drop(router.handle_input(&reply, now)),
                    Answer::Nothing => {}
                },
            }
        }
        let _ = router.handle_timeout(now);
        assert_eq!(router.poll_plaintext(), None);
        assert_eq!(provider.as_mut().and_then(Channel::poll_plaintext), None);
    }
    assert!(!undisturbed || router.is_established());
}
