//! Certificates that count no more, though they are valid (RFC 5280 section 5), by the lists of the authorities that signed them.

use std::collections::BTreeSet;

use ring::digest::{self, SHA256};
use rustls::pki_types::CertificateDer;
use webpki::{BorrowedCertRevocationList, CertRevocationList, EndEntityCert};

use super::pem;
use super::signed::{Signed, SignedFault};
use super::x509;

const LIST: &str = "X509 CRL";

/// A certificate, by who signed it and the number that it gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CertificateId(pub(super) [u8; 32]);

impl CertificateId {
    /// Of a certificate; nothing where it can't be read.
    pub fn of(certificate: &CertificateDer<'_>) -> Option<Self> {
        let parsed = EndEntityCert::try_from(certificate).ok()?;
        Some(Self::new(parsed.issuer(), parsed.serial()))
    }

    /// Of the name of who signed it, as it stands in a certificate without its frame, and its number.
    pub fn new(issuer: &[u8], serial: &[u8]) -> Self {
        let mut context = digest::Context::new(&SHA256);
        context.update(&(issuer.len() as u64).to_be_bytes());
        context.update(issuer);
        // A number is the same with zeros in front of it.
        context.update(serial.get(serial.iter().take_while(|byte| **byte == 0).count()..).unwrap_or_default());
        let mut id = [0; 32];
        id.copy_from_slice(context.finish().as_ref());
        Self(id)
    }

    /// Of the digits of [`CertificateId::hex`].
    pub fn read(digits: &str) -> Option<Self> {
        let pairs: Option<Vec<u8>> = digits
            .as_bytes()
            .chunks(2)
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
            .collect();
        Some(Self(pairs?.try_into().ok()?))
    }

    /// In hexadecimal digits.
    pub fn hex(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// What a peer has proven itself with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proven {
    /// All certificates it has shown; none where it has proven itself by a key.
    pub certificates: Vec<CertificateId>,
    /// The last second of its own, since 1970.
    pub until: Option<u64>,
}

impl Proven {
    /// By these certificates, its own first.
    pub(super) fn by(shown: &[CertificateDer<'_>]) -> Self {
        let until = shown.first().and_then(|leaf| x509::validity(leaf)).map(|(_, until)| until);
        Self { certificates: shown.iter().filter_map(CertificateId::of).collect(), until }
    }
}

/// All that are revoked.
#[derive(Clone, Debug, Default)]
pub struct Revocations(BTreeSet<CertificateId>);

impl Revocations {
    /// Reads the lists of a file: each has to be signed by one of these authorities. That a list should be replaced by now changes
    /// nothing: what is revoked stays so.
    ///
    /// # Errors
    /// There is no list in it; or one is damaged, not signed by one of them, or only a part of one.
    pub(super) fn read<'a>(
        content: &[u8],
        authorities: impl Iterator<Item = &'a CertificateDer<'static>> + Clone,
    ) -> Result<Self, SignedFault> {
        let lists = pem::blocks_of(content, LIST)?;
        if lists.is_empty() {
            return Err(SignedFault::Missing(LIST));
        }
        let mut revoked = BTreeSet::new();
        for der in lists {
            let der = der.ok_or(SignedFault::Malformed(LIST))?;
            let signed = Signed::read(&der).ok_or(SignedFault::Malformed(LIST))?;
            let list = BorrowedCertRevocationList::from_der(&der).map_err(|_| SignedFault::Unsupported)?;
            let numbers: Result<Vec<_>, _> =
                (&list).into_iter().map(|one| one.map(|one| one.serial_number.to_vec())).collect();
            let numbers = numbers.map_err(|_| SignedFault::Unsupported)?;
            let list = CertRevocationList::from(list);
            // One that is about some certificates only would pass for the whole.
            if list.issuing_distribution_point().is_some() {
                return Err(SignedFault::Unsupported);
            }
            let mut named = authorities.clone().filter(|one| x509::subject(one) == Some(list.issuer())).peekable();
            named.peek().ok_or(SignedFault::UnknownAuthority)?;
            if !named.any(|one| x509::public_key(one).is_some_and(|key| signed.is_by(key))) {
                return Err(SignedFault::Unsigned(LIST));
            }
            revoked.extend(numbers.into_iter().map(|number| CertificateId::new(list.issuer(), &number)));
        }
        Ok(Self(revoked))
    }

    /// Whether this one is revoked.
    pub fn has(&self, certificate: &CertificateId) -> bool {
        self.0.contains(certificate)
    }

    /// Whether any of these is revoked.
    pub fn has_any(&self, certificates: &[CertificateId]) -> bool {
        certificates.iter().any(|one| self.has(one))
    }
}
