//! Ways around a person's yes or no, and around the doubt about who sends: the same words in another form, the same address with
//! another owner.

use dots_callhome::mitigation::{Consent, State};
use dots_callhome::model::{Mac, MitigationId, Scope};
use dots_callhome::source::Confidence;

use crate::support::home::*;
use crate::support::kernel::Flood;
use crate::support::router::TestRouter;
use crate::support::signal::{delete, put, scope, wanted};
use crate::support::source::tuple;

/// The router's own address on the LAN.
const ROUTER: Mac = Mac([2, 0xff, 0, 0, 0, 1]);

fn dropped(router: &TestRouter) -> Vec<Scope> {
    router.ledger.desired(router.now).blocks.into_iter().map(|block| block.scope).collect()
}

/// A request that a person has approved, and that is in force.
fn approved(stream: bool, body: &str) -> (TestRouter, MitigationId) {
    let mut router = TestRouter::serving(stream).asking();
    assert!(router.want(1, body).starts_with("2.01"));
    let id = router.id(1);
    router.ledger.approve(id, None, &[], None, "root", router.now).unwrap();
    assert_eq!(dropped(&router).len(), 1);
    (router, id)
}

/// Proves CH-5.3.1-24, CH-5.3.1-25: neither the same number, an efficacy update, the same number after a DELETE, nor the next one
/// adds anything.
#[test]
fn no_form_of_asking_adds_to_what_was_agreed() {
    for (agreed, more) in [
        ("32770:[{32771:8}]", "32770:[{32771:8,32772:9}]"),
        ("32770:[{32771:8}]", "32770:[{32771:8},{32771:13}]"),
        ("32770:[{32771:8}],10:[58]", "10:[58]"),
        ("7:[{8:53}],10:[17]", "7:[{8:53,9:54}],10:[17]"),
        ("7:[{8:53}],10:[17]", "7:[{8:53}],10:[6,17]"),
        ("7:[{8:53}],10:[17]", "10:[17]"),
        ("32769:[{8:40000}]", "11:[\"a.example\"]"),
        ("10:[17]", "10:[17],6:[\"2001:db8:c000::/64\"]"),
        ("10:[17]", "10:[17],6:[\"2001:db8:c000::1/128\",\"203.0.113.80/32\"]"),
    ] {
        for stream in [false, true] {
            let (mut router, id) = approved(stream, &wanted(agreed));
            let before = dropped(&router);
            assert!(router.want(1, &wanted(more)).starts_with("4.00"), "{more}");
            let update = put("mitigate/K/1", &wanted(&format!("{more},29:1"))).option(1, &[]);
            assert_eq!(router.ask(&update).code(), "4.00", "{more}");
            assert_eq!((dropped(&router), router.state(id)), (before.clone(), State::Active), "{more}");
            assert_eq!(router.ask(&delete("mitigate/K/1")).code(), "2.02");
            assert!(router.want(1, &wanted(more)).starts_with("4.00"), "{more}");
            assert_eq!(dropped(&router), before, "{more}");
            assert!(router.want(2, &wanted(more)).starts_with("2.01"), "{more}");
            let next = router.id(2);
            assert_eq!((router.state(next), dropped(&router)), (State::Pending, vec![]), "{more}");
        }
    }
}

/// Proves CH-5.3.1-24: without an end, shortened, without an end again: a person's hour is an hour.
#[test]
fn a_lifetime_without_end_ends_when_a_person_said() {
    let (mut router, id) = approved(true, &wanted("14:-1"));
    router.ledger.approve(id, None, &[], Some(seconds(3600)), "root", router.now).unwrap();
    for lifetime in ["-1", "60", "4294967295", "-1"] {
        assert!(router.want(1, &wanted(&format!("14:{lifetime}"))).starts_with("2.04"));
        router.pass_alive(seconds(40));
    }
    router.pass_alive(seconds(3600 - 161));
    assert_eq!(dropped(&router).len(), 1);
    router.pass_alive(seconds(2));
    assert_eq!(dropped(&router), []);
}

/// A no lasts as long as what it was said to, however short the provider makes that before, and a day at least.
#[test]
fn a_shortened_lifetime_shortens_no_no() {
    let mut router = TestRouter::serving(true);
    router.want(1, &wanted("14:-1"));
    router.want(1, &wanted("14:1"));
    let id = router.id(1);
    router.ledger.reject(id, None, "root", router.now).unwrap();
    router.pass_alive(seconds(86_390));
    router.want(2, &wanted("14:-1"));
    assert_eq!(dropped(&router), []);
}

/// Addresses of IPv4 in the form of IPv6 are on no wire: nobody attacks from them, or them.
#[test]
fn mapped_addresses_are_refused() {
    for mut router in TestRouter::both() {
        for prefix in ["::ffff:203.0.113.80/128", "::ffff:203.0.113.0/120", "::ffff:0:0/96", "::ffff:cb00:7150/128"] {
            router.refuses(&wanted(&format!("6:[\"{prefix}\"]")), "IPv4-mapped");
            router.refuses(&wanted(&format!("6:[\"203.0.113.80/32\",\"{prefix}\"]")), "IPv4-mapped");
            router.refuses(&wanted(&format!("32768:[\"{prefix}\"]")), "IPv4-mapped");
        }
    }
}

/// The flood as the provider sees it.
fn complaint(v6: bool) -> String {
    match v6 {
        false => {
            scope("6:[\"203.0.113.80/32\"],7:[{8:53}],10:[17],32768:[\"198.51.100.7/32\"],32769:[{8:40000}],14:3600")
        }
        true => scope("6:[\"2001:db8:c000::80/128\"],7:[{8:53}],10:[17],32768:[\"2001:db8:123::11/128\"],14:3600"),
    }
}

/// A router of which everything is wired; the camera opens flows as ever, and is not at it.
fn at_home(consent: Consent) -> TestRouter {
    let mut router = TestRouter::new(policy(consent));
    router.connect("isp", true);
    for address in [CAMERA_V4, CAMERA_V6] {
        router.opens(CAMERA, address, LAN);
    }
    router
}

/// Somebody floods the victim with the camera's address, and this Ethernet address.
fn pretend(router: &mut TestRouter, sender: Mac, v6: bool) {
    let (original, reply) = if v6 {
        let original = tuple(CAMERA_V6, VICTIM6, UDP, ports(4000, 53));
        (original, tuple(VICTIM6, CAMERA_V6, UDP, ports(53, 4000)))
    } else {
        let original = tuple(CAMERA_V4, VICTIM, UDP, ports(4000, 53));
        (original, tuple(VICTIM, WAN_ADDRESS, UDP, ports(53, 40_000)))
    };
    router.kernel.floods.push(Flood { sender, original, reply, pps: 100, passed: 0, dropped: 0 });
}

/// Nobody is acted upon, and nobody is said to be sure.
fn is_doubted(router: &TestRouter, what: &str) {
    assert_eq!((router.blocked(), router.state(router.id(1)).in_force()), (vec![], false), "{what}");
    let sure =
        |suspects: &[dots_callhome::source::Suspect]| suspects.iter().any(|s| s.confidence > Confidence::Possible);
    assert!(!sure(router.m(router.id(1)).suspects()), "{what}: {:?}", router.m(router.id(1)).suspects());
}

/// Proves CH-5.3.2-06 against a device that sends with the Ethernet address of the router, or of another device: three seconds
/// before the request, or on and on, over both families.
#[test]
fn whoever_borrows_two_addresses_leaves_doubt() {
    for (v6, lasts) in [(false, false), (false, true), (true, false), (true, true)] {
        for sender in [ROUTER, TV, mac(0x77)] {
            let what = format!("{sender} v6 {v6} lasts {lasts}");
            let mut router = at_home(Consent::Auto);
            pretend(&mut router, sender, v6);
            router.pass(seconds(3));
            if !lasts {
                router.kernel.floods[0].pps = 0;
                router.pass(seconds(2));
            }
            assert!(router.want(1, &complaint(v6)).starts_with("2.01"), "{what}");
            for _ in 0..20 {
                router.pass_alive(seconds(3));
                is_doubted(&router, &what);
            }
        }
    }
}

/// Who tells between the look and the consent that it has the camera's address is not blamed for it, nor does the camera go free.
#[test]
fn an_address_taken_before_the_consent_moves_no_blame() {
    for v6 in [false, true] {
        let mut router = at_home(Consent::Ask);
        pretend(&mut router, CAMERA, v6);
        router.pass(seconds(3));
        router.want(1, &complaint(v6));
        router.pass_alive(seconds(2));
        let id = router.id(1);
        assert_eq!(
            router.m(id).suspects().iter().map(|s| (s.mac, s.confidence)).collect::<Vec<_>>(),
            [(CAMERA, Confidence::Exact)]
        );
        for address in [CAMERA_V4, CAMERA_V6] {
            router.neighbour(address, LAN, Some(TV));
        }
        router.pass_alive(seconds(30));
        let sure = router.m(id).suspects().iter().filter(|s| s.confidence > Confidence::Possible);
        assert!(sure.clone().all(|s| s.mac == CAMERA), "{:?}", router.m(id).suspects());
        // Who names nobody means whoever is surely meant, and nobody else.
        let _ = router.ledger.approve(id, None, &[], None, "root", router.now);
        assert!(!router.blocked().contains(&TV), "{v6}");
        router.ledger.approve(id, None, &[CAMERA], None, "root", router.now).unwrap();
        router.pass_alive(seconds(5));
        assert_eq!(router.blocked(), [CAMERA]);
        let target = if v6 { VICTIM6 } else { VICTIM };
        assert!(!router.drops(TV, target, 53, UDP), "{v6}");
        assert!(router.kernel.floods[0].dropped > 0, "{v6}");
    }
}
