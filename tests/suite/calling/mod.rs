//! When and whom the router calls.

mod again;
mod attempts;
mod elsewhere;
mod refused;
