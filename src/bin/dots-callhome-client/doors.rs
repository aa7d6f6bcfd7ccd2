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
pub struct Seat {
    /// Its router has proven who it is.
    pub proven: Option<usize>,
    /// It has shown that it is there.
    pub coming: Option<usize>,
}

/// Where a call comes from: the socket's number and the address.
pub type Place = (usize, SocketAddr);

/// All sockets.
pub struct Doors {
    config: ServerConfig,
    sockets: Vec<Rc<UdpSocket>>,
    seats: BTreeMap<Place, Seat>,
}

impl Doors {
    /// None yet.
    pub fn new(config: ServerConfig) -> Self {
        Self { config, sockets: Vec::new(), seats: BTreeMap::new() }
    }

    /// Opens one more; they are numbered from 0.
    pub fn open(&mut self, address: SocketAddr, registry: &Registry, token: Token) -> io::Result<()> {
        let mut socket = UdpSocket::bind(address)?;
        registry.register(&mut socket, token, Interest::READABLE)?;
        self.sockets.push(Rc::new(socket));
        Ok(())
    }

    /// The socket of that number.
    pub fn socket(&self, number: usize) -> Option<&Rc<UdpSocket>> {
        self.sockets.get(number)
    }

    /// The next datagram at that socket, and where it comes from.
    pub fn receive(&self, number: usize) -> Option<(Vec<u8>, SocketAddr)> {
        let socket = self.sockets.get(number)?;
        let mut datagram = vec![0; LONGEST];
        // What else than that there is none for now can be wrong here is over with the next one.
        let (length, from) = socket.recv_from(&mut datagram).ok()?;
        datagram.truncate(length);
        Some((datagram, from))
    }

    /// Who calls from there.
    pub fn seat(&self, place: Place) -> Seat {
        self.seats.get(&place).copied().unwrap_or_default()
    }

    /// Answers somebody new; a channel once it has shown that it is there.
    pub fn greet(&self, (number, from): Place, datagram: &[u8], now: Now) -> Option<DtlsChannel> {
        match self.config.accept(from, datagram, now) {
            Answer::Nothing => None,
            Answer::Reply(reply) => {
                let _ = self.sockets.get(number)?.send_to(&reply, from);
                None
            }
            Answer::Accepted(channel) => Some(channel),
        }
    }

    /// A call begins.
    pub fn came(&mut self, place: Place, token: usize) {
        self.seats.entry(place).or_default().coming = Some(token);
    }

    /// Its router is proven; the call whose place it takes.
    pub fn proven(&mut self, place: Place, token: usize) -> Option<usize> {
        let seat = self.seats.entry(place).or_default();
        seat.coming = seat.coming.filter(|coming| *coming != token);
        seat.proven.replace(token)
    }

    /// A call is over.
    pub fn left(&mut self, place: Place, token: usize) {
        let Some(seat) = self.seats.get_mut(&place) else { return };
        seat.proven = seat.proven.filter(|proven| *proven != token);
        seat.coming = seat.coming.filter(|coming| *coming != token);
        if seat.proven.is_none() && seat.coming.is_none() {
            self.seats.remove(&place);
        }
    }
}
