//! A session with one router: the Call Home DOTS client's side of the signal channel (RFC 9132, RFC 9066). No I/O.

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use dots_callhome::coap::{self, Broken, Code, Endpoint, Exchange, Method, Request, Response, Token};
use dots_callhome::scope::Scope;
use dots_callhome::signal::body::{Lifetime, MitigationRequest, Report};
use dots_callhome::signal::liveness::Liveness;
use dots_callhome::signal::path::{BadPath, Resource};
use dots_callhome::signal::redirect::Redirect;
use dots_callhome::signal::session_config::{Parameters, SessionConfig};
use dots_callhome::signal::{DOTS_CBOR, heartbeat};

/// Status 3: the attack has stopped, the client withdraws (RFC 9132 section 4.4.2.2).
const ATTACK_STOPPED: u8 = 3;
/// Status 6, terminated.
const TERMINATED: u8 = 6;
/// Ended mitigations that are still shown.
const MOST_ENDED: usize = 64;

/// Whoever waits for an answer; the control connection.
pub type Asker = u64;

/// What the session tells its owner.
pub enum Event {
    /// The router is there.
    Ready,
    /// A question has its answer: the mitigation's number, or what the router objected.
    Answered(Asker, Result<u32, String>),
    /// The router reported something new about this mitigation.
    Reported(u32),
    /// The router has been silent for too long, or leaves.
    Lost,
}

/// One mitigation as known here.
#[derive(Default)]
pub struct Known {
    /// What the router said last.
    pub report: Report,
    /// Whether it is no more.
    pub ended: bool,
}

enum Awaited {
    Config,
    All,
    Put { asker: Asker, mid: u32, scope: Box<Scope> },
    Delete { asker: Asker, mid: u32 },
    Redirect(Asker),
    Observation(u32),
}

impl Awaited {
    /// Who waits for the answer.
    fn asker(self) -> Option<Asker> {
        match self {
            Self::Put { asker, .. } | Self::Delete { asker, .. } | Self::Redirect(asker) => Some(asker),
            Self::Config | Self::All | Self::Observation(_) => None,
        }
    }
}

/// A router that has called home.
pub struct Router {
    endpoint: Endpoint,
    cuid: String,
    config: SessionConfig,
    liveness: Liveness,
    awaited: Vec<(Token, Awaited)>,
    mitigations: BTreeMap<u32, Known>,
    events: VecDeque<Event>,
}

impl Router {
    /// Begins on an established channel.
    pub fn new(endpoint: Endpoint, cuid: String, now: Instant) -> Self {
        Self {
            endpoint,
            cuid,
            config: SessionConfig::default(),
            liveness: Liveness::new(Parameters::default(), now),
            awaited: Vec::new(),
            mitigations: BTreeMap::new(),
            events: VecDeque::new(),
        }
    }

    /// All mitigations known, by `mid`.
    pub fn mitigations(&self) -> impl Iterator<Item = (u32, &Known)> {
        self.mitigations.iter().map(|(mid, known)| (*mid, known))
    }

    /// Takes plaintext of the secure channel.
    pub fn handle_input(&mut self, plaintext: &[u8], now: Instant) -> Result<(), Broken> {
        self.liveness.heard(now);
        let outcome = self.endpoint.handle_input(plaintext, now);
        while let Some(event) = self.endpoint.poll_event() {
            match event {
                coap::Event::Ready => self.begin(now),
                coap::Event::Request { exchange, request } => self.requested(&exchange, &request, now),
                coap::Event::Response { token, response } => self.answered(&token, response, now),
                coap::Event::Failed { token } => self.failed(&token),
                coap::Event::Released => self.events.push_back(Event::Lost),
            }
        }
        outcome
    }

    /// Sends a mitigation request; the answer comes as an event.
    pub fn request(&mut self, asker: Asker, mid: u32, scope: Scope, lifetime: Lifetime, now: Instant) {
        let body = MitigationRequest { scope: scope.clone(), lifetime: Some(lifetime), attack_status: None }.encode();
        if body.len() > self.endpoint.max_payload() {
            let why = "too much for one message: ask for fewer prefixes at once".to_owned();
            return self.events.push_back(Event::Answered(asker, Err(why)));
        }
        let request = Request::new(Method::Put, &self.mitigate(Some(mid))).with_payload(DOTS_CBOR, body);
        self.send(&request, Awaited::Put { asker, mid, scope: Box::new(scope) }, now);
    }

    /// Withdraws a request.
    pub fn withdraw(&mut self, asker: Asker, mid: u32, now: Instant) {
        let request = Request::new(Method::Delete, &self.mitigate(Some(mid)));
        self.send(&request, Awaited::Delete { asker, mid }, now);
    }

    /// Sends the router elsewhere.
    pub fn redirect(&mut self, asker: Asker, redirect: &Redirect, now: Instant) {
        let request =
            Request::new(Method::Put, &[".well-known", "dots", "redirect"]).with_payload(DOTS_CBOR, redirect.encode());
        self.send(&request, Awaited::Redirect(asker), now);
    }

    /// The next bytes for the secure channel.
    pub fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        self.endpoint.poll_transmit()
    }

    /// What happened next.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When [`Router::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        [self.endpoint.poll_timeout(), self.liveness.poll_timeout()].into_iter().flatten().min()
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.endpoint.handle_timeout(now);
        while let Some(event) = self.endpoint.poll_event() {
            if let coap::Event::Failed { token } = event {
                self.failed(&token);
            }
        }
        // While an attack saturates its uplink, silence of the router ends nothing (RFC 9066 section 5.2.1).
        let attacked = self.mitigations.values().any(|known| !known.ended);
        if self.liveness.is_lost(now) && !attacked {
            self.events.push_back(Event::Lost);
        } else if self.liveness.is_due(now) {
            let body = heartbeat::encode(self.liveness.peer_hb_status(now));
            let request = Request::new(Method::Put, &[".well-known", "dots", "hb"]).with_payload(DOTS_CBOR, body);
            let token = self.endpoint.request(&request, now);
            self.liveness.sent(token, now);
        }
    }

    fn send(&mut self, request: &Request, awaited: Awaited, now: Instant) {
        let token = self.endpoint.request(request, now);
        self.awaited.push((token, awaited));
    }

    /// First the configuration, then what the router still knows of us.
    fn begin(&mut self, now: Instant) {
        let config = Request { reliable: true, ..Request::new(Method::Get, &[".well-known", "dots", "config"]) };
        self.send(&config, Awaited::Config, now);
        let all = Request::new(Method::Get, &self.mitigate(None));
        self.send(&all, Awaited::All, now);
        self.events.push_back(Event::Ready);
    }

    fn mitigate(&self, mid: Option<u32>) -> Vec<String> {
        let mut path: Vec<String> = [".well-known", "dots", "mitigate"].map(str::to_owned).to_vec();
        path.push(format!("cuid={}", self.cuid));
        path.extend(mid.map(|mid| format!("mid={mid}")));
        path
    }

    fn observe(&mut self, mid: u32, now: Instant) {
        let request = Request { observe: Some(0), ..Request::new(Method::Get, &self.mitigate(Some(mid))) };
        self.send(&request, Awaited::Observation(mid), now);
    }

    /// Only heartbeats are served here.
    fn requested(&mut self, exchange: &Exchange, request: &Request, now: Instant) {
        let response = match Resource::parse(&request.path) {
            Ok(Resource::Heartbeat) if request.method == Method::Put => match heartbeat::parse(&request.payload) {
                Ok(answered) => {
                    self.liveness.beaten(answered, now);
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

    fn answered(&mut self, token: &Token, response: Response, now: Instant) {
        self.liveness.answered(token, now);
        let Some(position) = self.awaited.iter().position(|(awaited, _)| awaited == token) else { return };
        if let Some((_, Awaited::Observation(mid))) = self.awaited.get(position) {
            let mid = *mid;
            if response.observe.is_none() {
                self.awaited.remove(position);
            }
            return self.reported(mid, &response, now);
        }
        let (_, awaited) = self.awaited.remove(position);
        match awaited {
            Awaited::Config if response.code == Code::CONTENT => {
                if let Ok(config) = SessionConfig::parse(&response.payload) {
                    self.config = config;
                    self.choose_parameters(now);
                }
            }
            Awaited::All if response.code == Code::CONTENT => {
                let mids = Report::parse_all(&response.payload).unwrap_or_default();
                for mid in mids.iter().filter_map(|report| report.mid) {
                    self.observe(mid, now);
                }
            }
            Awaited::Put { asker, mid, scope } => self.put_answered(asker, mid, *scope, &response, now),
            Awaited::Delete { asker, mid } => {
                let outcome = if response.code.is_success() { Ok(mid) } else { Err(objection(&response)) };
                self.events.push_back(Event::Answered(asker, outcome));
            }
            Awaited::Redirect(asker) => {
                let outcome = if response.code.is_success() { Ok(0) } else { Err(objection(&response)) };
                self.events.push_back(Event::Answered(asker, outcome));
            }
            Awaited::Config | Awaited::All | Awaited::Observation(_) => {}
        }
    }

    fn put_answered(&mut self, asker: Asker, mid: u32, scope: Scope, response: &Response, now: Instant) {
        if !response.code.is_success() {
            self.events.push_back(Event::Answered(asker, Err(objection(response))));
            return;
        }
        let granted = Report::parse_all(&response.payload).unwrap_or_default().into_iter().next();
        let report = Report { scope: Some(scope), mid: Some(mid), ..granted.unwrap_or_default() };
        self.mitigations.insert(mid, Known { report, ended: false });
        self.events.push_back(Event::Answered(asker, Ok(mid)));
        self.choose_parameters(now);
        self.observe(mid, now);
    }

    /// A notification, or the answer to our registration for it.
    fn reported(&mut self, mid: u32, response: &Response, now: Instant) {
        if !response.code.is_success() {
            if let Some(known) = self.mitigations.get_mut(&mid) {
                known.ended = true;
                known.report.status = known.report.status.filter(|status| *status > 4).or(Some(TERMINATED));
            }
            self.forget_old();
        } else if let Some(report) = Report::parse_all(&response.payload).unwrap_or_default().into_iter().next() {
            let known = self.mitigations.entry(mid).or_default();
            let stopped = report.status == Some(ATTACK_STOPPED) && known.report.status != Some(ATTACK_STOPPED);
            known.ended = false;
            let scope = report.scope.clone().or_else(|| known.report.scope.take());
            known.report = Report { scope, ..report };
            if stopped {
                let request = Request::new(Method::Delete, &self.mitigate(Some(mid)));
                self.endpoint.request(&request, now);
            }
        }
        self.choose_parameters(now);
        self.events.push_back(Event::Reported(mid));
    }

    fn forget_old(&mut self) {
        let ended: Vec<u32> = self.mitigations.iter().filter(|(_, known)| known.ended).map(|(mid, _)| *mid).collect();
        for mid in ended.iter().take(ended.len().saturating_sub(MOST_ENDED)) {
            self.mitigations.remove(mid);
        }
    }

    fn failed(&mut self, token: &Token) {
        let Some(position) = self.awaited.iter().position(|(awaited, _)| awaited == token) else { return };
        if let Some(asker) = self.awaited.remove(position).1.asker() {
            self.events.push_back(Event::Answered(asker, Err("the router does not answer".into())));
        }
    }

    /// The session is over: who has asked and will hear no more.
    pub fn give_up(&mut self) -> Vec<Asker> {
        self.awaited.drain(..).filter_map(|(_, awaited)| awaited.asker()).collect()
    }

    /// Follows the set that is in force now (RFC 9132 section 4.5).
    fn choose_parameters(&mut self, now: Instant) {
        let mitigates = self.mitigations.values().any(|known| !known.ended);
        let parameters = if mitigates { self.config.mitigating } else { self.config.idle };
        self.liveness.set_parameters(parameters, now);
        self.endpoint.set_parameters(parameters.transmission());
    }
}

/// What the router objects, in its own words where it has any.
fn objection(response: &Response) -> String {
    if let Some(text) = response.diagnostic() {
        return format!("{}: {text}", response.code);
    }
    let reports = Report::parse_all(&response.payload).unwrap_or_default();
    let conflict = reports.into_iter().find_map(|report| report.conflict);
    match conflict.map(|conflict| (conflict.cause, conflict.mid)) {
        Some((Some(1), Some(mid))) => format!("{}: overlaps with mid {mid}", response.code),
        Some((Some(3), _)) => format!("{}: another client has our cuid", response.code),
        Some((Some(4), _)) => format!("{}: the traffic is legitimate", response.code),
        _ => response.code.to_string(),
    }
}
