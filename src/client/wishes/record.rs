//! What is wanted of routers and what they have been sent, as it is kept.

use serde::{Deserialize, Serialize};

use crate::model::Scope;
use crate::signal::body::AttackStatus;

/// The number of a wish; never given twice by one store.
pub type WishId = u64;

/// Who waits for the answer to a wish, numbered by the machine's owner.
pub type Asker = u64;

/// What an operator or a detector wants of a router.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wish {
    /// Its number.
    pub id: WishId,
    /// The router, by the name it proves.
    pub router: String,
    /// Whose name for it the asker chose: the same key at the same router is the same wish.
    pub key: Option<String>,
    /// What is to be stopped.
    pub scope: Scope,
    /// Until when, seconds since 1970; without it until it is withdrawn.
    pub until: Option<u64>,
    /// Who asked.
    pub by: Option<String>,
    /// Why.
    pub reason: Option<String>,
    /// What has become of it.
    pub state: WishState,
}

/// What has become of a wish.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "state")]
pub enum WishState {
    /// It is wanted.
    Wanted,
    /// The router has said no.
    Declined {
        /// In words.
        why: String,
        /// Until then, seconds since 1970, the router is not asked for the same again.
        until: u64,
    },
    /// It was withdrawn.
    Withdrawn {
        /// Seconds since 1970.
        at: u64,
    },
    /// The attack has stopped, says the router.
    Stopped {
        /// Seconds since 1970.
        at: u64,
    },
    /// Its time is over.
    Over {
        /// Seconds since 1970.
        at: u64,
    },
}

/// A mitigation request that a router has been sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sent {
    /// Its number.
    pub mid: u32,
    /// What it asks for.
    pub scope: Scope,
    /// How far it is.
    pub phase: Phase,
}

/// How far a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// The router has not answered yet.
    Asked,
    /// The router has taken it on at `at` and keeps it until `until`, seconds since 1970; for ever without.
    Granted {
        /// When it said so.
        at: u64,
        /// When it ends unless it is refreshed.
        until: Option<u64>,
    },
    /// It is withdrawn; the router has not confirmed that yet.
    Withdrawn,
}

/// What is to be kept, for the machine to begin where it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A wish is new or has changed.
    Wish(Wish),
    /// A wish is of no interest any more.
    Forgotten(WishId),
    /// A request is new or has changed.
    Sent {
        /// The router it is sent to.
        router: String,
        /// The request.
        sent: Sent,
    },
    /// A request is no more.
    Ended {
        /// The router it was sent to.
        router: String,
        /// Its number.
        mid: u32,
    },
    /// The next number of a router.
    Number {
        /// The router.
        router: String,
        /// All numbers below have been taken.
        next: u32,
    },
}

/// All that was kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// Wishes.
    pub wishes: Vec<Wish>,
    /// Requests, with their routers.
    pub sent: Vec<(String, Sent)>,
    /// The next number of each router.
    pub numbers: Vec<(String, u32)>,
    /// All wishes had lower numbers.
    pub next_wish: WishId,
}

/// What becomes of a wish, said once to whoever asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The router has taken it on.
    Accepted,
    /// It is kept, and asked of the router as soon as that can be; why not yet.
    Waiting(String),
    /// It was there already, and goes on for as long as is asked now.
    Extended,
    /// It is part of what the router is asked for others.
    Merged,
    /// The router does not want it, or nobody may be asked for it.
    Declined(String),
    /// It is no more.
    Withdrawn,
}

impl Answer {
    /// The word for it.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Waiting(_) => "waiting",
            Self::Extended => "extended",
            Self::Merged => "merged",
            Self::Declined(_) => "declined",
            Self::Withdrawn => "withdrawn",
        }
    }

    /// Why it is not what was wanted, in words.
    pub fn why(&self) -> Option<&str> {
        match self {
            Self::Waiting(why) | Self::Declined(why) => Some(why),
            _ => None,
        }
    }
}

/// What an answer is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// Nothing that is kept.
    Nothing,
    /// A wish.
    Wish(WishId),
    /// A request, by its number.
    Request(u32),
}

/// What the machine wants done, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Keep this before anything that follows is done.
    Keep(Change),
    /// Send a mitigation request, or send it again.
    Send {
        /// To whom.
        router: String,
        /// Its number.
        mid: u32,
        /// What it asks for.
        scope: Scope,
        /// For how many seconds; without it for as long as the router allows.
        lifetime: Option<u32>,
    },
    /// Withdraw a mitigation request.
    Withdraw {
        /// From whom.
        router: String,
        /// Its number.
        mid: u32,
    },
    /// Tell a router how the attack stands.
    Efficacy {
        /// Who waits for its answer.
        asker: Asker,
        /// Whom.
        router: String,
        /// The request, as it was sent.
        mid: u32,
        /// What it asks for.
        scope: Scope,
        /// For how many seconds; without it for as long as the router allows.
        lifetime: Option<u32>,
        /// How it stands.
        status: AttackStatus,
    },
    /// Answer whoever asked.
    Answer {
        /// Who.
        asker: Asker,
        /// About which router.
        router: String,
        /// About what there.
        about: Subject,
        /// What.
        answer: Answer,
    },
}

impl Wish {
    /// Whether it is still wanted.
    pub fn is_wanted(&self) -> bool {
        self.state == WishState::Wanted
    }

    /// Whether it has this key, or one that begins so where that ends with `*`.
    pub fn has_key(&self, pattern: &str) -> bool {
        let Some(key) = &self.key else { return false };
        pattern.strip_suffix('*').map_or_else(|| key == pattern, |begin| key.starts_with(begin))
    }

    /// When it was over; for how long it counts, where it was declined.
    pub(super) fn ended_at(&self) -> Option<u64> {
        match self.state {
            WishState::Wanted => None,
            WishState::Declined { until, .. } => Some(until),
            WishState::Withdrawn { at } | WishState::Stopped { at } | WishState::Over { at } => Some(at),
        }
    }
}
