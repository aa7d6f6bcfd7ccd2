//! Keys, certificates and authorities, read from the bytes of their files.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::x509;

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

/// Our certificate chain and its key.
pub struct Identity {
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) key: PrivateKeyDer<'static>,
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
    pub(super) store: Arc<RootCertStore>,
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
