//! Commands of the provider: requests, refreshes and withdrawals (RFC 9132 section 4.4).

use std::fmt;
use std::time::{Duration, Instant};

use ipnet::IpNet;

use super::history::Happened;
use super::ledger::{LONGEST, Ledger};
use super::lifecycle::Mitigation;
use super::outbox::Event;
use super::overlap::{same_targets, shared_targets};
use super::state::{Client, State};
use crate::model::{MitigationId, Now, Scope};

/// An accepted request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The mitigation it opened or refreshed.
    pub id: MitigationId,
    /// Whether it is new (2.01) rather than refreshed (2.04).
    pub created: bool,
    /// The lifetime granted.
    pub lifetime: Duration,
}

/// Why a request is not accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The `mid` is known with other parameters; it stands as before (4.00).
    ScopeChanged,
    /// A request with a higher `mid` speaks of the same attack (4.09, conflict-cause 1).
    Overlaps {
        /// The higher `mid`.
        mid: u32,
        /// The target prefixes both name; at most 16, as a message has to hold them.
        prefixes: Vec<IpNet>,
    },
    /// The peer has as many requests as it may (5.03).
    Full {
        /// When the first of them ends by itself.
        retry: Duration,
    },
    /// An efficacy update about nothing known; to be ignored silently (RFC 9132 section 4.4.3).
    Unmatched,
    /// The request has been judged to concern legitimate traffic (4.09, conflict-cause 4).
    Legitimate,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ScopeChanged => f.write_str("parameters differ from the request with this mid"),
            Self::Overlaps { mid, .. } => write!(f, "overlaps with mid {mid}"),
            Self::Full { .. } => f.write_str("too many mitigations"),
            Self::Unmatched => f.write_str("no such mitigation"),
            Self::Legitimate => f.write_str("legitimate traffic"),
        }
    }
}

impl std::error::Error for Refusal {}

impl Ledger {
    /// A request (PUT). `lifetime` is never zero; without one it is indefinite. `efficacy`: it bears If-Match.
    ///
    /// A new request is searched for first ([`Event::Search`]); until [`Mitigation::assessed`] nothing is said of it. If
    /// it then is [`Mitigation::legitimate`] and not yet answered, it is to be refused so, and deleted.
    ///
    /// # Errors
    /// See [`Refusal`]. Nothing has changed then.
    pub fn put(
        &mut self,
        client: &Client,
        mid: u32,
        scope: &Scope,
        lifetime: Option<Duration>,
        efficacy: bool,
        now: Now,
    ) -> Result<Grant, Refusal> {
        self.handle_timeout(now);
        let lifetime = lifetime.unwrap_or(LONGEST).min(self.policy.max_lifetime).min(LONGEST);
        match self.find(client, mid).map(Mitigation::id) {
            Some(id) => self.refresh(id, scope, lifetime, efficacy, now),
            None if efficacy => Err(Refusal::Unmatched),
            None => self.open(client, mid, scope, lifetime, now),
        }
    }

    /// A withdrawal (DELETE): what is in force goes on for a little while, anything else is gone at once. An unknown
    /// `mid` is fine (RFC 9132 section 4.4.4).
    pub fn delete(&mut self, client: &Client, mid: u32, now: Now) {
        let Some(id) = self.find(client, mid).map(Mitigation::id) else { return };
        let Some(m) = self.mitigations.get_mut(&id) else { return };
        match m.state() {
            State::Terminating => {}
            State::Active | State::Stopped => {
                m.terminate(now);
                self.outbox.decided(m);
                self.outbox.record(m, Happened::Terminating, now);
            }
            _ => self.remove(id, Happened::Expired, now),
        }
    }

    fn refresh(
        &mut self,
        id: MitigationId,
        scope: &Scope,
        lifetime: Duration,
        efficacy: bool,
        now: Now,
    ) -> Result<Grant, Refusal> {
        let m = self.mitigations.get_mut(&id).ok_or(Refusal::Unmatched)?;
        if m.scope != *scope {
            return Err(Refusal::ScopeChanged);
        }
        let decided = m.decision().is_some();
        match m.state() {
            State::Rejected => return Err(Refusal::Legitimate),
            // It was overtaken by the client's own withdrawal.
            State::Terminating if efficacy => return Err(Refusal::Unmatched),
            State::Terminating => m.revive(now),
            _ => {}
        }
        m.grant(lifetime, now);
        if decided {
            self.outbox.decided(m);
        } else {
            self.outbox.changed(id);
        }
        Ok(Grant { id, created: false, lifetime: m.granted })
    }

    fn open(
        &mut self,
        client: &Client,
        mid: u32,
        scope: &Scope,
        lifetime: Duration,
        now: Now,
    ) -> Result<Grant, Refusal> {
        let superseded = self.superseded_by(client, mid, scope)?;
        let ends: Vec<Instant> = self.all().filter(|m| m.client.peer == client.peer).map(|m| m.ends).collect();
        if ends.len() - superseded.len() >= self.policy.max_mitigations {
            let first = ends.into_iter().min().unwrap_or(now.instant);
            return Err(Refusal::Full { retry: first.saturating_duration_since(now.instant) });
        }
        let id = self.unused_id();
        let mut m = Mitigation::new(id, client.clone(), mid, scope.clone(), lifetime, self.policy.action, now);
        for old in superseded {
            if let Some(old) = self.mitigations.get(&old) {
                succeed(&mut m, old);
            }
            self.remove(old, Happened::Superseded, now);
        }
        m.grant(lifetime, now);
        let grant = Grant { id, created: true, lifetime: m.granted };
        self.note_conflicts(&mut m);
        self.outbox.record(&m, Happened::Requested, now);
        self.mitigations.insert(id, m);
        self.outbox.events.push_back(Event::Search(id));
        Ok(grant)
    }

    /// Numbers start again after the last one, past those in use.
    fn unused_id(&mut self) -> MitigationId {
        while self.mitigations.contains_key(&self.next) {
            self.next = MitigationId(self.next.0.wrapping_add(1));
        }
        let id = self.next;
        self.next = MitigationId(id.0.wrapping_add(1));
        id
    }

    /// The client's requests that give way to a new one. One it has withdrawn does so whatever its `mid`.
    fn superseded_by(&self, client: &Client, mid: u32, scope: &Scope) -> Result<Vec<MitigationId>, Refusal> {
        let mut superseded = Vec::new();
        let mut highest = None;
        for m in self.of_client(client) {
            let prefixes = shared_targets(&m.scope, scope);
            if prefixes.is_empty() {
                continue;
            }
            if m.mid < mid || m.state() == State::Terminating {
                superseded.push(m.id);
            } else if highest.as_ref().is_none_or(|(mid, _)| m.mid > *mid) {
                highest = Some((m.mid, prefixes));
            }
        }
        match highest {
            Some((mid, prefixes)) => Err(Refusal::Overlaps { mid, prefixes }),
            None => Ok(superseded),
        }
    }
}

/// What a request takes over from the one it supersedes: the rising period, and consent given for the same targets.
fn succeed(new: &mut Mitigation, old: &Mitigation) {
    if old.state() == State::Terminating {
        new.period = new.period.max(old.longer_period());
    }
    if let Some(approval) = old.phase.approval().filter(|_| same_targets(&old.scope, &new.scope)) {
        new.inherited = Some(approval.clone());
        new.action = old.action;
        new.limit = old.limit;
    }
}
