//! How a search goes over time: first word, new flows, ended flows, new neighbours, losses, and how much is asked.

use std::time::Duration;

use crate::support::source::*;
use dots_callhome::model::MitigationId;
use dots_callhome::source::Confidence::{Exact, Likely, Possible};
use dots_callhome::source::Socket;

const EXACT: &str = "198.51.100.7 40000 > 203.0.113.80 53 / 17";
const ANY_PORT: &str = "198.51.100.7 - > 203.0.113.80 53 / 17";

#[test]
fn an_exact_request_is_answered_by_lookups_alone_and_at_once() {
    let mut house = TestRouter::with_devices(2);
    house.translated(11, UDP, 4000, 40000, 53, 100);
    house.search(1, &scope(EXACT));
    assert_eq!(house.verdict(1), [(mac(11), Exact)]);
    assert_eq!((house.kernel.lookups(), house.kernel.lists()), (2, 0));
}

/// What is looked up in one go comes back to the search it belongs to; the one in between has been forgotten meanwhile.
#[test]
fn searches_looked_up_together_find_each_their_own() {
    let mut house = TestRouter::with_devices(40);
    let ports = |n: u8| (40_000 + u16::from(n), 5_000 + u16::from(n));
    for n in 11..51 {
        let (seen, to) = ports(n);
        house.translated(n, UDP, 4000, seen, to, 100);
    }
    for n in 11..51 {
        let (seen, to) = ports(n);
        let wanted = scope(&format!("198.51.100.7 {seen} > 203.0.113.80 {to} / 17"));
        house.finder.start_search(MitigationId(u32::from(n)), &wanted, house.now);
    }
    house.finder.end_search(MitigationId(30));
    house.settle();
    for n in (11..51).filter(|n| *n != 30) {
        assert_eq!(house.verdict(u32::from(n)), [(mac(n), Exact)]);
    }
    assert_eq!((house.last(30), house.kernel.lookups()), (None, 2 * 40 - 2));
    house.pass(seconds(11));
    assert_eq!(house.kernel.lists(), 0);
}

/// No flow goes from IPv4 to IPv6; saying so needs no question.
#[test]
fn a_request_across_families_finds_nobody_at_once() {
    let mut house = TestRouter::with_devices(2);
    house.search(1, &scope("198.51.100.7 40000 > 2001:db8:c000::80 53 / 17"));
    assert_eq!(house.found, [(MitigationId(1), vec![])]);
    assert_eq!((house.kernel.lookups(), house.kernel.lists()), (0, 0));
}

#[test]
fn a_search_that_is_settled_rests() {
    let mut house = TestRouter::with_devices(2);
    house.translated(11, UDP, 4000, 40000, 53, 100);
    house.search(1, &scope(EXACT));
    house.pass(seconds(11));
    assert_eq!(house.finder.poll_timeout(), None);
    // Both directions at first, then the flow's rate a few times.
    assert_eq!((house.kernel.lookups(), house.kernel.lists()), (2 + 5, 0));
}

#[test]
fn nobody_is_said_once() {
    let mut house = TestRouter::with_devices(2);
    house.search(1, &scope(EXACT));
    house.pass(seconds(600));
    assert_eq!(house.found, [(MitigationId(1), vec![])]);
}

/// The lists of a search without result get rarer, down to one round a minute.
#[test]
fn a_search_in_vain_asks_less_and_less() {
    let mut house = TestRouter::with_devices(2);
    house.search(1, &scope(ANY_PORT));
    let first = house.kernel.lists();
    assert_eq!(first, 1, "everything at once");
    house.pass(seconds(3600));
    let rounds = house.kernel.lists() / first;
    assert!((60..=67).contains(&rounds), "{rounds} rounds in an hour");
}

#[test]
fn a_flow_that_begins_later_is_found_as_it_begins() {
    let mut house = TestRouter::with_devices(2);
    house.search(1, &scope(EXACT));
    house.pass(seconds(50));
    let asked = house.kernel.lists();
    let id = house.translated(11, UDP, 4000, 40000, 53, 100);
    house.announce(id);
    assert_eq!(house.verdict(1), [(mac(11), Exact)]);
    assert_eq!(house.kernel.lists(), asked, "an event is enough");
}

#[test]
fn a_flow_that_begins_later_without_a_named_port_is_likely_as_it_begins() {
    let mut house = TestRouter::with_devices(2);
    house.search(1, &scope(ANY_PORT));
    house.pass(seconds(50));
    let id = house.translated(11, UDP, 4000, 40000, 53, 100);
    house.announce(id);
    assert_eq!(house.verdict(1), [(mac(11), Likely)]);
}

#[test]
fn the_sending_of_a_flow_is_seen_within_a_quarter_of_a_second() {
    let mut house = TestRouter::with_devices(2);
    house.translated(11, UDP, 4000, 40000, 53, 100);
    house.search(1, &scope(ANY_PORT));
    assert_eq!(house.verdict(1), [(mac(11), Possible)]);
    house.pass(Duration::from_millis(250));
    assert_eq!(house.verdict(1), [(mac(11), Likely)]);
}

#[test]
fn a_flow_that_came_and_went_meanwhile_is_found_as_it_ends() {
    let mut house = TestRouter::with_devices(2);
    house.search(1, &scope(EXACT));
    house.pass(seconds(50));
    let id = house.translated(11, UDP, 4000, 40000, 53, 100);
    house.end(id);
    assert_eq!(house.verdict(1), [(mac(11), Exact)]);
}

/// The end of a flow may be missed; reading it again tells.
#[test]
fn a_flow_that_is_gone_unheard_has_no_rate_any_more() {
    let mut house = TestRouter::with_devices(2);
    let id = house.translated(11, UDP, 4000, 40000, 53, 100);
    house.search(1, &scope(EXACT));
    house.pass(seconds(2));
    let rate =
        |house: &TestRouter| house.last(1).unwrap()[0].evidence.iter().map(|e| e.rate.packets).collect::<Vec<_>>();
    assert_eq!(rate(&house), [100]);
    house.deaf = true;
    house.end(id);
    house.pass(seconds(3));
    assert_eq!(rate(&house), [0]);
}

#[test]
fn a_flow_in_the_place_of_another_is_another() {
    let mut house = TestRouter::with_devices(2);
    let id = house.translated(11, UDP, 4000, 40000, 53, 100);
    house.search(1, &scope(EXACT));
    house.pass(seconds(2));
    house.deaf = true;
    house.end(id);
    let other = house.translated(11, UDP, 4000, 40000, 53, 200);
    house.pass(seconds(10));
    let evidence = &house.last(1).unwrap()[0].evidence;
    let told: Vec<_> = evidence.iter().map(|evidence| (evidence.flow.id, evidence.rate.packets)).collect();
    assert_eq!(told, [(other, 200), (id, 0)]);
}

#[test]
fn an_ended_flow_is_remembered_for_minutes_and_no_longer() {
    for (waited, expected) in [(9, 1), (11, 0)] {
        let mut house = TestRouter::with_devices(2);
        let id = house.translated(11, UDP, 4000, 40000, 53, 100);
        house.end(id);
        house.pass(seconds(waited * 60));
        house.search(1, &scope(EXACT));
        assert_eq!(house.verdict(1).len(), expected, "after {waited} minutes");
    }
}

#[test]
fn an_ended_ipv6_flow_is_remembered_too() {
    let mut house = TestRouter::with_devices(2);
    let id = house.untranslated(&v6(11), 6, 4000, 443, 100);
    house.end(id);
    house.search(1, &scope("2001:db8:123::b 4000 > 2001:db8:c000::80 443 / 6"));
    assert_eq!(house.verdict(1), [(mac(11), Exact)]);
    assert_eq!(house.last(1).unwrap()[0].evidence[0].flow.sent.unwrap().packets, 10);
}

/// What devices ask of the router itself would push everything else out.
#[test]
fn flows_to_the_router_itself_are_not_remembered() {
    let mut house = TestRouter::with_devices(2);
    let id = house.flow(
        tuple(&v4(11), "192.168.1.1", UDP, ports(1, 53)),
        tuple("192.168.1.1", &v4(11), UDP, ports(53, 1)),
        1,
    );
    house.end(id);
    house.search(1, &scope("192.168.1.11 - > 192.168.1.1 53 / 17"));
    let evidence = house.last(1).unwrap().first().map_or(0, |suspect| suspect.evidence.len());
    assert_eq!(evidence, 0);
}

#[test]
fn a_neighbour_that_appears_later_is_found() {
    let mut house = TestRouter::with_devices(2);
    house.translated(44, UDP, 4000, 40000, 53, 100);
    house.search(1, &scope(EXACT));
    assert_eq!(house.verdict(1), []);
    house.pass(seconds(300));
    house.opens(mac(44), &v4(44), LAN);
    house.neighbour(&v4(44), LAN, Some(mac(44)));
    house.pass(seconds(10));
    assert_eq!(house.verdict(1), [(mac(44), Exact)]);
}

#[test]
fn a_device_that_has_left_is_still_known_for_a_while() {
    let mut house = TestRouter::with_devices(2);
    house.translated(11, UDP, 4000, 40000, 53, 100);
    house.neighbour(&v4(11), LAN, None);
    house.search(1, &scope(EXACT));
    assert_eq!(house.verdict(1), [(mac(11), Exact)]);
}

#[test]
fn a_search_that_is_forgotten_is_silent() {
    let mut house = TestRouter::with_devices(2);
    house.search(1, &scope(EXACT));
    house.finder.end_search(MitigationId(1));
    let id = house.translated(11, UDP, 4000, 40000, 53, 100);
    house.announce(id);
    house.pass(seconds(120));
    assert_eq!(house.verdict(1), []);
    assert_eq!(house.finder.poll_timeout(), None);
}

#[test]
fn a_search_forgotten_while_it_looks_does_not_hold_up_others() {
    let mut house = TestRouter::with_devices(2);
    house.translated(11, UDP, 4000, 40000, 53, 100);
    house.finder.start_search(MitigationId(1), &scope(EXACT), house.now);
    house.finder.start_search(MitigationId(2), &scope(EXACT), house.now);
    house.finder.end_search(MitigationId(1));
    house.settle();
    assert_eq!(house.verdict(2), [(mac(11), Exact)]);
}

#[test]
fn a_search_that_begins_again_says_again_what_it_finds() {
    let mut house = TestRouter::with_devices(2);
    house.translated(11, UDP, 4000, 40000, 53, 0);
    house.search(1, &scope(EXACT));
    house.pass(seconds(60));
    let said = house.found.len();
    house.search(1, &scope(EXACT));
    assert_eq!(house.found.len(), said + 1);
    house.search(1, &scope("198.51.100.7 40001 > 203.0.113.80 53 / 17"));
    assert_eq!(house.verdict(1), [], "another scope is another search");
}

/// One who only sends, from a new address, may never have told the router of it.
#[test]
fn a_sender_with_an_address_nobody_has_is_asked_for() {
    let mut house = TestRouter::with_devices(4);
    let (private, elsewhere) = ("2001:db8:123::aaaa:bbbb", "2001:db8:777::1");
    house.kernel.silent.insert((ip(private), LAN), mac(14));
    house.untranslated(private, UDP, 4000, 53, 100);
    house.opens(mac(14), private, LAN);
    house.untranslated(elsewhere, UDP, 4000, 53, 100);
    house.search(1, &scope("2001:db8:123::aaaa:bbbb - > 2001:db8:c000::80 53 / 17"));
    house.pass(seconds(5));
    assert_eq!(house.verdict(1), [(mac(14), Exact)]);
    assert_eq!(house.last(1).unwrap()[0].interface.as_deref(), Some("br-lan"));
    assert_eq!(house.kernel.asked_for, 1);
}

/// Whoever makes up addresses does not keep the neighbourhood busy.
#[test]
fn made_up_addresses_are_asked_for_a_few_at_a_time() {
    let mut house = TestRouter::with_devices(4);
    for n in 0..500 {
        house.untranslated(&format!("2001:db8:123::dead:{n:x}"), UDP, 4000, 53, 100);
    }
    house.search(1, &scope("2001:db8:123::/64 - > 2001:db8:c000::80 53 / 17"));
    house.pass(seconds(60));
    assert_eq!(house.verdict(1), []);
    assert!((1..=64).contains(&house.kernel.asked_for), "{}", house.kernel.asked_for);
}

/// The first request comes in before the router's network is known.
#[test]
fn a_search_waits_for_the_first_survey() {
    let mut house = TestRouter::on(Kernel::new());
    house.finder = dots_callhome::source::Finder::new();
    house.kernel.noted.as_mut().unwrap().young = false;
    house.kernel.neighbours.insert((ip(&v4(11)), LAN), mac(11));
    house.translated(11, UDP, 4000, 40000, 53, 100);
    house.finder.start_search(MitigationId(1), &scope(EXACT), house.now);
    assert_eq!(house.finder.poll_event(), None);
    house.settle();
    assert_eq!(house.verdict(1), [(mac(11), Exact)]);
}

/// Lost events are no error: counted, and made good by another look.
#[test]
fn overruns_are_survived_and_counted() {
    let mut house = TestRouter::with_devices(2);
    house.search(1, &scope(EXACT));
    house.pass(seconds(300));
    house.translated(11, UDP, 4000, 40000, 53, 100);
    house.overrun(Socket::ConntrackEvents);
    house.pass(seconds(10));
    assert_eq!(house.verdict(1), [(mac(11), Exact)]);

    // An event about a neighbour got lost, too.
    house.translated(44, UDP, 4000, 40001, 53, 100);
    house.opens(mac(44), &v4(44), LAN);
    house.kernel.neighbours.insert((ip(&v4(44)), LAN), mac(44));
    house.overrun(Socket::RouteEvents);
    house.search(2, &scope("198.51.100.7 40001 > 203.0.113.80 53 / 17"));
    // It may have told of a device on another port, too.
    assert_eq!(house.verdict(2), [(mac(44), Possible)]);
    house.pass(seconds(600));
    house.search(2, &scope("198.51.100.7 40001 > 203.0.113.80 53 / 17"));
    assert_eq!(house.verdict(2), [(mac(44), Exact)]);
    assert_eq!(house.finder.overruns(), 2);
}

/// While events may have been lost, nobody is the only one who fits.
#[test]
fn nobody_is_likely_while_events_are_missing() {
    let mut house = TestRouter::with_devices(2);
    house.translated(11, UDP, 4000, 40000, 53, 0);
    house.search(1, &scope(ANY_PORT));
    house.pass(seconds(200));
    house.overrun(Socket::ConntrackEvents);
    let id = house.translated(11, UDP, 4001, 40001, 53, 1);
    house.announce(id);
    assert_eq!(house.verdict(1), [(mac(11), Possible)]);
    house.pass(seconds(20));
    assert_eq!(house.verdict(1), [(mac(11), Likely)]);
}

#[test]
fn overruns_do_not_make_a_search_ask_without_end() {
    let mut house = TestRouter::with_devices(2);
    house.search(1, &scope(ANY_PORT));
    let before = house.kernel.lists();
    for _ in 0..6000 {
        house.overrun(Socket::ConntrackEvents);
        house.pass(Duration::from_millis(10));
    }
    assert!(house.kernel.lists() - before <= 15, "{} lists in a minute", house.kernel.lists() - before);
}

#[test]
fn a_kernel_that_lists_nothing_means_nobody_for_now() {
    let mut house = TestRouter::with_devices(2);
    house.kernel.list_error = Some(1);
    house.translated(11, UDP, 4000, 40000, 53, 100);
    house.search(1, &scope(ANY_PORT));
    assert_eq!(house.verdict(1), []);
    house.kernel.list_error = None;
    house.pass(seconds(5));
    assert_eq!(house.verdict(1), [(mac(11), Likely)]);
}

#[test]
fn an_answer_that_never_comes_is_given_up() {
    let mut house = TestRouter::with_devices(2);
    house.finder.start_search(MitigationId(1), &scope(EXACT), house.now);
    while house.finder.poll_transmit().is_some() {}
    let mut waited = 0;
    while house.found.is_empty() && waited < 60 {
        house.now = house.now.after(seconds(1));
        waited += 1;
        house.finder.handle_timeout(house.now);
        while house.finder.poll_transmit().is_some() {}
        house.settle();
    }
    assert_eq!(house.found, [(MitigationId(1), vec![])]);
}

#[test]
fn without_accounting_only_what_is_named_alone_is_sure() {
    let mut house = TestRouter::with_devices(2);
    house.kernel.accounting = false;
    house.translated(11, UDP, 4000, 40000, 53, 100);
    house.search(1, &scope(EXACT));
    house.search(2, &scope(ANY_PORT));
    house.pass(seconds(20));
    assert_eq!(house.verdict(1), [(mac(11), Exact)]);
    assert_eq!(house.verdict(2), [(mac(11), Possible)]);
}

#[test]
fn a_burst_of_requests_shares_lists() {
    let mut house = TestRouter::with_devices(8);
    for n in 11..19 {
        house.translated(n, UDP, 1, 40000 + u16::from(n), 1000 + u16::from(n), 100);
    }
    for id in 0..128 {
        let port = 1011 + id % 8;
        house.finder.start_search(
            MitigationId(id),
            &scope(&format!("198.51.100.7 - > 203.0.113.80 {port} / 17")),
            house.now,
        );
    }
    house.settle();
    assert!(house.kernel.lists() <= 4, "{} lists", house.kernel.lists());
    house.pass(seconds(1));
    for id in 0..128 {
        assert_eq!(house.verdict(id), [(mac(11 + (id % 8) as u8), Likely)]);
    }
}

/// 60,000 flows end at once: the latest are remembered, the memory is bounded.
#[test]
fn a_burst_of_ended_flows_is_bounded() {
    let mut house = TestRouter::with_devices(2);
    for chunk in 0..600_u32 {
        let messages = (0..100).flat_map(|n| {
            let number = chunk * 100 + n;
            let (from, to) = (1 + (number % 60_000) as u16, 1 + (number / 1000) as u16);
            let flow = dots_callhome::model::Flow {
                id: number,
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
    for (id, from, found) in [(1, 60_000, true), (2, 60_000 - 4000, true), (3, 60_000 - 4200, false)] {
        let to = 1 + (from - 1) / 1000;
        house.search(id, &scope(&format!("198.51.100.7 {from} > 203.0.113.80 {to} / 17")));
        assert!(house.last(id).is_none(), "so many are looked at in several turns");
        house.pass(seconds(0));
        assert_eq!(!house.verdict(id).is_empty(), found, "port {from}");
    }
}

/// An attack from ever new ports makes an event of every packet.
#[test]
fn a_flood_of_new_flows_is_reported_calmly() {
    let mut house = TestRouter::with_devices(2);
    house.search(1, &scope(ANY_PORT));
    for port in 1..2000 {
        let id = house.translated(11, UDP, port, port, 53, 0);
        house.announce(id);
        house.pass(Duration::from_millis(1));
    }
    assert_eq!(house.verdict(1), [(mac(11), Likely)]);
    assert!(house.found.len() <= 25, "{} reports in two seconds", house.found.len());
    assert_eq!(house.last(1).unwrap()[0].evidence.len(), 8);
}

#[test]
fn more_devices_than_can_be_kept_are_none_of_them_sure() {
    let mut house = TestRouter::with_devices(100);
    for n in 11..111 {
        house.translated(n, UDP, 1, 40000 + u16::from(n), 53, u64::from(n));
    }
    house.search(1, &scope(ANY_PORT));
    house.pass(seconds(5));
    let verdict = house.verdict(1);
    assert!(verdict.len() <= 64);
    assert!(verdict.iter().all(|(_, confidence)| *confidence == Possible));
}

#[test]
fn hostile_datagrams_are_survived_on_every_socket() {
    let mut house = TestRouter::with_devices(2);
    let id = house.translated(11, UDP, 4000, 40000, 53, 100);
    house.search(1, &scope(ANY_PORT));
    let flow = house.kernel.flows.iter().find(|flow| flow.id == id).unwrap();
    let conntrack = [messages::flow(0x100, 2, 1, flow), messages::flow(0x102, 0, 0, flow), messages::done(1)].concat();
    let route = [
        messages::link(16, 1, 7, "br-lan", [2; 6]),
        messages::address(20, 1, 7, ip("2001:db8::1"), 64),
        messages::neighbour(28, 1, 7, ip("192.168.1.11"), 2, Some([2; 6])),
        messages::route(24, 0, 1, &Route::new("2001:db8:123::/48", Some("fe80::1"), 3)),
    ]
    .concat();
    for (sockets, datagram) in
        [([Socket::Conntrack, Socket::ConntrackEvents], conntrack), ([Socket::Route, Socket::RouteEvents], route)]
    {
        for bytes in messages::hostile(&datagram, 500) {
            for socket in sockets {
                house.finder.handle_datagram(socket, &bytes, house.now);
            }
        }
        house.settle();
    }
    // It still works, once the ends of flows that never were are forgotten.
    house.overrun(Socket::RouteEvents);
    house.pass(seconds(600));
    house.search(2, &scope(EXACT));
    assert_eq!(house.verdict(2), [(mac(11), Exact)]);
}
