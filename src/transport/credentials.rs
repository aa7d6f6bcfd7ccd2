//! Keys, certificates and authorities: from the bytes of their files to TLS configurations.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::Ticketer;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::{ProducesTickets, WebPkiClientVerifier};
use rustls::time_provider::TimeProvider;
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use super::resumption::{Sessions, Verifier};
use super::x509;

/// The application protocol of CoAP over TLS (RFC 8323 section 8.2).
pub(super) const ALPN: &[u8] = b"coap";
/// A certificate that ends within this time is worth a warning.
pub const EXPIRY_WARNING: Duration = Duration::from_secs(30 * 24 * 3600);

/// Bytes of a pre-shared key: enough to be no password (RFC 9257 section 6), and what every library takes (RFC 4279 section 5.3).
const PSK_LENGTHS: std::ops::RangeInclusive<usize> = 16..=64;

/// What is wrong with a credential. The texts name no file: whoever read it knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// No PEM certificate in it.
    NoCertificate,
    /// A certificate in it can't be read.
    BadCertificate,
    /// No PEM private key in it that we can use.
    NoKey,
    /// No PEM public key in it, or more than that.
    NoPublicKey,
    /// No pre-shared key in it: 16 to 64 bytes as hexadecimal digits.
    NoPreSharedKey,
    /// The key is not the certificate's.
    KeyMismatch,
    /// The certificate has expired, at this time since 1970.
    Expired(u64),
    /// The certificate is valid only from this time since 1970 on.
    NotYetValid(u64),
    /// The TLS library objects.
    Unusable(String),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoCertificate => write!(f, "no PEM certificate in it"),
            Self::BadCertificate => write!(f, "a certificate in it cannot be read"),
            Self::NoKey => write!(f, "no usable PEM private key in it"),
            Self::NoPublicKey => write!(f, "no usable PEM public key in it"),
            Self::NoPreSharedKey => write!(f, "no pre-shared key of 32 to 128 hexadecimal digits in it"),
            Self::KeyMismatch => write!(f, "the key does not belong to the certificate"),
            Self::Expired(at) => write!(f, "the certificate expired on {}", x509::date(*at)),
            Self::NotYetValid(from) => write!(f, "the certificate is not valid before {}", x509::date(*from)),
            Self::Unusable(why) => write!(f, "{why}"),
        }
    }
}

impl std::error::Error for Fault {}

/// The time certificates are judged by: what its owner last told it.
#[derive(Debug, Default)]
pub struct Clock(Mutex<u64>);

impl Clock {
    /// Sets it, in seconds since 1970.
    pub fn set(&self, unix: u64) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = unix;
    }
}

impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        let unix = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Some(UnixTime::since_unix_epoch(Duration::from_secs(unix)))
    }
}

/// Our certificate chain and its key.
pub struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl Identity {
    /// Reads both files' content.
    ///
    /// # Errors
    /// [`Fault::NoCertificate`], [`Fault::BadCertificate`]; [`Fault::NoKey`] for the key's file.
    pub fn read(certificate: &[u8], key: &[u8]) -> Result<Self, Fault> {
        let chain = certificates(certificate)?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| Fault::NoKey)?;
        Ok(Self { chain, key })
    }

    /// The end of the certificate's validity, seconds since 1970.
    ///
    /// # Errors
    /// [`Fault::Expired`], [`Fault::NotYetValid`] at the time given.
    pub fn valid_until(&self, unix: u64) -> Result<u64, Fault> {
        let leaf = self.chain.first().ok_or(Fault::NoCertificate)?;
        let (from, until) = x509::validity(leaf).ok_or(Fault::BadCertificate)?;
        match unix {
            _ if unix > until => Err(Fault::Expired(until)),
            _ if unix < from => Err(Fault::NotYetValid(from)),
            _ => Ok(until),
        }
    }

    /// Our own leaf certificate.
    pub fn leaf(&self) -> Option<&CertificateDer<'static>> {
        self.chain.first()
    }

    /// Our certificates, the leaf first.
    pub(super) fn chain(&self) -> &[CertificateDer<'static>] {
        &self.chain
    }

    /// The key of the leaf.
    pub(super) fn key(&self) -> &[u8] {
        self.key.secret_der()
    }
}

/// Authorities whose certificates are believed.
pub struct Anchors {
    store: Arc<RootCertStore>,
    certificates: Vec<CertificateDer<'static>>,
}

impl Anchors {
    /// Reads the file's content.
    ///
    /// # Errors
    /// [`Fault::NoCertificate`], [`Fault::BadCertificate`]
    pub fn read(pem: &[u8]) -> Result<Self, Fault> {
        let mut store = RootCertStore::empty();
        let certificates = certificates(pem)?;
        for certificate in &certificates {
            store.add(certificate.clone()).map_err(|_| Fault::BadCertificate)?;
        }
        Ok(Self { store: Arc::new(store), certificates })
    }

    /// Their certificates.
    pub(super) fn certificates(&self) -> &[CertificateDer<'static>] {
        &self.certificates
    }
}

/// A key both sides know, and whose it is (RFC 4279).
#[derive(Clone, PartialEq, Eq)]
pub struct Psk {
    identity: String,
    key: Vec<u8>,
}

impl Psk {
    /// Reads the key's file: hexadecimal digits, with space around them.
    ///
    /// # Errors
    /// [`Fault::NoPreSharedKey`]
    pub fn read(identity: &str, content: &[u8]) -> Result<Self, Fault> {
        let digits = content.trim_ascii();
        let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        let key: Option<Vec<u8>> = digits
            .chunks(2)
            .map(|pair| match pair {
                [high, low] => Some(digit(high)? << 4 | digit(low)?),
                _ => None,
            })
            .collect();
        let key = key.filter(|key| PSK_LENGTHS.contains(&key.len())).ok_or(Fault::NoPreSharedKey)?;
        Ok(Self { identity: identity.to_owned(), key })
    }

    /// Whose it is.
    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// The key itself.
    pub(super) fn key(&self) -> &[u8] {
        &self.key
    }
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, Fault> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let all = all.map_err(|_| Fault::BadCertificate)?;
    if all.is_empty() { Err(Fault::NoCertificate) } else { Ok(all) }
}

/// The router's side of TLS 1.2 and 1.3, with mutual authentication and without early data. It holds what later
/// connections resume from.
///
/// # Errors
/// [`Fault::KeyMismatch`], [`Fault::Unusable`]
pub fn client_config(identity: Identity, anchors: &Anchors, clock: Arc<Clock>) -> Result<Arc<ClientConfig>, Fault> {
    let sessions = Arc::new(Sessions::new(Arc::clone(&clock)));
    let verifier = Verifier::new(Arc::clone(&anchors.store), Arc::clone(&sessions));
    let mut config = ClientConfig::builder_with_details(provider(), clock)
        .with_safe_default_protocol_versions()
        .map_err(fault)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_client_auth_cert(identity.chain, identity.key)
        .map_err(fault)?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.resumption = Resumption::store(sessions);
    Ok(Arc::new(config))
}

/// The provider's side: routers without a certificate of these authorities are refused. Tickets hold the state of
/// sessions, the provider holds none.
///
/// # Errors
/// [`Fault::KeyMismatch`], [`Fault::Unusable`]
pub fn server_config(identity: Identity, anchors: &Anchors, clock: Arc<Clock>) -> Result<Arc<ServerConfig>, Fault> {
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::clone(&anchors.store), provider())
        .build()
        .map_err(|error| Fault::Unusable(error.to_string()))?;
    let mut config = ServerConfig::builder_with_details(provider(), clock)
        .with_safe_default_protocol_versions()
        .map_err(fault)?
        .with_client_cert_verifier(verifier)
        .with_single_cert(identity.chain, identity.key)
        .map_err(fault)?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.ticketer = ticketer()?;
    Ok(Arc::new(config))
}

/// Makes tickets with a key of its own that changes every few hours.
pub(super) fn ticketer() -> Result<Arc<dyn ProducesTickets>, Fault> {
    Ticketer::new().map_err(fault)
}

pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

pub(super) fn fault(error: rustls::Error) -> Fault {
    match error {
        rustls::Error::InconsistentKeys(_) => Fault::KeyMismatch,
        other => Fault::Unusable(other.to_string()),
    }
}
