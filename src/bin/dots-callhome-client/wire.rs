//! How a router is connected: TLS on a stream of its own, or DTLS on a socket it shares with others.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Instant;

use dots_callhome::io::buffered_stream::{self, BufferedStream};
use dots_callhome::model::Now;
use dots_callhome::transport::tls::Failure;
use dots_callhome::transport::{dtls, identity, tls};
use mio::Registry;
use mio::net::{TcpStream, UdpSocket};

/// Why a connection is over.
pub enum Lost {
    /// It ended, or the router's session did.
    Gone(String),
    /// Whoever called is none of our routers.
    Unproven(String),
}

/// That it ended, in words.
pub fn gone(why: impl std::fmt::Display) -> Lost {
    Lost::Gone(why.to_string())
}

/// A secure connection.
pub enum Wire {
    /// TLS over TCP.
    Tls(BufferedStream<TcpStream>, Box<tls::Channel>),
    /// DTLS over UDP.
    Dtls(Rc<UdpSocket>, SocketAddr, Box<dtls::Channel>),
}

impl Wire {
    /// Reads a piece of the stream; what it says is appended to `heard`. False when there was none. Datagrams come through
    /// [`Wire::take`].
    pub fn read(&mut self, heard: &mut Vec<Vec<u8>>) -> Result<bool, Lost> {
        let Self::Tls(link, channel) = self else { return Ok(false) };
        let mut buffer = buffered_stream::buffer();
        let Some(bytes) = link.receive(&mut buffer).map_err(gone)? else { return Ok(false) };
        let mut plaintext = Vec::new();
        let outcome = channel.handle_input(bytes, &mut plaintext);
        heard.push(plaintext);
        outcome.map(|()| true).map_err(|failure| lost(channel.is_established(), failure))
    }

    /// Takes a datagram; what it says is appended to `heard`.
    pub fn take(&mut self, datagram: &[u8], heard: &mut Vec<Vec<u8>>, now: Now) -> Result<(), Lost> {
        let Self::Dtls(_, _, channel) = self else { return Ok(()) };
        let outcome = channel.handle_input(datagram, now);
        heard.extend(std::iter::from_fn(|| channel.poll_message()));
        outcome.map_err(|failure| lost(channel.is_established(), failure))
    }

    /// Encrypts.
    pub fn write(&mut self, plaintext: &[u8]) {
        match self {
            Self::Tls(_, channel) => channel.write(plaintext),
            Self::Dtls(_, _, channel) => channel.write(plaintext),
        }
    }

    /// Sends what is to be sent.
    pub fn flush(&mut self) -> Result<(), Lost> {
        match self {
            Self::Tls(link, channel) => {
                while let Some(bytes) = channel.poll_transmit() {
                    link.send(&bytes).map_err(gone)?;
                }
                link.flush().map_err(gone)
            }
            Self::Dtls(socket, to, channel) => {
                while let Some(datagram) = channel.poll_transmit() {
                    // Whoever needs it sends it again.
                    let _ = socket.send_to(&datagram, *to);
                }
                Ok(())
            }
        }
    }

    /// When [`Wire::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        match self {
            Self::Tls(..) => None,
            Self::Dtls(_, _, channel) => channel.poll_timeout(),
        }
    }

    /// Repeats what was lost.
    pub fn handle_timeout(&mut self, now: Now) -> Result<(), Lost> {
        match self {
            Self::Tls(..) => Ok(()),
            Self::Dtls(_, _, channel) => channel.handle_timeout(now).map_err(gone),
        }
    }

    /// Whether the router has proven who it is.
    pub fn is_established(&self) -> bool {
        match self {
            Self::Tls(_, channel) => channel.is_established(),
            Self::Dtls(_, _, channel) => channel.is_established(),
        }
    }

    /// Who it is.
    pub fn peer_name(&self) -> Option<String> {
        match self {
            Self::Tls(_, channel) => channel.peer_certificate().and_then(identity::name),
            Self::Dtls(_, _, channel) => channel.peer_name().map(str::to_owned),
        }
    }

    /// The transport's name.
    pub fn transport(&self) -> &'static str {
        match self {
            Self::Tls(..) => "tls",
            Self::Dtls(..) => "dtls",
        }
    }

    /// Says goodbye as far as the network takes it at once, and leaves the loop.
    pub fn close(mut self, registry: &Registry) {
        match &mut self {
            Self::Tls(_, channel) => channel.close(),
            Self::Dtls(_, _, channel) => channel.close(),
        }
        let _ = self.flush();
        if let Self::Tls(link, _) = &mut self {
            link.leave(registry);
        }
    }
}

fn lost(is_proven: bool, failure: Failure) -> Lost {
    match failure {
        // A router that has reached us over another path hangs up before it has proven anything.
        Failure::Closed | Failure::Silent => gone(failure),
        _ if is_proven => gone(failure),
        _ => Lost::Unproven(failure.to_string()),
    }
}
