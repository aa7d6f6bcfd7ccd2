//! Two ends of TLS and the stream between them.

use std::sync::Arc;
use std::time::Instant;

use dots_callhome::model::Now;
use dots_callhome::transport::credentials::Identity;
use dots_callhome::transport::crypto::Clock;
use dots_callhome::transport::tls::TlsChannel;
use dots_callhome::transport::tls_config::{client_config, server_config};
pub use dots_callhome::transport::{Channel, Failure};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion};

pub use super::certificates::*;

/// A clock that shows this.
pub fn clock(unix: u64) -> Arc<Clock> {
    let clock = Clock::default();
    clock.set(unix);
    Arc::new(clock)
}

/// A router that shows this, and what it trusts.
pub fn router(identity: Identity, trusted: &Authority) -> Arc<ClientConfig> {
    client_config(identity, &trusted.anchors(), clock(TODAY)).unwrap().config
}

/// A provider that shows this, and what it trusts.
pub fn provider(identity: Identity, trusted: &Authority) -> Arc<ServerConfig> {
    server_config(identity, &trusted.anchors(), clock(TODAY)).unwrap()
}

/// A provider of another make: one version only, and every router may call that shows a certificate of ours or none.
pub fn foreign_provider(root: &Authority, kind: Kind, version: &'static SupportedProtocolVersion) -> ServerConfig {
    let (chain, key) = parts(root.issue_pem(kind, params(PROVIDER)));
    let verifier = WebPkiClientVerifier::builder(Arc::new(trusting(root))).allow_unauthenticated().build().unwrap();
    let mut config = ServerConfig::builder_with_protocol_versions(&[version])
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .unwrap();
    config.alpn_protocols = vec![b"coap".to_vec()];
    config
}

/// A router of another make: one version only.
pub fn foreign_router(root: &Authority, kind: Kind, version: &'static SupportedProtocolVersion) -> ClientConfig {
    let (chain, key) = parts(root.issue_pem(kind, params(ROUTER)));
    let builder = ClientConfig::builder_with_protocol_versions(&[version]).with_root_certificates(trusting(root));
    let mut config = builder.with_client_auth_cert(chain, key).unwrap();
    config.alpn_protocols = vec![b"coap".to_vec()];
    config
}

/// A router that shows no certificate.
pub fn anonymous_router(root: &Authority) -> ClientConfig {
    let mut config = ClientConfig::builder().with_root_certificates(trusting(root)).with_no_client_auth();
    config.alpn_protocols = vec![b"coap".to_vec()];
    config
}

fn trusting(root: &Authority) -> RootCertStore {
    let mut store = RootCertStore::empty();
    store.add(CertificateDer::from_pem_slice(root.pem().as_bytes()).unwrap()).unwrap();
    store
}

fn parts((chain, key): (String, String)) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
    let chain = CertificateDer::pem_slice_iter(chain.as_bytes()).map(Result::unwrap).collect();
    (chain, PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap())
}

/// Both ends.
pub struct Line {
    pub client: TlsChannel,
    pub server: TlsChannel,
    /// What the provider's clock shows.
    pub now: Now,
    /// What has arrived.
    pub at_client: Vec<u8>,
    pub at_server: Vec<u8>,
    pub client_failure: Option<Failure>,
    pub server_failure: Option<Failure>,
    /// All bytes of either direction.
    pub to_server: Vec<u8>,
    pub to_client: Vec<u8>,
}

impl Line {
    /// The provider's name is proven, unless the test says otherwise.
    pub fn new(router: &Arc<ClientConfig>, provider: &Arc<ServerConfig>) -> Self {
        Self::to(PROVIDER, router, provider)
    }

    /// A call to somebody of that name.
    pub fn to(name: &str, router: &Arc<ClientConfig>, provider: &Arc<ServerConfig>) -> Self {
        Self {
            client: TlsChannel::client(Arc::clone(router), name).unwrap(),
            server: TlsChannel::server(Arc::clone(provider)).unwrap(),
            now: Now { instant: Instant::now(), unix: provider.time_provider.current_time().unwrap().as_secs() },
            at_client: Vec::new(),
            at_server: Vec::new(),
            client_failure: None,
            server_failure: None,
            to_server: Vec::new(),
            to_client: Vec::new(),
        }
    }

    /// Carries bytes until neither end has more to say.
    pub fn carry(&mut self) {
        loop {
            let mut quiet = true;
            while let Some(bytes) = self.client.poll_transmit() {
                quiet = false;
                self.to_server.extend(&bytes);
                if self.server_failure.is_none() {
                    self.server_failure = self.server.handle_input(&bytes, self.now).err();
                    self.at_server.extend(self.server.poll_plaintext().into_iter().flatten());
                }
            }
            while let Some(bytes) = self.server.poll_transmit() {
                quiet = false;
                self.to_client.extend(&bytes);
                if self.client_failure.is_none() {
                    self.client_failure = self.client.handle_input(&bytes, self.now).err();
                    self.at_client.extend(self.client.poll_plaintext().into_iter().flatten());
                }
            }
            if quiet {
                return;
            }
        }
    }

    /// The handshake, which succeeds, and a word each way.
    pub fn connect(&mut self) {
        self.carry();
        assert_eq!((&self.client_failure, &self.server_failure), (&None, &None));
        assert!(self.client.is_established() && self.server.is_established());
        self.client.write(b"from the router");
        self.server.write(b"from the provider");
        self.carry();
        assert_eq!(self.at_server, b"from the router");
        assert_eq!(self.at_client, b"from the provider");
    }

    /// The handshake, which fails: what the router makes of it, and the provider.
    pub fn fail(&mut self) -> (Option<Failure>, Option<Failure>) {
        self.carry();
        assert!(self.client_failure.is_some() || self.server_failure.is_some(), "both are content");
        assert!(!(self.client.is_established() && self.server.is_established()));
        assert!(self.at_server.is_empty() && self.at_client.is_empty());
        (self.client_failure.clone(), self.server_failure.clone())
    }
}
