//! Who may be acted upon, and whether somebody has to be asked first.

use std::fmt;
use std::time::Duration;

use minicbor::{Decode, Encode};
use vecset::VecMap;

use crate::model::Mac;
use crate::source::{Confidence, Suspect};

/// Whether a device is acted upon without asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consent {
    /// The administrator decides.
    Ask,
    /// Devices that are surely or most likely meant are acted upon at once; the rest is asked.
    Auto,
    /// Nothing is ever done about a request; it is only shown.
    Observe,
}

impl Consent {
    /// The contract's word: `ask`, `auto` or `observe`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ask => "ask",
            Self::Auto => "auto",
            Self::Observe => "observe",
        }
    }
}

/// What is done to a device; what goes further comes later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(index_only)]
pub enum Action {
    /// Its traffic to the attacked target is dropped.
    #[n(0)]
    Block,
    /// It is cut off from everything but the router itself.
    #[n(1)]
    Quarantine,
}

impl Action {
    /// The contract's word: `block` or `quarantine`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Block => "block",
            Self::Quarantine => "quarantine",
        }
    }

    /// The action of that word.
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Block, Self::Quarantine].into_iter().find(|action| action.as_str() == word)
    }
}

/// What happens when nobody has answered in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeoutAction {
    /// The question stays open as long as the request lives.
    Ignore,
    /// As if the administrator had approved, but only for devices surely or most likely meant.
    Approve,
    /// As if the administrator had rejected.
    Reject,
}

/// The administrator's rule for one device; it goes before [`Policy::consent`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DevicePolicy {
    /// Always ask.
    Ask,
    /// Act at once.
    Auto,
    /// Never act; requests about it concern legitimate traffic (RFC 9066 section 5.3.1).
    Exempt,
}

/// The administrator's rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Whether to ask. [`Consent::Observe`] goes before any device's own policy.
    pub consent: Consent,
    /// What is done unless an approval says otherwise.
    pub action: Action,
    /// How long an answer is waited for; nothing: as long as the request lives.
    pub consent_timeout: Option<Duration>,
    /// What happens then.
    pub timeout_action: TimeoutAction,
    /// Granted instead of longer or indefinite lifetimes; more than 2^32-1 seconds count as those.
    pub max_lifetime: Duration,
    /// Most requests of one peer at a time.
    pub max_mitigations: usize,
    /// Rules for single devices.
    pub devices: VecMap<Mac, DevicePolicy>,
}

/// Why the administrator's wish can't be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// No mitigation bears this number.
    NoSuchMitigation,
    /// The device is none of the suspects, or is the router itself.
    NoSuchDevice,
    /// Several devices are possible and none was named.
    Ambiguous,
    /// The device is exempt.
    Exempt,
    /// The mitigation, device or policy does not allow it now.
    NotInThisState,
    /// No veto follows from that mitigation.
    NoSuchVeto,
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoSuchMitigation => "no such mitigation",
            Self::NoSuchDevice => "no such device",
            Self::Ambiguous => "several devices are possible, name those meant",
            Self::Exempt => "the device is exempt",
            Self::NotInThisState => "not possible in this state",
            Self::NoSuchVeto => "no such veto",
        })
    }
}

impl std::error::Error for Denied {}

/// What the policy says about a request's suspects.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Judgement {
    /// Nobody to speak of yet.
    Search,
    /// The administrator must decide.
    Ask,
    /// These devices, at once.
    Act {
        /// By the consent given before.
        agreed: Vec<Mac>,
        /// By policy alone.
        alone: Vec<Mac>,
    },
    /// Only exempt devices can be meant.
    Legitimate,
}

/// Whether anything may be done about the suspect without the administrator naming it.
pub(super) fn confident(suspect: &Suspect) -> bool {
    suspect.confidence >= Confidence::Likely
}

impl Policy {
    /// What to do about `suspects`. Those the administrator approved `before` for the same targets need no new question; those
    /// `barred` are not acted upon by the policy alone.
    pub(super) fn judge(&self, suspects: &[Suspect], before: &[Mac], barred: &[Mac]) -> Judgement {
        let (exempt, others): (Vec<_>, Vec<_>) = suspects.iter().partition(|s| self.exempts(s.mac));
        if !others.iter().any(|s| confident(s)) {
            return match (exempt.iter().any(|s| confident(s)), others.is_empty()) {
                (true, _) => Judgement::Legitimate,
                (false, true) => Judgement::Search,
                (false, false) => Judgement::Ask,
            };
        }
        let sure = others.iter().filter(|s| confident(s)).map(|s| s.mac);
        let (agreed, rest): (Vec<Mac>, Vec<Mac>) = sure.partition(|mac| before.contains(mac));
        let alone: Vec<Mac> =
            rest.into_iter().filter(|mac| self.acts_alone_on(*mac) && !barred.contains(mac)).collect();
        if agreed.is_empty() && alone.is_empty() { Judgement::Ask } else { Judgement::Act { agreed, alone } }
    }

    /// The devices an approval is about: those named, or without names the only one or all that are surely meant.
    pub(super) fn pick(&self, suspects: &[Suspect], named: &[Mac]) -> Result<Vec<Mac>, Denied> {
        if named.iter().any(|mac| self.exempts(*mac)) {
            return Err(Denied::Exempt);
        }
        if named.iter().any(|mac| suspects.iter().all(|s| s.mac != *mac)) {
            return Err(Denied::NoSuchDevice);
        }
        if !named.is_empty() {
            return Ok(named.to_vec());
        }
        let candidates: Vec<_> = suspects.iter().filter(|s| !self.exempts(s.mac)).collect();
        match candidates.as_slice() {
            [] => Err(Denied::NoSuchDevice),
            [only] => Ok(vec![only.mac]),
            several if several.iter().all(|s| confident(s)) => Ok(several.iter().map(|s| s.mac).collect()),
            _ => Err(Denied::Ambiguous),
        }
    }

    /// Whether anything is done about requests at all.
    pub(super) fn acts(&self) -> bool {
        self.consent != Consent::Observe
    }

    pub(super) fn exempts(&self, mac: Mac) -> bool {
        self.devices.get(&mac) == Some(&DevicePolicy::Exempt)
    }

    fn acts_alone_on(&self, mac: Mac) -> bool {
        match (self.consent, self.devices.get(&mac)) {
            (Consent::Observe, _) | (_, Some(DevicePolicy::Ask | DevicePolicy::Exempt)) => false,
            (_, Some(DevicePolicy::Auto)) => true,
            (consent, None) => consent == Consent::Auto,
        }
    }
}
