//! What all of TLS shares: the library's algorithms, and the clock that certificates are judged by.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::crypto::CryptoProvider;
use rustls::crypto::ring;
use rustls::pki_types::{PrivateKeyDer, UnixTime};
use rustls::sign::SigningKey;
use rustls::time_provider::TimeProvider;

use super::signatures::ALGORITHMS;

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

/// The application protocol of CoAP over TLS (RFC 8323 section 8.2).
pub(super) const ALPN: &[u8] = b"coap";

/// The algorithms of both ends.
pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(CryptoProvider { signature_verification_algorithms: ALGORITHMS, ..ring::default_provider() })
}

/// A key in the library's form.
///
/// # Errors
/// As of the library, which knows no P-521 for instance.
pub(super) fn private_key(key: &PrivateKeyDer<'static>) -> Result<Arc<dyn SigningKey>, rustls::Error> {
    provider().key_provider.load_private_key(key.clone_key())
}
