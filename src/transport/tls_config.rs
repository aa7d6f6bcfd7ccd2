//! The configurations of both ends of TLS with certificates.

use std::sync::Arc;

use rustls::client::Resumption;
use rustls::crypto::ring::Ticketer;
use rustls::pki_types::ServerName;
use rustls::server::{ProducesTickets, WebPkiClientVerifier};
use rustls::{ClientConfig, ServerConfig};

use super::credentials::{Anchors, Fault, Identity};
use super::crypto::{ALPN, Clock, provider};
use super::failure::Failure;
use super::resumption::{CertificateVerifier, Offer, Sessions};
use super::tls::TlsChannel;

/// What the router proves and believes towards one peer, and what later channels resume from. Cheap to clone.
#[derive(Clone)]
pub struct TlsClientConfig {
    /// All that the library needs; a channel made of it alone resumes what it can.
    pub config: Arc<ClientConfig>,
    sessions: Arc<Sessions>,
}

impl TlsClientConfig {
    /// Sessions are kept in `sessions`, which the configuration's verifier tells of each full handshake.
    pub(super) fn new(mut config: ClientConfig, sessions: Arc<Sessions>) -> Self {
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.resumption = Resumption::store(Arc::new(Offer::new(Arc::clone(&sessions), true)));
        Self { config: Arc::new(config), sessions }
    }

    /// The router's end of a channel to `name`; if it `resumes`, with the offer to go on from an earlier session, if there is one.
    ///
    /// # Errors
    /// [`Failure::BadName`], [`Failure::Protocol`]
    pub fn channel(&self, name: &str, resumes: bool) -> Result<TlsChannel, Failure> {
        let offer = Arc::new(Offer::new(Arc::clone(&self.sessions), resumes));
        let mut config = (*self.config).clone();
        config.resumption = Resumption::store(Arc::clone(&offer) as Arc<_>);
        // The library makes its offer at once.
        let mut channel = TlsChannel::client(Arc::new(config), name)?;
        channel.set_offered(offer.is_made());
        Ok(channel)
    }

    /// Forgets what channels to `name` resume from.
    pub fn forget(&self, name: &str) {
        if let Ok(name) = ServerName::try_from(name) {
            self.sessions.forget(&name);
        }
    }
}

/// The router's side of TLS 1.2 and 1.3, with mutual authentication and without early data.
///
/// # Errors
/// [`Fault::KeyMismatch`], [`Fault::Unusable`]
pub fn client_config(identity: Identity, anchors: &Anchors, clock: Arc<Clock>) -> Result<TlsClientConfig, Fault> {
    let sessions = Arc::new(Sessions::new(Arc::clone(&clock)));
    let verifier = CertificateVerifier::new(Arc::clone(&anchors.store), Arc::clone(&sessions));
    let config = ClientConfig::builder_with_details(provider(), clock)
        .with_safe_default_protocol_versions()
        .map_err(fault)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_client_auth_cert(identity.chain, identity.key)
        .map_err(fault)?;
    Ok(TlsClientConfig::new(config, sessions))
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
