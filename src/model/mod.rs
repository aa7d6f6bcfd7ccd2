//! What all rooms speak of: scopes, addresses, flows, identifiers, moments. It imports nothing of the crate.

pub(crate) mod address;
mod allowance;
mod backoff;
mod flow;
mod id;
mod mac;
pub(crate) mod protocol;
mod range;
mod scope;
mod text;
mod time;
mod traffic;
mod transport;

pub use allowance::Allowance;
pub use backoff::Backoff;
pub use flow::{Detail, Flow, Tuple};
pub use id::MitigationId;
pub use mac::{Mac, NotAMac};
pub use range::{IcmpTypeRange, NoRange, PortRange, Range};
pub use scope::{Breadth, Scope};
pub(crate) use text::is_printable;
pub use text::printable;
pub use time::{ClockSet, Now, whole_seconds};
pub use traffic::Traffic;
pub use transport::{CALL_HOME_PORT, Transport};
