//! From what must be in force to what is in force.

mod bridge;
mod chains;
mod change;
mod counters;
pub mod desired;
mod dispatch;
mod enforcer;
mod event;
mod inspection;
mod kernel_queries;
mod left_open;
mod monitor;
mod progress;
mod render;
mod rule;
mod ruleset;
mod set;
mod sweep;
mod tables;
mod target;

pub use enforcer::{Enforcer, Socket};
pub use event::{Event, NotInForce};
pub use sweep::PassingFlows;
pub use target::{DropFilter, rules_per_target};
