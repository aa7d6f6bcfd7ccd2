//! The ledger beside the consents, step by step.

use std::time::Duration;

use super::consents::{About, Consents, Lasts, No};
use super::packets::{DEVICES, Packets, SCOPES, device_bits, effect, index_of};
use super::steps::{Step, clients};
use crate::support::ledger::*;
use dots_callhome::enforce::desired::{Desired, Owner};
use dots_callhome::mitigation::{
    Action, Consent, DevicePolicy, Ledger, Mitigation, Policy, State, Term, Until, Veto, snapshot,
};
use dots_callhome::model::{Mac, MitigationId, Scope};
use dots_callhome::source::{Confidence, Suspect};

pub struct World {
    pub house: TestRouter,
    pub consents: Consents,
}

impl World {
    /// The newest comes first.
    fn id(&self, which: usize) -> Option<MitigationId> {
        let mut ids: Vec<MitigationId> = self.house.ledger.all().map(|m| m.id()).collect();
        ids.reverse();
        ids.get(which).copied()
    }

    fn take(&mut self, step: &Step) {
        let now = self.house.now;
        let before: Vec<About> = self.house.ledger.all().map(About::of).collect();
        // A request, too, first ends what is over.
        let timed_out = matches!(step, Step::Pass(_) | Step::Put { .. } | Step::Ask { .. });
        match step {
            Step::Ask { client, scope, suspects } => {
                let last = self.house.ledger.of_client(&clients()[*client]).map(|m| m.mid()).max().unwrap_or_default();
                self.put(*client, last + 1, &SCOPES[*scope], 3600);
                self.found(0, suspects);
            }
            Step::Put { client, mid, scope, lifetime } => self.put(*client, *mid, &SCOPES[*scope], *lifetime),
            Step::Delete { client, mid } => self.house.ledger.delete(&clients()[*client], *mid, now),
            Step::Found { which, suspects } => self.found(*which, suspects),
            Step::Spoofed { which, device, sends } => self.spoofed(*which, *device, *sends),
            Step::Approve { which, action, devices, lifetime, until } => {
                self.approve(*which, *action, devices, lifetime.map(seconds), *until);
            }
            Step::Reject { which } | Step::Withdraw { which } => {
                let Some(about) = self.about(*which) else { return };
                let done = match step {
                    Step::Reject { .. } => self.house.ledger.reject(about.id, None, "root", now),
                    _ => self.house.ledger.withdraw(about.id, None, "root", now),
                };
                if done.is_ok() {
                    self.consents.of_request.remove(&about.id);
                    self.consents.refuse(&about, &about.devices, now);
                }
            }
            Step::Release { device } => self.release(*device),
            Step::Lift { which } => self.lift(*which),
            Step::Quarantine { device, lifetime } => {
                let lifetime = lifetime.map(seconds);
                if self.house.ledger.quarantine(DEVICES[*device], lifetime, None, "root", now).is_ok() {
                    self.consents.own |= device_bits(*device);
                }
            }
            Step::Rules { consent, action, devices, timeout_action } => {
                let devices = devices.iter().map(|(device, rule)| (DEVICES[*device], *rule)).collect();
                let before = self.house.ledger.policy().clone();
                let (consent, action, timeout_action) = (*consent, *action, *timeout_action);
                let policy = Policy { consent, action, devices, timeout_action, ..before };
                self.consents.obey_rules(&policy);
                self.house.ledger.set_policy(policy, now);
            }
            Step::Enforced { which } => {
                if let Some(id) = self.id(*which) {
                    self.house.ledger.handle_enforced(id, Ok(()), now);
                }
            }
            Step::Counted { which } => {
                if let Some((id, dropped)) = self.id(*which).map(|id| (id, self.house.m(id).dropped())) {
                    self.house.ledger.handle_counted(id, packets(dropped.packets + 7), self.house.now);
                }
            }
            Step::Pass(time) => self.house.pass(seconds(*time)),
            Step::Restart => self.restart(),
        }
        for about in before.iter().filter(|about| about.pending) {
            let by_silence = |m: &Mitigation| m.decision().is_some_and(|decision| decision.by == "timeout");
            let m = self.house.ledger.get(about.id);
            if m.is_some_and(|m| m.state() == State::Rejected && by_silence(m)) {
                self.consents.refuse(about, &about.devices, now);
            }
        }
        self.forget_what_is_over();
        self.consents.nos.retain(|no| no.until > self.house.now.instant);
        self.consents.add_by_rules(&self.house.ledger, timed_out);
        self.consents.of_request.retain(|id, _| self.house.ledger.get(*id).is_some());
    }

    /// Without its request only what a person has said for longer is consented to.
    fn forget_what_is_over(&mut self) {
        let now = self.house.now;
        for (id, allowed) in &mut self.consents.of_request {
            if self.house.ledger.get(*id).is_some_and(|m| !m.asked()) {
                (allowed.by_rules, allowed.by_person) = (0, allowed.own(now));
            }
        }
    }

    fn about(&self, which: usize) -> Option<About> {
        self.id(which).and_then(|id| self.house.ledger.get(id)).map(About::of)
    }

    fn release(&mut self, device: usize) {
        let now = self.house.now;
        let acts = |m: &&Mitigation| m.state().in_force() && m.chosen().contains(&DEVICES[device]);
        let concerned: Vec<About> = self.house.ledger.all().filter(acts).map(About::of).collect();
        if self.house.ledger.release(DEVICES[device], "root", now).is_ok() {
            self.consents.forget_device(device);
            self.consents.own &= !device_bits(device);
            concerned.iter().for_each(|about| self.consents.refuse(about, &[device], now));
        }
    }

    /// What is taken back is all that follows from the mitigation of what was shown.
    fn lift(&mut self, which: usize) {
        let Some(id) = self.house.ledger.vetoes().nth(which).map(|veto| veto.id) else { return };
        let shown: Vec<Veto> = self.house.ledger.vetoes().filter(|veto| veto.id == id).cloned().collect();
        self.house.ledger.lift(id, "root", self.house.now).unwrap();
        shown.into_iter().for_each(|veto| self.take_back(veto));
    }

    fn take_back(&mut self, veto: Veto) {
        let devices: Vec<usize> = veto.devices.into_iter().map(index_of).collect();
        let named = |no: &No| devices.is_empty() || no.device.is_some_and(|device| devices.contains(&device));
        let (lifted, nos) =
            std::mem::take(&mut self.consents.nos).into_iter().partition(|no| named(no) && no.within(&veto.targets));
        self.consents.nos = nos;
        let lifted: Vec<No> = lifted;
        for allowed in self.consents.of_request.values_mut() {
            lifted.iter().for_each(|no| allowed.contested &= !no.packets());
        }
    }

    fn put(&mut self, client: usize, mid: u32, scope: &Scope, lifetime: u64) {
        let now = self.house.now;
        let client = &clients()[client];
        let before = self.house.ledger.of_client(client).map(|m| (m.id(), m.scope().clone())).collect();
        if let Ok(grant) = self.house.ledger.put(client, mid, scope, Some(seconds(lifetime)), false, now)
            && grant.created
        {
            self.consents.succeed(grant.id, scope, &before, &self.house.ledger);
        }
    }

    fn found(&mut self, which: usize, suspects: &[(usize, Confidence)]) {
        let Some(id) = self.id(which) else { return };
        for (device, confidence) in suspects {
            let known = self.consents.found.entry((id, *device)).or_insert(*confidence);
            *known = (*known).max(*confidence);
        }
        let suspects: Vec<Suspect> =
            suspects.iter().map(|(device, confidence)| suspect(DEVICES[*device], *confidence)).collect();
        self.house.ledger.handle_attribution(id, suspects, self.house.now);
    }

    fn spoofed(&mut self, which: usize, device: usize, sends: bool) {
        let Some(about) = self.about(which) else { return };
        let Some(m) = self.house.ledger.get(about.id) else { return };
        let suspected = m.suspects().iter().any(|suspect| suspect.mac == DEVICES[device]);
        let acts_on_sender = about.acted_upon && m.chosen().contains(&DEVICES[device]) && sends;
        self.house.ledger.handle_spoofed(about.id, DEVICES[device], sends, self.house.now);
        if suspected && !acts_on_sender && self.consents.spoofed.insert((about.id, device)) {
            self.consents.found.insert((about.id, device), Confidence::Possible);
            self.consents.of_request.entry(about.id).or_default().forget(device_bits(device));
            self.consents.refuse(&about, &[device], self.house.now);
        }
    }

    /// The page shows a request, its suspects and its action; a yes is to that.
    fn approve(
        &mut self,
        which: usize,
        action: Option<Action>,
        devices: &[usize],
        lifetime: Option<Duration>,
        until: Option<Until>,
    ) {
        let Some(m) = self.id(which).and_then(|id| self.house.ledger.get(id)) else { return };
        let (id, shown, action_shown) = (m.id(), m.scope().clone(), action.unwrap_or(m.action()));
        let policy = self.house.ledger.policy();
        let exempt = |mac: &Mac| policy.devices.get(mac) == Some(&DevicePolicy::Exempt);
        let suspects: Vec<usize> = m.suspects().iter().filter(|s| !exempt(&s.mac)).map(|s| index_of(s.mac)).collect();
        let meant = if devices.is_empty() { suspects } else { devices.to_vec() };
        let macs: Vec<Mac> = devices.iter().map(|device| DEVICES[*device]).collect();
        let (now, asked, goes_on) = (self.house.now, m.asked(), m.state().in_force());
        let Some(term) = Term::new(until, lifetime) else { return };
        if self.house.ledger.approve(id, action, &macs, term, "root", now).is_ok() {
            let allowed = self.consents.of_request.entry(id).or_default();
            let own = action_shown == Action::Quarantine || !asked || (goes_on && allowed.lasts.is_some());
            match (until, lifetime) {
                (None, None) if goes_on && allowed.lasts.is_some() => {}
                (Some(Until::Request), _) => allowed.lasts = None,
                (_, Some(time)) if own || until.is_some() => allowed.lasts = Some(Lasts::Until(now.instant + time)),
                (_, None) if own || until.is_some() => allowed.lasts = Some(Lasts::UntilEnded),
                _ => allowed.lasts = None,
            }
            for device in &meant {
                allowed.by_person |= effect(*device, action_shown, &shown);
                allowed.contested &= !device_bits(*device);
            }
            let said_otherwise = |no: &No| no.device.is_none_or(|device| meant.contains(&device));
            self.consents.nos.retain(|no| !(said_otherwise(no) && no.within(&shown.target_prefixes)));
        }
    }

    fn restart(&mut self) {
        let content = snapshot::encode(&self.house.ledger.snapshot(self.house.now));
        let mut ledger = Ledger::new(self.house.ledger.policy().clone());
        ledger.restore(&snapshot::decode(&content).unwrap(), self.house.now);
        self.house.ledger = ledger;
    }

    /// Whatever is dropped is covered.
    fn check(&self, step: &Step) {
        let desired = self.house.ledger.desired(self.house.now);
        for (owner, dropped) in dropped(&desired) {
            let allowed = match owner {
                Owner::Administrator => self.consents.own,
                Owner::Mitigation(id) => self.consents.of_request.get(&id).copied().unwrap_or_default().all(),
            };
            assert_eq!(dropped & !allowed, 0, "{owner:?} drops more than was consented to, after {step:?}");
        }
    }
}

/// What is dropped, by whom it is dropped for.
fn dropped(desired: &Desired) -> Vec<(Owner, Packets)> {
    let mut all = Vec::new();
    for block in &desired.blocks {
        for mac in &block.devices {
            all.push((Owner::Mitigation(block.id), effect(index_of(*mac), Action::Block, &block.scope)));
        }
    }
    for quarantined in &desired.quarantined {
        all.push((quarantined.owner, device_bits(index_of(quarantined.mac))));
    }
    all
}

fn world() -> World {
    let rules = Policy { consent_timeout: Some(seconds(300)), max_lifetime: seconds(200_000), ..policy(Consent::Ask) };
    World { house: TestRouter::by_hand(rules), consents: Consents::default() }
}

pub fn run(steps: &[Step]) -> World {
    let mut world = world();
    for step in steps {
        world.take(step);
        world.check(step);
    }
    world
}
