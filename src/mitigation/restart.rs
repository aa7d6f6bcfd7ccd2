//! The ledger over a restart of the daemon or the router.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::drop_stats::DropStats;
use super::history::Happened;
use super::ledger::{LONGEST, Ledger, ManualQuarantine};
use super::lifecycle::{Mitigation, TERMINATING, TERMINATING_MAX};
use super::outbox::Event;
use super::phase::{Approval, Check, Ending, Phase};
use super::restored::Restored;
use super::snapshot::{SavedDevices, SavedMitigation, SavedNarrowing, SavedQuarantine, Snapshot};
use super::state::{Decision, State};
use super::term::Until;
use super::vetoes::saved;
use crate::model::{ClockSet, Mac, MitigationId, Now};
use crate::source::Suspect;

/// No clock that is right says less than this, seconds since 1970: the beginning of 2025.
const KNOWN: u64 = 1_735_689_600;

impl Ledger {
    /// What has to be written whenever [`Ledger::generation`] has risen: what has been decided, and what is needed to
    /// enforce it. Nothing that is still open is in it: its provider asks again, and costs no flash.
    pub fn snapshot(&self, now: Now) -> Snapshot {
        let quarantines = self.quarantines.iter().map(|(mac, quarantine)| SavedQuarantine {
            mac: *mac,
            remaining: quarantine.ends.map(|ends| ends.saturating_duration_since(now.instant).as_secs()),
            decision: quarantine.decision.clone(),
        });
        Snapshot {
            saved: now.unix,
            next: self.next.0,
            mitigations: self.all().filter(|m| m.is_decided()).map(|m| save(m, now)).collect(),
            quarantines: quarantines.collect(),
            incidents: Some(self.incidents.newest_first().cloned().collect::<Vec<_>>()).filter(|all| !all.is_empty()),
            vetoes: Some(self.vetoes.iter().map(|veto| saved(veto, now)).collect()),
        }
    }

    /// Restores what was in force before. What was decided holds, but is to be verified anew; what was open is searched
    /// for again. The time since counts as far as the clock tells it: a clock that was set back prolongs nothing beyond
    /// what had been left, and one that had never been set ends nothing.
    pub fn restore(&mut self, snapshot: &Snapshot, now: Now) {
        let passed = passed(snapshot.saved, now.unix);
        let left =
            |seconds: u64| Some(seconds.saturating_sub(passed)).filter(|left| *left > 0).map(Duration::from_secs);
        for saved in &snapshot.mitigations {
            let time = saved.limit.filter(|_| saved.until == Some(Until::Time)).and_then(left);
            // What a person wants to go on does so also where the request has ended meanwhile.
            let lasts = saved.until == Some(Until::Ended) || time.is_some();
            if let Some(lifetime) = left(saved.remaining).or(lasts.then_some(Duration::ZERO)) {
                self.restore_mitigation(saved, lifetime.min(self.policy.max_lifetime).min(LONGEST), passed, now);
                self.end_what_is_over(MitigationId(saved.id), now);
            }
        }
        for saved in &snapshot.quarantines {
            let lasts = saved.remaining.is_none_or(|seconds| left(seconds).is_some());
            if lasts && !self.policy.exempts(saved.mac) && !self.router.contains(&saved.mac) {
                let ends = saved.remaining.and_then(left).and_then(|left| now.instant.checked_add(left));
                self.quarantines.insert(saved.mac, ManualQuarantine { ends, decision: saved.decision.clone() });
            }
        }
        let chosen = self.all().flat_map(Mitigation::chosen).copied();
        self.known_devices = chosen.chain(self.quarantines.keys().copied()).collect();
        self.incidents.restore(snapshot.incidents.as_deref().unwrap_or_default());
        self.restore_vetoes(snapshot.vetoes.as_deref().unwrap_or_default(), now);
        self.next = self.next.max(MitigationId(snapshot.next));
        let lifetimes = self.all().map(|m| (m.id, m.ends)).collect();
        let quarantines =
            self.quarantines.iter().filter_map(|(mac, quarantine)| Some((*mac, quarantine.ends?))).collect();
        self.restored = Some(Restored { saved: snapshot.saved, at: now.instant, passed, lifetimes, quarantines });
        self.outbox.enforce();
    }

    /// The request may have ended meanwhile.
    fn end_what_is_over(&mut self, id: MitigationId, now: Now) {
        if self.get(id).is_some_and(|m| m.ends <= now.instant) {
            self.end_of_request(id, Happened::Expired, now);
        }
    }

    /// The clock has been set. A router without a battery starts in the past and learns the time later: only then is known how
    /// long it was off, and what was restored ends that much earlier. Dates given since are put right, what is kept too.
    pub fn handle_clock_set(&mut self, set: &ClockSet, now: Now) {
        for m in self.mitigations.values_mut() {
            m.dates().for_each(|date| set.correct(date));
        }
        self.quarantines.values_mut().for_each(|quarantine| set.correct(&mut quarantine.decision.at));
        self.vetoes.iter_mut().for_each(|veto| set.correct(&mut veto.decision.at));
        self.incidents.handle_clock_set(set);
        self.outbox.history.dates().for_each(|date| set.correct(date));
        if let Some(mut restored) = self.restored.take() {
            let running = now.instant.saturating_duration_since(restored.at).as_secs();
            let passed = passed(restored.saved, now.unix.saturating_sub(running));
            let more = Duration::from_secs(passed.saturating_sub(restored.passed));
            if !more.is_zero() {
                self.age(&mut restored, more, now);
                restored.passed = passed;
            }
            self.restored = Some(restored);
        }
        if self.all().any(Mitigation::is_decided) || !self.quarantines.is_empty() || !self.vetoes.is_empty() {
            self.outbox.persist_later();
        }
    }

    /// Makes everything end earlier, but for what has been granted anew since.
    fn age(&mut self, restored: &mut Restored, more: Duration, now: Now) {
        let earlier = |ends: Instant| ends.checked_sub(more).map_or(now.instant, |ends| ends.max(now.instant));
        for (id, ends) in &mut restored.lifetimes {
            let Some(m) = self.mitigations.get_mut(id) else { continue };
            m.limit = m.limit.map(earlier);
            if m.ends == *ends {
                *ends = earlier(*ends);
                m.ends = *ends;
            }
            m.ends = m.limit.map_or(m.ends, |limit| limit.min(m.ends));
            self.outbox.changed(*id);
        }
        for (mac, ends) in &mut restored.quarantines {
            if let Some(quarantine) = self.quarantines.get_mut(mac).filter(|quarantine| quarantine.ends == Some(*ends))
            {
                *ends = earlier(*ends);
                quarantine.ends = Some(*ends);
            }
        }
        self.outbox.enforce();
    }

    fn restore_mitigation(&mut self, saved: &SavedMitigation, lifetime: Duration, passed: u64, now: Now) {
        let id = MitigationId(saved.id);
        let asked = saved.asked.unwrap_or(true);
        let known = self.get(id).is_some() || asked && self.find(&saved.client, saved.mid).is_some();
        let Some(scope) = saved.scope.scope().filter(|_| !known) else { return };
        let mut m = Mitigation::new(id, saved.client.clone(), saved.mid, scope, lifetime, saved.action, now);
        m.phase = self.saved_phase(saved);
        m.most_suspects = self.most_suspects(&saved.client.peer);
        m.names_forgotten = true;
        if m.state() != State::Searching {
            m.started = saved.started;
            m.learn(saved.suspects.iter().map(Suspect::from).collect());
        }
        m.requested = saved.requested;
        m.granted = Duration::from_secs(saved.granted).min(LONGEST);
        let bound = saved.limit.map(|limit| Duration::from_secs(limit.saturating_sub(passed)));
        m.limit = bound.and_then(|bound| now.instant.checked_add(bound));
        (m.asked, m.until) = (asked, saved.until.unwrap_or(Until::Request));
        if !asked {
            m.ends = m.own_end(now);
        }
        m.period = Duration::from_secs(saved.period).clamp(TERMINATING, TERMINATING_MAX);
        m.released.clone_from(&saved.released);
        let narrowed = saved.narrowed.iter().flatten().map(|of| (of.mac, of.addresses.clone()));
        m.narrowed = narrowed.filter(|(_, addresses)| !addresses.is_empty()).collect();
        m.drops = DropStats::resumed(saved.dropped(), saved.reading());
        self.next = self.next.max(MitigationId(saved.id.wrapping_add(1)));
        self.outbox.changed(id);
        if matches!(m.state(), State::Searching | State::Active) {
            self.outbox.events.push_back(Event::Search(id));
        }
        self.note_conflicts(&mut m);
        self.mitigations.insert(id, m);
        self.apply_policy(id, now);
    }

    /// What was decided holds, but has to be verified anew; without a decision or devices it is searched for again.
    fn saved_phase(&self, saved: &SavedMitigation) -> Phase {
        let mut devices = saved.chosen.clone();
        devices.retain(|mac| !self.router.contains(mac));
        let ending = match saved.state {
            State::Rejected => Ending::Rejected,
            State::Withdrawn => Ending::Withdrawn,
            state => {
                let decision = saved.decision.clone().filter(|_| !devices.is_empty());
                return match (state, decision.map(|decision| approval(saved, decision, devices))) {
                    (State::Active | State::Stopped, Some(approval)) => {
                        Phase::InForce { approval, check: Check::Unverified }
                    }
                    (State::Terminating, Some(approval)) => Phase::Terminating { approval, verified: false },
                    _ => Phase::Searching { assessed: false },
                };
            }
        };
        Phase::Ended { ending, decision: saved.decision.clone(), devices }
    }
}

/// An approval as kept. Who approved which device was not kept at first: a decision of a person was one about all.
fn approval(saved: &SavedMitigation, decision: Decision, devices: Vec<Mac>) -> Approval {
    let confirmed = match &saved.confirmed {
        Some(SavedDevices(confirmed)) => confirmed.clone(),
        None if decision.is_by_person() => devices.clone(),
        None => Vec::new(),
    };
    Approval { decision, devices, confirmed }
}

/// Seconds since a moment that was `saved` when it is `unix`. A clock that did not know the time then says nothing.
fn passed(saved: u64, unix: u64) -> u64 {
    if saved < KNOWN { 0 } else { unix.saturating_sub(saved) }
}

fn narrowing((mac, addresses): (&Mac, &Vec<IpAddr>)) -> SavedNarrowing {
    SavedNarrowing { mac: *mac, addresses: addresses.clone() }
}

fn save(m: &Mitigation, now: Now) -> SavedMitigation {
    SavedMitigation {
        id: m.id.0,
        client: m.client.clone(),
        mid: m.mid,
        state: m.state(),
        scope: (&m.scope).into(),
        requested: m.requested,
        granted: m.granted.as_secs(),
        remaining: m.ends.saturating_duration_since(now.instant).as_secs(),
        limit: m.limit.map(|limit| limit.saturating_duration_since(now.instant).as_secs()),
        period: m.period.as_secs(),
        action: m.action,
        suspects: m.suspects.iter().filter(|suspect| m.chosen().contains(&suspect.mac)).map(Into::into).collect(),
        chosen: m.chosen().to_vec(),
        released: m.released.clone(),
        decision: m.decision().cloned(),
        started: m.started,
        dropped: (m.drops.dropped.packets, m.drops.dropped.bytes),
        reading: Some(m.drops.reading()).map(|reading| (reading.packets, reading.bytes)),
        until: Some(m.until).filter(|until| *until != Until::Request),
        asked: (!m.asked).then_some(false),
        narrowed: (!m.narrowed.is_empty()).then(|| m.narrowed.iter().map(narrowing).collect()),
        confirmed: m.phase.approval().map(|approval| SavedDevices(approval.confirmed.clone())),
    }
}
