//! How the attack stands in spite of a mitigation, as the provider sees it: told to the router (RFC 9132 section 4.4.3).

use std::time::{Duration, Instant};

use crate::coap::{Method, Request, Response};
use crate::model::Scope;
use crate::signal::DOTS_CBOR;
use crate::signal::body::{AttackStatus, Lifetime, MitigationRequest, Report};

use super::pending::{Expected, Requester};
use super::refusal::RequestFailure;
use super::session::{Outcome, Session};

/// What does not mitigate says nothing (RFC 9132 section 4.4.3), so it is not waited for long.
const PATIENCE: Duration = Duration::from_secs(10);

impl Session {
    /// Tells how the attack stands; all else is as it was asked for. The answer comes as an event.
    pub fn tell_efficacy(
        &mut self,
        requester: Requester,
        mid: u32,
        scope: Scope,
        lifetime: Lifetime,
        status: AttackStatus,
        now: Instant,
    ) {
        let update = MitigationRequest { scope, lifetime: Some(lifetime), attack_status: Some(status) }.encode();
        if update.len() > self.endpoint.max_payload() {
            return self.refuse(requester, RequestFailure::TooLarge);
        }
        let request = Request { if_match: true, ..Request::new(Method::Put, &self.mitigate(Some(mid))) };
        let request = request.with_payload(DOTS_CBOR, update);
        self.send_until(request, Expected::Efficacy { requester, mid }, Some(now + PATIENCE), now);
    }

    /// The router has heard it, and may have granted another lifetime.
    pub(super) fn efficacy_answered(&mut self, requester: Requester, mid: u32, response: &Response, now: Instant) {
        let granted = Report::parse_all(&response.payload).unwrap_or_default().into_iter().find_map(|one| one.lifetime);
        let known = self.mitigations.get_mut(&mid).filter(|known| !known.ended && response.code.is_success());
        if let (Some(known), Some(_)) = (known, granted) {
            known.take(Report { lifetime: granted, ..known.report.clone() }, None, now);
        }
        self.done(requester, Outcome::Mitigation(mid), response);
    }
}
