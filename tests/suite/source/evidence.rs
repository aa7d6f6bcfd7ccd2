//! What is shown of a suspect: the flows, what they carried and when, whose they are.

use std::time::Duration;

use crate::support::source::table::home;
use crate::support::source::*;
use dots_callhome::model::{Detail, IcmpTypeRange, Scope, Traffic};
use dots_callhome::source::Confidence::{Exact, Likely, Possible};

/// Proves CH-5.3.1-09, CH-5.3.1-08.
#[test]
fn icmp_is_told_apart_by_type() {
    let icmp = |kind| Detail::Icmp { kind, code: 0, id: 7 };
    let mut house = home();
    for (n, kind) in [(11, 8), (12, 13)] {
        let (original, reply) = (tuple(&v4(n), VICTIM, 1, icmp(kind)), tuple(VICTIM, WAN_ADDRESS, 1, icmp(0)));
        house.flow(original, reply, 100);
    }
    house.flow(tuple(&v6(13), VICTIM6, 58, icmp(128)), tuple(VICTIM6, &v6(13), 58, icmp(129)), 100);
    house.translated(14, UDP, 1, 2, 3, 100);
    let types = |lower, upper| vec![IcmpTypeRange::new(lower, upper).unwrap()];
    let v4 = Scope { source_icmp_types: types(8, 8), ..scope("198.51.100.7 - > 203.0.113.80 - / -") };
    let v6 = Scope { source_icmp_types: types(100, 200), ..scope("2001:db8:123::/64 - > 2001:db8:c000::80 - / -") };
    let named = Scope { target_protocols: vec![1], ..v4.clone() };
    let other = Scope { source_icmp_types: types(9, 12), ..v4.clone() };
    for (id, scope) in [(1, v4), (2, v6), (3, named), (4, other)] {
        house.search(id, &scope);
    }
    house.pass(Duration::from_secs(5));
    assert_eq!(house.verdict(1), [(mac(11), Likely)]);
    assert_eq!(house.verdict(2), [(mac(13), Likely)]);
    assert_eq!(house.verdict(3), [(mac(11), Likely)]);
    assert_eq!(house.verdict(4), []);
}

#[test]
fn evidence_tells_flow_traffic_rate_and_time() {
    let mut house = home();
    let id = house.translated(11, UDP, 4000, 40000, 53, 200);
    house.search(1, &scope("198.51.100.7 40000 > 203.0.113.80 53 / 17"));
    let first = house.last(1).unwrap()[0].clone();
    assert_eq!(first.addresses, [ip(&v4(11)), ip(&v6(11))]);
    assert_eq!(first.interface.as_deref(), Some("br-lan"));
    assert_eq!(first.evidence.len(), 1);
    assert_eq!((first.evidence[0].flow.id, first.evidence[0].seen), (id, house.now.unix));
    assert_eq!(first.evidence[0].rate, Traffic::default());
    house.pass(Duration::from_secs(4));
    let later = &house.last(1).unwrap()[0].evidence[0];
    assert_eq!(later.rate, Traffic { packets: 200, bytes: 20_000 });
    assert_eq!(later.flow.sent, Some(Traffic { packets: 610, bytes: 61_000 }));
    assert_eq!(later.seen, first.evidence[0].seen + 3);
}

/// What counts is what went to the target, also where the target opened the flow.
#[test]
fn evidence_of_a_server_counts_its_answers() {
    let mut house = home();
    let (original, reply) =
        (tuple(VICTIM, WAN_ADDRESS, UDP, ports(7, 1900)), tuple("192.168.1.13", VICTIM, UDP, ports(1900, 7)));
    let id = house.flow(original, reply, 1);
    house.kernel.rates.insert(id, (1, 5000));
    house.pass(Duration::from_secs(1));
    house.search(1, &scope("198.51.100.7 1900 > 203.0.113.80 7 / 17"));
    house.pass(Duration::from_secs(4));
    let evidence = &house.last(1).unwrap()[0].evidence[0];
    assert_eq!(evidence.rate, Traffic { packets: 5000, bytes: 500_000 });
    assert_eq!(evidence.flow.sent.unwrap().packets, 20_000);
    assert_eq!(evidence.flow.to_string(), "udp 203.0.113.80:7 -> 198.51.100.7:1900 to 192.168.1.13:1900");
}

#[test]
fn evidence_is_bounded_and_the_strongest() {
    let mut house = home();
    for port in 0..100 {
        house.translated(11, UDP, port, 40000 + port, 53, u64::from(port) * 10);
    }
    house.search(1, &scope("198.51.100.7 - > 203.0.113.80 53 / 17"));
    house.pass(Duration::from_millis(70_000));
    let suspect = &house.last(1).unwrap()[0];
    assert_eq!((suspect.mac, suspect.confidence), (mac(11), Likely));
    assert_eq!(suspect.evidence.len(), 8);
}

/// A block by Ethernet address would hit everybody behind the other router.
#[test]
fn a_device_behind_another_router_is_named_as_such() {
    let mut house = home();
    house.finder.set_names([(mac(18), "attic".to_owned())].into());
    let behind = |n: u8, seen| {
        (tuple(&format!("192.168.50.{n}"), VICTIM, UDP, ports(1, 53)), tuple(VICTIM, WAN_ADDRESS, UDP, ports(53, seen)))
    };
    let (original, reply) = behind(20, 40000);
    house.flow(original, reply, 100);
    house.search(1, &scope("198.51.100.7 - > 203.0.113.80 53 / 17"));
    house.pass(Duration::from_secs(2));
    let suspect = &house.last(1).unwrap()[0];
    assert_eq!((suspect.mac, suspect.confidence), (mac(18), Possible));
    assert_eq!(suspect.name.as_deref(), Some("192.168.50.20 behind router attic"));
    assert_eq!(suspect.addresses[0], ip("192.168.50.20"));

    let (original, reply) = behind(21, 40001);
    house.flow(original, reply, 100);
    house.search(2, &scope("198.51.100.7 - > 203.0.113.80 53 / 17"));
    house.pass(Duration::from_secs(2));
    assert_eq!(house.last(2).unwrap()[0].name.as_deref(), Some("several devices behind router attic"));
}

/// The other router's own traffic is its own.
#[test]
fn another_router_sends_for_itself() {
    let mut house = home();
    house.translated(18, UDP, 1, 40000, 53, 100);
    house.search(1, &scope("198.51.100.7 40000 > 203.0.113.80 53 / 17"));
    assert_eq!(house.verdict(1), [(mac(18), Exact)]);
}
