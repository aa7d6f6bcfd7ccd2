//! What the provider's session makes of reports: what ends a mitigation, what does not, and when it asks by itself.

use std::time::Duration;

use crate::client::{Provider, path, status, with};
use crate::support::signal::*;
use dots_callhome::client::Event;

/// What is shown of the only mitigation: its status, and whether it has ended.
fn shown(provider: &Provider) -> (Option<u8>, bool) {
    let known = provider.router.mitigations().next().unwrap().1;
    (known.report.status, known.ended)
}

/// Only one error says that there is no such mitigation. After the others it is asked for again, not at once.
#[test]
fn errors_of_an_observation_end_nothing() {
    for (code, max_age, seconds) in [
        (0xa3, Some(30), 30),
        (0x9d, None, 60),
        (0x82, None, 60),
        (0x80, None, 60),
        (0xa0, None, 60),
        (0xa3, Some(0), 15),
    ] {
        let mut provider = Provider::new();
        let observation = provider.mitigated(5);
        provider.answer(&observation, code, |answer| max_age.into_iter().fold(answer, |a, age| a.number(MAX_AGE, age)));
        assert_eq!((shown(&provider), provider.router.is_mitigating()), ((Some(2), false), true));
        provider.pass(Duration::from_secs(seconds - 1));
        assert!(provider.paths().iter().all(|(_, path)| path.ends_with("hb")));
        provider.pass(Duration::from_secs(1));
        let again = provider.take().into_iter().find(|message| message.code == GET).unwrap();
        assert_eq!(path(&again), path(&observation));
        // One that does not take our options is asked without.
        let is_plain = (again.value(15).is_none(), again.uint(OBSERVE).is_none());
        assert_eq!(is_plain, (code == 0x82, code == 0x82));
        provider.answer(&again, CONTENT, |answer| status(answer, 7, 5, 2));
        provider.answer(&again, NOT_FOUND, |answer| answer);
        if code == 0x82 {
            provider.pass(seconds_of(60));
            let again = provider.take().into_iter().find(|message| message.code == GET).unwrap();
            provider.answer(&again, NOT_FOUND, |answer| answer);
        }
        assert_eq!(shown(&provider), (Some(6), true));
    }
}

fn seconds_of(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// Proves SC-4.4.2.2-01, SC-4.4.2.2-02: where a router does not notify, or its last notification is lost.
#[test]
fn what_is_not_fresh_is_asked_for() {
    for notifies in [true, false] {
        let mut provider = Provider::new();
        provider.ask(5);
        let put = provider.one();
        provider.answer(&put, CREATED, |answer| with(answer, "{1:{2:[{14:3600}]}}"));
        let observation = provider.one();
        let body = "{1:{2:[{5:5,14:3000,16:2}]}}";
        provider.answer(&observation, CONTENT, |answer| {
            with(if notifies { answer.number(OBSERVE, 1) } else { answer }, body)
        });
        for _ in 0..3 {
            provider.take();
            provider.pass(seconds_of(60));
            let asked = provider.take().into_iter().find(|message| message.code == GET).unwrap();
            assert_eq!((path(&asked), asked.uint(OBSERVE)), (path(&observation), (!notifies).then_some(0)));
            provider.answer(&asked, CONTENT, |answer| with(answer, body));
        }
    }
}

/// An answer to the withdrawal, a status, or its time ends a mitigation: then silence ends the session.
#[test]
fn a_mitigation_does_not_last_for_ever() {
    for how in ["withdrawn", "status 6", "status 7", "time"] {
        let mut provider = Provider::new();
        let observation = provider.mitigated(5);
        match how {
            "withdrawn" => {
                provider.router.withdraw(1, 5, provider.now);
                provider.collect();
                let delete = provider.one();
                provider.answer(&delete, 0x42, |answer| answer);
                assert_eq!(shown(&provider), (Some(5), false));
                provider.pass(seconds_of(15));
                let asked = provider.take().into_iter().find(|message| message.code == GET).unwrap();
                provider.answer(&asked, NOT_FOUND, |answer| answer);
            }
            "status 6" => provider.answer(&observation, CONTENT, |answer| status(answer, 2, 5, 6)),
            "status 7" => provider.answer(&observation, CONTENT, |answer| status(answer, 2, 5, 7)),
            _ => provider.pass(seconds_of(3005)),
        }
        assert!(shown(&provider).1 && !provider.router.is_mitigating(), "{how}");
        provider.pass(seconds_of(15 * 30 + 16));
        assert!(provider.events.iter().any(|event| matches!(event, Event::Lost)), "{how}");
    }
}

/// Nor is it repeated for longer.
#[test]
fn an_unanswered_request_ends_with_its_lifetime() {
    let mut provider = Provider::new();
    provider.ask(5);
    for _ in 0..360 {
        provider.pass(seconds_of(10));
        let beat = Message { kind: NON, code: PUT, token: vec![1], ..put("hb", "{49:{51:true}}") };
        provider.hear(&beat);
    }
    assert!(matches!(&provider.events[..], [Event::Answered(5, Err(_))]));
    provider.take();
    provider.pass(seconds_of(29));
    assert!(provider.paths().iter().all(|(_, path)| path.ends_with("hb")));
}

/// What can be read of a report is read, whatever is in it besides.
#[test]
fn reports_are_read_leniently() {
    for more in ["60:1", "53:{}", "29:1", "3:[]", "4:7", "15:null", "7:[]", "25:null,26:null"] {
        let mut provider = Provider::new();
        let observation = provider.mitigated(5);
        let body = format!("{{1:{{2:[{{5:5,14:3000,16:4,{more}}}]}}}}");
        provider.answer(&observation, CONTENT, |answer| with(answer.number(OBSERVE, 2), &body));
        assert_eq!(shown(&provider), (Some(4), false), "{more}");
    }
    let mut provider = Provider::new();
    let observation = provider.mitigated(5);
    provider.events.clear();
    // About another one, and none at all: said, and nothing is believed.
    provider.answer(&observation, CONTENT, |answer| with(answer.number(OBSERVE, 2), "{1:{2:[{5:6,14:3000,16:4}]}}"));
    provider.answer(&observation, CONTENT, |answer| with(answer.number(OBSERVE, 3), "{1:{2:[{5:5,16:\"two\"}]}}"));
    assert_eq!(shown(&provider), (Some(2), false));
    let why = |event: &Event| matches!(event, Event::Unreadable(Some(5), why) if why.contains("status"));
    assert!(provider.events.iter().any(why));
}

/// Of blocks of two contents none is made; all is asked for once more.
#[test]
fn pieces_of_two_contents_are_not_put_together() {
    let mut provider = Provider::silent();
    let [config, all] = provider.take().try_into().unwrap();
    provider.answer(&config, CONTENT, |answer| with(answer, "{30:{}}").number(MAX_AGE, u32::MAX));
    provider.refuse_proposal();
    let content = diag::encode("{1:{2:[{5:7,6:[\"192.0.2.7/32\"],14:3000,16:2,32768:[\"203.0.113.7/32\"]}]}}");
    let piece = |answer: Message, number: u32, etag: &[u8]| {
        let piece = content.chunks(32).nth(number as usize).unwrap().to_vec();
        let more = (number as usize + 1) * 32 < content.len();
        answer.number(12, DOTS.into()).number(23, block(number, more, 1)).option(4, etag).raw(piece)
    };
    provider.answer(&all, CONTENT, |answer| piece(answer, 0, b"one"));
    let next = provider.one();
    assert_eq!((next.value(4), next.block(23)), (None, Some((1, false, 1))));
    provider.answer(&next, CONTENT, |answer| piece(answer, 1, b"two"));
    assert!(provider.take().is_empty() && !provider.router.is_known());
    provider.pass(seconds_of(10));
    let again = provider.one();
    provider.answer(&again, CONTENT, |answer| piece(answer, 0, b"two"));
    let next = provider.one();
    provider.answer(&next, CONTENT, |answer| piece(answer, 1, b"two"));
    assert!(provider.router.is_known() && shown(&provider) == (Some(2), false));
}
