//! The ledger: which requests stand, who consented to what, and what must therefore be in force.
//!
//! It decides and remembers; finding the device is [`crate::source`]'s work and blocking it [`crate::enforce`]'s.
//!
//! The methods of [`Ledger`] are of five kinds. Commands are verbs: the provider's ([`Ledger::put`], [`Ledger::delete`]), the
//! administrator's ([`Ledger::approve`], [`Ledger::reject`], [`Ledger::withdraw`], [`Ledger::quarantine`],
//! [`Ledger::release`], [`Ledger::lift`]) and [`Ledger::restore`] at the start. Settings begin with `set_`. Inputs, that is what has happened
//! elsewhere, begin with `handle_`. Outputs begin with `poll_`; after any of these they are to be asked until there are
//! none. All others are getters, named by nouns.

mod budget;
mod conflicts;
mod consent;
mod decisions;
mod drop_stats;
mod findings;
mod history;
mod incident;
mod kept;
mod ledger;
mod lifecycle;
mod orders;
mod outbox;
mod overlap;
mod phase;
mod requests;
mod restart;
mod restored;
pub mod snapshot;
mod state;
mod term;
mod veto;
mod vetoes;

pub use consent::{Action, Consent, Denied, DevicePolicy, Policy, TimeoutAction};
pub use history::{About, Entry, Happened};
pub use incident::Incident;
pub use ledger::{Ledger, ManualQuarantine};
pub use lifecycle::Mitigation;
pub use orders::Whom;
pub use outbox::{Event, Generation};
pub use requests::{Grant, Refusal};
pub use state::{Cause, Client, Decision, State, Status};
pub use term::{Term, Until};
pub use veto::Veto;
