//! Whom a chain of certificates proves (RFC 5280 section 6, RFC 9525): one judgement for both transports, so that they agree.
//!
//! The library's verifiers do the same, but bring with them the reading of revocation lists, of which the router has none: 20 KiB of
//! its binary. They don't look at what keys are for, which RFC 5280 section 6.1.4 (n) and RFC 8446 section 4.4.2.2 demand.

use std::sync::Arc;

use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, Error, RootCertStore};
#[cfg(feature = "client")]
use rustls::{
    DigitallySignedStruct, DistinguishedName, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    server::WebPkiClientVerifier,
    server::danger::{ClientCertVerified, ClientCertVerifier},
};

use super::signatures::ALGORITHMS;
use super::x509::{self, KeyUsage};
#[cfg(feature = "client")]
use super::{
    credentials::Anchors,
    crypto::provider,
    fault::Fault,
    revocation::{CertificateId, Revocations},
};

/// What the router believes.
#[derive(Clone, Debug)]
pub(super) struct ProviderVerifier(Arc<RootCertStore>);

impl ProviderVerifier {
    /// Believes these authorities.
    pub(super) fn new(anchors: Arc<RootCertStore>) -> Self {
        Self(anchors)
    }

    /// Whether somebody is `name`. The others of the chain may be in any order, and more than are needed.
    pub(super) fn verify(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<(), Error> {
        let parsed = ParsedCertificate::try_from(leaf)?;
        verify_server_cert_signed_by_trust_anchor(&parsed, &self.0, &authorities(others), now, ALGORITHMS.all)
            .map_err(of_chain)?;
        verify_server_name(&parsed, name)?;
        can_prove(leaf)
    }
}

/// Those whose keys may sign certificates: no others are between the leaf and what is believed.
fn authorities<'a>(others: &'a [CertificateDer<'_>]) -> Vec<CertificateDer<'a>> {
    let signing = others.iter().filter(|other| x509::allows(other, KeyUsage::CertificateSign));
    signing.map(|other| CertificateDer::from(other.as_ref())).collect()
}

/// An authority that only bears the name of one is as unknown as any other.
fn of_chain(error: Error) -> Error {
    match error {
        Error::InvalidCertificate(CertificateError::BadSignature) => CertificateError::UnknownIssuer.into(),
        other => other,
    }
}

fn can_prove(leaf: &CertificateDer<'_>) -> Result<(), Error> {
    let can = x509::allows(leaf, KeyUsage::DigitalSignature);
    if can { Ok(()) } else { Err(CertificateError::InvalidPurpose.into()) }
}

/// What the provider believes.
#[cfg(feature = "client")]
#[derive(Clone, Debug)]
pub(super) struct RouterVerifier {
    anchored: Arc<dyn ClientCertVerifier>,
    revoked: Arc<Revocations>,
}

#[cfg(feature = "client")]
impl RouterVerifier {
    /// Believes these authorities.
    ///
    /// # Errors
    /// [`Fault::Unusable`] where there are none.
    pub(super) fn new(anchors: &Anchors) -> Result<Self, Fault> {
        let anchored = WebPkiClientVerifier::builder_with_provider(Arc::clone(anchors.store()), provider()).build();
        let anchored = anchored.map_err(|error| Fault::Unusable(error.to_string()))?;
        Ok(Self { anchored, revoked: Arc::clone(anchors.revoked()) })
    }

    fn is_revoked(&self, certificate: &CertificateDer<'_>) -> bool {
        CertificateId::of(certificate).is_some_and(|id| self.revoked.has(&id))
    }
}

#[cfg(feature = "client")]
impl ClientCertVerifier for RouterVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.anchored.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified =
            self.anchored.verify_client_cert(end_entity, &authorities(intermediates), now).map_err(of_chain)?;
        if std::iter::once(end_entity).chain(intermediates).any(|one| self.is_revoked(one)) {
            return Err(CertificateError::Revoked.into());
        }
        can_prove(end_entity).map(|()| verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.anchored.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.anchored.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.anchored.supported_verify_schemes()
    }
}
