//! What a provider is told of its requests when it asks.

use crate::support::signal::*;
use dots_callhome::model::Traffic;

/// A mitigation of 57 as in example 4, in force, with counters.
fn counted(stream: bool) -> TestRouter {
    let mut house = TestRouter::serving(stream);
    house.want(
        57,
        "{1:{2:[{6:[\"203.0.113.80/32\"],7:[{8:80},{8:443}],10:[6],32768:[\"198.51.100.7/32\"],\
         32769:[{8:40000,9:40999}],14:1800}]}}",
    );
    house.pass(seconds(300));
    let id = house.id(57);
    house.ledger.handle_counted(id, Traffic { packets: 333_334, bytes: 134_334_555 }, house.now);
    house.settle();
    house.heard();
    house
}

/// Proves SC-4.4.2-07, SC-4.4.2-08, SC-4.4.2-09, SC-4.4.2-10, SC-4.4.2-11, SC-6-01, SC-6-02, SC-4.4.1.1-30, CH-9-02:
/// example 4. The harness reads each number as an unsigned integer without a tag.
#[test]
fn everything_about_a_mitigation() {
    for stream in [false, true] {
        let mut house = counted(stream);
        assert_eq!(
            house.ask(&get("mitigate/K/57")).to_string(),
            "2.05 {1:{2:[{5:57,6:[\"203.0.113.80/32\"],7:[{8:80},{8:443}],10:[6],14:1500,15:1767225600,16:2,\
             25:134334555,26:447781,27:333334,28:1111,32768:[\"198.51.100.7/32\"],32769:[{8:40000,9:40999}]}]}}"
        );
    }
}

/// Proves SC-4.4.2-04, SC-4.4.2-06.
#[test]
fn configuration_the_rest_or_all() {
    let configuration = "6:[\"203.0.113.80/32\"],7:[{8:80},{8:443}],10:[6],14:1500,32768:[\"198.51.100.7/32\"],32769:[{8:40000,9:40999}]";
    let rest = "14:1500,15:1767225600,16:2,25:134334555,26:447781,27:333334,28:1111";
    for stream in [false, true] {
        let mut house = counted(stream);
        for path in ["mitigate/K/57", "mitigate/K"] {
            let mut ask = |query: &str| house.ask(&get(path).query(query)).to_string();
            assert_eq!(ask("c=c"), format!("2.05 {{1:{{2:[{{5:57,{configuration}}}]}}}}"));
            assert_eq!(ask("c=n"), format!("2.05 {{1:{{2:[{{5:57,{rest}}}]}}}}"));
            let all = ask("c=a");
            for ignored in ["", "c=x", "c=", "c", "d=n", "x"] {
                assert_eq!(ask(ignored), all);
            }
        }
    }
}

/// Proves SC-4.4.2-07: prefixes in the order of the request, requests in the order in which they came.
#[test]
fn the_order_is_kept() {
    let mut house = TestRouter::tcp();
    let prefixes = "6:[\"2001:db8:ffff::/48\",\"192.0.2.9/32\",\"2001:db8:1::/48\",\"192.0.2.1/32\"]";
    house.want(9, &wanted(prefixes));
    house.want(3, &about(3));
    house.want(5, &about(5));
    assert!(house.ask(&get("mitigate/K/9").query("c=c")).to_string().contains(prefixes));
    let all = house.ask(&get("mitigate/K").query("c=n")).to_string();
    let place = |mid: &str| all.find(mid).expect("listed");
    assert!(place("{5:9,") < place("{5:3,") && place("{5:3,") < place("{5:5,"), "{all}");
}

/// Proves SC-4.4.2-08, CH-5.3.1-26, CH-5.3.1-29, SC-4.4.2-12: no start and no counters before there is a start.
#[test]
fn while_consent_is_awaited() {
    for mut house in TestRouter::both() {
        house = house.asking();
        house.want(1, &wanted(""));
        house.pass(seconds(100));
        assert_eq!(house.ask(&get("mitigate/K/1").query("c=n")).to_string(), "2.05 {1:{2:[{5:1,14:3500,16:1}]}}");
        let id = house.id(1);
        house.enforces = false;
        house.ledger.approve(id, None, &[], None, "root", house.now).unwrap();
        house.settle();
        assert_eq!(house.ask(&get("mitigate/K/1").query("c=n")).to_string(), "2.05 {1:{2:[{5:1,14:3500,16:1}]}}");
        house.ledger.handle_enforced(id, Ok(()), house.now);
        house.settle();
        let answer = house.ask(&get("mitigate/K/1").query("c=n")).to_string();
        assert_eq!(answer, "2.05 {1:{2:[{5:1,14:3500,15:1767225700,16:2,25:0,26:0,27:0,28:0}]}}");
    }
}

/// Proves SC-4.4.2-12: 3 while nothing matches, until withdrawal or expiry.
#[test]
fn an_attack_that_has_stopped() {
    let mut house = TestRouter::udp();
    house.want(1, &wanted("14:7200"));
    let id = house.id(1);
    house.pass(seconds(61));
    house.ledger.handle_counted(id, Traffic::default(), house.now);
    for _ in 0..10 {
        assert!(house.ask(&get("mitigate/K/1").query("c=n")).to_string().contains("16:3"));
        house.pass(seconds(600));
    }
    house.pass(seconds(1200));
    assert_eq!(house.ask(&get("mitigate/K/1")).code(), "4.04");
}

/// Proves SC-4.4.4-09, SC-4.4.2-12: what the router ends itself ends at once, with status 7.
#[test]
fn what_the_administrator_withdraws() {
    let mut house = TestRouter::udp();
    house.want(1, &wanted(""));
    let id = house.id(1);
    house.ledger.withdraw(id, None, "root", house.now).unwrap();
    house.settle();
    assert!(house.ledger.desired(house.now).blocks.is_empty());
    let answer = house.ask(&get("mitigate/K/1").query("c=n")).to_string();
    assert!(answer.contains("16:7") && !answer.contains("17:"), "{answer}");
}

/// The keys of all maps in a body.
fn keys(said: &str) -> Vec<u32> {
    // What stands in quotes holds colons of its own.
    let unquoted: String = said.split('"').step_by(2).collect();
    unquoted.split(['{', ',', '[']).filter_map(|entry| entry.split_once(':')?.0.parse().ok()).collect()
}

/// Proves SC-5.3-03, SC-4.4.2-12, SC-3.1-02, SC-4.4.1.3-05: through a whole life, no key that is not a server's to send
/// and no status Call Home has no use for.
#[test]
fn a_whole_life_holds_no_surprises() {
    let mut house = TestRouter::udp();
    let mut all = vec![house.want(1, &wanted("11:[\"a.example\"]"))];
    house.send(&get("mitigate/K/1").number(6, 0));
    house.ask(&put("mitigate/K/1", &wanted("11:[\"a.example\"],29:1")).option(1, &[]));
    house.pass_alive(seconds(40));
    house.ask(&delete("mitigate/K/1"));
    house.pass_alive(seconds(200));
    all.extend(house.heard().iter().filter(|message| message.code >= 0x40).map(Message::to_string));
    assert!(all.len() > 10);
    let allowed = [1, 2, 5, 6, 11, 14, 15, 16, 25, 26, 27, 28, 32768];
    for said in &all {
        assert!(keys(said).iter().all(|key| allowed.contains(key)), "{said}");
    }
    let statuses: Vec<bool> =
        [1, 2, 5, 6].iter().map(|n| all.iter().any(|said| said.contains(&format!(",16:{n}")))).collect();
    assert_eq!(statuses, [false, true, true, true], "{all:?}");
}
