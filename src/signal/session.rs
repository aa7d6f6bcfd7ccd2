//! One session with a provider's Call Home DOTS client: what comes in and goes out, heartbeats and notifications.
//!
//! Owns the CoAP endpoint; the ledger is lent to it for each step. What its resources answer is told in `resources`.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use ipnet::IpNet;

use super::liveness::Liveness;
use super::mitigate::{self, Reach};
use super::observers::{Due, Observers, Subject};
use super::rate_limiter::RateLimiter;
use super::redirect::Redirect;
use super::session_config::{Parameters, SessionConfig};
use super::transfer::{SeparateResponse, Transfer};
use super::{DOTS_CBOR, heartbeat};
use crate::coap::block::Assembly;
use crate::coap::{self, Broken, Endpoint, Method, Request};
use crate::mitigation::{self, Ledger, State};
use crate::model::Now;

/// What the session tells its owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The channel can be used.
    Ready,
    /// Nothing has come for too long, or the client said goodbye: close and call again. Comes once.
    Lost(&'static str),
    /// The client sends us elsewhere (RFC 9066 section 5.2.2); it has been answered.
    Redirected(Redirect),
}

/// A session of the Call Home DOTS server.
pub struct Session {
    pub(super) peer: String,
    pub(super) endpoint: Endpoint,
    pub(super) reach: Reach,
    pub(super) defaults: SessionConfig,
    pub(super) config: SessionConfig,
    pub(super) sid: Option<u32>,
    pub(super) liveness: Liveness,
    pub(super) observers: Observers,
    pub(super) rate_limiter: RateLimiter,
    pub(super) waiting: Vec<SeparateResponse>,
    pub(super) assembly: Assembly,
    pub(super) transfer: Option<Transfer>,
    pub(super) events: VecDeque<Event>,
    lost: bool,
}

impl Session {
    /// Begins on a secure channel just established with the provider `peer`. `heartbeat_interval` in seconds, 0 for
    /// none, holds until the client negotiates another.
    pub fn new(peer: String, mut endpoint: Endpoint, heartbeat_interval: u16, now: Now) -> Self {
        let parameters = Parameters { heartbeat_interval, ..Parameters::default() };
        let config = SessionConfig { mitigating: parameters, idle: parameters };
        let observers = Observers::new(endpoint.is_stream());
        // Datagrams need no settings first.
        let ready = endpoint.poll_event() == Some(coap::Event::Ready);
        Self {
            peer,
            endpoint,
            reach: Reach::default(),
            defaults: config,
            config,
            sid: None,
            liveness: Liveness::new(parameters, now.instant),
            observers,
            rate_limiter: RateLimiter::new(),
            waiting: Vec::new(),
            assembly: Assembly::default(),
            transfer: None,
            events: ready.then_some(Event::Ready).into_iter().collect(),
            lost: false,
        }
    }

    /// Sets what the sources of requests must lie in: the addresses and prefixes under which this network is seen from
    /// outside (RFC 9066 section 5.3.1).
    pub fn set_domain(&mut self, domain: Vec<IpNet>) {
        self.reach.domain = domain;
    }

    /// Sets whether requests may also name sources that nobody outside can see, private and link-local ones
    /// (RFC 9066 section 8). At first they may not.
    pub fn set_internal_sources(&mut self, accepted: bool) {
        self.reach.internal = accepted;
    }

    /// Takes plaintext of the secure channel.
    ///
    /// # Errors
    /// The session can't go on: send what is left to send, then close.
    pub fn handle_input(&mut self, plaintext: &[u8], ledger: &mut Ledger, now: Now) -> Result<(), Broken> {
        self.liveness.handle_input(now.instant);
        let outcome = self.endpoint.handle_input(plaintext, now.instant);
        while let Some(event) = self.endpoint.poll_event() {
            match event {
                coap::Event::Ready => self.events.push_back(Event::Ready),
                coap::Event::Request { exchange, request } => self.handle_request(&exchange, request, ledger, now),
                coap::Event::Response { token, .. } => self.liveness.handle_response(&token, now.instant),
                coap::Event::Failed { token } => self.observers.cancel(&token),
                coap::Event::Released => {
                    self.answer_waiting(ledger, true, now);
                    self.lose("the provider ended the session");
                }
            }
        }
        self.choose_parameters(ledger, now.instant);
        outcome
    }

    /// Takes note of what happened in the ledger; [`Session::handle_turn_end`] acts upon it.
    pub fn handle_mitigation(&mut self, event: &mitigation::Event, ledger: &Ledger) {
        match event {
            mitigation::Event::Changed(id) => {
                if let Some(m) = ledger.get(*id).filter(|m| m.asked() && m.client().peer == self.peer) {
                    self.observers.change(|subject| subject.covers(&m.client().cuid, m.mid()));
                }
            }
            mitigation::Event::Gone(last) if last.client().peer == self.peer => {
                self.observers.end(&last.client().cuid, last.mid(), |content| mitigate::last(last, content));
            }
            _ => {}
        }
    }

    /// Answers, notifies and chooses parameters after all events of the ledger have been handed over, once for all of them.
    pub fn handle_turn_end(&mut self, ledger: &mut Ledger, now: Now) {
        self.answer_waiting(ledger, false, now);
        self.notify(ledger, now);
        self.choose_parameters(ledger, now.instant);
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
        let answers = self.waiting.iter().map(|waiting| waiting.due).min();
        let alive = if self.lost { None } else { self.liveness.poll_timeout() };
        [answers, self.endpoint.poll_timeout(), self.observers.poll_timeout(), alive].into_iter().flatten().min()
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, ledger: &mut Ledger, now: Now) {
        self.endpoint.handle_timeout(now.instant);
        while let Some(event) = self.endpoint.poll_event() {
            if let coap::Event::Failed { token } = event {
                self.observers.cancel(&token);
            }
        }
        self.answer_waiting(ledger, false, now);
        self.notify(ledger, now);
        if self.lost {
            return;
        }
        if self.liveness.is_lost(now.instant) {
            self.lose("the provider has been silent for too long");
        } else if self.liveness.is_due(now.instant) {
            self.send_heartbeat(now.instant);
        }
    }

    /// Sends a heartbeat at once: the client's answer shows that it is there.
    pub fn probe(&mut self, now: Instant) {
        self.send_heartbeat(now);
    }

    /// Says goodbye; the channel is to be closed once everything is sent.
    pub fn release(&mut self) {
        self.endpoint.release();
    }

    /// The round-trip time last measured.
    pub fn rtt(&self) -> Option<Duration> {
        self.liveness.rtt()
    }

    fn lose(&mut self, why: &'static str) {
        if !std::mem::replace(&mut self.lost, true) {
            self.events.push_back(Event::Lost(why));
        }
    }

    fn send_heartbeat(&mut self, now: Instant) {
        let body = heartbeat::encode(self.liveness.peer_hb_status(now));
        let request = Request::new(Method::Put, &[".well-known", "dots", "hb"]).with_payload(DOTS_CBOR, body);
        let token = self.endpoint.request(&request, now);
        self.liveness.handle_sent(token, now);
    }

    /// Follows the set that is in force now (RFC 9132 section 4.5): the mitigating one from a request to its end, the
    /// idle one when there is none or the router has ended it.
    fn choose_parameters(&mut self, ledger: &Ledger, now: Instant) {
        let mitigates = |state: State| state.is_open() || state == State::Terminating;
        let mitigates = ledger.all().any(|m| m.asked() && m.client().peer == self.peer && mitigates(m.state()));
        let parameters = if mitigates { self.config.mitigating } else { self.config.idle };
        self.liveness.set_parameters(parameters, now);
        self.endpoint.set_parameters(parameters.transmission());
    }

    fn notify(&mut self, ledger: &Ledger, now: Now) {
        self.observers.set_pace(self.liveness.rtt(), self.liveness.probing_rate(now.instant));
        while let Some(Due { token, subject, gone, ending }) = self.observers.take_due(now.instant) {
            let expected = ending || !gone.is_empty();
            let (content, active) = match &subject {
                Subject::Mitigations { cuid, mid, content } => {
                    mitigate::get(ledger, &self.client(cuid.clone()), *mid, *content, gone, now)
                }
                Subject::Configuration => (self.config_content(), false),
            };
            self.observers.looked_at(&token, active, content.payload.len());
            let mut content = self.in_blocks(&subject, content, None, now.instant);
            if content.code.is_success() {
                content.observe = Some(self.observers.next_sequence());
            } else if expected {
                // RFC 7641 section 4.2.
                self.observers.cancel(&token);
            } else {
                // It has only just ended; the last word on it is still to come, from the ledger.
                continue;
            }
            self.observers.notified(content.payload.len(), now.instant);
            self.endpoint.notify(&token, &content);
        }
    }
}
