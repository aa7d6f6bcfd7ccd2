//! Who is none of the devices, who is no longer there, and who claims to be somebody else: a table of homes and requests,
//! and who may be found.

use std::time::Duration;

use crate::support::source::table::{NOBODY, Row, check, check_in_a_crowd};
use crate::support::source::*;
use dots_callhome::source::Confidence::{Exact, Possible};

const TABLE: &[Row] = &[
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
        expected: &[(11, Possible), (17, Possible)],
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
            house.translated_from("192.168.50.20", UDP, 1, 40000, 53, 100);
        },
        request: "198.51.100.7 40000 > 203.0.113.80 53 / 17",
        expected: &[(18, Possible)],
    },
    Row {
        name: "an address that no link has: whoever answers to it",
        home: |house| {
            house.neighbour("10.9.9.9", LAN, Some(mac(17)));
            house.translated_from("10.9.9.9", UDP, 1, 40000, 53, 100);
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
        name: "behind another router of the home",
        home: |house| {
            house.translated_from("192.168.50.20", UDP, 1, 40000, 53, 100);
        },
        request: "198.51.100.7 40000 > 203.0.113.80 53 / 17",
        expected: &[(18, Possible)],
    },
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
        name: "a flow that has ended of the router itself, whose port is a device's now",
        home: |house| {
            let id = house.flow(
                tuple(WAN_ADDRESS, VICTIM, UDP, ports(40000, 53)),
                tuple(VICTIM, WAN_ADDRESS, UDP, ports(53, 40000)),
                100,
            );
            house.end(id);
            house.translated(12, UDP, 1, 40000, 53, 100);
        },
        request: "198.51.100.7 40000 > 203.0.113.80 53 / 17",
        expected: &[(12, Possible)],
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
        expected: &[(11, Possible), (17, Possible)],
    },
    Row {
        name: "a flow that sends, from an address that has changed hands",
        home: |house| {
            house.translated(11, TCP, 1, 40000, 443, 100);
            house.neighbour(&v4(11), LAN, Some(mac(17)));
        },
        request: "198.51.100.7 40000 > 203.0.113.80 443 / 6",
        expected: &[(11, Possible), (17, Possible)],
    },
];

/// Proves CH-5.3.2-06 where it is hard: nobody is sure where nobody can be.
#[test]
fn the_table() {
    check(TABLE);
}

#[test]
fn the_table_in_a_crowd() {
    check_in_a_crowd(TABLE);
}
