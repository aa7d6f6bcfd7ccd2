//! The signal channel as a provider sees it: bytes in, bytes out.

mod blocks;
mod bounds;
mod cbor;
mod conflicts;
mod flood;
mod heartbeat;
mod mitigate;
mod names;
mod observe;
mod redirect;
mod reports;
mod resources;
mod session_config;
mod status;
mod withdrawal;
