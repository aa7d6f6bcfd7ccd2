//! The router's loop: it connects the rooms with sockets, clock, files and processes.

mod bus_connection;
mod daemon;
mod files;
mod import;
mod kernel_sockets;
pub mod logger;
mod name_servers;
mod news;
mod news_limiter;
mod nft;
mod paths;
mod peers;
mod persistence;
mod proof;
mod provider;
mod provider_status;
mod resolver;
mod snapshot_files;
mod snapshot_schedule;
mod wiring;

pub use daemon::{Daemon, DaemonError};
pub use import::{ImportError, Imported, check_profile, import};
pub use paths::Paths;
pub use peers::{Findings, check};
