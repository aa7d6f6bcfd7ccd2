//! Keys, certificates and authorities, read from the bytes of their files.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, SubjectPublicKeyInfoDer};

use super::crypto;
pub use super::fault::Fault;
pub use super::key_kind::KeyKind;
use super::pem;
#[cfg(feature = "client")]
use super::revocation::Revocations;
#[cfg(feature = "client")]
use super::signed::SignedFault;
use super::x509;
use crate::model::{Transport, printable};

/// A certificate that ends within this time is worth a warning.
pub const EXPIRY_WARNING: Duration = Duration::from_secs(30 * 24 * 3600);

/// Bytes of a pre-shared key: enough to be no password (RFC 9257 section 6), and what every library takes (RFC 4279 section 5.3).
const PSK_LENGTHS: std::ops::RangeInclusive<usize> = 16..=64;

/// Our certificates, in any order.
pub struct Chain(Vec<CertificateDer<'static>>);

impl Chain {
    /// Reads the file's content.
    ///
    /// # Errors
    /// Why there is no certificate in it, or one that can't be read.
    pub fn read(content: &[u8]) -> Result<Self, Fault> {
        let all: Option<Vec<_>> = pem::certificates(content)?.into_iter().collect();
        let all = all.filter(|all| all.iter().all(|certificate| x509::parts(certificate).is_some()));
        Ok(Self(all.ok_or(Fault::BadCertificate)?.into_iter().map(CertificateDer::from).collect()))
    }

    /// The leaf first, then each one's issuer as far as it is there, then the rest (RFC 5246 section 7.4.2).
    fn ordered(self, public: Option<&SubjectPublicKeyInfoDer<'_>>) -> Vec<CertificateDer<'static>> {
        let mut rest = self.0;
        let is_own = |c: &CertificateDer<'_>| public.is_some_and(|key| x509::public_key(c) == Some(key.as_ref()));
        let leaf = rest.iter().position(is_own).or_else(|| rest.iter().position(|c| !x509::is_authority(c)));
        let mut next = Some(leaf.unwrap_or(0)).filter(|leaf| *leaf < rest.len());
        let mut chain = Vec::new();
        while let Some(at) = next {
            let one = rest.remove(at);
            rest.retain(|other| *other != one);
            next = rest.iter().position(|other| x509::is_issuer(other, &one));
            chain.push(one);
        }
        chain.append(&mut rest);
        chain
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
    /// As of [`Chain::read`]; [`Fault::is_of_key`] for the key's file.
    pub fn read(certificate: &[u8], key: &[u8]) -> Result<Self, Fault> {
        Self::new(Chain::read(certificate)?, key)
    }

    /// With the content of the key's file.
    ///
    /// # Errors
    /// Why there is no key in it.
    pub fn new(chain: Chain, key: &[u8]) -> Result<Self, Fault> {
        let key = pem::private_key(key)?;
        let public = crypto::private_key(&key).ok().and_then(|key| key.public_key().map(|key| key.into_owned()));
        Ok(Self { chain: chain.ordered(public.as_ref()), key })
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
    pub(super) fn key(&self) -> &PrivateKeyDer<'static> {
        &self.key
    }

    /// That the library of this transport can't use the key.
    pub(super) fn unusable_over(&self, transport: Transport) -> Fault {
        self.kind().map_or(Fault::BadKey, |kind| Fault::UnusableKey(kind, transport))
    }

    /// What kind of key it is; nothing where it can't be read.
    pub(super) fn kind(&self) -> Option<KeyKind> {
        KeyKind::of_private(&self.key)
    }
}

/// An authority of a file that can't be used while others can.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// Its place in the file, counted from 1.
    number: usize,
    /// What it calls itself.
    name: Option<String>,
    /// Why.
    fault: Fault,
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "certificate {}", self.number)?;
        self.name.as_ref().map_or(Ok(()), |name| write!(f, " ({})", printable(name)))?;
        write!(f, " is not used: {}", self.fault)
    }
}

/// Authorities whose certificates are believed. Their own signatures and dates say nothing (RFC 5280 section 6.1).
pub struct Anchors {
    store: Arc<RootCertStore>,
    /// With their places in the file, counted from 1.
    certificates: Vec<(usize, CertificateDer<'static>)>,
    left_out: Vec<LeftOut>,
    /// What they have signed and what counts no more.
    #[cfg(feature = "client")]
    revoked: Arc<Revocations>,
}

impl Anchors {
    /// Reads the file's content.
    ///
    /// # Errors
    /// Why there is no certificate in it, or what is wrong with the first one where none can be used.
    pub fn read(content: &[u8]) -> Result<Self, Fault> {
        let mut store = RootCertStore::empty();
        let (mut certificates, mut left_out) = (Vec::new(), Vec::new());
        for (number, content) in (1..).zip(pem::certificates(content)?) {
            let certificate = content.map(CertificateDer::from);
            match certificate.as_ref().map_or(Err(Fault::BadCertificate), |one| believe(one, &mut store)) {
                Ok(()) => certificates.extend(certificate.map(|certificate| (number, certificate))),
                Err(fault) => left_out.push(Self::without(number, certificate.as_ref(), fault)),
            }
        }
        match left_out.first() {
            Some(first) if certificates.is_empty() => Err(first.fault.clone()),
            _ => Ok(Self {
                store: Arc::new(store),
                certificates,
                left_out,
                #[cfg(feature = "client")]
                revoked: Arc::default(),
            }),
        }
    }

    fn without(number: usize, certificate: Option<&CertificateDer<'_>>, fault: Fault) -> LeftOut {
        LeftOut { number, name: certificate.and_then(|certificate| x509::subject_name(certificate)), fault }
    }

    /// Those of the file that are of no use.
    pub fn left_out(&self) -> &[LeftOut] {
        &self.left_out
    }

    /// Those that are of use over TLS only: Mbed TLS can't read what they have signed.
    ///
    /// # Errors
    /// [`Fault::UnreadableAuthority`] where none is left.
    pub fn left_out_of_dtls(&self) -> Result<Vec<LeftOut>, Fault> {
        let fault = Fault::UnreadableAuthority(KeyKind::Ed25519, Transport::Dtls);
        let is_odd = |certificate: &CertificateDer<'_>| KeyKind::of(certificate) == Some(KeyKind::Ed25519);
        let odd = self.certificates.iter().filter(|(_, certificate)| is_odd(certificate));
        let odd: Vec<_> = odd.map(|(number, one)| Self::without(*number, Some(one), fault.clone())).collect();
        if odd.len() == self.certificates.len() { Err(fault) } else { Ok(odd) }
    }

    /// In the library's form.
    pub(super) fn store(&self) -> &Arc<RootCertStore> {
        &self.store
    }

    /// The same, but what the lists of a file's content name counts no more.
    ///
    /// # Errors
    /// There is no list in it, or one that can't be used.
    #[cfg(feature = "client")]
    pub fn without_revoked(self, content: &[u8]) -> Result<Self, SignedFault> {
        let revoked = Revocations::read(content, self.certificates())?;
        Ok(Self { revoked: Arc::new(revoked), ..self })
    }

    /// What counts no more.
    #[cfg(feature = "client")]
    pub fn revoked(&self) -> &Arc<Revocations> {
        &self.revoked
    }

    /// Their certificates.
    #[cfg(feature = "client")]
    pub(super) fn certificates(&self) -> impl Iterator<Item = &CertificateDer<'static>> + Clone {
        self.certificates.iter().map(|(_, certificate)| certificate)
    }
}

/// Adds it to what is believed if its signatures can be verified.
fn believe(certificate: &CertificateDer<'static>, store: &mut RootCertStore) -> Result<(), Fault> {
    let kind = KeyKind::of(certificate).ok_or(Fault::BadCertificate)?;
    if !kind.is_verifiable() {
        return Err(Fault::UnusableAuthority(kind));
    }
    store.add(certificate.clone()).map_err(|_| Fault::BadCertificate)
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
    /// [`Fault::NoPreSharedKey`], [`Fault::Utf16`], [`Fault::ZeroBytes`]
    pub fn read(identity: &str, content: &[u8]) -> Result<Self, Fault> {
        let digits = pem::text(content)?.trim_ascii();
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
