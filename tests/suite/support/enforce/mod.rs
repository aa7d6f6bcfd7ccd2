//! What tests of enforcement share.

pub mod house;
pub mod kernel;
