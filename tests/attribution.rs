//! Whom a request speaks of: a table of homes and requests, and who must be found.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

mod kernel_support;

use std::time::Duration;

use dots_callhome::scope::{IcmpTypeRange, Scope};
use dots_callhome::source::device::Confidence::{self, Exact, Likely, Possible};
use dots_callhome::source::flow::{Detail, Traffic};
use kernel_support::*;

const TCP: u8 = 6;
const UDP: u8 = 17;

/// One row: what is the case in a home with devices 11 to 18, what is asked, and who is found at the end.
struct Row {
    name: &'static str,
    home: fn(&mut House),
    request: &'static str,
    expected: &'static [(u8, Confidence)],
}

const NOBODY: &[(u8, Confidence)] = &[];

const TABLE: &[Row] = &[
    Row {
        name: "everything is named",
        home: |house| {
            house.translated(11, UDP, 4000, 40000, 53, 100);
            house.translated(12, UDP, 4000, 40001, 53, 100);
        },
        request: "198.51.100.7 40000 > 203.0.113.80 53 / 17",
        expected: &[(11, Exact)],
    },
    Row {
        name: "the same port seen with another protocol is another device's",
        home: |house| {
            house.translated(11, UDP, 4000, 40000, 443, 100);
            house.translated(12, TCP, 4000, 40000, 443, 100);
        },
        request: "198.51.100.7 40000 > 203.0.113.80 443 / 6",
        expected: &[(12, Exact)],
    },
    Row {
        name: "the same port seen with two protocols, none of them named",
        home: |house| {
            house.translated(11, UDP, 4000, 40000, 443, 100);
            house.translated(12, TCP, 4000, 40000, 443, 100);
        },
        request: "198.51.100.7 40000 > 203.0.113.80 443 / -",
        expected: &[(11, Possible), (12, Possible)],
    },
    Row {
        name: "the port a device uses inside is not the port seen outside",
        home: |house| {
            house.translated(11, UDP, 40000, 50000, 53, 100);
            house.translated(12, UDP, 4000, 40000, 53, 100);
        },
        request: "198.51.100.7 40000 > 203.0.113.80 53 / 17",
        expected: &[(12, Exact)],
    },
    Row {
        name: "several ports, several devices",
        home: |house| {
            house.translated(11, UDP, 1, 40000, 53, 100);
            house.translated(12, UDP, 1, 40001, 53, 100);
            house.translated(13, UDP, 1, 40002, 53, 100);
        },
        request: "198.51.100.7 40000,40002 > 203.0.113.80 53 / 17",
        expected: &[(11, Exact), (13, Exact)],
    },
    Row {
        name: "no target port: any",
        home: |house| {
            house.translated(11, UDP, 1, 40000, 53, 100);
            house.translated(12, UDP, 1, 40001, 123, 900);
        },
        request: "198.51.100.7 40001 > 203.0.113.80 - / -",
        expected: &[(12, Exact)],
    },
    Row {
        name: "a range of ports with one device in it",
        home: |house| {
            house.translated(11, UDP, 1, 40000, 53, 100);
            house.translated(12, UDP, 1, 50000, 53, 100);
        },
        request: "198.51.100.7 32768-49151 > 203.0.113.80 53 / 17",
        expected: &[(11, Likely)],
    },
    Row {
        name: "a range of ports with two devices in it: the busier first",
        home: |house| {
            house.translated(11, UDP, 1, 40000, 53, 10);
            house.translated(12, UDP, 1, 40001, 53, 1000);
        },
        request: "198.51.100.7 32768-49151 > 203.0.113.80 53 / 17",
        expected: &[(12, Possible), (11, Possible)],
    },
    Row {
        name: "no source port: the only one who sends to the target",
        home: |house| {
            house.translated(11, UDP, 1, 40000, 53, 100);
            house.flow(
                tuple(&v4(12), "203.0.113.81", UDP, ports(1, 53)),
                tuple("203.0.113.81", WAN_ADDRESS, UDP, ports(53, 1)),
                100,
            );
        },
        request: "198.51.100.7 - > 203.0.113.80 53 / 17",
        expected: &[(11, Likely)],
    },
    Row {
        name: "no source port: a flow that does not send proves nothing",
        home: |house| {
            house.translated(11, TCP, 1, 40000, 443, 0);
        },
        request: "198.51.100.7 - > 203.0.113.80 443 / 6",
        expected: &[(11, Possible)],
    },
    Row {
        name: "another port than the one named: only a hint, while it sends",
        home: |house| {
            house.translated(11, UDP, 1, 40000, 53, 100);
            house.translated(12, UDP, 1, 40001, 53, 0);
        },
        request: "198.51.100.7 55555 > 203.0.113.80 53 / 17",
        expected: &[(11, Possible)],
    },
    Row {
        name: "another port of the target: nobody",
        home: |house| {
            house.translated(11, UDP, 1, 40000, 123, 100);
        },
        request: "198.51.100.7 40000 > 203.0.113.80 53 / 17",
        expected: NOBODY,
    },
    Row {
        name: "another address of the router: nobody",
        home: |house| {
            house.translated(11, UDP, 1, 40000, 53, 100);
        },
        request: "192.0.2.99 40000 > 203.0.113.80 53 / 17",
        expected: NOBODY,
    },
    Row {
        name: "two upstreams: the one the request names",
        home: |house| {
            house.translated(11, UDP, 1, 40000, 53, 100);
            house.flow(
                tuple(&v4(12), VICTIM, UDP, ports(1, 53)),
                tuple(VICTIM, SECOND_ADDRESS, UDP, ports(53, 40000)),
                100,
            );
        },
        request: "192.0.2.99 40000 > 203.0.113.80 53 / 17",
        expected: &[(12, Exact)],
    },
    Row {
        name: "a wide target",
        home: |house| {
            house.translated(11, UDP, 1, 40000, 53, 100);
            house.translated(12, UDP, 1, 40001, 53, 100);
        },
        request: "198.51.100.7 40001 > 203.0.113.0/24 - / 17",
        expected: &[(12, Exact)],
    },
    Row {
        name: "a wide target, where one port serves two devices",
        home: |house| {
            house.translated(11, UDP, 1, 40000, 53, 100);
            house.flow(
                tuple(&v4(12), "203.0.113.99", UDP, ports(1, 53)),
                tuple("203.0.113.99", WAN_ADDRESS, UDP, ports(53, 40000)),
                900,
            );
        },
        request: "198.51.100.7 40000 > 203.0.113.0/24 53 / 17",
        expected: &[(12, Possible), (11, Possible)],
    },
    Row {
        name: "the router sends to the target as well",
        home: |house| {
            house.translated(11, UDP, 1, 40000, 53, 100);
            house.flow(
                tuple(WAN_ADDRESS, VICTIM, UDP, ports(5, 53)),
                tuple(VICTIM, WAN_ADDRESS, UDP, ports(53, 5)),
                900,
            );
        },
        request: "198.51.100.7 - > 203.0.113.80 53 / 17",
        expected: &[(11, Possible)],
    },
    Row {
        name: "the router itself is no device",
        home: |house| {
            house.flow(
                tuple(WAN_ADDRESS, VICTIM, UDP, ports(40000, 53)),
                tuple(VICTIM, WAN_ADDRESS, UDP, ports(53, 40000)),
                900,
            );
        },
        request: "198.51.100.7 40000 > 203.0.113.80 53 / 17",
        expected: NOBODY,
    },
    Row {
        name: "the router itself, though a device claims its address",
        home: |house| {
            house.neighbour(WAN_ADDRESS, LAN, Some(mac(17)));
            house.flow(
                tuple(WAN_ADDRESS, VICTIM, UDP, ports(40000, 53)),
                tuple(VICTIM, WAN_ADDRESS, UDP, ports(53, 40000)),
                900,
            );
        },
        request: "198.51.100.7 40000 > 203.0.113.80 53 / 17",
        expected: NOBODY,
    },
    Row {
        name: "the router itself from its address inside, though a device claims that",
        home: |house| {
            house.neighbour("192.168.1.1", LAN, Some(mac(17)));
            house.flow(
                tuple("192.168.1.1", VICTIM, UDP, ports(5, 53)),
                tuple(VICTIM, WAN_ADDRESS, UDP, ports(53, 40000)),
                900,
            );
        },
        request: "198.51.100.7 40000 > 203.0.113.80 53 / 17",
        expected: NOBODY,
    },
    Row {
        name: "a flow that ended after its address had changed hands",
        home: |house| {
            let id = house.translated(11, TCP, 1, 40000, 443, 0);
            house.neighbour(&v4(11), LAN, Some(mac(17)));
            house.end(id);
        },
        request: "198.51.100.7 40000 > 203.0.113.80 443 / 6",
        expected: &[(17, Possible)],
    },
    Row {
        name: "a device of the guest network that claims another's address",
        home: |house| {
            house.neighbour(&v4(11), GUEST, Some(mac(9)));
            house.neighbour(&v6(11), GUEST, Some(mac(9)));
            house.translated(11, UDP, 1, 40000, 53, 100);
        },
        request: "198.51.100.7 40000 > 203.0.113.80 53 / 17",
        expected: &[(11, Exact)],
    },
    Row {
        name: "a device that claims the address of another behind a router of the home",
        home: |house| {
            house.neighbour("192.168.50.20", LAN, Some(mac(17)));
            house.flow(
                tuple("192.168.50.20", VICTIM, UDP, ports(1, 53)),
                tuple(VICTIM, WAN_ADDRESS, UDP, ports(53, 40000)),
                100,
            );
        },
        request: "198.51.100.7 40000 > 203.0.113.80 53 / 17",
        expected: &[(18, Possible)],
    },
    Row {
        name: "an address that no link has: whoever answers to it",
        home: |house| {
            house.neighbour("10.9.9.9", LAN, Some(mac(17)));
            house.flow(
                tuple("10.9.9.9", VICTIM, UDP, ports(1, 53)),
                tuple(VICTIM, WAN_ADDRESS, UDP, ports(53, 40000)),
                100,
            );
        },
        request: "198.51.100.7 40000 > 203.0.113.80 53 / 17",
        expected: &[(17, Exact)],
    },
    Row {
        name: "somebody nobody knows sends to the target as well",
        home: |house| {
            house.translated(11, UDP, 1, 40000, 53, 100);
            house.translated(99, UDP, 1, 40001, 53, 100);
        },
        request: "198.51.100.7 - > 203.0.113.80 53 / 17",
        expected: &[(11, Possible)],
    },
    Row {
        name: "a device that serves a forwarded port answers to the target",
        home: |house| {
            let id = house.flow(
                tuple(VICTIM, WAN_ADDRESS, UDP, ports(7, 1900)),
                tuple("192.168.1.13", VICTIM, UDP, ports(1900, 7)),
                1,
            );
            house.kernel.rates.insert(id, (1, 5000));
            house.pass(Duration::from_secs(1));
        },
        request: "198.51.100.7 1900 > 203.0.113.80 7 / 17",
        expected: &[(13, Exact)],
    },
    Row {
        name: "a device that serves a forwarded port, found without its port",
        home: |house| {
            let id = house.flow(
                tuple(VICTIM, WAN_ADDRESS, UDP, ports(7, 1900)),
                tuple("192.168.1.13", VICTIM, UDP, ports(1900, 7)),
                1,
            );
            house.kernel.rates.insert(id, (1, 5000));
            house.pass(Duration::from_secs(1));
        },
        request: "198.51.100.7 - > 203.0.113.80 - / -",
        expected: &[(13, Likely)],
    },
    Row {
        name: "a device that never answered has sent nothing",
        home: |house| {
            house.flow(
                tuple(VICTIM, WAN_ADDRESS, UDP, ports(7, 1900)),
                tuple("192.168.1.13", VICTIM, UDP, ports(1900, 7)),
                1000,
            );
        },
        request: "198.51.100.7 - > 203.0.113.80 - / -",
        expected: NOBODY,
    },
    Row {
        name: "IPv6 by address alone",
        home: |house| {
            house.untranslated(&v6(11), UDP, 4000, 53, 100);
            house.untranslated(&v6(12), UDP, 4000, 53, 100);
        },
        request: "2001:db8:123::b > 2001:db8:c000::80 - / -",
        expected: &[(11, Exact)],
    },
    Row {
        name: "IPv6 by address and port",
        home: |house| {
            house.untranslated(&v6(11), UDP, 4000, 53, 100);
        },
        request: "2001:db8:123::b 4000 > 2001:db8:c000::80 53 / 17",
        expected: &[(11, Exact)],
    },
    Row {
        name: "IPv6, the home's prefix",
        home: |house| {
            house.untranslated(&v6(11), UDP, 4000, 53, 100);
            house.untranslated(&v6(12), UDP, 4000, 99, 100);
        },
        request: "2001:db8:123::/64 - > 2001:db8:c000::80 53 / 17",
        expected: &[(11, Likely)],
    },
    Row {
        name: "IPv6, the home's prefix and two devices",
        home: |house| {
            house.untranslated(&v6(11), UDP, 4000, 53, 100);
            house.untranslated(&v6(12), UDP, 4000, 53, 100_000);
        },
        request: "2001:db8:123::/64 - > 2001:db8:c000::/48 - / -",
        expected: &[(12, Possible), (11, Possible)],
    },
    Row {
        name: "IPv6, an address with an owner but no flow to show for it",
        home: |house| {
            house.untranslated(&v6(12), UDP, 4000, 53, 100);
        },
        request: "2001:db8:123::b - > 2001:db8:c000::80 - / -",
        expected: &[(11, Possible)],
    },
    Row {
        name: "both families in one request",
        home: |house| {
            house.translated(11, UDP, 1, 40000, 53, 100);
            house.untranslated(&v6(12), UDP, 40000, 53, 100);
        },
        request: "198.51.100.7,2001:db8:123::c 40000 > 203.0.113.80,2001:db8:c000::80 53 / 17",
        expected: &[(11, Exact), (12, Exact)],
    },
    Row {
        name: "a privacy address of the device",
        home: |house| {
            house.neighbour("2001:db8:123::aaaa:bbbb", LAN, Some(mac(14)));
            house.untranslated("2001:db8:123::aaaa:bbbb", TCP, 4000, 443, 100);
        },
        request: "2001:db8:123::aaaa:bbbb - > 2001:db8:c000::80 443 / 6",
        expected: &[(14, Exact)],
    },
    Row {
        name: "a source inside the home, named as such",
        home: |house| {
            house.translated(11, UDP, 4000, 40000, 53, 100);
            house.translated(12, UDP, 4000, 40001, 53, 100);
        },
        request: "192.168.1.12 - > 203.0.113.80 53 / 17",
        expected: &[(12, Exact)],
    },
    Row {
        name: "a source inside the home, with the port it uses there",
        home: |house| {
            house.translated(11, UDP, 4000, 40000, 53, 100);
            house.translated(12, UDP, 4000, 40001, 53, 100);
        },
        request: "192.168.1.11 4000 > 203.0.113.80 53 / 17",
        expected: &[(11, Exact)],
    },
    Row {
        name: "the guest network",
        home: |house| {
            house.neighbour("192.168.2.44", GUEST, Some(mac(44)));
            house.flow(
                tuple("192.168.2.44", VICTIM, UDP, ports(1, 53)),
                tuple(VICTIM, WAN_ADDRESS, UDP, ports(53, 40000)),
                100,
            );
        },
        request: "198.51.100.7 40000 > 203.0.113.80 53 / 17",
        expected: &[(44, Exact)],
    },
    Row {
        name: "behind another router of the home",
        home: |house| {
            house.flow(
                tuple("192.168.50.20", VICTIM, UDP, ports(1, 53)),
                tuple(VICTIM, WAN_ADDRESS, UDP, ports(53, 40000)),
                100,
            );
        },
        request: "198.51.100.7 40000 > 203.0.113.80 53 / 17",
        expected: &[(18, Possible)],
    },
    Row {
        name: "a protocol without ports",
        home: |house| {
            let side = |from: &str, to: &str| tuple(from, to, 47, Detail::None);
            house.flow(side(&v4(11), VICTIM), side(VICTIM, WAN_ADDRESS), 100);
            house.translated(12, UDP, 1, 2, 53, 100);
        },
        request: "198.51.100.7 - > 203.0.113.80 - / 47",
        expected: &[(11, Likely)],
    },
    Row {
        name: "ports mean protocols that have them",
        home: |house| {
            let side = |from: &str, to: &str| tuple(from, to, 47, Detail::None);
            house.flow(side(&v4(11), VICTIM), side(VICTIM, WAN_ADDRESS), 100);
            house.translated(12, UDP, 1, 40000, 53, 100);
        },
        request: "198.51.100.7 40000 > 203.0.113.80 - / -",
        expected: &[(12, Exact)],
    },
    Row { name: "nobody at all", home: |_| {}, request: "198.51.100.7 40000 > 203.0.113.80 53 / 17", expected: NOBODY },
    Row {
        name: "a flow that has ended",
        home: |house| {
            let id = house.translated(11, UDP, 1, 40000, 53, 100);
            house.end(id);
            house.pass(Duration::from_secs(120));
        },
        request: "198.51.100.7 40000 > 203.0.113.80 53 / 17",
        expected: &[(11, Exact)],
    },
    Row {
        name: "a flow that has ended, without its port",
        home: |house| {
            let id = house.translated(11, UDP, 1, 40000, 53, 100);
            house.end(id);
        },
        request: "198.51.100.7 - > 203.0.113.80 53 / 17",
        expected: &[(11, Possible)],
    },
    Row {
        name: "a flow that has ended, whose port is another device's now",
        home: |house| {
            let id = house.translated(11, UDP, 1, 40000, 53, 100);
            house.end(id);
            house.translated(12, UDP, 1, 40000, 53, 100);
        },
        request: "198.51.100.7 40000 > 203.0.113.80 53 / 17",
        expected: &[(12, Possible), (11, Possible)],
    },
    Row {
        name: "a flow that has ended, of a device whose address is another's now",
        home: |house| {
            let id = house.translated(11, UDP, 1, 40000, 53, 100);
            house.end(id);
            house.neighbour(&v4(11), LAN, Some(mac(17)));
        },
        request: "198.51.100.7 40000 > 203.0.113.80 53 / 17",
        expected: &[(11, Exact)],
    },
    Row {
        name: "an idle flow, from an address that has changed hands",
        home: |house| {
            house.translated(11, TCP, 1, 40000, 443, 0);
            house.neighbour(&v4(11), LAN, Some(mac(17)));
        },
        request: "198.51.100.7 40000 > 203.0.113.80 443 / 6",
        expected: &[(17, Possible)],
    },
    Row {
        name: "a flow that sends, from an address that has changed hands",
        home: |house| {
            house.translated(11, TCP, 1, 40000, 443, 100);
            house.neighbour(&v4(11), LAN, Some(mac(17)));
        },
        request: "198.51.100.7 40000 > 203.0.113.80 443 / 6",
        expected: &[(17, Possible)],
    },
];

fn home() -> House {
    let mut kernel = Kernel::new();
    kernel.add_second_upstream();
    kernel.routes.push(Route::new("192.168.50.0/24", Some("192.168.1.18"), LAN));
    for n in 11..=18 {
        kernel.neighbours.insert((ip(&v4(n)), LAN), mac(n));
        kernel.neighbours.insert((ip(&v6(n)), LAN), mac(n));
    }
    House::of(kernel)
}

/// What a provider that looks for nothing would write: a dash where a word is left out.
fn request(text: &str) -> Scope {
    let text = if text.split_whitespace().count() == 6 { text.replacen(" >", " - >", 1) } else { text.to_owned() };
    scope(&text)
}

/// Proves CH-5.3.2-05, CH-5.3.2-06, CH-5.3.2-07, CH-5.3.2-09 in the large: who is found is who it is, or nobody sure.
#[test]
fn the_table() {
    let mut failures = Vec::new();
    for row in TABLE {
        let mut house = home();
        (row.home)(&mut house);
        house.search(1, &request(row.request));
        house.pass(Duration::from_secs(20));
        let expected: Vec<_> = row.expected.iter().map(|(n, confidence)| (mac(*n), *confidence)).collect();
        let verdict = house.verdict(1);
        if verdict != expected {
            failures.push(format!("{}: {verdict:?}, not {expected:?}", row.name));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// In a home full of others who talk to the same target, the table's answers are the same or less sure, never another
/// device's.
#[test]
fn the_table_in_a_crowd() {
    for row in TABLE {
        let mut house = home();
        for n in 20..60 {
            house.neighbour(&v4(n), LAN, Some(mac(n)));
            house.translated(n, UDP, 1000, 1000 + u16::from(n), 53, 3);
            house.translated(n, TCP, 1000, 1000 + u16::from(n), 443, 3);
        }
        (row.home)(&mut house);
        house.search(1, &request(row.request));
        house.pass(Duration::from_secs(20));
        for (found, confidence) in house.verdict(1) {
            let expected = row.expected.iter().find(|(n, _)| mac(*n) == found).map(|(_, confidence)| *confidence);
            let sure = confidence >= Likely;
            assert!(!sure || expected == Some(confidence), "{}: {found} {confidence:?}", row.name);
        }
    }
}

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
