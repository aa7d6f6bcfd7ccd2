//! Versions and cipher suites: what the router offers and the provider takes, as bytes.

use crate::support::dtls::*;
use dots_callhome::transport::dtls::{ClientConfig, DtlsChannel};
use dots_callhome::transport::dtls_server::Answer;

/// Where a hello's version is: after the headers of record and handshake.
const VERSION: std::ops::Range<usize> = 25..27;
/// And the length of its session identifier, after the randomness.
const SESSION: usize = 59;
const RENEGOTIATION_INFO: u16 = 0x00ff;
const ECDSA_CCM_8: u16 = 0xc0ae;
const PSK_CCM_8: u16 = 0xc0a8;

/// Where the cipher suites of a hello are.
fn suites(hello: &[u8]) -> std::ops::Range<usize> {
    let cookie = SESSION + 1 + usize::from(hello[SESSION]);
    let start = cookie + 1 + usize::from(hello[cookie]);
    let length = usize::from(hello[start]) << 8 | usize::from(hello[start + 1]);
    start + 2..start + 2 + length
}

fn keyed() -> ClientConfig {
    ClientConfig::psk(psk("home-1234", 5), random(1)).unwrap()
}

/// A provider with certificates and a key, and a router with either.
fn world(by_key: bool) -> World {
    let root = Authority::new("Root");
    let server = serving(root.issue(PROVIDER), root.anchors(), vec![psk("home-1234", 5)]);
    World::between(&server, &if by_key { keyed() } else { client(&root, ROUTER) }, None)
}

/// Proves SC-7.1-01, SC-7.1-02, SC-7.1-09, SC-11-01: what the router offers. With a pre-shared key nothing else is offered.
#[test]
fn the_offer_is_modern_and_bears_the_name() {
    for (by_key, expected) in [
        (false, vec![0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, ECDSA_CCM_8, RENEGOTIATION_INFO]),
        (true, vec![0xccac, 0x00a8, 0x00a9, PSK_CCM_8, RENEGOTIATION_INFO]),
    ] {
        let mut world = world(by_key);
        world.collect();
        let hello = &world.seen[0].datagram;
        assert_eq!(hello[VERSION], [0xfe, 0xfd]);
        let range = suites(hello);
        let offered: Vec<u16> = hello[range.clone()].chunks(2).map(|s| u16::from_be_bytes([s[0], s[1]])).collect();
        assert_eq!(offered, expected);
        assert_eq!(hello[range.end..range.end + 2], [1, 0], "compression");
        let name = PROVIDER.as_bytes();
        assert!(hello.windows(name.len()).any(|window| window == name), "no SNI");
    }
}

/// What the provider says to a hello that has its cookie, but was changed.
fn answer(world: &mut World, change: impl Fn(&mut [u8])) -> Vec<u8> {
    let accept = |world: &World, datagram: &[u8]| world.server_config.accept(world.router, datagram, world.now);
    let hello = world.client.poll_transmit().unwrap();
    let Answer::Reply(question) = accept(world, &hello) else { panic!("no question") };
    world.client.handle_input(&question, world.now).unwrap();
    let mut hello = world.client.poll_transmit().unwrap();
    change(&mut hello);
    match accept(world, &hello) {
        Answer::Accepted(mut channel) => first(&mut channel),
        Answer::Reply(reply) => reply,
        Answer::Nothing => panic!("no answer"),
    }
}

fn first(channel: &mut DtlsChannel) -> Vec<u8> {
    channel.poll_transmit().unwrap()
}

fn offer_only(suite: u16) -> impl Fn(&mut [u8]) {
    move |hello| {
        let range = suites(hello);
        hello[range].chunks_mut(2).for_each(|place| place.copy_from_slice(&suite.to_be_bytes()));
    }
}

/// Proves CO-9.1.3-01, CO-9.1.3-02: the floors of CoAP are taken where nothing else is offered.
#[test]
fn the_floors_are_taken() {
    for (by_key, suite) in [(false, ECDSA_CCM_8), (true, PSK_CCM_8)] {
        let hello = answer(&mut world(by_key), offer_only(suite));
        assert_eq!((hello[0], hello[13]), (22, 2), "no ServerHello");
        let chosen = SESSION + 1 + usize::from(hello[SESSION]);
        assert_eq!(hello[chosen..chosen + 2], suite.to_be_bytes());
    }
}

/// Proves SC-7.1-01, SC-7.1-02, SC-11-01: old versions, and suites without authenticated encryption or forward secrecy.
#[test]
fn what_is_old_is_refused() {
    let alert = |answer: Vec<u8>, code: u8| assert_eq!(answer, [&answer[..13], &[2, code]].concat());
    for version in [[0xfe, 0xff], [0x01, 0x00]] {
        alert(answer(&mut world(false), |hello| hello[VERSION].copy_from_slice(&version)), 70);
    }
    // NULL, RC4, export, CBC, static RSA, finite-field, ECDHE with CBC, PSK with CBC.
    for suite in [0x0002, 0x0005, 0x0003, 0x002f, 0x009c, 0x009e, 0xc009, 0xc023, 0x008c, 0x00ae, 0xc037] {
        alert(answer(&mut world(false), offer_only(suite)), 40);
        alert(answer(&mut world(true), offer_only(suite)), 40);
    }
}
