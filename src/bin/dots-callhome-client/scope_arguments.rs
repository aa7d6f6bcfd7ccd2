//! A mitigation scope as it is typed in and sent over the control socket.

use std::net::IpAddr;

use dots_callhome::model::{IcmpTypeRange, PortRange, Scope};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// A mitigation scope as typed in.
#[derive(Debug, Default, Clone, Serialize, Deserialize, clap::Args)]
pub struct ScopeAsked {
    /// Attacking prefix as seen outside the home; may be repeated.
    #[arg(long = "source", required = true, value_name = "PREFIX", value_parser = prefix)]
    source: Vec<IpNet>,
    /// Source port or range as seen outside the home; may be repeated.
    #[arg(long = "source-port", value_name = "A-B")]
    #[serde(default)]
    source_port: Vec<PortRange>,
    /// ICMP type or range; may be repeated.
    #[arg(long = "source-icmp-type", value_name = "A-B")]
    #[serde(default)]
    source_icmp_type: Vec<IcmpTypeRange>,
    /// Attacked prefix; may be repeated.
    #[arg(long = "target", required = true, value_name = "PREFIX", value_parser = prefix)]
    target: Vec<IpNet>,
    /// Attacked port or range; may be repeated.
    #[arg(long = "target-port", value_name = "A-B")]
    #[serde(default)]
    target_port: Vec<PortRange>,
    /// IANA protocol number; may be repeated.
    #[arg(long = "protocol", value_name = "N")]
    #[serde(default)]
    protocol: Vec<u8>,
}

impl From<ScopeAsked> for Scope {
    fn from(asked: ScopeAsked) -> Self {
        Self {
            target_prefixes: asked.target.iter().map(IpNet::trunc).collect(),
            target_ports: asked.target_port,
            target_protocols: asked.protocol,
            source_prefixes: asked.source.iter().map(IpNet::trunc).collect(),
            source_ports: asked.source_port,
            source_icmp_types: asked.source_icmp_type,
            ..Self::default()
        }
    }
}

impl From<Scope> for ScopeAsked {
    fn from(scope: Scope) -> Self {
        Self {
            source: scope.source_prefixes,
            source_port: scope.source_ports,
            source_icmp_type: scope.source_icmp_types,
            target: scope.target_prefixes,
            target_port: scope.target_ports,
            protocol: scope.target_protocols,
        }
    }
}

/// Reads a prefix, or an address as a prefix of its own.
///
/// # Errors
/// In words: it is neither.
pub(crate) fn prefix(text: &str) -> Result<IpNet, String> {
    text.parse::<IpNet>()
        .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
        .map_err(|_| format!("{text} is neither an address nor a prefix"))
}
