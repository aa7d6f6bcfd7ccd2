//! What is known of each mitigation, how fresh that is, and when to ask (RFC 9132 section 4.4.2, RFC 7641 section 3.3.1).

use std::time::{Duration, Instant};

use crate::coap::{Code, Response};
use crate::signal::body::Report;

/// Status 5, withdrawn and about to end; 6, terminated; 7, withdrawn by the router (RFC 9132 section 4.4.2).
const TERMINATING: u8 = 5;
const TERMINATED: u8 = 6;
const WITHDRAWN: u8 = 7;
/// What is reported without Max-Age is fresh for so long (RFC 7252 section 5.10.5).
const FRESH: Duration = Duration::from_secs(60);
/// However short it is said to be fresh, nobody is asked more often; however long, we ask in this time.
const SOONEST: Duration = Duration::from_secs(15);
const LATEST: Duration = Duration::from_secs(3600);
/// Seconds by which clocks and paths may differ before a lifetime is over.
const GRACE: Duration = Duration::from_secs(5);

/// What is known of one mitigation.
pub struct MitigationRecord {
    /// What the router said last.
    pub report: Report,
    /// Whether it is no more.
    pub ended: bool,
    heard: Instant,
    ask: Instant,
    /// Whether the router takes questions with options that may be left out.
    pub(super) takes_options: bool,
}

impl MitigationRecord {
    /// A router has told of it just now.
    pub(super) fn new(report: Report, now: Instant) -> Self {
        Self { report, ended: false, heard: now, ask: now + FRESH, takes_options: true }
    }

    /// Takes what the router tells.
    pub(super) fn take(&mut self, report: Report, max_age: Option<u32>, now: Instant) {
        let scope = report.scope.clone().or_else(|| self.report.scope.take());
        self.report = Report { scope, ..report };
        self.heard = now;
        self.ended = matches!(self.report.status, Some(TERMINATED | WITHDRAWN));
        self.ask_after(max_age, now);
    }

    /// Takes an error in answer to a question about it. Only one means that there is no such mitigation (RFC 9132 section 4.4.2).
    pub(super) fn take_error(&mut self, response: &Response, now: Instant) {
        if response.code == Code::NOT_FOUND {
            self.ended = true;
            self.report.status = self.report.status.filter(|status| *status > 4).or(Some(TERMINATED));
        }
        self.takes_options &= response.code != Code::BAD_OPTION;
        self.ask_after(response.max_age, now);
    }

    /// The router has confirmed that it is withdrawn.
    pub(super) fn handle_deleted(&mut self, now: Instant) {
        if !self.ended {
            self.report.status = Some(TERMINATING);
            self.ask = now + SOONEST;
        }
    }

    fn ask_after(&mut self, max_age: Option<u32>, now: Instant) {
        let fresh = max_age.map_or(FRESH, |seconds| Duration::from_secs(seconds.into()));
        self.ask = now + fresh.clamp(SOONEST, LATEST);
    }

    /// The question about it has been put.
    pub(super) fn handle_asked(&mut self, now: Instant) {
        self.ask = now + FRESH;
    }

    /// When the router is to be asked, unless it tells before.
    pub(super) fn asks_at(&self) -> Option<Instant> {
        (!self.ended).then_some(self.ask)
    }

    /// When its time is over, as far as the router has told.
    pub(super) fn over_at(&self) -> Option<Instant> {
        let seconds = self.report.lifetime.and_then(|seconds| u64::try_from(seconds).ok())?;
        (!self.ended).then(|| self.heard + Duration::from_secs(seconds) + GRACE)
    }

    /// Its time is over.
    pub(super) fn handle_over(&mut self) {
        self.ended = true;
        self.report.status = Some(TERMINATED);
    }

    /// When something is to be done about it.
    pub(super) fn due(&self) -> Option<Instant> {
        [self.asks_at(), self.over_at()].into_iter().flatten().min()
    }
}
