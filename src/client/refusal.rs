//! Why a request to a router comes to nothing.

use std::fmt;

use ipnet::IpNet;

use crate::coap::{Code, Response};
use crate::model::address::unroutable;
use crate::model::{Scope, printable};
use crate::signal::body::{CUID_COLLISION, Conflict, LEGITIMATE_TRAFFIC, OVERLAPPING_TARGETS, Report};

/// The reason why a request has not led to what it asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestFailure {
    /// The router has answered with an error.
    ByRouter {
        /// The response's code.
        code: Code,
        /// The router's own words, without what steers a terminal.
        diagnostic: Option<String>,
        /// The conflict it tells of (RFC 9132 section 4.4.1.3).
        conflict: Option<Conflict>,
        /// Seconds after which it is worth trying again (RFC 7252 section 5.9.3.4).
        retry: Option<u32>,
    },
    /// The router does not want to hear of this scope for so many seconds (RFC 9132 section 4.4.2.1).
    Withheld(u64),
    /// No request may be about addresses of this kind (RFC 9066 section 5.3.1, RFC 9132 section 4.4.1.1).
    Unroutable(IpNet, &'static str),
    /// No home and no target is so much of the Internet.
    TooWide(IpNet),
    /// The request does not fit one message.
    TooLarge,
    /// It was withdrawn before the router answered.
    Withdrawn,
    /// The router does not answer.
    NoAnswer,
    /// The session ended before the router answered.
    SessionEnded,
}

/// Before what a router can't do now is tried again, where it does not say when (RFC 7252 section 5.10.5), and at the latest.
const AGAIN: u32 = 60;
const LONGEST: u32 = 3600;

/// What an error means for what is wanted.
pub(super) enum Verdict {
    /// The router does not want it, for so many seconds if it says so.
    Declined(Option<u32>),
    /// It is not to be had as it stands.
    Refused,
    /// The router can't now, but may in so many seconds.
    Later(u32),
    /// Nobody knows what the router makes of it.
    Unheard,
}

/// Wider prefixes are those of whole registries: no home's and no target's.
const WIDEST_V4: u8 = 8;
const WIDEST_V6: u8 = 16;

impl RequestFailure {
    /// What no router may be asked for.
    pub(super) fn of_scope(scope: &Scope) -> Option<Self> {
        scope.source_prefixes.iter().chain(&scope.target_prefixes).find_map(|&prefix| {
            let widest = if prefix.addr().is_ipv4() { WIDEST_V4 } else { WIDEST_V6 };
            match unroutable(&prefix) {
                _ if prefix.prefix_len() < widest => Some(Self::TooWide(prefix)),
                kind => kind.map(|kind| Self::Unroutable(prefix, kind)),
            }
        })
    }

    /// Reads a router's error response.
    pub(super) fn by_router(response: &Response) -> Self {
        let reports = Report::parse_all(&response.payload).unwrap_or_default();
        Self::ByRouter {
            code: response.code,
            diagnostic: response.diagnostic().map(printable),
            conflict: reports.into_iter().find_map(|report| report.conflict),
            retry: response.max_age,
        }
    }

    /// What it means for what is wanted.
    pub(super) fn verdict(&self) -> Verdict {
        match self {
            Self::ByRouter { conflict: Some(conflict), .. } if conflict.is_objection() => {
                let is_ours = conflict.cause == Some(CUID_COLLISION);
                if is_ours { Verdict::Refused } else { Verdict::Declined(conflict.retry_timer) }
            }
            Self::ByRouter { code, retry, .. } if code.is_server_error() || *code == Code::TOO_MANY_REQUESTS => {
                Verdict::Later(retry.unwrap_or(AGAIN).clamp(1, LONGEST))
            }
            Self::Withheld(seconds) => Verdict::Declined(u32::try_from(*seconds).ok()),
            Self::ByRouter { .. } | Self::Unroutable(..) | Self::TooWide(_) | Self::TooLarge => Verdict::Refused,
            Self::Withdrawn | Self::NoAnswer | Self::SessionEnded => Verdict::Unheard,
        }
    }

    /// The conflict it is about, where the router tells of one.
    pub(super) fn conflict(&self) -> Option<&Conflict> {
        match self {
            Self::ByRouter { conflict, .. } => conflict.as_ref(),
            _ => None,
        }
    }
}

impl fmt::Display for RequestFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ByRouter { code, diagnostic, conflict, .. } => {
                let why = diagnostic.clone().or_else(|| conflict.as_ref().and_then(conflict_text));
                write!(f, "{code}")?;
                why.map_or(Ok(()), |why| write!(f, ": {why}"))
            }
            Self::Withheld(seconds) => {
                write!(f, "the router does not want to hear of this for another {seconds} s")
            }
            Self::Unroutable(prefix, kind) => write!(f, "{prefix} has {kind} addresses"),
            Self::TooWide(prefix) => write!(f, "{prefix} is too much of the Internet"),
            Self::TooLarge => f.write_str("too much for one message: ask for fewer prefixes at once"),
            Self::Withdrawn => f.write_str("withdrawn before the router answered"),
            Self::NoAnswer => f.write_str("the router does not answer"),
            Self::SessionEnded => f.write_str("the session ended before the router answered"),
        }
    }
}

impl std::error::Error for RequestFailure {}

/// A conflict in words; nothing where it has no cause.
pub fn conflict_text(conflict: &Conflict) -> Option<String> {
    Some(match (conflict.cause?, conflict.mid) {
        (OVERLAPPING_TARGETS, Some(mid)) => format!("overlaps with mid {mid}"),
        (OVERLAPPING_TARGETS, None) => "overlaps with another request".to_owned(),
        (CUID_COLLISION, _) => "another client has our cuid".to_owned(),
        (LEGITIMATE_TRAFFIC, _) => "the traffic is legitimate".to_owned(),
        (cause, _) => format!("conflict of cause {cause}"),
    })
}
