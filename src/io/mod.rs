//! What touches the machine and both programs use: sockets, clock, signals, randomness.

pub mod buffered_stream;
pub mod clock;
pub mod connection;
pub mod netlink;
pub mod random;
mod signals;

pub use signals::signals;
