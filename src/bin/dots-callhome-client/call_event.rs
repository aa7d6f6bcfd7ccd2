//! What calls tell the rest of the program.

use std::net::SocketAddr;

use dots_callhome::client::{Outcome, RequestFailure, Requester};

/// What a router tells of the requests it was sent.
pub(crate) enum CallEvent {
    /// A request has its answer.
    Answered {
        /// Who waits for it.
        requester: Requester,
        /// Which router.
        router: String,
        /// What has become of the request.
        outcome: Result<Outcome, RequestFailure>,
    },
    /// A router has a session.
    Came {
        /// Which router.
        router: String,
    },
    /// It has said what it knows.
    Known {
        /// Which router.
        router: String,
    },
    /// A router's session is over.
    Gone {
        /// Which router.
        router: String,
        /// Why, in words.
        why: String,
    },
    /// Another router with the same name calls.
    Duplicate {
        /// The name.
        router: String,
        /// From where.
        from: SocketAddr,
    },
    /// There is something new about a mitigation.
    Reported {
        /// Which router.
        router: String,
        /// Its mitigation.
        mid: u32,
    },
}
