//! Where the router calls once its provider has sent it on.

use crate::support::calling::*;
use dots_callhome::calling::{CallerPhase, NotFollowed};
use dots_callhome::signal::redirect::Redirect;

const OTHER: &str = "alternate.isp.example";
const OTHER_ADDRESS: &str = "198.51.100.7";

fn redirect(name: &str, addresses: &[&str], ttl: Option<u32>) -> Redirect {
    Redirect { name: name.into(), addresses: ips(addresses), ttl }
}

/// Connected to the provider for an hour; everybody answers.
fn connected() -> World {
    let mut world = World::new(target(&[V4]), |_| Fate::Established(30));
    world.names.insert(OTHER.into(), Ok(ips(&[OTHER_ADDRESS])));
    world.pass(seconds(3600));
    world.take_seen();
    world
}

/// As the driver does it: the session is closed once the caller agrees.
fn send_on(world: &mut World, to: Redirect) -> Result<(), NotFollowed> {
    world.caller.redirect(to, world.now)?;
    assert_eq!(world.phase(), CallerPhase::Connecting);
    world.session = None;
    Ok(())
}

fn sent_on(ttl: Option<u32>) -> World {
    let mut world = connected();
    send_on(&mut world, redirect(OTHER, &[OTHER_ADDRESS], ttl)).unwrap();
    world.pass(seconds(1));
    assert_eq!(world.session.as_deref(), Some("dtls 198.51.100.7"));
    world.take_seen();
    world
}

/// Proves CH-5.2.2-04, CH-5.2.2-05, CH-5.2.2-08.
#[test]
fn the_alternate_is_called_at_once_and_has_to_prove_its_name() {
    let mut world = connected();
    let left = world.elapsed();
    send_on(&mut world, redirect(OTHER, &[OTHER_ADDRESS], Some(600))).unwrap();
    world.pass(seconds(5));
    let seen = world.take_seen();
    assert_eq!(seen.len(), 1);
    assert_eq!((seen[0].at, seen[0].name.as_str(), seen[0].address.port()), (left, OTHER, 4647));
    assert!(world.asked.is_empty(), "its addresses were given");
    assert_eq!(world.session.as_deref(), Some("dtls 198.51.100.7"));
}

/// Proves CH-5.2.2-05.
#[test]
fn an_alternate_without_addresses_is_resolved() {
    for useless in [&[][..], &["0.0.0.0", "::", "224.0.0.1", "255.255.255.255", "fe80::1"]] {
        let mut world = connected();
        send_on(&mut world, redirect(OTHER, useless, None)).unwrap();
        world.pass(seconds(5));
        assert_eq!(world.asked, [OTHER]);
        assert_eq!(world.session.as_deref(), Some("dtls 198.51.100.7"));
    }
}

/// Proves SC-4.6-01, CH-5.2.2-06.
#[test]
fn when_its_time_is_over_the_router_returns_at_once() {
    let mut world = sent_on(Some(600));
    world.pass(seconds(598));
    assert_eq!((world.session.as_deref(), world.hung_up), (Some("dtls 198.51.100.7"), 0));
    world.pass(seconds(2));
    assert_eq!((world.session.as_deref(), world.hung_up), (Some("dtls 192.0.2.1"), 1));
    assert_eq!(world.seen[0].name, NAME);
}

/// Proves SC-4.6-01.
#[test]
fn during_an_attack_the_return_waits() {
    let mut world = sent_on(Some(600));
    world.caller.set_attack(true);
    world.pass(seconds(6000));
    world.caller.handle_timeout(world.now);
    world.act();
    assert_eq!(world.session.as_deref(), Some("dtls 198.51.100.7"));
    world.caller.set_attack(false);
    world.pass(seconds(1));
    assert_eq!(world.session.as_deref(), Some("dtls 192.0.2.1"));
}

const DAY: u64 = 24 * 3600;

/// Proves SC-4.6-02: but a provider that has come back into the right hands has its routers back within a day.
#[test]
fn an_infinite_time_lasts_over_losses_for_a_day() {
    for ttl in [u32::MAX, u32::MAX - 1, 200_000] {
        let mut world = sent_on(Some(ttl));
        world.pass(seconds(DAY - 100));
        assert_eq!(world.session.as_deref(), Some("dtls 198.51.100.7"));
        world.lose();
        world.pass(seconds(10));
        assert_eq!(world.session.as_deref(), Some("dtls 198.51.100.7"));
        world.pass(seconds(100));
        assert_eq!(world.session.as_deref(), Some("dtls 192.0.2.1"), "{ttl}");
    }
}

/// Alternates that send the router on and on can't keep it: neither in number nor in time.
#[test]
fn alternates_in_a_row_do_not_add_up() {
    let mut world = connected();
    let mut followed = 0;
    for n in 0..40 {
        let to = redirect(&format!("n{n}.isp.example"), &[OTHER_ADDRESS], Some(u32::MAX));
        followed += usize::from(send_on(&mut world, to).is_ok());
        world.pass(seconds(3601));
        if world.session.as_deref() == Some("dtls 192.0.2.1") {
            break;
        }
    }
    assert_eq!((followed, world.session.as_deref()), (8, Some("dtls 192.0.2.1")));
    assert!(world.elapsed() <= seconds(DAY + 2 * 3600));
    let too_far = NotFollowed::TooFar.to_string();
    assert!(too_far.contains("in a row"), "{too_far}");
}

/// Nobody outside has the router knock at what only the home or the router itself has, by record or by name.
#[test]
fn a_redirect_into_the_home_is_not_followed() {
    let inside = ["127.0.0.1", "::1", "192.168.1.20", "10.0.0.1", "172.16.3.4", "169.254.9.9", "fd00::7"];
    for address in inside {
        let mut world = connected();
        world.names.insert(OTHER.into(), Ok(ips(&[address, OTHER_ADDRESS])));
        send_on(&mut world, redirect(OTHER, &[address], None)).unwrap();
        world.pass(seconds(5));
        assert_eq!(world.take_paths(), ["dtls 198.51.100.7"], "{address}");
        let mut world = connected();
        world.names.insert(OTHER.into(), Ok(ips(&[address])));
        send_on(&mut world, redirect(OTHER, &[], None)).unwrap();
        world.pass(seconds(5));
        assert_eq!(world.take_paths(), ["dtls 192.0.2.1"], "{address}");
    }
    // A provider that itself is in a private network may send to another one there; never to the router itself.
    let mut world = World::new(target(&["10.1.1.1"]), |_| Fate::Established(30));
    world.pass(seconds(3600));
    world.take_seen();
    send_on(&mut world, redirect(OTHER, &["10.1.1.2", "127.0.0.1"], None)).unwrap();
    world.pass(seconds(5));
    assert_eq!(world.take_paths(), ["dtls 10.1.1.2"]);
}

/// Proves CH-5.2.2-06: A16 reads an absent time to live as "until the alternate is lost".
#[test]
fn without_a_time_the_alternate_is_called_until_it_is_lost() {
    let mut world = sent_on(None);
    world.pass(seconds(DAY - 3600));
    assert_eq!(world.session.as_deref(), Some("dtls 198.51.100.7"));
    world.lose();
    world.pass(seconds(1));
    assert_eq!(world.session.as_deref(), Some("dtls 192.0.2.1"));
}

#[test]
fn with_a_time_a_lost_alternate_is_called_again() {
    let mut world = sent_on(Some(3600));
    world.pass(seconds(100));
    world.lose();
    world.pass(seconds(10));
    assert_eq!(world.session.as_deref(), Some("dtls 198.51.100.7"));
    world.lose();
    world.pass(seconds(3600));
    assert_eq!(world.session.as_deref(), Some("dtls 192.0.2.1"), "after its time");
}

/// Proves SC-4.6-03: such a time to live is for the mitigations in force.
#[test]
fn no_time_at_all_means_the_attack_in_progress() {
    let mut world = connected();
    let momentary = redirect(OTHER, &[OTHER_ADDRESS], Some(0));
    assert_eq!(send_on(&mut world, momentary.clone()), Err(NotFollowed::Momentary));
    world.pass(seconds(5));
    assert_eq!(world.session.as_deref(), Some("dtls 192.0.2.1"));
    world.caller.set_attack(true);
    send_on(&mut world, momentary).unwrap();
    world.pass(seconds(500));
    assert_eq!(world.session.as_deref(), Some("dtls 198.51.100.7"));
    world.caller.set_attack(false);
    world.pass(seconds(5));
    assert_eq!(world.session.as_deref(), Some("dtls 192.0.2.1"));
}

/// Proves SC-4.6-04, SC-4.6-05.
#[test]
fn going_in_circles_is_refused_and_the_session_stays() {
    let mut world = sent_on(None);
    let back = send_on(&mut world, redirect(&NAME.to_uppercase(), &[V4], None));
    assert_eq!(back, Err(NotFollowed::Loop(NAME.to_uppercase())));
    let itself = send_on(&mut world, redirect(OTHER, &[], None));
    assert!(itself.unwrap_err().to_string().contains("loop"));
    world.pass(seconds(298));
    assert_eq!(world.session.as_deref(), Some("dtls 198.51.100.7"));
    assert!(send_on(&mut world, redirect(NAME, &[V4], None)).is_err());
    world.pass(seconds(2));
    send_on(&mut world, redirect(NAME, &[V4], None)).unwrap();
    world.pass(seconds(1));
    assert_eq!(world.session.as_deref(), Some("dtls 192.0.2.1"));
}

/// Proves SC-4.6-04.
#[test]
fn an_endless_chain_of_names_is_a_loop_too() {
    let mut world = connected();
    let mut followed = 0;
    for n in 0..100 {
        if send_on(&mut world, redirect(&format!("n{n}.isp.example"), &[OTHER_ADDRESS], None)).is_ok() {
            followed += 1;
        }
        world.pass(millis(100));
    }
    assert_eq!(followed, 8);
}

#[test]
fn an_alternate_out_of_reach_sends_the_router_home() {
    let mut world = connected();
    world.set_network(|seen| if seen.name == OTHER { Fate::Silent } else { Fate::Established(30) });
    send_on(&mut world, redirect(OTHER, &[OTHER_ADDRESS], Some(u32::MAX))).unwrap();
    world.pass(seconds(30));
    assert_eq!(world.session.as_deref(), Some("dtls 192.0.2.1"));
    let again = redirect(OTHER, &[OTHER_ADDRESS], None);
    assert!(send_on(&mut world, again).is_err(), "it was called just now");
    let mut world = connected();
    world.names.insert(OTHER.into(), Err("no such name".into()));
    world.routers = vec!["192.168.1.254:0".parse().unwrap()];
    send_on(&mut world, redirect(OTHER, &[], None)).unwrap();
    world.pass(seconds(5));
    assert_eq!(world.session.as_deref(), Some("dtls 192.0.2.1"));
    assert_eq!(world.take_paths(), ["dtls 192.0.2.1"], "the default router is no alternate");
}

/// Proves SC-4.6-01.
#[test]
fn its_time_can_be_over_before_it_has_answered() {
    let mut world = connected();
    world.set_network(|seen| if seen.name == OTHER { Fate::Silent } else { Fate::Established(30) });
    send_on(&mut world, redirect(OTHER, &[OTHER_ADDRESS], Some(5))).unwrap();
    world.pass(seconds(6));
    assert_eq!((world.session.as_deref(), world.hung_up), (Some("dtls 192.0.2.1"), 0));
}
