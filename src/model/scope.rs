//! The mitigation scope: what a request names as attack sources and targets (RFC 9132 section 4.4.1, RFC 9066
//! section 5.3.1). It stands at the root because every room below `signal/` speaks of it.

use std::fmt;

use ipnet::IpNet;

/// A validated mitigation scope. Empty lists of ports, protocols or ICMP types mean "any".
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// Attacked prefixes, never empty, host bits cleared, in the order of the request.
    pub target_prefixes: Vec<IpNet>,
    /// Attacked ports.
    pub target_ports: Vec<PortRange>,
    /// IANA protocol numbers.
    pub target_protocols: Vec<u8>,
    /// Names shown to the administrator, never resolved (RFC 9066 section 5.3.1).
    pub target_fqdns: Vec<String>,
    /// URIs shown to the administrator, never followed.
    pub target_uris: Vec<String>,
    /// Attacking prefixes as the provider sees them, never empty, host bits cleared.
    pub source_prefixes: Vec<IpNet>,
    /// Source ports as the provider sees them, that is after NAT.
    pub source_ports: Vec<PortRange>,
    /// ICMP or ICMPv6 types, by the family of each target prefix.
    pub source_icmp_types: Vec<IcmpTypeRange>,
}

/// Ports `lower..=upper`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortRange {
    lower: u16,
    upper: u16,
}

impl PortRange {
    /// The range, or nothing where `upper` is below `lower`.
    pub fn new(lower: u16, upper: u16) -> Option<Self> {
        (lower <= upper).then_some(Self { lower, upper })
    }

    /// The lowest port.
    pub fn lower(self) -> u16 {
        self.lower
    }

    /// The highest port.
    pub fn upper(self) -> u16 {
        self.upper
    }

    /// Whether `port` lies within.
    pub fn contains(self, port: u16) -> bool {
        (self.lower..=self.upper).contains(&port)
    }

    /// Whether the ranges share a port.
    pub fn intersects(self, other: Self) -> bool {
        self.lower <= other.upper && other.lower <= self.upper
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.lower == self.upper { write!(f, "{}", self.lower) } else { write!(f, "{}-{}", self.lower, self.upper) }
    }
}

/// ICMP types `lower..=upper`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IcmpTypeRange {
    lower: u8,
    upper: u8,
}

impl IcmpTypeRange {
    /// The range, or nothing where `upper` is below `lower`.
    pub fn new(lower: u8, upper: u8) -> Option<Self> {
        (lower <= upper).then_some(Self { lower, upper })
    }

    /// The lowest type.
    pub fn lower(self) -> u8 {
        self.lower
    }

    /// The highest type.
    pub fn upper(self) -> u8 {
        self.upper
    }

    /// Whether `kind` lies within.
    pub fn contains(self, kind: u8) -> bool {
        (self.lower..=self.upper).contains(&kind)
    }

    /// Whether the ranges share a type.
    pub fn intersects(self, other: Self) -> bool {
        self.lower <= other.upper && other.lower <= self.upper
    }
}

impl fmt::Display for IcmpTypeRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.lower == self.upper { write!(f, "{}", self.lower) } else { write!(f, "{}-{}", self.lower, self.upper) }
    }
}
