//! Randomness: the system's.

use rustls::crypto::SecureRandom;

use crate::coap::Random;

/// The cryptography library's source of unpredictable bytes.
pub struct Rng(&'static dyn SecureRandom);

/// The one there is.
pub fn system() -> &'static dyn SecureRandom {
    rustls::crypto::ring::default_provider().secure_random
}

impl Rng {
    /// On the system's.
    pub fn new() -> Self {
        Self(system())
    }
}

impl Default for Rng {
    fn default() -> Self {
        Self::new()
    }
}

impl Random for Rng {
    fn fill(&mut self, bytes: &mut [u8]) {
        // Without entropy tokens are predictable, which TLS around them makes up for; it refuses to begin by itself.
        let _ = self.0.fill(bytes);
    }
}
