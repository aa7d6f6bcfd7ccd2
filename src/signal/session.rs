//! One session with a provider's Call Home DOTS client: its resources, heartbeats and notifications.
//!
//! Owns the CoAP endpoint; the ledger is lent to it for each step.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use ipnet::IpNet;

use super::liveness::Liveness;
use super::mitigate::{self, Put};
use super::observers::{Observers, Subject};
use super::path::{BadPath, Content, Resource};
use super::redirect::Redirect;
use super::session_config::{Parameters, SessionConfig};
use super::{DOTS_CBOR, Invalid, heartbeat};
use crate::coap::block::{self, Assembly};
use crate::coap::{self, Broken, Code, Endpoint, Exchange, Method, Request, Response, Token};
use crate::mitigation::{self, Client, Id, Ledger};
use crate::time::Now;

/// How long a new request's answer waits for the search of the home.
const ASSESSMENT: Duration = Duration::from_millis(250);
/// How long a configuration stays fresh at the client (RFC 9132 section 4.5.3).
const CONFIG_MAX_AGE: u32 = 86_400;

/// What the session tells its owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The client is there.
    Ready,
    /// Nothing has come for too long, or the client said goodbye: close and call again.
    Lost(&'static str),
    /// The client sends us elsewhere (RFC 9066 section 5.2.2); it has been answered.
    Redirected(Redirect),
}

/// A session of the Call Home DOTS server.
pub struct Session {
    peer: String,
    endpoint: Endpoint,
    domain: Vec<IpNet>,
    defaults: SessionConfig,
    config: SessionConfig,
    sid: Option<u32>,
    liveness: Liveness,
    observers: Observers,
    /// New requests whose answer waits for the search.
    waiting: Vec<(Id, Exchange, Instant)>,
    /// A body that arrives in blocks, and the path it is for.
    assembly: (Vec<String>, Assembly),
    events: VecDeque<Event>,
}

impl Session {
    /// Begins on a secure channel just established with the provider `peer`. `heartbeat_interval` in seconds, 0 for
    /// none, holds until the client negotiates another.
    pub fn new(peer: String, endpoint: Endpoint, heartbeat_interval: u16, now: Now) -> Self {
        let parameters = Parameters { heartbeat_interval, ..Parameters::default() };
        let config = SessionConfig { mitigating: parameters, idle: parameters };
        let observers = Observers::new(endpoint.is_stream());
        Self {
            peer,
            endpoint,
            domain: Vec::new(),
            defaults: config,
            config,
            sid: None,
            liveness: Liveness::new(parameters, now.instant),
            observers,
            waiting: Vec::new(),
            assembly: Default::default(),
            events: VecDeque::new(),
        }
    }

    /// Sets what the sources of requests must lie in (RFC 9066 section 5.3.1).
    pub fn set_domain(&mut self, domain: Vec<IpNet>) {
        self.domain = domain;
    }

    /// Takes plaintext of the secure channel.
    ///
    /// # Errors
    /// The session can't go on: send what is left to send, then close.
    pub fn handle_input(&mut self, plaintext: &[u8], ledger: &mut Ledger, now: Now) -> Result<(), Broken> {
        self.liveness.heard(now.instant);
        let outcome = self.endpoint.handle_input(plaintext, now.instant);
        while let Some(event) = self.endpoint.poll_event() {
            match event {
                coap::Event::Ready => self.events.push_back(Event::Ready),
                coap::Event::Request { exchange, request } => self.requested(&exchange, request, ledger, now),
                coap::Event::Response { token, .. } => self.liveness.answered(&token, now.instant),
                coap::Event::Failed { token } => self.observers.cancel(&token),
                coap::Event::Released => self.events.push_back(Event::Lost("the provider ended the session")),
            }
        }
        self.choose_parameters(ledger);
        outcome
    }

    /// Hears of what happened in the ledger.
    pub fn handle_mitigation(&mut self, event: &mitigation::Event, ledger: &mut Ledger, now: Now) {
        match event {
            mitigation::Event::Changed(id) => {
                self.answer_waiting(ledger, now);
                if let Some((client, mid)) = ledger.get(*id).map(|m| (m.client().clone(), m.mid())) {
                    self.observers.change(|subject| client.peer == self.peer && concerns(subject, &client.cuid, mid));
                }
            }
            mitigation::Event::Gone(last) if last.client().peer == self.peer => {
                self.say_goodbye(last, now);
                self.answer_waiting(ledger, now);
            }
            _ => {}
        }
        self.notify(ledger, now);
        self.choose_parameters(ledger);
    }

    /// What happened next.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// The next bytes for the secure channel.
    pub fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        self.endpoint.poll_transmit()
    }

    /// When [`Session::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let answers = self.waiting.iter().map(|(_, _, due)| *due).min();
        let all = [answers, self.endpoint.poll_timeout(), self.observers.poll_timeout(), self.liveness.poll_timeout()];
        all.into_iter().flatten().min()
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, ledger: &mut Ledger, now: Now) {
        self.endpoint.handle_timeout(now.instant);
        while let Some(event) = self.endpoint.poll_event() {
            if let coap::Event::Failed { token } = event {
                self.observers.cancel(&token);
            }
        }
        self.answer_waiting(ledger, now);
        self.notify(ledger, now);
        if self.liveness.is_lost(now.instant) {
            self.events.push_back(Event::Lost("the provider has been silent for too long"));
        } else if self.liveness.is_due(now.instant) {
            self.send_heartbeat(now.instant);
        }
    }

    /// Says goodbye; the channel is to be closed once everything is sent.
    pub fn release(&mut self) {
        self.endpoint.release();
    }

    /// The round-trip time last measured.
    pub fn rtt(&self) -> Option<Duration> {
        self.liveness.rtt()
    }

    fn send_heartbeat(&mut self, now: Instant) {
        let body = heartbeat::encode(self.liveness.peer_hb_status(now));
        let request = Request::new(Method::Put, &[".well-known", "dots", "hb"]).with_payload(DOTS_CBOR, body);
        let token = self.endpoint.request(&request, now);
        self.liveness.sent(token, now);
    }

    /// Follows the set that is in force now (RFC 9132 section 4.5).
    fn choose_parameters(&mut self, ledger: &Ledger) {
        let mitigates = ledger.all().any(|m| m.client().peer == self.peer && m.state().in_force());
        let parameters = if mitigates { self.config.mitigating } else { self.config.idle };
        self.liveness.set_parameters(parameters);
        self.endpoint.set_parameters(parameters.transmission());
    }

    fn requested(&mut self, exchange: &Exchange, mut request: Request, ledger: &mut Ledger, now: Now) {
        match self.gather(&mut request) {
            Ok(acknowledged) => {
                let wanted = request.block2;
                if let Some(mut response) = self.serve(exchange, request, ledger, now) {
                    response.block1 = acknowledged;
                    self.respond(exchange, response, wanted);
                }
            }
            Err(response) => self.endpoint.respond(exchange, &response),
        }
    }

    /// Joins the blocks of a body; the block to acknowledge once it is whole.
    fn gather(&mut self, request: &mut Request) -> Result<Option<block::Block>, Response> {
        if !self.endpoint.is_stream() && [request.block1, request.block2].iter().flatten().any(|b| b.szx == 7) {
            return Err(Response::text(Code::BAD_REQUEST, "block size 7 is reserved"));
        }
        let Some(block) = request.block1 else { return Ok(None) };
        if self.assembly.0 != request.path {
            self.assembly = (request.path.clone(), Assembly::default());
        }
        request.payload = self.assembly.1.add(block, &request.payload, Endpoint::max_body())?;
        Ok(Some(block))
    }

    fn respond(&mut self, exchange: &Exchange, response: Response, wanted: Option<block::Block>) {
        let response = match response.code {
            Code::CONTENT => block::cut(response, wanted, self.endpoint.max_payload()),
            _ => response,
        };
        self.endpoint.respond(exchange, &response);
    }

    /// Serves one request; no response when it comes later, or never.
    fn serve(&mut self, exchange: &Exchange, request: Request, ledger: &mut Ledger, now: Now) -> Option<Response> {
        let resource = match Resource::parse(&request.path) {
            Ok(resource) => resource,
            Err(BadPath::Unknown) => return Some(Response::text(Code::NOT_FOUND, "no such resource")),
            Err(BadPath::Invalid(why)) => return Some(bad(why)),
        };
        if request.method == Method::Put && request.content_format.is_some_and(|format| format != DOTS_CBOR) {
            return Some(Response::text(Code::UNSUPPORTED_FORMAT, "only application/dots+cbor is understood"));
        }
        if request.method == Method::Get && request.accept.is_some_and(|format| format != DOTS_CBOR) {
            return Some(Response::empty(Code::NOT_ACCEPTABLE));
        }
        match (request.method, resource) {
            (Method::Put, Resource::Mitigate { cuid: Some(cuid), mid: Some(mid) }) => {
                self.put_mitigate(exchange, &request, &self.client(cuid), mid, ledger, now)
            }
            (Method::Delete, Resource::Mitigate { cuid: Some(cuid), mid: Some(mid) }) => {
                ledger.delete(&self.client(cuid), mid, now);
                Some(Response::empty(Code::DELETED))
            }
            (Method::Get, Resource::Mitigate { cuid: Some(cuid), mid }) => {
                Some(self.get_mitigate(exchange, &request, cuid, mid, ledger, now))
            }
            (Method::Put | Method::Get | Method::Delete, Resource::Mitigate { cuid: None, .. }) => {
                Some(bad("cuid missing"))
            }
            (Method::Put | Method::Delete, Resource::Mitigate { .. }) => Some(bad("mid missing")),
            (Method::Get, Resource::Config { sid }) => Some(self.get_config(exchange, &request, sid, now.instant)),
            (Method::Put, Resource::Config { sid: Some(sid) }) => Some(self.put_config(sid, &request.payload)),
            (Method::Put, Resource::Config { sid: None }) => Some(bad("sid missing")),
            (Method::Delete, Resource::Config { .. }) => {
                self.configure(self.defaults, None);
                Some(Response::empty(Code::DELETED))
            }
            (Method::Put, Resource::Heartbeat) => Some(self.put_heartbeat(&request.payload, now.instant)),
            (Method::Put, Resource::Redirect) => Some(self.put_redirect(&request.payload)),
            _ => Some(Response::text(Code::METHOD_NOT_ALLOWED, "method not supported here")),
        }
    }

    fn client(&self, cuid: String) -> Client {
        Client { peer: self.peer.clone(), cuid }
    }

    fn put_mitigate(
        &mut self,
        exchange: &Exchange,
        request: &Request,
        client: &Client,
        mid: u32,
        ledger: &mut Ledger,
        now: Now,
    ) -> Option<Response> {
        match mitigate::put(ledger, client, mid, &request.payload, request.if_match, &self.domain, now) {
            Put::Answer(response) => Some(response),
            Put::Silence => None,
            Put::Assess(id) => {
                self.waiting.push((id, exchange.clone(), now.instant + ASSESSMENT));
                None
            }
        }
    }

    fn get_mitigate(
        &mut self,
        exchange: &Exchange,
        request: &Request,
        cuid: String,
        mid: Option<u32>,
        ledger: &Ledger,
        now: Now,
    ) -> Response {
        let content = Content::of(&request.query);
        let (mut response, active) = mitigate::get(ledger, &self.client(cuid.clone()), mid, content, now);
        let subject = Subject::Mitigations { cuid, mid, content };
        self.observe(exchange, request, subject, active, &mut response, now.instant);
        response
    }

    /// Registers or cancels an observation as the request wishes.
    fn observe(
        &mut self,
        exchange: &Exchange,
        request: &Request,
        subject: Subject,
        active: bool,
        response: &mut Response,
        now: Instant,
    ) {
        match request.observe {
            Some(0) if response.code.is_success() => {
                self.observers.register(exchange.token().clone(), subject, active, now);
                response.observe = Some(self.observers.next_sequence());
            }
            Some(1) => self.observers.cancel(exchange.token()),
            _ => {}
        }
    }

    fn get_config(&mut self, exchange: &Exchange, request: &Request, sid: Option<u32>, now: Instant) -> Response {
        if sid.is_some() && sid != self.sid {
            return Response::text(Code::NOT_FOUND, "no such sid");
        }
        let mut response = self.config_content();
        self.observe(exchange, request, Subject::Configuration, false, &mut response, now);
        response
    }

    fn config_content(&self) -> Response {
        let body = self.config.encode(self.endpoint.is_stream());
        Response { max_age: Some(CONFIG_MAX_AGE), ..Response::content(Code::CONTENT, DOTS_CBOR, body) }
    }

    fn put_config(&mut self, sid: u32, payload: &[u8]) -> Response {
        if self.sid.is_some_and(|known| sid < known) {
            return bad("sid is lower than the one in force");
        }
        match self.config.changed_by(payload) {
            Ok(config) => {
                let known = self.sid == Some(sid);
                self.configure(config, Some(sid));
                Response::empty(if known { Code::CHANGED } else { Code::CREATED })
            }
            Err(invalid @ Invalid::Unacceptable(_)) => Response::text(Code::UNPROCESSABLE, &invalid.to_string()),
            Err(invalid) => bad(&invalid.to_string()),
        }
    }

    fn configure(&mut self, config: SessionConfig, sid: Option<u32>) {
        self.config = config;
        self.sid = sid;
        self.observers.change(|subject| *subject == Subject::Configuration);
    }

    fn put_heartbeat(&mut self, payload: &[u8], now: Instant) -> Response {
        match heartbeat::parse(payload) {
            Ok(answered) => {
                self.liveness.beaten(answered, now);
                Response::empty(Code::CHANGED)
            }
            Err(invalid) => bad(&invalid.to_string()),
        }
    }

    fn put_redirect(&mut self, payload: &[u8]) -> Response {
        match Redirect::parse(payload) {
            Ok(redirect) => {
                self.events.push_back(Event::Redirected(redirect));
                Response::empty(Code::CREATED)
            }
            Err(invalid) => bad(&invalid.to_string()),
        }
    }

    /// Answers new requests that have been searched for, or have waited long enough.
    fn answer_waiting(&mut self, ledger: &mut Ledger, now: Now) {
        let ripe = |(id, _, due): &mut (Id, Exchange, Instant)| {
            *due <= now.instant || ledger.get(*id).is_none_or(mitigation::Mitigation::assessed)
        };
        let ripe: Vec<_> = self.waiting.extract_if(.., ripe).collect();
        for (id, exchange, _) in ripe {
            let response = mitigate::created(ledger, id, now);
            self.endpoint.respond(&exchange, &response);
        }
    }

    fn notify(&mut self, ledger: &Ledger, now: Now) {
        while let Some((token, subject)) = self.observers.take_due(now.instant) {
            let (content, active) = match subject {
                Subject::Mitigations { cuid, mid, content } => {
                    mitigate::get(ledger, &self.client(cuid), mid, content, now)
                }
                Subject::Configuration => (self.config_content(), false),
            };
            self.observers.set_active(&token, active);
            self.send_notification(&token, content, now.instant);
        }
    }

    /// Notifies; what is no success ends the observation (RFC 7641 section 4.2).
    fn send_notification(&mut self, token: &Token, content: Response, now: Instant) {
        let mut content = block::cut(content, None, self.endpoint.max_payload());
        if content.code.is_success() {
            content.observe = Some(self.observers.next_sequence());
        } else {
            self.observers.cancel(token);
        }
        self.endpoint.notify(token, &content);
    }

    /// Tells observers the last status of a mitigation, and that it is no more.
    fn say_goodbye(&mut self, last: &mitigation::Mitigation, now: Now) {
        let (cuid, mid) = (&last.client().cuid, last.mid());
        for content in [Content::All, Content::Configuration, Content::NonConfiguration] {
            let observers = self.observers.of(|subject| {
                concerns(subject, cuid, mid)
                    && matches!(subject, Subject::Mitigations { content: c, .. } if *c == content)
            });
            for token in observers {
                self.send_notification(&token, mitigate::last(last, content, now), now.instant);
            }
        }
        self.observers.change(|subject| concerns(subject, cuid, mid));
    }
}

fn concerns(subject: &Subject, of_cuid: &str, of_mid: u32) -> bool {
    matches!(subject, Subject::Mitigations { cuid, mid, .. } if cuid == of_cuid && mid.is_none_or(|mid| mid == of_mid))
}

fn bad(why: &str) -> Response {
    Response::text(Code::BAD_REQUEST, why)
}
