//! The router's loop: it connects the rooms with sockets, clock, files and processes.

mod bus_connection;
mod child;
mod daemon;
mod files;
mod kernel;
pub mod logger;
mod news;
mod peers;
mod persistence;
mod provider;
mod resolver;

pub use daemon::{Daemon, Options};
pub use peers::check;
