//! Requests for certificates (RFC 2986), of which only the key counts: who it is for, and for what, is the signer's to say.

use super::key_kind::KeyKind;
use super::pem;
use super::signed::{Signed, SignedFault, key_parts};
use super::x509::{INTEGER, SEQUENCE, element};

const REQUEST: &str = "CERTIFICATE REQUEST";

/// The key of somebody who has shown to have it.
pub struct CertificateRequest {
    kind: KeyKind,
    key: Vec<u8>,
}

impl CertificateRequest {
    /// Reads the file's content.
    ///
    /// # Errors
    /// There is none in it; whoever made it does not have the key; or the key is of no use over both transports.
    pub fn read(content: &[u8]) -> Result<Self, SignedFault> {
        let request = pem::blocks_of(content, REQUEST)?.into_iter().next();
        let der = request.ok_or(SignedFault::Missing(REQUEST))?.ok_or(SignedFault::Malformed(REQUEST))?;
        let signed = Signed::read(&der).ok_or(SignedFault::Malformed(REQUEST))?;
        let public_key = public_key(signed.content()).ok_or(SignedFault::Malformed(REQUEST))?;
        let kind = KeyKind::of_public(public_key).ok_or(SignedFault::Malformed(REQUEST))?;
        if !kind.is_verifiable() || !matches!(kind, KeyKind::Rsa(_) | KeyKind::P256 | KeyKind::P384) {
            return Err(SignedFault::UnusableKey);
        }
        // What is asked of a key is only believed from whoever has it (RFC 2986 section 3).
        if !signed.is_by(public_key) {
            return Err(SignedFault::Unsigned(REQUEST));
        }
        let (_, key) = key_parts(public_key).ok_or(SignedFault::Malformed(REQUEST))?;
        Ok(Self { kind, key: key.to_vec() })
    }

    /// What kind of key it is.
    pub fn kind(&self) -> KeyKind {
        self.kind
    }

    /// The key's bits (RFC 5280 section 4.1.2.7).
    pub fn key(&self) -> &[u8] {
        &self.key
    }
}

/// Behind version and subject.
fn public_key(content: &[u8]) -> Option<&[u8]> {
    let (_, rest) = element(content, INTEGER)?;
    let (_, framed) = element(rest, SEQUENCE)?;
    let (_, rest) = element(framed, SEQUENCE)?;
    framed.get(..framed.len() - rest.len())
}
