//! What all rooms speak of: scopes, Ethernet addresses, flows, identifiers, moments. It imports nothing of the crate.

mod backoff;
mod flow;
mod id;
mod mac;
mod scope;
mod time;

pub use backoff::Backoff;
pub(crate) use flow::has_ports;
pub use flow::{Detail, Flow, Traffic, Tuple};
pub use id::MitigationId;
pub use mac::{Mac, NotAMac};
pub use scope::{IcmpTypeRange, PortRange, Scope};
pub use time::{ClockSet, Now};
