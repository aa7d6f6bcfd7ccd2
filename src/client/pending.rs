//! The requests that wait for a router's answers.

use std::time::{Duration, Instant};

use crate::coap::{Request, Response, Token};
use crate::signal::body::MitigationRequest;
use crate::signal::session_config::SessionConfig;

use super::assembly::Assembly;

/// After so long a notification is the latest whatever its number (RFC 7641 section 3.4).
const ORDERED: Duration = Duration::from_secs(128);

/// Who waits for an answer, numbered by the session's owner.
pub type Requester = u64;

/// What the answer to a request is about.
pub(super) enum Expected {
    /// The configuration.
    Config,
    /// A configuration that was asked for, under this number.
    Proposal { sid: u32, config: SessionConfig },
    /// All mitigations, as far as their blocks have come.
    All(Assembly),
    /// A mitigation request.
    Put { requester: Requester, mid: u32, request: Box<MitigationRequest> },
    /// Nobody has asked when the router says itself that the attack has stopped.
    Delete { requester: Option<Requester>, mid: u32 },
    /// How the attack stands.
    Efficacy { requester: Requester, mid: u32 },
    /// That the router call elsewhere.
    Redirect(Requester),
    /// What becomes of a mitigation.
    Observation(u32),
    /// The same asked once, or the rest of a notification that comes in blocks.
    Report(u32, Assembly),
}

impl Expected {
    /// Who waits for the answer, if anybody does.
    pub(super) fn requester(self) -> Option<Requester> {
        match self {
            Self::Put { requester, .. } | Self::Efficacy { requester, .. } | Self::Redirect(requester) => {
                Some(requester)
            }
            Self::Delete { requester, .. } => requester,
            Self::Config | Self::Proposal { .. } | Self::All(_) | Self::Observation(_) | Self::Report(..) => None,
        }
    }
}

/// A request of ours whose answers are expected.
pub(super) struct PendingRequest {
    /// Its answers bear this.
    pub token: Token,
    /// What it is about.
    pub expected: Expected,
    /// What is to be repeated until it is answered.
    pub unanswered: Option<Request>,
    /// When an answer is of no use any more.
    pub until: Option<Instant>,
    /// The number of the latest notification, and when it came.
    latest: Option<(u32, Instant)>,
}

impl PendingRequest {
    /// Asked just now.
    pub(super) fn new(token: Token, expected: Expected, unanswered: Option<Request>, until: Option<Instant>) -> Self {
        Self { token, expected, unanswered, until, latest: None }
    }

    /// Takes note of an answer; false where it is a notification that others have overtaken (RFC 7641 section 3.4).
    pub(super) fn take(&mut self, response: &Response, now: Instant) -> bool {
        self.unanswered = None;
        let Some(number) = response.observe else { return true };
        let ahead = |former: u32| (1..1 << 23).contains(&(number.wrapping_sub(former) & 0xff_ffff));
        let is_fresh = self.latest.is_none_or(|(former, at)| ahead(former) || now > at + ORDERED);
        if is_fresh {
            self.latest = Some((number, now));
        }
        is_fresh
    }
}
