//! The signatures that are verified, in certificates and handshakes of both transports: what ring has, and with Mbed TLS the curve
//! P-521 and the hashes that ring leaves out.

use rustls::SignatureScheme;
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::alg_id::{ECDSA_P256, ECDSA_P384, ECDSA_P521, ECDSA_SHA256, ECDSA_SHA384, ECDSA_SHA512};
use rustls::pki_types::{AlgorithmIdentifier, InvalidSignature, SignatureVerificationAlgorithm};
use webpki::ring;

use super::mbedtls::{self, Curve, Hash};

/// ECDSA by Mbed TLS.
#[derive(Debug)]
struct Ecdsa {
    curve: Curve,
    hash: Hash,
}

impl SignatureVerificationAlgorithm for Ecdsa {
    fn verify_signature(&self, public_key: &[u8], message: &[u8], signature: &[u8]) -> Result<(), InvalidSignature> {
        let is_good = mbedtls::verify_ecdsa(self.curve, self.hash, public_key, message, signature);
        if is_good { Ok(()) } else { Err(InvalidSignature) }
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        match self.curve {
            Curve::P256 => ECDSA_P256,
            Curve::P384 => ECDSA_P384,
            Curve::P521 => ECDSA_P521,
        }
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        match self.hash {
            Hash::Sha256 => ECDSA_SHA256,
            Hash::Sha384 => ECDSA_SHA384,
            Hash::Sha512 => ECDSA_SHA512,
        }
    }
}

static P256_SHA512: &dyn SignatureVerificationAlgorithm = &Ecdsa { curve: Curve::P256, hash: Hash::Sha512 };
static P384_SHA512: &dyn SignatureVerificationAlgorithm = &Ecdsa { curve: Curve::P384, hash: Hash::Sha512 };
static P521_SHA256: &dyn SignatureVerificationAlgorithm = &Ecdsa { curve: Curve::P521, hash: Hash::Sha256 };
static P521_SHA384: &dyn SignatureVerificationAlgorithm = &Ecdsa { curve: Curve::P521, hash: Hash::Sha384 };
static P521_SHA512: &dyn SignatureVerificationAlgorithm = &Ecdsa { curve: Curve::P521, hash: Hash::Sha512 };

/// The first of each scheme is TLS 1.3's, which binds the curve to the hash (RFC 8446 section 4.2.3).
pub(super) static ALGORITHMS: WebPkiSupportedAlgorithms = WebPkiSupportedAlgorithms {
    all: &[
        ring::ECDSA_P256_SHA256,
        ring::ECDSA_P256_SHA384,
        P256_SHA512,
        ring::ECDSA_P384_SHA256,
        ring::ECDSA_P384_SHA384,
        P384_SHA512,
        P521_SHA256,
        P521_SHA384,
        P521_SHA512,
        ring::ED25519,
        ring::RSA_PSS_2048_8192_SHA256_LEGACY_KEY,
        ring::RSA_PSS_2048_8192_SHA384_LEGACY_KEY,
        ring::RSA_PSS_2048_8192_SHA512_LEGACY_KEY,
        ring::RSA_PKCS1_2048_8192_SHA256,
        ring::RSA_PKCS1_2048_8192_SHA384,
        ring::RSA_PKCS1_2048_8192_SHA512,
        ring::RSA_PKCS1_2048_8192_SHA256_ABSENT_PARAMS,
        ring::RSA_PKCS1_2048_8192_SHA384_ABSENT_PARAMS,
        ring::RSA_PKCS1_2048_8192_SHA512_ABSENT_PARAMS,
    ],
    mapping: &[
        (SignatureScheme::ECDSA_NISTP384_SHA384, &[ring::ECDSA_P384_SHA384, ring::ECDSA_P256_SHA384, P521_SHA384]),
        (SignatureScheme::ECDSA_NISTP256_SHA256, &[ring::ECDSA_P256_SHA256, ring::ECDSA_P384_SHA256, P521_SHA256]),
        (SignatureScheme::ECDSA_NISTP521_SHA512, &[P521_SHA512, P384_SHA512, P256_SHA512]),
        (SignatureScheme::ED25519, &[ring::ED25519]),
        (SignatureScheme::RSA_PSS_SHA512, &[ring::RSA_PSS_2048_8192_SHA512_LEGACY_KEY]),
        (SignatureScheme::RSA_PSS_SHA384, &[ring::RSA_PSS_2048_8192_SHA384_LEGACY_KEY]),
        (SignatureScheme::RSA_PSS_SHA256, &[ring::RSA_PSS_2048_8192_SHA256_LEGACY_KEY]),
        (SignatureScheme::RSA_PKCS1_SHA512, &[ring::RSA_PKCS1_2048_8192_SHA512]),
        (SignatureScheme::RSA_PKCS1_SHA384, &[ring::RSA_PKCS1_2048_8192_SHA384]),
        (SignatureScheme::RSA_PKCS1_SHA256, &[ring::RSA_PKCS1_2048_8192_SHA256]),
    ],
};
