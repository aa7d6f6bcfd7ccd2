//! Brings what should be in force into force, proves it, counts, and notices when it is no more.

use std::time::Instant;

use super::desired::Desired;
use super::event::Event;
use super::inspection::{Depth, Inspection};
use super::monitor::{Finding, Monitor};
use super::progress::Progress;
use super::ruleset::{GUARD, SECOND_GUARD, SECOND_TABLE, TABLE};
use super::tables::Tables;
use super::transaction::{End, Inspected};
use crate::model::{Mac, Now, Traffic, Tuple};
use crate::source::Inventory;

/// The netlink sockets the enforcer speaks on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Socket {
    /// `NETLINK_NETFILTER`: questions and answers.
    Netfilter,
    /// `NETLINK_NETFILTER`: changes of nf_tables, and how they have ended.
    Changes,
    /// `NETLINK_NETFILTER` with the group `NFNLGRP_NFTABLES` (7).
    Events,
}

/// Keeps the kernel in line with what is desired: what stands there (`Tables`), whether it does what it should
/// (`Monitor`), and what the owner is told of it (`Progress`).
#[derive(Debug)]
pub struct Enforcer {
    tables: Tables,
    monitor: Monitor,
    progress: Progress,
    now: Option<Instant>,
}

impl Default for Enforcer {
    fn default() -> Self {
        Self::new()
    }
}

impl Enforcer {
    /// Returns an enforcer with nothing in force yet.
    ///
    /// The first [`Enforcer::set_desired`] does away with whatever an earlier run has left, and goes on from what that has
    /// counted.
    pub fn new() -> Self {
        Self::of(TABLE, GUARD)
    }

    /// Returns an enforcer that leaves alone what an earlier run has in force, until its timeouts: its own rules stand in
    /// tables of another name.
    pub fn beside_earlier() -> Self {
        Self::of(SECOND_TABLE, SECOND_GUARD)
    }

    fn of(table: &'static str, guard: &'static str) -> Self {
        Self {
            tables: Tables::new(table, guard),
            monitor: Monitor::new(table),
            progress: Progress::default(),
            now: None,
        }
    }

    /// Takes what must be in force from now on; called with the same again, it takes up new addresses of the devices.
    /// `cut_first`: flows known to belong to what is to be blocked (`Ledger::known_flows`).
    pub fn set_desired(&mut self, desired: Desired, cut_first: Vec<Tuple>, inventory: &Inventory, now: Now) {
        let now = self.at(now);
        self.tables.set_desired(&desired, cut_first, now);
        let wanted = self.tables.wanted();
        if self.monitor.set_addresses(wanted, inventory) && self.progress.has_in_force() {
            self.monitor.sweep_now(now);
        }
        self.progress.set_wanted(wanted, now);
        if !self.tables.is_applied() {
            self.monitor.handle_changing(now);
        }
        self.rely_on_rules(now);
        self.progress.tell_again();
        self.tell_failure();
        self.proceed(now);
    }

    /// Takes up what has changed: called before the polls of a turn.
    pub fn handle_turn(&mut self) {
        let Some(now) = self.now else { return };
        self.read_counters(now);
        self.tables.change(self.monitor.counters(), now);
        // What no batch can do is made anew, and goes on from what has been counted.
        self.read_counters(now);
    }

    /// Returns the text for one `nft -f -`; the next only after [`Enforcer::handle_nft`].
    pub fn poll_ruleset(&mut self) -> Option<String> {
        self.handle_turn();
        self.tables.poll_ruleset(self.monitor.counters(), self.now?)
    }

    /// What is made anew goes on from what has been counted.
    fn read_counters(&mut self, now: Instant) {
        if self.tables.needs_counters() {
            self.monitor.want(Depth::Counters);
            self.tables.await_counters();
            self.proceed(now);
        }
    }

    /// Takes how `nft` has ended: the reason in words where it failed, was missing or could not be started.
    pub fn handle_nft(&mut self, outcome: Result<(), String>, now: Now) {
        let now = self.at(now);
        self.handle_end(outcome.map_err(End::Nft), now);
    }

    fn handle_end(&mut self, outcome: Result<(), End>, now: Instant) {
        if let Some(applied) = self.tables.handle_end(outcome, now) {
            if applied.no_bridge {
                self.progress.tell(Event::NoBridge);
            }
            self.monitor.handle_applied(self.tables.counted(), applied, now);
            self.rely_on_rules(now);
        }
        self.tell_failure();
        self.proceed(now);
    }

    /// Takes a datagram from a netlink socket.
    pub fn handle_datagram(&mut self, socket: Socket, datagram: &[u8], now: Now) {
        let now = self.at(now);
        match socket {
            Socket::Netfilter => self.monitor.handle_datagram(datagram),
            Socket::Changes => {
                if let Some(outcome) = self.tables.handle_datagram(datagram) {
                    self.handle_end(outcome, now);
                }
            }
            // It may be the doing of our nft: what counts is what the kernel holds.
            Socket::Events if self.tables.is_touched(datagram) => self.monitor.want(Depth::Everything),
            Socket::Events => {}
        }
        self.proceed(now);
    }

    /// Takes notice that a socket's buffer has overflowed: what was on its way is lost.
    pub fn handle_overrun(&mut self, socket: Socket, now: Now) {
        let now = self.at(now);
        match socket {
            Socket::Netfilter => self.monitor.handle_overrun(),
            Socket::Changes => self.handle_no_answer(now),
            Socket::Events => self.monitor.want(Depth::Everything),
        }
        self.proceed(now);
    }

    /// Returns the next datagram for a netlink socket.
    pub fn poll_transmit(&mut self) -> Option<(Socket, Vec<u8>)> {
        let batch = self.tables.poll_transmit().map(|batch| (Socket::Changes, batch));
        batch.or_else(|| self.monitor.poll_transmit().map(|request| (Socket::Netfilter, request)))
    }

    fn handle_no_answer(&mut self, now: Instant) {
        if let Some(outcome) = self.tables.handle_no_answer() {
            self.handle_end(outcome, now);
        }
    }

    /// Returns the next thing the enforcer's owner has to know.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.progress.poll_event()
    }

    /// Returns when [`Enforcer::handle_timeout`] wants to be called; never while nothing is in force.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let monitor = self.monitor.poll_timeout(self.tables.late_at());
        [self.tables.poll_timeout(), monitor, self.progress.poll_timeout()].into_iter().flatten().min()
    }

    /// Does what is due at this moment.
    pub fn handle_timeout(&mut self, now: Now) {
        let now = self.at(now);
        if self.monitor.handle_timeout(now) {
            // No transaction waits for counters that can't be had.
            self.tables.handle_counters_read(true);
        }
        self.tables.handle_timeout(now);
        if self.tables.is_unanswered(now) {
            self.handle_no_answer(now);
        }
        if self.progress.has_lapsed(now) {
            self.progress.handle_lapses(&self.tables.lapses(), now);
            self.tell_failure();
        }
        self.progress.handle_timeout(now);
        self.proceed(now);
    }

    /// Returns all that was dropped of a device while anything is in force against it, as last read.
    pub fn dropped_by(&self, mac: Mac) -> Traffic {
        self.monitor.counters().dropped_by(mac)
    }

    fn at(&mut self, now: Now) -> Instant {
        self.now = Some(now.instant);
        now.instant
    }

    /// Flows are cut and looked for only where the rules stand: before that they would come back.
    fn rely_on_rules(&mut self, now: Instant) {
        if self.tables.is_applied() {
            self.monitor.handle_settled(self.tables.take_cuts());
        }
        self.progress.handle_rules(self.tables.reliable(), &self.tables.lapses(), now);
    }

    fn tell_failure(&mut self) {
        if let Some(reason) = self.tables.failure() {
            self.progress.handle_failure(reason);
        }
    }

    /// Lets the monitor look on, and takes what it has seen.
    fn proceed(&mut self, now: Instant) {
        while let Some(finding) = self.monitor.poll_finding(&self.tables, &self.progress, now) {
            match finding {
                Finding::Swept(findings) => {
                    let judgement = self.progress.handle_sweep(findings);
                    if !self.progress.is_empty() {
                        self.monitor.handle_judged(judgement, now);
                    }
                }
                Finding::Inspected(inspection) => self.handle_inspection(inspection, now),
            }
        }
    }

    fn handle_inspection(&mut self, inspection: Inspection, now: Instant) {
        self.tables.handle_counters_read(inspection.has_found());
        let inspected = self.tables.inspected(&inspection, now);
        match inspected {
            Inspected::Inherited => self.tell_totals(),
            Inspected::Outdated => self.monitor.want(inspection.depth),
            Inspected::Lost => self.lose(now),
            Inspected::Intact | Inspected::Unclear => {
                if !self.tables.counted().is_empty() {
                    self.monitor.plan_reading(inspection.moved, now);
                }
            }
        }
        if inspected == Inspected::Intact {
            self.tell_totals();
            // A leak has led to a look at all rules.
            if inspection.depth == Depth::Everything {
                let counters = self.monitor.counters();
                self.progress.tell_spoofed(|id, mac| counters.has_dropped(id, mac));
            }
            for (id, senders) in inspection.senders.into_iter().filter(|(_, senders)| !senders.is_empty()) {
                self.progress.tell(Event::Senders { id, senders });
            }
        }
    }

    fn tell_totals(&mut self) {
        for (id, total) in self.monitor.counters().totals(self.tables.counted()) {
            self.progress.tell(Event::Counted { id, total });
        }
    }

    /// Somebody else has changed our tables.
    fn lose(&mut self, now: Instant) {
        self.progress.tell(Event::Vanished);
        self.progress.handle_lost(now);
        if let Some(reason) = self.tables.handle_lost(now) {
            self.progress.handle_failure(&reason);
        }
    }
}
