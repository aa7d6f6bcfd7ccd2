//! When and whom the router calls.

mod again;
mod attempts;
mod dns;
mod elsewhere;
mod refused;
