//! Who sends what one search is about and is no device.

use std::net::IpAddr;

use vecset::VecSet;

use super::direction::Direction;
use super::home_network::HomeNetwork;
use super::stranger::{Stranger, StrangerKind};
use crate::model::Scope;

/// Most addresses kept of those who have asked the router's own programs.
const MOST_ASKERS: usize = 8;

/// What is known of them.
#[derive(Debug, Default)]
pub(super) struct Strangers {
    /// The addresses of those whose packets to the target the router has taken in itself.
    askers: VecSet<IpAddr>,
    told: Vec<Stranger>,
}

impl Strangers {
    /// Whoever sends to the target and is answered by the router itself has asked a program there.
    pub(super) fn observe_asker(&mut self, direction: &Direction<'_>, scope: &Scope, home: &HomeNetwork) {
        let is_taken_in = home.network.is_local(direction.flow.reply.source) && direction.is_opener();
        if is_taken_in && direction.was_aimed_at(scope) && self.askers.len() < MOST_ASKERS {
            self.askers.insert(direction.device);
        }
    }

    /// Those who send from these addresses, if that is news.
    pub(super) fn poll_news(&mut self, addresses: VecSet<IpAddr>, home: &HomeNetwork) -> Option<Vec<Stranger>> {
        let strangers: Vec<Stranger> = addresses.into_iter().map(|address| self.stranger(address, home)).collect();
        if self.told == strangers {
            return None;
        }
        self.told.clone_from(&strangers);
        Some(strangers)
    }

    fn stranger(&self, address: IpAddr, home: &HomeNetwork) -> Stranger {
        let mut stranger = home.stranger(address);
        if stranger.kind == StrangerKind::Router {
            stranger.asked_by = self.askers.iter().copied().collect();
        }
        stranger
    }
}
