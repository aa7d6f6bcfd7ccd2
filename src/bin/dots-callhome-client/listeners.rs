//! Where routers call over UDP: many on one socket, told apart by their addresses.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;

use dots_callhome::model::Now;
use dots_callhome::transport::dtls::DtlsChannel;
use dots_callhome::transport::dtls_server::{Answer, ServerConfig};
use mio::net::UdpSocket;
use mio::{Interest, Registry, Token};

/// No datagram of a path to us is longer.
const LONGEST: usize = 2048;

/// The calls from one address: the one whose router is proven, and one that may take its place.
#[derive(Clone, Copy, Default)]
pub(crate) struct Slot {
    /// Its router has proven who it is.
    pub proven: Option<usize>,
    /// It has shown that it is there.
    pub proving: Option<usize>,
}

/// Where a call comes from: the socket's number and the address.
pub(crate) type PeerAddress = (usize, SocketAddr);

/// All sockets.
pub(crate) struct UdpListeners {
    config: ServerConfig,
    sockets: Vec<Rc<UdpSocket>>,
    slots: BTreeMap<PeerAddress, Slot>,
}

impl UdpListeners {
    /// None yet.
    pub(crate) fn new(config: ServerConfig) -> Self {
        Self { config, sockets: Vec::new(), slots: BTreeMap::new() }
    }

    /// Meets routers that call from now on with other credentials.
    pub(crate) fn set_config(&mut self, config: ServerConfig) {
        self.config = config;
    }

    /// Opens one more; they are numbered from 0.
    pub(crate) fn listen(&mut self, address: SocketAddr, registry: &Registry, token: Token) -> io::Result<()> {
        let mut socket = UdpSocket::bind(address)?;
        registry.register(&mut socket, token, Interest::READABLE)?;
        self.sockets.push(Rc::new(socket));
        Ok(())
    }

    /// The socket of that number.
    pub(crate) fn socket(&self, number: usize) -> Option<&Rc<UdpSocket>> {
        self.sockets.get(number)
    }

    /// The next datagram at that socket, and where it comes from.
    pub(crate) fn receive(&self, number: usize) -> Option<(Vec<u8>, SocketAddr)> {
        let socket = self.sockets.get(number)?;
        let mut datagram = vec![0; LONGEST];
        // What else than that there is none for now can be wrong here is over with the next one.
        let (length, from) = socket.recv_from(&mut datagram).ok()?;
        datagram.truncate(length);
        Some((datagram, from))
    }

    /// The calls from there.
    pub(crate) fn slot(&self, peer_address: PeerAddress) -> Slot {
        self.slots.get(&peer_address).copied().unwrap_or_default()
    }

    /// Answers somebody new; a channel once it has shown that it is there.
    pub(crate) fn accept(&self, (number, from): PeerAddress, datagram: &[u8], now: Now) -> Option<DtlsChannel> {
        match self.config.accept(from, datagram, now) {
            Answer::Nothing => None,
            Answer::Reply(reply) => {
                let _ = self.sockets.get(number)?.send_to(&reply, from);
                None
            }
            Answer::Accepted(channel) => Some(channel),
        }
    }

    /// Takes note that a call begins.
    pub(crate) fn handle_opened(&mut self, peer_address: PeerAddress, token: usize) {
        self.slots.entry(peer_address).or_default().proving = Some(token);
    }

    /// Takes note that its router is proven. Returns the call whose place it takes.
    pub(crate) fn handle_proven(&mut self, peer_address: PeerAddress, token: usize) -> Option<usize> {
        let slot = self.slots.entry(peer_address).or_default();
        slot.proving = slot.proving.filter(|proving| *proving != token);
        slot.proven.replace(token)
    }

    /// Takes note that a call is over.
    pub(crate) fn handle_closed(&mut self, peer_address: PeerAddress, token: usize) {
        let Some(slot) = self.slots.get_mut(&peer_address) else { return };
        slot.proven = slot.proven.filter(|proven| *proven != token);
        slot.proving = slot.proving.filter(|proving| *proving != token);
        if slot.proven.is_none() && slot.proving.is_none() {
            self.slots.remove(&peer_address);
        }
    }
}
