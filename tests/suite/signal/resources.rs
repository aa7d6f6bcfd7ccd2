//! Paths, methods and codes: what the router serves, and how it refuses the rest.

use crate::support::signal::*;

fn code(house: &mut House, message: &Message) -> String {
    house.ask(message).code()
}

/// Proves SC-4.2-01, SC-4.2-02, SC-4.2-03, SC-3-07.
#[test]
fn only_the_four_resources_exist() {
    for mut house in House::both() {
        for path in [
            "/",
            "/.well-known",
            "/.well-known/dots",
            "/dots/mitigate",
            "/well-known/dots/config",
            "/.well-known/core",
            "unknown",
            "foo",
            "mitigated/K/1",
            "/.WELL-KNOWN/dots/config",
            "/.well-known/dots/Config",
        ] {
            for method in [GET, PUT, DELETE] {
                assert_eq!(code(&mut house, &request(method, path).con()), "4.04", "{path}");
            }
        }
        let in_one = Message { code: GET, kind: NON, ..Message::default() };
        assert_eq!(code(&mut house, &in_one), "4.04");
        let glued =
            in_one.option(11, b".well-known").option(11, b"dots").option(11, format!("mitigate/cuid={K}").as_bytes());
        assert_eq!(code(&mut house, &glued), "4.04");
        assert_eq!(code(&mut house, &get("/.well-known/dots/mitigate/cuid=K/x")), "4.04");
    }
}

/// Proves SC-3-05, SC-3-06: one of each method, and what they return has the media type.
#[test]
fn get_put_and_delete_are_served() {
    for mut house in House::both() {
        assert_eq!(code(&mut house, &put("mitigate/K/1", &wanted(""))), "2.01");
        for path in ["mitigate/K/1", "mitigate/K", "config"] {
            assert_eq!(house.ask(&get(path)).uint(12), Some(271));
        }
        assert_eq!(code(&mut house, &put("hb", "{49:{51:true}}")), "2.04");
        assert_eq!(code(&mut house, &put("config/sid=1", "{30:{44:{33:{36:60}}}}")), "2.01");
        assert_eq!(code(&mut house, &delete("config/sid=1")), "2.02");
        assert_eq!(code(&mut house, &delete("mitigate/K/1")), "2.02");
    }
}

/// Proves CO-5.8-01: example 20.
#[test]
fn other_methods_are_not_allowed() {
    for mut house in House::both() {
        for path in
            ["mitigate/K/71", "mitigate/K", "mitigate", "config", "config/sid=1", "hb", "redirect", "redirect/K/1"]
        {
            for method in [POST, 5, 6, 7, 31] {
                let answer = house.ask(&request(method, path).con());
                assert_eq!(answer.code(), "4.05", "{path} {method}");
                assert!(!answer.text().is_empty());
            }
        }
        for (method, path) in [(GET, "hb"), (DELETE, "hb"), (GET, "redirect"), (DELETE, "redirect")] {
            assert_eq!(code(&mut house, &request(method, path).con()), "4.05");
        }
    }
}

/// Proves CO-5.10.4-01: before anything is done.
#[test]
fn only_one_format_can_be_had() {
    for mut house in House::both() {
        house.want(1, &wanted(""));
        for path in ["mitigate/K/1", "mitigate/K", "config"] {
            let answer = house.ask(&get(path).number(17, 50));
            assert_eq!((answer.code().as_str(), answer.payload.len()), ("4.06", 0));
            assert_eq!(code(&mut house, &get(path).number(17, 271)), "2.05");
        }
        assert_eq!(code(&mut house, &put("mitigate/K/2", &about(2)).number(17, 0)), "4.06");
        assert_eq!(house.ledger.all().count(), 1);
        assert_eq!(code(&mut house, &put("hb", "{49:{51:true}}").number(17, 0)), "2.04", "there is nothing to accept");
    }
}

/// Proves SC-4.4.1.3-02, SC-4.4.2-02, SC-4.4.4-02, SC-4.4.1.1-15: example 20.
#[test]
fn cuid_and_mid_are_mandatory_and_in_order() {
    for mut house in House::both() {
        let path = |rest: &str| format!("/.well-known/dots/mitigate{rest}");
        for rest in ["", "/mid=1"] {
            for method in [PUT, DELETE] {
                let answer = house.ask(&request(method, &path(rest)).raw(diag::encode(&wanted(""))));
                assert_eq!(answer.code(), "4.00", "{rest}");
                assert!(answer.text().contains("cuid"), "{answer}");
            }
        }
        assert_eq!(code(&mut house, &get("mitigate")), "4.00");
        for method in [PUT, DELETE] {
            let answer = house.ask(&request(method, "mitigate/K").raw(diag::encode(&wanted(""))));
            assert_eq!((answer.code().as_str(), answer.text()), ("4.00", "mid missing"));
        }
        for rest in
            ["/mid=1/cuid=K", "/cuid=K/mid=1/cdid=x", "/cuid=K/cuid=L/mid=1", "/cuid=K/mid=1/mid=2", "/cuid=K/sid=1"]
        {
            for method in [GET, PUT, DELETE] {
                let answer = house.ask(&request(method, &path(rest)).raw(diag::encode(&wanted(""))));
                assert_eq!(answer.code(), "4.00", "{rest}");
            }
        }
        assert_eq!(house.ledger.all().count(), 0);
    }
}

/// Proves SC-4.4.1.3-03, SC-4.4.1.1-13.
#[test]
fn mids_are_numbers_of_32_bits() {
    for mut house in House::both() {
        for bad in ["abc", "-1", "+1", "4294967296", "1.0", " 1", "0x1", "１", "99999999999999999999999"] {
            let answer = house.ask(&put(&format!("/.well-known/dots/mitigate/cuid=K/mid={bad}"), &wanted("")));
            assert_eq!(answer.code(), "4.00", "{bad}");
            assert!(answer.text().contains("mid"));
        }
        assert_eq!(house.want(0, &wanted("")), "2.01 {1:{2:[{5:0,14:3600}]}}");
        assert_eq!(house.want(u32::MAX, &about(1)), "2.01 {1:{2:[{5:4294967295,14:3600}]}}");
        assert_eq!(code(&mut house, &get("mitigate/K/0")), "2.05");
    }
}

/// Proves SC-4.4.1.2-02, SC-4.4.1.3-05: from a client it means nothing, and it is never sent.
#[test]
fn a_cdid_is_ignored() {
    for mut house in House::both() {
        let path = format!("/.well-known/dots/mitigate/cdid=7eeaf349529eb55ed50113/cuid={K}/mid=5");
        assert_eq!(house.ask(&put(&path, &wanted(""))).to_string(), "2.01 {1:{2:[{5:5,14:3600}]}}");
        let with = house.ask(&get(&path)).to_string();
        assert_eq!(house.ask(&get("mitigate/K/5")).to_string(), with, "it is the same without");
        assert!(["{3:", ",3:", "{4:", ",4:"].iter().all(|key| !with.contains(key)), "{with}");
        assert_eq!(house.want(5, &wanted("")), "2.04 {1:{2:[{5:5,14:3600}]}}");
    }
}

/// Proves SC-3-08, SC-4.4.1.3-04, SC-11-08, SC-4.4.2-03: the name another client goes by opens nothing.
#[test]
fn clients_see_only_what_is_theirs() {
    for stream in [false, true] {
        let mut house = House::new(stream);
        let other = house.connect("other", stream);
        house.want(1, &wanted(""));
        for path in ["mitigate/K/1", "mitigate/K"] {
            assert_eq!(house.ask_on(other, &get(path)).code(), "4.04");
        }
        assert_eq!(house.ask_on(other, &delete("mitigate/K/1")).code(), "2.02");
        assert_eq!(house.ask(&get("mitigate/K/1")).code(), "2.05", "nothing was deleted");
        let update = put("mitigate/K/1", &wanted("29:1")).option(1, &[]);
        assert_eq!(house.reply_on(other, &update), None, "an update about nothing known is ignored");
        assert_eq!(house.ask(&get("mitigate/K/2")).code(), "4.04");
        assert_eq!(house.ask(&get("mitigate/L")).code(), "4.04");
    }
}

/// Proves SC-4.5.2-02, SC-4.7-02: nor does anything else belong there.
#[test]
fn config_and_heartbeats_take_no_names_of_clients() {
    for mut house in House::both() {
        for path in [
            "config/cuid=x/sid=1",
            "config/sid=1/cuid=x",
            "config/mid=1",
            "config/sid=x",
            "config/sid=",
            "config/sid=4294967296",
            "hb/cuid=x",
            "hb/mid=1",
            "hb/cdid=x",
        ] {
            let answer = house.ask(&put(path, "{49:{51:true}}"));
            assert_eq!(answer.code(), "4.00", "{path}");
        }
    }
}

/// Proves SC-4.2-02, CH-5.2.1-04, SC-7.2-03: all that the router itself ever asks of the provider.
#[test]
fn the_router_asks_for_nothing_but_heartbeats() {
    for mut house in House::both() {
        house.want(1, &wanted("14:100"));
        house.pass(seconds(449));
        let said = house.heard();
        let is_ping = |message: &Message| message.code == 0xe2 || (message.code == 0 && message.kind == CON);
        assert!(!house.is_stream() || !said.iter().any(|message| message.code == 0));
        assert!(!said.iter().any(is_ping), "no Ping, so none in early data either");
        let asked: Vec<Message> = said.into_iter().filter(|message| (1..32).contains(&message.code)).collect();
        assert_eq!(asked.len(), 14);
        for message in asked {
            let path: Vec<&[u8]> =
                message.options.iter().filter(|(n, _)| *n == 11).map(|(_, v)| v.as_slice()).collect();
            assert_eq!((message.code, path), (PUT, vec![&b".well-known"[..], b"dots", b"hb"]));
        }
    }
}
