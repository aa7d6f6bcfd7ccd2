//! From what must be in force to what is in force.

mod counters;
mod dialogue;
mod enforcer;
mod inspect;
mod render;
pub mod ruleset;
mod target;
mod verify;
mod watch;

pub use enforcer::{Enforcer, Event, Socket};
