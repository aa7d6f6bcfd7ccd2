//! The home as a search sees it.

use super::inventory::Inventory;
use super::network::Network;

/// What is known of the home.
#[derive(Clone, Copy)]
pub(super) struct HomeNetwork<'a> {
    pub(super) network: &'a Network,
    pub(super) inventory: &'a Inventory,
}
