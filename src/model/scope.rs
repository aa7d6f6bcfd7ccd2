//! The mitigation scope: what a request names as attack sources and targets (RFC 9132 section 4.4.1, RFC 9066
//! section 5.3.1). It stands at the root because every room below `signal/` speaks of it.

use ipnet::IpNet;

use super::address::is_translated;
use super::range::{IcmpTypeRange, PortRange};

/// A validated mitigation scope. Empty lists of ports, protocols or ICMP types mean "any".
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "client", derive(serde::Serialize, serde::Deserialize))]
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

/// More pieces than that nobody reads before deciding: of each list in a brief answer on the bus the first eight are shown.
const READABLE: usize = 8;
/// IPv4 addresses of the widest target that one victim may have: a /24, the smallest network that is routed on its own.
const V4_ADDRESSES: u64 = 1 << 8;

/// How much of the Internet targets are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Breadth {
    /// IPv4 addresses, each counted once; those behind a translator as well.
    pub v4_addresses: u64,
    /// IPv6 networks of the size /48, the smallest that is routed on its own; rounded up.
    pub v6_networks: u64,
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

    /// How much of the Internet the targets are.
    pub fn breadth(&self) -> Breadth {
        let (mut v4_addresses, mut v6_addresses) = (0_u64, 0_u128);
        for prefix in IpNet::aggregate(&self.target_prefixes) {
            let host_bits = u32::from(prefix.max_prefix_len() - prefix.prefix_len());
            match prefix {
                IpNet::V4(_) => v4_addresses += 1 << host_bits,
                IpNet::V6(net) if is_translated(&net) => v4_addresses += 1 << host_bits.min(32),
                IpNet::V6(_) => {
                    v6_addresses = v6_addresses.saturating_add(1_u128.checked_shl(host_bits).unwrap_or(u128::MAX));
                }
            }
        }
        let v6_networks = u64::try_from(v6_addresses.div_ceil(1 << 80)).unwrap_or(u64::MAX);
        Breadth { v4_addresses, v6_networks }
    }

    /// Whether the targets are more than one victim's network, all together, or more than a person reads. Whoever asks for so
    /// much is not believed without a person.
    pub fn is_wide(&self) -> bool {
        let Breadth { v4_addresses, v6_networks } = self.breadth();
        v4_addresses > V4_ADDRESSES || v6_networks > 1 || self.target_prefixes.len() > READABLE
    }
}
