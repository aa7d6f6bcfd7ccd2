//! How the home reaches its provider: credentials, the secure channel, when to call again.

pub mod credentials;
mod detour;
#[cfg(feature = "client")]
pub mod drop_list;
pub mod dtls;
#[cfg(feature = "client")]
pub mod dtls_server;
mod happy_eyeballs;
#[cfg(feature = "client")]
pub mod identity;
mod mbedtls;
pub mod raw_public_key;
pub mod reconnect;
mod resumption;
pub mod tls;
mod x509;
