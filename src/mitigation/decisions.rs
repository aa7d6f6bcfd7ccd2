//! What follows from suspects, policy and the administrator's answers.

use super::consent::{Action, Judgement, TimeoutAction, confident};
use super::history::Happened;
use super::ledger::Ledger;
use super::phase::{Ending, Inherited, Phase};
use super::state::{Cause, Decision, State, decided_by};
use super::veto::Veto;
use crate::model::{Mac, MitigationId, Now};
use crate::source::Suspect;

impl Ledger {
    /// Draws the consequences of what is known about the suspects now.
    pub(super) fn consider(&mut self, id: MitigationId, now: Now) {
        let barred = self.barred(id);
        let Some(m) = self.mitigations.get_mut(&id).filter(|m| m.asked && m.assessed() && m.state().is_open()) else {
            return;
        };
        let inherited = m.inherited.clone();
        let before = inherited.as_ref().map_or(&[][..], |inherited| &inherited.approval.devices);
        match self.policy.judge(&m.suspects, before, &barred) {
            Judgement::Act { agreed, alone } => {
                if let Some(Inherited { approval, action }) = &inherited {
                    self.act_at_most(id, &agreed, *action, approval.decision.clone(), now);
                    self.confirm(id, approval.confirmed.iter().copied().filter(|mac| agreed.contains(mac)).collect());
                }
                self.act_at_most(id, &alone, self.policy.action, decided_by("policy", None, now), now);
            }
            Judgement::Ask if m.state() == State::Searching => {
                m.ask(now);
                self.outbox.record(m, Happened::Pending, now);
                self.outbox.changed(id);
            }
            Judgement::Legitimate if !m.state().in_force() => {
                self.finish(id, Ending::Rejected, decided_by("policy", None, now), now);
            }
            _ => {}
        }
    }

    /// The suspects that the policy must not act upon by itself: all, where the target is wide, as it is none then.
    fn barred(&self, id: MitigationId) -> Vec<Mac> {
        let Some(m) = self.get(id) else { return Vec::new() };
        if m.scope.is_wide() {
            return m.suspects.iter().map(|s| s.mac).collect();
        }
        let action = if m.state().in_force() { m.action } else { self.policy.action };
        let mut barred = self.forbidden(m.suspects.iter().map(|s| s.mac), action, &m.scope);
        barred.extend(&m.released);
        // Which of those under one Ethernet address is meant a person decides. Those who may come back are hit by a quarantine.
        let is_several = |s: &&Suspect| s.is_shared() || action == Action::Quarantine && !s.former.is_empty();
        barred.extend(m.suspects.iter().filter(is_several).map(|s| s.mac));
        barred
    }

    /// Acts on `devices` without asking, by a consent that allows `most`. Where a person has chosen more for a mitigation,
    /// others are added to it by a person only.
    fn act_at_most(&mut self, id: MitigationId, devices: &[Mac], most: Action, decision: Decision, now: Now) {
        let Some(m) = self.get(id) else { return };
        let action = if m.state().in_force() { m.action } else { most };
        if action <= most {
            self.act(id, devices, action, decision, now);
        }
    }

    /// Acts on `devices` from now on; the first decision about a mitigation is the one shown. Returns whether that
    /// changes anything.
    pub(super) fn act(
        &mut self,
        id: MitigationId,
        devices: &[Mac],
        action: Action,
        decision: Decision,
        now: Now,
    ) -> bool {
        let Some(m) = self.mitigations.get_mut(&id) else { return false };
        if devices.is_empty() || !m.act_on(devices, action, &decision) {
            return false;
        }
        m.narrow();
        self.outbox.note(m, Happened::Approved, Some(&decision.by), decision.comment.as_deref(), now);
        self.outbox.decided(m);
        true
    }

    /// A person has approved what is done to these devices.
    pub(super) fn confirm(&mut self, id: MitigationId, devices: Vec<Mac>) {
        let phase = self.mitigations.get_mut(&id).map(|m| &mut m.phase);
        if let Some(Phase::InForce { approval, .. } | Phase::Terminating { approval, .. }) = phase {
            approval.confirm(&devices);
        }
    }

    /// Ends what is in force at once, but keeps the entry for the provider to read (RFC 9132 section 4.4.4: no
    /// terminating period where the server itself withdraws). What the client has withdrawn itself is gone.
    pub(super) fn finish(&mut self, id: MitigationId, ending: Ending, decision: Decision, now: Now) {
        let Some(m) = self.mitigations.get_mut(&id) else { return };
        let nobody_waits = m.state() == State::Terminating || !m.asked;
        let happened = if ending == Ending::Rejected { Happened::Rejected } else { Happened::Withdrawn };
        self.outbox.note(m, happened, Some(&decision.by), decision.comment.as_deref(), now);
        self.incidents.add(m, happened, Some(&decision), now);
        m.end(ending, decision);
        self.outbox.decided(m);
        if nobody_waits {
            self.remove(id, Happened::Expired, now);
        }
    }

    /// Brings what was decided about a mitigation in line with a changed policy.
    pub(super) fn apply_policy(&mut self, id: MitigationId, now: Now) {
        let Some(m) = self.mitigations.get_mut(&id) else { return };
        let policy = &self.policy;
        if let Some(inherited) = &mut m.inherited {
            inherited.approval.devices.retain(|mac| policy.acts() && !policy.exempts(*mac));
        }
        if !m.state().in_force() {
            return;
        }
        if !policy.acts() {
            if m.state() == State::Terminating || !m.asked {
                return self.remove(id, Happened::Expired, now);
            }
            m.reopen();
            self.outbox.changed(id);
            return;
        }
        let exempt: Vec<Mac> = m.chosen().iter().copied().filter(|mac| self.policy.exempts(*mac)).collect();
        for mac in exempt {
            self.let_go(id, mac, Ending::Rejected, decided_by("policy", None, now), now);
        }
    }

    /// Ends a mitigation by a no, which binds the policy.
    pub(super) fn refuse(&mut self, id: MitigationId, ending: Ending, decision: Decision, now: Now) {
        let Some(m) = self.get(id) else { return };
        let devices: Vec<Mac> = m.suspects.iter().map(|s| s.mac).chain(m.chosen().iter().copied()).collect();
        let cause = if ending == Ending::Rejected { Cause::Rejected } else { Cause::Withdrawn };
        let veto = Veto::new(m, devices, cause, decision.clone(), now);
        self.forbid(veto, now);
        self.finish(id, ending, decision, now);
    }

    /// Takes one device out of what a mitigation does; without any other device it ends as `ending` says.
    pub(super) fn let_go(&mut self, id: MitigationId, mac: Mac, ending: Ending, decision: Decision, now: Now) {
        let Some(m) = self.mitigations.get_mut(&id) else { return };
        m.bar(mac);
        if m.chosen() == [mac] {
            return self.finish(id, ending, decision, now);
        }
        m.phase.let_go(mac);
        self.outbox.decided(m);
    }

    /// Says once more that somebody has to decide.
    pub(super) fn remind(&mut self, id: MitigationId, now: Now) {
        let Some(m) = self.mitigations.get_mut(&id) else { return };
        if let Phase::Pending { remind, .. } = &mut m.phase {
            *remind = None;
        }
        self.outbox.record(m, Happened::Reminder, now);
    }

    /// Answers for the administrator, who has not done so in time.
    pub(super) fn answer_by_timeout(&mut self, id: MitigationId, now: Now) {
        let Some(m) = self.mitigations.get_mut(&id) else { return };
        if let Phase::Pending { asked, .. } = &mut m.phase {
            *asked = None;
        }
        let barred = self.barred(id);
        let Some(m) = self.get(id) else { return };
        let sure =
            m.suspects.iter().filter(|s| confident(s) && !self.policy.exempts(s.mac) && !barred.contains(&s.mac));
        let devices: Vec<Mac> = sure.map(|s| s.mac).collect();
        let decision = decided_by("timeout", None, now);
        match self.policy.timeout_action {
            TimeoutAction::Approve => self.act_at_most(id, &devices, self.policy.action, decision, now),
            TimeoutAction::Reject => self.refuse(id, Ending::Rejected, decision, now),
            TimeoutAction::Ignore => {}
        }
    }
}
