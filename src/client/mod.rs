//! The provider's side of the protocol: what a Call Home DOTS client says to one router and hears from it.

mod pending;
mod refusal;
mod session;
pub mod wishes;

pub use pending::Requester;
pub use refusal::{RequestFailure, conflict_text};
pub use session::{Event, MitigationRecord, Outcome, Session};
