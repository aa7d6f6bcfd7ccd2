//! A device of the home, and how sure we are that it is the one a request speaks of.

use std::net::IpAddr;

use crate::model::{Flow, Mac, Traffic};

/// A packet's sender as the router received it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sender {
    /// The Ethernet address it came from.
    pub mac: Mac,
    /// The address it bore.
    pub address: IpAddr,
    /// The number of the link it came over.
    pub link: u32,
}

/// How sure the attribution is. `auto` acts on `Likely` and `Exact` only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Confidence {
    /// Some of what the request names fits; the administrator must decide.
    Possible,
    /// All that the request names fits, but it names too little to exclude another device.
    Likely,
    /// A flow of this device bears the very address, port and target that the provider saw.
    Exact,
}

impl Confidence {
    /// The contract's word: `exact`, `likely` or `possible`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Possible => "possible",
            Self::Likely => "likely",
            Self::Exact => "exact",
        }
    }
}

/// One reason to believe it: a flow of the device that fits the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// The flow, both sides of the NAT. What counts as sent is what went to the target, whoever opened it.
    pub flow: Flow,
    /// Its rate over the last seconds, per second.
    pub rate: Traffic,
    /// When it was seen, seconds since 1970.
    pub seen: u64,
}

/// A device that may be the attacker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suspect {
    /// Who.
    pub mac: Mac,
    /// The name the house knows it by.
    pub name: Option<String>,
    /// Its addresses as far as known.
    pub addresses: Vec<IpAddr>,
    /// The interface of the router it stands behind.
    pub interface: Option<String>,
    /// Whether it is a router that others are behind, who are hit by whatever is done to it; the name says so.
    pub behind: bool,
    /// How sure.
    pub confidence: Confidence,
    /// Why; strongest first, bounded.
    pub evidence: Vec<Evidence>,
}
