//! A netlink socket of the loop.

use std::io::{self, ErrorKind};

use mio::{Interest, Registry, Token};
use netlink_sys::{Socket, SocketAddr};

/// One read takes as much. The kernel fills a list's datagrams up to this, and conntrack's with no packet let through on that
/// processor meanwhile; acknowledgements and events are far shorter.
const CHUNK: usize = 8 * 1024;
/// Room for bursts of events; without the right to force it the kernel grants less.
const RECEIVE_BUFFER: usize = 512 * 1024;
/// The kernel's word for "your buffer overflowed, you lost events".
const ENOBUFS: i32 = 105;

/// What a read brought.
pub enum Received<'a> {
    /// One datagram.
    Datagram(&'a [u8]),
    /// Events were lost.
    Overrun,
    /// Nothing more for now.
    Nothing,
}

/// A non-blocking netlink socket that talks to the kernel only.
pub struct NetlinkSocket {
    socket: Socket,
    token: Token,
    buffer: Vec<u8>,
}

impl NetlinkSocket {
    /// Opens the protocol, joins the multicast groups and registers for reading.
    ///
    /// # Errors
    /// As the kernel says; `EPERM` without CAP_NET_ADMIN where a group needs it.
    pub fn open(protocol: isize, groups: &[u32], registry: &Registry, token: Token) -> io::Result<Self> {
        let mut socket = Socket::new(protocol)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        socket.set_non_blocking(true)?;
        // An error need not repeat the message it is about, which may be longer than what is read.
        socket.set_cap_ack(true)?;
        for group in groups {
            socket.add_membership(*group)?;
        }
        if !groups.is_empty() {
            socket.set_rx_buf_sz(RECEIVE_BUFFER)?;
        }
        registry.register(&mut socket, token, Interest::READABLE)?;
        Ok(Self { socket, token, buffer: Vec::with_capacity(CHUNK) })
    }

    /// Joins a multicast group, or leaves it.
    ///
    /// # Errors
    /// As the kernel says.
    pub fn set_member(&mut self, group: u32, joined: bool) -> io::Result<()> {
        if joined { self.socket.add_membership(group) } else { self.socket.drop_membership(group) }
    }

    /// Wakes the loop no more when there is something to read, or does so again, at once if there is.
    ///
    /// # Errors
    /// As the kernel says.
    pub fn set_waking(&mut self, registry: &Registry, wakes: bool) -> io::Result<()> {
        if wakes {
            registry.register(&mut self.socket, self.token, Interest::READABLE)
        } else {
            registry.deregister(&mut self.socket)
        }
    }

    /// Sends one request. Netlink requests are small: they fit the buffer or fail.
    ///
    /// # Errors
    /// As the kernel says.
    pub fn send(&self, request: &[u8]) -> io::Result<()> {
        self.socket.send(request, 0).map(drop)
    }

    /// Reads one datagram.
    ///
    /// # Errors
    /// As the kernel says, but for overruns, which are no error.
    pub fn receive(&mut self) -> io::Result<Received<'_>> {
        self.buffer.clear();
        match self.socket.recv(&mut self.buffer, 0) {
            Ok(_) => Ok(Received::Datagram(&self.buffer)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(Received::Nothing),
            Err(error) if error.raw_os_error() == Some(ENOBUFS) => Ok(Received::Overrun),
            Err(error) => Err(error),
        }
    }
}
