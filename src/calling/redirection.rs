//! Whom to call while the provider has sent us on (RFC 9066 section 5.2.2, RFC 9132 section 4.6).

use std::collections::VecDeque;
use std::fmt;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::target::Target;
use crate::model::address::{is_callable, is_internal};
use crate::signal::redirect::Redirect;

/// Being sent to somebody called within this time is a loop (RFC 9132 section 4.6).
const LOOP: Duration = Duration::from_secs(300);
/// Names remembered; who sends us on more often within that time leads us nowhere either.
const MOST_NAMES: usize = 16;
/// An infinite time to live.
const INFINITE: u32 = u32::MAX;
/// The provider itself is called again after this time, whatever was said: who was once sent away by a provider in the wrong hands
/// comes back to the one in the right hands.
const LONGEST_AWAY: Duration = Duration::from_secs(24 * 3600);
/// Alternates in a row, each named by the one before, without the provider itself between.
const MOST_IN_A_ROW: u32 = 8;

/// Why we don't go where we are sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotFollowed {
    /// It was called within the last five minutes.
    Loop(String),
    /// Too many have sent us on, one after the other.
    TooFar,
    /// It would hold for no time: a time to live of 0 is for the mitigations in force, and there are none.
    Momentary,
}

impl fmt::Display for NotFollowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Loop(name) => write!(f, "redirect loop: {name} was called within the last five minutes"),
            Self::TooFar => write!(f, "sent on more than {MOST_IN_A_ROW} times in a row"),
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
}

/// The alternate of a provider.
#[derive(Debug)]
pub(super) struct ActiveRedirect {
    /// Whom to call.
    pub target: Target,
    tenure: RedirectLifetime,
    /// Addresses of private networks count, since the provider has such a one itself.
    is_private: bool,
    /// When the provider itself is called again at the latest.
    home_by: Instant,
    in_a_row: u32,
}

impl ActiveRedirect {
    /// The port and the secure channels are those of the provider itself, `from` is where the one who sends us is, `former` what
    /// holds so far.
    ///
    /// # Errors
    /// [`NotFollowed::TooFar`]
    pub(super) fn new(
        redirect: Redirect,
        provisioned: &Target,
        (from, former): (Option<IpAddr>, Option<&Self>),
        now: Instant,
    ) -> Result<Self, NotFollowed> {
        let in_a_row = former.map_or(1, |former| former.in_a_row + 1);
        if in_a_row > MOST_IN_A_ROW {
            return Err(NotFollowed::TooFar);
        }
        let home_by = former.map_or(now + LONGEST_AWAY, |former| former.home_by);
        let tenure = match redirect.ttl {
            None => RedirectLifetime::Session,
            Some(INFINITE) => RedirectLifetime::Until(home_by),
            Some(ttl) => RedirectLifetime::Until(home_by.min(now + Duration::from_secs(ttl.into()))),
        };
        let is_private = from.is_some_and(|from| is_internal(&from.into()));
        let Target { port, transport, .. } = *provisioned;
        let target = Target { name: redirect.name, addresses: Vec::new(), port, transport };
        let mut detour = Self { target, tenure, is_private, home_by, in_a_row };
        detour.target.addresses = redirect.addresses.into_iter().filter(|address| detour.may_call(address)).collect();
        Ok(detour)
    }

    /// Whether the alternate may be at this address: not where only the home is, so that nobody outside can have us knock there.
    pub(super) fn may_call(&self, address: &IpAddr) -> bool {
        is_callable(address) && !address.is_loopback() && (self.is_private || !is_internal(&(*address).into()))
    }

    /// When its time is over.
    pub(super) fn until(&self) -> Instant {
        if let RedirectLifetime::Until(until) = self.tenure { until } else { self.home_by }
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
