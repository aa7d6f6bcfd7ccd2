//! What the enforcer tells its owner.

use std::fmt;

use super::desired::Owner;
use super::sweep::PassingFlows;
use crate::model::{Mac, MitigationId, Traffic};
use crate::source::Sender;

/// What the enforcer's owner has to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// All that somebody wants is in force as desired, or why it isn't; for `Ledger::enforced`. May be told again.
    Enforced {
        /// Who wants it.
        owner: Owner,
        /// Why it is not in force.
        outcome: Result<(), NotInForce>,
    },
    /// What has been dropped on behalf of a mitigation so far; for `Ledger::counted`.
    Counted {
        /// The mitigation.
        id: MitigationId,
        /// Since it came into force.
        total: Traffic,
    },
    /// Who has lately sent what a mitigation is about; for `Finder::handle_senders`. Told again while they do.
    Senders {
        /// The mitigation.
        id: MitigationId,
        /// Those who have sent.
        senders: Vec<Sender>,
    },
    /// What a mitigation should stop goes on under the address of a device it acts upon, past rules that stand, and nothing
    /// of that device has been dropped: another one sends. For `Ledger::handle_spoofed`.
    Spoofed {
        /// The mitigation.
        id: MitigationId,
        /// The device whose address is used.
        mac: Mac,
    },
    /// Somebody else has changed our tables; they are being made anew.
    Vanished,
    /// The kernel can't filter between the ports of a bridge: quarantined devices still reach others at home. Told once.
    NoBridge,
}

/// Why something is not in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotInForce {
    /// Its rules are not there, or not any more.
    RulesMissing,
    /// Its rules were away; whether anything has begun to pass meanwhile is not known yet.
    RulesRestored,
    /// Its rules stand, but there are flows they should have stopped.
    Leaking(PassingFlows),
    /// Another program removes the rules again and again.
    Contested,
    /// `nft` did not do it; what it said.
    Nft(String),
}

impl fmt::Display for NotInForce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RulesMissing => f.write_str("the rules do not stand yet"),
            Self::RulesRestored => f.write_str("the rules stand again, but traffic may still pass"),
            Self::Leaking(flows) => flows.fmt(f),
            Self::Contested => f.write_str("another program keeps changing the table"),
            Self::Nft(said) => f.write_str(said),
        }
    }
}

impl std::error::Error for NotInForce {}
