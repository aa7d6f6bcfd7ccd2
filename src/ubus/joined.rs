//! What is known of the bus while the broker knows us; all of it is void when the connection is lost.

use std::time::{Duration, Instant};

use vecset::VecMap;

use super::connection::Invocation;
use super::others::{self, HINTS, INTERFACES};
use super::rate_limited_query::RateLimitedQuery;
use crate::mitigation::{self, Ledger, Mitigation};
use crate::model::{MitigationId, Now};

/// Names change seldom, and rpcd reads many files to tell them.
const HINTS_SPACING: Duration = Duration::from_secs(10);
/// Interfaces come up one after the other.
const INTERFACES_SPACING: Duration = Duration::from_secs(1);

/// Our registrations and queries.
#[derive(Debug)]
pub(super) struct Joined {
    pub(super) object: Option<u32>,
    pub(super) receiver: Option<u32>,
    /// When to register our object again after a refusal.
    pub(super) again: Option<Instant>,
    /// Whether a refusal has been told.
    pub(super) refused: bool,
    /// Whether our object has subscribers.
    pub(super) subscribed: bool,
    /// Whether a script run is awaited.
    pub(super) hook_runs: bool,
    /// When the next one may begin.
    pub(super) hook_after: Option<Instant>,
    pub(super) hints: RateLimitedQuery,
    pub(super) interfaces: RateLimitedQuery,
    /// Mitigations to tell of at the end of the turn.
    changed: VecMap<MitigationId, MitigationChange>,
}

/// Where the last state of a changed mitigation is.
#[derive(Debug)]
pub(super) enum MitigationChange {
    InLedger,
    /// The ledger has forgotten the mitigation.
    Gone(Box<Mitigation>),
}

impl MitigationChange {
    /// Returns the mitigation `id` in its last state.
    pub(super) fn mitigation<'a>(&'a self, id: MitigationId, ledger: &'a Ledger) -> Option<&'a Mitigation> {
        match self {
            Self::InLedger => ledger.get(id),
            Self::Gone(last) => Some(last),
        }
    }
}

impl Joined {
    /// Nothing is registered yet.
    pub(super) fn new() -> Self {
        Self {
            object: None,
            receiver: None,
            again: None,
            refused: false,
            subscribed: false,
            hook_runs: false,
            hook_after: None,
            hints: RateLimitedQuery::new(HINTS_SPACING),
            interfaces: RateLimitedQuery::new(INTERFACES_SPACING),
            changed: VecMap::new(),
        }
    }

    /// When the first registration or query is due.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        [self.again, self.hints.due(), self.interfaces.due()].into_iter().flatten().min()
    }

    /// Takes an event that the broker delivers; whether it says that our configuration has changed.
    pub(super) fn handle_bus_event(&mut self, call: &Invocation, package: &str, now: Instant) -> bool {
        if !call.is_from_broker() {
            return false;
        }
        let data = call.data.as_deref().unwrap_or_default();
        if call.method == INTERFACES {
            self.interfaces.want(now);
        }
        match others::added_path(data).filter(|_| call.method == "ubus.object.add") {
            Some(INTERFACES) => self.interfaces.want_at_once(now),
            Some(HINTS) => self.hints.want_at_once(now),
            _ => {}
        }
        call.method == "config.change" && others::changed_package(data) == Some(package)
    }

    /// Notes that a mitigation has changed or is gone. Without an object nobody is told, nor can have asked before.
    pub(super) fn handle_mitigation(&mut self, event: &mitigation::Event, now: Now) {
        let (id, change) = match event {
            mitigation::Event::Changed(id) => (*id, MitigationChange::InLedger),
            mitigation::Event::Gone(last) => (last.id(), MitigationChange::Gone(last.clone())),
            mitigation::Event::Search(_) | mitigation::Event::Enforce => return,
        };
        if self.object.is_some() {
            self.changed.insert(id, change);
            self.hints.want(now.instant);
        }
    }

    /// Returns what has changed since it was last asked, each mitigation once.
    pub(super) fn take_changed(&mut self) -> VecMap<MitigationId, MitigationChange> {
        std::mem::take(&mut self.changed)
    }
}
