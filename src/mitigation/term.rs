//! How long a person wants to go on what they approve.

use std::time::{Duration, Instant};

use minicbor::{Decode, Encode};

use super::consent::Action;
use crate::model::Now;

/// Until when what a person has approved goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum Until {
    /// As long as the provider asks for it.
    #[n(0)]
    Request,
    /// For a time of the person's choice.
    #[n(1)]
    Time,
    /// Until a person ends it.
    #[n(2)]
    Ended,
}

impl Until {
    /// The contract's word: `request`, `time` or `ended`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Time => "time",
            Self::Ended => "ended",
        }
    }

    /// That of the word.
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Request, Self::Time, Self::Ended].into_iter().find(|until| until.as_str() == word)
    }
}

/// For how long a person approves: an end, a time, both or neither.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Term {
    until: Option<Until>,
    lifetime: Option<Duration>,
}

impl Term {
    /// With `lifetime`, never zero. Nothing where both contradict each other: a time is none without its length, and has
    /// none where only a person ends it.
    pub fn new(until: Option<Until>, lifetime: Option<Duration>) -> Option<Self> {
        let fits = match until {
            Some(Until::Time) => lifetime.is_some(),
            Some(Until::Ended) => lifetime.is_none(),
            Some(Until::Request) | None => true,
        };
        fits.then_some(Self { until, lifetime })
    }

    /// When its time is over, if it has one.
    pub(super) fn limit(self, now: Now) -> Option<Instant> {
        self.lifetime.and_then(|lifetime| now.instant.checked_add(lifetime))
    }

    /// What it means for such an action, where so was `chosen` before for what is in force. A quarantine is the person's own
    /// unless said otherwise, and so is everything that no provider asks for (`asked`). What was chosen before stands where
    /// nothing else is said.
    pub(super) fn until(self, action: Action, asked: bool, chosen: Option<Until>) -> Until {
        let chosen = chosen.filter(|until| *until != Until::Request);
        let own = action == Action::Quarantine || !asked || chosen.is_some();
        match (self.until, self.lifetime, chosen) {
            (Some(until), ..) => until,
            (None, None, Some(chosen)) => chosen,
            (None, None, None) if own => Until::Ended,
            (None, Some(_), _) if own => Until::Time,
            _ => Until::Request,
        }
    }
}

/// A lifetime alone, or nothing.
impl From<Option<Duration>> for Term {
    fn from(lifetime: Option<Duration>) -> Self {
        Self { until: None, lifetime }
    }
}
