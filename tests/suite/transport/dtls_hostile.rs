//! Whatever arrives, nothing panics, an established session lives, and nothing false is delivered.

use std::rc::Rc;

use crate::support::dtls::*;
use dots_callhome::transport::dtls::{ClientConfig, SavedSession};
use dots_callhome::transport::dtls_server::Answer;

/// Turns some bits of a datagram.
fn damage(datagram: &[u8], dice: &Dice) -> Vec<u8> {
    let mut damaged = datagram.to_vec();
    for _ in 0..=dice.below(3) {
        let at = dice.below(damaged.len());
        damaged[at] ^= 1 << dice.below(8);
    }
    if damaged == datagram {
        damaged[0] ^= 1;
    }
    damaged
}

/// A handshake that goes on until the datagram of that number is under way; nothing when there are fewer.
fn world_before(number: usize, make: &dyn Fn() -> World) -> Option<World> {
    let mut world = make();
    world.collect();
    while world.seen.len() <= number {
        if !world.step() {
            return None;
        }
    }
    Some(world)
}

/// Delivers what has been made of the datagrams under way, then lets the handshake end as it may.
fn disturb(mut world: World, what: impl Fn(&[u8]) -> Vec<Vec<u8>>) {
    for flight in world.under_way.clone() {
        for datagram in what(&flight.datagram) {
            world.arrive(flight.to, &datagram);
        }
    }
    for _ in 0..200 {
        if !world.step() {
            break;
        }
    }
    if world.client.is_established() && world.server.as_ref().is_some_and(|server| server.is_established()) {
        world.at_client();
        world.at_server();
        world.talk();
    }
}

/// Worlds of certificates, of pre-shared keys, and of resumption.
fn worlds() -> Vec<Box<dyn Fn() -> World>> {
    let root = Authority::new("Root");
    let low = root.intermediate("Low");
    let server = serving(low.issue(PROVIDER), root.anchors(), vec![psk("home-1", 4)]);
    let by_certificate = ClientConfig::certificate(&low.issue(ROUTER), &root.anchors(), random(1)).unwrap();
    let by_key = ClientConfig::psk(psk("home-1", 4), random(1)).unwrap();
    let mut first = World::between(&server, &by_certificate, None);
    first.connect();
    let session = first.client.session().cloned();
    let world =
        Rc::new(move |client: &ClientConfig, session: Option<&SavedSession>| World::between(&server, client, session));
    let (keyed, resumed, again) = (Rc::clone(&world), Rc::clone(&world), by_certificate.clone());
    vec![
        Box::new(move || world(&by_certificate, None)),
        Box::new(move || keyed(&by_key, None)),
        Box::new(move || resumed(&again, session.as_ref())),
    ]
}

#[test]
fn handshakes_are_cut_anywhere() {
    for make in worlds() {
        for number in 0.. {
            let Some(world) = world_before(number, &make) else { break };
            if world.client.is_established() {
                break;
            }
            disturb(world, |datagram| (0..datagram.len()).map(|end| datagram[..end].to_vec()).collect());
        }
    }
}

#[test]
fn handshakes_are_damaged_anywhere() {
    let dice = Dice::new(5);
    for make in worlds() {
        for number in 0.. {
            let Some(world) = world_before(number, &make) else { break };
            if world.client.is_established() {
                break;
            }
            disturb(world, |datagram| vec![damage(datagram, &dice)]);
            for _ in 0..10 {
                let Some(world) = world_before(number, &make) else { break };
                disturb(world, |datagram| vec![damage(datagram, &dice)]);
            }
        }
    }
}

/// Damaged, cut, joined and invented datagrams leave an established session as it is.
#[test]
fn an_established_session_lives() {
    let mut world = World::new();
    world.connect();
    world.talk();
    let dice = Dice::new(6);
    let mut samples = world.seen.clone();
    world.client.write(b"not to arrive");
    world.server().write(b"not to arrive");
    world.server().close();
    world.collect();
    samples.extend(world.under_way.drain(..));
    for flight in &samples {
        for end in 0..flight.datagram.len() {
            world.arrive(flight.to, &flight.datagram[..end]);
        }
        for _ in 0..200 {
            world.arrive(flight.to, &damage(&flight.datagram, &dice));
        }
        let other = if flight.to == To::Client { To::Server } else { To::Client };
        world.arrive(other, &flight.datagram);
    }
    for _ in 0..2000 {
        let noise: Vec<u8> = (0..dice.below(200)).map(|_| dice.roll().to_le_bytes()[3]).collect();
        // The beginning of a record of the session's epoch.
        let header = [[22, 23, 21, 20, 25][dice.below(5)], 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0];
        world.arrive(To::Client, &[&header[..], &noise].concat());
        world.arrive(To::Server, &[&header[..], &noise].concat());
        world.arrive(To::Client, &noise);
    }
    assert_eq!((world.client_failure.take(), world.server_failure.take()), (None, None));
    assert_eq!((world.at_client(), world.at_server()), (Vec::new(), Vec::new()));
    world.settle();
    world.client.write(b"still here");
    world.settle();
    assert_eq!(world.at_server(), [b"still here".to_vec()]);
}

/// The provider makes nothing of noise, nor of beginnings cut or damaged, but questions and refusals.
#[test]
fn beginnings_are_cut_and_damaged() {
    let dice = Dice::new(8);
    let mut world = World::new();
    world.collect();
    let hello = world.under_way[0].datagram.clone();
    let accept = |datagram: &[u8]| match world.server_config.accept(world.router, datagram, world.now) {
        Answer::Accepted(_) => panic!("accepted without a cookie"),
        Answer::Reply(reply) => assert!(reply.len() < hello.len()),
        Answer::Nothing => {}
    };
    (0..hello.len()).for_each(|end| accept(&hello[..end]));
    (0..2000).for_each(|_| accept(&damage(&hello, &dice)));
}
