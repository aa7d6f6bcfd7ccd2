//! One call of a router: its connection, and its session once it has proven who it is.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use dots_callhome::client::{Event, Session};
use dots_callhome::io::clock;
use dots_callhome::io::connection::Connection;
use dots_callhome::model::Now;
use dots_callhome::transport::revocation::{Proven, Revocations};
use serde_json::{Value, json};

use crate::call_table::Listed;
use crate::ended::Ended;
use crate::listeners::PeerAddress;

/// Time for a router to prove who it is.
const HANDSHAKE: Duration = Duration::from_secs(20);

/// How far a call has come.
pub(crate) enum CallStage {
    /// Whoever calls has not proven yet who it is.
    Proving,
    /// One of our routers has.
    Admitted { name: String, session: Box<Session> },
}

/// A connection of a router, proven or not.
pub(crate) struct Call {
    pub connection: Connection,
    pub from: SocketAddr,
    /// Where it came in, over datagrams.
    pub peer_address: Option<PeerAddress>,
    pub stage: CallStage,
    since: Instant,
    /// What it has proven itself with, and when that is over.
    proven: (Proven, Option<Instant>),
}

impl Call {
    /// Whoever calls has yet to prove who it is.
    pub(crate) fn new(connection: Connection, from: SocketAddr, peer_address: Option<PeerAddress>) -> Self {
        let (stage, proven) = (CallStage::Proving, (Proven::default(), None));
        Self { connection, from, peer_address, stage, since: Instant::now(), proven }
    }

    /// Takes note of what it has proven itself with.
    pub(crate) fn handle_proven(&mut self, now: Now) {
        let proven = self.connection.proven();
        let seconds = proven.until.map(|until| Duration::from_secs(until.saturating_add(1).saturating_sub(now.unix)));
        let over = seconds.and_then(|seconds| now.instant.checked_add(seconds));
        self.proven = (proven, over);
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let due = match &self.stage {
            CallStage::Admitted { session, .. } => session.poll_timeout(),
            CallStage::Proving => Some(self.since + HANDSHAKE),
        };
        [due, self.proven.1, self.connection.poll_timeout()].into_iter().flatten().min()
    }

    /// Does what is due.
    pub(crate) fn handle_timeout(&mut self) -> Result<(), Ended> {
        let now = clock::now();
        self.connection.handle_timeout(now).map_err(|why| Ended::lost(&self.connection, why))?;
        if self.proven.1.is_some_and(|over| over <= now.instant) {
            return Err(Ended::Expired);
        }
        match &mut self.stage {
            CallStage::Admitted { session, .. } if session.poll_timeout().is_some_and(|due| due <= now.instant) => {
                session.handle_timeout(now.instant);
            }
            CallStage::Proving if self.since + HANDSHAKE <= now.instant => return Err(self.too_slow()),
            _ => {}
        }
        Ok(())
    }

    fn too_slow(&self) -> Ended {
        if self.peer_address.is_some() { Ended::Abandoned } else { Ended::TooSlow }
    }

    /// Its session, once it has proven who it is.
    pub(crate) fn session(&self) -> Option<&Session> {
        match &self.stage {
            CallStage::Admitted { session, .. } => Some(session),
            CallStage::Proving => None,
        }
    }

    /// The name it has proven.
    pub(crate) fn name(&self) -> Option<&str> {
        match &self.stage {
            CallStage::Admitted { name, .. } => Some(name),
            CallStage::Proving => None,
        }
    }

    /// Whether what it has proven itself with is among these.
    pub(crate) fn is_revoked(&self, revoked: &Revocations) -> bool {
        revoked.has_any(&self.proven.0.certificates)
    }

    /// What there is to say about its router.
    pub(crate) fn json(&self) -> Option<Value> {
        let CallStage::Admitted { name, session } = &self.stage else { return None };
        Some(json!({
            "name": name,
            "address": self.from.to_string(),
            "transport": self.connection.transport().as_str(),
            "seconds": self.since.elapsed().as_secs(),
            "lost_after": session.lost_after(),
            "mitigations": session.mitigations().filter(|(_, known)| !known.ended).count(),
        }))
    }

    /// Sends what the session wants sent, and takes what it tells.
    pub(crate) fn drain(&mut self) -> (Vec<Event>, Result<(), Ended>) {
        let CallStage::Admitted { session, .. } = &mut self.stage else { return (Vec::new(), Ok(())) };
        let mut outcome = Ok(());
        while let Some(bytes) = session.poll_transmit() {
            outcome = outcome.and(self.connection.send(&bytes).map_err(Ended::Lost));
        }
        let events: Vec<Event> = std::iter::from_fn(|| session.poll_event()).collect();
        if events.iter().any(|event| matches!(event, Event::Lost)) {
            outcome = outcome.and(Err(Ended::Silent));
        }
        (events, outcome)
    }
}

impl Listed for Call {
    fn due(&self) -> Option<Instant> {
        self.poll_timeout()
    }

    fn router(&self) -> Option<&str> {
        self.name()
    }

    fn source(&self) -> SocketAddr {
        self.from
    }
}
