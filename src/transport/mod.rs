//! How the home reaches its provider: credentials, the secure channel, when to call again.

pub mod credentials;
#[cfg(feature = "client")]
pub mod drop_list;
pub mod dtls;
#[cfg(feature = "client")]
pub mod dtls_server;
#[cfg(feature = "client")]
pub mod identity;
mod mbedtls;
pub mod raw_public_key;
mod resumption;
pub mod tls;
mod x509;
