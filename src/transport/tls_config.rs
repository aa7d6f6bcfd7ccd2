//! The configurations of both ends of TLS with certificates.

use std::sync::Arc;

use rustls::client::Resumption;
use rustls::crypto::ring::Ticketer;
use rustls::server::{ProducesTickets, WebPkiClientVerifier};
use rustls::{ClientConfig, ServerConfig};

use super::credentials::{Anchors, Fault, Identity};
use super::crypto::{Clock, provider};
use super::resumption::{CertificateVerifier, Sessions};

/// The application protocol of CoAP over TLS (RFC 8323 section 8.2).
pub(super) const ALPN: &[u8] = b"coap";

/// The router's side of TLS 1.2 and 1.3, with mutual authentication and without early data. It holds what later
/// connections resume from.
///
/// # Errors
/// [`Fault::KeyMismatch`], [`Fault::Unusable`]
pub fn client_config(identity: Identity, anchors: &Anchors, clock: Arc<Clock>) -> Result<Arc<ClientConfig>, Fault> {
    let sessions = Arc::new(Sessions::new(Arc::clone(&clock)));
    let verifier = CertificateVerifier::new(Arc::clone(&anchors.store), Arc::clone(&sessions));
    let mut config = ClientConfig::builder_with_details(provider(), clock)
        .with_safe_default_protocol_versions()
        .map_err(fault)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_client_auth_cert(identity.chain, identity.key)
        .map_err(fault)?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.resumption = Resumption::store(sessions);
    Ok(Arc::new(config))
}

/// The provider's side: routers without a certificate of these authorities are refused. Tickets hold the state of
/// sessions, the provider holds none.
///
/// # Errors
/// [`Fault::KeyMismatch`], [`Fault::Unusable`]
pub fn server_config(identity: Identity, anchors: &Anchors, clock: Arc<Clock>) -> Result<Arc<ServerConfig>, Fault> {
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::clone(&anchors.store), provider())
        .build()
        .map_err(|error| Fault::Unusable(error.to_string()))?;
    let mut config = ServerConfig::builder_with_details(provider(), clock)
        .with_safe_default_protocol_versions()
        .map_err(fault)?
        .with_client_cert_verifier(verifier)
        .with_single_cert(identity.chain, identity.key)
        .map_err(fault)?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.ticketer = ticketer()?;
    Ok(Arc::new(config))
}

/// Makes tickets with a key of its own that changes every few hours.
pub(super) fn ticketer() -> Result<Arc<dyn ProducesTickets>, Fault> {
    Ticketer::new().map_err(fault)
}

pub(super) fn fault(error: rustls::Error) -> Fault {
    match error {
        rustls::Error::InconsistentKeys(_) => Fault::KeyMismatch,
        other => Fault::Unusable(other.to_string()),
    }
}
