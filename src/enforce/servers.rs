//! Which boxes of the home give devices names and addresses: noted by the kernel in tables of our own before anybody is
//! quarantined.
//!
//! The router need not be the home's only server of names and leases. One table notes which servers a device uses on the same
//! bridge (`bridged_servers`), another which ones it uses in other networks of the home (`routed_servers`). What goes to a server that
//! was used before is marked, and what is marked passes the quarantine, which drops all else. Whoever is quarantined adds
//! nothing: its packets are dropped before they are noted. Without a table nothing passes.

use std::time::{Duration, Instant};

use super::server_text::TABLE;
use super::{bridged_servers, routed_servers};
use crate::model::Backoff;
use crate::netlink::nftables;

/// Between attempts where one can't be made: modules can be loaded later. As long where somebody removes it.
const PAUSES: Backoff = Backoff::new(Duration::from_secs(60), Duration::from_secs(3600));

/// Whether a table stands.
#[derive(Debug)]
enum State {
    Wanted,
    Running,
    Stands,
    /// It can't be made, or somebody has removed it: it is made again at this moment.
    Delayed(Instant),
}

/// A table in the kernel.
#[derive(Debug)]
struct Table {
    state: State,
    pauses: Backoff,
    /// What makes it, as wanted now; nothing: it is not known yet what that is.
    text: Option<String>,
}

impl Table {
    fn new(text: Option<String>) -> Self {
        Self { state: State::Wanted, pauses: PAUSES, text }
    }

    fn poll_ruleset(&mut self, now: Instant) -> Option<String> {
        let is_due = match self.state {
            State::Wanted => true,
            State::Delayed(at) => at <= now,
            State::Running | State::Stands => false,
        };
        let text = self.text.clone().filter(|_| is_due)?;
        self.state = State::Running;
        Some(text)
    }

    fn delay(&mut self, now: Instant) {
        self.state = State::Delayed(now + self.pauses.pause());
    }
}

/// The tables in the kernel.
#[derive(Debug)]
pub struct ServerTables {
    /// That of bridges, and that of what is routed.
    tables: [Table; 2],
    outward: Option<Vec<u32>>,
    is_quarantining: bool,
}

impl Default for ServerTables {
    fn default() -> Self {
        let tables = [Table::new(Some(bridged_servers::text())), Table::new(None)];
        Self { tables, outward: None, is_quarantining: false }
    }
}

impl ServerTables {
    /// Takes the links that lead out of the home, as far as they are known: no server there is one of the home.
    pub fn set_outward(&mut self, links: Option<Vec<u32>>) {
        if links.is_some() && self.outward != links {
            self.outward = links;
            self.describe();
        }
    }

    /// Takes whether anybody is in quarantine.
    pub fn set_quarantining(&mut self, is_quarantining: bool) {
        if self.is_quarantining != is_quarantining {
            self.is_quarantining = is_quarantining;
            self.describe();
        }
    }

    fn describe(&mut self) {
        let [_, routed] = &mut self.tables;
        let text = self.outward.as_ref().map(|outward| routed_servers::text(outward, self.is_quarantining));
        if routed.text != text {
            routed.text = text;
            routed.state = State::Wanted;
        }
    }

    /// Returns the text for one `nft -f -`; the next only after [`Self::handle_nft`]. What an earlier run has noted stays.
    pub fn poll_ruleset(&mut self, now: Instant) -> Option<String> {
        self.tables.iter_mut().find_map(|table| table.poll_ruleset(now))
    }

    /// Takes whether `nft` has done it.
    pub fn handle_nft(&mut self, done: bool, now: Instant) {
        // One that is to be another meanwhile is made again.
        let Some(table) = self.tables.iter_mut().find(|table| matches!(table.state, State::Running)) else { return };
        match done {
            true => table.state = State::Stands,
            false => table.delay(now),
        }
    }

    /// Takes what the kernel tells of changed tables (`NETLINK_NETFILTER` with the group `NFNLGRP_NFTABLES`).
    pub fn handle_change(&mut self, datagram: &[u8], now: Instant) {
        if nftables::removes(datagram, TABLE) {
            let standing = self.tables.iter_mut().filter(|table| matches!(table.state, State::Stands));
            standing.for_each(|table| table.delay(now));
        }
    }

    /// Returns when [`Self::poll_ruleset`] has something to do again.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let delayed = |table: &Table| if let State::Delayed(at) = table.state { Some(at) } else { None };
        self.tables.iter().filter_map(delayed).min()
    }
}
