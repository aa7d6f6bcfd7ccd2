//! The secure channel over a stream: rustls, both roles, no I/O.

use std::fmt;
use std::io::Read;
use std::sync::Arc;

use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{
    AlertDescription, CertificateError, ClientConfig, ClientConnection, Connection, ServerConfig, ServerConnection,
};

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
    /// The peer has said goodbye; only where nothing else tells, over datagrams.
    Closed,
    /// The peer does not answer; likewise.
    Silent,
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
}

impl Channel {
    /// The router's end: proves that the peer is `name`, and sends it as SNI.
    ///
    /// # Errors
    /// [`Failure::BadName`], [`Failure::Protocol`]
    pub fn client(config: Arc<ClientConfig>, name: &str) -> Result<Self, Failure> {
        let server = ServerName::try_from(name.to_owned()).map_err(|_| Failure::BadName(name.to_owned()))?;
        let connection = ClientConnection::new(config, server).map_err(|error| failure(error, name))?;
        Ok(Self { connection: connection.into(), name: name.to_owned() })
    }

    /// The provider's end.
    ///
    /// # Errors
    /// [`Failure::Protocol`]
    pub fn server(config: Arc<ServerConfig>) -> Result<Self, Failure> {
        let connection = ServerConnection::new(config).map_err(|error| failure(error, ""))?;
        Ok(Self { connection: connection.into(), name: String::new() })
    }

    /// Takes bytes from the network and appends what they say to `plaintext`.
    ///
    /// # Errors
    /// The channel is dead; what [`Channel::poll_transmit`] still has is the alert for the peer.
    pub fn handle_input(&mut self, mut bytes: &[u8], plaintext: &mut Vec<u8>) -> Result<(), Failure> {
        while !bytes.is_empty() {
            let taken = self.connection.read_tls(&mut bytes).map_err(|error| Failure::Protocol(error.to_string()))?;
            self.connection.process_new_packets().map_err(|error| failure(error, &self.name))?;
            // Its end, orderly or for now, is no error here: closing is the stream's matter.
            let _ = self.connection.reader().read_to_end(plaintext);
            if taken == 0 {
                break;
            }
        }
        Ok(())
    }

    /// Encrypts.
    pub fn write(&mut self, plaintext: &[u8]) {
        // Its buffer has no limit; what waits is bounded where the stream is.
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
        !self.connection.is_handshaking()
    }

    /// Says that nothing more will come.
    pub fn close(&mut self) {
        self.connection.send_close_notify();
    }

    /// The certificate the peer has shown.
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
