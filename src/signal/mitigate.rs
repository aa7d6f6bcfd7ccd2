//! The `mitigate` resource: from requests to the ledger and back to reports (RFC 9132 section 4.4).

use std::time::Duration;

use ipnet::IpNet;

use super::DOTS_CBOR;
use super::body::{
    Conflict, Dropped, LEGITIMATE_TRAFFIC, Lifetime, MitigationRequest, OVERLAPPING_TARGETS, REQUEST_ACTIVE, Report,
};
use super::path::Content;
use crate::coap::{Code, Request, Response};
use crate::mitigation::{Client, Ledger, Mitigation, Refusal, State, Status};
use crate::model::address::is_internal;
use crate::model::{MitigationId, Now, whole_seconds};

/// What comes of a PUT.
#[derive(Debug)]
pub(super) enum Put {
    /// Answer at once.
    Answer(Response),
    /// A new request: answer once the home has been searched, so that legitimate traffic is refused in the answer itself.
    Assess(MitigationId),
    /// A refresh, and its answer; one of a request that is not answered yet is but a copy of it.
    Refreshed(MitigationId, Response),
    /// Say nothing (RFC 9132 section 4.4.3).
    Silence,
}

/// Where the sources of requests may lie (RFC 9066 sections 5.3.1 and 8).
#[derive(Debug, Default)]
pub(super) struct Reach {
    /// The addresses and prefixes under which this network is seen from outside.
    pub(super) domain: Vec<IpNet>,
    /// Whether addresses that are not visible outside may be named too.
    pub(super) internal: bool,
}

impl Reach {
    /// Why a source can't be accepted.
    fn objection(&self, prefix: &IpNet) -> Option<String> {
        if self.domain.iter().any(|own| own.contains(prefix)) || (self.internal && is_internal(prefix)) {
            return None;
        }
        let why = if is_internal(prefix) { "not visible outside" } else { "out of scope" };
        Some(format!("source-prefix: {prefix} is {why}"))
    }
}

/// A request or a refresh.
pub(super) fn put(ledger: &mut Ledger, reach: &Reach, client: &Client, mid: u32, request: &Request, now: Now) -> Put {
    // An efficacy update is told by its If-Match (RFC 9132 section 4.4.3).
    let efficacy = request.if_match;
    let request = match MitigationRequest::parse(&request.payload, efficacy) {
        Ok(request) => request,
        Err(invalid) => return Put::Answer(Response::text(Code::BAD_REQUEST, &invalid.to_string())),
    };
    if let Some(why) = request.scope.source_prefixes.iter().find_map(|prefix| reach.objection(prefix)) {
        return Put::Answer(Response::text(Code::BAD_REQUEST, &why));
    }
    let known = ledger.find(client, mid).map(|known| known.remaining(now));
    let lifetime = match (request.lifetime, known) {
        (Some(Lifetime::Seconds(seconds)), _) => Some(Duration::from_secs(seconds.into())),
        (Some(Lifetime::Indefinite), _) => None,
        // An efficacy update without one keeps what is left.
        (None, left) => left,
    };
    if request.attack_status.is_some() && !efficacy && known.is_none() {
        return Put::Answer(Response::text(Code::BAD_REQUEST, "attack-status: nothing known with this mid"));
    }
    match ledger.put(client, mid, &request.scope, lifetime, efficacy, now) {
        Ok(grant) if grant.created => Put::Assess(grant.id),
        Ok(grant) => {
            let conflict = ledger.get(grant.id).and_then(|mitigation| overlap(ledger, mitigation));
            let lifetime = Some(lifetime_field(grant.lifetime));
            let report = Report { mid: Some(mid), lifetime, conflict, ..Report::default() };
            Put::Refreshed(grant.id, reports(Code::CHANGED, &[report]))
        }
        Err(Refusal::Unmatched) => Put::Silence,
        Err(refusal) => Put::Answer(refuse(&refusal)),
    }
}

/// The client shall try again later.
pub(super) fn unavailable(why: &str, retry: Duration) -> Response {
    let seconds = u32::try_from(retry.as_secs().saturating_add(1)).unwrap_or(u32::MAX);
    Response { max_age: Some(seconds), ..Response::text(Code::UNAVAILABLE, why) }
}

fn refuse(refusal: &Refusal) -> Response {
    match refusal {
        Refusal::Overlaps { mid, prefixes } => conflict(Conflict {
            mid: Some(*mid),
            target_prefixes: prefixes.clone(),
            ..Conflict::because(OVERLAPPING_TARGETS)
        }),
        Refusal::Legitimate => conflict(Conflict::because(LEGITIMATE_TRAFFIC)),
        Refusal::Full { retry } => unavailable(&refusal.to_string(), *retry),
        Refusal::ScopeChanged | Refusal::Unmatched => Response::text(Code::BAD_REQUEST, &refusal.to_string()),
    }
}

fn conflict(conflict: Conflict) -> Response {
    reports(Code::CONFLICT, &[Report { conflict: Some(conflict), ..Report::default() }])
}

/// A request of another client speaks of the same attack; this one is in force all the same.
fn overlap(ledger: &Ledger, mitigation: &Mitigation) -> Option<Conflict> {
    let target_prefixes = ledger.overlapping_targets(mitigation);
    (!target_prefixes.is_empty()).then(|| Conflict {
        status: Some(REQUEST_ACTIVE),
        target_prefixes,
        ..Conflict::because(OVERLAPPING_TARGETS)
    })
}

/// The answer to a new request, now that the home has been searched, or that waiting longer would be rude.
pub(super) fn created(ledger: &mut Ledger, id: MitigationId, now: Now) -> Response {
    let Some(mitigation) = ledger.get(id) else {
        return unavailable("overtaken by another request", Duration::ZERO);
    };
    if mitigation.legitimate() {
        let (client, mid) = (mitigation.client().clone(), mitigation.mid());
        ledger.delete(&client, mid, now);
        return conflict(Conflict::because(LEGITIMATE_TRAFFIC));
    }
    let waits = matches!(mitigation.state(), State::Pending | State::Searching);
    let report = Report {
        mid: Some(mitigation.mid()),
        lifetime: Some(lifetime_field(mitigation.granted())),
        status: waits.then_some(Status::InProgress as u8),
        conflict: overlap(ledger, mitigation),
        ..Report::default()
    };
    reports(Code::CREATED, &[report])
}

/// The answer to a GET, or a notification that also has the last words on what is `gone`; and whether something of it is
/// being mitigated.
pub(super) fn get(
    ledger: &Ledger,
    client: &Client,
    mid: Option<u32>,
    content: Content,
    gone: Vec<Report>,
    now: Now,
) -> (Response, bool) {
    let wanted = |m: &&Mitigation| mid.is_none_or(|mid| m.mid() == mid);
    let found: Vec<&Mitigation> = ledger.of_client(client).filter(wanted).collect();
    let active = found.iter().any(|mitigation| mitigation.state().in_force());
    let mut all: Vec<Report> = found.into_iter().map(|mitigation| report(ledger, mitigation, content, now)).collect();
    // A mid may have been given anew meanwhile.
    all.extend(gone.into_iter().filter(|gone| ledger.find(client, gone.mid.unwrap_or_default()).is_none()));
    match all.is_empty() {
        true => (Response::text(Code::NOT_FOUND, "no such mitigation"), false),
        false => (reports(Code::CONTENT, &all), active),
    }
}

/// The last word on a mitigation that is no more; what it was about has been said before.
pub(super) fn last(mitigation: &Mitigation, content: Content) -> Report {
    let rest = content != Content::Configuration;
    Report {
        mid: Some(mitigation.mid()),
        lifetime: Some(0),
        start: mitigation.started().filter(|_| rest),
        status: rest.then(|| mitigation.status() as u8),
        dropped: dropped(mitigation).filter(|_| rest),
        ..Report::default()
    }
}

fn report(ledger: &Ledger, mitigation: &Mitigation, content: Content, now: Now) -> Report {
    let (configuration, rest) = (content != Content::NonConfiguration, content != Content::Configuration);
    let conflict = match mitigation.legitimate() {
        true => Some(Conflict::because(LEGITIMATE_TRAFFIC)),
        false => overlap(ledger, mitigation),
    };
    Report {
        mid: Some(mitigation.mid()),
        lifetime: Some(lifetime_field(mitigation.remaining(now))),
        scope: configuration.then(|| mitigation.scope().clone()),
        start: mitigation.started().filter(|_| rest),
        status: rest.then(|| mitigation.status() as u8),
        conflict: conflict.filter(|_| rest),
        dropped: dropped(mitigation).filter(|_| rest),
    }
}

/// What has been dropped, once anything could be.
fn dropped(mitigation: &Mitigation) -> Option<Dropped> {
    let (dropped, average) = (mitigation.dropped(), mitigation.average());
    mitigation.started().map(|_| Dropped {
        bytes: dropped.bytes,
        bps: average.bytes,
        packets: dropped.packets,
        pps: average.packets,
    })
}

fn reports(code: Code, reports: &[Report]) -> Response {
    Response::content(code, DOTS_CBOR, Report::encode_all(reports))
}

/// A lifetime as the body holds it; a mitigation that is still there never reports 0.
fn lifetime_field(left: Duration) -> i64 {
    i64::try_from(whole_seconds(left)).unwrap_or(i64::MAX)
}
