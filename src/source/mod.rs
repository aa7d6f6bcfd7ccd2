//! Who it is: from what the provider saw to the device behind NAT, with evidence.

mod asking;
mod attribution;
mod candidates;
pub mod device;
mod domain;
mod ended;
mod finder;
pub mod flow;
mod inventory;
mod network;
mod plan;
mod search;
mod surveyor;

pub use domain::Interface;
pub use finder::{Event, Finder, Socket};
pub use inventory::{Device, Inventory};
