//! A person's decision is the person's: it holds as long as the person said, whatever becomes of the provider's request.
//!
//! What the policy has decided holds as long as the provider asks for it. A person may have chosen otherwise: then the
//! mitigation goes on without its request, with the devices that a person has approved and no others. Where it does not
//! go on, but the device does, a person is asked.

use std::time::{Duration, Instant};

use super::consent::{Action, Denied};
use super::drop_stats::DropStats;
use super::history::Happened;
use super::ledger::{LONGEST, Ledger};
use super::lifecycle::Mitigation;
use super::outbox::Event;
use super::phase::{Approval, Check, Phase};
use super::state::State;
use super::term::{Term, Until};
use crate::model::{MitigationId, Now, Traffic};

/// How long the question waits whether a device goes on unhindered whose provider no longer asks.
const QUESTION: Duration = Duration::from_secs(24 * 60 * 60);
/// Such questions kept; the oldest gives way.
const MOST_QUESTIONS: usize = 16;

impl Mitigation {
    /// Whether its provider still asks for it. If not it is the administrator's own.
    pub fn asked(&self) -> bool {
        self.asked
    }

    /// Until when it goes on.
    pub fn until(&self) -> Until {
        self.until
    }

    /// What is left of the time that a person has chosen.
    pub fn left(&self, now: Now) -> Option<Duration> {
        let limit = self.limit.filter(|_| self.until == Until::Time)?;
        Some(limit.saturating_duration_since(now.instant))
    }

    /// What is left of the provider's request, or of the period after a withdrawal; zero where it no longer asks.
    pub fn remaining(&self, now: Now) -> Duration {
        if self.asked { self.ends.saturating_duration_since(now.instant) } else { Duration::ZERO }
    }

    /// How long rules must stand: [`Duration::MAX`] where only a person ends it. What nobody but the policy has decided
    /// holds as long as the provider asks.
    pub(super) fn stands(&self, now: Now) -> Duration {
        let asked = self.ends.saturating_duration_since(now.instant);
        let by_person = self.phase.approval().is_some_and(Approval::is_by_person);
        match self.until {
            Until::Ended if by_person => Duration::MAX,
            Until::Time if by_person => self.left(now).map_or(asked, |left| left.max(asked)),
            _ => asked,
        }
    }

    /// When it ends by itself, without a request.
    pub(super) fn own_end(&self, now: Now) -> Instant {
        let limit = self.limit.filter(|_| self.until == Until::Time);
        limit.unwrap_or_else(|| now.instant + LONGEST)
    }

    /// What a person wants to go on without the request.
    fn own_phase(&self, now: Now) -> Option<Phase> {
        let lasts = self.until == Until::Ended || self.left(now).is_some_and(|left| !left.is_zero());
        let mut approval = self.phase.approval().filter(|_| lasts && self.asked)?.clone();
        approval.devices.retain(|mac| approval.confirmed.contains(mac));
        let verified = self.phase.verified();
        let check = match self.phase {
            Phase::InForce { check, .. } => check,
            _ if verified => Check::Verified,
            _ => Check::Unverified,
        };
        (!approval.devices.is_empty()).then_some(Phase::InForce { approval, check })
    }

    /// Whether the devices acted upon have not stopped.
    fn goes_on(&self, now: Now) -> bool {
        self.asked && self.state().in_force() && !self.chosen().is_empty() && self.drops.matches(now.instant)
    }
}

impl Ledger {
    /// A request is over: what a person wants to go on does.
    pub(super) fn end_of_request(&mut self, id: MitigationId, happened: Happened, now: Now) {
        let phase = self.get(id).and_then(|m| m.own_phase(now));
        match (phase, self.mitigations.get_mut(&id)) {
            (Some(phase), Some(m)) => {
                let last = m.clone();
                (m.phase, m.ends) = (phase, m.own_end(now));
                self.outbox.record(m, Happened::Kept, now);
                self.leave_to_person(last);
            }
            _ => self.remove(id, happened, now),
        }
    }

    /// The time of a request is over, or that of what a person has made of it. Where nothing goes on but the device, what to do
    /// about it is a person's question.
    pub(super) fn end_of_time(&mut self, id: MitigationId, now: Now) {
        let left = self.get(id).filter(|m| m.own_phase(now).is_none() && m.goes_on(now)).cloned();
        self.end_of_request(id, Happened::Expired, now);
        let Some(mut question) = left else { return };
        let devices = question.chosen().to_vec();
        question.suspects.retain(|suspect| devices.contains(&suspect.mac));
        (question.asked, question.until, question.limit) = (false, Until::Request, None);
        (question.inherited, question.ends) = (None, now.instant + QUESTION);
        question.conflicts.clear();
        question.drops = DropStats::resumed(question.drops.dropped, Traffic::default());
        question.expire();
        if self.ended.len() == MOST_QUESTIONS {
            self.ended.remove(0);
        }
        self.ended.push(question);
    }

    /// What ended within a day because no provider asks any more, while the device was still sending.
    pub fn ended(&self) -> impl Iterator<Item = &Mitigation> {
        self.ended.iter()
    }

    /// Makes one of those questions a mitigation again, for a person to decide about. Returns whether it was one.
    pub(super) fn take_up(&mut self, id: MitigationId) -> bool {
        let Some(at) = self.ended.iter().position(|m| m.id == id) else { return false };
        let m = Mitigation { phase: Phase::Pending { asked: None, remind: None }, ..self.ended.remove(at) };
        self.mitigations.insert(id, m);
        self.outbox.events.push_back(Event::Search(id));
        true
    }

    /// Nobody has decided about it after all.
    pub(super) fn put_back(&mut self, id: MitigationId) {
        if let Some(mut m) = self.mitigations.remove(&id) {
            self.outbox.events.pop_back();
            m.expire();
            self.ended.push(m);
        }
    }

    /// Forgets questions that are none any more.
    pub(super) fn forget_ended(&mut self, moot: impl Fn(&Mitigation) -> bool) {
        self.ended.retain(|m| !moot(m));
    }

    /// The provider is told that its request is over; the mitigation is the administrator's from now on. `last`: as it was.
    fn leave_to_person(&mut self, mut last: Mitigation) {
        let id = last.id;
        self.forget_conflicts(&last);
        if let Some(m) = self.mitigations.get_mut(&id) {
            (m.asked, m.inherited) = (false, None);
            m.conflicts.clear();
            self.outbox.decided(m);
        }
        last.expire();
        self.outbox.events.push_back(Event::Gone(Box::new(last)));
        // The search goes on for it: another device may send in the name of one that is acted upon.
        self.outbox.events.push_back(Event::Search(id));
        self.outbox.events.retain(|event| !matches!(event, Event::Changed(known) if *known == id));
        self.outbox.changed(id);
    }

    /// Notes until when a person wants it to go on. Returns whether that is new.
    ///
    /// # Errors
    /// [`Denied::NotInThisState`]: as long as a provider asks that no longer does, or is about to end.
    pub(super) fn set_until(&mut self, id: MitigationId, action: Action, term: Term, now: Now) -> Result<bool, Denied> {
        let m = self.mitigations.get_mut(&id).ok_or(Denied::NoSuchMitigation)?;
        let chosen = Some(m.until).filter(|_| m.state().in_force());
        let until = term.until(action, m.asked, chosen);
        if until == Until::Request && (!m.asked || m.state() == State::Terminating) {
            return Err(Denied::NotInThisState);
        }
        let limit = term.limit(now);
        let changed = limit.is_some() || until != m.until;
        if changed {
            (m.until, m.limit) = (until, limit);
            m.ends = if m.asked { limit.map_or(m.ends, |limit| limit.min(m.ends)) } else { m.own_end(now) };
            self.outbox.decided(m);
        }
        Ok(changed)
    }
}
