//! What one provider may have the router hold and do, over all its requests.

use crate::support::ledger::*;
use dots_callhome::mitigation::{Client, Consent, Policy, Refusal};
use dots_callhome::model::{Detail, Flow, IcmpTypeRange, Mac, PortRange, Scope, Traffic, Tuple};
use dots_callhome::source::Confidence::Possible;
use dots_callhome::source::{Evidence, Suspect};

/// Targets of request `n`, and as much else as the lists hold.
fn large(n: u32, targets: usize, others: usize) -> Scope {
    let target = |i| format!("2001:db8:{n:x}:{i:x}::1/128").parse().unwrap();
    let port = |i: usize| PortRange::new(200 * i as u16 + 1, 200 * i as u16 + 9).unwrap();
    let kind = |i: usize| IcmpTypeRange::new(2 * i as u8, 2 * i as u8).unwrap();
    Scope {
        target_prefixes: (0..targets).map(target).collect(),
        target_ports: (0..others).map(port).collect(),
        target_protocols: if others > 0 { vec![6, 17, 1, 47] } else { Vec::new() },
        source_icmp_types: (0..others.min(128)).map(kind).collect(),
        ..attack()
    }
}

/// Bytes of all prefixes, ports and types that rules and searches of all open requests are made of.
fn weight(house: &TestRouter) -> usize {
    let desired = house.ledger.desired(house.now);
    desired.sender_logs.iter().map(|log| log.scope.target_prefixes.len() + log.scope.target_ports.len()).sum()
}

/// The largest legal requests, undecided: some are taken, then no more, with the reason and the time after which there is
/// room again.
#[test]
fn undecided_requests_are_bounded_together() {
    let mut house = TestRouter::by_hand(policy(Consent::Ask));
    let mut refused = Vec::new();
    for n in 1..=128 {
        match house.put(n, &large(n, 200, 0)) {
            Ok(grant) => house.ledger.handle_attribution(grant.id, Vec::new(), house.now),
            Err(refusal) => refused.push(refusal),
        }
    }
    assert_eq!(refused.len(), 123);
    assert_eq!(refused[0], Refusal::OverBudget { retry: seconds(3600) });
    assert!(weight(&house) <= 1024);
    house.delete(1);
    assert!(house.put(200, &large(200, 200, 0)).is_ok(), "there is room again");
}

/// One request that alone is too much is told so, whatever else there is.
#[test]
fn a_single_request_is_bounded() {
    let mut house = TestRouter::by_hand(policy(Consent::Ask));
    assert_eq!(house.put(1, &large(1, 256, 256)), Err(Refusal::TooLarge));
    assert!(house.put(1, &large(1, 256, 0)).is_ok(), "256 targets are not too many");
}

/// To the last part: 256 targets, a source, and so many source ports.
#[test]
fn bounds_are_met_to_the_last_part() {
    let mut house = TestRouter::by_hand(policy(Consent::Ask));
    let with = |n: u32, ports: u16| {
        let port = |i| PortRange::new(2 * i + 1, 2 * i + 1).unwrap();
        Scope { source_ports: (0..ports).map(port).collect(), ..large(n, 256, 0) }
    };
    assert_eq!(house.put(1, &with(1, 256)), Err(Refusal::TooLarge));
    assert!(house.put(1, &with(1, 255)).is_ok(), "512");
    assert_eq!(house.put(2, &with(2, 256)), Err(Refusal::TooLarge));
    assert!(house.put(2, &with(2, 254)).is_ok(), "1023");
    assert!(matches!(house.put(3, &large(3, 1, 0)), Err(Refusal::OverBudget { .. })), "1025");
    house.delete(2);
    assert!(house.put(2, &with(2, 255)).is_ok(), "1024");

    // A target in two rules, 100 ports, 3 protocols, 50 types, a source.
    let mut house = TestRouter::by_hand(policy(Consent::Ask));
    let of_all = |source_ports: usize| Scope {
        target_ports: large(1, 0, 100).target_ports,
        target_protocols: vec![6, 17, 58],
        source_icmp_types: large(1, 0, 50).source_icmp_types,
        source_ports: large(1, 0, 250).target_ports.into_iter().cycle().take(source_ports).collect(),
        ..large(1, 1, 0)
    };
    assert_eq!(house.put(1, &of_all(357)), Err(Refusal::TooLarge));
    assert!(house.put(1, &of_all(356)).is_ok(), "512");
}

/// Neither ever new names of the client nor a larger limit of requests make the budget larger; another provider has its own.
#[test]
fn the_budget_is_the_providers() {
    let mut house = TestRouter::by_hand(Policy { max_mitigations: 1024, ..policy(Consent::Ask) });
    let mut taken = 0;
    for n in 1..=1000 {
        let client = Client { cuid: format!("K{n}"), ..isp() };
        taken += usize::from(house.ledger.put(&client, 1, &large(n, 50, 0), None, false, house.now).is_ok());
    }
    assert!((15..=20).contains(&taken), "{taken}");
    let other = Client { peer: "other".into(), cuid: "L".into() };
    assert!(house.ledger.put(&other, 1, &large(1, 50, 0), None, false, house.now).is_ok());
}

/// A provider with as many requests as it may, each of a few prefixes, is not hindered.
#[test]
fn an_ordinary_provider_is_not_hindered() {
    let mut house = TestRouter::by_hand(policy(Consent::Ask));
    for n in 1..=128 {
        let scope = Scope {
            target_ports: vec![PortRange::new(53, 53).unwrap()],
            target_protocols: vec![17],
            ..with_source_ports(&large(n, 4, 0), 4000, 4000)
        };
        assert!(house.put(n, &scope).is_ok(), "request {n}");
    }
}

/// What gives way to the new request does not count, and neither does a refresh.
#[test]
fn a_successor_takes_the_place_of_its_predecessor() {
    let mut house = TestRouter::by_hand(policy(Consent::Ask));
    for mid in 1..100 {
        house.put(mid, &large(1, 256, 0)).unwrap();
        house.put(mid, &large(1, 256, 0)).unwrap();
        house.put(1000, &large(2, 256, 0)).unwrap();
    }
}

/// Names are shown and nothing else: of many only the first are kept, and the request is still the same when it comes again.
#[test]
fn of_names_a_few_are_kept() {
    let mut house = TestRouter::by_hand(policy(Consent::Ask));
    let name = |i: usize| format!("{i:03}-{}.example.org", "x".repeat(100));
    let scope = Scope {
        target_fqdns: (0..200).map(name).collect(),
        target_uris: (0..50).map(|i| format!("https://{}/", name(i))).collect(),
        ..attack()
    };
    let id = house.put(1, &scope).unwrap().id;
    assert!(!house.put(1, &scope).unwrap().created);
    let kept = house.m(id).scope();
    assert_eq!(kept.target_fqdns, scope.target_fqdns[..kept.target_fqdns.len()]);
    let bytes: usize = kept.target_fqdns.iter().chain(&kept.target_uris).map(String::len).sum();
    assert!(kept.target_fqdns.len() >= 3 && bytes <= 512, "{bytes} bytes");
}

/// What counts is how often rules repeat the targets: ICMP types restrict the protocol of the target's family only, so the
/// other family's has a rule of its own.
#[test]
fn rules_are_counted_as_they_are_written() {
    let mut house = TestRouter::by_hand(policy(Consent::Ask));
    let both = |n, protocols: &[u8]| Scope { target_protocols: protocols.to_vec(), ..large(n, 256, 1) };
    let types = |scope: Scope| Scope { target_ports: Vec::new(), ..scope };
    assert!(house.put(1, &types(both(1, &[1]))).is_ok());
    assert_eq!(house.put(2, &types(both(2, &[1, 58]))), Err(Refusal::TooLarge));
}

/// An Ethernet address that turns out to be the router's own is no person's decision.
#[test]
fn the_routers_own_addresses_decide_nothing() {
    let mut house = TestRouter::by_hand(policy(Consent::Ask));
    house.in_force(1, &attack(), CAMERA);
    let before = house.ledger.generation();
    house.ledger.set_router([CAMERA].into(), house.now);
    let after = house.ledger.generation();
    assert_eq!(house.blocked(), []);
    assert_eq!(after.decided, before.decided);
    assert_ne!(after.followed, before.followed);
}

/// What is kept of suspects, with their flows, is the provider's, too: with many requests each one has fewer, and however often
/// they come and go, those with many are few. Another provider's first request has room for all.
#[test]
fn suspects_and_their_flows_are_bounded_together() {
    let mut house = TestRouter::by_hand(policy(Consent::Ask));
    let crowd = |n: u32| -> Vec<Suspect> {
        let flow = |port| Evidence {
            flow: Flow {
                id: port,
                original: udp(port as u16),
                reply: udp(port as u16),
                sent: None,
                answered: None,
                offloaded: false,
            },
            rate: Traffic::default(),
            seen: u64::from(n),
        };
        let evidence: Vec<Evidence> = (0..8).map(flow).collect();
        (0..64).map(|i| Suspect { evidence: evidence.clone(), ..suspect(Mac([2, 0, 0, 0, 0, i]), Possible) }).collect()
    };
    for mid in (1..=128).chain(64..=128).chain(1..=32) {
        house.delete(mid);
        let id = house.put(mid, &large(mid, 1, 0)).unwrap().id;
        house.ledger.handle_attribution(id, crowd(mid), house.now);
    }
    let suspects = house.ledger.all().map(|m| m.suspects().len()).sum::<usize>();
    assert!((512..=2048).contains(&suspects), "{suspects} suspects");
    let flows: usize = house.ledger.all().flat_map(|m| m.suspects()).map(|suspect| suspect.evidence.len()).sum();
    assert!(flows <= 4096, "{flows} flows");
    let other = Client { peer: "other".into(), cuid: "L".into() };
    let id = house.ledger.put(&other, 1, &large(1, 1, 0), None, false, house.now).unwrap().id;
    house.ledger.handle_attribution(id, crowd(1), house.now);
    assert_eq!(house.m(id).suspects().len(), 64);
}

fn udp(port: u16) -> Tuple {
    let detail = Detail::Ports { source: port, destination: 53 };
    let (source, destination) = ("192.168.1.11".parse().unwrap(), "203.0.113.80".parse().unwrap());
    Tuple { source, destination, protocol: 17, detail, zone: 0 }
}
