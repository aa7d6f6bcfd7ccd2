//! Transactions that change our tables, and what is known of these before and after.

use std::time::Instant;

use super::progress::MOMENT;
use super::ruleset::Held;
use crate::model::Tuple;
use crate::netlink::nftables::Family;

/// What the kernel holds.
#[derive(Debug)]
pub(super) enum KernelState {
    /// What an earlier run has left, if anything.
    Unknown,
    Holds(Held),
    /// A transaction has failed since: the next one must not rely on it.
    Doubtful(Held),
    /// Somebody else has changed it, and it has not been made anew yet.
    Gone(Held),
}

impl KernelState {
    pub(super) fn held(&self) -> Option<&Held> {
        match self {
            Self::Unknown => None,
            Self::Holds(held) | Self::Doubtful(held) | Self::Gone(held) => Some(held),
        }
    }
}

/// The counters that elements made anew go on from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    Old,
    /// A transaction waits for them.
    Awaited,
    /// Read for the next transaction, or not to be had.
    Fresh,
}

/// A transaction on its way.
#[derive(Debug)]
pub(super) struct Run {
    /// What our tables hold when it has succeeded; nothing: it makes or removes a guard.
    pub(super) held: Option<Held>,
    /// The families it speaks of.
    pub(super) families: &'static [Family],
    /// Those in which a guard stands when it has succeeded.
    pub(super) guarded: Option<&'static [Family]>,
    pub(super) began: Instant,
    pub(super) cut: Vec<Tuple>,
}

impl Run {
    /// From when on it takes longer than it should.
    pub(super) fn late_at(&self) -> Instant {
        self.began + MOMENT
    }

    pub(super) fn names_bridge(&self) -> bool {
        self.families.contains(&Family::Bridge)
    }
}

/// Why a transaction has failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The errno of a batch; 0: nobody has answered.
    Batch(i32),
    /// What `nft` said.
    Nft(String),
}

/// A transaction that has succeeded.
#[derive(Debug)]
pub(super) struct Applied {
    /// Flows to be cut now.
    pub(super) cut: Vec<Tuple>,
    /// Whether senders are noted that were not before.
    pub(super) logs_more: bool,
    /// Whether it turns out that the kernel filters no bridges.
    pub(super) no_bridge: bool,
}

/// What an inspection tells of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Inspected {
    /// They are of an earlier run of ours: only the counters are of use.
    Inherited,
    /// A transaction has begun or ended meanwhile.
    Outdated,
    Intact,
    /// The kernel did not say, or what it said may be our own doing.
    Unclear,
    /// Somebody else has changed them.
    Lost,
}
