//! The provider's side of the protocol: what a Call Home DOTS client says to one router and hears from it.

mod assembly;
pub mod detectors;
mod efficacy;
pub mod guard;
mod negotiated;
mod negotiation;
mod pending;
mod records;
mod refusal;
mod reports;
mod session;
pub mod wishes;

pub use pending::Requester;
pub use records::MitigationRecord;
pub use refusal::{RequestFailure, conflict_text};
pub use session::{Event, Outcome, Session};
