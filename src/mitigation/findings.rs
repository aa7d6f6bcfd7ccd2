//! Inputs: what the search and the enforcement have found.

use super::drop_stats::QUIET;
use super::history::Happened;
use super::ledger::Ledger;
use super::lifecycle::Mitigation;
use super::phase::{Check, Phase};
use super::state::{Cause, State, decided_by};
use super::veto::Veto;
use crate::enforce::NotInForce;
use crate::model::{Mac, MitigationId, Now, Traffic};
use crate::source::{Stranger, Suspect};

impl Ledger {
    /// What the search found, perhaps nothing; may come again whenever there is more.
    pub fn handle_attribution(&mut self, id: MitigationId, mut suspects: Vec<Suspect>, now: Now) {
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
        if m.state() == State::Pending && m.suspects.is_empty() {
            m.reopen();
        }
        if m.narrow() {
            self.outbox.decided(m);
        }
        let hint = m.reassigned_address().or_else(|| m.unblocked_sender());
        if let Some(hint) = hint.filter(|hint| m.verified() && m.detail.as_ref() != Some(hint)) {
            self.outbox.note(m, Happened::Failed, None, Some(&hint), now);
            m.detail = Some(hint);
        }
        self.consider(id, now);
    }

    /// Who sends and is no device, perhaps nobody any more; comes before what the search has found besides.
    pub fn handle_strangers(&mut self, id: MitigationId, strangers: Vec<Stranger>) {
        if let Some(m) = self.mitigations.get_mut(&id) {
            m.meet_strangers(strangers);
            self.outbox.changed(id);
        }
    }

    /// Enforcement has seen the mitigation in force as it stands, or says why it isn't.
    pub fn handle_enforced(&mut self, id: MitigationId, outcome: Result<(), NotInForce>, now: Now) {
        let Some(m) = self.mitigations.get_mut(&id).filter(|m| m.state().in_force()) else { return };
        match outcome.map_err(|reason| reason.to_string()) {
            Ok(()) if m.verified() => return,
            Ok(()) => {
                m.phase.set_verified(true);
                m.started.get_or_insert(now.unix);
                m.drops.begin(now.instant);
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
    pub fn handle_counted(&mut self, id: MitigationId, total: Traffic, now: Now) {
        let Some(m) = self.mitigations.get_mut(&id) else { return };
        let matched = m.drops.count(total, now.instant);
        let quiet = m.drops.quiet(now.instant) >= QUIET;
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

    /// Somebody else sends in the name of a suspect: nobody is sure of it any more. If it is acted upon and does not send
    /// itself (`sends`), it is let go; without any other the question is open again.
    pub fn handle_spoofed(&mut self, id: MitigationId, mac: Mac, sends: bool, now: Now) {
        // Known to be in doubt it may have been acted upon all the same.
        let told = |m: &Mitigation| m.spoofed.contains(&mac) && !m.chosen().contains(&mac);
        let suspected = |m: &&mut Mitigation| m.suspects.iter().any(|s| s.mac == mac) && !told(m);
        let Some(m) = self.mitigations.get_mut(&id).filter(suspected) else { return };
        let acted_upon = m.state().in_force() && m.chosen().contains(&mac);
        if acted_upon && sends {
            return;
        }
        let why = format!("another device sends from the address of {mac}");
        m.doubt(mac);
        m.bar(mac);
        m.detail = Some(why.clone());
        if acted_upon {
            self.outbox.note(m, Happened::Failed, None, Some(&format!("let go: {why}")), now);
            self.ask_without(id, mac, now);
        } else {
            self.outbox.changed(id);
        }
        if let Some(m) = self.get(id) {
            self.forbid(Veto::new(m, vec![mac], Cause::Spoofed, decided_by("policy", Some(why), now), now), now);
        }
    }
}
