//! Lists the router's network: links, addresses, routes, then the neighbours, who only make sense after those.

use std::time::{Duration, Instant};

use super::inventory::Inventory;
use super::network::Network;
use crate::model::Now;
use crate::netlink::Exchange;
use crate::netlink::neighbour::{self, Message, NetworkObject};

/// In this order.
const ORDER: [NetworkObject; 5] = [
    NetworkObject::Links,
    NetworkObject::Addresses,
    NetworkObject::Routes,
    NetworkObject::Neighbours,
    NetworkObject::Stations,
];
/// How long after a failure it begins again.
const RETRY: Duration = Duration::from_secs(5);

/// Asks for all there is, once and whenever changes may have been missed.
#[derive(Debug, Default)]
pub(super) struct NetworkDump {
    /// Which of the subjects is asked for.
    exchange: Exchange<usize>,
    knows_links: bool,
    ready: bool,
}

impl NetworkDump {
    /// Begins, or begins again.
    pub(super) fn begin(&mut self, network: &mut Network) {
        network.begin_listing();
        self.request(0, NetworkObject::Links);
    }

    fn request(&mut self, step: usize, object: NetworkObject) {
        self.exchange.start(step, |_, sequence| vec![neighbour::dump(object, sequence)]);
    }

    /// Whether links, addresses and routes are known.
    pub(super) fn knows_links(&self) -> bool {
        self.knows_links
    }

    /// Whether neighbours are known, too: searches make sense.
    pub(super) fn is_ready(&self) -> bool {
        self.ready
    }

    /// Takes in an answer; tells whether links, addresses and routes are complete with it.
    pub(super) fn handle_message(
        &mut self,
        sequence: u32,
        message: &Message,
        network: &mut Network,
        inventory: &mut Inventory,
        now: Now,
    ) -> bool {
        let Some(step) = self.exchange.request().copied().filter(|_| self.exchange.is_last(sequence)) else {
            return false;
        };
        match message {
            Message::Done => return self.next(step + 1, network, inventory, now),
            Message::Error(_) => {
                // Searches must not wait for ever; until this works they find nobody.
                self.exchange.end();
                self.ready = true;
                self.exchange.set_deadline(now.instant + RETRY);
            }
            _ => network.list(message),
        }
        false
    }

    fn next(&mut self, step: usize, network: &mut Network, inventory: &mut Inventory, now: Now) -> bool {
        let Some(object) = ORDER.get(step).copied() else {
            self.exchange.end();
            self.ready = true;
            return false;
        };
        self.request(step, object);
        let links_done = object == NetworkObject::Neighbours;
        if links_done {
            network.end_listing();
            inventory.begin_listing(now.instant);
            self.knows_links = true;
        }
        links_done
    }

    /// The next request.
    pub(super) fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        self.exchange.poll_transmit()
    }

    /// When [`Self::handle_timeout`] wants to be called.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.exchange.poll_timeout()
    }

    /// Begins anew after a failure.
    pub(super) fn handle_timeout(&mut self, network: &mut Network, now: Now) {
        if self.exchange.is_due(now.instant) {
            self.begin(network);
        }
    }
}
