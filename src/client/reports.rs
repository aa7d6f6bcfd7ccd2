//! What a router reports of mitigations: asked for, observed, put together from blocks, and kept fresh.

use std::time::{Duration, Instant};

use crate::coap::{Code, Method, Request, Response};
use crate::signal::body::Report;

use super::assembly::{Assembly, Piece};
use super::pending::{Expected, PendingRequest};
use super::records::MitigationRecord;
use super::session::{Event, Session};

/// Status 3: the attack has stopped, the client withdraws (RFC 9132 section 4.4.2.2).
const ATTACK_STOPPED: u8 = 3;
/// Ended mitigations that are still shown.
const MOST_ENDED: usize = 64;
/// Before all that the router knows is asked for once more where its pieces did not fit together, and how often.
const ASK_ANEW: Duration = Duration::from_secs(10);
const MOST_ANEW: u8 = 3;
impl Session {
    /// Asks for what is not fresh any more, and ends what the router says nothing of and whose time is over.
    pub(super) fn look_at_records(&mut self, now: Instant) {
        let is_due = |due: Option<Instant>| due.is_some_and(|due| due <= now);
        let mut ask = Vec::new();
        for (mid, known) in &mut self.mitigations {
            if is_due(known.over_at()) {
                known.handle_over();
                self.events.push_back(Event::Reported(*mid));
            } else if is_due(known.asks_at()) {
                known.handle_asked(now);
                ask.push(*mid);
            }
        }
        for mid in ask {
            self.ask_report(mid, now);
        }
        self.forget_old();
    }

    /// Asks once where the router notifies us, as it may have forgotten to; asks to be notified where it does not.
    fn ask_report(&mut self, mid: u32, now: Instant) {
        let asked = |pending: &PendingRequest| matches!(pending.expected, Expected::Report(asked, _) if asked == mid);
        let observed =
            |pending: &PendingRequest| matches!(pending.expected, Expected::Observation(seen) if seen == mid);
        let takes_options = self.mitigations.get(&mid).is_none_or(|known| known.takes_options);
        if self.pending.iter().any(asked) {
        } else if takes_options && !self.pending.iter().any(observed) {
            self.observe(mid, now);
        } else {
            self.send(self.ask_reports(Some(mid)), Expected::Report(mid, Assembly::default()), now);
        }
    }

    pub(super) fn ask_all(&mut self, now: Instant) {
        self.send(self.ask_reports(None), Expected::All(Assembly::default()), now);
    }

    /// A request for one mitigation as far as we don't know it, which spares the path in an attack (RFC 9132 section 4.4.2),
    /// or for all.
    pub(super) fn ask_reports(&self, mid: Option<u32>) -> Request {
        let takes_options = |mid: &u32| self.mitigations.get(mid).is_none_or(|known| known.takes_options);
        let query = mid.filter(takes_options).map(|_| "c=n".to_owned()).into_iter().collect();
        Request { query, ..Request::new(Method::Get, &self.mitigate(mid)) }
    }

    pub(super) fn observe(&mut self, mid: u32, now: Instant) {
        let request = Request { observe: Some(0), ..self.ask_reports(Some(mid)) };
        self.send(request, Expected::Observation(mid), now);
    }

    /// The content as a whole; where more blocks are to come, the next one is asked for (RFC 7959 section 2.4).
    pub(super) fn whole(
        &mut self,
        mid: Option<u32>,
        body: Assembly,
        response: Response,
        now: Instant,
    ) -> Option<Response> {
        let (block, assembly) = match body.add(response) {
            Piece::Whole(response) => return Some(response),
            Piece::Next(block, assembly) => (block, assembly),
            Piece::Broken if mid.is_some() => return None,
            Piece::Broken => {
                self.ask_all_anew(now);
                return None;
            }
        };
        let request = Request { block2: Some(block), ..self.ask_reports(mid) };
        let expected = match mid {
            Some(mid) => Expected::Report(mid, assembly),
            None => Expected::All(assembly),
        };
        self.pending.retain(|pending| match (&pending.expected, &expected) {
            (Expected::Report(former, _), Expected::Report(mid, _)) => former != mid,
            _ => true,
        });
        self.send(request, expected, now);
        None
    }

    pub(super) fn ask_all_anew(&mut self, now: Instant) {
        self.anew.1 += 1;
        if self.anew.1 <= MOST_ANEW {
            self.anew.0 = Some(now + ASK_ANEW);
        } else {
            self.unreadable(None, "its blocks do not fit together".to_owned());
            self.handle_known();
        }
    }

    fn unreadable(&mut self, mid: Option<u32>, why: String) {
        self.events.push_back(Event::Unreadable(mid, why));
    }

    fn handle_known(&mut self) {
        if !std::mem::replace(&mut self.is_known, true) {
            self.events.push_back(Event::Known);
        }
    }

    pub(super) fn all_reported(&mut self, response: &Response, now: Instant) {
        let is_later = response.code.is_server_error() || response.code == Code::TOO_MANY_REQUESTS;
        if is_later && self.anew.1 < MOST_ANEW {
            return self.ask_all_anew(now);
        }
        let reports = match Report::parse_all(&response.payload) {
            _ if response.code != Code::CONTENT => Vec::new(),
            Ok(reports) => reports,
            Err(why) => {
                self.unreadable(None, why.to_string());
                Vec::new()
            }
        };
        for report in reports {
            if let Some(mid) = report.mid {
                self.observe(mid, now);
                self.take_report(mid, report, None, now);
                self.events.push_back(Event::Reported(mid));
            }
        }
        self.choose_parameters(now);
        self.handle_known();
    }

    /// A notification, or the answer to a question about one mitigation.
    pub(super) fn mid_reported(&mut self, mid: u32, body: Assembly, response: Response, now: Instant) {
        let Some(response) = self.whole(Some(mid), body, response, now) else { return };
        if !response.code.is_success() {
            if let Some(known) = self.mitigations.get_mut(&mid) {
                known.take_error(&response, now);
            }
            self.forget_old();
        } else {
            match Report::parse_all(&response.payload) {
                // What speaks of others is no answer.
                Ok(reports) => {
                    if let Some(report) = reports.into_iter().find(|report| report.mid.is_none_or(|told| told == mid)) {
                        self.take_report(mid, report, response.max_age, now);
                    }
                }
                Err(why) => self.unreadable(Some(mid), why.to_string()),
            }
        }
        self.choose_parameters(now);
        self.events.push_back(Event::Reported(mid));
    }

    fn take_report(&mut self, mid: u32, report: Report, max_age: Option<u32>, now: Instant) {
        let known = self.mitigations.entry(mid).or_insert_with(|| MitigationRecord::new(Report::default(), now));
        let stopped = report.status == Some(ATTACK_STOPPED) && known.report.status != Some(ATTACK_STOPPED);
        known.take(report, max_age, now);
        if let (Some(scope), Some(conflict)) = (known.report.scope.clone(), known.report.conflict.clone()) {
            self.withhold(&scope, &conflict, now);
        }
        if stopped {
            self.delete(None, mid, now);
        }
    }

    fn forget_old(&mut self) {
        let ended: Vec<u32> = self.mitigations.iter().filter(|(_, known)| known.ended).map(|(mid, _)| *mid).collect();
        for mid in ended.iter().take(ended.len().saturating_sub(MOST_ENDED)) {
            self.mitigations.remove(mid);
        }
    }
}
