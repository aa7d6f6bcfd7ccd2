//! The configurations of both ends of TLS with certificates.

use std::sync::Arc;

use rustls::ClientConfig;
#[cfg(feature = "client")]
use rustls::ServerConfig;
use rustls::client::Resumption;
use rustls::crypto::ring::Ticketer;
use rustls::pki_types::ServerName;
use rustls::server::ProducesTickets;
use rustls::sign::{CertifiedKey, SingleCertAndKey};

use super::credentials::{Anchors, Fault, Identity};
use super::crypto::{ALPN, Clock, private_key, provider};
use super::failure::Failure;
use super::resumption::{CertificateVerifier, Offer, Sessions};
use super::tls::TlsChannel;
use super::verifier::ProviderVerifier;
#[cfg(feature = "client")]
use super::verifier::RouterVerifier;
use super::x509;
use crate::model::Transport;

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
/// [`Fault::KeyMismatch`], [`Fault::UnusableKey`], [`Fault::Unusable`]
pub fn client_config(identity: Identity, anchors: &Anchors, clock: Arc<Clock>) -> Result<TlsClientConfig, Fault> {
    let sessions = Arc::new(Sessions::new(Arc::clone(&clock)));
    let verifier = ProviderVerifier::new(Arc::clone(anchors.store()));
    let config = ClientConfig::builder_with_details(provider(), clock)
        .with_safe_default_protocol_versions()
        .map_err(fault)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(CertificateVerifier::new(verifier, Arc::clone(&sessions))))
        .with_client_cert_resolver(Arc::new(shown(&identity)?));
    Ok(TlsClientConfig::new(config, sessions))
}

/// What we show. The library would refuse a certificate for what only the peer has to judge.
fn shown(identity: &Identity) -> Result<SingleCertAndKey, Fault> {
    let key = private_key(identity.key()).map_err(|_| identity.unusable_over(Transport::Tls))?;
    let public = key.public_key().ok_or_else(|| identity.unusable_over(Transport::Tls))?;
    match identity.leaf().and_then(|leaf| x509::public_key(leaf)) {
        Some(certified) if certified == public.as_ref() => Ok(CertifiedKey::new(identity.chain().to_vec(), key).into()),
        _ => Err(Fault::KeyMismatch),
    }
}

/// The provider's side: routers without a certificate of these authorities are refused. Tickets hold the state of
/// sessions, the provider holds none.
///
/// # Errors
/// [`Fault::KeyMismatch`], [`Fault::UnusableKey`], [`Fault::Unusable`]
#[cfg(feature = "client")]
pub fn server_config(identity: Identity, anchors: &Anchors, clock: Arc<Clock>) -> Result<Arc<ServerConfig>, Fault> {
    let verifier = RouterVerifier::new(anchors)?;
    let mut config = ServerConfig::builder_with_details(provider(), clock)
        .with_safe_default_protocol_versions()
        .map_err(fault)?
        .with_client_cert_verifier(Arc::new(verifier))
        .with_cert_resolver(Arc::new(shown(&identity)?));
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.ticketer = ticketer()?;
    Ok(Arc::new(config))
}

/// Makes tickets with a key of its own that changes every few hours.
pub(super) fn ticketer() -> Result<Arc<dyn ProducesTickets>, Fault> {
    Ticketer::new().map_err(fault)
}

pub(super) fn fault(error: rustls::Error) -> Fault {
    Fault::Unusable(error.to_string())
}
