//! What must be in force.

use std::time::Duration;

use crate::scope::Scope;
use crate::source::device::Mac;

/// Everything that must be in force at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Desired {
    /// Devices' traffic to attacked targets.
    pub blocks: Vec<Block>,
    /// Devices cut off altogether.
    pub quarantined: Vec<Quarantined>,
}

/// Traffic of `devices` within `scope` is dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// The mitigation's number.
    pub id: u32,
    /// What is dropped.
    pub scope: Scope,
    /// Whose.
    pub devices: Vec<Mac>,
    /// For how long.
    pub remaining: Duration,
}

/// A device cut off from everything but the router.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quarantined {
    /// Who.
    pub mac: Mac,
    /// The mitigation it is due to; nothing for the administrator's standing decision.
    pub id: Option<u32>,
    /// For how long; nothing: until released.
    pub remaining: Option<Duration>,
}
