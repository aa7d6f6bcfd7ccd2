//! The loop: the only room that touches sockets, clocks, files, processes and randomness.

pub mod link;
pub mod random;
