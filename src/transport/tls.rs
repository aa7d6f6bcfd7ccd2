//! The secure channel over a stream: rustls, both roles, no I/O.

use std::io::Read;
use std::mem;
use std::sync::Arc;

use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, Connection, HandshakeKind, ServerConfig, ServerConnection};

use super::channel::Channel;
use super::crypto::ALPN;
use super::failure::{Failure, failure};
use super::x509;
#[cfg(feature = "client")]
use super::{identity, revocation::Proven};
use crate::model::Now;

/// One TLS connection.
pub struct TlsChannel {
    connection: Connection,
    /// The name the peer has to prove; empty in the server's role.
    name: String,
    /// What the peer has said and nobody has taken yet.
    plaintext: Vec<u8>,
    /// Both sides have proven who they are, and that they fit.
    established: bool,
    /// It has begun with the offer to resume a session.
    offered: bool,
}

impl TlsChannel {
    /// The router's end: proves that the peer is `name`, and sends it as SNI unless it is an address.
    ///
    /// # Errors
    /// [`Failure::BadName`], [`Failure::Protocol`]
    pub fn client(config: Arc<ClientConfig>, name: &str) -> Result<Self, Failure> {
        let server = ServerName::try_from(name.to_owned()).map_err(|_| Failure::BadName(name.to_owned()))?;
        let connection = ClientConnection::new(config, server).map_err(|error| failure(error, name))?;
        Ok(Self::new(connection.into(), name))
    }

    /// The provider's end.
    ///
    /// # Errors
    /// [`Failure::Protocol`]
    pub fn server(config: Arc<ServerConfig>) -> Result<Self, Failure> {
        let connection = ServerConnection::new(config).map_err(|error| failure(error, ""))?;
        Ok(Self::new(connection.into(), ""))
    }

    fn new(mut connection: Connection, name: &str) -> Self {
        // What is written between two transmissions is bounded where it comes from; cut off it would be garbage.
        connection.set_buffer_limit(None);
        Self { connection, name: name.to_owned(), plaintext: Vec::new(), established: false, offered: false }
    }

    /// Whether it has begun with the offer to resume a session.
    pub(super) fn set_offered(&mut self, offered: bool) {
        self.offered = offered;
    }

    /// What the handshake leaves to be looked at.
    fn check(&self, now: Now) -> Result<(), Failure> {
        match &self.connection {
            Connection::Client(client) if client.alpn_protocol() != Some(ALPN) => Err(Failure::NoCoap),
            Connection::Client(_) => Ok(()),
            Connection::Server(_) => self.check_dates(now),
        }
    }

    /// A ticket says nothing about the router's certificate, which may have expired since.
    fn check_dates(&self, now: Now) -> Result<(), Failure> {
        let validity = self.peer_certificate().filter(|_| self.is_resumed()).and_then(|leaf| x509::validity(leaf));
        match validity {
            Some((_, until)) if now.unix > until => Err(Failure::Expired),
            Some((from, _)) if now.unix < from => Err(Failure::NotYetValid),
            _ => Ok(()),
        }
    }
}

impl Channel for TlsChannel {
    fn handle_input(&mut self, mut bytes: &[u8], now: Now) -> Result<(), Failure> {
        while !bytes.is_empty() {
            let taken = self.connection.read_tls(&mut bytes).map_err(|error| Failure::Protocol(error.to_string()))?;
            let state = self.connection.process_new_packets().map_err(|error| failure(error, &self.name))?;
            if !self.established && !self.connection.is_handshaking() {
                self.check(now).inspect_err(|_| self.close())?;
                self.established = true;
            }
            // That there is no more for now is no error here.
            let _ = self.connection.reader().read_to_end(&mut self.plaintext);
            if state.peer_has_closed() {
                return Err(Failure::Closed);
            }
            if taken == 0 {
                break;
            }
        }
        Ok(())
    }

    fn poll_plaintext(&mut self) -> Option<Vec<u8>> {
        (!self.plaintext.is_empty()).then(|| mem::take(&mut self.plaintext))
    }

    fn write(&mut self, plaintext: &[u8]) {
        // It fails when it has no room, and its room has no limit.
        let _ = std::io::Write::write_all(&mut self.connection.writer(), plaintext);
    }

    fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        while self.connection.wants_write() && self.connection.write_tls(&mut bytes).is_ok() {}
        (!bytes.is_empty()).then_some(bytes)
    }

    fn close(&mut self) {
        self.connection.send_close_notify();
    }

    fn is_established(&self) -> bool {
        self.established
    }

    fn has_offered(&self) -> bool {
        self.offered
    }

    fn is_resumed(&self) -> bool {
        self.connection.handshake_kind() == Some(HandshakeKind::Resumed)
    }

    fn peer_certificate(&self) -> Option<&CertificateDer<'static>> {
        self.connection.peer_certificates().and_then(|chain| chain.first())
    }

    #[cfg(feature = "client")]
    fn peer_name(&self) -> Option<String> {
        self.peer_certificate().and_then(identity::name)
    }

    #[cfg(feature = "client")]
    fn proven(&self) -> Proven {
        Proven::by(self.connection.peer_certificates().unwrap_or_default())
    }
}
