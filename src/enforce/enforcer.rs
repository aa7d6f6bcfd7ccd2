//! Brings what should be in force into force, proves it, counts, and notices when it is no more.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use vecset::VecMap;

use super::counters::Counters;
use super::dialogue::Dialogue;
use super::inspect::{Depth, Inspection};
use super::render::{Held, TABLE, transaction};
use super::ruleset::{Desired, Measure, Ruleset};
use super::verify::{Addresses, Sweep};
use super::watch::{MOMENT, PAUSES, Stage, Watched, told};
use crate::model::{Backoff, Mac, Now, Traffic, Tuple};
use crate::netlink::nftables::{self, Family};
use crate::source::Inventory;
use crate::source::device::Sender;

mod look;

/// Most flows remembered that are to be cut as soon as the rules stand; the check that follows finds all others.
const MOST_CUT_FIRST: usize = 4096;

/// The netlink sockets it speaks on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Socket {
    /// `NETLINK_NETFILTER`: questions and answers.
    Netfilter,
    /// `NETLINK_NETFILTER` with the group `NFNLGRP_NFTABLES` (7).
    Events,
}

/// What its owner has to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A mitigation is in force as desired, or why it isn't; for `Ledger::enforced`. May be told again.
    Enforced {
        /// The mitigation's number.
        id: u32,
        /// The reason in words.
        outcome: Result<(), String>,
    },
    /// The same about the administrator's own quarantines.
    Standing {
        /// The reason in words.
        outcome: Result<(), String>,
    },
    /// What has been dropped on behalf of a mitigation so far; for `Ledger::counted`.
    Counted {
        /// The mitigation's number.
        id: u32,
        /// Since it came into force.
        total: Traffic,
    },
    /// Who has lately sent what a mitigation is about; for `Finder::witnessed`. Told again while they do.
    Witnessed {
        /// The mitigation's number.
        id: u32,
        /// Who.
        senders: Vec<Sender>,
    },
    /// Somebody else has changed our tables; they are being made anew.
    Vanished,
    /// The kernel can't filter between the ports of a bridge: quarantined devices still reach others at home. Told once.
    NoBridge,
}

/// Keeps the kernel in line with what is desired.
#[derive(Debug, Default)]
pub struct Enforcer {
    wanted: Ruleset,
    /// What the kernel holds, as far as we know.
    applied: Option<Held>,
    /// The next transaction must not rely on that.
    rebuild: bool,
    /// Somebody else has changed our tables, and they have not been made anew yet.
    gone: bool,
    running: Option<Run>,
    /// How many transactions have begun or ended.
    runs: u32,
    bridge: Bridge,
    told_of_bridge: bool,
    watched: VecMap<Option<u32>, Watched>,
    changes: u32,
    addresses: Addresses,
    cut_later: Vec<Tuple>,
    cut_now: Vec<Tuple>,
    dialogue: Dialogue,
    sweep: Option<Sweep>,
    inspection: Option<Inspection>,
    inspect: Option<Depth>,
    /// A transaction waits for the counters.
    hurry: bool,
    /// They have been read for it, or can't be.
    prepared: bool,
    counters: Counters,
    read_at: Option<Instant>,
    pace: Duration,
    /// Until then nothing is checked before all is in force.
    settled_by: Option<Instant>,
    watch_at: Option<Instant>,
    /// When the kernel ends first what has been prolonged, but not there yet.
    lapse_at: Option<Instant>,
    pauses: Pauses,
    failure: Option<String>,
    retry_at: Option<Instant>,
    vanished: Option<Instant>,
    events: VecDeque<Event>,
    now: Option<Instant>,
}

/// How long it waits before it looks, tries or makes anew once more.
#[derive(Debug)]
struct Pauses {
    watch: Backoff,
    retry: Backoff,
    storm: Backoff,
}

impl Default for Pauses {
    fn default() -> Self {
        Self { watch: PAUSES, retry: PAUSES, storm: PAUSES }
    }
}

/// A transaction on its way.
#[derive(Debug)]
struct Run {
    held: Held,
    began: Instant,
    /// Whether it speaks of the bridge.
    bridge: bool,
    cut: Vec<Tuple>,
}

impl Run {
    /// From when on it takes longer than it should.
    fn late_at(&self) -> Instant {
        self.began + MOMENT
    }
}

/// Whether the kernel filters bridges.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Bridge {
    #[default]
    Assumed,
    /// A transaction that speaks of them has failed; one that does not is being tried.
    Doubted,
    Missing,
}

impl Enforcer {
    /// Nothing is in force yet. The first [`Enforcer::set_desired`] does away with whatever an earlier run has left, and goes on
    /// from what that has counted.
    pub fn new() -> Self {
        Self::default()
    }

    /// What must be in force from now on; called with the same again, it takes up new addresses of the devices.
    /// `cut_first`: flows known to belong to what is to be blocked (`Ledger::known_flows`).
    pub fn set_desired(&mut self, desired: Desired, cut_first: Vec<Tuple>, inventory: &Inventory, now: Now) {
        let now = now.instant;
        self.now = Some(now);
        self.wanted = Ruleset::new(&desired, &self.wanted, now);
        self.take_addresses(inventory, now);
        self.take_measures(now);
        if !self.is_applied() && self.settled_by.is_none() {
            self.settled_by = Some(now + look::BURST);
        }
        self.cut_later = cut_first;
        self.cut_later.truncate(MOST_CUT_FIRST);
        self.rely_on_rules(now);
        self.tell_again();
        if let Some(reason) = self.failure.clone() {
            self.fail_waiting(&reason);
        }
        self.proceed(now);
    }

    /// The text for one `nft -f -`; the next only after [`Enforcer::handle_nft`].
    pub fn poll_ruleset(&mut self) -> Option<String> {
        let now = self.now.filter(|_| self.running.is_none() && self.retry_at.is_none() && !self.is_applied())?;
        // What is made anew goes on from its last reading: that had better be of this moment.
        if !self.prepared && self.loses_counters() {
            self.inspect = self.inspect.max(Some(Depth::Counters));
            self.hurry = true;
            self.proceed(now);
            if !self.prepared {
                return None;
            }
        }
        let before = self.held();
        let bridge = self.speaks_of_bridge(before);
        let families = if bridge { vec![Family::Inet, Family::Bridge] } else { vec![Family::Inet] };
        let text = transaction(before, &self.wanted, &families, &self.counters, now);
        self.prepared = false;
        self.runs = self.runs.wrapping_add(1);
        let held = Held { ruleset: self.wanted.clone(), families };
        self.running = Some(Run { held, began: now, bridge, cut: std::mem::take(&mut self.cut_later) });
        Some(text)
    }

    /// How `nft` has ended: the reason in words where it failed, was missing or could not be started.
    pub fn handle_nft(&mut self, outcome: Result<(), String>, now: Now) {
        let now = now.instant;
        self.now = Some(now);
        let Some(run) = self.running.take() else { return };
        self.runs = self.runs.wrapping_add(1);
        match outcome {
            Ok(()) => self.succeed(run, now),
            Err(reason) => self.fail(run, reason, now),
        }
        self.proceed(now);
    }

    /// Takes a datagram from a netlink socket.
    pub fn handle_datagram(&mut self, socket: Socket, datagram: &[u8], now: Now) {
        let now = now.instant;
        self.now = Some(now);
        match socket {
            Socket::Netfilter => {
                for heard in self.dialogue.hear(datagram) {
                    self.hear(heard);
                }
            }
            // It may be our own doing: what counts is what the kernel holds.
            Socket::Events if nftables::touches(datagram, TABLE) => self.inspect = Some(Depth::Everything),
            Socket::Events => {}
        }
        self.proceed(now);
    }

    /// The socket's buffer has overflowed: what was on its way is lost.
    pub fn handle_overrun(&mut self, socket: Socket, now: Now) {
        match socket {
            Socket::Netfilter => self.dialogue.handle_overrun(),
            Socket::Events => self.inspect = Some(Depth::Everything),
        }
        self.now = Some(now.instant);
        self.proceed(now.instant);
    }

    /// The next datagram for a netlink socket.
    pub fn poll_transmit(&mut self) -> Option<(Socket, Vec<u8>)> {
        self.dialogue.poll_transmit().map(|request| (Socket::Netfilter, request))
    }

    /// The next thing its owner has to know.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When [`Enforcer::handle_timeout`] wants to be called; never while nothing is in force.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let retry = self.retry_at.filter(|_| self.running.is_none());
        let idle = self.dialogue.is_idle();
        let watch = self.watch_at.map(|at| self.settled_by.map_or(at, |by| at.max(by)));
        let looks = [self.read_at, watch].into_iter().flatten().filter(|_| idle);
        let late = self.running.as_ref().filter(|_| idle && self.inspect.is_some()).map(Run::late_at);
        let told = self.watched.values().filter_map(|watched| watched.due);
        looks.chain(retry).chain(late).chain(told).chain(self.lapse_at).chain(self.dialogue.poll_timeout()).min()
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Now) {
        let now = now.instant;
        self.now = Some(now);
        if self.dialogue.poll_timeout().is_some_and(|due| due <= now) {
            self.start_over();
        }
        self.retry_at = self.retry_at.filter(|at| *at > now);
        self.let_lapse(now);
        for (key, watched) in &mut self.watched {
            watched.hold_off(*key, now, &mut self.events);
        }
        if self.read_at.is_some_and(|at| at <= now) {
            self.read_at = None;
            self.inspect = self.inspect.max(Some(Depth::Counters));
        }
        self.proceed(now);
    }

    /// All that was dropped of a device while anything is in force against it, as last read.
    pub fn dropped_by(&self, mac: Mac) -> Traffic {
        self.counters.dropped_by(mac)
    }

    /// What the kernel holds, if that can be relied on.
    fn held(&self) -> Option<&Held> {
        self.applied.as_ref().filter(|_| self.running.is_none() && !self.rebuild)
    }

    /// Whether the next transaction makes elements anew that have counted: perhaps under an earlier run of ours.
    fn loses_counters(&self) -> bool {
        match &self.applied {
            Some(_) if self.gone => false,
            Some(held) => self.rebuild || held.ruleset.loses_counters(&self.wanted),
            None => !self.wanted.is_empty(),
        }
    }

    fn is_applied(&self) -> bool {
        self.held().is_some_and(|held| held.ruleset == self.wanted)
    }

    /// What has been prolonged but still ends in the kernel, and when.
    fn lapses(&self) -> VecMap<Option<u32>, Instant> {
        let held = self.applied.as_ref().map(|held| &held.ruleset);
        self.watched.keys().filter_map(|key| Some((*key, held?.lapses(*key, &self.wanted)?))).collect()
    }

    fn let_lapse(&mut self, now: Instant) {
        if self.lapse_at.take_if(|at| *at <= now).is_none() {
            return;
        }
        for (key, at) in self.lapses() {
            let standing = self.watched.get_mut(&key).filter(|watched| watched.stage != Stage::Waiting);
            match standing {
                Some(watched) if at <= now => watched.lose(now),
                _ => self.lapse_at = self.lapse_at.into_iter().chain([at]).filter(|at| *at > now).min(),
            }
        }
        if let Some(reason) = self.failure.clone() {
            self.fail_waiting(&reason);
        }
    }

    fn take_addresses(&mut self, inventory: &Inventory, now: Instant) {
        let known = |mac| inventory.addresses_of(mac).iter().map(move |address| (*address, mac));
        let devices: BTreeMap<_, _> = self.wanted.devices().flat_map(known).collect();
        let grown = devices.iter().any(|(address, mac)| self.addresses.devices.get(address) != Some(mac));
        self.addresses = Addresses { devices, router: inventory.own().clone() };
        if grown && self.watched.values().any(|watched| watched.stage == Stage::InForce) {
            self.pauses.watch.reset();
            self.watch_at = Some(now);
        }
    }

    /// What has changed has to come into force anew.
    fn take_measures(&mut self, now: Instant) {
        let measures: VecMap<Option<u32>, Measure> = self.wanted.measures().collect();
        self.watched.retain(|key, _| measures.contains_key(key));
        for (key, measure) in measures {
            if self.watched.get(&key).is_none_or(|watched| watched.measure != measure) {
                self.changes = self.changes.wrapping_add(1);
                self.watched.insert(key, Watched::new(measure, self.changes, now));
            }
        }
    }

    /// The owner may have forgotten what it was told of what has not changed.
    fn tell_again(&mut self) {
        for (key, watched) in &self.watched {
            if let Some(outcome) = &watched.told {
                self.events.push_back(told(*key, outcome.clone()));
            }
        }
    }

    fn succeed(&mut self, run: Run, now: Instant) {
        self.failure = None;
        self.pauses.retry.reset();
        self.rebuild = false;
        self.gone = false;
        match self.bridge {
            Bridge::Missing if run.bridge => self.bridge = Bridge::Assumed,
            Bridge::Doubted => {
                self.bridge = Bridge::Missing;
                if !self.told_of_bridge {
                    self.told_of_bridge = true;
                    self.events.push_back(Event::NoBridge);
                }
            }
            _ => {}
        }
        let ruleset = &run.held.ruleset;
        self.counters.settle(ruleset);
        self.cut_now.extend(run.cut);
        self.pace = look::PACE;
        let notes_more = ruleset.notes_more(self.applied.as_ref().map(|held| &held.ruleset));
        let next = if notes_more { look::FIRST_LOOK } else { look::PACE };
        self.read_at = (!ruleset.is_empty()).then_some(now + next);
        if ruleset.is_empty() {
            self.watch_at = None;
        }
        self.applied = Some(run.held);
        self.rely_on_rules(now);
    }

    /// Flows are cut and looked for only where the rules stand: before that they would come back.
    fn rely_on_rules(&mut self, now: Instant) {
        let lapses = self.lapses();
        self.lapse_at = lapses.values().copied().min();
        if self.is_applied() {
            self.settled_by = None;
            self.cut_now.append(&mut self.cut_later);
        }
        let held = self.applied.as_ref().filter(|_| self.running.is_none() && !self.rebuild);
        let Some(held) = held else { return };
        for (key, watched) in &mut self.watched {
            let stands = lapses.get(key).is_none_or(|at| *at > now);
            if watched.stage == Stage::Waiting
                && stands
                && held.ruleset.measure(*key).as_ref() == Some(&watched.measure)
            {
                watched.stage = Stage::Checking;
            }
        }
    }

    fn fail(&mut self, run: Run, reason: String, now: Instant) {
        if self.cut_later.is_empty() {
            self.cut_later = run.cut;
        }
        self.rebuild = true;
        if run.bridge {
            // Perhaps only the bridge is to blame, and nobody has to wait for knowing that.
            self.bridge = Bridge::Doubted;
            return;
        }
        if self.bridge == Bridge::Doubted {
            self.bridge = Bridge::Assumed;
        }
        self.fail_waiting(&reason);
        self.failure = Some(reason);
        self.retry_at = Some(now + self.pauses.retry.pause());
    }

    fn fail_waiting(&mut self, reason: &str) {
        let waiting = self.watched.iter_mut().filter(|(_, watched)| watched.stage == Stage::Waiting);
        for (key, watched) in waiting {
            watched.tell(*key, Err(reason.to_owned()), &mut self.events);
        }
    }

    /// Whether the next transaction has anything to do with the bridge. Where it is missing this is tried again with
    /// every change of who is quarantined: modules can be loaded later.
    fn speaks_of_bridge(&self, before: Option<&Held>) -> bool {
        let quarantined = |ruleset: &Ruleset| ruleset.sets(Family::Bridge).map(|(_, m)| m.clone()).next();
        let (old, new) = (before.and_then(|held| quarantined(&held.ruleset)), quarantined(&self.wanted));
        match self.bridge {
            Bridge::Assumed => before.is_none() || old.is_some() || new.is_some(),
            Bridge::Missing => new.is_some() && old != new,
            Bridge::Doubted => false,
        }
    }
}
