//! Flows that rules keep apart in zones of conntrack: a request names none, and one port may be given away in each.

use crate::support::source::*;
use dots_callhome::model::Tuple;
use dots_callhome::source::Confidence::{Exact, Possible};

const EXACT: &str = "198.51.100.7 40000 > 203.0.113.80 53 / 17";
const BOTH: (u16, u16) = (7, 7);

/// A flow from a device, seen from port 40000, in a zone as it is opened and one as it is answered.
fn flow(house: &mut TestRouter, device: u8, zones: (u16, u16)) -> u32 {
    let id = house.translated(device, UDP, 4000, 40000, 53, 100);
    let flow = house.kernel.flows.iter_mut().find(|flow| flow.id == id).unwrap();
    flow.original = Tuple { zone: zones.0, ..flow.original };
    flow.reply = Tuple { zone: zones.1, ..flow.reply };
    id
}

/// A flow of device 11 in zone 0 and one of device 12 in zone 7, seen from the same port.
fn same_port(house: &mut TestRouter) {
    flow(house, 11, (0, 0));
    flow(house, 12, BOTH);
}

/// The kernel answers a lookup with the flow of device 11 alone.
fn assert_undecided(house: &mut TestRouter) {
    house.search(1, &scope(EXACT));
    house.pass(seconds(20));
    assert_eq!(house.ever_sure(1), []);
    let mut verdict = house.verdict(1);
    verdict.sort();
    assert_eq!(verdict, [(mac(11), Possible), (mac(12), Possible)]);
}

#[test]
fn flows_there_before_the_daemon_show_that_zones_are_in_use() {
    let mut house = TestRouter::with_devices(2);
    same_port(&mut house);
    assert_undecided(&mut TestRouter::on(house.kernel));
}

/// Even one that began while nobody was searched for.
#[test]
fn a_flow_that_begins_shows_that_zones_are_in_use() {
    for zones in [BOTH, (7, 0), (0, 7)] {
        let mut house = TestRouter::with_devices(2);
        let other = flow(&mut house, 12, zones);
        house.announce(other);
        house.kernel.flows.clear();
        same_port(&mut house);
        assert_undecided(&mut house);
    }
}

#[test]
fn a_flow_that_ends_shows_that_zones_are_in_use() {
    let mut house = TestRouter::with_devices(3);
    let other = flow(&mut house, 13, BOTH);
    house.kernel.flows[0].original.source = ip("192.168.1.99");
    house.end(other);
    same_port(&mut house);
    house.pass(seconds(601));
    assert_undecided(&mut house);
}

/// What can't be listed may well be there.
#[test]
fn without_a_list_zones_may_be_in_use() {
    let mut house = TestRouter::with_devices(2);
    same_port(&mut house);
    house.kernel.list_error = Some(1);
    let mut house = TestRouter::on(house.kernel);
    house.kernel.list_error = None;
    assert_undecided(&mut house);
}

/// Where zones are in use but not for this port it is as sure as ever, whichever zone the flow is in.
#[test]
fn a_port_given_away_in_one_zone_only_is_exact() {
    for zones in [(0, 0), BOTH, (7, 0), (0, 7)] {
        let mut house = TestRouter::with_devices(3);
        flow(&mut house, 11, zones);
        house.translated(12, UDP, 4000, 40001, 53, 100);
        let mut house = TestRouter::on(house.kernel);
        house.search(1, &scope(EXACT));
        assert_eq!(house.verdict(1), [(mac(11), Exact)], "{zones:?}");
        house.pass(seconds(2));
        let evidence = &house.last(1).unwrap()[0].evidence;
        assert_eq!(evidence[0].rate.packets, 100, "read again in its zone: {zones:?}");
    }
}

#[test]
fn a_flow_that_has_ended_in_a_zone_is_the_same_flow_still() {
    let mut house = TestRouter::with_devices(2);
    let id = flow(&mut house, 11, (7, 0));
    house.search(1, &scope(EXACT));
    house.end(id);
    house.search(1, &scope(EXACT));
    house.pass(seconds(20));
    assert_eq!(house.verdict(1), [(mac(11), Exact)]);
    assert_eq!(house.last(1).unwrap()[0].evidence.len(), 1);
}
