//! Short words for what is said often to the enforcer, and asked of it.

use dots_callhome::enforce::desired::Desired;
use dots_callhome::enforce::{Event, Socket};
use dots_callhome::model::{Mac, Traffic, Tuple};

use super::TestRouter;
use crate::support::enforce::owner;
use crate::support::kernel::messages;

const EBUSY: i32 = 16;

impl TestRouter {
    pub fn desire(&mut self, desired: Desired) {
        self.desire_cutting(desired, &[]);
    }

    pub fn desire_cutting(&mut self, desired: Desired, cut_first: &[Tuple]) {
        self.enforcer.set_desired(desired, cut_first.to_vec(), self.finder.inventory(), self.now);
        self.settle();
    }

    /// The running nft ends, or the batch is answered.
    pub fn end_nft(&mut self) {
        let outcome = self.kernel.run(self.runs.last().expect("one runs"));
        match outcome {
            Err(_) if self.batch.is_some() => self.refuse(),
            outcome => self.end_nft_as(outcome),
        }
    }

    /// It ends so, whatever the kernel says.
    pub fn end_nft_as(&mut self, outcome: Result<(), String>) {
        match self.batch.take() {
            Some(sequence) => {
                let errno = if outcome.is_ok() { 0 } else { EBUSY };
                self.enforcer.handle_datagram(Socket::Changes, &messages::error(errno, sequence), self.now);
            }
            None => self.enforcer.handle_nft(outcome, self.now),
        }
    }

    /// The kernel does not take the batch.
    pub(super) fn refuse(&mut self) {
        self.end_nft_as(Err("refused".into()));
    }

    pub fn hear(&mut self, socket: Socket, datagram: &[u8]) {
        self.enforcer.handle_datagram(socket, datagram, self.now);
        self.settle();
    }

    /// Everything told since the last time.
    pub fn told(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.told)
    }

    /// What has been told about a mitigation being in force since the last time; everything told is forgotten.
    pub fn outcomes(&mut self, id: u32) -> Vec<Result<(), String>> {
        let of = |event| match event {
            Event::Enforced { owner: of, outcome } if of == owner(Some(id)) => {
                Some(outcome.map_err(|reason| reason.to_string()))
            }
            _ => None,
        };
        self.told().into_iter().filter_map(of).collect()
    }

    /// The last total told of a mitigation; everything told is forgotten.
    pub fn counted(&mut self, id: u32) -> Option<Traffic> {
        let of = |event: Event| match event {
            Event::Counted { id: of, total } if of.0 == id => Some(total),
            _ => None,
        };
        self.told().into_iter().filter_map(of).next_back()
    }

    /// The elements of a set, in order.
    pub fn members(&self, set: &str) -> Vec<Mac> {
        let set = self.kernel.tables.get("inet").and_then(|table| table.sets.get(set));
        set.map(|set| set.keys().copied().collect()).unwrap_or_default()
    }
}
