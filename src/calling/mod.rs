//! When and whom to call: attempts, the race of connections, redirection.

mod caller;
mod race;
mod redirection;
mod target;

pub use caller::{Caller, CallerAction, CallerPhase, CallerStatus};
pub use redirection::NotFollowed;
pub use target::Target;
