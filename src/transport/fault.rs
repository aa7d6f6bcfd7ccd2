//! What can be wrong with keys, certificates and authorities.

use std::fmt;

use super::key_kind::KeyKind;
use super::x509;
use crate::model::Transport;

/// What is wrong with a credential. The texts name no file: whoever read it knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// No PEM certificate in it.
    NoCertificate,
    /// A certificate in it can't be read.
    BadCertificate,
    /// A certificate in it can't be read by the library of this transport.
    Unreadable(Transport),
    /// No PEM private key in it.
    NoKey,
    /// The private key in it can't be read.
    BadKey,
    /// The private key in it is encrypted with a passphrase, and nobody is there to type it.
    Encrypted,
    /// A key of this kind is of no use over this transport.
    UnusableKey(KeyKind, Transport),
    /// An authority with a key of this kind: nothing that it has signed can be verified.
    UnusableAuthority(KeyKind),
    /// An authority with a key of this kind: what it has signed can't be read by the library of this transport.
    UnreadableAuthority(KeyKind, Transport),
    /// No PEM public key in it, or more than that.
    NoPublicKey,
    /// No pre-shared key in it: 16 to 64 bytes as hexadecimal digits.
    NoPreSharedKey,
    /// It holds something else than it is named for, in words.
    Instead {
        /// What has to be in it.
        wanted: &'static str,
        /// What is.
        found: String,
    },
    /// It is in DER or PKCS #12, not in PEM.
    Binary,
    /// It is text in UTF-16.
    Utf16,
    /// There are zero bytes in it, which no text holds.
    ZeroBytes,
    /// The key is not the certificate's.
    KeyMismatch,
    /// The certificate has expired, at this time since 1970.
    Expired(u64),
    /// The certificate is valid only from this time since 1970 on.
    NotYetValid(u64),
    /// The TLS library objects.
    Unusable(String),
}

impl Fault {
    /// What has to be in a file where this says that it isn't.
    pub(super) fn wanted(&self) -> &'static str {
        match self {
            Self::NoKey => "private key",
            Self::NoPublicKey => "public key",
            _ => "certificate",
        }
    }

    /// Whether the key is at fault and not the certificate.
    pub fn is_of_key(&self) -> bool {
        matches!(self, Self::NoKey | Self::BadKey | Self::Encrypted | Self::UnusableKey(..))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let library = |transport: &Transport| transport.as_str().to_uppercase();
        match self {
            Self::NoCertificate => write!(f, "no PEM certificate in it"),
            Self::BadCertificate => write!(f, "a certificate in it cannot be read"),
            Self::Unreadable(transport) => write!(f, "{} cannot read a certificate in it", library(transport)),
            Self::NoKey => write!(f, "no PEM private key in it"),
            Self::BadKey => write!(f, "the key in it cannot be read"),
            Self::Encrypted => {
                write!(f, "the key in it is encrypted with a passphrase: openssl pkey writes it without")
            }
            Self::UnusableKey(kind, transport) => write!(f, "{} cannot use {kind}", library(transport)),
            Self::UnusableAuthority(kind) => write!(f, "nothing can be verified with {kind}"),
            Self::UnreadableAuthority(kind, transport) => {
                write!(f, "{} cannot read what is signed with {kind}", library(transport))
            }
            Self::NoPublicKey => write!(f, "no usable PEM public key in it"),
            Self::NoPreSharedKey => write!(f, "no pre-shared key of 32 to 128 hexadecimal digits in it"),
            Self::Instead { wanted, found } => write!(f, "no {wanted} in it, but {found}"),
            Self::Binary => write!(f, "it is in DER or PKCS #12, not in PEM: openssl converts it"),
            Self::Utf16 => write!(f, "it is text in UTF-16: save it as UTF-8"),
            Self::ZeroBytes => write!(f, "it is no text: there are zero bytes in it"),
            Self::KeyMismatch => write!(f, "the key does not belong to the certificate"),
            Self::Expired(at) => write!(f, "the certificate expired on {}", x509::date(*at)),
            Self::NotYetValid(from) => write!(f, "the certificate is not valid before {}", x509::date(*from)),
            Self::Unusable(why) => write!(f, "{why}"),
        }
    }
}

impl std::error::Error for Fault {}
