//! Who is said to be sure: only whoever was seen to send, before or after the request.

use std::time::Duration;

use crate::support::source::table::home;
use crate::support::source::*;
use dots_callhome::model::Mac;
use dots_callhome::source::Confidence::{self, Exact, Likely, Possible};
use dots_callhome::source::{Finder, MOST_LOGGED, Sender, Socket};

const BY_PORT: &str = "198.51.100.7 40000 > 203.0.113.80 53 / 17";
const ANY_PORT: &str = "198.51.100.7 - > 203.0.113.80 53 / 17";
const BY_ADDRESS6: &str = "2001:db8:123::b - > 2001:db8:c000::80 53 / 17";

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// A flow with the address of device 11, of which nothing has been noted.
fn borrowed(house: &mut TestRouter, pps: u64) -> u32 {
    let original = tuple(&v4(11), VICTIM, UDP, ports(1, 53));
    house.borrowed_flow(original, tuple(VICTIM, WAN_ADDRESS, UDP, ports(53, 40000)), pps)
}

/// Asks, and lets time pass; nobody must ever be sure.
fn nobody_is_sure(house: &mut TestRouter, request: &str) -> Vec<u8> {
    house.search(1, &scope(request));
    house.pass(seconds(60));
    assert_eq!(house.ever_sure(1), []);
    let mut shown: Vec<u8> = house.verdict(1).iter().map(|(mac, _)| mac.0[5]).collect();
    shown.sort_unstable();
    shown
}

/// What is said first of all, at the moment of the request.
fn at_once(house: &mut TestRouter, request: &str) -> Vec<(u8, Confidence)> {
    house.search(1, &scope(request));
    house.verdict(1).iter().map(|(mac, confidence)| (mac.0[5], *confidence)).collect()
}

/// Nothing in doubt: the answer comes without any time passing.
#[test]
fn whoever_opens_flows_alone_is_sure_at_once() {
    let mut house = home();
    house.translated(11, UDP, 1, 40000, 53, 100);
    assert_eq!(at_once(&mut house, BY_PORT), [(11, Exact)]);
}

/// Proves CH-5.3.2-06 against three seconds of a borrowed address: the sender has stopped before anybody looks.
#[test]
fn a_borrowed_address_leaves_both_in_doubt() {
    let mut house = home();
    house.opens(mac(11), &v4(11), LAN);
    house.opens(mac(17), &v4(11), LAN);
    let id = borrowed(&mut house, 0);
    assert_eq!(nobody_is_sure(&mut house, BY_PORT), [11, 17]);
    house.end(id);
    assert_eq!(nobody_is_sure(&mut house, BY_PORT), [11, 17]);
}

/// The same over IPv6.
#[test]
fn a_borrowed_address_of_ipv6_leaves_both_in_doubt() {
    let mut house = home();
    house.opens(mac(17), &v6(11), LAN);
    house.untranslated(&v6(11), UDP, 1, 53, 0);
    assert_eq!(nobody_is_sure(&mut house, BY_ADDRESS6), [11, 17]);
}

/// The owner of the address may be off: it is shown, but nobody says that it sent anything.
#[test]
fn an_owner_that_never_sends_is_in_doubt() {
    let mut house = home();
    borrowed(&mut house, 100);
    assert_eq!(nobody_is_sure(&mut house, BY_PORT), [11]);
    house.opens(mac(17), &v4(11), LAN);
    assert_eq!(nobody_is_sure(&mut house, BY_PORT), [11, 17]);
}

/// An address borrowed from another link is borrowed all the same.
#[test]
fn a_sender_on_another_link_is_a_doubt() {
    let mut house = home();
    house.opens(mac(9), &v4(11), GUEST);
    house.translated(11, UDP, 1, 40000, 53, 100);
    assert_eq!(nobody_is_sure(&mut house, BY_PORT), [9, 11]);
}

/// Nor does it help to be seen on many links first.
#[test]
fn no_sender_is_left_out_for_the_links_of_another() {
    let mut house = home();
    for link in 100..120 {
        house.opens(mac(11), &v4(11), link);
    }
    house.opens(mac(17), &v4(11), LAN);
    borrowed(&mut house, 0);
    assert_eq!(nobody_is_sure(&mut house, BY_PORT), [11, 17]);

    let mut house = home();
    for link in 100..120 {
        house.opens(mac(11), &v4(11), link);
        house.opens(mac(9), &v4(11), link);
    }
    house.opens(mac(17), &v4(11), LAN);
    borrowed(&mut house, 0);
    assert_eq!(nobody_is_sure(&mut house, BY_PORT), [9, 11, 17], "in whatever order they are told");
}

/// Made-up addresses have filled the sets: who borrowed this one may be missing, and for everybody else as well.
#[test]
fn full_sets_are_doubt() {
    let mut house = home();
    house.translated(11, UDP, 1, 40000, 53, 100);
    house.kernel.noted.as_mut().unwrap().missed = true;
    assert_eq!(nobody_is_sure(&mut house, BY_PORT), [11]);
    // As soon as the kernel has forgotten them, all is as before.
    house.kernel.noted.as_mut().unwrap().missed = false;
    assert_eq!(at_once(&mut house, BY_PORT), [(11, Exact)]);
}

/// Flows older than the table tell nothing: who opened them has not been noted. All others do.
#[test]
fn flows_older_than_the_table_are_in_doubt() {
    let mut house = home();
    borrowed(&mut house, 0);
    house.opens(mac(11), &v4(11), LAN);
    house.kernel.noted = None;
    let mut house = TestRouter::on(house.kernel);
    assert_eq!(house.openers_noted, 1);
    house.opens(mac(11), &v4(11), LAN);
    house.translated(12, UDP, 1, 40001, 53, 100);
    assert_eq!(nobody_is_sure(&mut house, BY_PORT), [11]);
    house.search(2, &scope("198.51.100.7 40001 > 203.0.113.80 53 / 17"));
    assert_eq!(house.verdict(2), [(mac(12), Exact)]);
}

/// Unless they go on sending without an answer: each such packet is noted.
#[test]
fn an_older_flow_that_sends_is_noted() {
    for (answered, expected) in [(0, Exact), (5, Possible)] {
        let mut house = home();
        let id = borrowed(&mut house, 100);
        house.kernel.flows.iter_mut().for_each(|flow| flow.answered.as_mut().unwrap().packets = answered);
        house.kernel.noted = None;
        let kernel = std::mem::replace(&mut house.kernel, Kernel::new());
        let mut house = TestRouter::on(kernel);
        house.kernel.rates.insert(id, (100, answered));
        house.opens(mac(11), &v4(11), LAN);
        assert_eq!(at_once(&mut house, BY_PORT), [(11, Possible)]);
        house.pass(Duration::from_millis(400));
        assert_eq!(house.verdict(1), [(mac(11), expected)]);
    }
}

/// The same while they are being listed, or can't be.
#[test]
fn what_can_not_be_listed_may_be_older() {
    let mut house = home();
    house.kernel.noted = None;
    house.kernel.list_error = Some(1);
    let mut house = TestRouter::on(house.kernel);
    house.translated(11, UDP, 1, 40000, 53, 0);
    assert_eq!(nobody_is_sure(&mut house, BY_PORT), [11]);
    assert_eq!(house.openers_noted, 0);
    house.kernel.noted.as_mut().unwrap().young = false;
    assert_eq!(at_once(&mut house, BY_PORT), [(11, Exact)]);
}

/// The same once as many addresses are known as are kept: of those that are, what is read later still counts.
#[test]
fn as_many_addresses_as_are_kept_are_read_again() {
    let mut house = TestRouter::with_devices(64);
    let ports: Vec<String> = (0..64).map(|n| (40_000 + 2 * n).to_string()).collect();
    for n in 0..64 {
        house.translated(11 + n, UDP, 1, 40_000 + 2 * u16::from(n), 53, 100);
    }
    house.kernel.noted.as_mut().unwrap().missed = true;
    house.search(1, &scope(&format!("198.51.100.7 {} > 203.0.113.80 53 / 17", ports.join(","))));
    house.pass(seconds(5));
    assert_eq!((house.verdict(1).len(), house.ever_sure(1)), (64, vec![]));
    house.kernel.noted.as_mut().unwrap().missed = false;
    house.pass(seconds(60));
    assert!(house.verdict(1).iter().all(|(_, confidence)| *confidence == Exact), "{:?}", house.verdict(1));
}

/// Without `nft` nothing is noted. The search does not wait for it, and the table is tried again.
#[test]
fn without_the_table_nobody_is_sure() {
    let mut kernel = home().kernel;
    (kernel.noted, kernel.nft_fails) = (None, true);
    let mut house = TestRouter::on(kernel);
    house.translated(11, UDP, 1, 40000, 53, 0);
    assert_eq!(at_once(&mut house, BY_PORT), [(11, Possible)]);
    assert!(house.nft_runs.len() < 4);
    assert_eq!(house.openers_noted, 0);
    house.kernel.nft_fails = false;
    house.pass(seconds(60));
    assert_eq!(house.openers_noted, 1);
    assert!(house.kernel.noted.is_some());
    house.translated(12, UDP, 1, 40001, 53, 100);
    house.search(2, &scope("198.51.100.7 40001 > 203.0.113.80 53 / 17"));
    assert_eq!(house.verdict(2), [(mac(12), Exact)]);
}

/// Somebody deletes the table, or a rule of it: it is made again, and what was noted before does not count.
#[test]
fn a_lost_table_is_made_again() {
    for gut in
        [|kernel: &mut Kernel| kernel.noted = None, |kernel: &mut Kernel| kernel.noted.as_mut().unwrap().damage()]
    {
        let mut house = home();
        house.opens(mac(17), &v4(11), LAN);
        house.translated(11, UDP, 1, 40000, 53, 0);
        house.translated(12, UDP, 1, 40001, 53, 0);
        gut(&mut house.kernel);
        let runs = house.nft_runs.len();
        house.tables_changed();
        assert_eq!(house.nft_runs.len(), runs + 1);
        let noted = house.kernel.noted.as_ref().unwrap();
        assert!(noted.young && noted.senders.is_empty());
        assert_eq!(nobody_is_sure(&mut house, "198.51.100.7 40001 > 203.0.113.80 53 / 17"), [12]);
        // Nothing of it is asked for without need.
        house.tables_changed();
        assert_eq!(house.nft_runs.len(), runs + 1);
    }
}

/// Somebody who removes it again and again is followed ever more slowly.
#[test]
fn a_table_removed_again_and_again_is_made_more_slowly() {
    let mut house = home();
    let runs = house.nft_runs.len();
    for _ in 0..600 {
        house.kernel.noted = None;
        house.tables_changed();
        house.pass(Duration::from_millis(100));
    }
    assert!(house.nft_runs.len() - runs < 12, "{}", house.nft_runs.len() - runs);
    house.pass(seconds(60));
    assert!(house.kernel.noted.is_some());
}

/// A table that is lost without a word is missed when it is read.
#[test]
fn a_table_that_can_not_be_read_is_doubt() {
    let mut house = home();
    house.translated(11, UDP, 1, 40000, 53, 0);
    house.kernel.noted = None;
    assert_eq!(nobody_is_sure(&mut house, BY_PORT), [11]);
    assert!(house.kernel.noted.is_some());
}

/// An earlier run's table is taken over with all it has noted.
#[test]
fn a_restart_forgets_nothing() {
    let mut house = home();
    house.translated(11, UDP, 1, 40000, 53, 100);
    house.opens(mac(17), &v4(12), LAN);
    house.translated(12, UDP, 1, 40001, 53, 100);
    let mut house = TestRouter::on(house.kernel);
    assert_eq!(house.nft_runs.len(), 1);
    assert!(!house.nft_runs[0].contains("delete table"), "{}", house.nft_runs[0]);
    assert_eq!(at_once(&mut house, BY_PORT), [(11, Exact)]);
    assert_eq!(
        nobody_is_sure(&mut TestRouter::on(house.kernel), "198.51.100.7 40001 > 203.0.113.80 53 / 17"),
        [12, 17]
    );
}

/// The rules leave out the links that lead outside, of which anybody may use any address.
#[test]
fn an_upstream_that_comes_changes_the_rules_only() {
    let mut house = home();
    assert!(house.nft_runs[0].contains("meta iif { 3, 5 } return"), "{}", house.nft_runs[0]);
    house.opens(mac(11), &v4(11), LAN);
    house.event(Socket::RouteEvents, &messages::route(24, 0, 0, &Route::new("0.0.0.0/0", Some("192.168.2.9"), GUEST)));
    assert!(house.nft_runs[1].contains("meta iif { 3, 4, 5 } return"), "{}", house.nft_runs[1]);
    assert!(!house.nft_runs[1].contains("delete table"));
    assert_eq!(house.kernel.noted.as_ref().unwrap().senders.len(), 1);
}

/// From outside anybody may send with any address: that counts neither for nor against anybody. From inside, who sends with the
/// Ethernet address of the router is somebody else as well: the router's own packets are not forwarded.
#[test]
fn only_who_is_outside_of_the_home_counts_for_nothing() {
    let mut house = home();
    house.translated(11, UDP, 1, 40000, 53, 100);
    house.opens(mac(17), &v4(11), WAN);
    assert_eq!(at_once(&mut house, BY_PORT), [(11, Exact)]);
    house.opens(Mac([2, 0xff, 0, 0, 0, 1]), &v4(11), LAN);
    house.found.clear();
    assert_eq!(nobody_is_sure(&mut house, BY_PORT), [11]);
}

/// Who uses an address that nobody has is known at once.
#[test]
fn who_makes_an_address_up_is_known() {
    let mut house = home();
    house.translated(99, UDP, 1, 40000, 53, 0);
    house.opens(mac(17), &v4(99), LAN);
    assert_eq!(at_once(&mut house, BY_PORT), [(17, Exact)]);
    assert!(house.framed.is_empty());
}

/// What nobody has noted before can be seen afterwards: the flow sends while the log shows its device alone.
#[test]
fn a_device_caught_at_it_is_sure_in_the_end() {
    for (request, confidence) in [(BY_PORT, Exact), (ANY_PORT, Likely)] {
        let mut house = home();
        borrowed(&mut house, 100);
        assert_eq!(at_once(&mut house, request), [(11, Possible)]);
        for _ in 0..4 {
            house.pass(seconds(2));
            house.witness(1, mac(11), &v4(11), LAN);
        }
        assert_eq!(house.verdict(1), [(mac(11), confidence)]);
    }
}

/// Not by a log that has shown another one, was full, or shows a device of which the flow need not be: that sends nothing.
#[test]
fn nobody_is_caught_by_half_a_look() {
    let others: Vec<Sender> =
        (0..MOST_LOGGED).map(|n| Sender { mac: mac(17), address: ip(&format!("10.0.0.{n}")), link: LAN }).collect();
    for (pps, others) in [(0, &[][..]), (100, &others[..]), (100, &[Sender { address: ip(&v4(11)), ..others[0] }])] {
        let mut house = home();
        borrowed(&mut house, pps);
        house.search(1, &scope(BY_PORT));
        for _ in 0..6 {
            house.pass(seconds(2));
            let own = Sender { mac: mac(11), address: ip(&v4(11)), link: LAN };
            let seen: Vec<Sender> = [own].into_iter().chain(others.iter().copied()).collect();
            house.finder.handle_senders(dots_callhome::model::MitigationId(1), &seen, house.now);
            house.settle();
        }
        assert_eq!(house.ever_sure(1), [], "{pps} {}", others.len());
    }
}

/// While the rules of the log were away anybody may have sent.
#[test]
fn a_log_that_was_away_catches_nobody() {
    let mut house = home();
    borrowed(&mut house, 100);
    house.search(1, &scope(BY_PORT));
    for _ in 0..6 {
        house.pass(seconds(2));
        house.witness(1, mac(11), &v4(11), LAN);
        house.finder.handle_senders_lost();
    }
    assert_eq!(house.ever_sure(1), []);
}

/// So many made-up addresses that not all can be looked up: those who use the very address that is asked about are.
#[test]
fn the_address_asked_about_goes_first() {
    let mut house = home();
    for n in 0..200 {
        let address = format!("10.99.0.{n}");
        house.translated_from(&address, UDP, 1000, 20_000 + n, 53, 0);
        house.opens(mac(17), &address, LAN);
    }
    house.opens(mac(17), &v4(11), LAN);
    house.translated(11, UDP, 1, 40000, 53, 0);
    assert_eq!(nobody_is_sure(&mut house, "198.51.100.7 40000-40009 > 203.0.113.80 53 / 17"), [11, 17]);
}

/// Flows that are opened during a search are covered by a look of their own, and a flood of them by few.
#[test]
fn flows_opened_later_are_looked_up_as_well() {
    let mut house = home();
    house.search(1, &scope(ANY_PORT));
    for port in 0..500 {
        let id = house.translated(11, UDP, 1000 + port, 40_000 + port, 53, 10);
        house.announce(id);
        house.pass(Duration::from_millis(1));
    }
    house.pass(seconds(20));
    assert_eq!(house.verdict(1), [(mac(11), Likely)]);
    assert!(house.kernel.table_reads < 60, "{}", house.kernel.table_reads);
}

/// The first look waits for the table that is about to be made, not for one that can't be.
#[test]
fn a_request_at_the_start_waits_for_the_table() {
    let mut house = home();
    house.kernel.noted = None;
    house.finder = Finder::new();
    house.finder.start_search(dots_callhome::model::MitigationId(1), &scope(BY_PORT), house.now);
    house.settle();
    assert_eq!(house.verdict(1), []);
    let id = house.translated(11, UDP, 1, 40000, 53, 100);
    house.announce(id);
    house.pass(seconds(1));
    assert_eq!(house.verdict(1), [(mac(11), Exact)]);
}

/// Proves CH-5.3.2-06 against a device that takes the Ethernet address of another, where the bridge sees it on another port:
/// both have the same address in every packet.
#[test]
fn an_address_that_moves_between_ports_is_in_doubt() {
    let mut house = home();
    house.kernel.stations.insert(mac(11), 21);
    let mut house = TestRouter::on(house.kernel);
    house.translated(11, UDP, 1, 40000, 53, 100);
    house.translated(12, UDP, 1, 40001, 53, 100);
    house.station(mac(11), 21);
    house.station(mac(12), 22);
    assert_eq!(at_once(&mut house, BY_PORT), [(11, Exact)]);
    house.finder.end_search(dots_callhome::model::MitigationId(1));
    house.found.clear();
    house.station(mac(11), 27);
    assert_eq!(nobody_is_sure(&mut house, BY_PORT), [11]);
    house.search(2, &scope("198.51.100.7 40001 > 203.0.113.80 53 / 17"));
    assert_eq!(house.verdict(2), [(mac(12), Exact)]);
    // Moves are forgotten like flows that have ended.
    house.pass(seconds(600));
    assert_eq!(at_once(&mut house, BY_PORT), [(11, Exact)]);
}

/// Whoever makes up Ethernet addresses fills what is remembered: then moves of those who found no room are not seen.
#[test]
fn made_up_stations_are_bounded() {
    let mut house = home();
    house.station(mac(12), 22);
    for n in 0..3000_u16 {
        let [high, low] = n.to_be_bytes();
        house.station(dots_callhome::model::Mac([2, 0xcc, 0, 0, high, low]), 27);
    }
    house.station(mac(11), 21);
    house.translated(11, UDP, 1, 40000, 53, 100);
    house.translated(12, UDP, 1, 40001, 53, 100);
    assert_eq!(at_once(&mut house, BY_PORT), [(11, Possible)]);
    house.search(2, &scope("198.51.100.7 40001 > 203.0.113.80 53 / 17"));
    assert_eq!(house.verdict(2), [(mac(12), Exact)]);
}

/// The table word for word; nft and the kernel take it, also on top of itself with other rules, and once more anew.
#[test]
fn nft_and_kernel_take_the_table() {
    let mut house = home();
    assert_eq!(house.nft_runs, [include_str!("../data/senders-new.nft")]);
    house.event(Socket::RouteEvents, &messages::route(24, 0, 0, &Route::new("0.0.0.0/0", Some("192.168.2.9"), GUEST)));
    assert_eq!(house.nft_runs[1], include_str!("../data/senders-change.nft"));
    let directory = std::env::temp_dir().join(format!("dots-callhome-senders-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let texts = [&house.nft_runs[0], &house.nft_runs[1], &house.nft_runs[0]];
    for (number, text) in texts.iter().enumerate() {
        std::fs::write(directory.join(number.to_string()), text).unwrap();
    }
    let script = "for text in 0 1 2; do nft -f $text || exit 1; done; nft list table inet dots_callhome_senders";
    let run = |how: &[&str]| {
        std::process::Command::new("unshare")
            .args(how)
            .args(["sh", "-c", script])
            .current_dir(&directory)
            .output()
            .unwrap()
    };
    let mut listed = run(&["--net"]);
    if !listed.status.success() {
        listed = run(&["--map-root-user", "--net"]);
    }
    std::fs::remove_dir_all(&directory).unwrap();
    let (said, errors) = (String::from_utf8_lossy(&listed.stdout), String::from_utf8_lossy(&listed.stderr));
    assert!(listed.status.success() && said.contains("update @v6"), "{said} {errors}");
}
