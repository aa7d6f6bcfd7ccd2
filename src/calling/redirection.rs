//! Whom to call while the provider has sent us on (RFC 9066 section 5.2.2, RFC 9132 section 4.6).

use std::collections::VecDeque;
use std::fmt;
use std::time::{Duration, Instant};

use super::target::Target;
use crate::model::address::is_callable;
use crate::signal::redirect::Redirect;

/// Being sent to somebody called within this time is a loop (RFC 9132 section 4.6).
const LOOP: Duration = Duration::from_secs(300);
/// Names remembered; who sends us on more often within that time leads us nowhere either.
const MOST_NAMES: usize = 16;
/// An infinite time to live.
const INFINITE: u32 = u32::MAX;

/// Why we don't go where we are sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotFollowed {
    /// It was called within the last five minutes.
    Loop(String),
    /// It would hold for no time: a time to live of 0 is for the mitigations in force, and there are none.
    Momentary,
}

impl fmt::Display for NotFollowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Loop(name) => write!(f, "redirect loop: {name} was called within the last five minutes"),
            Self::Momentary => write!(f, "redirect for mitigations in force, and there are none"),
        }
    }
}

impl std::error::Error for NotFollowed {}

/// How long an alternate is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RedirectLifetime {
    /// Until its session is lost.
    Session,
    /// Until then, over losses.
    Until(Instant),
    /// Over losses.
    Lasting,
}

/// The alternate of a provider.
#[derive(Debug)]
pub(super) struct ActiveRedirect {
    /// Whom to call.
    pub target: Target,
    tenure: RedirectLifetime,
}

impl ActiveRedirect {
    /// The port and the secure channels are those of the provider itself.
    pub(super) fn new(redirect: Redirect, provisioned: &Target, now: Instant) -> Self {
        let tenure = match redirect.ttl {
            None => RedirectLifetime::Session,
            Some(INFINITE) => RedirectLifetime::Lasting,
            Some(ttl) => now
                .checked_add(Duration::from_secs(ttl.into()))
                .map_or(RedirectLifetime::Lasting, RedirectLifetime::Until),
        };
        let Target { port, transport, .. } = *provisioned;
        let addresses = redirect.addresses.into_iter().filter(is_callable).collect();
        Self { target: Target { name: redirect.name, addresses, port, transport }, tenure }
    }

    /// When its time is over.
    pub(super) fn until(&self) -> Option<Instant> {
        if let RedirectLifetime::Until(until) = self.tenure { Some(until) } else { None }
    }

    /// Whether it ends with its session.
    pub(super) fn ends_with_session(&self) -> bool {
        self.tenure == RedirectLifetime::Session
    }
}

/// The names called lately.
#[derive(Debug, Default)]
pub(super) struct RecentTargets(VecDeque<(String, Instant)>);

impl RecentTargets {
    /// This name is, or was until now, called.
    pub(super) fn note(&mut self, name: &str, now: Instant) {
        self.0.retain(|(other, at)| !other.eq_ignore_ascii_case(name) && now.saturating_duration_since(*at) < LOOP);
        self.0.push_back((name.to_owned(), now));
    }

    /// Whether going there is going in circles.
    pub(super) fn is_loop(&self, name: &str, now: Instant) -> bool {
        let recent = self.0.iter().filter(|(_, at)| now.saturating_duration_since(*at) < LOOP);
        let (mut names, mut known) = (0, false);
        for (other, _) in recent {
            names += 1;
            known |= other.eq_ignore_ascii_case(name);
        }
        known || names >= MOST_NAMES
    }
}
