//! The DOTS signal channel: bodies, resources and sessions (RFC 9132, RFC 9066).

pub mod body;
pub mod cbor;
mod fields;
pub mod heartbeat;
pub mod liveness;
mod mitigate;
mod observers;
pub mod path;
mod rate_limiter;
pub mod redirect;
mod resources;
mod scope;
pub mod session;
pub mod session_config;
mod transfer;

pub use fields::Invalid;

/// The Content-Format of `application/dots+cbor` (RFC 9132 section 10.4).
pub const DOTS_CBOR: u16 = 271;
