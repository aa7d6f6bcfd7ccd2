//! Whom the provider does not listen to for a while.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::support::home::{ip, seconds};
use dots_callhome::transport::drop_list::DropList;

/// As many failures as lead to being dropped, one a second.
fn fail(list: &mut DropList, source: &str, times: u64, begin: Instant) -> Vec<bool> {
    (0..times).map(|n| list.failed(ip(source), begin + seconds(n))).collect()
}

/// Proves CH-8-04.
#[test]
fn who_fails_too_often_is_dropped_for_a_while() {
    let (mut list, start) = (DropList::default(), Instant::now());
    assert!(fail(&mut list, "192.0.2.1", 9, start).iter().all(|dropped| !dropped));
    assert!(!list.is_dropped(ip("192.0.2.1"), start + seconds(9)));
    assert!(list.failed(ip("192.0.2.1"), start + seconds(9)));
    assert!(list.is_dropped(ip("192.0.2.1"), start + seconds(9)));
    assert!(list.is_dropped(ip("::ffff:192.0.2.1"), start + seconds(9)), "the same in another form");
    assert!(!list.is_dropped(ip("192.0.2.2"), start + seconds(9)), "others are unaffected");
    assert!(list.is_dropped(ip("192.0.2.1"), start + seconds(608)));
    assert!(!list.is_dropped(ip("192.0.2.1"), start + seconds(609)));
    assert!(fail(&mut list, "192.0.2.1", 9, start + seconds(610)).iter().all(|dropped| !dropped), "a new start");
}

/// Handshakes that were under way when it was dropped don't make it longer.
#[test]
fn being_dropped_once_is_enough() {
    let (mut list, start) = (DropList::default(), Instant::now());
    fail(&mut list, "192.0.2.1", 10, start);
    assert!(fail(&mut list, "192.0.2.1", 100, start + seconds(10)).iter().all(|dropped| !dropped));
    assert!(!list.is_dropped(ip("192.0.2.1"), start + seconds(609)));
}

#[test]
fn a_router_that_is_only_misconfigured_stays_heard() {
    let (mut list, start) = (DropList::default(), Instant::now());
    for attempt in 0..100 {
        // Four ways to call, every five minutes.
        let dropped = fail(&mut list, "192.0.2.1", 4, start + seconds(300 * attempt));
        assert!(dropped.iter().all(|dropped| !dropped));
    }
}

/// Proves CH-8-04: whoever owns a prefix has all its addresses.
#[test]
fn an_ipv6_source_is_its_prefix() {
    let (mut list, start) = (DropList::default(), Instant::now());
    for n in 0..10 {
        list.failed(ip(&format!("2001:db8::{n}:1")), start);
    }
    assert!(list.is_dropped(ip("2001:db8::ffff:1"), start));
    assert!(!list.is_dropped(ip("2001:db8:0:1::1"), start));
}

#[test]
fn no_flood_of_sources_fills_the_memory_or_frees_the_dropped_at_once() {
    let (mut list, start) = (DropList::default(), Instant::now());
    let source = |n: u32| IpAddr::from(n.to_be_bytes());
    for n in 0..20_000 {
        list.failed(source(n), start + Duration::from_millis(n.into()));
    }
    let late = start + seconds(21);
    for _ in 0..10 {
        list.failed(ip("192.0.2.1"), late);
    }
    for n in 20_000..30_000 {
        list.failed(source(n), late + seconds(1));
    }
    assert!(list.is_dropped(ip("192.0.2.1"), late + seconds(1)));
    // The oldest had to make room: their failures count anew.
    assert!((0..9).all(|_| !list.failed(source(0), late + seconds(2))));
}
