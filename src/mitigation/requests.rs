//! Commands of the provider: requests, refreshes and withdrawals (RFC 9132 section 4.4).

use std::fmt;
use std::time::Duration;

use ipnet::IpNet;

use super::budget::{self, Budget, Excess, MOST_OF_PROVIDER, MOST_OF_REQUEST};
use super::history::Happened;
use super::ledger::{LONGEST, Ledger};
use super::lifecycle::Mitigation;
use super::outbox::Event;
use super::overlap::shared_targets;
use super::phase::Inherited;
use super::state::{Client, State};
use crate::enforce::DropFilter;
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
    /// The peer's requests have as many prefixes, ports, protocols and ICMP types as they may (5.03).
    OverBudget {
        /// When the first of them ends by itself.
        retry: Duration,
    },
    /// The request alone has more of these than one may (4.13).
    TooLarge,
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
            Self::OverBudget { .. } => {
                write!(f, "more than {MOST_OF_PROVIDER} prefixes, ports, protocols and types in all mitigations")
            }
            Self::TooLarge => write!(f, "more than {MOST_OF_REQUEST} prefixes, ports, protocols and types"),
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
        let scope = &budget::kept(scope);
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
        if !m.asks_for(scope) {
            return Err(Refusal::ScopeChanged);
        }
        let revived = m.state() == State::Terminating;
        match m.state() {
            State::Rejected => return Err(Refusal::Legitimate),
            // It was overtaken by the client's own withdrawal.
            State::Terminating if efficacy => return Err(Refusal::Unmatched),
            State::Terminating => m.revive(now),
            _ => {}
        }
        let worth_keeping = m.prolong(lifetime, now) || revived;
        self.outbox.changed(id);
        if m.state().in_force() {
            self.outbox.enforce();
        }
        if m.is_decided() && worth_keeping {
            self.outbox.persist_later();
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
        self.check_budget(client, scope, &superseded, now)?;
        let id = self.unused_id();
        let mut m = Mitigation::new(id, client.clone(), mid, scope.clone(), lifetime, self.policy.action, now);
        for old in superseded {
            if let Some(old) = self.mitigations.get(&old) {
                succeed(&mut m, old);
            }
            self.end_of_request(old, Happened::Superseded, now);
        }
        self.forget_ended(|old| old.client == *client && !shared_targets(&old.scope, scope).is_empty());
        m.grant(lifetime, now);
        m.most_suspects = self.most_suspects(&client.peer);
        let grant = Grant { id, created: true, lifetime: m.granted };
        self.note_conflicts(&mut m);
        self.outbox.record(&m, Happened::Requested, now);
        self.mitigations.insert(id, m);
        self.outbox.events.push_back(Event::Search(id));
        Ok(grant)
    }

    /// Whether the peer may have this as well, without those that give way to it.
    fn check_budget(
        &self,
        client: &Client,
        scope: &Scope,
        superseded: &[MitigationId],
        now: Now,
    ) -> Result<(), Refusal> {
        let stays = |m: &&Mitigation| m.client.peer == client.peer && !superseded.contains(&m.id);
        let first = self.all().filter(stays).filter(|m| m.asked).map(|m| m.remaining(now)).min();
        let retry = first.unwrap_or_default();
        if self.all().filter(stays).count() >= self.policy.max_mitigations {
            return Err(Refusal::Full { retry });
        }
        match Budget::after(self.all().filter(stays).map(|m| &m.scope)).excess(scope) {
            None => Ok(()),
            Some(Excess::Request) => Err(Refusal::TooLarge),
            Some(Excess::Provider) => Err(Refusal::OverBudget { retry }),
        }
    }

    /// Suspects kept of the peer's next request.
    pub(super) fn most_suspects(&self, peer: &str) -> usize {
        budget::suspects(self.all().filter(|m| m.client.peer == peer).count() + 1)
    }

    /// Numbers start again after the last one, past those in use.
    fn unused_id(&mut self) -> MitigationId {
        while self.get(self.next).is_some()
            || self.ended().any(|m| m.id == self.next)
            || self.vetoes.iter().any(|veto| veto.id == self.next)
        {
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

/// What a request takes over from the one it supersedes: the rising period, and consent if nothing more would be dropped.
fn succeed(new: &mut Mitigation, old: &Mitigation) {
    if old.state() == State::Terminating {
        new.period = new.period.max(old.longer_period());
    }
    if let Some(approval) = old.phase.approval().filter(|_| asks_no_more(&new.scope, &old.scope)) {
        let mut approval = approval.clone();
        approval.devices.retain(|mac| !old.released.contains(mac));
        new.inherited = Some(Inherited { approval, action: old.action });
        new.action = old.action;
        new.narrowed.clone_from(&old.narrowed);
        new.limit = old.limit;
    }
}

/// Whether nothing more would be dropped. Source ports say nothing of that; but whoever agreed to what was seen from some
/// ports has not been asked about all of them.
fn asks_no_more(new: &Scope, old: &Scope) -> bool {
    let any_port = new.source_ports.is_empty() && !old.source_ports.is_empty();
    !any_port && DropFilter::new(new).is_within(&DropFilter::new(old))
}
