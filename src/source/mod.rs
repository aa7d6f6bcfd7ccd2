//! Who it is: from what the provider saw to the device behind NAT, with evidence.

pub mod device;
pub mod flow;
mod inventory;

pub use inventory::{Device, Inventory};
