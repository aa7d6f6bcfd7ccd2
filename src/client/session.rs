//! A session with one router: the Call Home DOTS client's side of the signal channel (RFC 9132, RFC 9066). No I/O.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use crate::coap::Block;
use crate::coap::{self, Broken, Code, Endpoint, Exchange, Method, Request, Response, Token};
use crate::model::Scope;
use crate::signal::body::{CUID_COLLISION, Conflict, Lifetime, MitigationRequest, REQUEST_ACTIVE, Report};
use crate::signal::liveness::Liveness;
use crate::signal::path::{BadPath, Resource};
use crate::signal::redirect::Redirect;
use crate::signal::session_config::{Parameters, SessionConfig};
use crate::signal::{DOTS_CBOR, heartbeat};
use crate::transport::identity::another_cuid;

use super::pending::{Expected, PendingRequest, Requester};
use super::refusal::RequestFailure;

/// Status 3: the attack has stopped, the client withdraws (RFC 9132 section 4.4.2.2).
const ATTACK_STOPPED: u8 = 3;
/// Status 6, terminated.
const TERMINATED: u8 = 6;
/// Ended mitigations that are still shown.
const MOST_ENDED: usize = 64;
/// Scopes the router does not want to hear of for a while.
const MOST_WITHHELD: usize = 64;
/// Before what is not answered is asked once more. Less than 3 seconds is forbidden without a measure of the round-trip time,
/// more is welcome (RFC 9132 section 4.4).
const REPEAT: Duration = Duration::from_secs(4);
/// A configuration without Max-Age is fresh for so long (RFC 9132 section 4.5.3).
const FRESH: Duration = Duration::from_secs(60);

/// What the session tells its owner.
pub enum Event {
    /// The router is there.
    Ready,
    /// A request has its answer.
    Answered(Requester, Result<Outcome, RequestFailure>),
    /// The router reported something new about this mitigation.
    Reported(u32),
    /// We go by another identifier from now on: some other client of the router has ours.
    Renamed(String),
    /// The router has been silent for too long, or leaves.
    Lost,
}

/// What an answered request has led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The router keeps the mitigation with this `mid`, or does so no more.
    Mitigation(u32),
    /// The router calls elsewhere from now on.
    Redirected,
}

/// What is known of one mitigation.
#[derive(Default)]
pub struct MitigationRecord {
    /// What the router said last.
    pub report: Report,
    /// Whether it is no more.
    pub ended: bool,
}

/// A router that has called home.
pub struct Session {
    endpoint: Endpoint,
    cuid: String,
    /// Whether that is no more the one we began with.
    renamed: bool,
    config: SessionConfig,
    /// When the configuration is no longer fresh.
    refresh: Option<Instant>,
    liveness: Liveness,
    pending: Vec<PendingRequest>,
    /// When we last sent a request that goes without acknowledgement.
    asked: Instant,
    /// What the router does not want to hear of until then.
    withheld: VecDeque<(Scope, Instant)>,
    mitigations: BTreeMap<u32, MitigationRecord>,
    events: VecDeque<Event>,
}

impl Session {
    /// Begins on an established channel.
    pub fn new(endpoint: Endpoint, cuid: String, now: Instant) -> Self {
        Self {
            endpoint,
            cuid,
            renamed: false,
            config: SessionConfig::default(),
            refresh: None,
            liveness: Liveness::new(Parameters::default(), now),
            pending: Vec::new(),
            asked: now,
            withheld: VecDeque::new(),
            mitigations: BTreeMap::new(),
            events: VecDeque::new(),
        }
    }

    /// Whether anything is being mitigated.
    pub fn is_mitigating(&self) -> bool {
        self.mitigations.values().any(|known| !known.ended)
    }

    /// All mitigations known, by `mid`.
    pub fn mitigations(&self) -> impl Iterator<Item = (u32, &MitigationRecord)> {
        self.mitigations.iter().map(|(mid, known)| (*mid, known))
    }

    /// Takes plaintext of the secure channel.
    pub fn handle_input(&mut self, plaintext: &[u8], now: Instant) -> Result<(), Broken> {
        self.liveness.handle_input(now);
        let outcome = self.endpoint.handle_input(plaintext, now);
        while let Some(event) = self.endpoint.poll_event() {
            match event {
                coap::Event::Ready => self.begin(now),
                coap::Event::Request { exchange, request } => self.handle_request(&exchange, &request, now),
                coap::Event::Response { token, response } => self.handle_response(&token, response, now),
                coap::Event::Failed { token } => self.handle_failed(&token, now),
                coap::Event::Released => self.events.push_back(Event::Lost),
            }
        }
        outcome
    }

    /// Sends a mitigation request; the answer comes as an event.
    pub fn request(&mut self, requester: Requester, mid: u32, scope: Scope, lifetime: Lifetime, now: Instant) {
        self.withheld.retain(|(_, until)| *until > now);
        if let Some((_, until)) = self.withheld.iter().find(|(withheld, _)| *withheld == scope) {
            let seconds = until.saturating_duration_since(now).as_secs();
            return self.refuse(requester, RequestFailure::Withheld(seconds));
        }
        if let Some(refusal) = RequestFailure::of_scope(&scope) {
            return self.refuse(requester, refusal);
        }
        let request = MitigationRequest { scope, lifetime: Some(lifetime), attack_status: None };
        if request.encode().len() > self.endpoint.max_payload() {
            return self.refuse(requester, RequestFailure::TooLarge);
        }
        self.put(requester, mid, Box::new(request), now);
    }

    fn refuse(&mut self, requester: Requester, why: RequestFailure) {
        self.events.push_back(Event::Answered(requester, Err(why)));
    }

    fn put(&mut self, requester: Requester, mid: u32, request: Box<MitigationRequest>, now: Instant) {
        let message = Request::new(Method::Put, &self.mitigate(Some(mid))).with_payload(DOTS_CBOR, request.encode());
        self.send(message, Expected::Put { requester, mid, request }, now);
    }

    /// Withdraws a request, though it be still on its way.
    pub fn withdraw(&mut self, requester: Requester, mid: u32, now: Instant) {
        let meant =
            |pending: &mut PendingRequest| matches!(pending.expected, Expected::Put { mid: put, .. } if put == mid);
        for requester in self.pending.extract_if(.., meant).filter_map(|pending| pending.expected.requester()) {
            self.events.push_back(Event::Answered(requester, Err(RequestFailure::Withdrawn)));
        }
        self.delete(Some(requester), mid, now);
    }

    fn delete(&mut self, requester: Option<Requester>, mid: u32, now: Instant) {
        let request = Request::new(Method::Delete, &self.mitigate(Some(mid)));
        self.send(request, Expected::Delete { requester, mid }, now);
    }

    /// Sends the router elsewhere.
    pub fn redirect(&mut self, requester: Requester, redirect: &Redirect, now: Instant) {
        let request =
            Request::new(Method::Put, &[".well-known", "dots", "redirect"]).with_payload(DOTS_CBOR, redirect.encode());
        self.send(request, Expected::Redirect(requester), now);
    }

    /// The next bytes for the secure channel.
    pub fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        self.endpoint.poll_transmit()
    }

    /// What happened next.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When [`Session::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let waits = self.pending.iter().any(|pending| pending.unanswered.is_some());
        let repeat = waits.then_some(self.asked + REPEAT);
        let (liveness, refresh) = match self.is_mitigating() {
            true => (self.liveness.poll_heartbeat(), None),
            false => (self.liveness.poll_timeout(), self.refresh),
        };
        [self.endpoint.poll_timeout(), liveness, repeat, refresh].into_iter().flatten().min()
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.endpoint.handle_timeout(now);
        while let Some(event) = self.endpoint.poll_event() {
            if let coap::Event::Failed { token } = event {
                self.handle_failed(&token, now);
            }
        }
        if self.asked + REPEAT <= now {
            self.repeat(now);
        }
        // An attack is no time for this (RFC 9132 section 4.5.3).
        if self.refresh.is_some_and(|due| due <= now) && !self.is_mitigating() {
            self.ask_config(now);
        }
        // While an attack saturates its uplink, silence of the router ends nothing (RFC 9066 section 5.2.1).
        if self.liveness.is_lost(now) && !self.is_mitigating() {
            self.events.push_back(Event::Lost);
        } else if self.liveness.is_due(now) {
            let body = heartbeat::encode(self.liveness.peer_hb_status(now));
            let request = Request::new(Method::Put, &[".well-known", "dots", "hb"]).with_payload(DOTS_CBOR, body);
            let token = self.endpoint.request(&request, now);
            self.liveness.handle_sent(token, now);
            self.asked = now;
        }
    }

    fn send(&mut self, request: Request, expected: Expected, now: Instant) {
        let token = self.endpoint.request(&request, now);
        let mut unanswered = None;
        if !request.reliable && !self.endpoint.is_stream() {
            self.asked = now;
            unanswered = Some(request);
        }
        self.pending.push(PendingRequest::new(token, expected, unanswered));
    }

    /// Asks once more what has waited longest, one request at a time however many wait; what is to be done comes before
    /// what is to be known.
    fn repeat(&mut self, now: Instant) {
        let waits = |pending: &PendingRequest| pending.unanswered.as_ref().map(|request| request.method == Method::Get);
        let position = |is_get| self.pending.iter().position(|pending| waits(pending) == Some(is_get));
        let Some(position) = position(false).or_else(|| position(true)) else { return };
        let pending = self.pending.remove(position);
        if let Some(request) = &pending.unanswered {
            self.endpoint.repeat(&pending.token, request);
        }
        self.asked = now;
        self.pending.push(pending);
    }

    /// First the configuration, then what the router still knows of us.
    fn begin(&mut self, now: Instant) {
        self.ask_config(now);
        self.send(self.ask_reports(None), Expected::All(Vec::new()), now);
        self.events.push_back(Event::Ready);
    }

    fn ask_config(&mut self, now: Instant) {
        self.refresh = None;
        let config = Request { reliable: true, ..Request::new(Method::Get, &[".well-known", "dots", "config"]) };
        self.send(config, Expected::Config, now);
    }

    fn mitigate(&self, mid: Option<u32>) -> Vec<String> {
        let mut path: Vec<String> = [".well-known", "dots", "mitigate"].map(str::to_owned).to_vec();
        path.push(format!("cuid={}", self.cuid));
        path.extend(mid.map(|mid| format!("mid={mid}")));
        path
    }

    /// A request for one mitigation as far as we don't know it, which spares the path in an attack (RFC 9132 section 4.4.2),
    /// or for all.
    fn ask_reports(&self, mid: Option<u32>) -> Request {
        let query = mid.map(|_| "c=n".to_owned()).into_iter().collect();
        Request { query, ..Request::new(Method::Get, &self.mitigate(mid)) }
    }

    fn observe(&mut self, mid: u32, now: Instant) {
        let request = Request { observe: Some(0), ..self.ask_reports(Some(mid)) };
        self.send(request, Expected::Observation(mid), now);
    }

    /// Only heartbeats are served here.
    fn handle_request(&mut self, exchange: &Exchange, request: &Request, now: Instant) {
        let response = match Resource::parse(&request.path) {
            _ if request.has_block_size_seven() && !self.endpoint.is_stream() => {
                Response::text(Code::BAD_REQUEST, "block size 7 is reserved")
            }
            Ok(Resource::Heartbeat) if request.method == Method::Put => match heartbeat::parse(&request.payload) {
                Ok(answered) => {
                    self.liveness.handle_heartbeat(answered, now);
                    Response::empty(Code::CHANGED)
                }
                Err(invalid) => Response::text(Code::BAD_REQUEST, &invalid.to_string()),
            },
            Err(BadPath::Invalid(why)) => Response::text(Code::BAD_REQUEST, why),
            Ok(Resource::Heartbeat) => Response::text(Code::METHOD_NOT_ALLOWED, "method not supported here"),
            _ => Response::text(Code::NOT_FOUND, "no such resource"),
        };
        self.endpoint.respond(exchange, &response);
    }

    fn handle_response(&mut self, token: &Token, response: Response, now: Instant) {
        self.liveness.handle_response(token, now);
        let Some(position) = self.pending.iter().position(|pending| pending.token == *token) else { return };
        let Some(pending) = self.pending.get_mut(position) else { return };
        // On a stream nothing overtakes (RFC 8323 section 7.1).
        if !pending.take(&response, now) && !self.endpoint.is_stream() {
            return;
        }
        let expected = match pending.expected {
            Expected::Observation(mid) if response.observe.is_some() => Expected::Observation(mid),
            _ => self.pending.remove(position).expected,
        };
        match expected {
            Expected::Config => self.configured(&response, now),
            Expected::All(body) => {
                if let Some(response) = self.whole(None, body, response, now) {
                    self.all_reported(&response, now);
                }
            }
            Expected::Observation(mid) => self.mid_reported(mid, Vec::new(), response, now),
            Expected::Rest(mid, body) => self.mid_reported(mid, body, response, now),
            Expected::Put { requester, mid, request } => self.put_answered(requester, mid, request, &response, now),
            Expected::Delete { requester: Some(requester), mid } => {
                self.done(requester, Outcome::Mitigation(mid), &response);
            }
            Expected::Redirect(requester) => self.done(requester, Outcome::Redirected, &response),
            Expected::Delete { requester: None, .. } => {}
        }
    }

    fn done(&mut self, requester: Requester, outcome: Outcome, response: &Response) {
        let outcome = if response.code.is_success() { Ok(outcome) } else { Err(RequestFailure::by_router(response)) };
        self.events.push_back(Event::Answered(requester, outcome));
    }

    fn configured(&mut self, response: &Response, now: Instant) {
        if response.code != Code::CONTENT {
            return;
        }
        self.refresh = match response.max_age {
            None => Some(now + FRESH),
            Some(0 | u32::MAX) => None,
            // Before it is over.
            Some(seconds) => Some(now + Duration::from_secs((seconds - seconds / 4).into())),
        };
        if let Ok(config) = SessionConfig::parse(&response.payload) {
            self.config = config;
            self.choose_parameters(now);
        }
    }

    /// The content as a whole; where more blocks are to come, the next one is asked for (RFC 7959 section 2.4).
    fn whole(&mut self, mid: Option<u32>, mut body: Vec<u8>, response: Response, now: Instant) -> Option<Response> {
        let Some(block) = response.block2.filter(|_| response.code == Code::CONTENT) else { return Some(response) };
        let begin = usize::try_from(block.number).ok()?.checked_mul(block.size())?;
        if begin != body.len() || response.payload.is_empty() {
            return None;
        }
        body.extend(&response.payload);
        if !block.more {
            return Some(Response { payload: body, ..response });
        }
        if body.len() > Endpoint::max_body() {
            return None;
        }
        let next = Block { number: u32::try_from(body.len() / block.size()).ok()?, more: false, szx: block.szx };
        let request = Request { block2: Some(next), etag: response.etag, ..self.ask_reports(mid) };
        let expected = match mid {
            Some(mid) => Expected::Rest(mid, body),
            None => Expected::All(body),
        };
        self.pending.retain(|pending| match (&pending.expected, &expected) {
            (Expected::Rest(former, _), Expected::Rest(mid, _)) => former != mid,
            _ => true,
        });
        self.send(request, expected, now);
        None
    }

    fn all_reported(&mut self, response: &Response, now: Instant) {
        for report in Report::parse_all(&response.payload).unwrap_or_default() {
            if let Some(mid) = report.mid.filter(|_| response.code == Code::CONTENT) {
                self.observe(mid, now);
                self.take_report(mid, report, now);
                self.events.push_back(Event::Reported(mid));
            }
        }
        self.choose_parameters(now);
    }

    fn put_answered(
        &mut self,
        requester: Requester,
        mid: u32,
        request: Box<MitigationRequest>,
        response: &Response,
        now: Instant,
    ) {
        if !response.code.is_success() {
            let refusal = RequestFailure::by_router(response);
            let conflict = refusal.conflict().cloned().unwrap_or_default();
            // A mitigation keeps the identifier it was asked for with (RFC 9132 section 4.4.1).
            if conflict.cause == Some(CUID_COLLISION) && !self.renamed && !self.is_mitigating() {
                self.renamed = true;
                self.cuid = another_cuid(&self.cuid);
                self.events.push_back(Event::Renamed(self.cuid.clone()));
                return self.put(requester, mid, request, now);
            }
            self.withhold(&request.scope, &conflict, now);
            return self.refuse(requester, refusal);
        }
        let granted = Report::parse_all(&response.payload).unwrap_or_default().into_iter().next();
        let report = Report { scope: Some(request.scope), mid: Some(mid), ..granted.unwrap_or_default() };
        self.mitigations.insert(mid, MitigationRecord { report, ended: false });
        self.events.push_back(Event::Answered(requester, Ok(Outcome::Mitigation(mid))));
        self.choose_parameters(now);
        self.observe(mid, now);
    }

    /// A request that is not in force for a conflict is not sent again before its time (RFC 9132 section 4.4.2.1).
    fn withhold(&mut self, scope: &Scope, conflict: &Conflict, now: Instant) {
        let Some(seconds) = conflict.retry_timer.filter(|_| conflict.status != Some(REQUEST_ACTIVE)) else { return };
        self.withheld.retain(|(withheld, _)| withheld != scope);
        if self.withheld.len() == MOST_WITHHELD {
            self.withheld.pop_front();
        }
        self.withheld.push_back((scope.clone(), now + Duration::from_secs(seconds.into())));
    }

    /// A notification, or the answer to our registration for it.
    fn mid_reported(&mut self, mid: u32, body: Vec<u8>, response: Response, now: Instant) {
        let Some(response) = self.whole(Some(mid), body, response, now) else { return };
        if !response.code.is_success() {
            if let Some(known) = self.mitigations.get_mut(&mid) {
                known.ended = true;
                known.report.status = known.report.status.filter(|status| *status > 4).or(Some(TERMINATED));
            }
            self.forget_old();
        } else if let Some(report) = Report::parse_all(&response.payload).unwrap_or_default().into_iter().next() {
            self.take_report(mid, report, now);
        }
        self.choose_parameters(now);
        self.events.push_back(Event::Reported(mid));
    }

    fn take_report(&mut self, mid: u32, report: Report, now: Instant) {
        let known = self.mitigations.entry(mid).or_default();
        let stopped = report.status == Some(ATTACK_STOPPED) && known.report.status != Some(ATTACK_STOPPED);
        known.ended = false;
        let scope = report.scope.clone().or_else(|| known.report.scope.take());
        known.report = Report { scope: scope.clone(), ..report };
        if let (Some(scope), Some(conflict)) = (scope, known.report.conflict.clone()) {
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

    fn handle_failed(&mut self, token: &Token, now: Instant) {
        let Some(position) = self.pending.iter().position(|pending| pending.token == *token) else { return };
        let expected = self.pending.remove(position).expected;
        if matches!(expected, Expected::Config) {
            self.refresh = Some(now + FRESH);
        }
        if let Some(requester) = expected.requester() {
            self.refuse(requester, RequestFailure::NoAnswer);
        }
    }

    /// The session is over: who has asked and will hear no more.
    pub fn give_up(&mut self) -> Vec<Requester> {
        self.pending.drain(..).filter_map(|pending| pending.expected.requester()).collect()
    }

    /// Follows the set that is in force now (RFC 9132 section 4.5).
    fn choose_parameters(&mut self, now: Instant) {
        let parameters = if self.is_mitigating() { self.config.mitigating } else { self.config.idle };
        self.liveness.set_parameters(parameters, now);
        self.endpoint.set_parameters(parameters.transmission());
    }
}
