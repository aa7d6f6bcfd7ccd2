//! What kind of key it is, and who can use it.

use std::fmt;

use rustls::pki_types::PrivateKeyDer;

use super::x509::{self, BIT_STRING, INTEGER, OBJECT_IDENTIFIER, OCTET_STRING, SEQUENCE, any, element};

// Algorithms (RFC 3279, RFC 4055, RFC 5480, RFC 8410).
const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
const RSA_PSS: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0a];
const EC: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const P384: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x22];
const P521: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x23];
const ED25519: &[u8] = &[0x2b, 0x65, 0x70];
const ED448: &[u8] = &[0x2b, 0x65, 0x71];

/// What kind of key it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// RSA, with the length of its modulus in bits.
    Rsa(usize),
    /// RSA for signatures of the kind PSS alone.
    RsaPss,
    /// On the curve P-256.
    P256,
    /// On the curve P-384.
    P384,
    /// On the curve P-521.
    P521,
    /// On another curve.
    OtherCurve,
    /// Ed25519.
    Ed25519,
    /// Ed448.
    Ed448,
    /// None of these.
    Other,
}

impl KeyKind {
    /// Of the public key of a certificate; nothing where it can't be read.
    pub(super) fn of(certificate: &[u8]) -> Option<Self> {
        Self::of_public(x509::public_key(certificate)?)
    }

    /// Of a public key, as RFC 5280 section 4.1.2.7 has it; nothing where it can't be read.
    pub(super) fn of_public(key: &[u8]) -> Option<Self> {
        let (body, _) = element(key, SEQUENCE)?;
        let (algorithm, key) = element(body, SEQUENCE)?;
        let modulus = || {
            // Behind the count of unused bits.
            let (numbers, _) = element(element(key, BIT_STRING)?.0.get(1..)?, SEQUENCE)?;
            Some(bits(element(numbers, INTEGER)?.0))
        };
        Self::of_algorithm(algorithm, modulus)
    }

    /// Of a private key.
    pub(super) fn of_private(key: &PrivateKeyDer<'_>) -> Option<Self> {
        let (body, _) = element(key.secret_der(), SEQUENCE)?;
        let (_, rest) = element(body, INTEGER)?;
        match key {
            PrivateKeyDer::Pkcs1(_) => Some(Self::Rsa(bits(element(rest, INTEGER)?.0))),
            PrivateKeyDer::Sec1(_) => {
                let (_, rest) = element(rest, OCTET_STRING)?;
                Some(Self::of_curve(any(rest)?.1))
            }
            _ => {
                let (algorithm, rest) = element(rest, SEQUENCE)?;
                let modulus = || {
                    let (inner, _) = element(element(rest, OCTET_STRING)?.0, SEQUENCE)?;
                    let (_, rest) = element(inner, INTEGER)?;
                    Some(bits(element(rest, INTEGER)?.0))
                };
                Self::of_algorithm(algorithm, modulus)
            }
        }
    }

    fn of_algorithm(algorithm: &[u8], modulus: impl FnOnce() -> Option<usize>) -> Option<Self> {
        let (identifier, parameters) = element(algorithm, OBJECT_IDENTIFIER)?;
        Some(match identifier {
            RSA => Self::Rsa(modulus()?),
            RSA_PSS => Self::RsaPss,
            EC => Self::of_curve(parameters),
            ED25519 => Self::Ed25519,
            ED448 => Self::Ed448,
            _ => Self::Other,
        })
    }

    fn of_curve(parameters: &[u8]) -> Self {
        match element(parameters, OBJECT_IDENTIFIER).map(|(curve, _)| curve) {
            Some(P256) => Self::P256,
            Some(P384) => Self::P384,
            Some(P521) => Self::P521,
            _ => Self::OtherCurve,
        }
    }

    /// Whether Mbed TLS knows such keys.
    pub(super) fn is_of_dtls(self) -> bool {
        matches!(self, Self::Rsa(_) | Self::P256 | Self::P384 | Self::P521)
    }

    /// Whether what it has signed can be verified.
    pub(super) fn is_verifiable(self) -> bool {
        match self {
            Self::Rsa(bits) => (2048..=8192).contains(&bits),
            Self::P256 | Self::P384 | Self::P521 | Self::Ed25519 => true,
            Self::RsaPss | Self::OtherCurve | Self::Ed448 | Self::Other => false,
        }
    }
}

impl fmt::Display for KeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rsa(bits) => write!(f, "an RSA key of {bits} bits"),
            Self::RsaPss => f.write_str("an RSA key for PSS alone"),
            Self::P256 => f.write_str("a key on P-256"),
            Self::P384 => f.write_str("a key on P-384"),
            Self::P521 => f.write_str("a key on P-521"),
            Self::OtherCurve => f.write_str("a key on a curve other than P-256, P-384 and P-521"),
            Self::Ed25519 => f.write_str("an Ed25519 key"),
            Self::Ed448 => f.write_str("an Ed448 key"),
            Self::Other => f.write_str("a key of an unknown kind"),
        }
    }
}

/// The length of a positive number.
fn bits(number: &[u8]) -> usize {
    let significant = number.iter().skip_while(|byte| **byte == 0);
    let first = significant.clone().next().map_or(0, |byte| byte.leading_zeros());
    (significant.count() * 8).saturating_sub(usize::try_from(first).unwrap_or(0))
}
