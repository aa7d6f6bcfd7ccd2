//! What a router objects to a request, in words.

use crate::coap::Response;
use crate::signal::body::{CUID_COLLISION, Conflict, LEGITIMATE_TRAFFIC, OVERLAPPING_TARGETS, Report};

/// What the router objects, in its own words where it has any.
pub fn objection(response: &Response) -> String {
    if let Some(text) = response.diagnostic() {
        return format!("{}: {text}", response.code);
    }
    match conflict(response).as_ref().and_then(objection_to) {
        Some(why) => format!("{}: {why}", response.code),
        None => response.code.to_string(),
    }
}

/// The conflict a response speaks of.
pub fn conflict(response: &Response) -> Option<Conflict> {
    let reports = Report::parse_all(&response.payload).unwrap_or_default();
    reports.into_iter().find_map(|report| report.conflict)
}

/// What stands in a request's way, in words.
pub fn objection_to(conflict: &Conflict) -> Option<String> {
    Some(match (conflict.cause?, conflict.mid) {
        (OVERLAPPING_TARGETS, Some(mid)) => format!("overlaps with mid {mid}"),
        (OVERLAPPING_TARGETS, None) => "overlaps with another request".to_owned(),
        (CUID_COLLISION, _) => "another client has our cuid".to_owned(),
        (LEGITIMATE_TRAFFIC, _) => "the traffic is legitimate".to_owned(),
        (cause, _) => format!("conflict of cause {cause}"),
    })
}
