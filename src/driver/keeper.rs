//! Decisions are kept off the loop: a flash takes its time, and nobody's packets wait for it.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use mio::Waker;

use super::files::Decisions;
use crate::store::Snapshot;

/// What came of keeping a generation of decisions.
pub type Outcome = (u32, Result<(), String>);

/// Writes one snapshot at a time.
pub struct Keeper {
    decisions: Decisions,
    waker: Arc<Waker>,
    running: Option<Receiver<Outcome>>,
}

impl Keeper {
    /// Outcomes are announced through `waker`.
    pub fn new(decisions: Decisions, waker: Arc<Waker>) -> Self {
        Self { decisions, waker, running: None }
    }

    /// The files themselves.
    pub fn decisions(&self) -> &Decisions {
        &self.decisions
    }

    /// Whether a snapshot is being written.
    pub fn is_busy(&self) -> bool {
        self.running.is_some()
    }

    /// Begins to write; not to be called while busy.
    pub fn keep(&mut self, generation: u32, snapshot: Snapshot) {
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

    /// What came of it, once it is done.
    pub fn poll_outcome(&mut self) -> Option<Outcome> {
        let outcome = self.running.as_ref()?.try_recv().ok()?;
        self.running = None;
        Some(outcome)
    }

    /// Waits until nothing is being written any more.
    pub fn wait(&mut self) -> Option<Outcome> {
        self.running.take()?.recv().ok()
    }
}
