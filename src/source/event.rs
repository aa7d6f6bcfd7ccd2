//! What the finder has to say.

use std::collections::VecDeque;

use vecset::VecSet;

use super::stranger::Stranger;
use super::suspect::Suspect;
use crate::model::{Mac, MitigationId};

/// What the finder has to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A search has something new: everybody who may be meant, most likely first. Nobody, once, when the first look
    /// was in vain; the search goes on.
    Found {
        /// The mitigation searched for.
        id: MitigationId,
        /// Who may be meant.
        suspects: Vec<Suspect>,
    },
    /// Who sends what is searched for and is no device; comes before what is found at the same time.
    Strangers {
        /// The mitigation searched for.
        id: MitigationId,
        /// All of them.
        strangers: Vec<Stranger>,
    },
    /// Another device sends what is searched for in the name of this one.
    Spoofed {
        /// The mitigation searched for.
        id: MitigationId,
        /// The device whose address is used.
        mac: Mac,
        /// Whether it sends as well.
        sends: bool,
    },
    /// From now on it is known of each flow that begins who has opened it: the table that notes that stands, and all flows are
    /// known that are older.
    OpenersNoted,
    /// What [`Finder::domain`](super::Finder::domain) or [`Finder::default_routers`](super::Finder::default_routers) say
    /// has changed.
    DomainChanged,
    /// What [`Finder::inventory`](super::Finder::inventory) says has changed.
    InventoryChanged,
    /// The router's own Ethernet addresses towards the home, all of them that no device bears as well.
    RouterAddresses(VecSet<Mac>),
}

/// All that a search has to say.
#[derive(Debug)]
pub(super) struct Report {
    /// The devices that may be meant.
    pub(super) suspects: Vec<Suspect>,
    /// Who sends and is none, if that is news.
    pub(super) strangers: Option<Vec<Stranger>>,
}

/// Events that wait to be polled.
#[derive(Debug, Default)]
pub(super) struct Events(VecDeque<Event>);

impl Events {
    /// Adds an event.
    pub(super) fn push(&mut self, event: Event) {
        self.0.push_back(event);
    }

    /// Adds an event, unless one that says the same waits.
    pub(super) fn push_once(&mut self, event: Event) {
        if !self.0.contains(&event) {
            self.push(event);
        }
    }

    /// Adds a report. Where it is news who the strangers are, it is said again who is suspected besides: some may have been so
    /// only for want of anybody else.
    pub(super) fn push_report(&mut self, id: MitigationId, report: Report) {
        if let Some(strangers) = report.strangers {
            self.push(Event::Strangers { id, strangers });
        }
        self.push(Event::Found { id, suspects: report.suspects });
    }

    /// Adds the router's addresses in place of any that wait.
    pub(super) fn push_router_addresses(&mut self, addresses: VecSet<Mac>) {
        self.0.retain(|event| !matches!(event, Event::RouterAddresses(_)));
        self.push(Event::RouterAddresses(addresses));
    }

    /// The next event.
    pub(super) fn pop(&mut self) -> Option<Event> {
        self.0.pop_front()
    }
}
