//! The ledger: which requests stand, who consented to what, and what must therefore be in force.
//!
//! It decides and remembers; finding the device is [`crate::source`]'s work and blocking it [`crate::enforce`]'s.

mod administrator;
mod consent;
mod decisions;
mod history;
mod ledger;
mod lifecycle;
mod outbox;
mod overlap;
mod phase;
mod restart;
mod restored;
mod rivals;
pub mod snapshot;
mod state;
mod tally;

pub use consent::{Action, Consent, Denied, DevicePolicy, Policy, TimeoutAction};
pub use history::{Entry, Happened};
pub use ledger::{Grant, Ledger, Refusal, Standing};
pub use lifecycle::Mitigation;
pub use outbox::Event;
pub use state::{Client, Decision, State, Status};
