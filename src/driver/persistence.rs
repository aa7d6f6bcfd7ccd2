//! The thread that writes the ledger's snapshots: a flash takes its time, and no packet waits for it.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Instant;

use mio::Waker;

use super::snapshot_files::{Loaded, NotWritten, SnapshotFiles};
use super::snapshot_schedule::{Destination, SnapshotSchedule};
use crate::coap::Random;
use crate::io::random::Rng;
use crate::mitigation::Ledger;
use crate::mitigation::snapshot::Snapshot;
use crate::model::Now;

/// Why decisions are not kept.
#[derive(Debug)]
enum NotKept {
    NoThread(io::Error),
    NotWritten(NotWritten),
    /// All that a file may hold is written; so many decisions are not.
    LeftOut(usize),
}

impl fmt::Display for NotKept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoThread(error) => write!(f, "no thread to keep decisions: {error}"),
            Self::NotWritten(why) => why.fmt(f),
            Self::LeftOut(count) => write!(f, "no room for {count} of the decisions"),
        }
    }
}

/// What came of a snapshot; nothing to tell where it was only left in memory.
type Written = Option<Result<(), NotKept>>;

/// Keeps the ledger's decisions.
pub(super) struct Persistence {
    files: SnapshotFiles,
    waker: Arc<Waker>,
    schedule: SnapshotSchedule,
    running: Option<Receiver<Written>>,
    trouble: Option<String>,
    unread: Option<String>,
}

impl Persistence {
    /// Outcomes are announced through `waker`.
    pub(super) fn new(files: SnapshotFiles, waker: Arc<Waker>) -> Self {
        Self { files, waker, schedule: SnapshotSchedule::new(None), running: None, trouble: None, unread: None }
    }

    /// Takes up what was kept last; what follows from that need not be kept. What was not on flash may have been kept from it.
    /// A file that can't be read is not written over before there is something to write.
    pub(super) fn restore(&mut self, ledger: &mut Ledger, now: Now) {
        let Loaded { snapshot, unread } = self.files.load();
        let on_flash = snapshot.as_ref().is_none_or(|(_, on_flash)| *on_flash);
        if let Some((snapshot, _)) = snapshot {
            ledger.restore(&snapshot, now);
        }
        self.schedule = SnapshotSchedule::new(on_flash.then_some(ledger.generation()));
        self.unread = unread;
    }

    /// Returns why decisions are not kept, if they aren't.
    pub(super) fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }

    /// Returns why decisions of before could not be read, if so: what the kernel holds of them is to be left alone.
    pub(super) fn unread(&self) -> Option<&str> {
        self.unread.as_deref()
    }

    /// Begins to write what has come about since, or could not be kept before, if it is time.
    pub(super) fn proceed(&mut self, ledger: &Ledger, now: Now) {
        if let Some(outcome) = self.running.as_ref().and_then(|running| running.try_recv().ok()) {
            self.handle_outcome(outcome, now.instant);
        }
        if let Some(destination) = self.schedule.poll_write(ledger.generation(), now.instant) {
            self.begin(ledger.snapshot(now), destination);
        }
    }

    /// Returns the last decision that may be told as done, see [`SnapshotSchedule::settled`].
    pub(super) fn settled(&self) -> Option<u32> {
        self.schedule.settled()
    }

    /// When [`Persistence::proceed`] is due.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.schedule.poll_timeout()
    }

    /// Keeps everything before the daemon ends, and leaves the counters for the next start.
    pub(super) fn end(&mut self, ledger: &Ledger, now: Now) {
        self.wait(now);
        self.schedule.handle_end(now.instant);
        self.proceed(ledger, now);
        self.wait(now);
        self.files.leave(&ledger.snapshot(now));
    }

    fn begin(&mut self, snapshot: Snapshot, destination: Destination) {
        let (sender, outcome) = channel();
        let (files, waker) = (self.files.clone(), Arc::clone(&self.waker));
        let announce = sender.clone();
        let work = move || {
            // Both fail only when the loop is gone.
            let _ = sender.send(write(&files, snapshot, destination));
            let _ = waker.wake();
        };
        if let Err(error) = thread::Builder::new().name("keep".into()).stack_size(128 * 1024).spawn(work) {
            let _ = announce.send(Some(Err(NotKept::NoThread(error))));
            let _ = self.waker.wake();
        }
        self.running = Some(outcome);
    }

    fn wait(&mut self, now: Now) {
        if let Some(outcome) = self.running.as_ref().and_then(|running| running.recv().ok()) {
            self.handle_outcome(outcome, now.instant);
        }
    }

    /// Trouble is mentioned when it begins, changes and ends.
    fn handle_outcome(&mut self, written: Written, now: Instant) {
        self.running = None;
        let Some(outcome) = written else { return self.schedule.handle_outcome(true, now) };
        self.schedule.handle_outcome(matches!(outcome, Ok(()) | Err(NotKept::LeftOut(_))), now);
        let trouble = outcome.err().map(|why| why.to_string());
        match &trouble {
            None if self.trouble.is_some() => log::info!("decisions are kept again"),
            Some(why) if self.trouble != trouble => {
                log::error!("{why}; decisions hold, but would not survive a reboot");
            }
            _ => {}
        }
        self.trouble = trouble;
    }
}

fn write(files: &SnapshotFiles, snapshot: Snapshot, destination: Destination) -> Written {
    match destination {
        Destination::Flash => Some(keep(files, snapshot)),
        Destination::Memory => {
            files.leave(&snapshot);
            None
        }
    }
}

fn keep(files: &SnapshotFiles, snapshot: Snapshot) -> Result<(), NotKept> {
    let (snapshot, left_out) = snapshot.fitted();
    files.save(&snapshot).map_err(NotKept::NotWritten)?;
    if left_out == 0 { Ok(()) } else { Err(NotKept::LeftOut(left_out)) }
}

/// Where the numbers of mitigations begin: anywhere in 30 bits, as an integer of the bus holds 31 and there has to be room ahead.
pub(super) fn first_number() -> u32 {
    let mut bytes = [0; 4];
    Rng::new().fill(&mut bytes);
    u32::from_be_bytes(bytes) >> 2
}
