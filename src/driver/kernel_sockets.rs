//! The netlink sockets of the rooms that speak with the kernel.

use std::io;
use std::time::Instant;

use mio::{Registry, Token};

use crate::io::netlink::{NetlinkSocket, Received};
use crate::netlink::{conntrack, neighbour};
use crate::source::Listening;
use crate::{enforce, source};

/// Protocols and groups as the kernel numbers them (linux/netlink.h, nfnetlink.h).
const ROUTE: isize = 0;
const NETFILTER: isize = 12;
const NFTABLES: u32 = 7;

/// Datagrams of one turn: a long list does not hold the loop. Events are much shorter.
const READS: usize = 16;
const EVENTS: usize = 256;

/// Whose socket it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KernelSocket {
    /// The search for devices.
    Source(source::Socket),
    /// Enforcement of what was decided.
    Enforce(enforce::Socket),
}

/// Flows that end are heard of before answers that no longer speak of them.
const SOCKETS: [(KernelSocket, isize, &[u32]); 8] = [
    (FLOWS, NETFILTER, &[conntrack::GROUP_DESTROY]),
    (KernelSocket::Source(source::Socket::Conntrack), NETFILTER, &[]),
    (KernelSocket::Source(source::Socket::Route), ROUTE, &[]),
    (KernelSocket::Source(source::Socket::RouteEvents), ROUTE, &neighbour::GROUPS),
    (KernelSocket::Source(source::Socket::Senders), NETFILTER, &[]),
    (KernelSocket::Enforce(enforce::Socket::Netfilter), NETFILTER, &[]),
    (KernelSocket::Enforce(enforce::Socket::Changes), NETFILTER, &[]),
    (KernelSocket::Enforce(enforce::Socket::Events), NETFILTER, &[NFTABLES]),
];
/// What is read many at a time.
const FLOWS: KernelSocket = KernelSocket::Source(source::Socket::ConntrackEvents);

/// All netlink sockets of the loop.
pub(super) struct KernelSockets {
    sockets: Vec<Entry>,
    first: usize,
    listening: Listening,
}

struct Entry {
    port: KernelSocket,
    socket: NetlinkSocket,
    /// Whether there may be something to read.
    waits: bool,
    /// Whether the loop wakes for it.
    wakes: bool,
}

impl KernelSockets {
    /// Tokens used from the first one on.
    pub(super) const TOKENS: usize = SOCKETS.len();

    /// Opens all sockets.
    ///
    /// # Errors
    /// As the kernel says: without CAP_NET_ADMIN conntrack's events are not to be had.
    pub(super) fn open(registry: &Registry, first: usize) -> io::Result<Self> {
        let open = |(number, (port, protocol, groups)): (usize, &(KernelSocket, isize, &[u32]))| {
            let socket = NetlinkSocket::open(*protocol, groups, registry, Token(first + number))?;
            Ok(Entry { port: *port, socket, waits: false, wakes: true })
        };
        let sockets = SOCKETS.iter().enumerate().map(open).collect::<io::Result<_>>()?;
        Ok(Self { sockets, first, listening: Listening::default() })
    }

    /// Notes that there is something to read, if the token is ours.
    pub(super) fn ready(&mut self, token: Token) -> bool {
        let number = token.0.checked_sub(self.first);
        let entry = number.and_then(|number| self.sockets.get_mut(number));
        entry.map(|entry| entry.waits = true).is_some()
    }

    /// When to read on; nothing: when something comes.
    pub(super) fn read_at(&self, now: Instant) -> Option<Instant> {
        let waiting = self.sockets.iter().filter(|entry| entry.waits);
        waiting.map(|entry| self.listening.read_at.filter(|_| entry.port == FLOWS).unwrap_or(now)).min()
    }

    /// Listens to as much of flows that come and go as is wanted.
    ///
    /// # Errors
    /// As the kernel says.
    pub(super) fn listen(&mut self, listening: Listening) -> io::Result<()> {
        let before = std::mem::replace(&mut self.listening, listening);
        if before.new_flows != listening.new_flows {
            let mut flows = self.sockets.iter_mut().filter(|entry| entry.port == FLOWS);
            flows.try_for_each(|entry| entry.socket.set_member(conntrack::GROUP_NEW, listening.new_flows))?;
        }
        Ok(())
    }

    /// Reads a share of what there is.
    ///
    /// # Errors
    /// As the kernel says.
    pub(super) fn read(
        &mut self,
        registry: &Registry,
        now: Instant,
        mut hand: impl FnMut(KernelSocket, Received<'_>),
    ) -> io::Result<()> {
        let read_at = self.listening.read_at;
        for entry in self.sockets.iter_mut().filter(|entry| entry.waits) {
            let pauses = entry.port == FLOWS && read_at.is_some();
            if pauses && read_at.is_some_and(|at| now < at) {
                entry.set_waking(registry, false)?;
                continue;
            }
            let most = if entry.port == FLOWS { EVENTS } else { READS };
            for count in 0..most {
                match entry.socket.receive()? {
                    // What came may be followed by more before long, for which nobody has to wake.
                    Received::Nothing if pauses && count > 0 => entry.set_waking(registry, false)?,
                    Received::Nothing => {
                        entry.waits = false;
                        entry.set_waking(registry, true)?;
                    }
                    received => {
                        hand(entry.port, received);
                        continue;
                    }
                }
                break;
            }
        }
        Ok(())
    }

    /// Sends a request.
    ///
    /// # Errors
    /// As the kernel says.
    pub(super) fn send(&self, port: KernelSocket, request: &[u8]) -> io::Result<()> {
        match self.sockets.iter().find(|entry| entry.port == port) {
            Some(entry) => entry.socket.send(request),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

impl Entry {
    fn set_waking(&mut self, registry: &Registry, wakes: bool) -> io::Result<()> {
        if std::mem::replace(&mut self.wakes, wakes) == wakes {
            return Ok(());
        }
        self.socket.set_waking(registry, wakes)
    }
}
