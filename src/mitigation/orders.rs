//! Commands of the administrator.

use std::net::IpAddr;
use std::time::Duration;

use super::consent::{Action, Denied};
use super::history::Happened;
use super::ledger::{Ledger, ManualQuarantine};
use super::lifecycle::{Mitigation, has_address};
use super::phase::Ending;
use super::state::{Cause, Decision, State, decided_by};
use super::term::Term;
use super::veto::Veto;
use crate::model::{Mac, MitigationId, Now};

/// Characters kept of a comment.
const COMMENT: usize = 256;

/// Whom an approval is about.
#[derive(Clone, Copy, Debug)]
pub struct Whom<'a> {
    /// The devices; none: the only one suspected, or all if all are surely meant.
    pub devices: &'a [Mac],
    /// What they send from these addresses only; none: all that they send, or, of those that stand for others as well, what
    /// comes from where they were seen to send.
    pub addresses: &'a [IpAddr],
}

impl Ledger {
    /// Consents to act on `devices`, also for one of [`Self::ended`]; if none are named, on the only suspect or on all of them if all are surely meant.
    /// On a mitigation already in force the devices are added; what goes further than what is done there is about all of
    /// its devices, so all have to be named. `term` says for how long; its time bounds what the provider was granted, now and at
    /// every refresh.
    ///
    /// # Errors
    /// See [`Denied`]. Nothing has changed then.
    pub fn approve(
        &mut self,
        id: MitigationId,
        action: Option<Action>,
        devices: &[Mac],
        term: impl Into<Term>,
        by: &str,
        now: Now,
    ) -> Result<(), Denied> {
        self.approve_only(id, action, Whom { devices, addresses: &[] }, term.into(), by, now)
    }

    /// The same, about some addresses of the devices only. Of devices that stand for others as well, without such addresses
    /// those who were seen to send are meant.
    ///
    /// # Errors
    /// See [`Denied`]. Nothing has changed then.
    pub fn approve_only(
        &mut self,
        id: MitigationId,
        action: Option<Action>,
        whom: Whom<'_>,
        term: Term,
        by: &str,
        now: Now,
    ) -> Result<(), Denied> {
        let was_over = self.take_up(id);
        let outcome = self.consent(id, action, whom, term, by, now);
        if was_over && outcome.is_err() {
            self.put_back(id);
        }
        outcome
    }

    fn consent(
        &mut self,
        id: MitigationId,
        action: Option<Action>,
        whom: Whom<'_>,
        term: Term,
        by: &str,
        now: Now,
    ) -> Result<(), Denied> {
        let m = self.mitigations.get_mut(&id).ok_or(Denied::NoSuchMitigation)?;
        let open = matches!(m.state(), State::Pending | State::Active | State::Stopped | State::Terminating);
        if !open || !self.policy.acts() {
            return Err(Denied::NotInThisState);
        }
        let devices = self.policy.pick(&m.suspects, whom.devices)?;
        let is_known = |address: &IpAddr| {
            m.suspects.iter().any(|suspect| devices.contains(&suspect.mac) && has_address(suspect, *address))
        };
        if !whom.addresses.iter().all(is_known) {
            return Err(Denied::NoSuchDevice);
        }
        let action = action.unwrap_or(m.action);
        if m.state().in_force() && action > m.action && m.chosen().iter().any(|mac| !devices.contains(mac)) {
            return Err(Denied::Ambiguous);
        }
        let prolonged = self.set_until(id, action, term, now)?;
        if let Some(m) = self.mitigations.get_mut(&id) {
            m.released.retain(|mac| !devices.contains(mac));
            m.narrow_to(&devices, whom.addresses);
        }
        let acted = self.act(id, &devices, action, decided_by(by, None, now), now);
        if let Some(m) = self.mitigations.get(&id).filter(|_| prolonged && !acted) {
            self.outbox.note(m, Happened::Approved, Some(by), None, now);
        }
        self.override_vetoes(id, &devices);
        self.confirm(id, devices);
        self.outbox.persist();
        Ok(())
    }

    /// Judges the request to concern legitimate traffic: nothing is done, and the provider is told so.
    ///
    /// # Errors
    /// See [`Denied`].
    pub fn reject(&mut self, id: MitigationId, comment: Option<&str>, by: &str, now: Now) -> Result<(), Denied> {
        match self.get(id).ok_or(Denied::NoSuchMitigation)?.state() {
            state if state.is_open() => {
                self.refuse(id, Ending::Rejected, decided_by(by, brief(comment), now), now);
                self.outbox.persist();
                Ok(())
            }
            _ => Err(Denied::NotInThisState),
        }
    }

    /// Ends the mitigation at once. The provider is told; where it had withdrawn the request itself, nothing remains. One of
    /// [`Self::ended`] is forgotten.
    ///
    /// # Errors
    /// See [`Denied`].
    pub fn withdraw(&mut self, id: MitigationId, comment: Option<&str>, by: &str, now: Now) -> Result<(), Denied> {
        self.take_up(id);
        match self.get(id).ok_or(Denied::NoSuchMitigation)?.state() {
            state if state.is_open() || state == State::Terminating => {
                self.refuse(id, Ending::Withdrawn, decided_by(by, brief(comment), now), now);
                self.outbox.persist();
                Ok(())
            }
            _ => Err(Denied::NotInThisState),
        }
    }

    /// Quarantines a device whatever any mitigation says; without a lifetime until it is released.
    ///
    /// # Errors
    /// The router itself and exempt devices can't be quarantined.
    pub fn quarantine(
        &mut self,
        mac: Mac,
        lifetime: Option<Duration>,
        comment: Option<&str>,
        by: &str,
        now: Now,
    ) -> Result<(), Denied> {
        if self.router.contains(&mac) {
            return Err(Denied::NoSuchDevice);
        }
        if self.policy.exempts(mac) {
            return Err(Denied::Exempt);
        }
        let decision = decided_by(by, brief(comment), now);
        self.outbox.note_device(mac, Happened::Quarantined, &decision);
        let ends = lifetime.and_then(|lifetime| now.instant.checked_add(lifetime));
        self.quarantines.insert(mac, ManualQuarantine { ends, decision });
        self.outbox.enforce();
        self.outbox.persist();
        Ok(())
    }

    /// Ends everything that is in force against a device, or would be without another question. A mitigation that was about it
    /// alone is withdrawn. The policy does not act on it again for these targets, see [`Ledger::vetoes`].
    ///
    /// # Errors
    /// [`Denied::NotInThisState`]: nothing is in force against it.
    pub fn release(&mut self, mac: Mac, by: &str, now: Now) -> Result<(), Denied> {
        if !self.is_acted_upon(mac) {
            return Err(Denied::NotInThisState);
        }
        let concerned = self.concerned(mac);
        let decision = decided_by(by, None, now);
        let concerned = concerned.into_iter().filter_map(|id| self.get(id));
        let veto = |m| Veto::new(m, vec![mac], Cause::Released, decision.clone(), now);
        let vetoes: Vec<Veto> = concerned.map(veto).collect();
        self.set_free(mac, &decision, now);
        vetoes.into_iter().for_each(|veto| self.forbid(veto, now));
        self.outbox.persist();
        Ok(())
    }

    /// Ends everything that is in force against a device.
    pub(super) fn set_free(&mut self, mac: Mac, decision: &Decision, now: Now) {
        let concerned = self.concerned(mac);
        if self.quarantines.remove(&mac).is_none() && concerned.is_empty() {
            return;
        }
        self.outbox.note_device(mac, Happened::Released, decision);
        for id in concerned {
            self.let_go(id, mac, Ending::Withdrawn, decision.clone(), now);
        }
        self.outbox.enforce();
        self.outbox.persist_later();
    }

    /// Whether anything is in force against a device, or would be without another question.
    pub(super) fn is_acted_upon(&self, mac: Mac) -> bool {
        self.quarantines.contains_key(&mac) || !self.concerned(mac).is_empty()
    }

    /// The mitigations that act on a device, or have inherited the consent to.
    fn concerned(&self, mac: Mac) -> Vec<MitigationId> {
        let inherits = |m: &Mitigation| m.inherited.as_ref().is_some_and(|i| i.approval.devices.contains(&mac));
        let open =
            |m: &&Mitigation| m.state().in_force() && m.chosen().contains(&mac) || m.state().is_open() && inherits(m);
        self.all().filter(open).map(|m| m.id).collect()
    }

    /// All devices under the administrator's own quarantine.
    pub fn manual_quarantines(&self) -> impl Iterator<Item = (Mac, &ManualQuarantine)> {
        self.quarantines.iter().map(|(mac, quarantine)| (*mac, quarantine))
    }

    /// The administrator's own quarantine of the device, if there is one.
    pub fn manual_quarantine(&self, mac: Mac) -> Option<&ManualQuarantine> {
        self.quarantines.get(&mac)
    }
}

/// As much of a comment as is kept.
fn brief(comment: Option<&str>) -> Option<String> {
    comment.map(|comment| comment.chars().take(COMMENT).collect())
}
