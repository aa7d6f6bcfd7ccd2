//! What is signed as certificates are: requests for them (RFC 2986) and lists of those that are revoked (RFC 5280 section 5).

use std::fmt;

use super::fault::Fault;
use super::signatures::ALGORITHMS;
use super::x509::{BIT_STRING, SEQUENCE, element};

/// Why such a thing is of no use. The texts name no file: whoever read it knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SignedFault {
    /// Its file holds no text that could be read.
    File(Fault),
    /// There is none in its file.
    Missing(&'static str),
    /// It can't be read.
    Malformed(&'static str),
    /// It is not signed with the key that it has to be signed with.
    Unsigned(&'static str),
    /// The key in a request is none that both transports can use.
    UnusableKey,
    /// A list of an authority that is not believed.
    UnknownAuthority,
    /// A list of a form that is not supported: version 2, complete and of one authority it has to be.
    Unsupported,
}

impl fmt::Display for SignedFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(fault) => fault.fmt(f),
            Self::Missing(what) => write!(f, "no PEM {what} in it"),
            Self::Malformed(what) => write!(f, "the {what} in it cannot be read"),
            Self::Unsigned(what) => write!(f, "the {what} in it is not signed with the key it has to be signed with"),
            Self::UnusableKey => write!(f, "the key in it is not of RSA, P-256 or P-384"),
            Self::UnknownAuthority => write!(f, "a list in it is of an authority that is not among ours"),
            Self::Unsupported => write!(f, "a list in it is not complete, or not of version 2"),
        }
    }
}

impl std::error::Error for SignedFault {}

impl From<Fault> for SignedFault {
    fn from(fault: Fault) -> Self {
        Self::File(fault)
    }
}

/// Content, algorithm and signature (RFC 5280 section 4.1.1).
pub(super) struct Signed<'a> {
    /// With its frame, as it was signed.
    content: &'a [u8],
    algorithm: &'a [u8],
    signature: &'a [u8],
}

impl<'a> Signed<'a> {
    /// Nothing where it can't be read.
    pub(super) fn read(der: &'a [u8]) -> Option<Self> {
        let (all, after) = element(der, SEQUENCE)?;
        let (_, rest) = element(all, SEQUENCE)?;
        let content = all.get(..all.len() - rest.len())?;
        let (algorithm, rest) = element(rest, SEQUENCE)?;
        let (bits, rest) = element(rest, BIT_STRING)?;
        let signature = bits.strip_prefix(&[0])?;
        (after.is_empty() && rest.is_empty()).then_some(Self { content, algorithm, signature })
    }

    /// What was signed, without its frame.
    pub(super) fn content(&self) -> &'a [u8] {
        element(self.content, SEQUENCE).map_or(&[], |(content, _)| content)
    }

    /// Whether the key, as RFC 5280 section 4.1.2.7 has it, has signed it.
    pub(super) fn is_by(&self, public_key: &[u8]) -> bool {
        let Some((algorithm, key)) = key_parts(public_key) else { return false };
        let fits = ALGORITHMS.all.iter().filter(|one| {
            one.signature_alg_id().as_ref() == self.algorithm && one.public_key_alg_id().as_ref() == algorithm
        });
        fits.into_iter().any(|one| one.verify_signature(key, self.content, self.signature).is_ok())
    }
}

/// Algorithm and bits of a public key.
pub(super) fn key_parts(public_key: &[u8]) -> Option<(&[u8], &[u8])> {
    let (body, _) = element(public_key, SEQUENCE)?;
    let (algorithm, rest) = element(body, SEQUENCE)?;
    let (bits, _) = element(rest, BIT_STRING)?;
    Some((algorithm, bits.strip_prefix(&[0])?))
}
