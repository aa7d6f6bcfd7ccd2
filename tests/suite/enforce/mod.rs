//! Blocks and quarantines, put into force and kept so.

mod block;
mod counters;
mod dispatch;
mod erasing;
mod faults;
mod guard;
mod narrowed;
mod ruleset;
mod servers;
mod shared_targets;
mod slow;
mod spoofed;
mod witness;
