//! What a router says of the requests it was sent, and what that means for the wishes they are for.

use crate::model::Scope;
use crate::signal::body::Report;

use super::super::refusal::{RequestFailure, Verdict, conflict_text};
use super::record::{Action, Answer, Phase, Sent, Subject, Wish, WishId, WishState};
use super::router::{About, Actions, DAY, RouterWishes, Unwanted};
use super::scopes::{covers, overlap, serves, sources_meet};

/// Seconds before what nobody answered, or the router has lost, is asked again.
const AGAIN: u64 = 60;

/// Statuses of RFC 9132 section 4.4.2.
const MITIGATED: u8 = 2;
const STOPPED: u8 = 3;
const TERMINATING: u8 = 5;
const TERMINATED: u8 = 6;
const WITHDRAWN: u8 = 7;

impl RouterWishes {
    /// The router has called, and has yet to say what it knows.
    pub(super) fn handle_came(&mut self) {
        self.is_up = true;
        self.link = None;
    }

    /// The router has said all it knows.
    pub(super) fn handle_known(&mut self, known: &[(u32, Report)], limit: usize, now: u64, out: &mut Actions) {
        (self.is_up, self.link) = (true, Some(limit));
        self.refreshing.clear();
        self.held.clear();
        self.unwanted.clear();
        let highest = known.iter().map(|(mid, _)| *mid).max();
        if let Some(highest) = highest {
            self.numbers.raise(highest);
        }
        let mids: Vec<u32> = self.sent.keys().copied().collect();
        for mid in mids.into_iter().filter(|mid| !known.iter().any(|(known, _)| known == mid)) {
            self.drop_sent(mid, out);
        }
        for (mid, report) in known {
            match self.sent.get(mid).map(|sent| sent.phase) {
                Some(Phase::Withdrawn) if report.status == Some(TERMINATING) => self.drop_sent(*mid, out),
                Some(Phase::Withdrawn) => {
                    out.push(Action::Withdraw { router: self.name.clone(), mid: *mid });
                }
                Some(phase) => {
                    if phase == Phase::Asked {
                        self.handle_granted(*mid, report.lifetime, now, out);
                    }
                    self.handle_report(*mid, report, now, out);
                }
                None => self.note_unwanted(*mid, report, now),
            }
        }
    }

    fn note_unwanted(&mut self, mid: u32, report: &Report, now: u64) {
        let scope = report.scope.clone().filter(|s| !s.target_prefixes.is_empty() && !s.source_prefixes.is_empty());
        if let (Some(scope), Some(1 | 2 | 4) | None) = (scope, report.status) {
            self.unwanted.insert(mid, Unwanted { scope, until: end(report.lifetime, now).unwrap_or(Some(now + DAY)) });
        }
    }

    /// The router is gone.
    pub(super) fn handle_gone(&mut self) {
        (self.is_up, self.link) = (false, None);
    }

    /// The router has taken a request on, for so many seconds.
    pub(super) fn handle_granted(&mut self, mid: u32, lifetime: Option<i64>, now: u64, out: &mut Actions) {
        let Some(sent) = self.sent.get(&mid).filter(|sent| sent.phase != Phase::Withdrawn).cloned() else { return };
        let until = end(lifetime, now).unwrap_or_else(|| self.wanted_until(&sent.scope));
        self.refreshing.remove(&mid);
        self.keep_sent(Sent { phase: Phase::Granted { at: now, until }, ..sent }, out);
    }

    /// The router has not taken a request on, or not for longer.
    pub(super) fn handle_refused(&mut self, mid: u32, why: &RequestFailure, now: u64, out: &mut Actions) {
        let Some(sent) = self.sent.get(&mid).filter(|sent| sent.phase != Phase::Withdrawn).cloned() else { return };
        let was_granted = matches!(sent.phase, Phase::Granted { .. });
        match why.verdict() {
            // What nobody answered may be known to the router all the same: what it reports when it calls again tells.
            Verdict::Unheard if self.link.is_none() => {}
            Verdict::Later(seconds) if was_granted => {
                self.refreshing.remove(&mid);
                let phase = Phase::Granted { at: now, until: Some(now + u64::from(seconds) * 4 / 3) };
                self.sent.insert(mid, Sent { phase, ..sent });
            }
            Verdict::Unheard => self.lose(mid, now + AGAIN, out),
            Verdict::Later(seconds) => {
                self.tell_waiting(&sent.scope, &why.to_string(), out);
                self.lose(mid, now + u64::from(seconds), out);
            }
            // It does not know any more what it has taken on.
            Verdict::Refused if was_granted => self.lose(mid, now, out),
            Verdict::Refused => self.decline(mid, &why.to_string(), now, out),
            Verdict::Declined(seconds) => {
                self.decline(mid, &why.to_string(), now + seconds.map_or(DAY, u64::from), out)
            }
        }
    }

    /// A request is no more though it is wanted: it is asked for again then, under another number. What another request is
    /// for as well goes on: a router may end the older of two before it answers the younger.
    fn lose(&mut self, mid: u32, again: u64, out: &mut Actions) {
        let Some(sent) = self.sent.get(&mid) else { return };
        let lasts =
            |wish: &Wish| self.serving(&wish.scope).any(|other| other.mid != mid && other.phase != Phase::Withdrawn);
        let lost = self.wanted().filter(|wish| serves(&sent.scope, &wish.scope) && !lasts(wish));
        let lost: Vec<WishId> = lost.map(|wish| wish.id).collect();
        self.held.extend(lost.into_iter().map(|id| (id, again)));
        self.drop_sent(mid, out);
    }

    fn tell_waiting(&mut self, scope: &Scope, why: &str, out: &mut Actions) {
        let wishes = self.wishes_of(scope);
        for waiting in self.waiting.extract_if(.., |w| matches!(&w.about, About::Wish(id, _) if wishes.contains(id))) {
            let About::Wish(wish, _) = waiting.about else { continue };
            let (asker, router, answer) = (waiting.asker, self.name.clone(), Answer::Waiting(why.to_owned()));
            out.push(Action::Answer { asker, router, about: Subject::Wish(wish), answer });
        }
    }

    /// Whether a request that the router has taken on covers a wish.
    fn goes_on(&self, wish: &Wish) -> bool {
        let mut serving = self.serving(&wish.scope).filter(|sent| matches!(sent.phase, Phase::Granted { .. }));
        serving.any(|sent| covers(&sent.scope, &wish.scope))
    }

    /// The router says no. What it goes on doing under another number is not meant.
    fn decline(&mut self, mid: u32, why: &str, until: u64, out: &mut Actions) {
        let Some(sent) = self.sent.get(&mid).cloned() else { return };
        self.drop_sent(mid, out);
        let wishes = self.wanted().filter(|wish| serves(&sent.scope, &wish.scope) && !self.goes_on(wish));
        let wishes: Vec<WishId> = wishes.map(|wish| wish.id).collect();
        for id in wishes {
            self.end(id, WishState::Declined { why: why.to_owned(), until }, out);
        }
    }

    /// The router reports what has become of a request.
    pub(super) fn handle_report(&mut self, mid: u32, report: &Report, now: u64, out: &mut Actions) {
        let Some(sent) = self.sent.get(&mid).cloned() else { return };
        let objection = report.conflict.as_ref().filter(|c| c.is_objection() && report.status != Some(MITIGATED));
        match (report.status, objection) {
            (Some(STOPPED), _) => {
                for id in self.wishes_of(&sent.scope) {
                    self.end(id, WishState::Stopped { at: now }, out);
                }
                // The session withdraws it by itself.
                self.keep_sent(Sent { phase: Phase::Withdrawn, ..sent }, out);
            }
            (Some(TERMINATED), _) => self.handle_ended(mid, now, out),
            (Some(WITHDRAWN), None) if sent.phase != Phase::Withdrawn => {
                self.decline(mid, "withdrawn by the router", now + DAY, out);
            }
            (_, Some(conflict)) if sent.phase != Phase::Withdrawn => {
                let why = conflict_text(conflict).unwrap_or_else(|| "a conflict".to_owned());
                self.decline(mid, &why, now + conflict.retry_timer.map_or(DAY, u64::from), out);
                self.note_unwanted(mid, &Report { scope: Some(sent.scope), ..report.clone() }, now);
            }
            _ if sent.phase != Phase::Withdrawn => self.note_lifetime(&sent, report.lifetime, now),
            _ => {}
        }
    }

    /// What is left may be less than was granted: the administrator has a say.
    fn note_lifetime(&mut self, sent: &Sent, lifetime: Option<i64>, now: u64) {
        let Some(until) = end(lifetime, now) else { return };
        let known = match sent.phase {
            Phase::Granted { until, .. } => Some(until),
            Phase::Asked | Phase::Withdrawn => None,
        };
        let differs =
            |known: Option<u64>| known.zip(until).map_or(known != until, |(one, other)| one.abs_diff(other) > 5);
        if known.is_none_or(differs) {
            self.sent.insert(sent.mid, Sent { phase: Phase::Granted { at: now, until }, ..sent.clone() });
        }
    }

    /// A request is no more.
    pub(super) fn handle_ended(&mut self, mid: u32, now: u64, out: &mut Actions) {
        self.unwanted.remove(&mid);
        match self.sent.get(&mid).map(|sent| sent.phase) {
            Some(Phase::Withdrawn) => self.drop_sent(mid, out),
            Some(Phase::Granted { .. }) if self.is_replaced(mid) => {
                self.by_target = true;
                self.drop_sent(mid, out);
            }
            Some(Phase::Granted { at, .. }) => self.lose(mid, now.max(at + AGAIN), out),
            Some(Phase::Asked) | None => {}
        }
    }

    /// Whether a younger request about the same targets and other sources has taken its place.
    fn is_replaced(&self, mid: u32) -> bool {
        let Some(sent) = self.sent.get(&mid) else { return false };
        let younger = self.sent.range(mid + 1..).filter(|(_, younger)| younger.phase != Phase::Withdrawn);
        younger
            .map(|(_, younger)| &younger.scope)
            .any(|scope| overlap(scope, &sent.scope) && !sources_meet(scope, &sent.scope))
    }

    /// The router has confirmed a withdrawal, or won't.
    pub(super) fn handle_withdrawn(&mut self, mid: u32, out: &mut Actions) {
        if self.sent.get(&mid).is_some_and(|sent| sent.phase == Phase::Withdrawn) {
            self.drop_sent(mid, out);
        }
    }
}

/// When a lifetime ends: nothing where none is told, nothing within where it does not end.
fn end(lifetime: Option<i64>, now: u64) -> Option<Option<u64>> {
    lifetime.map(|seconds| u64::try_from(seconds).ok().map(|seconds| now + seconds))
}
