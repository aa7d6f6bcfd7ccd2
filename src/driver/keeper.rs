//! Decisions are kept off the loop: a flash takes its time, and nobody's packets wait for it.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use mio::Waker;

use super::files::Decisions;
use crate::mitigation::Ledger;
use crate::mitigation::snapshot::Snapshot;
use crate::model::{Backoff, Now};

/// The first and the longest pause before decisions that could not be kept are written again.
const PAUSE: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// What came of keeping a generation of decisions.
type Outcome = (u32, Result<(), String>);

/// Writes one snapshot at a time.
pub struct Keeper {
    decisions: Decisions,
    waker: Arc<Waker>,
    running: Option<Receiver<Outcome>>,
    /// The ledger's generation last kept, and last tried.
    kept: Option<u32>,
    tried: Option<u32>,
    trouble: Option<String>,
    again: Option<Instant>,
    backoff: Backoff,
}

impl Keeper {
    /// Outcomes are announced through `waker`.
    pub fn new(decisions: Decisions, waker: Arc<Waker>) -> Self {
        let backoff = Backoff::new(PAUSE, PAUSE_MAX);
        Self { decisions, waker, running: None, kept: None, tried: None, trouble: None, again: None, backoff }
    }

    /// Takes up what was kept last; what follows from that need not be kept. What was not on flash may have been kept from it.
    pub fn restore(&mut self, ledger: &mut Ledger, now: Now) {
        let last = self.decisions.load();
        let on_flash = last.as_ref().is_none_or(|(_, on_flash)| *on_flash);
        if let Some((snapshot, _)) = last {
            ledger.restore(&snapshot, now);
        }
        self.kept = on_flash.then_some(ledger.generation());
    }

    /// Whether a snapshot is being written.
    pub fn is_busy(&self) -> bool {
        self.running.is_some()
    }

    /// Why decisions are not kept, if they aren't.
    pub fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }

    /// Begins to write what has been decided since, or could not be kept before.
    pub fn proceed(&mut self, ledger: &Ledger, now: Now) {
        if let Some(outcome) = self.running.as_ref().and_then(|running| running.try_recv().ok()) {
            self.judge(outcome, now.instant);
        }
        self.again = self.again.filter(|at| *at > now.instant);
        let generation = Some(ledger.generation());
        let due = generation != self.kept && (generation != self.tried || self.again.is_none());
        if due && !self.is_busy() {
            self.tried = generation;
            self.begin(ledger.generation(), ledger.snapshot(now));
        }
    }

    /// When [`Keeper::proceed`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.again
    }

    /// Keeps everything before the daemon ends, and leaves the counters for the next start.
    pub fn end(&mut self, ledger: &Ledger, now: Now) {
        self.wait(now);
        self.again = None;
        self.proceed(ledger, now);
        self.wait(now);
        self.decisions.leave(&ledger.snapshot(now));
    }

    fn begin(&mut self, generation: u32, snapshot: Snapshot) {
        let (sender, outcome) = channel();
        let (decisions, waker) = (self.decisions.clone(), Arc::clone(&self.waker));
        let announce = sender.clone();
        let work = move || {
            // Both fail only when the loop is gone.
            let _ = sender.send((generation, decisions.save(&snapshot)));
            let _ = waker.wake();
        };
        if let Err(error) = thread::Builder::new().name("keep".into()).stack_size(128 * 1024).spawn(work) {
            let _ = announce.send((generation, Err(format!("no thread to keep decisions: {error}"))));
            let _ = self.waker.wake();
        }
        self.running = Some(outcome);
    }

    fn wait(&mut self, now: Now) {
        if let Some(outcome) = self.running.as_ref().and_then(|running| running.recv().ok()) {
            self.judge(outcome, now.instant);
        }
    }

    /// Trouble is mentioned when it begins, changes and ends.
    fn judge(&mut self, (generation, outcome): Outcome, now: Instant) {
        self.running = None;
        match outcome {
            Ok(()) => {
                self.kept = Some(generation);
                self.again = None;
                self.backoff.reset();
                if self.trouble.take().is_some() {
                    log::info!("decisions are kept again");
                }
            }
            Err(why) => {
                if self.trouble.as_ref() != Some(&why) {
                    log::error!("{why}; decisions hold, but would not survive a reboot");
                }
                self.trouble = Some(why);
                self.again = Some(now + self.backoff.pause());
            }
        }
    }
}
