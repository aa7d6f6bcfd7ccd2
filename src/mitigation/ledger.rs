//! The book of all mitigations: what clients ask, what the search finds, what enforcement tells, and the passing of time.

use std::fmt;
use std::time::{Duration, Instant};

use ipnet::IpNet;
use vecset::{VecMap, VecSet};

use super::consent::{Action, Policy, TimeoutAction};
use super::history::{Entry, Happened};
use super::lifecycle::Mitigation;
use super::outbox::{Event, Outbox};
use super::overlap::{same_targets, shared_targets};
use super::phase::{Check, Phase};
use super::restored::Restored;
use super::state::{Client, Decision, State};
use crate::enforce::NotInForce;
use crate::enforce::desired::{Block, Desired, Owner, Quarantined, SenderLog};
use crate::model::{Mac, MitigationId, Now, Scope, Traffic, Tuple};
use crate::source::Suspect;

/// How long nothing matches before the attack counts as stopped.
const QUIET: Duration = Duration::from_secs(60);

/// The longest lifetime but an indefinite one: an uint32 of seconds (RFC 9132 section 5.3).
pub(super) const LONGEST: Duration = Duration::from_secs(u32::MAX as u64);

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
        /// The target prefixes both speak of.
        prefixes: Vec<IpNet>,
    },
    /// The `cuid` is another peer's (4.09, conflict-cause 3).
    CuidTaken,
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
            Self::CuidTaken => f.write_str("cuid in use by another client"),
            Self::Full { .. } => f.write_str("too many mitigations"),
            Self::Unmatched => f.write_str("no such mitigation"),
            Self::Legitimate => f.write_str("legitimate traffic"),
        }
    }
}

impl std::error::Error for Refusal {}

/// The administrator's own quarantine of a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// When it ends; nothing: when released.
    pub ends: Option<Instant>,
    /// Who ordered it, when and why.
    pub decision: Decision,
}

/// All mitigations, and the rules they live by.
#[derive(Debug)]
pub struct Ledger {
    pub(super) policy: Policy,
    pub(super) router: VecSet<Mac>,
    pub(super) mitigations: VecMap<MitigationId, Mitigation>,
    pub(super) standing: VecMap<Mac, Standing>,
    pub(super) next: MitigationId,
    pub(super) restored: Option<Restored>,
    pub(super) outbox: Outbox,
}

impl Ledger {
    /// An empty ledger.
    pub fn new(policy: Policy) -> Self {
        Self {
            policy,
            router: VecSet::new(),
            mitigations: VecMap::new(),
            standing: VecMap::new(),
            next: MitigationId(1),
            restored: None,
            outbox: Outbox::default(),
        }
    }

    /// The rules in force.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Changes the rules. Open questions are judged anew; devices that are exempt now are let go; under `observe`
    /// nothing stays in force but the administrator's own quarantines. Lifetimes already granted stand.
    pub fn set_policy(&mut self, policy: Policy, now: Now) {
        self.policy = policy;
        let policy = &self.policy;
        self.standing.retain(|mac, _| !policy.exempts(*mac));
        let ids: Vec<MitigationId> = self.mitigations.keys().copied().collect();
        for id in ids {
            self.submit(id, now);
            self.consider(id, now);
        }
        self.outbox.enforce();
        self.outbox.persist();
    }

    /// The router's own Ethernet addresses: never a device, and let go at once if one was taken for it.
    pub fn set_router(&mut self, addresses: VecSet<Mac>, now: Now) {
        for m in self.mitigations.values_mut() {
            m.suspects.retain(|suspect| !addresses.contains(&suspect.mac));
        }
        for mac in &addresses {
            // Nothing in force against it is how it should be.
            let _ = self.release(*mac, "policy", now);
        }
        self.router = addresses;
    }

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
        if self.all().any(|m| m.client.cuid == client.cuid && m.client.peer != client.peer) {
            return Err(Refusal::CuidTaken);
        }
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

    /// The client's request with this `mid`.
    pub fn find(&self, client: &Client, mid: u32) -> Option<&Mitigation> {
        self.all().find(|m| m.mid == mid && m.client == *client)
    }

    /// All requests of a client, oldest first.
    pub fn of_client<'a, 'c>(&'a self, client: &'c Client) -> impl Iterator<Item = &'a Mitigation> + use<'a, 'c> {
        self.all().filter(move |m| m.client == *client)
    }

    /// The mitigation with this number.
    pub fn get(&self, id: MitigationId) -> Option<&Mitigation> {
        self.mitigations.get(&id)
    }

    /// All mitigations, oldest first.
    pub fn all(&self) -> impl Iterator<Item = &Mitigation> {
        self.mitigations.values()
    }

    /// What the search found, perhaps nothing; may come again whenever there is more.
    pub fn attributed(&mut self, id: MitigationId, mut suspects: Vec<Suspect>, now: Now) {
        suspects.retain(|suspect| !self.router.contains(&suspect.mac));
        let Some(m) = self.mitigations.get_mut(&id) else { return };
        let first = !m.assessed();
        if first {
            m.phase = Phase::Searching { assessed: true };
            self.outbox.enforce();
        }
        if m.learn(suspects) || first {
            self.outbox.changed(id);
        }
        if let Some(hint) = m.reassigned_address().filter(|hint| m.verified() && m.detail.as_ref() != Some(hint)) {
            self.outbox.note(m, Happened::Failed, None, Some(&hint), now);
            m.detail = Some(hint);
        }
        self.consider(id, now);
    }

    /// Enforcement has seen the mitigation in force as it stands, or says why it isn't.
    pub fn enforced(&mut self, id: MitigationId, outcome: Result<(), NotInForce>, now: Now) {
        let Some(m) = self.mitigations.get_mut(&id).filter(|m| m.state().in_force()) else { return };
        match outcome.map_err(|reason| reason.to_string()) {
            Ok(()) if m.verified() => return,
            Ok(()) => {
                m.phase.set_verified(true);
                m.started.get_or_insert(now.unix);
                m.tally.begin(now.instant);
                m.detail = None;
                self.outbox.record(m, Happened::Enforced, now);
            }
            Err(reason) if m.detail.as_ref() == Some(&reason) => return,
            Err(reason) => {
                m.phase.set_verified(false);
                self.outbox.note(m, Happened::Failed, None, Some(&reason), now);
                m.detail = Some(reason);
            }
        }
        self.outbox.changed(id);
    }

    /// The mitigation's counters read back: totals since the rules were made, which may be anew.
    pub fn counted(&mut self, id: MitigationId, total: Traffic, now: Now) {
        let Some(m) = self.mitigations.get_mut(&id) else { return };
        let matched = m.tally.count(total, now.instant);
        let quiet = m.tally.quiet(now.instant) >= QUIET;
        let Phase::InForce { check, .. } = &mut m.phase else { return };
        let happened = match check {
            Check::Quiet if matched => {
                *check = Check::Verified;
                Happened::Resumed
            }
            Check::Verified if quiet => {
                *check = Check::Quiet;
                Happened::Stopped
            }
            _ => return,
        };
        self.outbox.record(m, happened, now);
        self.outbox.changed(id);
    }

    /// What must be in force now. A device may be quarantined for several reasons at once.
    pub fn desired(&self, now: Now) -> Desired {
        let mut desired = Desired::default();
        for m in self.all() {
            let Some(approval) = m.phase.approval() else { continue };
            let (id, remaining) = (m.id, m.remaining(now));
            match m.action {
                Action::Block => {
                    let (scope, devices) = (m.scope.clone(), approval.devices.clone());
                    desired.blocks.push(Block { id, scope, devices, remaining });
                }
                Action::Quarantine => desired.quarantined.extend(approval.devices.iter().map(|mac| Quarantined {
                    mac: *mac,
                    owner: Owner::Mitigation(id),
                    remaining: Some(remaining),
                })),
            }
        }
        // Who sends is of interest from the moment that somebody seems to.
        let open = self.all().filter(|m| m.assessed() && m.state().is_open());
        desired.sender_logs.extend(open.map(|m| SenderLog { id: m.id, scope: m.scope.clone() }));
        desired.quarantined.extend(self.standing.iter().map(|(mac, standing)| Quarantined {
            mac: *mac,
            owner: Owner::Administrator,
            remaining: standing.ends.map(|ends| ends.saturating_duration_since(now.instant)),
        }));
        desired
    }

    /// Flows in the evidence against the devices acted upon: what has to be cut first.
    pub fn known_flows(&self) -> Vec<Tuple> {
        let mut flows = Vec::new();
        for m in self.all().filter(|m| m.state().in_force() && !m.verified()) {
            let targeted = m.suspects.iter().filter(|suspect| m.chosen().contains(&suspect.mac));
            flows.extend(targeted.flat_map(|suspect| &suspect.evidence).map(|evidence| evidence.flow.original));
        }
        flows
    }

    /// What happened lately, newest first.
    pub fn history(&self) -> impl Iterator<Item = &Entry> {
        self.outbox.history.newest_first()
    }

    /// What has happened since this was asked last, oldest first; for the log and the house's hooks.
    pub fn poll_news(&mut self) -> Option<Entry> {
        self.outbox.history.read()
    }

    /// Rises whenever something has been decided that must survive a restart.
    pub fn generation(&self) -> u32 {
        self.outbox.generation
    }

    /// The next thing to see to.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.outbox.events.pop_front()
    }

    /// When [`Self::handle_timeout`] wants to be called.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let ends = self.all().map(|m| m.ends);
        let answers = self.all().filter_map(|m| self.answer_due(m));
        ends.chain(answers).chain(self.standing.values().filter_map(|s| s.ends)).min()
    }

    /// Ends what has lived long enough, and stops waiting for answers that don't come.
    pub fn handle_timeout(&mut self, now: Now) {
        let over: Vec<MitigationId> = self.all().filter(|m| m.ends <= now.instant).map(|m| m.id).collect();
        for id in over {
            self.remove(id, Happened::Expired, now);
        }
        let unanswered = |m: &&Mitigation| self.answer_due(m).is_some_and(|due| due <= now.instant);
        let unanswered: Vec<MitigationId> = self.all().filter(unanswered).map(|m| m.id).collect();
        for id in unanswered {
            self.answer_for_administrator(id, now);
        }
        let lasting = self.standing.len();
        self.standing.retain(|_, standing| standing.ends.is_none_or(|ends| ends > now.instant));
        if self.standing.len() != lasting {
            self.outbox.enforce();
            self.outbox.persist();
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
        self.meet_rivals(&mut m);
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

    pub(super) fn remove(&mut self, id: MitigationId, happened: Happened, now: Now) {
        let Some(mut m) = self.mitigations.remove(&id) else { return };
        self.part_from_rivals(&m);
        m.expire();
        self.outbox.enforce();
        if m.decision().is_some() {
            self.outbox.persist();
        }
        self.outbox.record(&m, happened, now);
        self.outbox.events.push_back(Event::Gone(Box::new(m)));
    }

    fn answer_due(&self, m: &Mitigation) -> Option<Instant> {
        let answers = self.policy.acts() && self.policy.timeout_action != TimeoutAction::Ignore;
        let timeout = self.policy.consent_timeout.filter(|_| answers)?;
        let Phase::Pending { asked } = m.phase else { return None };
        asked?.checked_add(timeout)
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
