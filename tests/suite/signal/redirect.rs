//! A provider that sends the router elsewhere.

use crate::support::signal::*;
use dots_callhome::signal::redirect::Redirect;
use dots_callhome::signal::session::Event;

const EXAMPLE: &str =
    "{46:{32773:\"alt-call-home-client.example\",32774:[\"2001:db8:6401::1\",\"2001:db8:6401::2\"],32775:600}}";

/// Proves CH-5.2.2-08, CH-6.2-01: example 18; with cuid and mid and without; the answer before the event.
#[test]
fn a_redirect_is_answered_and_told() {
    let bytes = hex(
        "a1182ea3198005781c616c742d63616c6c2d686f6d652d636c69656e742e6578616d706c651980068270323030313a6462383a3634
                     30313a3a3170323030313a6462383a363430313a3a32198007190258",
    );
    assert_eq!(diag::decode(&bytes), canonical(EXAMPLE));
    let expected = Redirect {
        name: "alt-call-home-client.example".into(),
        addresses: vec!["2001:db8:6401::1".parse().unwrap(), "2001:db8:6401::2".parse().unwrap()],
        ttl: Some(600),
    };
    assert_eq!(expected.encode(), bytes);
    for mut house in TestRouter::both() {
        for path in ["redirect/K/123", "redirect", "redirect/K", "/.well-known/dots/redirect/cdid=x/cuid=y/mid=0"] {
            house.session_events();
            let answer = house.ask(&request(PUT, path).number(12, 271).raw(bytes.clone()));
            assert_eq!((answer.code().as_str(), answer.payload.len()), ("2.01", 0));
            assert_eq!(house.session_events(), [Event::Redirected(expected.clone())]);
        }
        assert_eq!(house.ask(&get("config")).code(), "2.05", "the session is its owner's to end");
    }
}

/// Proves CH-5.2.2-05, CH-5.2.2-06: address list and time are optional.
#[test]
fn a_name_is_enough() {
    let mut house = TestRouter::udp();
    house.session_events();
    assert_eq!(house.ask(&put("redirect", "{46:{32773:\"b.example\"}}")).code(), "2.01");
    assert_eq!(house.ask(&put("redirect", "{46:{32773:\"b.example\",32775:4294967295}}")).code(), "2.01");
    assert_eq!(house.ask(&put("redirect", "{46:{32773:\"b.example\",32775:0}}")).code(), "2.01");
    let ttls: Vec<Option<u32>> = house
        .session_events()
        .into_iter()
        .map(|event| match event {
            Event::Redirected(redirect) if redirect.addresses.is_empty() => redirect.ttl,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(ttls, [None, Some(u32::MAX), Some(0)]);
}

/// Proves CH-5.2.2-04, CH-5.2.2-09, CH-5.2.2-07: example 18; base DOTS' own attributes are none here.
#[test]
fn what_cannot_be_followed() {
    for mut house in TestRouter::both() {
        house.session_events();
        let long = format!("{{46:{{32773:\"{}\"}}}}", "a.".repeat(127) + "a");
        for (body, words) in [
            ("{46:{32774:[\"2001:db8:6401::1\"]}}", "alt-ch-client missing"),
            ("{46:{}}", "alt-ch-client missing"),
            ("{}", "redirected-signal missing"),
            ("{46:{47:\"alt-server.example\",48:[\"2001:db8:6401::1\"]}}", "47 48"),
            ("{46:{32773:\"a.example\",47:\"b.example\"}}", "47"),
            ("{46:{32773:\"\"}}", "alt-ch-client is empty"),
            ("{46:{32773:\"a b\"}}", "alt-ch-client"),
            ("{46:{32773:\"a..b\"}}", "alt-ch-client"),
            ("{46:{32773:\"https://a.example/\"}}", "alt-ch-client"),
            (&long, "alt-ch-client"),
            ("{46:{32773:7}}", "alt-ch-client"),
            ("{46:{32773:\"a.example\",32774:[\"300.1.1.1\"]}}", "alt-ch-client-record"),
            ("{46:{32773:\"a.example\",32774:[\"192.0.2.1/32\"]}}", "alt-ch-client-record"),
            ("{46:{32773:\"a.example\",32774:[\"0.0.0.0\"]}}", "alt-ch-client-record"),
            ("{46:{32773:\"a.example\",32774:[\"ff02::1\"]}}", "alt-ch-client-record"),
            ("{46:{32773:\"a.example\",32774:[]}}", "alt-ch-client-record"),
            ("{46:{32773:\"a.example\",32774:\"192.0.2.1\"}}", "alt-ch-client-record"),
            ("{46:{32773:\"a.example\",32775:4294967296}}", "ttl"),
            ("{46:{32773:\"a.example\",32775:-1}}", "ttl"),
            ("{46:[]}", "redirected-signal"),
            ("{1:{2:[]}}", "1"),
        ] {
            let answer = house.ask(&put("redirect/K/124", body));
            assert_eq!(answer.code(), "4.00", "{body}");
            assert!(answer.text().contains(words), "{body}: {answer}");
        }
        let records = vec!["\"192.0.2.1\""; 17].join(",");
        assert_eq!(
            house.ask(&put("redirect", &format!("{{46:{{32773:\"a.example\",32774:[{records}]}}}}"))).code(),
            "4.00"
        );
        assert!(house.session_events().is_empty(), "the session stays");
    }
}

/// Proves CH-5.2.2-01: not even when there is too much to do.
#[test]
fn the_router_itself_never_redirects() {
    for mut house in TestRouter::both() {
        let mut refused = 0;
        for _ in 0..600 {
            let Some(answer) = house.reply(&get("config")) else { continue };
            if answer.code() == "5.03" {
                refused += 1;
                assert!(answer.uint(14).is_some_and(|seconds| seconds > 0));
                assert!(!answer.text().is_empty());
            }
        }
        assert!(refused > 100);
    }
}
