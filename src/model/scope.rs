//! The mitigation scope: what a request names as attack sources and targets (RFC 9132 section 4.4.1, RFC 9066
//! section 5.3.1). It stands at the root because every room below `signal/` speaks of it.

use ipnet::IpNet;

use super::range::{IcmpTypeRange, PortRange};

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

impl Scope {
    /// Returns what of it concerns packets: all but the provider's texts.
    pub fn without_names(&self) -> Self {
        Self {
            target_prefixes: self.target_prefixes.clone(),
            target_ports: self.target_ports.clone(),
            target_protocols: self.target_protocols.clone(),
            target_fqdns: Vec::new(),
            target_uris: Vec::new(),
            source_prefixes: self.source_prefixes.clone(),
            source_ports: self.source_ports.clone(),
            source_icmp_types: self.source_icmp_types.clone(),
        }
    }
}
