//! What becomes of a mitigation, and what outlives a restart.

mod consent;
mod covered;
mod guards;
mod lifecycle;
mod overlap;
mod store;
mod vetoes;
mod wide;
