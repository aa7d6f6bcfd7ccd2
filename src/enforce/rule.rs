//! Rules: what they look at and what they do, as text for `nft` and as expressions for the kernel.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;

use super::bridged_servers::PASS;
use super::chain_name::{ChainName, Map};
use super::routed_servers;
use super::set::Set;
use crate::model::Mac;
use crate::model::protocol::{ICMP, ICMPV6};
use crate::netlink::conntrack::Family;
use crate::netlink::expressions::{Expressions, Field, Verdict};

/// The mark of a packet on its way to the end of our rules, where it is dropped. Nobody else ever sees it: ours is the
/// first hook, and marks for routing are set later.
const DROP: u32 = 0x646f_7473;

/// The set of what a packet's target may be to the router that it does not forward: it never changes.
pub(super) const LOCAL: &str = "local";

/// Its elements as `nft` calls them, and their numbers: RTN_LOCAL and so on. Named rather than "not unicast": where routing
/// goes by rules, the kernel may call a good address unreachable here.
pub(super) const LOCALITIES: [(&str, u32); 4] = [("local", 2), ("broadcast", 3), ("anycast", 4), ("multicast", 5)];

/// One part of a rule. It goes on to the next where it matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Term {
    /// The packet is for the router itself, or for several receivers.
    IsLocal,
    /// Its target is one of these; sorted and disjoint.
    Targets(Family, Vec<IpNet>),
    /// What a map says of its target.
    ByTarget(Family, Map),
    /// Sorted.
    Protocols(Vec<u8>),
    /// Target ports: sorted and disjoint ranges.
    Ports(Vec<(u16, u16)>),
    /// ICMP types in this family: sorted and disjoint ranges.
    IcmpTypes(Family, Vec<(u16, u16)>),
    /// The sender is in a set, which counts it if it has counters.
    Sender(Set),
    /// The receiver is in a set.
    Receiver(Set),
    /// It comes from this Ethernet address, and bears this address.
    From(Mac, IpAddr),
    /// It comes from another Ethernet address.
    NotFrom(Mac),
    /// Notes the sender.
    Note(Set, Family),
    /// Marks it as one that is to be dropped.
    Mark,
    /// It has been marked so.
    IsMarked,
    /// It is an exchange with a server of the home that a quarantined device had before, on the same bridge.
    Passes,
    /// It is none.
    PassesNot,
    /// The same with one in another network of the home.
    PassesRouted,
    Drop,
    Accept,
    Return,
    Jump(ChainName),
    Goto(ChainName),
}

/// A rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rule(pub(super) Vec<Term>);

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, term) in self.0.iter().enumerate() {
            let space = if number == 0 { "" } else { " " };
            write!(f, "{space}{term}")?;
        }
        Ok(())
    }
}

impl Rule {
    /// Whether it looks into a set of ranges.
    pub(super) fn has_ranges(&self) -> bool {
        self.0.iter().any(|term| match term {
            Term::Targets(_, prefixes) => prefixes.len() > 1,
            Term::Ports(ranges) | Term::IcmpTypes(_, ranges) => {
                ranges.len() > 1 && ranges.iter().any(|(low, high)| low != high)
            }
            _ => false,
        })
    }

    /// Writes it for the kernel.
    pub(super) fn write(&self, out: &mut Expressions) {
        self.0.iter().for_each(|term| term.write(out));
    }
}

impl fmt::Display for Term {
    /// The words of `nft`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::IsLocal => write!(f, "fib daddr type @{LOCAL}"),
            Self::Targets(family, prefixes) => match prefixes.as_slice() {
                [all] if all.prefix_len() == 0 => {
                    write!(f, "meta nfproto {}", if *family == Family::V4 { "ipv4" } else { "ipv6" })
                }
                // As it is compared, and shown.
                [only] if only.prefix_len() < only.max_prefix_len() => {
                    write!(f, "{} daddr {}-{}", address(*family), only.network(), only.broadcast())
                }
                prefixes => write!(f, "{} daddr {}", address(*family), choice(prefixes.iter().map(brief))),
            },
            Self::ByTarget(family, map) => write!(f, "{} daddr vmap @{map}", address(*family)),
            Self::Protocols(protocols) => write!(f, "meta l4proto {}", choice(protocols.iter().map(u8::to_string))),
            Self::Ports(ranges) => write!(f, "th dport {}", choice(ranges.iter().map(range))),
            Self::IcmpTypes(Family::V4, ranges) => write!(f, "icmp type {}", choice(ranges.iter().map(range))),
            Self::IcmpTypes(Family::V6, ranges) => write!(f, "icmpv6 type {}", choice(ranges.iter().map(range))),
            Self::Sender(set) => write!(f, "ether saddr @{set}"),
            Self::Receiver(set) => write!(f, "ether daddr @{set}"),
            Self::From(mac, source) => {
                write!(f, "ether saddr {mac} {} saddr {source}", address(Family::of(*source)))
            }
            Self::NotFrom(mac) => write!(f, "ether saddr != {mac}"),
            Self::Note(set, family) => {
                write!(f, "update @{set} {{ ether saddr . {} saddr . meta iif }}", address(*family))
            }
            Self::Mark => write!(f, "meta mark set {DROP:#x}"),
            Self::IsMarked => write!(f, "meta mark {DROP:#x}"),
            Self::Passes => write!(f, "meta mark {PASS:#x}"),
            Self::PassesNot => write!(f, "meta mark != {PASS:#x}"),
            Self::PassesRouted => write!(f, "meta mark {:#x}", routed_servers::PASS),
            Self::Drop => f.write_str("drop"),
            Self::Accept => f.write_str("accept"),
            Self::Return => f.write_str("return"),
            Self::Jump(chain) => write!(f, "jump {chain}"),
            Self::Goto(chain) => write!(f, "goto {chain}"),
        }
    }
}

impl Term {
    fn write(&self, out: &mut Expressions) {
        let ports = |ranges: &[(u16, u16)]| {
            ranges.iter().map(|(low, high)| (low.to_be_bytes().to_vec(), high.to_be_bytes().to_vec())).collect()
        };
        match self {
            Self::IsLocal => out.is_in(Field::Locality, LOCAL),
            Self::Targets(family, prefixes) => {
                out.is_v4(*family == Family::V4);
                if !prefixes.iter().any(|prefix| prefix.prefix_len() == 0) {
                    let range = |prefix: &IpNet| (octets(prefix.network()), octets(prefix.broadcast()));
                    out.is_any_of(target(*family), prefixes.iter().map(range).collect());
                }
            }
            Self::ByTarget(family, map) => {
                out.is_v4(*family == Family::V4);
                out.by_map(target(*family), &map.to_string());
            }
            Self::Protocols(protocols) => {
                out.is_any_of(Field::Protocol, protocols.iter().map(|number| (vec![*number], vec![*number])).collect());
            }
            Self::Ports(ranges) => out.is_any_of(Field::DestinationPort, ports(ranges)),
            Self::IcmpTypes(family, ranges) => {
                let (protocol, field) = match family {
                    Family::V4 => (ICMP, Field::IcmpType),
                    Family::V6 => (ICMPV6, Field::Icmpv6Type),
                };
                out.is_protocol(protocol);
                // Types have eight bits.
                let low = |number: u16| vec![u8::try_from(number).unwrap_or(u8::MAX)];
                out.is_any_of(field, ranges.iter().map(|(from, to)| (low(*from), low(*to))).collect());
            }
            Self::Sender(set) => {
                out.is_ethernet();
                out.is_in(Field::EtherSource, &set.to_string());
            }
            Self::Receiver(set) => {
                out.is_ethernet();
                out.is_in(Field::EtherDestination, &set.to_string());
            }
            Self::From(mac, address) => {
                out.is_ethernet();
                out.is_any_of(Field::EtherSource, vec![(mac.0.to_vec(), mac.0.to_vec())]);
                out.is_v4(address.is_ipv4());
                out.is_any_of(source(Family::of(*address)), vec![(octets(*address), octets(*address))]);
            }
            Self::NotFrom(mac) => {
                out.is_ethernet();
                out.is_not(Field::EtherSource, &mac.0);
            }
            Self::Note(set, family) => {
                out.is_v4(*family == Family::V4);
                out.is_ethernet();
                out.note(&[Field::EtherSource, source(*family), Field::Link], &set.to_string());
            }
            Self::Mark => out.set_mark(DROP),
            Self::IsMarked => out.has_mark(DROP),
            Self::Passes => out.has_mark(PASS),
            Self::PassesRouted => out.has_mark(routed_servers::PASS),
            Self::PassesNot => out.is_not(Field::Mark, &PASS.to_ne_bytes()),
            Self::Drop => out.verdict(Verdict::Drop),
            Self::Accept => out.verdict(Verdict::Accept),
            Self::Return => out.verdict(Verdict::Return),
            Self::Jump(chain) => out.verdict(Verdict::Jump(&chain.to_string())),
            Self::Goto(chain) => out.verdict(Verdict::Goto(&chain.to_string())),
        }
    }
}

/// The octets of an address, as a packet bears them.
pub(super) fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().into(),
        IpAddr::V6(address) => address.octets().into(),
    }
}

fn source(family: Family) -> Field {
    match family {
        Family::V4 => Field::SourceV4,
        Family::V6 => Field::SourceV6,
    }
}

fn target(family: Family) -> Field {
    match family {
        Family::V4 => Field::DestinationV4,
        Family::V6 => Field::DestinationV6,
    }
}

/// The word for the addresses of a family in rules.
fn address(family: Family) -> &'static str {
    match family {
        Family::V4 => "ip",
        Family::V6 => "ip6",
    }
}

fn range((low, high): &(u16, u16)) -> String {
    if low == high { low.to_string() } else { format!("{low}-{high}") }
}

fn brief(prefix: &IpNet) -> String {
    if prefix.prefix_len() == prefix.max_prefix_len() { prefix.addr().to_string() } else { prefix.to_string() }
}

/// A single value as it is, several as an anonymous set.
fn choice(values: impl Iterator<Item = String>) -> String {
    let values: Vec<String> = values.collect();
    match values.as_slice() {
        [only] => only.clone(),
        _ => format!("{{ {} }}", values.join(", ")),
    }
}
