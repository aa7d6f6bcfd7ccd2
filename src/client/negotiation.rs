//! The configuration of the session: asked for, kept fresh, and over datagrams negotiated (RFC 9132 section 4.5).
//!
//! Over a stream the kernel tells the router that this program has ended. Over datagrams only silence does, which takes 450 seconds
//! with the defaults: a router has to be back in a minute.

use std::time::{Duration, Instant};

use crate::coap::{Code, Method, Request, Response};
use crate::signal::DOTS_CBOR;
use crate::signal::session_config::{Heartbeats, SessionConfig};

use super::pending::Expected;
use super::session::Session;

/// A configuration without Max-Age is fresh for so long (RFC 9132 section 4.5.3).
const FRESH: Duration = Duration::from_secs(60);
/// As often as the RFC allows, and lost as soon as it allows.
const WANTED: Heartbeats = Heartbeats { interval: 15, missing: 3 };
/// How often something is asked for in a session: a router that takes it on and forgets it is not asked for ever.
const MOST_PROPOSALS: u32 = 8;

impl Session {
    /// Seconds of silence after which the session counts as lost where nothing is mitigated; none where there are no heartbeats.
    pub fn lost_after(&self) -> Option<u32> {
        let idle = &self.config.idle;
        Some(u32::from(idle.heartbeat_interval) * u32::from(idle.missing_hb_allowed)).filter(|seconds| *seconds > 0)
    }

    /// Asks what is in force.
    pub(super) fn ask_config(&mut self, now: Instant) {
        self.negotiated.refresh = None;
        self.send(config_request(Method::Get, self.negotiated.sid), Expected::Config, now);
    }

    /// Nobody has answered that.
    pub(super) fn ask_config_later(&mut self, now: Instant) {
        self.negotiated.refresh = Some(now + FRESH);
    }

    /// The router says what is in force.
    pub(super) fn configured(&mut self, response: &Response, now: Instant) {
        if response.code == Code::NOT_FOUND && self.negotiated.sid.take().is_some() {
            return self.ask_config(now);
        }
        if response.code != Code::CONTENT {
            return;
        }
        self.negotiated.refresh = match response.max_age {
            None => Some(now + FRESH),
            Some(0 | u32::MAX) => None,
            // Before it is over.
            Some(seconds) => Some(now + Duration::from_secs((seconds - seconds / 4).into())),
        };
        if let Ok(config) = SessionConfig::parse(&response.payload) {
            self.config = config;
            self.choose_parameters(now);
            self.propose(&response.payload, now);
        }
    }

    fn propose(&mut self, content: &[u8], now: Instant) {
        // Over a stream nobody negotiates when a session counts as lost (RFC 9132 section 4.5).
        if self.endpoint.is_stream() || self.negotiated.proposals >= MOST_PROPOSALS {
            return;
        }
        let Ok(Some((body, config))) = self.config.proposal(content, WANTED) else { return };
        self.negotiated.proposals += 1;
        let sid = self.negotiated.proposals;
        let request = config_request(Method::Put, Some(sid)).with_payload(DOTS_CBOR, body);
        self.send(request, Expected::Proposal { sid, config }, now);
    }

    /// The router answers what was asked for.
    pub(super) fn proposal_answered(&mut self, sid: u32, config: SessionConfig, response: &Response, now: Instant) {
        if response.code.is_success() {
            self.negotiated.sid = Some(sid);
            self.config = config;
            self.choose_parameters(now);
        } else if response.code == Code::UNPROCESSABLE {
            // Its limits are others by now (RFC 9132 section 4.5.2).
            self.ask_config(now);
        }
    }
}

fn config_request(method: Method, sid: Option<u32>) -> Request {
    let mut path = [".well-known", "dots", "config"].map(str::to_owned).to_vec();
    path.extend(sid.map(|sid| format!("sid={sid}")));
    Request { reliable: true, ..Request::new(method, &path) }
}
