//! The bus: our object `dots-callhome`, and what we ask of others.
//!
//! [`Bus`] is one connection to ubusd as a state machine. A message on the wire is a header (version, type, sequence,
//! peer) and one attribute that holds others; blobmsg, the format of arguments and replies, has named, typed values.
//!
//! Joining: the broker greets, we add our object and a nameless receiver of events. Then we are called (INVOKE) and
//! answer with data and status, at once or later; we look up and call others, match answers by sequence number, send
//! events, and tell our subscribers. When the connection is lost everything is asked, registered and dialled anew.
//!
//! What scripts and LuCI can rely on: times are seconds since 1970, spans are seconds, numbers 64-bit integers; `pps`
//! and `bps` are packets and bytes per second (bytes, as RFC 9132 section 4.4.2 has it). Ranges of ports and ICMP types
//! are strings, `53` or `9000-9999`. What is not known is left out. Each of a mitigation's `devices` says by `chosen`
//! whether it is acted upon. A reply that would be too large is shortened, and `omitted` counts what is missing.
//!
//! `decision.by` is the LuCI user where the call came with a session, else the Unix user of the caller; of a session
//! that rpcd does not know it says so (`root, unknown session`). Whether the caller may call at all is a matter of the
//! bus's ACL.

mod blob;
mod bus;
mod connection;
mod context;
mod device;
mod joined;
mod methods;
mod object;
mod others;
mod rate_limited_query;
mod reply;

pub use bus::{Bus, Event};
pub use connection::BusProtocolError;
pub use context::{CallContext, PeerState, PeerStatus};
pub use object::UbusStatus;
pub use others::LogicalInterface;
