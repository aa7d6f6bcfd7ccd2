//! What happened lately, for the administrator: a bounded ring in memory.

use std::collections::VecDeque;

use super::state::is_person;
use crate::model::{Mac, MitigationId};

/// Entries kept; the oldest gives way.
const CAPACITY: usize = 256;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Happened {
    /// A request came in.
    Requested,
    /// Somebody has to decide about it.
    Pending,
    /// Somebody still has to, a day later.
    Reminder,
    /// An action was decided, by a person or by policy.
    Approved,
    /// The request was judged to concern legitimate traffic.
    Rejected,
    /// The router ended the mitigation.
    Withdrawn,
    /// The mitigation was seen to be in force.
    Enforced,
    /// It could not be put in force; the comment says why.
    Failed,
    /// Nothing has matched for a while.
    Stopped,
    /// Traffic matches again.
    Resumed,
    /// The provider withdrew the request.
    Terminating,
    /// The mitigation ended.
    Expired,
    /// The provider no longer asks, but what a person has chosen goes on.
    Kept,
    /// A newer request of the same client took its place.
    Superseded,
    /// A device was quarantined.
    Quarantined,
    /// Whatever was in force against a device ended.
    Released,
    /// A veto was taken back.
    Lifted,
}

impl Happened {
    /// The word shown in `history`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::Pending => "pending",
            Self::Reminder => "reminder",
            Self::Approved => "approved",
            Self::Rejected => "rejected",
            Self::Withdrawn => "withdrawn",
            Self::Enforced => "enforced",
            Self::Failed => "failed",
            Self::Stopped => "stopped",
            Self::Resumed => "resumed",
            Self::Terminating => "terminating",
            Self::Expired => "expired",
            Self::Kept => "kept",
            Self::Superseded => "superseded",
            Self::Quarantined => "quarantined",
            Self::Released => "released",
            Self::Lifted => "lifted",
        }
    }
}

/// What an entry of the history is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum About {
    /// A mitigation.
    Mitigation {
        /// Its number.
        id: MitigationId,
        /// The provider who asked.
        peer: String,
        /// The device, where only one is meant.
        mac: Option<Mac>,
    },
    /// A device, whatever any mitigation says.
    Device(Mac),
}

/// One entry of the history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Seconds since 1970.
    pub time: u64,
    /// What.
    pub event: Happened,
    /// The mitigation or the device.
    pub about: About,
    /// Who did it.
    pub by: Option<String>,
    /// In their words, or the reason.
    pub comment: Option<String>,
}

impl Entry {
    /// Whether a person did it.
    pub fn is_by_person(&self) -> bool {
        self.by.as_deref().is_some_and(is_person)
    }

    /// The mitigation, where it is about one.
    pub fn id(&self) -> Option<MitigationId> {
        match &self.about {
            About::Mitigation { id, .. } => Some(*id),
            About::Device(_) => None,
        }
    }

    /// The provider who asked, where it is about a mitigation.
    pub fn peer(&self) -> Option<&str> {
        match &self.about {
            About::Mitigation { peer, .. } => Some(peer),
            About::Device(_) => None,
        }
    }

    /// The device, where it is about a single one.
    pub fn mac(&self) -> Option<Mac> {
        match &self.about {
            About::Mitigation { mac, .. } => *mac,
            About::Device(mac) => Some(*mac),
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct History {
    newest_first: VecDeque<Entry>,
    unread: usize,
}

impl History {
    pub(super) fn push(&mut self, entry: Entry) {
        self.newest_first.truncate(CAPACITY - 1);
        self.newest_first.push_front(entry);
        self.unread = (self.unread + 1).min(CAPACITY);
    }

    pub(super) fn newest_first(&self) -> impl Iterator<Item = &Entry> {
        self.newest_first.iter()
    }

    pub(super) fn dates(&mut self) -> impl Iterator<Item = &mut u64> {
        self.newest_first.iter_mut().map(|entry| &mut entry.time)
    }

    /// The oldest entry not read yet.
    pub(super) fn read(&mut self) -> Option<Entry> {
        self.unread = self.unread.checked_sub(1)?;
        self.newest_first.get(self.unread).cloned()
    }
}
