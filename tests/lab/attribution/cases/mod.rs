//! The cases of attribution with real packets.

mod named;
mod networks;
mod tricks;

use crate::attribution::Lab;
use crate::home::device_mac;

/// Devices on the first bridge.
pub const DEVICES: usize = 40;
/// The number of the device that is a router itself, with another behind it.
pub const INNER: usize = 40;
/// The numbers of the device in the guest network, of the one in a VLAN, and of device 6's other leg, in that VLAN.
pub const GUEST: usize = 60;
pub const TAGGED: usize = 61;
pub const TRUNK: usize = 62;

/// One case. It starts its traffic to this port of the victim, and says what the provider asks.
pub struct Case {
    pub name: &'static str,
    pub who: Who,
    pub act: fn(&mut Lab, u16) -> Vec<String>,
}

/// What must come of it.
pub enum Who {
    /// These and nobody else are found for sure: they send.
    Surely(&'static [usize]),
    /// These and nobody else once their packets have been seen; until then it may seem to be those whose addresses they use.
    InTheEnd(&'static [usize]),
    /// Nobody is found for sure, though these send and are shown; why nobody can know.
    Nobody(&'static [usize], &'static str),
    /// Nobody is found for sure, for it is somebody behind this router of the home; the name shown says so.
    Behind(usize),
    /// The request is not accepted, for a reason that contains this.
    Refused(&'static str),
}

/// All cases.
pub fn all() -> impl Iterator<Item = &'static Case> {
    named::CASES.iter().chain(networks::CASES).chain(tricks::CASES)
}

/// The Ethernet address of a device.
pub fn mac(number: usize) -> String {
    device_mac(if number == TRUNK { 6 } else { number })
}

/// The router's link that a device is on.
pub fn interface(number: usize) -> &'static str {
    match number {
        GUEST => "br-guest",
        TAGGED | TRUNK => "br-lan.10",
        _ => "br-lan",
    }
}
