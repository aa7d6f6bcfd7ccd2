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
    v4: Ring<Ipv4Addr>,
    v6: Ring<Ipv6Addr>,
    nobodys_v4: Ring<Ipv4Addr>,
    nobodys_v6: Ring<Ipv6Addr>,
}

/// The latest ones of one kind, numbered as they came.
#[derive(Debug)]
struct Ring<A> {
    flows: VecDeque<Packed<A>>,
    /// The number of the first of them.
    first: u64,
}

impl<A> Default for Ring<A> {
    fn default() -> Self {
        Self { flows: VecDeque::new(), first: 0 }
    }
}

/// How far a look at them has come: the numbers to go on with.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Cursor([u64; 4]);

/// What may still be done in this turn: no search keeps the others and the sockets waiting. It counts prefixes compared
/// with addresses; a slow router does this many in some milliseconds.
#[derive(Debug)]
pub(super) struct Work(usize);

impl Work {
    /// What one turn may do.
    pub(super) const fn of_one_turn() -> Self {
        Self(40_000)
    }

    fn take(&mut self, amount: usize) {
        self.0 = self.0.saturating_sub(amount);
    }

    fn is_left(&self) -> bool {
        self.0 > 0
    }
}

/// What a flow costs that is aimed at a target, beside the comparisons: it is held against the whole request, and noted.
const NOTING: usize = 200;

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

    /// Those that ended within the memory and went to one of these prefixes, whoever opened them: as many as there is work
    /// for, from where the cursor is. Returns them, and whether those are the last.
    pub(super) fn aimed_at(
        &self,
        targets: &[IpNet],
        cursor: &mut Cursor,
        work: &mut Work,
        now: Instant,
    ) -> (Vec<EndedFlow>, bool) {
        let Cursor([v4, v6, nobodys_v4, nobodys_v6]) = cursor;
        let mut found = Vec::new();
        let over = self.v4.aimed_at(targets, v4, work, now, &mut found)
            && self.nobodys_v4.aimed_at(targets, nobodys_v4, work, now, &mut found)
            && self.v6.aimed_at(targets, v6, work, now, &mut found)
            && self.nobodys_v6.aimed_at(targets, nobodys_v6, work, now, &mut found);
        (found, over)
    }
}

impl<A: Copy + Into<IpAddr>> Ring<A> {
    /// Whether all have been looked at.
    fn aimed_at(
        &self,
        targets: &[IpNet],
        next: &mut u64,
        work: &mut Work,
        now: Instant,
        found: &mut Vec<EndedFlow>,
    ) -> bool {
        let done = usize::try_from(next.saturating_sub(self.first)).unwrap_or(usize::MAX);
        *next = self.first.max(*next);
        for packed in self.flows.iter().skip(done) {
            if !work.is_left() {
                return false;
            }
            *next += 1;
            work.take(2 * targets.len() + 1);
            if packed.fresh(now) && packed.aimed_at(targets) {
                work.take(NOTING + 2 * targets.len());
                found.push(packed.unpack());
            }
        }
        true
    }
}

fn push<A>(ring: &mut Ring<A>, packed: Packed<A>, most: usize) {
    let now = packed.ended;
    while ring.flows.len() >= most || ring.flows.front().is_some_and(|oldest| !oldest.fresh(now)) {
        ring.flows.pop_front();
        ring.first += 1;
    }
    ring.flows.push_back(packed);
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
            // When one ends the kernel no longer says so.
            offloaded: true,
        };
        EndedFlow { flow, located: self.located, reassigned: self.reassigned, at: self.at }
    }
}

impl<A> Packed<A> {
    fn fresh(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.ended) < MEMORY
    }
}
