//! Flows older than the table of senders: nobody has noted who opened them.

use std::time::Instant;

use crate::model::Flow;

/// So many bits tell them apart by their numbers, which the kernel hashes.
const BITS: usize = 1 << 17;

/// The numbers of flows, roughly: one that is not among them may seem to be, never the other way round.
#[derive(Debug, Default)]
pub(super) struct OlderFlows {
    /// Since when the table stands.
    since: Option<Instant>,
    bits: Vec<u64>,
    /// Whether any flow may be among them: they have not been listed yet,
    unlisted: bool,
    /// or could not be.
    lost: bool,
    /// Whether those that send have been noted since.
    noted: bool,
}

impl OlderFlows {
    /// Nothing has been listed yet. `since`: the table has been made at that moment.
    pub(super) fn unknown(since: Option<Instant>) -> Self {
        Self { since, unlisted: true, ..Self::default() }
    }

    /// Whether the table stood at this moment.
    pub(super) fn are_older_than(&self, moment: Instant) -> bool {
        self.since.is_some_and(|since| since <= moment)
    }

    /// Adds a flow.
    pub(super) fn add(&mut self, id: u32) {
        if self.bits.is_empty() {
            self.bits = vec![0; BITS / 64];
        }
        let (word, bit) = place(id);
        if let Some(word) = self.bits.get_mut(word) {
            *word |= bit;
        }
    }

    /// All have been added.
    pub(super) fn end_listing(&mut self) {
        self.unlisted = false;
    }

    /// Whether all have been added.
    pub(super) fn are_listed(&self) -> bool {
        !self.unlisted
    }

    /// Some could not be had.
    pub(super) fn lose(&mut self) {
        self.lost = true;
    }

    /// Those that still send have been noted since, but for what is offloaded: no rule sees that.
    pub(super) fn handle_noted(&mut self) {
        self.noted = true;
    }

    /// Whether a flow may be among them, and nobody have noted who sends it.
    pub(super) fn contains(&self, flow: &Flow) -> bool {
        let (word, bit) = place(flow.id);
        let older = self.unlisted || self.lost || self.bits.get(word).is_some_and(|word| word & bit != 0);
        older && (flow.offloaded || !self.noted)
    }
}

fn place(id: u32) -> (usize, u64) {
    let place = usize::try_from(id).unwrap_or_default() % BITS;
    (place / 64, 1 << (place % 64))
}
