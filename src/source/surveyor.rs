//! Lists the router's network: links, addresses, routes, then the neighbours, who only make sense after those.

use std::time::Instant;

use super::asking::PATIENCE;
use super::inventory::Inventory;
use super::network::Network;
use crate::model::Now;
use crate::netlink::neighbour::{self, Message, Subject};

/// In this order.
const SUBJECTS: [Subject; 4] = [Subject::Links, Subject::Addresses, Subject::Routes, Subject::Neighbours];

/// The listing under way.
#[derive(Clone, Copy, Debug)]
struct Listing {
    step: usize,
    sequence: u32,
    sent: bool,
}

/// Asks for all there is, once and whenever changes may have been missed.
#[derive(Debug, Default)]
pub(super) struct Surveyor {
    listing: Option<Listing>,
    sequence: u32,
    knows_links: bool,
    ready: bool,
    /// When to begin anew after a failure.
    retry: Option<Instant>,
}

impl Surveyor {
    /// Begins, or begins again.
    pub(super) fn begin(&mut self, network: &mut Network) {
        network.begin_listing();
        self.retry = None;
        self.ask(0);
    }

    fn ask(&mut self, step: usize) {
        self.sequence = self.sequence.wrapping_add(1).max(1);
        self.listing = Some(Listing { step, sequence: self.sequence, sent: false });
    }

    /// Whether links, addresses and routes are known.
    pub(super) fn knows_links(&self) -> bool {
        self.knows_links
    }

    /// Whether neighbours are known, too: searches make sense.
    pub(super) fn is_ready(&self) -> bool {
        self.ready
    }

    /// The next request.
    pub(super) fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        let listing = self.listing.as_mut().filter(|listing| !listing.sent)?;
        listing.sent = true;
        Some(neighbour::dump(*SUBJECTS.get(listing.step)?, listing.sequence))
    }

    /// Takes in an answer; tells whether links, addresses and routes are complete with it.
    pub(super) fn handle(
        &mut self,
        sequence: u32,
        message: &Message,
        network: &mut Network,
        inventory: &mut Inventory,
        now: Now,
    ) -> bool {
        let Some(listing) = self.listing.filter(|listing| listing.sequence == sequence) else { return false };
        match message {
            Message::Done => self.next(listing.step + 1, network, inventory, now),
            Message::Error(_) => {
                // Searches must not wait for ever; until this works they find nobody.
                (self.listing, self.ready) = (None, true);
                self.retry = Some(now.instant + PATIENCE);
                false
            }
            _ => {
                network.list(message);
                false
            }
        }
    }

    fn next(&mut self, step: usize, network: &mut Network, inventory: &mut Inventory, now: Now) -> bool {
        match SUBJECTS.get(step) {
            Some(Subject::Neighbours) => {
                network.end_listing();
                inventory.begin_listing(now.instant);
                self.knows_links = true;
                self.ask(step);
                true
            }
            Some(_) => {
                self.ask(step);
                false
            }
            None => {
                self.listing = None;
                self.ready = true;
                false
            }
        }
    }

    /// When [`Self::handle_timeout`] wants to be called.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.retry
    }

    /// Begins anew after a failure.
    pub(super) fn handle_timeout(&mut self, network: &mut Network, now: Now) {
        if self.retry.is_some_and(|due| due <= now.instant) {
            self.begin(network);
        }
    }
}
