//! What stands in the kernel, and the transactions that bring it in line with what is wanted.
//!
//! What is known to stand is changed by netlink, in one batch, without any process. Whatever is not known to stand is made
//! anew by `nft`, from one text: after the start, after somebody else has changed it, after a batch that failed, and where a
//! batch would be longer than the kernel takes or would open a block.
//!
//! Making tables anew is one transaction, but not one moment: the kernel uses new sets of ranges some time after it has
//! turned to new rules, and a packet may pass the new chain before that turn and the old one after it. So where something of
//! ours stands already, a guard is put up behind it first, and taken away when all stands again.

use std::time::{Duration, Instant};

use vecset::VecMap;

use super::bridge::Bridge;
use super::counters::Counters;
use super::desired::{Desired, Owner};
use super::event::NotInForce;
use super::inspection::{Depth, Inspection, Verdict};
use super::progress::MOMENT;
use super::ruleset::{Held, Ruleset};
use super::transaction::{Applied, End, Inspected, KernelState, Reading, Run};
use super::{change, render};
use crate::model::{Backoff, Tuple};
use crate::netlink::Exchange;
use crate::netlink::batch::LONGEST;
use crate::netlink::nftables::{self, Family};

/// Most flows remembered that are to be cut as soon as the rules stand; the check that follows finds all others.
const MOST_CUT_FIRST: usize = 4096;

/// How long nft rests after a run, in times of that run, and at most: what providers prolong and ask does not keep it busy.
const REST: u32 = 4;
const LONGEST_REST: Duration = Duration::from_secs(1);

/// The kernel answers a batch at once. If nothing has come by then, the answer is lost.
const PATIENCE: Duration = Duration::from_secs(10);

/// Somebody who removes our tables more often than this is not followed at once.
const STORM: Duration = Duration::from_secs(10);

/// The pauses before something is tried or looked at again.
pub(super) const PAUSES: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60));

/// Our tables in the kernel.
#[derive(Debug)]
pub(super) struct Tables {
    name: &'static str,
    /// What stands in for them while they are made anew.
    guard: &'static str,
    wanted: Ruleset,
    state: KernelState,
    running: Option<Run>,
    /// Batches to the kernel and its answers.
    exchange: Exchange<()>,
    /// The port our batches come from, as told by the kernel's answers.
    port: Option<u32>,
    /// How many transactions have begun or ended.
    runs: u32,
    reading: Reading,
    bridge: Bridge,
    /// Whether there may be anything in the kernel that making all anew could open.
    may_open: bool,
    /// The families in which a guard stands.
    guarded: Option<&'static [Family]>,
    /// Flows to be cut as soon as the rules stand.
    cut_later: Vec<Tuple>,
    /// Why the last transaction failed.
    failure: Option<NotInForce>,
    retry_at: Option<Instant>,
    retry: Backoff,
    /// The pauses before what a slow nft has made too long-lived is put right.
    late: Backoff,
    /// Until when what changes for nobody's block or quarantine waits.
    rest_until: Option<Instant>,
    /// When somebody else last changed them.
    lost_at: Option<Instant>,
    storm: Backoff,
}

impl Tables {
    /// Nothing is known of them yet but their name, and that of their guard.
    pub(super) fn new(name: &'static str, guard: &'static str) -> Self {
        Self {
            name,
            guard,
            wanted: Ruleset::default(),
            state: KernelState::Unknown,
            running: None,
            exchange: Exchange::default(),
            port: None,
            runs: 0,
            reading: Reading::Old,
            bridge: Bridge::default(),
            may_open: true,
            guarded: None,
            cut_later: Vec::new(),
            failure: None,
            retry_at: None,
            retry: PAUSES,
            late: PAUSES,
            rest_until: None,
            lost_at: None,
            storm: PAUSES,
        }
    }

    /// What must be in force from now on, and the flows to be cut as soon as it is.
    pub(super) fn set_desired(&mut self, desired: &Desired, cut_first: Vec<Tuple>, now: Instant) {
        self.wanted = Ruleset::new(desired, &self.wanted, now);
        self.cut_later = cut_first;
        self.cut_later.truncate(MOST_CUT_FIRST);
    }

    pub(super) fn wanted(&self) -> &Ruleset {
        &self.wanted
    }

    /// What the kernel holds, if that can be relied on.
    pub(super) fn reliable(&self) -> Option<&Ruleset> {
        self.held().map(|held| &held.ruleset)
    }

    /// Whether all that is wanted stands, perhaps for longer than it should.
    pub(super) fn is_applied(&self) -> bool {
        self.reliable().is_some_and(|held| held.stands_for(&self.wanted))
    }

    /// What the counters are about: as held, or as an earlier run has left it, if that was the same.
    pub(super) fn counted(&self) -> &Ruleset {
        self.state.held().map_or(&self.wanted, |held| &held.ruleset)
    }

    /// What has been prolonged but still ends in the kernel, and when.
    pub(super) fn lapses(&self) -> VecMap<Owner, Instant> {
        self.state.held().map(|held| held.ruleset.lapses(&self.wanted)).unwrap_or_default()
    }

    /// Why nothing comes into force, if so.
    pub(super) fn failure(&self) -> Option<&NotInForce> {
        self.failure.as_ref()
    }

    /// The flows to be cut now that the rules stand.
    pub(super) fn take_cuts(&mut self) -> Vec<Tuple> {
        std::mem::take(&mut self.cut_later)
    }

    /// Whether the counters are to be read before the next transaction. What is made anew goes on from its last reading:
    /// that had better be of this moment.
    pub(super) fn needs_counters(&self) -> bool {
        self.is_due() && self.reading != Reading::Fresh && self.loses_counters()
    }

    /// The counters are being read for the next transaction.
    pub(super) fn await_counters(&mut self) {
        self.reading = Reading::Awaited;
    }

    /// Whether they are.
    pub(super) fn awaits_counters(&self) -> bool {
        self.reading == Reading::Awaited
    }

    /// The counters have been read, or can't be; `stands`: whether anything of ours has been found, or may be there unseen.
    pub(super) fn handle_counters_read(&mut self, stands: bool) {
        if self.reading == Reading::Awaited {
            self.reading = Reading::Fresh;
            self.may_open = stands;
        }
    }

    /// Begins to change what is known to stand, if it has to change. Whatever a batch can't change is made anew.
    pub(super) fn change(&mut self, counters: &Counters, now: Instant) {
        let Some(before) = self.held().filter(|_| self.is_due() && !self.needs_counters()) else { return };
        let families = self.bridge.families(Some(&before.ruleset), &self.wanted);
        let change = change::batch(self.name, before, &self.wanted, families, counters, now);
        let Some((batch, held)) = change.filter(|(batch, _)| batch.len() <= LONGEST) else { return self.doubt() };
        self.exchange.start((), |(), sequence| vec![batch.finish(sequence)]);
        self.exchange.set_deadline(now + PATIENCE);
        self.begin(Some(held), families, self.guarded, now);
    }

    /// The next batch for the kernel.
    pub(super) fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        self.exchange.poll_transmit()
    }

    /// The text for one `nft -f -`; the next transaction only after [`Tables::handle_end`].
    pub(super) fn poll_ruleset(&mut self, counters: &Counters, now: Instant) -> Option<String> {
        if let (Some(_), Some(families)) = (self.held(), self.guarded) {
            self.begin(None, families, None, now);
            return Some(render::nothing(self.guard, families));
        }
        if self.held().is_some() || !self.is_due() || self.needs_counters() {
            return None;
        }
        let families = self.bridge.families(None, &self.wanted);
        if self.needs_guard() {
            self.begin(None, families, Some(families), now);
            return Some(render::guard(self.guard, &self.wanted, families, now));
        }
        let (mut text, held) = render::text(self.name, &self.wanted, families, counters, now);
        if self.guarded.is_none() && matches!(self.state, KernelState::Unknown) {
            text += &render::nothing(self.guard, families);
        }
        self.begin(Some(held), families, self.guarded, now);
        Some(text)
    }

    /// Whether something of ours may stand that must not open while it is made anew.
    fn needs_guard(&self) -> bool {
        let stands = matches!(self.state, KernelState::Unknown | KernelState::Doubtful(_)) && self.may_open;
        stands && self.guarded.is_none() && !self.wanted.is_empty()
    }

    fn begin(
        &mut self,
        held: Option<Held>,
        families: &'static [Family],
        guarded: Option<&'static [Family]>,
        now: Instant,
    ) {
        self.reading = Reading::Old;
        self.runs = self.runs.wrapping_add(1);
        let cut = if held.is_some() { self.take_cuts() } else { Vec::new() };
        self.running = Some(Run { held, families, guarded, began: now, cut });
    }

    /// Takes a datagram from the socket batches go to; how the running one has ended.
    pub(super) fn handle_datagram(&mut self, datagram: &[u8]) -> Option<Result<(), End>> {
        let (port, errno) = nftables::ends(datagram).find_map(|end| {
            let is_ours = self.exchange.is_last(end.sequence);
            is_ours.then_some((end.port, end.errno))
        })?;
        self.exchange.end();
        self.port = Some(port).filter(|port| *port != 0);
        Some(if errno == 0 { Ok(()) } else { Err(End::Batch(errno)) })
    }

    /// Whether a datagram of events tells of anything in our tables that is not our own doing.
    pub(super) fn is_touched(&self, datagram: &[u8]) -> bool {
        nftables::is_touched_by_others(datagram, self.name, self.port)
    }

    /// The answer to a batch is lost, or does not come.
    pub(super) fn handle_no_answer(&mut self) -> Option<Result<(), End>> {
        self.exchange.end().map(|()| Err(End::Batch(0)))
    }

    /// How a transaction has ended; what it has brought into force.
    pub(super) fn handle_end(&mut self, outcome: Result<(), End>, now: Instant) -> Option<Applied> {
        let run = self.running.take()?;
        self.runs = self.runs.wrapping_add(1);
        match outcome {
            Ok(()) => self.succeed(run, now),
            Err(reason) => {
                self.fail(run, reason, now);
                None
            }
        }
    }

    fn succeed(&mut self, mut run: Run, now: Instant) -> Option<Applied> {
        self.guarded = run.guarded;
        self.rest(run.began, now);
        let mut held = run.held.take()?;
        let no_bridge = self.bridge.handle_success(run.names_bridge());
        self.failure = None;
        self.retry.reset();
        self.reckon_delay(&mut held.ruleset, run.began, now);
        let logs_more = held.ruleset.logs_more(self.state.held().map(|held| &held.ruleset));
        self.state = KernelState::Holds(held);
        Some(Applied { cut: run.cut, logs_more, no_bridge })
    }

    /// Rests after a run, and for those before it that it did not rest for.
    fn rest(&mut self, began: Instant, now: Instant) {
        let owed = self.rest_until.map_or(Duration::ZERO, |until| until.saturating_duration_since(now));
        let rest = (owed + now.saturating_duration_since(began) * REST).min(LONGEST_REST);
        self.rest_until = Some(now + rest).filter(|_| !rest.is_zero());
    }

    /// A text says how long elements last from when it was written: what a slow nft has made ends as much later. It is made
    /// anew, in the end by an nft that is not slow.
    fn reckon_delay(&mut self, held: &mut Ruleset, began: Instant, now: Instant) {
        let delay = now.saturating_duration_since(began);
        if delay < MOMENT {
            return self.late.reset();
        }
        let before = if let KernelState::Holds(held) = &self.state { Some(&held.ruleset) } else { None };
        if held.delay(before, delay) {
            self.retry_at = Some(now + self.late.pause());
        }
    }

    fn fail(&mut self, run: Run, reason: End, now: Instant) {
        let names_bridge = run.names_bridge();
        if self.cut_later.is_empty() {
            self.cut_later = run.cut;
        }
        self.doubt();
        match reason {
            // What made it fail, nft will tell.
            End::Batch(errno) => log::debug!("a batch failed with error {errno}: all is made anew"),
            // Where only the bridge may be to blame, nobody has to wait for knowing that.
            End::Nft(said) => {
                if !self.bridge.handle_failure(names_bridge) {
                    self.failure = Some(NotInForce::Nft(said));
                    self.retry_at = Some(now + self.retry.pause());
                }
            }
        }
    }

    /// The next transaction must not rely on what is held.
    fn doubt(&mut self) {
        self.state = match std::mem::replace(&mut self.state, KernelState::Unknown) {
            KernelState::Holds(held) => KernelState::Doubtful(held),
            other => other,
        };
    }

    /// Begins to look at them; nothing where there is nothing to look at.
    pub(super) fn inspection(&self, depth: Depth) -> Option<Inspection> {
        match &self.state {
            KernelState::Gone(_) => None,
            KernelState::Holds(held) | KernelState::Doubtful(held) => {
                Some(Inspection::new(&held.ruleset, held.families.keys(), depth, self.runs))
            }
            KernelState::Unknown => Some(Inspection::new(&self.wanted, &[Family::Inet], depth, self.runs)),
        }
    }

    /// Compares with what they should be.
    pub(super) fn inspected(&self, inspection: &Inspection, now: Instant) -> Inspected {
        let Some(held) = self.state.held() else { return Inspected::Inherited };
        if inspection.runs != self.runs {
            return Inspected::Outdated;
        }
        let verdict = inspection.verdict(held, now);
        // What nft has just done looks like that, too, and is looked at once more when it has ended. Only an end takes all.
        let run = self.running.as_ref();
        let ends = |run: &Run| run.held.as_ref().is_some_and(|held| held.ruleset.is_empty());
        let ours = run.is_some_and(|run| verdict == Verdict::Disturbed || ends(run));
        match verdict {
            Verdict::Intact => Inspected::Intact,
            Verdict::Disturbed | Verdict::Gone if !ours => Inspected::Lost,
            Verdict::Disturbed | Verdict::Gone | Verdict::Unknown => Inspected::Unclear,
        }
    }

    /// Somebody else has changed them: they are made anew. Once is an accident, again and again is not. Returns why that
    /// does not happen at once, if so.
    pub(super) fn handle_lost(&mut self, now: Instant) -> Option<NotInForce> {
        self.state = match std::mem::replace(&mut self.state, KernelState::Unknown) {
            KernelState::Unknown => KernelState::Unknown,
            KernelState::Holds(held) | KernelState::Doubtful(held) | KernelState::Gone(held) => KernelState::Gone(held),
        };
        if self.failure.is_some() {
            return self.failure.clone();
        }
        let again = self.lost_at.replace(now).is_some_and(|last| now.saturating_duration_since(last) < STORM);
        if !again {
            self.storm.reset();
            return None;
        }
        self.retry_at = Some(now + self.storm.pause());
        Some(NotInForce::Contested)
    }

    /// Whether a transaction is changing them right now. An nft that hangs is not waited for.
    pub(super) fn is_changing(&self, now: Instant) -> bool {
        self.late_at().is_some_and(|late_at| now < late_at)
    }

    /// When the running transaction takes longer than it should.
    pub(super) fn late_at(&self) -> Option<Instant> {
        self.running.as_ref().map(Run::late_at)
    }

    /// When [`Tables::handle_timeout`] wants to be called.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let rest = self.rest_until.filter(|_| self.reliable() != Some(&self.wanted));
        let due = self.retry_at.or(rest).filter(|_| self.running.is_none());
        due.or(self.exchange.poll_timeout())
    }

    /// Whether the answer to a batch does not come.
    pub(super) fn is_unanswered(&self, now: Instant) -> bool {
        self.exchange.is_due(now)
    }

    /// Does what is due.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        self.retry_at = self.retry_at.filter(|at| *at > now);
        self.rest_until = self.rest_until.filter(|at| *at > now);
    }

    fn held(&self) -> Option<&Held> {
        match &self.state {
            KernelState::Holds(held) if self.running.is_none() => Some(held),
            _ => None,
        }
    }

    fn is_due(&self) -> bool {
        let waits = self.retry_at.is_some() || (self.rest_until.is_some() && !self.is_urgent());
        self.running.is_none() && !waits && self.reliable() != Some(&self.wanted)
    }

    /// Whether somebody is to be blocked, quarantined or let go.
    fn is_urgent(&self) -> bool {
        self.reliable().is_none_or(|held| !held.measures().eq(self.wanted.measures()))
    }

    /// Whether the next transaction makes elements anew that have counted: perhaps under an earlier run of ours.
    fn loses_counters(&self) -> bool {
        match &self.state {
            KernelState::Gone(_) => false,
            KernelState::Doubtful(_) => true,
            KernelState::Holds(held) => held.ruleset.loses_counters(&self.wanted),
            KernelState::Unknown => !self.wanted.is_empty(),
        }
    }
}
