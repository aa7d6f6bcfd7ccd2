//! All mitigations, the settings, the outputs, and the passing of time.

use std::time::{Duration, Instant};

use vecset::{VecMap, VecSet};

use super::consent::{Action, Policy, TimeoutAction};
use super::history::{Entry, Happened};
use super::incident::{Incident, Incidents};
use super::lifecycle::Mitigation;
use super::outbox::{Event, Generation, Outbox};
use super::phase::Phase;
use super::restored::Restored;
use super::state::{Client, Decision, decided_by};
use super::veto::Veto;
use crate::enforce::desired::{Block, Desired, Owner, Quarantined, SenderLog};
use crate::model::{Mac, MitigationId, Now, Tuple};

/// The longest lifetime but an indefinite one: an uint32 of seconds (RFC 9132 section 5.3).
pub(super) const LONGEST: Duration = Duration::from_secs(u32::MAX as u64);

/// The administrator's own quarantine of a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManualQuarantine {
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
    pub(super) quarantines: VecMap<Mac, ManualQuarantine>,
    pub(super) vetoes: Vec<Veto>,
    pub(super) ended: Vec<Mitigation>,
    pub(super) incidents: Incidents,
    pub(super) next: MitigationId,
    pub(super) restored: Option<Restored>,
    /// Whom a run before has acted upon.
    pub(super) known_devices: VecSet<Mac>,
    pub(super) outbox: Outbox,
}

impl Ledger {
    /// An empty ledger.
    pub fn new(policy: Policy) -> Self {
        Self {
            policy,
            router: VecSet::new(),
            mitigations: VecMap::new(),
            quarantines: VecMap::new(),
            vetoes: Vec::new(),
            ended: Vec::new(),
            incidents: Incidents::default(),
            next: MitigationId(1),
            restored: None,
            known_devices: VecSet::new(),
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
        self.quarantines.retain(|mac, _| !policy.exempts(*mac));
        self.ended.retain(|m| policy.acts() && !m.chosen().iter().any(|mac| policy.exempts(*mac)));
        let ids: Vec<MitigationId> = self.mitigations.keys().copied().collect();
        for id in ids {
            self.apply_policy(id, now);
            self.consider(id, now);
        }
        self.outbox.enforce();
        self.outbox.persist();
    }

    /// The number of the next mitigation. What is not decided is not kept over a restart, and neither is how many numbers it took:
    /// with an unpredictable one, whoever decides about a number seen before the restart decides about nothing else.
    pub fn set_first_number(&mut self, number: u32) {
        self.next = MitigationId(number);
    }

    /// The router's own Ethernet addresses: never a device, and let go at once if one was taken for it. One that was acted upon
    /// before a restart was known as a device's then: to bear an address of the router's other links is no way out.
    pub fn set_router(&mut self, mut addresses: VecSet<Mac>, now: Now) {
        addresses.retain(|mac| !(self.known_devices.contains(mac) && self.is_acted_upon(*mac)));
        for m in self.mitigations.values_mut() {
            m.suspects.retain(|suspect| !addresses.contains(&suspect.mac));
        }
        let decision = decided_by("policy", None, now);
        for mac in &addresses {
            self.set_free(*mac, &decision, now);
        }
        self.forget_ended(|m| m.chosen().iter().any(|mac| addresses.contains(mac)));
        self.router = addresses;
    }

    /// The client's request with this `mid`.
    pub fn find(&self, client: &Client, mid: u32) -> Option<&Mitigation> {
        self.of_client(client).find(|m| m.mid == mid)
    }

    /// All that a client asks for, by number.
    pub fn of_client<'a, 'c>(&'a self, client: &'c Client) -> impl Iterator<Item = &'a Mitigation> + use<'a, 'c> {
        self.all().filter(move |m| m.asked && m.client == *client)
    }

    /// The mitigation with this number.
    pub fn get(&self, id: MitigationId) -> Option<&Mitigation> {
        self.mitigations.get(&id)
    }

    /// All mitigations, by number.
    pub fn all(&self) -> impl Iterator<Item = &Mitigation> {
        self.mitigations.values()
    }

    /// What must be in force now. A device may be quarantined for several reasons at once.
    pub fn desired(&self, now: Now) -> Desired {
        let mut desired = Desired::default();
        for m in self.all() {
            let Some(approval) = m.phase.approval() else { continue };
            let (id, remaining) = (m.id, m.stands(now));
            match m.action {
                Action::Block => {
                    let (scope, devices) = (m.scope.without_names(), approval.devices.clone());
                    desired.blocks.push(Block { id, scope, devices, narrowed: m.narrowed.clone(), remaining });
                }
                Action::Quarantine => desired.quarantined.extend(approval.devices.iter().map(|mac| Quarantined {
                    mac: *mac,
                    owner: Owner::Mitigation(id),
                    remaining: Some(remaining).filter(|remaining| *remaining != Duration::MAX),
                })),
            }
        }
        // Who sends is of interest from the moment that somebody seems to.
        let open = self.all().filter(|m| m.assessed() && m.state().is_open());
        desired.sender_logs.extend(open.map(|m| SenderLog { id: m.id, scope: m.scope.without_names() }));
        desired.quarantined.extend(self.quarantines.iter().map(|(mac, quarantine)| Quarantined {
            mac: *mac,
            owner: Owner::Administrator,
            remaining: quarantine.ends.map(|ends| ends.saturating_duration_since(now.instant)),
        }));
        desired
    }

    /// Flows in the evidence against the devices acted upon: what has to be cut first.
    pub fn known_flows(&self) -> Vec<Tuple> {
        let mut flows = Vec::new();
        for m in self.all().filter(|m| m.state().in_force() && !m.verified()) {
            let targeted = m.suspects.iter().filter(|suspect| m.chosen().contains(&suspect.mac));
            flows.extend(targeted.flat_map(|suspect| m.flows_meant(suspect)));
        }
        flows
    }

    /// What happened lately, newest first.
    pub fn history(&self) -> impl Iterator<Item = &Entry> {
        self.outbox.history.newest_first()
    }

    /// Requests that are over, newest first; over restarts too.
    pub fn incidents(&self) -> impl Iterator<Item = &Incident> {
        self.incidents.newest_first()
    }

    /// What has happened since this was asked last, oldest first; for the log and the administrator's scripts.
    pub fn poll_news(&mut self) -> Option<Entry> {
        self.outbox.history.read()
    }

    /// Rises whenever something has been decided that must survive a restart.
    pub fn generation(&self) -> Generation {
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
        let reminders = self.all().filter_map(|m| self.reminder_due(m));
        let vetoes = self.vetoes.iter().map(|veto| veto.ends);
        let questions = self.ended.iter().map(|m| m.ends);
        ends.chain(answers)
            .chain(reminders)
            .chain(vetoes)
            .chain(questions)
            .chain(self.quarantines.values().filter_map(|s| s.ends))
            .min()
    }

    /// Ends what has lived long enough, reminds of questions, and stops waiting for answers that don't come.
    pub fn handle_timeout(&mut self, now: Now) {
        let over: Vec<MitigationId> = self.all().filter(|m| m.ends <= now.instant).map(|m| m.id).collect();
        for id in over {
            self.end_of_time(id, now);
        }
        let unanswered = |m: &&Mitigation| self.answer_due(m).is_some_and(|due| due <= now.instant);
        let unanswered: Vec<MitigationId> = self.all().filter(unanswered).map(|m| m.id).collect();
        for id in unanswered {
            self.answer_by_timeout(id, now);
        }
        let forgotten = |m: &&Mitigation| self.reminder_due(m).is_some_and(|due| due <= now.instant);
        let forgotten: Vec<MitigationId> = self.all().filter(forgotten).map(|m| m.id).collect();
        for id in forgotten {
            self.remind(id, now);
        }
        self.end_vetoes(now);
        self.forget_ended(|m| m.ends <= now.instant);
        let lasting = self.quarantines.len();
        self.quarantines.retain(|_, quarantine| quarantine.ends.is_none_or(|ends| ends > now.instant));
        if self.quarantines.len() != lasting {
            self.outbox.enforce();
            self.outbox.persist_later();
        }
    }

    pub(super) fn remove(&mut self, id: MitigationId, happened: Happened, now: Now) {
        let Some(mut m) = self.mitigations.remove(&id) else { return };
        self.forget_conflicts(&m);
        self.incidents.add(&m, happened, m.decision(), now);
        m.expire();
        self.outbox.enforce();
        if m.is_decided() {
            self.outbox.persist_later();
        }
        self.outbox.record(&m, happened, now);
        self.outbox.events.push_back(Event::Gone(Box::new(m)));
    }

    fn answer_due(&self, m: &Mitigation) -> Option<Instant> {
        let answers = self.policy.acts() && self.policy.timeout_action != TimeoutAction::Ignore;
        let timeout = self.policy.consent_timeout.filter(|_| answers && m.asked)?;
        let Phase::Pending { asked, .. } = m.phase else { return None };
        asked?.checked_add(timeout)
    }

    fn reminder_due(&self, m: &Mitigation) -> Option<Instant> {
        let Phase::Pending { remind, .. } = m.phase else { return None };
        remind.filter(|_| self.policy.acts())
    }
}
