//! How far one search knows who had opened the flows it has observed: by readings of the table of senders.

/// The readings begun for a search are numbered from 1.
#[derive(Debug, Default)]
pub(super) struct Readings {
    begun: u32,
    completed: u32,
    /// The first that covers all that has been observed.
    needed: u32,
    /// The one the next report waits for.
    awaited: Option<u32>,
}

impl Readings {
    /// Something is observed now. Returns the number of the reading that covers it: the next.
    pub(super) fn need_next(&mut self) -> u32 {
        self.needed = self.begun + 1;
        self.needed
    }

    /// A reading begins: it covers all that has been observed so far.
    pub(super) fn begin(&mut self) {
        self.begun += 1;
    }

    /// The last one has come to its end.
    pub(super) fn end(&mut self) {
        self.completed = self.begun;
    }

    /// Whether this reading is complete.
    pub(super) fn have_completed(&self, number: u32) -> bool {
        number <= self.completed
    }

    /// Whether a reading that is not complete covers something observed.
    pub(super) fn are_behind(&self) -> bool {
        !self.have_completed(self.needed)
    }

    /// The next report waits for what is needed now, unless it waits already.
    pub(super) fn await_needed(&mut self) {
        if self.are_behind() {
            self.awaited.get_or_insert(self.needed);
        }
    }

    /// Whether the next report waits for a reading.
    pub(super) fn are_awaited(&self) -> bool {
        self.awaited.is_some_and(|number| !self.have_completed(number))
    }

    /// The next report waits for none.
    pub(super) fn stop_awaiting(&mut self) {
        self.awaited = None;
    }
}
