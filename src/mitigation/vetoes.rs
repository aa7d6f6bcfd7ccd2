//! A no binds: what a person has refused or ended, or what turned out to be sent by another device, is not acted upon by the
//! policy again, whoever asks with whatever number. It then asks.

use std::time::{Duration, Instant};

use ipnet::IpNet;

use super::consent::{Action, Denied};
use super::history::Happened;
use super::ledger::{LONGEST, Ledger};
use super::snapshot::SavedVeto;
use super::state::State;
use super::veto::{SHORTEST, Veto, everywhere, within};
use crate::model::{Mac, MitigationId, Now, Scope};

/// Vetoes kept. When there is no room for another one, all become one about every address.
const MOST: usize = 64;

impl Ledger {
    /// What the policy must not act upon by itself, oldest first.
    pub fn vetoes(&self) -> impl Iterator<Item = &Veto> {
        self.vetoes.iter()
    }

    /// Takes back a no: the policy applies again, at once.
    ///
    /// # Errors
    /// [`Denied::NoSuchVeto`]: none follows from that mitigation.
    pub fn lift(&mut self, id: MitigationId, by: &str, now: Now) -> Result<(), Denied> {
        let lifted: Vec<Veto> = self.vetoes.extract_if(.., |veto| veto.id == id).collect();
        let shown = lifted.first().ok_or(Denied::NoSuchVeto)?;
        self.outbox.note_veto(shown, Happened::Lifted, by, now);
        for m in self.mitigations.values_mut() {
            let (action, scope) = (m.action, m.scope.clone());
            m.released.retain(|mac| !lifted.iter().any(|veto| veto.forbids(*mac, action, &scope)));
        }
        self.outbox.persist();
        let ids: Vec<MitigationId> = self.mitigations.keys().copied().collect();
        ids.into_iter().for_each(|id| self.consider(id, now));
        Ok(())
    }

    /// Those of the devices that the policy must not take such an action against because of `scope`.
    pub(super) fn forbidden(&self, devices: impl Iterator<Item = Mac>, action: Action, scope: &Scope) -> Vec<Mac> {
        devices.filter(|mac| self.vetoes.iter().any(|veto| veto.forbids(*mac, action, scope))).collect()
    }

    /// From now on the policy must not act as the veto says. What another mitigation does so by the policy alone ends.
    pub(super) fn forbid(&mut self, veto: Veto, now: Now) {
        let id = veto.id;
        for other in self.mitigations.keys().copied().filter(|other| *other != id).collect::<Vec<_>>() {
            self.obey(other, &veto, now);
        }
        self.add_veto(veto);
    }

    /// Adds a veto, within bounds.
    pub(super) fn add_veto(&mut self, veto: Veto) {
        let same = self.vetoes.iter().position(|known| known.id == veto.id && known.is_alike(&veto));
        let mut veto = match same.map(|at| self.vetoes.remove(at)) {
            Some(known) => veto.and(known),
            None => veto,
        };
        self.vetoes.retain(|known| !veto.includes(known));
        if self.vetoes.len() >= MOST {
            veto = Veto { targets: everywhere(), ..self.vetoes.drain(..).fold(veto, Veto::and) };
        }
        self.vetoes.push(veto);
        self.outbox.persist_later();
    }

    /// An approval is the opposite of a no about the same devices and targets, or about whoever sends to these targets.
    pub(super) fn override_vetoes(&mut self, id: MitigationId, devices: &[Mac]) {
        let Some(m) = self.mitigations.get(&id) else { return };
        let targets = IpNet::aggregate(&m.scope.target_prefixes);
        for veto in self.vetoes.iter_mut().filter(|veto| within(&veto.targets, &targets)) {
            veto.devices.retain(|mac| !devices.contains(mac));
            if veto.devices.is_empty() {
                veto.targets.clear();
            }
        }
        self.vetoes.retain(|veto| !veto.targets.is_empty());
    }

    /// Ends vetoes whose time is over.
    pub(super) fn end_vetoes(&mut self, now: Now) {
        let lasting = self.vetoes.len();
        self.vetoes.retain(|veto| veto.ends > now.instant);
        if self.vetoes.len() != lasting {
            self.outbox.persist_later();
        }
    }

    /// Restores what was kept, which may be anything.
    pub(super) fn restore_vetoes(&mut self, saved: &[SavedVeto], now: Now) {
        for saved in saved.iter().filter(|saved| saved.remaining > 0 && !saved.targets.is_empty()) {
            let longest = self.policy.max_lifetime.max(SHORTEST).min(LONGEST);
            let ends = now.instant + Duration::from_secs(saved.remaining).min(longest);
            self.add_veto(restored(saved, ends));
        }
    }

    /// What another mitigation does by policy alone ends, and its consent passes to no successor.
    fn obey(&mut self, id: MitigationId, veto: &Veto, now: Now) {
        let Some(m) = self.mitigations.get_mut(&id) else { return };
        let inherited = m.inherited.iter().flat_map(|inherited| &inherited.approval.devices);
        let concerned = m.chosen().iter().chain(inherited).chain(m.suspects.iter().map(|suspect| &suspect.mac));
        let mut devices: Vec<Mac> = concerned.copied().filter(|mac| veto.forbids(*mac, m.action, &m.scope)).collect();
        devices.sort_unstable();
        devices.dedup();
        for mac in devices {
            let Some(m) = self.mitigations.get_mut(&id) else { return };
            m.bar(mac);
            if m.state().in_force() && m.chosen().contains(&mac) && !m.phase.confirmed(mac) {
                let why = format!("let go: {mac} was refused elsewhere");
                self.outbox.note(m, Happened::Failed, None, Some(&why), now);
                self.ask_without(id, mac, now);
            }
        }
    }

    /// Lets go of a device; without any other the question is open again.
    pub(super) fn ask_without(&mut self, id: MitigationId, mac: Mac, now: Now) {
        let Some(m) = self.mitigations.get_mut(&id) else { return };
        m.phase.let_go(mac);
        if m.chosen().is_empty() && m.state() != State::Terminating {
            if !m.asked {
                return self.remove(id, Happened::Expired, now);
            }
            m.ask(now);
        }
        self.outbox.decided(m);
    }
}

/// A veto as kept in a file.
pub(super) fn saved(veto: &Veto, now: Now) -> SavedVeto {
    SavedVeto {
        id: veto.id.0,
        peer: veto.peer.clone(),
        devices: veto.devices.clone(),
        targets: veto.targets.clone(),
        cause: veto.cause,
        decision: veto.decision.clone(),
        remaining: veto.ends.saturating_duration_since(now.instant).as_secs(),
    }
}

/// What a file says of one.
fn restored(saved: &SavedVeto, ends: Instant) -> Veto {
    let SavedVeto { id, peer, devices, targets, cause, decision, .. } = saved.clone();
    let targets = targets.iter().map(IpNet::trunc).collect();
    Veto { id: MitigationId(id), peer, devices, targets, cause, decision, ends }.bounded()
}
