//! The loop: the only room that touches sockets, clocks, files, processes and randomness.

mod child;
pub mod clock;
mod daemon;
mod files;
mod join;
mod keeper;
mod kernel;
mod line;
pub mod link;
pub mod logger;
mod netlink;
mod news;
mod peers;
mod provider;
pub mod random;
mod resolver;
pub mod signals;

pub use daemon::{Daemon, Options};
pub use peers::check;
