//! Authentication by keys known beforehand instead of certificates (RFC 7250), over TLS 1.3.

use std::sync::Arc;

use rustls::client::AlwaysResolvesClientRawPublicKeys;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::verify_tls13_signature_with_raw_key;
use rustls::pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::server::AlwaysResolvesServerRawPublicKeys;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::sign::CertifiedKey;
use rustls::version::TLS13;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, Error, PeerIncompatible, ServerConfig,
    SignatureScheme,
};

use super::credentials::{Fault, KeyKind};
use super::crypto::{ALPN, Clock, private_key, provider};
use super::pem;
use super::resumption::Sessions;
use super::tls_config::{TlsClientConfig, fault, ticketer};
use super::x509;
use crate::model::Transport;

/// Our own key, shown without a certificate. Cheap to clone.
#[derive(Clone)]
pub struct OwnKey(Arc<CertifiedKey>);

impl OwnKey {
    /// Reads the content of the private key's file.
    ///
    /// # Errors
    /// Why there is no key in it that can be used.
    pub fn read(content: &[u8]) -> Result<Self, Fault> {
        let key = pem::private_key(content)?;
        let unusable = || KeyKind::of_private(&key).map_or(Fault::BadKey, |k| Fault::UnusableKey(k, Transport::Tls));
        let key = private_key(&key).map_err(|_| unusable())?;
        let public = key.public_key().ok_or(Fault::BadKey)?.to_vec();
        Ok(Self(Arc::new(CertifiedKey::new(vec![CertificateDer::from(public)], key))))
    }

    /// Its public half, as the peer sees it.
    pub fn public(&self) -> Option<&CertificateDer<'static>> {
        self.0.cert.first()
    }
}

/// The public keys of the peer, or of all peers: one of them has to be proven.
#[derive(Clone, Debug)]
pub struct PeerKeys(Vec<SubjectPublicKeyInfoDer<'static>>);

impl PeerKeys {
    /// Reads the file's content, one key after the other.
    ///
    /// # Errors
    /// Why there is no key in it, or one that can't be read.
    pub fn read(content: &[u8]) -> Result<Self, Fault> {
        let keys: Option<Vec<_>> = pem::public_keys(content)?.into_iter().collect();
        let keys = keys.filter(|keys| keys.iter().all(|key| x509::is_public_key(key)));
        let keys = keys.ok_or(Fault::NoPublicKey)?;
        Ok(Self(keys.into_iter().map(SubjectPublicKeyInfoDer::from).collect()))
    }

    fn check(&self, shown: &CertificateDer<'_>) -> Result<(), Error> {
        let is_known = self.0.iter().any(|key| key.as_ref() == shown.as_ref());
        if is_known { Ok(()) } else { Err(CertificateError::ApplicationVerificationFailure.into()) }
    }
}

/// The router's side.
///
/// # Errors
/// [`Fault::Unusable`]
pub fn client_config(own: OwnKey, peer: PeerKeys, clock: Arc<Clock>) -> Result<TlsClientConfig, Fault> {
    let sessions = Arc::new(Sessions::new(Arc::clone(&clock)));
    let verifier = RawKeyVerifier { known: peer, sessions: Some(Arc::clone(&sessions)) };
    let config = ClientConfig::builder_with_details(provider(), clock)
        .with_protocol_versions(&[&TLS13])
        .map_err(fault)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_client_cert_resolver(Arc::new(AlwaysResolvesClientRawPublicKeys::new(own.0)));
    Ok(TlsClientConfig::new(config, sessions))
}

/// The provider's side: routers with other keys are refused.
///
/// # Errors
/// [`Fault::Unusable`]
pub fn server_config(own: OwnKey, peers: PeerKeys, clock: Arc<Clock>) -> Result<Arc<ServerConfig>, Fault> {
    let mut config = ServerConfig::builder_with_details(provider(), clock)
        .with_protocol_versions(&[&TLS13])
        .map_err(fault)?
        .with_client_cert_verifier(Arc::new(RawKeyVerifier { known: peers, sessions: None }))
        .with_cert_resolver(Arc::new(AlwaysResolvesServerRawPublicKeys::new(own.0)));
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.ticketer = ticketer()?;
    Ok(Arc::new(config))
}

/// Takes known keys only. Dates and names say nothing here: who holds the key is the peer.
#[derive(Debug)]
struct RawKeyVerifier {
    known: PeerKeys,
    /// The router's, to be told of each full handshake.
    sessions: Option<Arc<Sessions>>,
}

impl RawKeyVerifier {
    fn signed(
        &self,
        message: &[u8],
        key: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let key = SubjectPublicKeyInfoDer::from(key.as_ref());
        verify_tls13_signature_with_raw_key(message, &key, signature, &provider().signature_verification_algorithms)
    }

    fn schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}

impl ServerCertVerifier for RawKeyVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.known.check(end_entity)?;
        if let Some(sessions) = &self.sessions {
            sessions.verified(server_name, (0, u64::MAX));
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(PeerIncompatible::Tls12NotOffered.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signed(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes()
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

impl ClientCertVerifier for RawKeyVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.known.check(end_entity).map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(PeerIncompatible::Tls12NotOffered.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signed(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes()
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}
