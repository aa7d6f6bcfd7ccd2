//! The DOTS Signal Channel Call Home (RFC 9066) for home routers.
//!
//! ```text
//! provider's Call Home DOTS client
//!       │  TLS/TCP, dialled by us
//!  transport   credentials, secure channel, when to call       bytes in and out
//!  coap        framing, duplicates, retransmission, blocks     CoAP messages
//!  signal      mitigate, config, hb, redirect                  DOTS bodies, validated types
//!  mitigation  the ledger: consent, conflicts, lifetimes       what should be in force
//!  source      conntrack, neighbours, ended flows              who it is, with evidence
//!  enforce     desired state → one nft transaction             what is in force, counters
//!       └── status back up the same rooms: notifications to the provider, ubus events to the house
//! ```
//!
//! A request goes down once and its status comes up once; no room calls back into a room above it.
//!
//! **The rule:** no I/O, no clock, no randomness and no global state outside [`driver`]. Every other room is a deterministic state
//! machine with `handle_*(input, now)` for what happens and `poll_*()` for what it wants sent, shown, timed or done.
//!
//! **Collections:** what a home has few of is kept in sorted vectors ([`vecset`]): the code of trees would be a tenth of
//! the router's binary. [`BTreeMap`](std::collections::BTreeMap) is for what may come and go by the thousand in any order.

#![warn(unreachable_pub)]

pub mod calling;
#[cfg(feature = "client")]
pub mod client;
pub mod coap;
pub mod config;
pub mod driver;
pub mod enforce;
pub mod io;
pub mod mitigation;
pub mod model;
pub mod netlink;
pub mod signal;
pub mod source;
pub mod transport;
pub mod ubus;
pub mod uci;
