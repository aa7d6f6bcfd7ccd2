//! From what must be in force to what is in force.

pub mod ruleset;
