//! Long looks are cut into turns, so that nobody else has to wait: whatever a provider asks about, a turn does only so much.

use std::time::Instant;

use dots_callhome::model::{MitigationId, Scope};
use dots_callhome::source::{Confidence, Socket};

use crate::support::source::*;

const UDP: u8 = 17;

/// A home that remembers as many ended flows as it can, all to the victim.
fn remembering() -> TestRouter {
    let mut house = TestRouter::with_devices(2);
    for chunk in 0..50_u32 {
        let messages = (0..100).flat_map(|n| {
            let (from, to) = (1 + (chunk * 100 + n) as u16, 53);
            let flow = dots_callhome::model::Flow {
                id: chunk * 100 + n,
                original: tuple(&v4(11), VICTIM, UDP, ports(from, to)),
                reply: tuple(VICTIM, WAN_ADDRESS, UDP, ports(to, from)),
                sent: None,
                answered: None,
                offloaded: false,
            };
            messages::flow(0x102, 0, 0, &flow)
        });
        house.finder.handle_datagram(Socket::ConntrackEvents, &messages.collect::<Vec<_>>(), house.now);
    }
    house
}

/// As many targets as a request may name, the victim last.
fn wide(n: u8) -> Scope {
    let mut scope = scope("198.51.100.7 - > 203.0.113.80 - / 17");
    scope.target_prefixes = (0..255).map(|i| net(&format!("192.{n}.{i}.0/24"))).collect();
    scope.target_prefixes.push(net("203.0.113.80/32"));
    scope
}

/// The largest requests over the fullest memory take many turns, none of which is long, and come to the right end. The
/// slowest router is some thirty times slower than what runs this; the bound here is generous, as others run beside it.
#[test]
fn the_largest_looks_take_many_turns() {
    let mut house = remembering();
    for n in 0..4 {
        house.finder.start_search(MitigationId(n.into()), &wide(n), house.now);
    }
    let (mut turns, mut longest) = (0, std::time::Duration::ZERO);
    while house.finder.poll_timeout().is_some_and(|due| due <= house.now.instant) {
        let start = Instant::now();
        house.finder.handle_timeout(house.now);
        longest = longest.max(start.elapsed());
        turns += 1;
        assert!(turns < 10_000, "it never ends");
    }
    assert!((100..1000).contains(&turns), "{turns} turns");
    println!("{turns} turns, the longest {longest:?}");
    house.settle();
    house.pass(std::time::Duration::ZERO);
    for n in 0..4 {
        assert_eq!(house.verdict(n).len(), 1, "search {n}");
    }
}

/// A request about one target is looked at in a turn or two even then, unless all that is remembered went there.
#[test]
fn an_ordinary_look_is_short() {
    let mut house = remembering();
    house.finder.start_search(MitigationId(1), &scope("198.51.100.7 4021 > 203.0.113.99 53 / 17"), house.now);
    let mut turns = 0;
    while house.finder.poll_timeout().is_some_and(|due| due <= house.now.instant) {
        house.finder.handle_timeout(house.now);
        turns += 1;
    }
    assert!(turns <= 2, "{turns} turns");
}

/// A late answer has a number of those that are looked up, also while a list is awaited.
#[test]
fn an_answer_that_nobody_awaits_changes_nothing() {
    let mut house = TestRouter::with_devices(2);
    house.translated(11, UDP, 4000, 40000, 53, 100);
    house.finder.start_search(MitigationId(1), &scope("198.51.100.7 - > 203.0.113.80 53 / 17"), house.now);
    while let Some((socket, request)) = house.finder.poll_transmit() {
        for number in [0, 7, u32::MAX] {
            house.finder.handle_datagram(socket, &messages::error(2, number), house.now);
        }
        for answer in house.kernel.answer(&request) {
            house.finder.handle_datagram(socket, &answer, house.now);
        }
    }
    house.settle();
    assert_eq!(house.verdict(1), [(mac(11), Confidence::Possible)]);
}
