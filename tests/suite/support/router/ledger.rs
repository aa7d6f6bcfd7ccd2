//! Short words for what is said often to a ledger, and asked of it.

use dots_callhome::mitigation::{Event, Grant, Mitigation, Refusal, State};
use dots_callhome::model::{Mac, MitigationId, Scope};
use dots_callhome::source::Suspect;

use super::TestRouter;
use crate::support::home::seconds;
use crate::support::ledger::{exact, isp};

impl TestRouter {
    pub fn put(&mut self, mid: u32, scope: &Scope) -> Result<Grant, Refusal> {
        self.ledger.put(&isp(), mid, scope, Some(seconds(3600)), false, self.now)
    }

    pub fn delete(&mut self, mid: u32) {
        self.ledger.delete(&isp(), mid, self.now);
    }

    /// A new request whose search has found these.
    pub fn request(&mut self, mid: u32, scope: &Scope, suspects: &[Suspect]) -> MitigationId {
        let id = self.put(mid, scope).unwrap().id;
        self.ledger.handle_attribution(id, suspects.to_vec(), self.now);
        id
    }

    /// A request about an exact suspect, approved and seen to be in force.
    pub fn in_force(&mut self, mid: u32, scope: &Scope, mac: Mac) -> MitigationId {
        let id = self.request(mid, scope, &[exact(mac)]);
        if self.m(id).state() == State::Pending {
            self.ledger.approve(id, None, &[], None, "root", self.now).unwrap();
        }
        self.ledger.handle_enforced(id, Ok(()), self.now);
        id
    }

    pub fn m(&self, id: MitigationId) -> &Mitigation {
        self.ledger.get(id).expect("the mitigation exists")
    }

    pub fn state(&self, id: MitigationId) -> State {
        self.m(id).state()
    }

    pub fn status(&self, id: MitigationId) -> u8 {
        self.m(id).status() as u8
    }

    /// What the ledger has told since, where the test reads it.
    pub fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.ledger.poll_event()).collect()
    }

    /// The ended ones among the events.
    pub fn gone(&mut self) -> Vec<Mitigation> {
        let gone = |event| if let Event::Gone(m) = event { Some(*m) } else { None };
        self.events().into_iter().filter_map(gone).collect()
    }

    /// Whose traffic is blocked now.
    pub fn blocked(&self) -> Vec<Mac> {
        self.ledger.desired(self.now).blocks.into_iter().flat_map(|block| block.devices).collect()
    }

    /// Who is quarantined now.
    pub fn quarantined(&self) -> Vec<Mac> {
        self.ledger.desired(self.now).quarantined.into_iter().map(|quarantined| quarantined.mac).collect()
    }
}
