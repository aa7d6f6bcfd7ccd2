//! What the provider's session says on the wire, byte by byte, and what it makes of whatever a router says.

use std::time::{Duration, Instant};

use crate::client::{Provider, path, with};
use crate::support::signal::*;
use dots_callhome::client::{Event, Session};
use dots_callhome::coap::Endpoint;
use dots_callhome::model::Scope;
use dots_callhome::signal::body::Lifetime;
use dots_callhome::signal::redirect::Redirect;

const URI_PATH: u16 = 11;
const CONTENT_FORMAT: u16 = 12;
const BLOCK1: u16 = 27;

/// What the provider says to this request of the router.
fn answer_to(provider: &mut Provider, request: &Message) -> Message {
    provider.hear(&request.clone().token(&[1]));
    provider.one()
}

fn everything() -> Scope {
    Scope {
        target_prefixes: vec!["192.0.2.0/24".parse().unwrap(), "2001:db8:1::/64".parse().unwrap()],
        target_ports: vec!["80".parse().unwrap(), "8000-8080".parse().unwrap()],
        target_protocols: vec![6, 255],
        source_prefixes: vec!["198.51.100.7/32".parse().unwrap(), "fe80::1/128".parse().unwrap()],
        source_ports: vec!["40000-40959".parse().unwrap()],
        source_icmp_types: vec!["8".parse().unwrap(), "128-129".parse().unwrap()],
        ..Scope::default()
    }
}

/// Proves SC-4.2-03, SC-10.4-01, SC-4.4.1.1-16, SC-4.4.1.1-17, SC-4.4.1.1-20, SC-4.4.1.1-23, SC-4.4.1.1-24, CH-5.3.1-03, CH-5.3.1-05,
/// CH-5.3.1-07, CH-5.3.1-08, CH-5.3.2-05, CH-6.2-01, SC-6-01, SC-6-02, SC-6-05, SC-10.6.1.1-01, SC-3.1-02.
#[test]
fn a_request_byte_by_byte() {
    let mut provider = Provider::new();
    provider.router.request(1, 7, everything(), Lifetime::Indefinite, provider.now);
    provider.collect();
    let request = provider.one();
    assert_eq!((request.kind, request.code), (NON, PUT));
    let segments = request.options.iter().filter(|(number, _)| *number == URI_PATH);
    let segments: Vec<&str> = segments.map(|(_, value)| std::str::from_utf8(value).unwrap()).collect();
    assert_eq!(segments, [".well-known", "dots", "mitigate", &format!("cuid={K}"), "mid=7"]);
    assert_eq!(request.uint(CONTENT_FORMAT), Some(271));
    let told = "{1:{2:[{6:[\"192.0.2.0/24\",\"2001:db8:1::/64\"],7:[{8:80},{8:8000,9:8080}],10:[6,255],14:-1,\
        32768:[\"198.51.100.7/32\",\"fe80::1/128\"],32769:[{8:40000,9:40959}],32770:[{32771:8},{32771:128,32772:129}]}]}}";
    assert_eq!(request.body(), canonical(told));

    // What is not known is not there: no key has an empty value.
    provider.ask(8);
    let told = "{1:{2:[{6:[\"2001:db8:d000::8/128\"],14:3600,32768:[\"2001:db8:123::1/128\"]}]}}";
    assert_eq!(provider.one().body(), canonical(told));
}

/// Proves SC-4.7-01, SC-4.7-02, SC-4.7-04, SC-4.7-07, SC-4.5-02, SC-4.5.2-12, SC-4.5.2-13, SC-4.5.2-16, SC-6-04: every 30 seconds,
/// far below five bytes a second.
#[test]
fn a_heartbeat_byte_by_byte() {
    let mut provider = Provider::new();
    for _ in 0..3 {
        provider.pass(seconds(30) - Duration::from_millis(1));
        assert!(provider.take().is_empty());
        provider.pass(Duration::from_millis(1));
        let beat = provider.one();
        assert_eq!((beat.kind, beat.code), (NON, PUT));
        assert_eq!(path(&beat), ".well-known/dots/hb");
        assert!(beat.datagram().len() < 5 * 30);
        let is_heard = beat.body() == canonical("{49:{51:true}}") || beat.body() == canonical("{49:{51:false}}");
        assert!(is_heard, "{}", beat.body());
        provider.answer(&beat, CHANGED, |answer| answer);
        provider.hear(&put("hb", "{49:{51:true}}").token(&[1]));
        assert_eq!(provider.one().code(), "2.04");
    }
}

/// Proves SC-3-07, SC-4.2-02, SC-4.7-02, SC-4.7-04, SC-6-04, SC-6-06, SC-10.6.1.1-01, SC-11-07.
#[test]
fn what_no_heartbeat_is_gets_an_error_with_its_reason() {
    let mut provider = Provider::new();
    for body in [
        "{49:{}}",
        "{49:{51:1}}",
        "{49:{51:true,52:1}}",
        "{49:{51:true,256:1}}",
        "{49:{51:true},0:1}",
        "{}",
        "[]",
        "{1:{2:[]}}",
    ] {
        let answer = answer_to(&mut provider, &put("hb", body));
        assert_eq!(answer.code(), "4.00", "{body}");
        assert!(!answer.text().is_empty(), "{body}");
    }
    for nothing in [vec![], vec![0xa1], vec![0x9f; 1000], vec![0xa1; 1000]] {
        let answer = answer_to(&mut provider, &request(PUT, "hb").number(CONTENT_FORMAT, DOTS.into()).raw(nothing));
        assert_eq!(answer.code(), "4.00");
        assert!(!answer.text().is_empty());
    }
    for (other, code) in
        [("mitigate/K/5", "4.04"), ("config", "4.04"), ("redirect", "4.04"), ("hb/K", "4.00"), ("beat", "4.04")]
    {
        let answer = answer_to(&mut provider, &put(other, "{49:{51:true}}"));
        assert_eq!(answer.code(), code, "{other}");
        assert!(!answer.text().is_empty(), "{other}");
    }
    assert_eq!(answer_to(&mut provider, &get("hb")).code(), "4.05");
}

/// Proves SC-3-09, SC-4.4.1.3-08, SC-6-08, SC-10.5-01, SC-3.1-01, DR-4.2-02: with unknown keys that are optional, with the tag of
/// DOTS, without a Content-Format.
#[test]
fn a_body_is_read_for_what_it_is() {
    let mut provider = Provider::new();
    let tagged = [&hex("d9010f")[..], &diag::encode("{49:{51:true}}")].concat();
    let optional = "{49:{51:true,200:[1,{2:\"x\"}],40000:null},255:1,49200:{}}";
    for beat in [
        put("hb", "{49:{51:true}}").without(CONTENT_FORMAT),
        put("hb", optional),
        request(PUT, "hb").number(CONTENT_FORMAT, DOTS.into()).raw(tagged),
    ] {
        let answer = answer_to(&mut provider, &beat);
        assert_eq!((answer.code(), answer.payload.len()), ("2.04".to_owned(), 0), "{beat:?}");
    }
    let observation = provider.mitigated(5);
    let told = "{1:{2:[{5:5,14:3000,16:4,200:1,40000:[{1:2}]}]},255:\"x\"}";
    provider.answer(&observation, CONTENT, |answer| with(answer.number(OBSERVE, 2), told));
    assert_eq!(provider.router.mitigations().next().unwrap().1.report.status, Some(4));
    for refused in ["{1:{2:[{5:5,14:3000,16:\"2\"}]}}", "{1:{}}", "{1:{2:{}}}"] {
        provider.answer(&observation, CONTENT, |answer| with(answer.number(OBSERVE, 3), refused));
        assert_eq!(provider.router.mitigations().next().unwrap().1.report.status, Some(4), "{refused}");
    }
}

/// Proves CH-5.2.2-04, CH-5.2.2-05, CH-5.2.2-06, CH-5.2.2-07, CH-6.2-01.
#[test]
fn a_redirect_byte_by_byte() {
    let mut provider = Provider::new();
    let redirect = |addresses: &[&str], ttl| Redirect {
        name: "isp2.example".into(),
        addresses: addresses.iter().map(|address| address.parse().unwrap()).collect(),
        ttl,
    };
    for (redirect, told) in [
        (redirect(&[], None), "{46:{32773:\"isp2.example\"}}"),
        (
            redirect(&["192.0.2.1", "2001:db8::1"], Some(60)),
            "{46:{32773:\"isp2.example\",32774:[\"192.0.2.1\",\"2001:db8::1\"],32775:60}}",
        ),
    ] {
        provider.router.redirect(1, &redirect, provider.now);
        provider.collect();
        let request = provider.one();
        assert_eq!((request.code, path(&request)), (PUT, ".well-known/dots/redirect".to_owned()));
        assert_eq!(request.body(), canonical(told));
        provider.answer(&request, CHANGED, |answer| answer);
    }
}

/// A provider that has heard this configuration.
fn configured(body: &str) -> Provider {
    let mut provider = Provider::silent();
    let [config, all] = provider.take().try_into().unwrap();
    provider.answer(&config, CONTENT, |answer| with(answer, body).number(MAX_AGE, u32::MAX));
    provider.answer(&all, NOT_FOUND, |answer| answer);
    provider.take();
    provider
}

/// When the next heartbeats are due, in seconds from now.
fn beats(provider: &mut Provider, time: u64) -> usize {
    provider.pass(seconds(time));
    provider.take().iter().filter(|message| path(message).ends_with("hb")).count()
}

/// Proves CH-5.2.1-03, SC-4.5-03, SC-4.5-04, SC-6-03: the interval of peace, then that of an attack, by itself; numbers in hundredths.
#[test]
fn the_set_in_force_follows_the_mitigations() {
    let mut provider = configured("{30:{32:{33:{36:20},39:{43:4([-2,210])}},44:{33:{36:60},39:{43:4([-2,200])}}}}");
    assert_eq!(beats(&mut provider, 121), 2);
    let observation = provider.mitigated(5);
    assert_eq!(beats(&mut provider, 120), 6);
    provider.answer(&observation, NOT_FOUND, |answer| answer);
    provider.take();
    assert_eq!(beats(&mut provider, 120), 2);
}

/// Proves SC-4.5.2-15, SC-4.7-08: of a router that would have heartbeats every second, or none ever missed.
#[test]
fn parameters_that_are_unsafe_are_not_taken() {
    let body = "{30:{44:{33:{36:1},37:{36:0},38:{36:0},39:{43:4([-2,1])},40:{43:4([-2,1])}}}}";
    let mut provider = configured(body);
    let count = beats(&mut provider, 120);
    assert!(count <= 8, "{count} heartbeats in 120 s");
}

/// Proves SC-4.7-09: over a stream too the router has the time of its heartbeats.
#[test]
fn silence_on_a_stream_ends_the_session() {
    let mut now = Instant::now();
    let mut router = Session::new(Endpoint::stream(Box::new(Dice(7))), K.to_owned(), now);
    router.handle_input(&Message { code: 0xe1, ..Message::default() }.frame(), now).unwrap();
    let end = now + seconds(15 * 30);
    let mut lost = None;
    while let (None, Some(due)) = (lost, router.poll_timeout()) {
        now = due;
        router.handle_timeout(now);
        lost = std::iter::from_fn(|| router.poll_event()).find(|event| matches!(event, Event::Lost)).map(|_| now);
    }
    assert_eq!(lost, Some(end));
}

/// Proves BW-2.2-01.
#[test]
fn block_size_seven_is_refused() {
    let mut provider = Provider::new();
    let beat = put("hb", "{49:{51:true}}").number(BLOCK1, block(0, false, 7));
    assert_eq!(answer_to(&mut provider, &beat).code(), "4.00");
}

/// Proves SC-11-07: a report without end ends the question, not the session.
#[test]
fn a_report_in_too_many_blocks_is_given_up() {
    let begun = Instant::now();
    let mut provider = Provider::new();
    let mut asked = provider.mitigated(5);
    for number in 0..10_000 {
        provider.answer(&asked, CONTENT, |answer| {
            answer.number(CONTENT_FORMAT, DOTS.into()).number(23, block(number, true, 6)).raw(vec![0; 1024])
        });
        match provider.take().pop() {
            Some(next) => asked = next,
            None => {
                assert!(!provider.events.iter().any(|event| matches!(event, Event::Lost)));
                return;
            }
        }
    }
    panic!("it goes on and on, {} s long", begun.elapsed().as_secs());
}
