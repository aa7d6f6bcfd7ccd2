//! Flows that have ended lately: a provider may ask only after the attack's flow is gone from conntrack.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

use ipnet::IpNet;

use super::network::Located;
use crate::model::{Detail, Flow, Now, Traffic, Tuple, protocol};

/// How long they are remembered.
const MEMORY: Duration = Duration::from_secs(600);
/// Most remembered of each family; together about 600 KB when full.
const MOST_V4: usize = 4096;
const MOST_V6: usize = 2048;
/// Most remembered of each family that are no device's; so what the router itself sends does not push out the others.
const MOST_OF_NOBODY: usize = 512;

/// A flow that has ended, and whose it was.
#[derive(Clone, Copy, Debug)]
pub(super) struct EndedFlow {
    /// With its last counters.
    pub(super) flow: Flow,
    /// Whose, when it ended; nothing: the router's own, or that of nobody known.
    pub(super) located: Option<Located>,
    /// Whether the address had changed hands while the flow may have lived.
    pub(super) reassigned: bool,
    /// When it ended, seconds since 1970.
    pub(super) at: u64,
}

/// The same in less room: addresses of one family, numbers no longer than they need be.
#[derive(Clone, Copy, Debug)]
struct Packed<A> {
    addresses: [A; 4],
    numbers: [u16; 4],
    zones: [u16; 2],
    packets: [u32; 2],
    bytes: [u64; 2],
    id: u32,
    ended: Instant,
    at: u64,
    located: Option<Located>,
    protocol: u8,
    reassigned: bool,
    counted: bool,
}

/// The latest flows that have ended.
#[derive(Debug, Default)]
pub(super) struct EndedFlows {
    v4: VecDeque<Packed<Ipv4Addr>>,
    v6: VecDeque<Packed<Ipv6Addr>>,
    nobodys_v4: VecDeque<Packed<Ipv4Addr>>,
    nobodys_v6: VecDeque<Packed<Ipv6Addr>>,
}

impl EndedFlows {
    /// Remembers a flow; the oldest give way.
    pub(super) fn push(&mut self, ended: &EndedFlow, now: Now) {
        match addresses(&ended.flow) {
            [IpAddr::V4(a), IpAddr::V4(b), IpAddr::V4(c), IpAddr::V4(d)] => {
                let (ring, most) = match ended.located {
                    Some(_) => (&mut self.v4, MOST_V4),
                    None => (&mut self.nobodys_v4, MOST_OF_NOBODY),
                };
                push(ring, pack([a, b, c, d], ended, now), most);
            }
            [IpAddr::V6(a), IpAddr::V6(b), IpAddr::V6(c), IpAddr::V6(d)] => {
                let (ring, most) = match ended.located {
                    Some(_) => (&mut self.v6, MOST_V6),
                    None => (&mut self.nobodys_v6, MOST_OF_NOBODY),
                };
                push(ring, pack([a, b, c, d], ended, now), most);
            }
            _ => {}
        }
    }

    /// Those that ended within the memory and went to one of these prefixes, whoever opened them.
    pub(super) fn aimed_at<'a>(
        &'a self,
        targets: &'a [IpNet],
        now: Instant,
    ) -> impl Iterator<Item = EndedFlow> + use<'a> {
        let v4 = self.v4.iter().chain(&self.nobodys_v4);
        let v6 = self.v6.iter().chain(&self.nobodys_v6);
        let v4 = v4.filter(move |packed| packed.fresh(now) && packed.aimed_at(targets)).map(Packed::unpack);
        let v6 = v6.filter(move |packed| packed.fresh(now) && packed.aimed_at(targets)).map(Packed::unpack);
        v4.chain(v6)
    }
}

fn push<A>(ring: &mut VecDeque<Packed<A>>, packed: Packed<A>, most: usize) {
    let now = packed.ended;
    while ring.len() >= most || ring.front().is_some_and(|oldest| !oldest.fresh(now)) {
        ring.pop_front();
    }
    ring.push_back(packed);
}

fn addresses(flow: &Flow) -> [IpAddr; 4] {
    [flow.original.source, flow.original.destination, flow.reply.source, flow.reply.destination]
}

fn numbers(detail: Detail) -> [u16; 2] {
    match detail {
        Detail::Ports { source, destination } => [source, destination],
        Detail::Icmp { kind, code, id } => [u16::from_be_bytes([kind, code]), id],
        Detail::None => [0, 0],
    }
}

fn pack<A>(addresses: [A; 4], ended: &EndedFlow, now: Now) -> Packed<A> {
    let EndedFlow { flow, located, reassigned, at } = *ended;
    let [a, b] = numbers(flow.original.detail);
    let [c, d] = numbers(flow.reply.detail);
    let sent = flow.sent.unwrap_or_default();
    let answered = flow.answered.unwrap_or_default();
    let short = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
    Packed {
        addresses,
        numbers: [a, b, c, d],
        zones: [flow.original.zone, flow.reply.zone],
        packets: [short(sent.packets), short(answered.packets)],
        bytes: [sent.bytes, answered.bytes],
        id: flow.id,
        ended: now.instant,
        at,
        located,
        protocol: flow.original.protocol,
        reassigned,
        counted: flow.sent.is_some(),
    }
}

impl<A: Copy + Into<IpAddr>> Packed<A> {
    fn aimed_at(&self, targets: &[IpNet]) -> bool {
        let [opener, _, answerer, _] = self.addresses;
        let opener: IpAddr = opener.into();
        let answerer: IpAddr = answerer.into();
        targets.iter().any(|target| target.contains(&opener) || target.contains(&answerer))
    }

    fn unpack(&self) -> EndedFlow {
        let [a, b, c, d] = self.addresses.map(Into::into);
        let [e, f, g, h] = self.numbers;
        let [there, back] = self.zones;
        let tuple = |source, destination, first: u16, second, zone| {
            let [kind, code] = first.to_be_bytes();
            let detail = match self.protocol {
                number if protocol::is_icmp(number) => Detail::Icmp { kind, code, id: second },
                number if protocol::has_ports(number) => Detail::Ports { source: first, destination: second },
                _ => Detail::None,
            };
            Tuple { source, destination, protocol: self.protocol, detail, zone }
        };
        let [sent, answered] = self.packets;
        let [sent_bytes, answered_bytes] = self.bytes;
        let traffic = |packets: u32, bytes| self.counted.then_some(Traffic { packets: packets.into(), bytes });
        let flow = Flow {
            id: self.id,
            original: tuple(a, b, e, f, there),
            reply: tuple(c, d, g, h, back),
            sent: traffic(sent, sent_bytes),
            answered: traffic(answered, answered_bytes),
        };
        EndedFlow { flow, located: self.located, reassigned: self.reassigned, at: self.at }
    }
}

impl<A> Packed<A> {
    fn fresh(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.ended) < MEMORY
    }
}
