//! Ethernet addresses.

use std::fmt;
use std::str::FromStr;

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
