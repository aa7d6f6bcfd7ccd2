//! How the home reaches its provider: credentials, the secure channel, when to call again.

pub mod credentials;
#[cfg(feature = "client")]
pub mod identity;
pub mod tls;
mod x509;
