//! Everything that needs neither root nor a network, a module for each room of `src/`: most of it in simulated time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

mod call_home;
mod calling;
mod client;
mod client_negotiation;
mod client_reports;
mod client_wire;
mod client_wishes;
mod coap;
mod config;
mod detectors;
mod enforce;
mod evasions;
mod journey;
mod mitigation;
mod netlink;
mod programs;
mod signal;
mod source;
mod support;
mod transport;
mod ubus;
mod uci;
