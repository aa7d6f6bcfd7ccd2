//! When and whom to call: attempts, the race of connections, redirection.

mod caller;
mod race;
mod redirection;
mod target;

pub use caller::{Action, Caller, Phase, State};
pub use redirection::NotFollowed;
pub use target::Target;
