//! A session with one router: the Call Home DOTS client's side of the signal channel (RFC 9132, RFC 9066). No I/O.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use crate::coap::{self, Broken, Code, Endpoint, Exchange, Method, Request, Response, Token};
use crate::model::Scope;
use crate::signal::body::{CUID_COLLISION, Conflict, Lifetime, MitigationRequest, REQUEST_ACTIVE, Report};
use crate::signal::liveness::Liveness;
use crate::signal::path::{BadPath, Resource};
use crate::signal::redirect::Redirect;
use crate::signal::session_config::{Parameters, SessionConfig};
use crate::signal::{DOTS_CBOR, heartbeat};
use crate::transport::identity::another_cuid;

use super::assembly::Assembly;
use super::negotiated::Negotiated;
use super::pending::{Expected, PendingRequest, Requester};
use super::records::MitigationRecord;
use super::refusal::RequestFailure;

/// Scopes the router does not want to hear of for a while.
const MOST_WITHHELD: usize = 64;
/// Before what is not answered is asked once more. Less than 3 seconds is forbidden without a measure of the round-trip time,
/// more is welcome (RFC 9132 section 4.4).
const REPEAT: Duration = Duration::from_secs(4);
/// What the answer to a withdrawal is waited for where the router has not said how long the mitigation lasts.
const WITHDRAWAL: Duration = Duration::from_secs(300);

/// What the session tells its owner.
pub enum Event {
    /// The router is there.
    Ready,
    /// The router has said what it knows of us.
    Known,
    /// What the router has said of a mitigation, or of all, can't be read; why.
    Unreadable(Option<u32>, String),
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

/// A router that has called home.
pub struct Session {
    pub(super) endpoint: Endpoint,
    cuid: String,
    /// Whether that is no more the one we began with.
    renamed: bool,
    pub(super) config: SessionConfig,
    pub(super) negotiated: Negotiated,
    liveness: Liveness,
    pub(super) pending: Vec<PendingRequest>,
    /// When we last sent a request that goes without acknowledgement.
    asked: Instant,
    /// What the router does not want to hear of until then.
    withheld: VecDeque<(Scope, Instant)>,
    pub(super) mitigations: BTreeMap<u32, MitigationRecord>,
    /// When all that the router knows is asked for once more, and how often it has been.
    pub(super) anew: (Option<Instant>, u8),
    pub(super) is_known: bool,
    pub(super) events: VecDeque<Event>,
}

impl Session {
    /// Begins on an established channel.
    pub fn new(endpoint: Endpoint, cuid: String, now: Instant) -> Self {
        Self {
            endpoint,
            cuid,
            renamed: false,
            config: SessionConfig::default(),
            negotiated: Negotiated::default(),
            liveness: Liveness::new(Parameters::default(), now),
            pending: Vec::new(),
            asked: now,
            withheld: VecDeque::new(),
            mitigations: BTreeMap::new(),
            anew: (None, 0),
            is_known: false,
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

    /// Whether the router has said what it knows of us.
    pub fn is_known(&self) -> bool {
        self.is_known
    }

    /// The largest payload that fits one message to this router.
    pub fn max_payload(&self) -> usize {
        self.endpoint.max_payload()
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

    pub(super) fn refuse(&mut self, requester: Requester, why: RequestFailure) {
        self.events.push_back(Event::Answered(requester, Err(why)));
    }

    fn put(&mut self, requester: Requester, mid: u32, request: Box<MitigationRequest>, now: Instant) {
        let message = Request::new(Method::Put, &self.mitigate(Some(mid))).with_payload(DOTS_CBOR, request.encode());
        let until = match request.lifetime {
            Some(Lifetime::Seconds(seconds)) => Some(now + Duration::from_secs(seconds.into())),
            Some(Lifetime::Indefinite) | None => None,
        };
        self.send_until(message, Expected::Put { requester, mid, request }, until, now);
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

    pub(super) fn delete(&mut self, requester: Option<Requester>, mid: u32, now: Instant) {
        let request = Request::new(Method::Delete, &self.mitigate(Some(mid)));
        let known = self.mitigations.get(&mid).and_then(MitigationRecord::over_at);
        let until = Some(known.unwrap_or(now + WITHDRAWAL));
        self.send_until(request, Expected::Delete { requester, mid }, until, now);
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
            false => (self.liveness.poll_timeout(), self.negotiated.refresh),
        };
        let useless = self.pending.iter().filter_map(|pending| pending.until).min();
        let records = self.mitigations.values().filter_map(MitigationRecord::due).min();
        let all = [self.endpoint.poll_timeout(), liveness, repeat, refresh, useless, records, self.anew.0];
        all.into_iter().flatten().min()
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.endpoint.handle_timeout(now);
        while let Some(event) = self.endpoint.poll_event() {
            if let coap::Event::Failed { token } = event {
                self.handle_failed(&token, now);
            }
        }
        self.give_up_late(now);
        self.look_at_records(now);
        if self.anew.0.take_if(|due| *due <= now).is_some() {
            self.ask_all(now);
        }
        if self.asked + REPEAT <= now {
            self.repeat(now);
        }
        // An attack is no time for this (RFC 9132 section 4.5.3).
        if self.negotiated.refresh.is_some_and(|due| due <= now) && !self.is_mitigating() {
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

    pub(super) fn send(&mut self, request: Request, expected: Expected, now: Instant) {
        self.send_until(request, expected, None, now);
    }

    pub(super) fn send_until(&mut self, request: Request, expected: Expected, until: Option<Instant>, now: Instant) {
        let token = self.endpoint.request(&request, now);
        let mut unanswered = None;
        if !request.reliable && !self.endpoint.is_stream() {
            self.asked = now;
            unanswered = Some(request);
        }
        self.pending.push(PendingRequest::new(token, expected, unanswered, until));
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

    /// Waits no longer for what is of no use any more.
    fn give_up_late(&mut self, now: Instant) {
        let is_late = |pending: &mut PendingRequest| pending.until.is_some_and(|until| until <= now);
        for requester in self.pending.extract_if(.., is_late).filter_map(|pending| pending.expected.requester()) {
            self.events.push_back(Event::Answered(requester, Err(RequestFailure::NoAnswer)));
        }
    }

    /// First the configuration, then what the router still knows of us.
    fn begin(&mut self, now: Instant) {
        self.ask_config(now);
        self.ask_all(now);
        self.events.push_back(Event::Ready);
    }

    pub(super) fn mitigate(&self, mid: Option<u32>) -> Vec<String> {
        let mut path: Vec<String> = [".well-known", "dots", "mitigate"].map(str::to_owned).to_vec();
        path.push(format!("cuid={}", self.cuid));
        path.extend(mid.map(|mid| format!("mid={mid}")));
        path
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
            Expected::Proposal { sid, config } => self.proposal_answered(sid, config, &response, now),
            Expected::All(assembly) => {
                if let Some(response) = self.whole(None, assembly, response, now) {
                    self.all_reported(&response, now);
                }
            }
            Expected::Observation(mid) => self.mid_reported(mid, Assembly::default(), response, now),
            Expected::Report(mid, assembly) => self.mid_reported(mid, assembly, response, now),
            Expected::Put { requester, mid, request } => self.put_answered(requester, mid, request, &response, now),
            Expected::Delete { requester, mid } => {
                if let Some(known) = self.mitigations.get_mut(&mid).filter(|_| response.code.is_success()) {
                    known.handle_deleted(now);
                }
                if let Some(requester) = requester {
                    self.done(requester, Outcome::Mitigation(mid), &response);
                }
            }
            Expected::Efficacy { requester, mid } => self.efficacy_answered(requester, mid, &response, now),
            Expected::Redirect(requester) => self.done(requester, Outcome::Redirected, &response),
        }
    }

    pub(super) fn done(&mut self, requester: Requester, outcome: Outcome, response: &Response) {
        let outcome = if response.code.is_success() { Ok(outcome) } else { Err(RequestFailure::by_router(response)) };
        self.events.push_back(Event::Answered(requester, outcome));
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
        let granted = Report::parse_all(&response.payload).unwrap_or_default().into_iter().next().unwrap_or_default();
        self.events.push_back(Event::Answered(requester, Ok(Outcome::Mitigation(mid))));
        match self.mitigations.get_mut(&mid).filter(|known| !known.ended) {
            // What was observed before it was refreshed still is.
            Some(known) => {
                let report = Report { lifetime: granted.lifetime.or(known.report.lifetime), ..known.report.clone() };
                known.take(report, None, now);
            }
            None => {
                let report = Report { scope: Some(request.scope), mid: Some(mid), ..granted };
                self.mitigations.insert(mid, MitigationRecord::new(report, now));
                self.choose_parameters(now);
                self.observe(mid, now);
            }
        }
    }

    /// A request that is not in force for a conflict is not sent again before its time (RFC 9132 section 4.4.2.1).
    pub(super) fn withhold(&mut self, scope: &Scope, conflict: &Conflict, now: Instant) {
        let Some(seconds) = conflict.retry_timer.filter(|_| conflict.status != Some(REQUEST_ACTIVE)) else { return };
        self.withheld.retain(|(withheld, _)| withheld != scope);
        if self.withheld.len() == MOST_WITHHELD {
            self.withheld.pop_front();
        }
        self.withheld.push_back((scope.clone(), now + Duration::from_secs(seconds.into())));
    }

    fn handle_failed(&mut self, token: &Token, now: Instant) {
        let Some(position) = self.pending.iter().position(|pending| pending.token == *token) else { return };
        let expected = self.pending.remove(position).expected;
        match expected {
            Expected::Config => self.ask_config_later(now),
            Expected::All(_) => self.ask_all_anew(now),
            _ => {}
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
    pub(super) fn choose_parameters(&mut self, now: Instant) {
        let parameters = if self.is_mitigating() { self.config.mitigating } else { self.config.idle };
        self.liveness.set_parameters(parameters, now);
        self.endpoint.set_parameters(parameters.transmission());
    }
}
