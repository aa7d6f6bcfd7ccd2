//! The `mitigate` resource: from requests to the ledger and back to reports (RFC 9132 section 4.4).

use std::time::Duration;

use ipnet::IpNet;

use super::DOTS_CBOR;
use super::body::{
    CUID_COLLISION, Conflict, Dropped, LEGITIMATE_TRAFFIC, Lifetime, MitigationRequest, OVERLAPPING_TARGETS, Report,
};
use super::path::Content;
use crate::coap::{Code, Response};
use crate::mitigation::{Client, Id, Ledger, Mitigation, Refusal, State, Status};
use crate::time::Now;

/// What comes of a PUT.
#[derive(Debug)]
pub(super) enum Put {
    /// Answer at once.
    Answer(Response),
    /// Answer once the home has been searched, so that legitimate traffic is refused in the answer itself.
    Assess(Id),
    /// Say nothing (RFC 9132 section 4.4.3).
    Silence,
}

/// A request or a refresh. `domain` is what the sources must lie in (RFC 9066 section 5.3.1).
pub(super) fn put(
    ledger: &mut Ledger,
    client: &Client,
    mid: u32,
    payload: &[u8],
    efficacy: bool,
    domain: &[IpNet],
    now: Now,
) -> Put {
    let request = match MitigationRequest::parse(payload, efficacy) {
        Ok(request) => request,
        Err(invalid) => return Put::Answer(Response::text(Code::BAD_REQUEST, &invalid.to_string())),
    };
    let ours = |prefix: &&IpNet| domain.iter().any(|own| own.contains(*prefix));
    if let Some(foreign) = request.scope.source_prefixes.iter().find(|prefix| !ours(prefix)) {
        let why = format!("source-prefix: {foreign} is outside this domain");
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
            let report = Report { mid: Some(mid), lifetime: Some(whole_seconds(grant.lifetime)), ..Report::default() };
            Put::Answer(reports(Code::CHANGED, &[report]))
        }
        Err(Refusal::Unmatched) => Put::Silence,
        Err(refusal) => Put::Answer(refuse(&refusal)),
    }
}

fn refuse(refusal: &Refusal) -> Response {
    match refusal {
        Refusal::Overlaps { mid, prefixes } => conflict(Conflict {
            mid: Some(*mid),
            target_prefixes: prefixes.clone(),
            ..Conflict::because(OVERLAPPING_TARGETS)
        }),
        Refusal::CuidTaken => conflict(Conflict::because(CUID_COLLISION)),
        Refusal::Legitimate => conflict(Conflict::because(LEGITIMATE_TRAFFIC)),
        Refusal::Full { retry } => Response {
            max_age: Some(u32::try_from(retry.as_secs().max(1)).unwrap_or(u32::MAX)),
            ..Response::text(Code::UNAVAILABLE, &refusal.to_string())
        },
        Refusal::ScopeChanged | Refusal::Unmatched => Response::text(Code::BAD_REQUEST, &refusal.to_string()),
    }
}

fn conflict(conflict: Conflict) -> Response {
    reports(Code::CONFLICT, &[Report { conflict: Some(conflict), ..Report::default() }])
}

/// The answer to a new request, now that the home has been searched, or that waiting longer would be rude.
pub(super) fn created(ledger: &mut Ledger, id: Id, now: Now) -> Response {
    let Some(mitigation) = ledger.get(id) else {
        return Response::text(Code::UNAVAILABLE, "overtaken by another request");
    };
    if mitigation.legitimate() {
        let (client, mid) = (mitigation.client().clone(), mitigation.mid());
        ledger.delete(&client, mid, now);
        return conflict(Conflict::because(LEGITIMATE_TRAFFIC));
    }
    let waits = matches!(mitigation.state(), State::Pending | State::Searching);
    let report = Report {
        mid: Some(mitigation.mid()),
        lifetime: Some(whole_seconds(mitigation.granted())),
        status: waits.then_some(Status::InProgress as u8),
        ..Report::default()
    };
    reports(Code::CREATED, &[report])
}

/// The answer to a GET, and whether something of it is being mitigated.
pub(super) fn get(ledger: &Ledger, client: &Client, mid: Option<u32>, content: Content, now: Now) -> (Response, bool) {
    let wanted = |m: &&Mitigation| mid.is_none_or(|mid| m.mid() == mid);
    let found: Vec<&Mitigation> = ledger.of_client(client).filter(wanted).collect();
    if found.is_empty() {
        return (Response::text(Code::NOT_FOUND, "no such mitigation"), false);
    }
    let active = found.iter().any(|mitigation| mitigation.state().in_force());
    let all: Vec<Report> = found.into_iter().map(|mitigation| report(mitigation, content, now)).collect();
    (reports(Code::CONTENT, &all), active)
}

/// The last word on a mitigation that is no more.
pub(super) fn last(mitigation: &Mitigation, content: Content, now: Now) -> Response {
    reports(Code::CONTENT, &[report(mitigation, content, now)])
}

fn report(mitigation: &Mitigation, content: Content, now: Now) -> Report {
    let (configuration, rest) = (content != Content::NonConfiguration, content != Content::Configuration);
    let begun = rest && mitigation.started().is_some();
    let (dropped, average) = (mitigation.dropped(), mitigation.average());
    Report {
        mid: Some(mitigation.mid()),
        lifetime: Some(whole_seconds(mitigation.remaining(now))),
        scope: configuration.then(|| mitigation.scope().clone()),
        start: mitigation.started().filter(|_| rest),
        status: rest.then(|| mitigation.status() as u8),
        conflict: (rest && mitigation.legitimate()).then(|| Conflict::because(LEGITIMATE_TRAFFIC)),
        dropped: begun.then_some(Dropped {
            bytes: dropped.bytes,
            bps: average.bytes,
            packets: dropped.packets,
            pps: average.packets,
        }),
    }
}

fn reports(code: Code, reports: &[Report]) -> Response {
    Response::content(code, DOTS_CBOR, Report::encode_all(reports))
}

/// Seconds, rounded up: a mitigation that is still there never reports 0.
fn whole_seconds(time: Duration) -> i64 {
    i64::try_from(time.as_secs() + u64::from(time.subsec_nanos() > 0)).unwrap_or(i64::MAX)
}
