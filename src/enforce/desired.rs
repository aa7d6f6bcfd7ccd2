//! What must be in force: the language the ledger speaks to the enforcer.

use std::net::IpAddr;
use std::time::Duration;

use vecset::VecMap;

use crate::model::{Mac, MitigationId, Scope};

/// Devices, each with the addresses that alone are meant of it.
pub type Narrowed = VecMap<Mac, Vec<IpAddr>>;

/// Everything that must be in force at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Desired {
    /// Devices' traffic to attacked targets.
    pub blocks: Vec<Block>,
    /// Devices cut off altogether.
    pub quarantined: Vec<Quarantined>,
    /// Traffic whose senders are noted.
    pub sender_logs: Vec<SenderLog>,
}

/// Traffic of `devices` within `scope` is dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// The mitigation that asks for it.
    pub id: MitigationId,
    /// What is dropped.
    pub scope: Scope,
    /// Whose.
    pub devices: Vec<Mac>,
    /// For those of the devices that stand for others as well: from which addresses only.
    pub narrowed: Narrowed,
    /// For how long.
    pub remaining: Duration,
}

/// Whoever sends traffic within `scope` is noted by Ethernet address, IP address and link, and passes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SenderLog {
    /// The mitigation that asks for it.
    pub id: MitigationId,
    /// What is looked at.
    pub scope: Scope,
}

/// A device cut off from everything but the router.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quarantined {
    /// The device.
    pub mac: Mac,
    /// On whose behalf.
    pub owner: Owner,
    /// For how long; nothing: until released.
    pub remaining: Option<Duration>,
}

/// On whose behalf something is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Owner {
    /// The administrator, who has quarantined devices without any request.
    Administrator,
    /// A mitigation.
    Mitigation(MitigationId),
}
