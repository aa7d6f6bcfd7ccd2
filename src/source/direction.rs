//! One direction of a flow, and whether a request speaks of it.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::model::protocol::{has_ports, is_icmp};
use crate::model::{Detail, Flow, Scope, Traffic, Tuple};

/// One direction of a flow, as it leaves the home.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Direction<'a> {
    /// The flow, with both directions as the kernel counts them.
    pub(super) flow: &'a Flow,
    /// The address of the sender, inside the home.
    pub(super) device: IpAddr,
    device_port: Option<u16>,
    /// From which address the provider sees it.
    source: IpAddr,
    source_port: Option<u16>,
    target: IpAddr,
    target_port: Option<u16>,
    protocol: u8,
    icmp_type: Option<u8>,
    /// What has gone this way.
    pub(super) sent: Option<Traffic>,
    /// What has come back.
    pub(super) answered: Option<Traffic>,
}

/// What in a request tells a sender from all others: an address of its own, or the port of a shared one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct UniqueKey {
    source: IpAddr,
    port: Option<u16>,
}

/// How far one direction of a flow is what a request names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Match {
    /// Its ports are not among those named.
    Partial,
    /// In all that is named.
    Full,
    /// In all that is named, and that names this sender alone.
    Unique(UniqueKey),
}

impl Match {
    /// The key that names the sender alone.
    pub(super) fn key(self) -> Option<UniqueKey> {
        match self {
            Self::Unique(key) => Some(key),
            Self::Partial | Self::Full => None,
        }
    }
}

impl<'a> Direction<'a> {
    /// Both directions of a flow: from its opener, and from the one who answers, who may be a device that a port of the
    /// router is forwarded to.
    pub(super) fn both(flow: &'a Flow) -> [Self; 2] {
        let Flow { original, reply, sent, answered, .. } = flow;
        let opener = Self { sent: *sent, answered: *answered, ..Self::new(flow, original, reply) };
        [opener, Self { sent: *answered, answered: *sent, ..Self::new(flow, reply, original) }]
    }

    /// The packets of `inside`, seen from outside as those that `answered` answers; nothing is counted yet.
    fn new(flow: &'a Flow, inside: &Tuple, answered: &Tuple) -> Self {
        let (target_port, source_port) = ports(answered);
        let icmp_type = match inside.detail {
            Detail::Icmp { kind, .. } => Some(kind),
            _ => None,
        };
        Self {
            flow,
            device: inside.source,
            device_port: ports(inside).0,
            source: answered.destination,
            source_port,
            target: answered.source,
            target_port,
            protocol: inside.protocol,
            icmp_type,
            sent: None,
            answered: None,
        }
    }

    /// Whether this is the direction of the flow's opener.
    pub(super) fn is_opener(&self) -> bool {
        self.device == self.flow.original.source && self.device_port == ports(&self.flow.original).0
    }

    /// Whether the opener has sent it to a target that is named, wherever it was taken to.
    pub(super) fn was_aimed_at(&self, scope: &Scope) -> bool {
        let Tuple { destination, protocol, .. } = self.flow.original;
        let port = ports(&self.flow.original).1;
        let named = |port| scope.target_ports.iter().any(|range| range.contains(port));
        any(&scope.target_prefixes, destination)
            && concerns(scope, protocol)
            && (scope.target_ports.is_empty() || port.is_none_or(named))
    }

    /// Whether packets may have gone this way: not where they are counted and there were none.
    pub(super) fn may_have_sent(&self) -> bool {
        self.sent.is_none_or(|sent| sent.packets > 0)
    }

    /// How it matches what a request names; nothing: not at all. `own`: the router itself sends, from an address that it
    /// shares with those it translates.
    pub(super) fn matches(&self, scope: &Scope, own: bool) -> Option<Match> {
        let target = any(&scope.target_prefixes, self.target);
        let kind = scope.source_icmp_types.is_empty()
            || self.icmp_type.is_none_or(|kind| scope.source_icmp_types.iter().any(|range| range.contains(kind)));
        let aimed = scope.target_ports.is_empty()
            || self.target_port.is_none_or(|port| scope.target_ports.iter().any(|range| range.contains(port)));
        if !(target && kind && aimed && concerns(scope, self.protocol)) {
            return None;
        }
        let seen = (self.source, self.source_port, own || self.source != self.device);
        // A provider that looks behind the router's NAT names the device's own address.
        let inside = (self.device, self.device_port, own);
        [seen, inside].into_iter().find_map(|(source, port, shared)| match_source(scope, source, port, shared))
    }
}

/// The ports of a tuple, source and destination.
fn ports(tuple: &Tuple) -> (Option<u16>, Option<u16>) {
    match tuple.detail {
        Detail::Ports { source, destination } if has_ports(tuple.protocol) => (Some(source), Some(destination)),
        _ => (None, None),
    }
}

fn match_source(scope: &Scope, source: IpAddr, port: Option<u16>, shared: bool) -> Option<Match> {
    let prefixes = || scope.source_prefixes.iter().filter(|prefix| prefix.contains(&source));
    prefixes().next()?;
    let ranges = || scope.source_ports.iter().filter(|range| port.is_some_and(|port| range.contains(port)));
    if port.is_some() && !scope.source_ports.is_empty() && ranges().next().is_none() {
        return Some(Match::Partial);
    }
    let host = prefixes().any(|prefix| prefix.prefix_len() == prefix.max_prefix_len());
    let single = ranges().any(|range| range.lower() == range.upper());
    Some(match (host, shared) {
        (true, false) => Match::Unique(UniqueKey { source, port: None }),
        (true, true) if single => Match::Unique(UniqueKey { source, port }),
        _ => Match::Full,
    })
}

fn any(prefixes: &[IpNet], address: IpAddr) -> bool {
    prefixes.iter().any(|prefix| prefix.contains(&address))
}

/// Whether a request can mean this protocol. Where it names none, ports mean the protocols that have them and ICMP types
/// mean ICMP.
fn concerns(scope: &Scope, protocol: u8) -> bool {
    if !scope.target_protocols.is_empty() {
        return scope.target_protocols.contains(&protocol);
    }
    let ports = scope.target_ports.len() + scope.source_ports.len();
    let types = scope.source_icmp_types.len();
    (ports == 0 && types == 0) || (ports > 0 && has_ports(protocol)) || (types > 0 && is_icmp(protocol))
}
