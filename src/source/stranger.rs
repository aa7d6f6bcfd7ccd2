//! Senders that are known and yet no device that could be blocked by an Ethernet address.

use std::fmt;
use std::net::IpAddr;

/// A sender of what a request names that is no device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stranger {
    /// From where it sends.
    pub address: IpAddr,
    /// The router's interface over which it is reached, as far as known.
    pub interface: Option<String>,
    /// What it is.
    pub kind: StrangerKind,
    /// Whose packets to the target the router has taken in itself; only where it sends itself.
    pub asked_by: Vec<IpAddr>,
}

/// What a sender is that is no device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StrangerKind {
    /// The router itself: a program on it, a proxy, a second translation.
    Router,
    /// Somebody behind a tunnel, who has no Ethernet address.
    NoEthernet,
    /// Somebody on a link that leads out of the home.
    Outside,
    /// Nobody is known to have the address.
    Unknown,
}

impl fmt::Display for Stranger {
    /// Who it is, and why it can't be blocked as a device.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.address)?;
        if let Some(interface) = &self.interface {
            write!(f, " on {interface}")?;
        }
        f.write_str(match self.kind {
            StrangerKind::Router => {
                " sends: the router itself, by a program on it such as a proxy; it can't be blocked"
            }
            StrangerKind::NoEthernet => " sends: it has no Ethernet address by which it could be blocked",
            StrangerKind::Outside => " sends: it is no device of the home, as that link leads out of it",
            StrangerKind::Unknown => " sends: no device is known to have that address",
        })?;
        let mut asked_by = self.asked_by.iter();
        if let Some(first) = asked_by.next() {
            write!(f, "; asked by {first}")?;
        }
        asked_by.try_for_each(|other| write!(f, ", {other}"))
    }
}
