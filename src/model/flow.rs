//! A tracked connection as conntrack tells it, on both sides of the NAT.

use std::fmt;
use std::net::IpAddr;

use super::protocol;
use super::traffic::Traffic;

/// One direction of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tuple {
    /// Sender of this direction.
    pub source: IpAddr,
    /// Receiver of this direction.
    pub destination: IpAddr,
    /// IANA protocol number.
    pub protocol: u8,
    /// What tells apart flows between two addresses.
    pub detail: Detail,
    /// The zone of conntrack it is in, 0 unless rules choose another: two flows may be the same in all else.
    pub zone: u16,
}

/// The protocol's own part of a [`Tuple`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Detail {
    /// TCP, UDP, SCTP, DCCP, UDP-Lite.
    Ports {
        /// Source port.
        source: u16,
        /// Destination port.
        destination: u16,
    },
    /// ICMP and ICMPv6.
    Icmp {
        /// Message type.
        kind: u8,
        /// Message code.
        code: u8,
        /// Identifier of echo-like messages.
        id: u16,
    },
    /// Any other protocol.
    None,
}

/// A conntrack entry. Behind masquerading `original.source` is the device and `reply.destination` what the provider sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow {
    /// The kernel's identifier of the entry.
    pub id: u32,
    /// As the opener sent it, before NAT.
    pub original: Tuple,
    /// As answers are expected, after NAT.
    pub reply: Tuple,
    /// What the opener has sent so far; nothing where accounting is off.
    pub sent: Option<Traffic>,
    /// What has come back to the opener so far; nothing where accounting is off.
    pub answered: Option<Traffic>,
    /// Whether a flow table forwards its packets, past all rules, or may have done so.
    pub offloaded: bool,
}

impl Flow {
    /// Whether either direction is in another zone of conntrack than 0.
    pub(crate) fn has_zone(&self) -> bool {
        self.original.zone != 0 || self.reply.zone != 0
    }
}

impl fmt::Display for Flow {
    /// `udp 192.168.1.23:4000 -> 203.0.113.80:53 as 198.51.100.7:40000`, the last part only where translated; and `to
    /// 192.168.1.30:80` where the receiver is another than addressed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let protocol = match self.original.protocol {
            protocol::ICMP => "icmp".to_owned(),
            protocol::TCP => "tcp".to_owned(),
            protocol::UDP => "udp".to_owned(),
            protocol::ICMPV6 => "icmpv6".to_owned(),
            protocol::SCTP => "sctp".to_owned(),
            other => format!("protocol {other}"),
        };
        let (from, to, seen) = match (self.original.detail, self.reply.detail) {
            (Detail::Ports { source, destination }, Detail::Ports { destination: seen, .. }) => {
                (endpoint(self.original.source, source), endpoint(self.original.destination, destination), Some(seen))
            }
            (Detail::Icmp { kind, .. }, _) => {
                (self.original.source.to_string(), format!("{} type {kind}", self.original.destination), None)
            }
            _ => (self.original.source.to_string(), self.original.destination.to_string(), None),
        };
        write!(f, "{protocol} {from} -> {to}")?;
        if self.reply.destination != self.original.source {
            match seen {
                Some(port) => write!(f, " as {}", endpoint(self.reply.destination, port))?,
                None => write!(f, " as {}", self.reply.destination)?,
            }
        }
        if self.reply.source == self.original.destination {
            return Ok(());
        }
        match self.reply.detail {
            Detail::Ports { source, .. } => write!(f, " to {}", endpoint(self.reply.source, source)),
            _ => write!(f, " to {}", self.reply.source),
        }
    }
}

fn endpoint(address: IpAddr, port: u16) -> String {
    std::net::SocketAddr::new(address, port).to_string()
}
