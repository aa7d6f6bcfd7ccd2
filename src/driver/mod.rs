//! The router's loop: it connects the rooms with sockets, clock, files and processes.

mod child;
mod daemon;
mod files;
mod join;
mod keeper;
mod kernel;
pub mod logger;
mod news;
mod peers;
mod provider;
mod resolver;

pub use daemon::{Daemon, Options};
pub use peers::check;
