//! The bus: our object `dots-callhome`, and what we ask of others.
//!
//! [`Bus`] is one connection to ubusd as a state machine. A message on the wire is a header (version, type, sequence,
//! peer) and one attribute that holds others; blobmsg, the format of arguments and replies, has named, typed values.
//!
//! Joining: the broker greets, we add our object and a nameless receiver of events. Then we are called (INVOKE) and
//! answer with data and status, at once or later; we look up and call others, match answers by sequence number, send
//! events, and tell our subscribers. When the connection is lost everything is asked, registered and dialled anew.

mod api;
mod blob;
mod bus;
mod connection;
mod device;
mod house;
mod inquiry;
mod object;
mod others;
mod reply;
mod request;

pub use bus::{Bus, Event};
pub use connection::Broken;
pub use house::{House, PeerState, PeerStatus};
pub use object::Status;
pub use others::Interface;
