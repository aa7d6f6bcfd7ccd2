//! The secure channel over a stream: rustls, both roles, no I/O.

use std::fmt;
use std::io::Read;
use std::sync::Arc;

use rustls::pki_types::{CertificateDer, ServerName};
use rustls::time_provider::TimeProvider;
use rustls::{
    AlertDescription, CertificateError, ClientConfig, ClientConnection, Connection, HandshakeKind, ServerConfig,
    ServerConnection,
};

use super::credentials::ALPN;
use super::x509;

/// Why the channel can't be, or is no more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The configured name is no DNS name or address.
    BadName(String),
    /// The peer's certificate has expired, or had when our clock is right.
    Expired,
    /// The peer's certificate is not yet valid; a clock in the past looks the same.
    NotYetValid,
    /// The peer's certificate is for somebody else.
    WrongName(String),
    /// No authority we trust has signed the peer's certificate.
    UnknownAuthority,
    /// The peer shows no certificate.
    NoCertificate,
    /// The peer's certificate is bad in another way.
    BadCertificate(String),
    /// The peer does not accept our certificate.
    Refused(String),
    /// The peer does not accept our pre-shared key, or we not its.
    WrongKey(String),
    /// The peer has said goodbye.
    Closed,
    /// The peer does not answer; only where nothing else tells, over datagrams.
    Silent,
    /// The peer's raw public key is not known.
    UnknownKey,
    /// The peer does not say that it speaks CoAP (RFC 8323 section 8.2).
    NoCoap,
    /// Anything else the TLS library objects to.
    Protocol(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadName(name) => write!(f, "{name} is neither a DNS name nor an address"),
            Self::Expired => write!(f, "the peer's certificate has expired"),
            Self::NotYetValid => write!(f, "the peer's certificate is not valid yet, or our clock is in the past"),
            Self::WrongName(name) => write!(f, "the peer's certificate is not for {name}"),
            Self::UnknownAuthority => write!(f, "the peer's certificate is signed by an unknown authority"),
            Self::NoCertificate => write!(f, "the peer shows no certificate"),
            Self::BadCertificate(why) => write!(f, "the peer's certificate is unusable: {why}"),
            Self::Refused(why) => write!(f, "the peer refuses our certificate: {why}"),
            Self::WrongKey(why) => write!(f, "the pre-shared keys differ: {why}"),
            Self::Closed => write!(f, "the peer has closed the session"),
            Self::Silent => write!(f, "the peer does not answer"),
            Self::UnknownKey => write!(f, "the peer's public key is not the one we know"),
            Self::NoCoap => write!(f, "the peer does not say that it speaks CoAP (no ALPN)"),
            Self::Protocol(why) => write!(f, "TLS: {why}"),
        }
    }
}

impl std::error::Error for Failure {}

/// One TLS connection.
pub struct Channel {
    connection: Connection,
    /// The name the peer has to prove; empty in the server's role.
    name: String,
    clock: Arc<dyn TimeProvider>,
    /// Both sides have proven who they are, and that they fit.
    established: bool,
}

impl Channel {
    /// The router's end: proves that the peer is `name`, and sends it as SNI unless it is an address.
    ///
    /// # Errors
    /// [`Failure::BadName`], [`Failure::Protocol`]
    pub fn client(config: Arc<ClientConfig>, name: &str) -> Result<Self, Failure> {
        let server = ServerName::try_from(name.to_owned()).map_err(|_| Failure::BadName(name.to_owned()))?;
        let clock = Arc::clone(&config.time_provider);
        let connection = ClientConnection::new(config, server).map_err(|error| failure(error, name))?;
        Ok(Self::new(connection.into(), name, clock))
    }

    /// The provider's end.
    ///
    /// # Errors
    /// [`Failure::Protocol`]
    pub fn server(config: Arc<ServerConfig>) -> Result<Self, Failure> {
        let clock = Arc::clone(&config.time_provider);
        let connection = ServerConnection::new(config).map_err(|error| failure(error, ""))?;
        Ok(Self::new(connection.into(), "", clock))
    }

    fn new(mut connection: Connection, name: &str, clock: Arc<dyn TimeProvider>) -> Self {
        // What is written between two transmissions is bounded where it comes from; cut off it would be garbage.
        connection.set_buffer_limit(None);
        Self { connection, name: name.to_owned(), clock, established: false }
    }

    /// Takes bytes from the network and appends what they say to `plaintext`.
    ///
    /// # Errors
    /// The channel is dead; what [`Channel::poll_transmit`] still has is the last word to the peer. What was said before
    /// is in `plaintext`.
    pub fn handle_input(&mut self, mut bytes: &[u8], plaintext: &mut Vec<u8>) -> Result<(), Failure> {
        while !bytes.is_empty() {
            let taken = self.connection.read_tls(&mut bytes).map_err(|error| Failure::Protocol(error.to_string()))?;
            let state = self.connection.process_new_packets().map_err(|error| failure(error, &self.name))?;
            if !self.established && !self.connection.is_handshaking() {
                self.check().inspect_err(|_| self.close())?;
                self.established = true;
            }
            // That there is no more for now is no error here.
            let _ = self.connection.reader().read_to_end(plaintext);
            if state.peer_has_closed() {
                return Err(Failure::Closed);
            }
            if taken == 0 {
                break;
            }
        }
        Ok(())
    }

    /// What the handshake leaves to be looked at.
    fn check(&self) -> Result<(), Failure> {
        match &self.connection {
            Connection::Client(client) if client.alpn_protocol() != Some(ALPN) => Err(Failure::NoCoap),
            Connection::Client(_) => Ok(()),
            Connection::Server(_) => self.check_dates(),
        }
    }

    /// A ticket says nothing about the router's certificate, which may have expired since.
    fn check_dates(&self) -> Result<(), Failure> {
        let validity = self.peer_certificate().filter(|_| self.is_resumed()).and_then(|leaf| x509::validity(leaf));
        let now = self.clock.current_time().map_or(0, |now| now.as_secs());
        match validity {
            Some((_, until)) if now > until => Err(Failure::Expired),
            Some((from, _)) if now < from => Err(Failure::NotYetValid),
            _ => Ok(()),
        }
    }

    /// Encrypts.
    pub fn write(&mut self, plaintext: &[u8]) {
        // It fails when it has no room, and its room has no limit.
        let _ = std::io::Write::write_all(&mut self.connection.writer(), plaintext);
    }

    /// The next bytes for the network.
    pub fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        while self.connection.wants_write() && self.connection.write_tls(&mut bytes).is_ok() {}
        (!bytes.is_empty()).then_some(bytes)
    }

    /// Whether both sides have proven who they are.
    pub fn is_established(&self) -> bool {
        self.established
    }

    /// Whether the handshake was short, thanks to an earlier session.
    pub fn is_resumed(&self) -> bool {
        self.connection.handshake_kind() == Some(HandshakeKind::Resumed)
    }

    /// Says that nothing more will come.
    pub fn close(&mut self) {
        self.connection.send_close_notify();
    }

    /// The certificate the peer has shown, or its raw public key.
    pub fn peer_certificate(&self) -> Option<&CertificateDer<'static>> {
        self.connection.peer_certificates().and_then(|chain| chain.first())
    }
}

fn failure(error: rustls::Error, name: &str) -> Failure {
    match error {
        rustls::Error::InvalidCertificate(why) => match why {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => Failure::Expired,
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => Failure::NotYetValid,
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                Failure::WrongName(name.to_owned())
            }
            CertificateError::UnknownIssuer => Failure::UnknownAuthority,
            CertificateError::ApplicationVerificationFailure => Failure::UnknownKey,
            other => Failure::BadCertificate(format!("{other:?}")),
        },
        rustls::Error::NoCertificatesPresented => Failure::NoCertificate,
        rustls::Error::AlertReceived(alert) => alerted(alert),
        other => Failure::Protocol(other.to_string()),
    }
}

/// What a fatal alert of the peer says.
pub(super) fn alerted(alert: AlertDescription) -> Failure {
    match alert {
        AlertDescription::BadCertificate
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::CertificateRevoked
        | AlertDescription::CertificateExpired
        | AlertDescription::CertificateUnknown
        | AlertDescription::UnknownCA
        | AlertDescription::AccessDenied
        | AlertDescription::CertificateRequired => Failure::Refused(format!("{alert:?}")),
        other => Failure::Protocol(format!("the peer says {other:?}")),
    }
}
