//! What has not been seen is no proof: flows that have ended, looks that failed or are not over, more than can be kept.

use std::time::Duration;

use dots_callhome::model::{MitigationId, Tuple};
use dots_callhome::source::Confidence::{Exact, Likely, Possible};
use dots_callhome::source::{Finder, Socket};

use crate::support::source::table::home;
use crate::support::source::*;

const BY_PORT: &str = "198.51.100.7 40000 > 203.0.113.80 53 / 17";
const ANY_PORT: &str = "198.51.100.7 - > 203.0.113.80 53 / 17";

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// A list that fails is no look: another device may fit as well. Nor is a flow an attack that was seen to send, but has ended
/// by the time that all has been looked at.
#[test]
fn a_failed_look_makes_nobody_likely() {
    for ends in [false, true] {
        let mut house = home();
        house.kernel.list_error = Some(1);
        house.search(1, &scope(ANY_PORT));
        let id = house.translated(11, UDP, 1, 40000, 53, 100);
        house.announce(id);
        house.pass(seconds(5));
        assert_eq!(house.verdict(1), [(mac(11), Possible)]);
        assert_eq!(house.ever_sure(1), []);
        if ends {
            house.end(id);
        }
        house.kernel.list_error = None;
        house.pass(seconds(120));
        assert_eq!(house.verdict(1), [(mac(11), if ends { Possible } else { Likely })]);
    }
}

/// Somebody unknown has been seen by the look before: until this one is over he counts.
#[test]
fn somebody_unknown_counts_until_the_next_look_is_over() {
    let mut house = home();
    for port in 0..40 {
        house.translated(11, UDP, 1000 + port, 40_000 + port, 53, 100);
    }
    house.translated(99, UDP, 1, 41_000, 53, 100);
    house.search(1, &scope(ANY_PORT));
    house.pass(Duration::from_millis(999));
    assert_eq!(house.verdict(1), [(mac(11), Possible)]);
    // The next look: its first datagram speaks of device 11 alone.
    house.now = house.now.after(Duration::from_millis(1));
    house.finder.handle_timeout(house.now);
    let requests = std::iter::from_fn(|| house.finder.poll_transmit()).collect::<Vec<_>>();
    let mut lists = 0;
    for (socket, request) in requests {
        let mut answers = house.kernel.answer(&request);
        if socket == Socket::Conntrack && answers.len() > 1 && lists == 0 {
            lists += 1;
            answers.truncate(1);
        }
        answers.iter().for_each(|answer| house.finder.handle_datagram(socket, answer, house.now));
    }
    house.now = house.now.after(Duration::from_millis(200));
    house.finder.handle_timeout(house.now);
    house.settle();
    assert_eq!(house.ever_sure(1), []);
}

/// With more devices than are kept, one of those left out may have the very port.
#[test]
fn a_device_left_out_may_be_the_one() {
    let mut house = home();
    house.translated(11, UDP, 1, 40000, 53, 100);
    for n in 100..163 {
        house.neighbour(&v4(n), LAN, Some(mac(n)));
        house.translated(n, UDP, 1, 30_000 + u16::from(n), 53, 100);
    }
    let id = house.translated(12, UDP, 1, 40000, 53, 100);
    let flow = house.kernel.flows.iter_mut().find(|flow| flow.id == id).unwrap();
    flow.original = Tuple { zone: 7, ..flow.original };
    flow.reply = Tuple { zone: 7, ..flow.reply };
    house.announce(id);
    house.search(1, &scope(BY_PORT));
    house.pass(seconds(20));
    assert_eq!(house.ever_sure(1), []);
}

/// Two who use an address that nobody has.
#[test]
fn two_who_use_one_address_are_both_possible() {
    let mut house = home();
    house.translated(99, UDP, 1, 40000, 53, 100);
    house.opens(mac(16), &v4(99), LAN);
    house.opens(mac(17), &v4(99), LAN);
    house.search(1, &scope(BY_PORT));
    house.pass(seconds(20));
    assert_eq!(house.ever_sure(1), []);
    let mut shown = house.verdict(1);
    shown.sort();
    assert_eq!(shown, [(mac(16), Possible), (mac(17), Possible)]);
}

/// Before the links are known nobody can tell who may have an address.
#[test]
fn nobody_is_taken_for_a_neighbour_before_the_links_are_known() {
    let mut house = home();
    house.finder = Finder::new();
    house.neighbour("192.168.50.20", LAN, Some(mac(17)));
    assert_eq!(house.finder.inventory().mac_of(ip("192.168.50.20")), None);
    house.translated_from("192.168.50.20", UDP, 1, 40000, 53, 100);
    house.search(1, &scope(BY_PORT));
    assert!(house.verdict(1).iter().all(|found| *found != (mac(17), Exact)));
    house.finder.end_search(MitigationId(1));
}
