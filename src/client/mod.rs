//! The provider's side of the protocol: what a Call Home DOTS client says to one router and hears from it.

mod error_text;
mod pending;
mod session;

pub use error_text::objection_to;
pub use pending::Asker;
pub use session::{Event, Known, Router};
