//! The words for a mitigation that others share: who asks, where it stands, what the provider is told, who decided.

use minicbor::{Decode, Encode};

use crate::model::Now;

/// Who asks: the peer as authenticated, and its name for itself.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Encode, Decode)]
#[cbor(map)]
pub struct Client {
    /// The configured peer.
    #[n(0)]
    pub peer: String,
    /// The `cuid` of its requests.
    #[n(1)]
    pub cuid: String,
}

/// Where a mitigation stands, in the words of the bus and of the snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum State {
    /// Waits for consent.
    #[n(0)]
    Pending,
    /// No device found yet.
    #[n(1)]
    Searching,
    /// Decided upon; in force as soon as it is verified.
    #[n(2)]
    Active,
    /// In force, but nothing has matched for a while.
    #[n(3)]
    Stopped,
    /// Withdrawn by the client, in force for a little longer.
    #[n(4)]
    Terminating,
    /// Judged to concern legitimate traffic.
    #[n(5)]
    Rejected,
    /// Ended by the router.
    #[n(6)]
    Withdrawn,
    /// Over.
    #[n(7)]
    Expired,
}

impl State {
    /// The contract's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Searching => "searching",
            Self::Active => "active",
            Self::Stopped => "stopped",
            Self::Terminating => "terminating",
            Self::Rejected => "rejected",
            Self::Withdrawn => "withdrawn",
            Self::Expired => "expired",
        }
    }

    /// Whether the request stands: neither withdrawn, refused nor over.
    pub fn is_open(self) -> bool {
        matches!(self, Self::Pending | Self::Searching | Self::Active | Self::Stopped)
    }

    /// The state of that word.
    pub fn from_word(word: &str) -> Option<Self> {
        use State::{Active, Expired, Pending, Rejected, Searching, Stopped, Terminating, Withdrawn};
        [Pending, Searching, Active, Stopped, Terminating, Rejected, Withdrawn, Expired]
            .into_iter()
            .find(|state| state.as_str() == word)
    }

    /// Whether rules must stand for a mitigation in this state.
    pub fn in_force(self) -> bool {
        matches!(self, Self::Active | Self::Stopped | Self::Terminating)
    }
}

/// What the provider is told (RFC 9132 table 3). The values 4 and 8 do not arise here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Status {
    /// Set-up is in progress, or consent is awaited.
    InProgress = 1,
    /// The attack is being mitigated.
    Mitigated = 2,
    /// Nothing matches any more.
    Stopped = 3,
    /// The client has withdrawn the request; still in force.
    Terminating = 5,
    /// Over.
    Terminated = 6,
    /// The router has withdrawn the mitigation.
    Withdrawn = 7,
}

/// Who decided about a mitigation or a device.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Decision {
    /// A user, or `policy` or `timeout`.
    #[n(0)]
    pub by: String,
    /// Seconds since 1970.
    #[n(1)]
    pub at: u64,
    /// In their words.
    #[n(2)]
    pub comment: Option<String>,
}

impl Decision {
    /// Whether a person has decided.
    pub fn is_by_person(&self) -> bool {
        is_person(&self.by)
    }
}

/// A decision of somebody, now.
pub(super) fn decided_by(by: &str, comment: Option<String>, now: Now) -> Decision {
    Decision { by: by.to_owned(), at: now.unix, comment }
}

/// Whether that is who a person is: a user, neither `policy` nor `timeout`.
pub(super) fn is_person(by: &str) -> bool {
    !["policy", "timeout"].contains(&by)
}

/// What a veto follows from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum Cause {
    /// The request was judged to concern legitimate traffic.
    #[n(0)]
    Rejected,
    /// The mitigation was ended.
    #[n(1)]
    Withdrawn,
    /// All that was in force against the device was ended.
    #[n(2)]
    Released,
    /// Another device sent in its name.
    #[n(3)]
    Spoofed,
}

impl Cause {
    /// The contract's word: `rejected`, `withdrawn`, `released` or `spoofed`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rejected => "rejected",
            Self::Withdrawn => "withdrawn",
            Self::Released => "released",
            Self::Spoofed => "spoofed",
        }
    }
}
