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
pub enum Port {
    /// The search for devices.
    Source(source::Socket),
    /// Enforcement.
    Enforce(enforce::Socket),
}

const PORTS: [(Port, isize, &[u32]); 6] = [
    (Port::Source(source::Socket::Conntrack), NETFILTER, &[]),
    (Port::Source(source::Socket::ConntrackEvents), NETFILTER, &[conntrack::GROUP_NEW, conntrack::GROUP_DESTROY]),
    (Port::Source(source::Socket::Route), ROUTE, &[]),
    (Port::Source(source::Socket::RouteEvents), ROUTE, &neighbour::GROUPS),
    (Port::Enforce(enforce::Socket::Netfilter), NETFILTER, &[]),
    (Port::Enforce(enforce::Socket::Events), NETFILTER, &[NFTABLES]),
];

/// All of them.
pub struct Kernel {
    sockets: Vec<(Port, NetlinkSocket, bool)>,
    first: usize,
}

impl Kernel {
    /// Tokens used from the first one on.
    pub const TOKENS: usize = PORTS.len();

    /// Opens all sockets.
    ///
    /// # Errors
    /// As the kernel says: without CAP_NET_ADMIN conntrack's events are not to be had.
    pub fn open(registry: &Registry, first: usize) -> io::Result<Self> {
        let open = |(number, (port, protocol, groups)): (usize, &(Port, isize, &[u32]))| {
            let socket = NetlinkSocket::open(*protocol, groups, registry, Token(first + number))?;
            Ok((*port, socket, false))
        };
        let sockets = PORTS.iter().enumerate().map(open).collect::<io::Result<_>>()?;
        Ok(Self { sockets, first })
    }

    /// Notes that there is something to read, if the token is ours.
    pub fn ready(&mut self, token: Token) -> bool {
        let number = token.0.checked_sub(self.first);
        let entry = number.and_then(|number| self.sockets.get_mut(number));
        entry.map(|(_, _, waits)| *waits = true).is_some()
    }

    /// Whether something is left to read.
    pub fn is_ready(&self) -> bool {
        self.sockets.iter().any(|(_, _, waits)| *waits)
    }

    /// Reads a share of what there is.
    ///
    /// # Errors
    /// As the kernel says.
    pub fn read(&mut self, mut hand: impl FnMut(Port, Received<'_>)) -> io::Result<()> {
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
    pub fn send(&self, port: Port, request: &[u8]) -> io::Result<()> {
        match self.sockets.iter().find(|(other, _, _)| *other == port) {
            Some((_, socket, _)) => socket.send(request),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }
}
