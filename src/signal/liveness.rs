//! Heartbeats of both directions, and when a session counts as lost (RFC 9132 section 4.7, RFC 9066 section 5.2.1).

use std::time::{Duration, Instant};

use crate::coap::Token;

use super::session_config::Parameters;

/// Heartbeats are no closer together than this (RFC 9132 section 4.7).
const CLOSEST: Duration = Duration::from_secs(15);

/// The heartbeats of one session.
#[derive(Debug)]
pub struct Liveness {
    parameters: Parameters,
    /// Any byte of the peer.
    heard: Instant,
    /// The peer's last heartbeat.
    beaten: Option<Instant>,
    sent: Option<Instant>,
    next: Instant,
    awaited: Option<(Token, Instant)>,
    rtt: Option<Duration>,
    /// Since when these parameters hold: before, silence may have been in order.
    since: Instant,
}

impl Liveness {
    /// Begins with the session; the first heartbeat is due one interval later.
    pub fn new(parameters: Parameters, now: Instant) -> Self {
        let interval = parameters.heartbeat().unwrap_or_default();
        Self {
            parameters,
            heard: now,
            beaten: None,
            sent: None,
            next: now + interval,
            awaited: None,
            rtt: None,
            since: now,
        }
    }

    /// Sets the parameters now in force; the interval counts from the last heartbeat.
    pub fn set_parameters(&mut self, parameters: Parameters, now: Instant) {
        if parameters != self.parameters {
            self.next = self.sent.unwrap_or(self.since) + parameters.heartbeat().unwrap_or_default();
            self.parameters = parameters;
            self.since = now;
        }
    }

    /// Takes note that the peer has sent anything at all.
    pub fn handle_input(&mut self, now: Instant) {
        self.heard = now;
    }

    /// Takes the peer's heartbeat; `answered` is its word on ours. When ours don't get through, the next one goes
    /// right behind the peer's own, while a binding on the path is surely open.
    pub fn handle_heartbeat(&mut self, answered: bool, now: Instant) {
        self.beaten = Some(now);
        if !answered && self.parameters.heartbeat().is_some() {
            self.next = self.sent.map_or(now, |sent| now.max(sent + CLOSEST)).min(self.next);
        }
    }

    /// Whether the peer's heartbeats have come within the window; at the very beginning nothing speaks against it.
    pub fn peer_hb_status(&self, now: Instant) -> bool {
        let window = self.parameters.heartbeat().unwrap_or_default() * 2;
        now.saturating_duration_since(self.beaten.map_or(self.since, |beaten| beaten.max(self.since))) <= window
    }

    /// Takes note that our heartbeat has been sent.
    pub fn handle_sent(&mut self, token: Token, now: Instant) {
        self.sent = Some(now);
        self.next = now + self.parameters.heartbeat().unwrap_or_default();
        self.awaited = Some((token, now));
    }

    /// Takes note of the answer, if it is to our heartbeat.
    pub fn handle_response(&mut self, token: &Token, now: Instant) {
        if let Some((_, sent)) = self.awaited.take_if(|(awaited, _)| awaited == token) {
            self.rtt = Some(now.saturating_duration_since(sent));
        }
    }

    /// The round-trip time last measured.
    pub fn rtt(&self) -> Option<Duration> {
        self.rtt
    }

    /// Whether a heartbeat is due.
    pub fn is_due(&self, now: Instant) -> bool {
        self.parameters.heartbeat().is_some() && self.next <= now
    }

    /// Whether nothing at all has come for as long as the allowed heartbeats take.
    pub fn is_lost(&self, now: Instant) -> bool {
        self.loss().is_some_and(|loss| loss <= now)
    }

    fn loss(&self) -> Option<Instant> {
        let span = self.parameters.heartbeat()? * u32::from(self.parameters.missing_hb_allowed);
        Some(self.heard.max(self.since) + span)
    }

    /// The probing rate, in bytes a second, to be kept towards a peer of which nothing has come for two intervals.
    pub fn probing_rate(&self, now: Instant) -> Option<u16> {
        let window = self.parameters.heartbeat()? * 2;
        let silent = now.saturating_duration_since(self.heard.max(self.since)) > window;
        silent.then_some(self.parameters.probing_rate)
    }

    /// When the next heartbeat is due, for whom silence ends nothing.
    pub fn poll_heartbeat(&self) -> Option<Instant> {
        self.parameters.heartbeat().map(|_| self.next)
    }

    /// When to look again.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.parameters.heartbeat().and_then(|_| self.loss().map(|loss| loss.min(self.next)))
    }
}
