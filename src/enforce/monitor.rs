//! Looks at the kernel: what is asked in which order, and what is seen.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::counters::Counters;
use super::inspection::{Depth, Inspection};
use super::kernel_queries::{Answer, BATCH, ENOBUFS, KernelQueries, Query};
use super::progress::{Assessment, Progress};
use super::ruleset::Ruleset;
use super::sweep::{Addresses, PassingFlows, Sweep, SweepSubject};
use super::tables::{PAUSES, Tables};
use super::transaction::Applied;
use crate::model::{Backoff, Tuple};
use crate::source::Inventory;

/// How often the counters are read while they rise, and at least.
const PACE: Duration = Duration::from_secs(2);
const PACE_QUIET: Duration = Duration::from_secs(10);
/// How soon it is looked who sends: an attack has sent by then.
const FIRST_LOOK: Duration = Duration::from_millis(100);

/// How long sweeps wait for changes that follow each other: a list of all flows takes the processor for tens of milliseconds,
/// which the requests of a burst still to be answered would have to wait.
const BURST: Duration = Duration::from_millis(500);

/// All that looks at the kernel.
#[derive(Debug)]
pub(super) struct Monitor {
    queries: KernelQueries,
    /// Flows to be cut before anything is looked at.
    cuts: Vec<Tuple>,
    sweep: Option<Sweep>,
    /// Whether the kernel erases flows by a filter, as far as is known.
    erases: bool,
    addresses: Addresses,
    /// Until then nothing is swept before all is in force.
    settled_by: Option<Instant>,
    /// When everything is swept next.
    sweep_at: Option<Instant>,
    sweep_pauses: Backoff,
    inspection: Option<Inspection>,
    /// The inspection that is wanted next.
    inspect: Option<Depth>,
    counters: Counters,
    /// When the counters are read next.
    read_at: Option<Instant>,
    pace: Duration,
}

/// What has been seen.
#[derive(Debug)]
pub(super) enum Finding {
    /// Flows of what was swept.
    Swept(Vec<(SweepSubject, PassingFlows)>),
    /// What the tables hold.
    Inspected(Inspection),
}

/// What comes next.
enum Step {
    Ask(Query),
    Tell(Finding),
}

impl Monitor {
    /// Nothing has been looked at yet of the tables of this name.
    pub(super) fn new(table: &'static str) -> Self {
        Self {
            queries: KernelQueries::new(table),
            cuts: Vec::new(),
            sweep: None,
            erases: true,
            addresses: Addresses::default(),
            settled_by: None,
            sweep_at: None,
            sweep_pauses: PAUSES,
            inspection: None,
            inspect: None,
            counters: Counters::default(),
            read_at: None,
            pace: PACE,
        }
    }

    pub(super) fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Takes the addresses of all devices that anything is in force against. Tells whether some were not known.
    pub(super) fn set_addresses(&mut self, wanted: &Ruleset, inventory: &Inventory) -> bool {
        let known = |mac| inventory.addresses_of(mac).iter().map(move |address| (*address, mac));
        let devices: BTreeMap<_, _> = wanted.devices().flat_map(known).collect();
        let grown = devices.iter().any(|(address, mac)| self.addresses.devices.get(address) != Some(mac));
        self.addresses = Addresses { devices, router: inventory.own().clone() };
        grown
    }

    /// Everything is swept at once.
    pub(super) fn sweep_now(&mut self, now: Instant) {
        self.sweep_pauses.reset();
        self.sweep_at = Some(now);
    }

    /// Wants an inspection.
    pub(super) fn want(&mut self, depth: Depth) {
        self.inspect = self.inspect.max(Some(depth));
    }

    /// Something is changing: sweeps wait a little for more.
    pub(super) fn handle_changing(&mut self, now: Instant) {
        self.settled_by.get_or_insert(now + BURST);
    }

    /// All that is wanted stands; these flows are to be cut.
    pub(super) fn handle_settled(&mut self, mut cuts: Vec<Tuple>) {
        self.settled_by = None;
        self.cuts.append(&mut cuts);
    }

    /// A transaction has brought this into force.
    pub(super) fn handle_applied(&mut self, ruleset: &Ruleset, applied: Applied, now: Instant) {
        self.counters.settle(ruleset);
        self.cuts.extend(applied.cut);
        self.pace = PACE;
        let next = if applied.logs_more { FIRST_LOOK } else { PACE };
        self.read_at = (!ruleset.is_empty()).then_some(now + next);
        if ruleset.is_empty() {
            self.sweep_at = None;
        }
    }

    /// What a sweep has seen is judged: plans the next one.
    pub(super) fn handle_judged(&mut self, judgement: Assessment, now: Instant) {
        if judgement.leaks {
            self.inspect = Some(Depth::Everything);
        }
        if judgement.is_unsettled {
            self.sweep_pauses.reset();
        }
        if judgement.is_unsettled || self.sweep_at.is_none() {
            let next = now + self.sweep_pauses.pause();
            self.sweep_at = Some(self.sweep_at.map_or(next, |at| at.min(next)));
        }
    }

    /// Plans the next reading of the counters: soon if they have moved.
    pub(super) fn plan_reading(&mut self, moved: bool, now: Instant) {
        if self.read_at.is_none() {
            self.pace = if moved { PACE } else { (self.pace * 2).clamp(PACE, PACE_QUIET) };
            self.read_at = Some(now + self.pace);
        }
    }

    /// Takes a datagram from the socket the queries go to.
    pub(super) fn handle_datagram(&mut self, datagram: &[u8]) {
        for answer in self.queries.handle_datagram(datagram) {
            self.handle_answer(answer);
        }
    }

    fn handle_answer(&mut self, answer: Answer) {
        match answer {
            Answer::Flow(flow) => self.sweep.iter_mut().for_each(|sweep| sweep.handle_flow(&flow)),
            Answer::Flows(outcome) => self.sweep.iter_mut().for_each(|sweep| sweep.handle_end(outcome)),
            Answer::Erased(outcome) => {
                self.erases &= matches!(outcome, Ok(()) | Err(ENOBUFS));
                self.sweep.iter_mut().for_each(|sweep| sweep.handle_erased(outcome));
            }
            Answer::Cut => {}
            answer => {
                if let Some(inspection) = &mut self.inspection {
                    inspection.handle_answer(answer, &mut self.counters);
                }
            }
        }
    }

    /// That socket's buffer has overflowed.
    pub(super) fn handle_overrun(&mut self) {
        if let Some(answer) = self.queries.handle_overrun() {
            self.handle_answer(answer);
        }
    }

    /// The next request to the kernel.
    pub(super) fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        self.queries.poll_transmit()
    }

    /// Asks the kernel what is to be asked next, and tells what has been seen.
    pub(super) fn poll_finding(&mut self, tables: &Tables, progress: &Progress, now: Instant) -> Option<Finding> {
        while self.queries.is_idle() {
            match self.next_step(tables, progress, now)? {
                Step::Ask(query) => self.queries.ask(query, now),
                Step::Tell(finding) => return Some(finding),
            }
        }
        None
    }

    /// When [`Monitor::handle_timeout`] or [`Monitor::poll_finding`] has something to do; `late_at`: when the running
    /// transaction is no longer waited for.
    pub(super) fn poll_timeout(&self, late_at: Option<Instant>) -> Option<Instant> {
        if !self.queries.is_idle() {
            return self.queries.poll_timeout();
        }
        let sweep_at = self.sweep_at.map(|at| self.settled_by.map_or(at, |by| at.max(by)));
        let late_at = late_at.filter(|_| self.inspect.is_some());
        [self.read_at, sweep_at, late_at].into_iter().flatten().min()
    }

    /// Does what is due. Tells whether an answer does not come: whatever was being looked at is looked at again.
    pub(super) fn handle_timeout(&mut self, now: Instant) -> bool {
        let lost = self.queries.poll_timeout().is_some_and(|due| due <= now);
        if lost {
            self.queries.give_up();
            if self.inspection.take().is_some() {
                self.inspect = Some(Depth::Everything);
            }
            if self.sweep.take().is_some() {
                self.sweep_at = Some(now);
            }
        }
        if self.read_at.take_if(|at| *at <= now).is_some() {
            self.want(Depth::Counters);
        }
        lost
    }

    fn next_step(&mut self, tables: &Tables, progress: &Progress, now: Instant) -> Option<Step> {
        if !self.cuts.is_empty() {
            let batch = self.cuts.len().min(BATCH);
            return Some(Step::Ask(Query::Cut(self.cuts.drain(..batch).map(|tuple| (tuple, None)).collect())));
        }
        let hurried = if tables.awaits_counters() { self.inspect_on(tables, now) } else { None };
        hurried.or_else(|| self.sweep_on(progress, now)).or_else(|| self.inspect_on(tables, now))
    }

    /// What has just come into force is swept at once, everything from time to time.
    fn sweep_on(&mut self, progress: &Progress, now: Instant) -> Option<Step> {
        if self.settled_by.is_some_and(|by| now < by) {
            return None;
        }
        if self.sweep.is_none() {
            let all = self.sweep_at.take_if(|at| *at <= now).is_some();
            let subjects = progress.subjects(all);
            self.sweep = (!subjects.is_empty()).then(|| Sweep::new(subjects, &self.addresses, self.erases && !all));
        }
        match self.sweep.as_mut()?.poll_query() {
            Some(query) => Some(Step::Ask(query)),
            None => self.sweep.take().map(|sweep| Step::Tell(Finding::Swept(sweep.findings()))),
        }
    }

    /// What is changing right now is looked at afterwards.
    fn inspect_on(&mut self, tables: &Tables, now: Instant) -> Option<Step> {
        if self.inspection.is_none() && !tables.is_changing(now) {
            self.inspection = self.inspect.take().and_then(|depth| tables.inspection(depth));
        }
        match self.inspection.as_mut()?.poll_query() {
            Some(query) => Some(Step::Ask(query)),
            None => self.inspection.take().map(|inspection| Step::Tell(Finding::Inspected(inspection))),
        }
    }
}
