//! What the ledger tells its owner.

use std::collections::VecDeque;

use super::history::{About, Entry, Happened, History};
use super::lifecycle::Mitigation;
use super::state::Decision;
use super::veto::Veto;
use crate::model::{Mac, MitigationId, Now};

/// What the owner has to see to.
#[derive(Clone, Debug)]
pub enum Event {
    /// Find out who is meant and call [`Ledger::handle_attribution`](super::Ledger::handle_attribution).
    Search(MitigationId),
    /// The mitigation has changed in what is told to the provider or shown to the administrator; it may be gone by now.
    Changed(MitigationId),
    /// The mitigation is no more. As it was at its end: observers get its last status (6), then 4.04.
    Gone(Box<Mitigation>),
    /// [`Ledger::desired`](super::Ledger::desired) has changed.
    Enforce,
}

/// How often something has come up that must survive a restart, by how soon it has to be kept. Both wrap around.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Generation {
    /// A person has decided: it is told as done only once it is kept.
    pub decided: u32,
    /// Providers, devices, policy or time have brought something about: they must not wear the flash.
    pub followed: u32,
}

/// What the ledger tells: events to see to, the history, and that something is worth keeping.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    pub(super) events: VecDeque<Event>,
    pub(super) history: History,
    pub(super) generation: Generation,
}

impl Outbox {
    pub(super) fn changed(&mut self, id: MitigationId) {
        if !self.events.iter().any(|event| matches!(event, Event::Changed(known) if *known == id)) {
            self.events.push_back(Event::Changed(id));
        }
    }

    pub(super) fn enforce(&mut self) {
        if !self.events.iter().any(|event| matches!(event, Event::Enforce)) {
            self.events.push_back(Event::Enforce);
        }
    }

    /// A person has decided.
    pub(super) fn persist(&mut self) {
        self.generation.decided = self.generation.decided.wrapping_add(1);
    }

    /// Something else has come about that is worth keeping.
    pub(super) fn persist_later(&mut self) {
        self.generation.followed = self.generation.followed.wrapping_add(1);
    }

    /// A decision about `m`, or what follows from it, is new. A person's own is told to be kept at once by who carries
    /// it out ([`Outbox::persist`]).
    pub(super) fn decided(&mut self, m: &Mitigation) {
        self.changed(m.id);
        self.enforce();
        self.persist_later();
    }

    pub(super) fn record(&mut self, m: &Mitigation, event: Happened, now: Now) {
        self.note(m, event, None, None, now);
    }

    /// A line of history about `m`; about a device too where only one is meant.
    pub(super) fn note(&mut self, m: &Mitigation, event: Happened, by: Option<&str>, comment: Option<&str>, now: Now) {
        let mac = match (m.chosen(), m.suspects.as_slice()) {
            ([only], _) => Some(*only),
            ([], [only]) => Some(only.mac),
            _ => None,
        };
        self.history.push(Entry {
            time: now.unix,
            event,
            about: About::Mitigation { id: m.id, peer: m.client.peer.clone(), mac },
            by: by.map(str::to_owned),
            comment: comment.map(str::to_owned),
        });
    }

    /// A line of history about a veto; about a device too where only one is meant.
    pub(super) fn note_veto(&mut self, veto: &Veto, event: Happened, by: &str, now: Now) {
        let mac = if let [only] = veto.devices.as_slice() { Some(*only) } else { None };
        self.history.push(Entry {
            time: now.unix,
            event,
            about: About::Mitigation { id: veto.id, peer: veto.peer.clone(), mac },
            by: Some(by.to_owned()),
            comment: None,
        });
    }

    /// A line of history about a device alone.
    pub(super) fn note_device(&mut self, mac: Mac, event: Happened, decision: &Decision) {
        self.history.push(Entry {
            time: decision.at,
            event,
            about: About::Device(mac),
            by: Some(decision.by.clone()),
            comment: decision.comment.clone(),
        });
    }
}
