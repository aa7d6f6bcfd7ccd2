//! The provider's session with a router over datagrams as time passes: what is repeated, kept up, refreshed and given up.

use std::time::{Duration, Instant};

use crate::support::signal::*;
use dots_callhome::client::{Event, Outcome, Session};
use dots_callhome::coap::Endpoint;
use dots_callhome::model::Scope;
use dots_callhome::signal::body::Lifetime;

/// The provider's side of a session, and what it has said and told since anybody looked.
pub struct Provider {
    pub router: Session,
    pub now: Instant,
    said: Vec<(Instant, Message)>,
    pub events: Vec<Event>,
    id: u16,
}

impl Provider {
    /// It has just begun, and what it asks first is still unanswered.
    pub fn silent() -> Self {
        let now = Instant::now();
        let router = Session::new(Endpoint::datagram(Box::new(Dice(7))), K.to_owned(), now);
        let mut provider = Self { router, now, said: Vec::new(), events: Vec::new(), id: 0 };
        provider.router.handle_input(&[], now).unwrap();
        provider.collect();
        provider
    }

    /// Its first questions are answered: nothing is known of it, and the configuration is fresh for ever and not negotiable.
    pub fn new() -> Self {
        let mut provider = Self::silent();
        let [config, all] = provider.take().try_into().unwrap();
        assert_eq!((config.kind, path(&config)), (CON, ".well-known/dots/config".to_owned()));
        provider.answer(&config, CONTENT, |answer| with(answer, "{30:{}}").number(MAX_AGE, u32::MAX));
        provider.refuse_proposal();
        provider.answer(&all, NOT_FOUND, |answer| answer);
        assert!(provider.take().is_empty());
        provider.events.clear();
        provider
    }

    /// The router keeps to its configuration.
    pub fn refuse_proposal(&mut self) {
        let proposal = self.one();
        assert_eq!((proposal.code, path(&proposal)), (PUT, ".well-known/dots/config/sid=1".to_owned()));
        self.answer(&proposal, BAD_REQUEST, |answer| answer);
    }

    pub fn collect(&mut self) {
        while let Some(bytes) = self.router.poll_transmit() {
            self.said.push((self.now, Message::of_datagram(&bytes)));
        }
        self.events.extend(std::iter::from_fn(|| self.router.poll_event()));
    }

    /// What it has said since.
    pub fn take(&mut self) -> Vec<Message> {
        self.said.drain(..).map(|(_, message)| message).collect()
    }

    /// The only thing it has said since.
    pub fn one(&mut self) -> Message {
        let [one] = self.take().try_into().unwrap_or_else(|all| panic!("not one: {all:?}"));
        one
    }

    pub fn hear(&mut self, message: &Message) {
        self.id += 1;
        self.router.handle_input(&message.clone().id(self.id).datagram(), self.now).unwrap();
        self.collect();
    }

    pub fn answer(&mut self, to: &Message, code: u8, with: impl Fn(Message) -> Message) {
        let answer = Message { kind: NON, code, token: to.token.clone(), ..Message::default() };
        if to.kind == CON {
            self.router
                .handle_input(&Message { kind: ACK, id: to.id, ..Message::default() }.datagram(), self.now)
                .unwrap();
        }
        self.hear(&with(answer));
    }

    pub fn ask(&mut self, mid: u32) {
        self.router.request(mid.into(), mid, about(mid), Lifetime::Seconds(3600), self.now);
        self.collect();
    }

    /// A mitigation that the router has taken on; the question for what becomes of it.
    pub fn mitigated(&mut self, mid: u32) -> Message {
        self.ask(mid);
        let put = self.one();
        self.answer(&put, CREATED, |answer| with(answer, "{1:{2:[{14:3600}]}}"));
        let observation = self.one();
        assert_eq!((observation.code, observation.uint(OBSERVE)), (GET, Some(0)));
        self.answer(&observation, CONTENT, |answer| status(answer, 1, mid, 2));
        observation
    }

    /// Lets time pass, with everything at its moment.
    pub fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        let mut steps = 0;
        while let Some(due) = self.router.poll_timeout().filter(|due| *due <= end) {
            steps = if due <= self.now { steps + 1 } else { 0 };
            assert!(steps < 100, "time stands still");
            self.now = self.now.max(due);
            self.router.handle_timeout(self.now);
            self.collect();
            if self.events.iter().any(|event| matches!(event, Event::Lost)) {
                return;
            }
        }
        self.now = end;
    }

    /// When something was said, in seconds before now, and what.
    pub fn paths(&mut self) -> Vec<(u64, String)> {
        let now = self.now;
        let ago = |at: Instant| now.saturating_duration_since(at).as_secs();
        self.said.drain(..).map(|(at, message)| (ago(at), path(&message))).collect()
    }

    pub fn is_lost(&self) -> bool {
        self.events.iter().any(|event| matches!(event, Event::Lost))
    }
}

fn about(mid: u32) -> Scope {
    Scope {
        source_prefixes: vec!["2001:db8:123::1/128".parse().unwrap()],
        target_prefixes: vec![format!("2001:db8:d000::{mid:x}/128").parse().unwrap()],
        ..Scope::default()
    }
}

pub fn with(answer: Message, body: &str) -> Message {
    answer.number(12, DOTS.into()).raw(diag::encode(body))
}

/// A notification of that number.
pub fn status(answer: Message, number: u32, mid: u32, status: u8) -> Message {
    with(answer.number(OBSERVE, number), &format!("{{1:{{2:[{{5:{mid},14:3000,16:{status}}}]}}}}"))
}

pub fn path(message: &Message) -> String {
    let segments = message.options.iter().filter(|(number, _)| *number == 11);
    segments.map(|(_, value)| std::str::from_utf8(value).unwrap()).collect::<Vec<_>>().join("/")
}

/// Proves SC-4.4-04, SC-4.4-05, SC-4.4-06, SC-4.4.1.3-25.
#[test]
fn a_request_is_repeated_until_it_is_answered() {
    let mut provider = Provider::new();
    provider.ask(5);
    provider.pass(seconds(9));
    let copies = std::mem::take(&mut provider.said);
    let [(first_at, first), (second_at, second), (third_at, third)] = &copies[..] else { panic!("{copies:?}") };
    for (before, at) in [(first_at, second_at), (second_at, third_at)] {
        assert!(at.saturating_duration_since(*before) > seconds(3));
    }
    assert!(first.kind == NON && first.id != second.id && second.id != third.id);
    assert_eq!([&second.clone().id(first.id), &third.clone().id(first.id)], [first; 2]);

    // The first answer is lost: to the router the third copy is a refresh.
    provider.answer(third, CHANGED, |answer| with(answer, "{1:{2:[{14:3600}]}}"));
    assert!(matches!(provider.events[..], [Event::Answered(5, Ok(Outcome::Mitigation(5)))]));
    let observation = provider.one();
    provider.answer(&observation, CONTENT, |answer| status(answer, 1, 5, 2));
    provider.pass(seconds(20));
    assert!(provider.take().is_empty());
}

/// Proves SC-4.4-07, SC-4.4-03: towards a router that has long been silent too; but what is repeated is paced however much it is.
#[test]
fn requests_leave_at_once_and_are_repeated_one_by_one() {
    let mut provider = Provider::new();
    let _ = provider.mitigated(1);
    provider.pass(seconds(600));
    provider.take();
    for mid in 2..6 {
        provider.ask(mid);
        assert_eq!(path(&provider.one()), format!(".well-known/dots/mitigate/cuid={K}/mid={mid}"));
    }
    provider.pass(seconds(17));
    let repeated: Vec<(u64, String)> =
        provider.paths().into_iter().filter(|(_, path)| path.contains("mitigate")).collect();
    assert_eq!(repeated.len(), 4, "{repeated:?}");
    assert!(repeated.windows(2).all(|pair| pair[0].0 - pair[1].0 > 3 && pair[0].1 != pair[1].1), "{repeated:?}");
}

/// Proves SC-3-05. Nobody wants what has been withdrawn, so that it must not be asked for again.
#[test]
fn what_is_withdrawn_before_it_is_answered_is_not_repeated() {
    let mut provider = Provider::new();
    provider.ask(5);
    provider.router.withdraw(99, 5, provider.now);
    provider.collect();
    assert!(matches!(&provider.events[..], [Event::Answered(5, Err(why))] if why.to_string().contains("withdrawn")));
    provider.pass(seconds(10));
    let all = provider.take();
    assert_eq!(all.iter().map(|message| message.code).collect::<Vec<_>>(), [PUT, DELETE, DELETE, DELETE]);
    provider.answer(&all[3], 0x42, |answer| answer);
    assert!(matches!(provider.events[1..], [Event::Answered(99, Ok(Outcome::Mitigation(5)))]));
    provider.pass(seconds(10));
    assert!(provider.take().is_empty());
}

/// Proves OB-3.4-01.
#[test]
fn the_freshest_notification_counts() {
    let mut provider = Provider::new();
    let observation = provider.mitigated(5);
    let shown = |provider: &Provider| provider.router.mitigations().next().unwrap().1.report.status;
    for (number, told, expected) in [
        (3, 1, 1),
        (2, 4, 1),
        (3, 4, 1),
        (4, 2, 2),
        // Half the range ahead may be behind as well; less is ahead, over its end too.
        (4 + (1 << 23), 4, 2),
        (3 + (1 << 23), 1, 1),
        ((1 << 24) - 1, 2, 2),
        (0, 1, 1),
    ] {
        provider.answer(&observation, CONTENT, |answer| status(answer, number, 5, told));
        assert_eq!(shown(&provider), Some(expected), "number {number}");
    }
    provider.pass(seconds(128));
    provider.answer(&observation, CONTENT, |answer| status(answer, (1 << 24) - 1, 5, 4));
    assert_eq!(shown(&provider), Some(1));
    provider.pass(seconds(1));
    provider.answer(&observation, CONTENT, |answer| status(answer, (1 << 24) - 1, 5, 2));
    assert_eq!(shown(&provider), Some(2));
}

/// Proves SC-4.5.3-03, SC-4.5.3-05, CO-5.10.5-01, SC-4.5-01, SC-4.5.2-02. No sid has been negotiated.
#[test]
fn the_configuration_is_kept_fresh() {
    for (max_age, earliest, latest) in [(None, 60, 60), (Some(20), 10, 19), (Some(u32::MAX), 0, 0), (Some(0), 0, 0)] {
        let mut provider = Provider::silent();
        let [config, all] = provider.take().try_into().unwrap();
        provider.answer(&all, NOT_FOUND, |answer| answer);
        provider.answer(&config, CONTENT, |answer| {
            let answer = with(answer, "{30:{44:{33:{36:0}},32:{33:{36:0}}}}");
            max_age.into_iter().fold(answer, |answer, seconds| answer.number(MAX_AGE, seconds))
        });
        if latest == 0 {
            provider.pass(seconds(1_000_000));
            assert!(provider.take().is_empty());
            continue;
        }
        provider.pass(seconds(earliest) - Duration::from_millis(1));
        assert!(provider.take().is_empty());
        provider.pass(seconds(latest - earliest) + Duration::from_millis(1));
        let again = provider.take().swap_remove(0);
        assert_eq!((again.code, path(&again)), (GET, ".well-known/dots/config".to_owned()));
    }
}

/// Proves SC-4.5.3-06.
#[test]
fn the_configuration_is_not_refreshed_in_an_attack() {
    let mut provider = Provider::silent();
    let [config, all] = provider.take().try_into().unwrap();
    provider.answer(&all, NOT_FOUND, |answer| answer);
    provider.answer(&config, CONTENT, |answer| with(answer, "{30:{}}").number(MAX_AGE, 100));
    provider.refuse_proposal();
    let observation = provider.mitigated(5);
    provider.pass(seconds(1000));
    assert!(provider.paths().iter().all(|(_, path)| !path.ends_with("config")));
    provider.answer(&observation, NOT_FOUND, |answer| answer);
    provider.pass(seconds(1));
    assert!(provider.paths().iter().any(|(_, path)| path.ends_with("config")));
}

/// Proves CH-5.2.1-06, SC-4.7-05, SC-4.7-06, SC-4.7-08: when the router says that ours don't reach it, and no closer than 15 seconds.
#[test]
fn heartbeats_follow_the_routers_own() {
    let mut provider = Provider::new();
    provider.pass(seconds(30));
    assert_eq!(path(&provider.one()), ".well-known/dots/hb");
    provider.pass(seconds(16));
    provider.hear(&put("hb", "{49:{51:false}}").token(&[1]));
    assert_eq!(provider.one().code(), "2.04");
    provider.pass(Duration::ZERO);
    assert_eq!(provider.one().body(), canonical("{49:{51:true}}"));
}

/// Proves SC-4.7-10.
#[test]
fn silence_ends_a_session_in_peace() {
    let mut provider = Provider::new();
    provider.pass(seconds(15 * 30) - Duration::from_millis(1));
    assert!(!provider.is_lost());
    assert!(provider.paths().iter().all(|(_, path)| path.ends_with("hb")));
    provider.pass(seconds(1));
    assert!(provider.is_lost());
}

/// Proves CH-5.2.1-07, SC-4.7-15.
#[test]
fn silence_ends_no_session_in_an_attack() {
    let mut provider = Provider::new();
    let observation = provider.mitigated(5);
    provider.pass(seconds(3000));
    assert!(!provider.is_lost());
    // Besides it asks what becomes of the mitigation, which lasts for as long as the router has said.
    let all = provider.paths();
    assert_eq!(all.iter().filter(|(_, path)| path.ends_with("hb")).count(), 100);
    assert!(all.iter().all(|(_, path)| path.ends_with("hb") || path.ends_with("mid=5")));
    provider.ask(6);
    assert_eq!(provider.one().code, PUT);
    provider.answer(&observation, CONTENT, |answer| status(answer, 9, 5, 2));
    assert!(!provider.is_lost());
}

/// Proves SC-4.4.2.1-03: refused at once, or put out of force later.
#[test]
fn what_is_refused_for_a_while_is_not_sent_again_before() {
    let mut provider = Provider::new();
    provider.ask(5);
    let request = provider.one();
    provider.answer(&request, CONFLICT, |answer| with(answer, "{1:{2:[{5:5,17:{18:1,19:1,20:60}}]}}"));
    let observation = provider.mitigated(6);
    provider.answer(&observation, CONTENT, |answer| {
        with(answer.number(OBSERVE, 2), "{1:{2:[{5:6,14:3000,16:7,17:{18:1,19:1,20:60}}]}}")
    });
    provider.answer(&observation, NOT_FOUND, |answer| answer);
    provider.events.clear();
    for (wait, is_sent) in [(0, false), (59, false), (1, true)] {
        provider.pass(seconds(wait));
        provider.take();
        for (mid, scope) in [(7, about(5)), (8, about(6))] {
            provider.router.request(mid.into(), mid, scope, Lifetime::Seconds(60), provider.now);
            provider.collect();
            let told = provider.events.pop().is_some_and(|event| matches!(event, Event::Answered(_, Err(_))));
            assert_eq!((provider.take().len() == 1, told), (is_sent, !is_sent), "after {wait} s, {mid}");
        }
    }
}

/// A conflict that leaves a request in force holds nothing back.
#[test]
fn what_is_in_force_may_be_asked_for_again() {
    let mut provider = Provider::new();
    let observation = provider.mitigated(5);
    provider.answer(&observation, CONTENT, |answer| {
        with(answer.number(OBSERVE, 2), "{1:{2:[{5:5,14:3000,16:2,17:{18:2,19:1,20:60}}]}}")
    });
    provider.ask(5);
    assert_eq!(provider.one().code, PUT);
}
