//! What we have asked a router and what its answers are about.

use std::time::{Duration, Instant};

use crate::coap::{Request, Response, Token};
use crate::signal::body::MitigationRequest;

/// After so long a notification is the latest whatever its number (RFC 7641 section 3.4).
const ORDERED: Duration = Duration::from_secs(128);

/// Whoever waits for an answer; the control connection.
pub type Asker = u64;

/// What a question is about.
pub enum Awaited {
    /// The configuration.
    Config,
    /// All mitigations, as far as their blocks have come.
    All(Vec<u8>),
    /// A mitigation request.
    Put { asker: Asker, mid: u32, request: Box<MitigationRequest> },
    /// Nobody has asked when the router says itself that the attack has stopped.
    Delete { asker: Option<Asker>, mid: u32 },
    /// That the router call elsewhere.
    Redirect(Asker),
    /// What becomes of a mitigation.
    Observation(u32),
    /// The rest of a notification that comes in blocks.
    Rest(u32, Vec<u8>),
}

impl Awaited {
    /// Who waits for the answer.
    pub fn asker(self) -> Option<Asker> {
        match self {
            Self::Put { asker, .. } | Self::Redirect(asker) => Some(asker),
            Self::Delete { asker, .. } => asker,
            Self::Config | Self::All(_) | Self::Observation(_) | Self::Rest(..) => None,
        }
    }
}

/// A request of ours whose answers are awaited.
pub struct Question {
    /// Its answers bear this.
    pub token: Token,
    /// What it is about.
    pub awaited: Awaited,
    /// What is to be repeated until it is answered.
    pub unanswered: Option<Request>,
    /// The number of the latest notification, and when it came.
    latest: Option<(u32, Instant)>,
}

impl Question {
    /// Asked just now.
    pub fn new(token: Token, awaited: Awaited, unanswered: Option<Request>) -> Self {
        Self { token, awaited, unanswered, latest: None }
    }

    /// Takes note of an answer; false where it is a notification that others have overtaken (RFC 7641 section 3.4).
    pub fn take(&mut self, response: &Response, now: Instant) -> bool {
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
