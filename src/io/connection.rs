//! A secure connection: bytes in and out between a socket and the channel on it.

use std::fmt;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
#[cfg(feature = "client")]
use std::rc::Rc;
use std::time::Instant;

use mio::net::{TcpStream, UdpSocket};
use mio::{Interest, Registry, Token};

use super::buffered_stream::{self, BufferedStream};
use crate::model::{Now, Transport};
use crate::transport::dtls::{DtlsChannel, SavedSession};
#[cfg(feature = "client")]
use crate::transport::revocation::Proven;
use crate::transport::tls::TlsChannel;
use crate::transport::{Channel, Failure};

/// Reads of one wake-up: a peer that floods us does not hold the loop.
const READS: usize = 16;
/// No datagram of a path to us is longer.
const LONGEST_DATAGRAM: usize = 2048;

/// Why a connection can't be, or is no more.
#[derive(Debug)]
pub enum Lost {
    /// The kernel says so.
    Socket(io::Error),
    /// The channel says so.
    Channel(Failure),
    /// Our credentials don't work on the transport.
    NoCredentials,
}

impl Lost {
    /// Whether the peer may have ended it because of what we said, and not the network.
    pub fn is_refusal(&self) -> bool {
        match self {
            Self::Channel(failure) => !matches!(failure, Failure::BadName(_)),
            Self::Socket(error) => matches!(
                error.kind(),
                ErrorKind::UnexpectedEof
                    | ErrorKind::ConnectionReset
                    | ErrorKind::ConnectionAborted
                    | ErrorKind::BrokenPipe
            ),
            Self::NoCredentials => false,
        }
    }
}

impl From<io::Error> for Lost {
    fn from(error: io::Error) -> Self {
        Self::Socket(error)
    }
}

impl From<Failure> for Lost {
    fn from(failure: Failure) -> Self {
        Self::Channel(failure)
    }
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(error) if error.kind() == ErrorKind::UnexpectedEof => {
                write!(f, "the peer closed the connection")
            }
            Self::Socket(error) => error.fmt(f),
            Self::Channel(failure) => failure.fmt(f),
            Self::NoCredentials => write!(f, "these credentials are not for this transport"),
        }
    }
}

impl std::error::Error for Lost {}

/// A socket with a secure channel on it.
pub struct Connection {
    socket: ConnectionSocket,
    channel: Box<dyn Channel>,
}

enum ConnectionSocket {
    /// For TLS.
    Stream(BufferedStream<TcpStream>),
    /// For DTLS: connected to the peer.
    Datagram(UdpSocket),
    /// For DTLS: the socket of many peers, and this one's address.
    #[cfg(feature = "client")]
    Shared(Rc<UdpSocket>, SocketAddr),
}

impl Connection {
    /// Runs TLS over a stream, which may still be connecting.
    ///
    /// # Errors
    /// [`Lost::Socket`] if the stream can't be registered.
    pub fn tls(stream: TcpStream, channel: TlsChannel, registry: &Registry, token: Token) -> Result<Self, Lost> {
        let stream = BufferedStream::new(stream, registry, token)?;
        Ok(Self { socket: ConnectionSocket::Stream(stream), channel: Box::new(channel) })
    }

    /// Runs DTLS over a socket of its own, and sends the first datagram.
    ///
    /// # Errors
    /// [`Lost::Socket`] if there is no way to `peer`.
    pub fn dtls(peer: SocketAddr, channel: DtlsChannel, registry: &Registry, token: Token) -> Result<Self, Lost> {
        let any = if peer.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let mut socket = UdpSocket::bind(SocketAddr::new(any, 0))?;
        socket.connect(peer)?;
        registry.register(&mut socket, token, Interest::READABLE | Interest::WRITABLE)?;
        let mut connection = Self { socket: ConnectionSocket::Datagram(socket), channel: Box::new(channel) };
        connection.flush()?;
        Ok(connection)
    }

    /// Runs DTLS over a socket that belongs to many peers; its owner reads it and calls [`Connection::handle_datagram`].
    #[cfg(feature = "client")]
    pub fn shared_dtls(socket: Rc<UdpSocket>, peer: SocketAddr, channel: DtlsChannel) -> Self {
        Self { socket: ConnectionSocket::Shared(socket, peer), channel: Box::new(channel) }
    }

    /// Writes and reads a socket that is ready for it. True: there is more to read at once.
    ///
    /// # Errors
    /// The connection is lost; what had come before is still in [`Connection::poll_plaintext`].
    pub fn handle_ready(&mut self, writable: bool, now: Now) -> Result<bool, Lost> {
        if writable {
            self.flush()?;
        }
        for _ in 0..READS {
            let outcome = self.read(now);
            // What the channel says in return, were it only why it fails, has to go out.
            let sent = self.flush();
            if !outcome? {
                return sent.map(|()| false);
            }
            sent?;
        }
        Ok(true)
    }

    /// Whether there was something to read.
    fn read(&mut self, now: Now) -> Result<bool, Lost> {
        match &mut self.socket {
            ConnectionSocket::Stream(stream) => {
                let mut buffer = buffered_stream::buffer();
                let Some(bytes) = stream.receive(&mut buffer)? else { return Ok(false) };
                self.channel.handle_input(bytes, now)?;
            }
            ConnectionSocket::Datagram(socket) => {
                let mut buffer = [0; LONGEST_DATAGRAM];
                match socket.recv(&mut buffer) {
                    Ok(length) => self.channel.handle_input(buffer.get(..length).unwrap_or_default(), now)?,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                    // The peer's machine says that nobody listens there: it may be about to start again.
                    Err(_) => {}
                }
            }
            #[cfg(feature = "client")]
            ConnectionSocket::Shared(..) => return Ok(false),
        }
        Ok(true)
    }

    /// Takes a datagram from the shared socket.
    ///
    /// # Errors
    /// The connection is lost; what had come before is still in [`Connection::poll_plaintext`].
    #[cfg(feature = "client")]
    pub fn handle_datagram(&mut self, datagram: &[u8], now: Now) -> Result<(), Lost> {
        let outcome = self.channel.handle_input(datagram, now);
        let sent = self.flush();
        outcome?;
        sent
    }

    /// The next piece of the stream, or the next message, in clear.
    pub fn poll_plaintext(&mut self) -> Option<Vec<u8>> {
        self.channel.poll_plaintext()
    }

    /// Encrypts and sends a piece of the stream, or one message.
    ///
    /// # Errors
    /// [`Lost::Socket`]
    pub fn send(&mut self, plaintext: &[u8]) -> Result<(), Lost> {
        self.channel.write(plaintext);
        self.flush()
    }

    fn flush(&mut self) -> Result<(), Lost> {
        while let Some(bytes) = self.channel.poll_transmit() {
            // Datagrams may get lost, on the way or here; whoever needs them sends them again.
            match &mut self.socket {
                ConnectionSocket::Stream(stream) => stream.send(&bytes)?,
                ConnectionSocket::Datagram(socket) => drop(socket.send(&bytes)),
                #[cfg(feature = "client")]
                ConnectionSocket::Shared(socket, peer) => drop(socket.send_to(&bytes, *peer)),
            }
        }
        if let ConnectionSocket::Stream(stream) = &mut self.socket { Ok(stream.flush()?) } else { Ok(()) }
    }

    /// When [`Connection::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.channel.poll_timeout()
    }

    /// Repeats what was lost, if that is due.
    ///
    /// # Errors
    /// The connection is lost.
    pub fn handle_timeout(&mut self, now: Now) -> Result<(), Lost> {
        if self.poll_timeout().is_none_or(|due| due > now.instant) {
            return Ok(());
        }
        self.channel.handle_timeout(now)?;
        self.flush()
    }

    /// The secure transport it uses.
    pub fn transport(&self) -> Transport {
        if let ConnectionSocket::Stream(_) = self.socket { Transport::Tls } else { Transport::Dtls }
    }

    /// Our own address on it, where the kernel says.
    pub fn local_address(&self) -> Option<IpAddr> {
        let address = match &self.socket {
            ConnectionSocket::Stream(stream) => stream.stream().local_addr(),
            ConnectionSocket::Datagram(socket) => socket.local_addr(),
            #[cfg(feature = "client")]
            ConnectionSocket::Shared(socket, _) => socket.local_addr(),
        };
        address.ok().map(|address| address.ip())
    }

    /// Whether both sides have proven who they are.
    pub fn is_established(&self) -> bool {
        self.channel.is_established()
    }

    /// Whether the handshake began with the offer to go on from an earlier session.
    pub fn has_offered(&self) -> bool {
        self.channel.has_offered()
    }

    /// Whether both sides go on from an earlier session.
    pub fn is_resumed(&self) -> bool {
        self.channel.is_resumed()
    }

    /// The name the router has proven to the provider.
    #[cfg(feature = "client")]
    pub fn peer_name(&self) -> Option<String> {
        self.channel.peer_name()
    }

    /// What the router has proven it with.
    #[cfg(feature = "client")]
    pub fn proven(&self) -> Proven {
        self.channel.proven()
    }

    /// The session that a later connection over UDP may resume.
    pub fn session(&self) -> Option<&SavedSession> {
        self.channel.session()
    }

    /// Says goodbye, as far as the network takes it at once, and leaves the loop.
    pub fn close(mut self, registry: &Registry) {
        self.channel.close();
        let _ = self.flush();
        match &mut self.socket {
            ConnectionSocket::Stream(stream) => stream.leave(registry),
            ConnectionSocket::Datagram(socket) => drop(registry.deregister(socket)),
            #[cfg(feature = "client")]
            ConnectionSocket::Shared(..) => {}
        }
    }
}
