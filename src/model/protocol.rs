//! IANA protocol numbers.

/// ICMP, the one of IPv4.
pub(crate) const ICMP: u8 = 1;
/// TCP.
pub(crate) const TCP: u8 = 6;
/// UDP.
pub(crate) const UDP: u8 = 17;
/// ICMPv6.
pub(crate) const ICMPV6: u8 = 58;
/// SCTP.
pub(crate) const SCTP: u8 = 132;

/// The protocols whose packets bear ports: TCP, UDP, DCCP, SCTP, UDP-Lite.
pub(crate) const WITH_PORTS: [u8; 5] = [TCP, UDP, 33, SCTP, 136];

/// Whether packets of a protocol bear ports.
pub(crate) fn has_ports(protocol: u8) -> bool {
    WITH_PORTS.contains(&protocol)
}

/// Whether a protocol is the ICMP of either family.
pub(crate) fn is_icmp(protocol: u8) -> bool {
    matches!(protocol, ICMP | ICMPV6)
}
