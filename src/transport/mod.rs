//! Secure channels between a router and its provider: credentials, TLS over streams, DTLS over datagrams.

#[cfg(feature = "client")]
pub mod certificate_request;
mod channel;
pub mod credentials;
pub mod crypto;
#[cfg(feature = "client")]
pub mod drop_list;
pub mod dtls;
#[cfg(feature = "client")]
mod dtls_admission;
mod dtls_config;
#[cfg(feature = "client")]
pub mod dtls_server;
mod failure;
mod fault;
#[cfg(feature = "client")]
pub mod identity;
mod key_kind;
mod mbedtls;
mod pem;
pub mod raw_public_key;
mod resumption;
#[cfg(feature = "client")]
pub mod revocation;
mod signatures;
#[cfg(feature = "client")]
mod signed;
pub mod tls;
pub mod tls_config;
mod verifier;
mod x509;

pub use channel::Channel;
pub use failure::Failure;
#[cfg(feature = "client")]
pub use signed::SignedFault;
