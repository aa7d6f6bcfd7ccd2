//! The netlink sockets of the rooms that speak with the kernel.

use std::io;

use mio::{Registry, Token};

use crate::io::netlink::{NetlinkSocket, Received};
use crate::netlink::{conntrack, neighbour};
use crate::{enforce, source};

/// Protocols and groups as the kernel numbers them (linux/netlink.h, nfnetlink.h).
const ROUTE: isize = 0;
const NETFILTER: isize = 12;
const NFTABLES: u32 = 7;

/// Datagrams of one turn: a long dump does not hold the loop.
const READS: usize = 8;

/// Whose socket it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KernelSocket {
    /// The search for devices.
    Source(source::Socket),
    /// Enforcement of what was decided.
    Enforce(enforce::Socket),
}

const SOCKETS: [(KernelSocket, isize, &[u32]); 8] = [
    (KernelSocket::Source(source::Socket::Conntrack), NETFILTER, &[]),
    (
        KernelSocket::Source(source::Socket::ConntrackEvents),
        NETFILTER,
        &[conntrack::GROUP_NEW, conntrack::GROUP_DESTROY],
    ),
    (KernelSocket::Source(source::Socket::Route), ROUTE, &[]),
    (KernelSocket::Source(source::Socket::RouteEvents), ROUTE, &neighbour::GROUPS),
    (KernelSocket::Source(source::Socket::Senders), NETFILTER, &[]),
    (KernelSocket::Enforce(enforce::Socket::Netfilter), NETFILTER, &[]),
    (KernelSocket::Enforce(enforce::Socket::Changes), NETFILTER, &[]),
    (KernelSocket::Enforce(enforce::Socket::Events), NETFILTER, &[NFTABLES]),
];

/// All netlink sockets of the loop.
pub(super) struct KernelSockets {
    sockets: Vec<(KernelSocket, NetlinkSocket, bool)>,
    first: usize,
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
            Ok((*port, socket, false))
        };
        let sockets = SOCKETS.iter().enumerate().map(open).collect::<io::Result<_>>()?;
        Ok(Self { sockets, first })
    }

    /// Notes that there is something to read, if the token is ours.
    pub(super) fn ready(&mut self, token: Token) -> bool {
        let number = token.0.checked_sub(self.first);
        let entry = number.and_then(|number| self.sockets.get_mut(number));
        entry.map(|(_, _, waits)| *waits = true).is_some()
    }

    /// Whether something is left to read.
    pub(super) fn is_ready(&self) -> bool {
        self.sockets.iter().any(|(_, _, waits)| *waits)
    }

    /// Reads a share of what there is.
    ///
    /// # Errors
    /// As the kernel says.
    pub(super) fn read(&mut self, mut hand: impl FnMut(KernelSocket, Received<'_>)) -> io::Result<()> {
        for (port, socket, waits) in self.sockets.iter_mut().filter(|(_, _, waits)| *waits) {
            for _ in 0..READS {
                match socket.receive()? {
                    Received::Nothing => {
                        *waits = false;
                        break;
                    }
                    received => hand(*port, received),
                }
            }
        }
        Ok(())
    }

    /// Sends a request.
    ///
    /// # Errors
    /// As the kernel says.
    pub(super) fn send(&self, port: KernelSocket, request: &[u8]) -> io::Result<()> {
        match self.sockets.iter().find(|(other, _, _)| *other == port) {
            Some((_, socket, _)) => socket.send(request),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }
}
