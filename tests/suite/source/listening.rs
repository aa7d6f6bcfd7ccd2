//! How much of the flows that come and go is listened to: a busy home costs nothing while nobody is searched for.

use std::time::{Duration, Instant};

use crate::support::kernel::messages;
use crate::support::source::*;
use dots_callhome::model::MitigationId;
use dots_callhome::source::{Confidence, Socket};

const EXACT: &str = "198.51.100.7 40000 > 203.0.113.80 53 / 17";

/// So many flows end at once; when the next are to be read.
fn end_flows(house: &mut TestRouter, count: u16) -> Option<Instant> {
    for n in 0..count {
        let id = house.translated(11, UDP, 1000 + n, 20_000 + n, 443, 0);
        let at = house.kernel.flows.iter().position(|flow| flow.id == id).unwrap();
        let flow = house.kernel.flows.remove(at);
        house.finder.handle_datagram(Socket::ConntrackEvents, &messages::flow(0x102, 0, 0, &flow), house.now);
    }
    house.finder.listening().read_at
}

#[test]
fn flows_that_begin_are_heard_of_only_while_somebody_is_searched_for() {
    let mut house = TestRouter::with_devices(2);
    assert!(!house.finder.listening().new_flows);
    house.search(1, &scope(EXACT));
    house.search(2, &scope(EXACT));
    assert!(house.finder.listening().new_flows);
    house.finder.end_search(MitigationId(1));
    assert!(house.finder.listening().new_flows);
    house.finder.end_search(MitigationId(2));
    assert!(!house.finder.listening().new_flows);
}

/// Without the table of senders nobody else would notice a flow in a zone.
#[test]
fn flows_that_begin_are_heard_of_where_no_table_notes_zones() {
    let mut house = TestRouter::with_devices(2);
    (house.kernel.noted, house.kernel.nft_fails) = (None, true);
    house.tables_changed();
    assert!(house.finder.listening().new_flows);
    house.kernel.nft_fails = false;
    house.pass(seconds(600));
    // One that it refuses may be one that knows no zones: it is given other rules in turn.
    assert!(!house.nft_runs.last().unwrap().contains("ct zone") && house.kernel.noted.is_some());
    assert!(house.finder.listening().new_flows);
}

/// Twice a tenth of a second's worth fits the receive buffer that every system grants.
#[test]
fn flows_that_end_are_read_many_at_a_time() {
    let mut house = TestRouter::with_devices(2);
    let millis = Duration::from_millis;
    assert_eq!(end_flows(&mut house, 1), Some(house.now.instant + millis(100)));
    house.pass(millis(100));
    assert_eq!(end_flows(&mut house, 100), Some(house.now.instant + millis(100)));
    house.pass(millis(100));
    assert_eq!(end_flows(&mut house, 500), Some(house.now.instant + millis(20)), "5,000 a second");
    house.pass(millis(20));
    assert_eq!(end_flows(&mut house, 100), Some(house.now.instant + millis(20)), "as before");
    house.overrun(Socket::ConntrackEvents);
    assert_eq!(house.finder.listening().read_at, Some(house.now.instant + millis(10)));
    house.pass(millis(10));
    assert_eq!(end_flows(&mut house, 10), Some(house.now.instant + millis(100)));
}

#[test]
fn flows_that_end_are_read_as_they_come_while_somebody_is_searched_for() {
    let mut house = TestRouter::with_devices(2);
    end_flows(&mut house, 100);
    house.search(1, &scope(EXACT));
    assert_eq!(house.finder.listening().read_at, None);
}

/// What waited at the socket when the search began is evidence as well.
#[test]
fn a_flow_that_ended_unread_is_found() {
    let mut house = TestRouter::with_devices(2);
    let id = house.translated(11, UDP, 4000, 40000, 53, 100);
    let flow = house.kernel.flows.remove(0);
    house.search(1, &scope(EXACT));
    house.event(Socket::ConntrackEvents, &messages::flow(0x102, 0, 0, &flow));
    house.pass(seconds(1));
    assert_eq!((flow.id, house.verdict(1)), (id, vec![(mac(11), Confidence::Exact)]));
}
