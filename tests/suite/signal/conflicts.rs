//! Requests that stand in each other's way.

use crate::support::signal::*;

/// Proves SC-4.4.1.3-15, SC-4.4.1.3-14.
#[test]
fn the_higher_mid_takes_the_place_of_the_lower() {
    for mut house in House::both() {
        house.want(1, &wanted(""));
        assert!(house.want(2, &wanted("10:[17]")).starts_with("2.01"));
        assert_eq!(house.ask(&get("mitigate/K/1")).code(), "4.04");
        assert_eq!(house.ask(&get("mitigate/K/2")).code(), "2.05");
    }
}

/// Proves SC-4.4.1.3-16, SC-4.4.1.3-17, SC-9-03, SC-5.3-04: example 12, with conflict-cause and what both are about.
#[test]
fn a_lower_mid_is_told_of_the_higher() {
    let example =
        canonical(&diag::decode(&hex("a101a10281a111a2130115a2068174323030313a6462383a633030303a3a312f313238051838")));
    for mut house in House::both() {
        house.want(56, &wanted(""));
        let answer = house.ask(&put("mitigate/K/50", &wanted("")));
        assert_eq!((answer.code().as_str(), answer.body()), ("4.09", example.clone()));
        assert_eq!(house.ask(&get("mitigate/K/50")).code(), "4.04");
        assert!(house.ask(&get("mitigate/K/56")).to_string().contains("14:3600"), "as before");
    }
}

/// Proves SC-4.4.1.3-16, SC-7.3-02: however much both are about, the answer fits a datagram.
#[test]
fn a_large_conflict_is_told_in_part() {
    let mut house = House::udp();
    let targets =
        (0..22).map(|n| format!("\"2001:db8:d000:1111:2222:3333:4444:{n:x}/128\"")).collect::<Vec<_>>().join(",");
    assert!(house.want(5, &wanted(&format!("6:[{targets}]"))).starts_with("2.01"));
    let answer = house.ask(&put("mitigate/K/4", &wanted(&format!("6:[{targets}]"))));
    assert_eq!(answer.code(), "4.09");
    assert!(answer.body().contains("5:5") && answer.datagram().len() <= 1152);
}

/// A cuid counts within the peer that has proven who it is: one provider cannot take another's and lock it out.
#[test]
fn the_cuid_of_another_peer_is_no_collision() {
    for stream in [false, true] {
        let mut house = House::new(stream);
        let other = house.connect("other", stream);
        house.want(1, &wanted(""));
        let body = wanted("6:[\"2001:db8:c000::9/128\"]");
        let answer = house.ask_on(other, &put("mitigate/K/12", &body));
        assert_eq!(answer.code(), "2.01");
        assert_eq!(house.ask(&get("mitigate/K/12")).code(), "4.04");
        assert_eq!(house.ask_on(other, &get("mitigate/K/1")).code(), "4.04");
    }
}

/// Proves SC-4.4.1.3-20, SC-4.4.1.3-21, SC-4.4.1.3-27, SC-4.4.2.1-04: both stand, and both clients know of it.
#[test]
fn requests_of_two_clients_about_the_same_attack() {
    let conflict = format!("17:{{18:2,19:1,21:{{6:[\"{TARGET}\"]}}}}");
    for stream in [false, true] {
        let mut house = House::new(stream);
        let other = house.connect("other", stream);
        house.want(1, &wanted(""));
        house.ask(&get("mitigate/K/1").token(b"obs").number(6, 0).query("c=n"));
        let answer = house.ask_on(other, &put("mitigate/L/12", &wanted("")));
        assert_eq!(answer.to_string(), format!("2.01 {{1:{{2:[{{5:12,14:3600,{conflict}}}]}}}}"));
        house.pass(seconds(3));
        let told = house.notified(b"obs").pop().expect("the first client is told").to_string();
        assert!(told.contains(&conflict) && told.contains("16:2"), "{told}");
        let asked = house.ask_on(other, &get("mitigate/L/12")).to_string();
        assert!(asked.contains(&conflict) && !asked.contains("20:"), "{asked}");
        assert!(!house.ask(&get("mitigate/K/1").query("c=c")).to_string().contains("17:"));
        assert!(house.want(1, &wanted("")).contains(&conflict));

        house.ask_on(other, &delete("mitigate/L/12"));
        assert!(!house.ask(&get("mitigate/K/1")).to_string().contains("17:"), "what is withdrawn is in nobody's way");
        house.pass(seconds(130));
        let told = house.notified(b"obs").pop().expect("told again").to_string();
        assert!(!told.contains("17:"), "{told}");
    }
}

/// Proves SC-4.4.1.3-14, SC-4.4.1.3-20: two clients with one identity are two clients.
#[test]
fn another_cuid_of_the_same_peer_is_another_client() {
    for mut house in House::both() {
        house.want(5, &wanted(""));
        let answer = house.ask(&put("mitigate/L/4", &wanted("")));
        assert!(answer.to_string().starts_with("2.01") && answer.to_string().contains("17:{18:2,19:1"), "{answer}");
        let apart = house.ask(&put("mitigate/L/3", &about(1))).to_string();
        assert_eq!(apart, "2.01 {1:{2:[{5:3,14:3600}]}}");
    }
}

/// Proves SC-4.4.1.3-20, SC-11-07: a crowd of clients about one attack is no burden.
#[test]
fn many_clients_about_the_same_attack() {
    let mut house = House::tcp();
    for client in 0..60 {
        assert_eq!(house.ask(&put(&format!("mitigate/client{client}/1"), &wanted(""))).code(), "2.01");
    }
    for client in 0..60 {
        house.ask(&delete(&format!("mitigate/client{client}/1")));
        house.pass(seconds(1));
    }
    house.pass(seconds(200));
    assert_eq!(house.ledger.all().count(), 0);
}
