//! When and whom to call: attempts, the race of connections, redirection.

mod caller;
mod caller_status;
pub mod dns;
mod race;
mod redirection;
mod target;

pub use caller::{Caller, CallerAction};
pub use caller_status::{CallerPhase, CallerStatus};
pub use redirection::NotFollowed;
pub use target::Target;
