//! A provider that does not go on from an earlier session is called in full, as part of the same attempt.

use crate::support::calling::*;
use dots_callhome::calling::CallerPhase;
use dots_callhome::model::Transport;

/// The first offer over that transport is refused after so long, or never answered; the full handshake works.
fn refusing(transport: Transport, after: Option<u64>) -> impl Fn(&Seen) -> Fate {
    move |seen| match (seen.transport == transport, seen.in_full) {
        (true, false) => Fate::Refuses(after),
        (true, true) => Fate::Established(80),
        _ => Fate::Silent,
    }
}

#[test]
fn a_refused_offer_is_followed_by_a_full_handshake_at_once() {
    for transport in [Transport::Dtls, Transport::Tls] {
        let mut world = World::new(target(&[V4]), refusing(transport, Some(30)));
        world.pass(seconds(2));
        let seen: Vec<Seen> = world.take_seen().into_iter().filter(|seen| seen.transport == transport).collect();
        assert_eq!(seen.iter().map(|seen| seen.in_full).collect::<Vec<_>>(), [false, true]);
        assert_eq!((seen[1].at - seen[0].at, &seen[1].address), (millis(30), &seen[0].address));
        assert_eq!(world.phase(), CallerPhase::Connected);
    }
}

#[test]
fn an_offer_that_is_not_answered_gives_way_after_three_seconds() {
    let mut world = World::new(target(&[V4]), refusing(Transport::Dtls, None));
    world.pass(millis(2_999));
    assert_eq!(world.phase(), CallerPhase::Connecting);
    world.pass(millis(81));
    assert_eq!((world.phase(), world.session.as_deref()), (CallerPhase::Connected, Some("dtls 192.0.2.1")));
    assert_eq!(world.running(), 0, "the offer is dropped");
}

/// The same ways are tried, each once more; then the pace is the usual one.
#[test]
fn a_provider_that_refuses_everything_is_called_no_more_often() {
    let mut world = World::both(|seen| if seen.in_full { Fate::Fails(5, "no") } else { Fate::Refuses(Some(5)) });
    world.pass(seconds(50));
    assert_eq!(world.phase(), CallerPhase::Waiting);
    let first = world.take_seen();
    assert_eq!(first.iter().filter(|seen| !seen.in_full).count(), 4);
    assert_eq!(first.iter().filter(|seen| seen.in_full).count(), 4);
    assert_eq!(world.state().last_error.unwrap().matches("no").count(), 4, "only full handshakes are complained about");
    world.pass(seconds(1000));
    assert_eq!(beginnings(&world.take_seen()).len(), 4, "after 60 s, then every 300 s");
}

/// Over TLS 1.3 and DTLS the router is the first to be content: the refusal comes when the session already stands.
#[test]
fn a_session_that_is_lost_before_the_first_word_is_begun_anew_at_once() {
    let mut world = World::both(|_| Fate::Established(20));
    world.pass(seconds(1));
    world.take_seen();
    world.lose_unheard();
    world.pass(millis(30));
    assert_eq!((world.phase(), world.take_seen().len()), (CallerPhase::Connected, 1));
    // One that was heard is called again in good time only.
    world.lose();
    world.pass(seconds(30));
    assert_eq!((world.phase(), world.take_seen().len()), (CallerPhase::Waiting, 0));
}

/// An answer that comes too late is for nobody.
#[test]
fn late_words_about_an_offer_change_nothing() {
    let mut world = World::new(target(&[V4]), refusing(Transport::Dtls, None));
    world.pass(seconds(4));
    assert_eq!(world.phase(), CallerPhase::Connected);
    world.caller.handle_offered(1);
    world.caller.handle_refused(1, "late".into(), world.now);
    world.pass(seconds(1));
    assert_eq!(world.phase(), CallerPhase::Connected);
}
