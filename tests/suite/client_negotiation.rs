//! The provider negotiates heartbeats over datagrams, so that a router soon notices that it is gone, and tells how attacks stand.

use std::time::Duration;

use crate::client::{Provider, path, with};
use crate::support::signal::*;
use dots_callhome::client::{Event, Outcome, RequestFailure, Session};
use dots_callhome::coap::Endpoint;
use dots_callhome::model::Scope;
use dots_callhome::signal::body::{AttackStatus, Lifetime};

const DEFAULTS: &str = "33:{34:240,35:15,36:30},37:{34:20,35:3,36:15}";

/// A router that says this of both sets; what it is asked for then.
fn proposal(idle: &str, mitigating: &str) -> (Provider, Option<Message>) {
    let mut provider = Provider::silent();
    let [config, all] = provider.take().try_into().unwrap();
    provider.answer(&all, NOT_FOUND, |answer| answer);
    let body = format!("{{30:{{44:{{{idle}}},32:{{{mitigating}}}}}}}");
    provider.answer(&config, CONTENT, |answer| with(answer, &body).number(MAX_AGE, 1000));
    let asked = provider.take().pop();
    (provider, asked)
}

fn both(set: &str) -> String {
    canonical(&format!("{{30:{{32:{{{set}}},44:{{{set}}}}}}}"))
}

/// Proves SC-4.5.2-01, SC-4.5.2-02, SC-4.5.2-03, SC-4.5-01, SC-4.5.3-04, SC-4.5.2-17: as often and as soon as the RFC allows, and kept
/// fresh by its number.
#[test]
fn heartbeats_are_negotiated() {
    let (mut provider, asked) = proposal(DEFAULTS, DEFAULTS);
    let put = asked.unwrap();
    assert_eq!((put.kind, put.code, path(&put)), (CON, PUT, ".well-known/dots/config/sid=1".to_owned()));
    assert_eq!(put.body(), both("33:{36:15},37:{36:3}"));
    assert_eq!(provider.router.lost_after(), Some(450), "nothing is in force yet");
    provider.answer(&put, CREATED, |answer| answer);
    assert_eq!(provider.router.lost_after(), Some(45));
    provider.pass(seconds(15));
    assert_eq!(path(&provider.one()), ".well-known/dots/hb");
    provider.pass(seconds(29));
    assert!(!provider.is_lost());
    provider.pass(seconds(2));
    assert!(provider.is_lost());

    let (mut provider, asked) = proposal(DEFAULTS, DEFAULTS);
    provider.answer(&asked.unwrap(), CREATED, |answer| answer);
    let again = loop {
        provider.pass(seconds(10));
        provider.hear(&put_heartbeat());
        if let Some(again) = provider.take().into_iter().find(|message| path(message).contains("config")) {
            break again;
        }
    };
    assert_eq!((again.code, path(&again)), (GET, ".well-known/dots/config/sid=1".to_owned()));
    // The router has forgotten it: what is in force now is asked without a number, and negotiated anew with a higher one.
    provider.answer(&again, NOT_FOUND, |answer| answer);
    let again = provider.one();
    assert_eq!(path(&again), ".well-known/dots/config");
    provider.answer(&again, CONTENT, |answer| with(answer, &format!("{{30:{{44:{{{DEFAULTS}}}}}}}")));
    assert_eq!(path(&provider.one()), ".well-known/dots/config/sid=2");
}

fn put_heartbeat() -> Message {
    put("hb", "{49:{51:true}}").token(&[1])
}

/// Proves SC-4.5.2-11: within the limits that the router tells, and only what is not so already.
#[test]
fn limits_are_kept() {
    let narrow = "33:{34:240,35:20,36:30},37:{34:20,35:5,36:15}";
    assert_eq!(proposal(narrow, narrow).1.unwrap().body(), both("33:{36:20},37:{36:5}"));
    let low = "33:{34:10,35:5,36:8},37:{34:2,35:1,36:2}";
    assert!(proposal(low, low).1.is_none());
    let fine = "33:{34:240,35:15,36:15},37:{34:20,35:3,36:3}";
    assert!(proposal(fine, fine).1.is_none());
    let body = proposal(fine, DEFAULTS).1.unwrap().body();
    assert_eq!(body, canonical("{30:{32:{33:{36:15},37:{36:3}}}}"));
    // Who has turned them off wants none.
    let off = "33:{34:240,35:15,36:0},37:{34:20,35:3,36:15}";
    assert!(proposal(off, off).1.is_none());
    // Limits that contradict each other, and nonsense.
    let odd = "33:{34:15,35:240,36:250},37:{34:20,35:3,36:3}";
    assert_eq!(proposal(odd, odd).1.unwrap().body(), both("33:{36:240}"));
    assert!(proposal("33:{34:\"x\",36:30}", DEFAULTS).1.is_none());
}

/// Proves SC-4.5.2-08: limits that have changed are asked for, but not for ever.
#[test]
fn a_refused_proposal_is_made_anew() {
    let (mut provider, asked) = proposal(DEFAULTS, DEFAULTS);
    let mut put = asked.unwrap();
    for sid in 1..=8 {
        assert_eq!(path(&put), format!(".well-known/dots/config/sid={sid}"));
        provider.answer(&put, UNPROCESSABLE, |answer| answer);
        let question = provider.one();
        assert_eq!((question.code, path(&question)), (GET, ".well-known/dots/config".to_owned()));
        let body = format!("{{30:{{44:{{{DEFAULTS}}},32:{{{DEFAULTS}}}}}}}");
        provider.answer(&question, CONTENT, |answer| with(answer, &body).number(MAX_AGE, 1000));
        match provider.take().pop() {
            Some(next) => put = next,
            None => assert_eq!(sid, 8),
        }
    }
    // Whoever wants none of it keeps to what there was.
    let (mut provider, asked) = proposal(DEFAULTS, DEFAULTS);
    provider.answer(&asked.unwrap(), BAD_REQUEST, |answer| answer);
    assert!(provider.take().is_empty());
    assert_eq!(provider.router.lost_after(), Some(450));
}

/// Proves SC-4.5-05: over a stream there is nothing to negotiate.
#[test]
fn streams_negotiate_nothing() {
    let now = std::time::Instant::now();
    let mut router = Session::new(Endpoint::stream(Box::new(Dice(7))), K.to_owned(), now);
    router.handle_input(&[0, 0xe1], now).unwrap();
    let mut said = Vec::new();
    let mut bytes: Vec<u8> = std::iter::from_fn(|| router.poll_transmit()).flatten().collect();
    while let Some((message, used)) = Message::of_stream(&bytes) {
        bytes.drain(..used);
        said.push(message);
    }
    let config = said.into_iter().find(|message| message.code == GET).unwrap();
    let answer = Message { code: CONTENT, token: config.token, ..Message::default() };
    router.handle_input(&with(answer, &format!("{{30:{{44:{{{DEFAULTS}}}}}}}")).frame(), now).unwrap();
    assert_eq!(router.poll_transmit(), None);
}

/// Proves SC-4.4.3-01, SC-4.4.3-02, SC-4.4.3-05: all as it was asked for but the lifetime.
#[test]
fn it_tells_how_an_attack_stands() {
    let scope = || Scope {
        source_prefixes: vec!["2001:db8:123::1/128".parse().unwrap()],
        target_prefixes: vec!["2001:db8:d000::5/128".parse().unwrap()],
        ..Scope::default()
    };
    for (status, number) in [(AttackStatus::UnderAttack, 1), (AttackStatus::Mitigated, 2)] {
        let mut provider = Provider::new();
        provider.mitigated(5);
        provider.events.clear();
        let now = provider.now;
        provider.router.tell_efficacy(7, 5, scope(), Lifetime::Seconds(1800), status, now);
        provider.collect();
        let put = provider.one();
        assert_eq!((put.kind, put.code), (NON, PUT));
        assert!(path(&put).ends_with("/mid=5"));
        assert_eq!(put.options.iter().find(|(option, _)| *option == IF_MATCH).map(|(_, value)| value.len()), Some(0));
        let body = format!("6:[\"2001:db8:d000::5/128\"],32768:[\"2001:db8:123::1/128\"],14:1800,29:{number}");
        assert_eq!(put.body(), canonical(&crate::support::signal::scope(&body)));
        provider.answer(&put, CHANGED, |answer| with(answer, "{1:{2:[{5:5,14:1800}]}}"));
        assert!(matches!(provider.events[..], [Event::Answered(7, Ok(Outcome::Mitigation(5)))]));
        let known = provider.router.mitigations().next().unwrap().1;
        assert_eq!((known.report.lifetime, known.report.status), (Some(1800), Some(2)));
    }
    // A router that knows no such mitigation says nothing (RFC 9132 section 4.4.3).
    let mut provider = Provider::new();
    let now = provider.now;
    provider.router.tell_efficacy(7, 5, scope(), Lifetime::Indefinite, AttackStatus::UnderAttack, now);
    provider.pass(Duration::from_secs(11));
    assert!(matches!(provider.events[..], [Event::Answered(7, Err(RequestFailure::NoAnswer))]));
}
