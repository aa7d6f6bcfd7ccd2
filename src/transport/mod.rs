//! How the home reaches its provider: credentials, the secure channel, when to call again.

pub mod credentials;
mod detour;
pub mod dtls;
#[cfg(feature = "client")]
pub mod dtls_server;
mod happy_eyeballs;
#[cfg(feature = "client")]
pub mod identity;
mod mbedtls;
pub mod reconnect;
pub mod tls;
mod x509;
