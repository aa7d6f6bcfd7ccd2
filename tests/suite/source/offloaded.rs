//! Flows that a flow table forwards: no rule sees their packets, so no rule notes who sends them.

use std::time::Duration;

use crate::support::source::table::home;
use crate::support::source::*;
use dots_callhome::source::Confidence::{Exact, Possible};

const BY_PORT: &str = "198.51.100.7 40000 > 203.0.113.80 53 / 17";

/// A flow with the address of device 11 that sends, offloaded and older than the table; device 11 sends besides.
fn older() -> TestRouter {
    let mut house = home();
    let original = tuple(&v4(11), VICTIM, UDP, ports(1, 53));
    let id = house.borrowed_flow(original, tuple(VICTIM, WAN_ADDRESS, UDP, ports(53, 40000)), 100);
    house.kernel.noted = None;
    house.kernel.flows[0].offloaded = true;
    let kernel = std::mem::replace(&mut house.kernel, Kernel::new());
    let mut house = TestRouter::on(kernel);
    house.kernel.rates.insert(id, (100, 0));
    house.opens(mac(11), &v4(11), LAN);
    house
}

/// Proves CH-5.3.2-06 against a device that sends in the name of a neighbour, past all rules: that one is not caught for
/// sending something else meanwhile, nor for what it is noted for.
#[test]
fn an_older_one_makes_nobody_sure() {
    let mut house = older();
    house.search(1, &scope(BY_PORT));
    for _ in 0..30 {
        house.pass(Duration::from_secs(2));
        house.witness(1, mac(11), &v4(11), LAN);
    }
    assert_eq!(house.verdict(1), [(mac(11), Possible)]);
    assert_eq!(house.ever_sure(1), []);
}

/// Others that old have been noted by then, or have ended.
#[test]
fn an_older_one_is_older_for_good() {
    let mut house = older();
    house.pass(Duration::from_secs(700));
    house.kernel.noted.as_mut().unwrap().young = false;
    house.search(1, &scope(BY_PORT));
    house.pass(Duration::from_secs(60));
    assert_eq!(house.verdict(1), [(mac(11), Possible)]);
    assert_eq!(house.ever_sure(1), []);
    house.kernel.flows[0].offloaded = false;
    house.search(2, &scope(BY_PORT));
    assert_eq!(house.verdict(2), [(mac(11), Exact)]);
}

/// When it ends the kernel no longer says that it was offloaded.
#[test]
fn an_older_one_that_has_ended_makes_nobody_sure() {
    let mut house = older();
    house.pass(Duration::from_secs(700));
    house.kernel.noted.as_mut().unwrap().young = false;
    house.search(1, &scope(BY_PORT));
    let id = house.kernel.flows[0].id;
    house.kernel.flows[0].offloaded = false;
    house.end(id);
    house.search(2, &scope(BY_PORT));
    house.pass(Duration::from_secs(5));
    assert_eq!((house.verdict(2), house.ever_sure(2)), (vec![(mac(11), Possible)], vec![]));
}

/// Whoever opens a flow is noted before it is offloaded.
#[test]
fn whoever_was_noted_is_sure_at_once() {
    let mut house = home();
    house.translated(11, UDP, 1, 40000, 53, 100);
    house.kernel.flows[0].offloaded = true;
    house.search(1, &scope(BY_PORT));
    assert_eq!(house.verdict(1), [(mac(11), Exact)]);
}
