//! What becomes of a mitigation, and what outlives a restart.

mod budget;
mod consent;
mod covered;
mod guards;
mod incidents;
mod lifecycle;
mod overlap;
mod restart;
mod sharers;
mod store;
mod strangers;
mod until;
mod vetoes;
mod wide;
