//! A secure connection to a provider: the socket and the channel on it.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use mio::net::{TcpStream, UdpSocket};
use mio::{Interest, Registry, Token};
use rustls::ClientConfig;

use crate::io::buffered_stream::{self, BufferedStream};
use crate::model::Now;
use crate::transport::{dtls, tls};

/// Reads of one wake-up: a provider that floods us does not hold the loop.
const READS: usize = 16;
/// No datagram of a path to us is longer.
const LONGEST_DATAGRAM: usize = 2048;

/// What a wake-up of the connection brought.
#[derive(Default)]
pub struct Heard {
    /// Pieces of the stream in order, or messages.
    pub plaintext: Vec<Vec<u8>>,
    /// There is more to read at once.
    pub more: bool,
}

/// One connection.
pub enum Line {
    /// TLS over TCP.
    Tls(BufferedStream<TcpStream>, Box<tls::Channel>),
    /// DTLS over UDP.
    Dtls(UdpSocket, Box<dtls::Channel>),
}

impl Line {
    /// Begins to connect over TCP. `name` is what the provider has to prove.
    ///
    /// # Errors
    /// Why it can't even begin.
    pub fn tls(
        config: Arc<ClientConfig>,
        name: &str,
        address: SocketAddr,
        registry: &Registry,
        token: Token,
    ) -> Result<Self, String> {
        let channel = tls::Channel::client(config, name).map_err(words)?;
        let stream = TcpStream::connect(address).map_err(words)?;
        let link = BufferedStream::new(stream, registry, token).map_err(words)?;
        Ok(Self::Tls(link, Box::new(channel)))
    }

    /// Begins a handshake over UDP, or resumes `session`.
    ///
    /// # Errors
    /// Why it can't even begin.
    pub fn dtls(
        config: &dtls::ClientConfig,
        name: &str,
        session: Option<&dtls::Session>,
        address: SocketAddr,
        registry: &Registry,
        token: Token,
        now: Now,
    ) -> Result<Self, String> {
        let channel = dtls::Channel::client(config, name, session, now).map_err(words)?;
        let any = if address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let mut socket = UdpSocket::bind(SocketAddr::new(any, 0)).map_err(words)?;
        socket.connect(address).map_err(words)?;
        registry.register(&mut socket, token, Interest::READABLE | Interest::WRITABLE).map_err(words)?;
        let mut line = Self::Dtls(socket, Box::new(channel));
        line.flush()?;
        Ok(line)
    }

    /// Takes what the network brought.
    ///
    /// # Errors
    /// Why the connection is lost; what had come before is in `heard`.
    pub fn ready(&mut self, writable: bool, heard: &mut Heard, now: Now) -> Result<(), String> {
        if writable {
            self.flush()?;
        }
        for _ in 0..READS {
            let outcome = match self {
                Self::Tls(link, channel) => read_stream(link, channel, heard),
                Self::Dtls(socket, channel) => read_datagram(socket, channel, heard, now),
            };
            // What the channel says in return, were it only why it fails, has to go out.
            let sent = self.flush();
            if !outcome? {
                return sent;
            }
            sent?;
        }
        heard.more = true;
        Ok(())
    }

    /// Encrypts and sends.
    ///
    /// # Errors
    /// Why the connection is lost.
    pub fn send(&mut self, plaintext: &[u8]) -> Result<(), String> {
        match self {
            Self::Tls(_, channel) => channel.write(plaintext),
            Self::Dtls(_, channel) => channel.write(plaintext),
        }
        self.flush()
    }

    fn flush(&mut self) -> Result<(), String> {
        match self {
            Self::Tls(link, channel) => {
                while let Some(bytes) = channel.poll_transmit() {
                    link.send(&bytes).map_err(|error| lost(&error))?;
                }
                link.flush().map_err(|error| lost(&error))
            }
            Self::Dtls(socket, channel) => {
                while let Some(datagram) = channel.poll_transmit() {
                    // Datagrams may get lost, on the way or here; whoever needs them sends them again.
                    let _ = socket.send(&datagram);
                }
                Ok(())
            }
        }
    }

    /// Our own address on it, where the kernel says.
    pub fn local_address(&self) -> Option<IpAddr> {
        let address = match self {
            Self::Tls(link, _) => link.stream().local_addr(),
            Self::Dtls(socket, _) => socket.local_addr(),
        };
        address.ok().map(|address| address.ip())
    }

    /// When [`Line::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        match self {
            Self::Tls(..) => None,
            Self::Dtls(_, channel) => channel.poll_timeout(),
        }
    }

    /// Repeats what was lost.
    ///
    /// # Errors
    /// Why the connection is lost.
    pub fn handle_timeout(&mut self, now: Now) -> Result<(), String> {
        let outcome = match self {
            Self::Dtls(_, channel) if channel.poll_timeout().is_some_and(|due| due <= now.instant) => {
                channel.handle_timeout(now).map_err(words)
            }
            _ => return Ok(()),
        };
        outcome.and(self.flush())
    }

    /// Whether both sides have proven who they are.
    pub fn is_established(&self) -> bool {
        match self {
            Self::Tls(_, channel) => channel.is_established(),
            Self::Dtls(_, channel) => channel.is_established(),
        }
    }

    /// What a later connection over UDP resumes from.
    pub fn session(&self) -> Option<&dtls::Session> {
        match self {
            Self::Tls(..) => None,
            Self::Dtls(_, channel) => channel.session(),
        }
    }

    /// Says goodbye, as far as the network takes it at once, and leaves the loop.
    pub fn close(mut self, registry: &Registry) {
        match &mut self {
            Self::Tls(_, channel) => channel.close(),
            Self::Dtls(_, channel) => channel.close(),
        }
        let _ = self.flush();
        match &mut self {
            Self::Tls(link, _) => link.leave(registry),
            Self::Dtls(socket, _) => {
                let _ = registry.deregister(socket);
            }
        }
    }
}

/// Whether there was something to read.
fn read_stream(
    link: &mut BufferedStream<TcpStream>,
    channel: &mut tls::Channel,
    heard: &mut Heard,
) -> Result<bool, String> {
    let mut buffer = buffered_stream::buffer();
    let Some(bytes) = link.receive(&mut buffer).map_err(|error| lost(&error))? else { return Ok(false) };
    let mut plaintext = Vec::new();
    let outcome = channel.handle_input(bytes, &mut plaintext);
    if !plaintext.is_empty() {
        heard.plaintext.push(plaintext);
    }
    outcome.map_err(words).map(|()| true)
}

/// Whether there was something to read.
fn read_datagram(socket: &UdpSocket, channel: &mut dtls::Channel, heard: &mut Heard, now: Now) -> Result<bool, String> {
    let mut buffer = [0; LONGEST_DATAGRAM];
    let datagram = match socket.recv(&mut buffer) {
        Ok(length) => buffer.get(..length).unwrap_or_default(),
        Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
        // The provider's machine says that nobody listens there: it may be about to start again.
        Err(_) => return Ok(true),
    };
    let outcome = channel.handle_input(datagram, now);
    heard.plaintext.extend(std::iter::from_fn(|| channel.poll_message()));
    outcome.map_err(words).map(|()| true)
}

fn lost(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::UnexpectedEof => "the provider closed the connection".to_owned(),
        _ => words(error),
    }
}

fn words(error: impl std::fmt::Display) -> String {
    error.to_string()
}
