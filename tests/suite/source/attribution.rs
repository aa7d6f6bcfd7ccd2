//! Whom a request speaks of: a table of homes and requests, and who must be found.

use std::time::Duration;

use crate::support::source::table::{NOBODY, Row, check, check_in_a_crowd};
use crate::support::source::*;
use dots_callhome::model::Detail;
use dots_callhome::source::Confidence::{Exact, Likely, Possible};

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
            house.translated_from("192.168.2.44", UDP, 1, 40000, 53, 100);
        },
        request: "198.51.100.7 40000 > 203.0.113.80 53 / 17",
        expected: &[(44, Exact)],
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
];

/// Proves CH-5.3.2-05, CH-5.3.2-06, CH-5.3.2-07, CH-5.3.2-09 in the large: who is found is who it is, or nobody sure.
#[test]
fn the_table() {
    check(TABLE);
}

#[test]
fn the_table_in_a_crowd() {
    check_in_a_crowd(TABLE);
}
