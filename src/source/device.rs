//! A device of the home, and how sure we are that it is the one a request speaks of.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use super::flow::{Flow, Traffic};

/// An Ethernet address: the one identity of a device that survives changing IP addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Mac(pub [u8; 6]);

/// The text is no unicast Ethernet address in the form `02:00:00:00:00:11`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAMac;

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl FromStr for Mac {
    type Err = NotAMac;

    /// Six pairs of hexadecimal digits, either case; multicast, broadcast and all-zero addresses name no device.
    fn from_str(text: &str) -> Result<Self, NotAMac> {
        let mut octets = [0; 6];
        let mut parts = text.split(':');
        for octet in &mut octets {
            let part =
                parts.next().filter(|p| p.len() == 2 && p.bytes().all(|b| b.is_ascii_hexdigit())).ok_or(NotAMac)?;
            *octet = u8::from_str_radix(part, 16).map_err(|_| NotAMac)?;
        }
        let unicast = octets[0] & 1 == 0 && octets != [0; 6];
        if parts.next().is_none() && unicast { Ok(Self(octets)) } else { Err(NotAMac) }
    }
}

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
