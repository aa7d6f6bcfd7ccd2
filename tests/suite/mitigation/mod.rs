//! What becomes of a mitigation, and what outlives a restart.

mod budget;
mod consent;
mod lifecycle;
mod overlap;
mod restart;
mod store;
