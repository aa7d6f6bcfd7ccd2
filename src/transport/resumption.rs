//! What TLS sessions resume from (RFC 8446 section 2.2, RFC 5077). A resumption shows no certificate, so a session is
//! offered again only while the certificate that began it is valid.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{
    ClientSessionMemoryCache, ClientSessionStore, Tls12ClientSessionValue, Tls13ClientSessionValue,
    WebPkiServerVerifier,
};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::time_provider::TimeProvider;
use rustls::{DigitallySignedStruct, Error, NamedGroup, SignatureScheme};

use super::credentials::Clock;
use super::x509;

/// Sessions remembered, eight for each name: the provider's and an alternate's.
pub(super) const SESSIONS: usize = 16;
/// Names whose certificates are remembered.
const NAMES: usize = 4;

/// The sessions of one peer.
#[derive(Debug)]
pub(super) struct Sessions {
    sessions: ClientSessionMemoryCache,
    clock: Arc<Clock>,
    validities: Mutex<VecDeque<(ServerName<'static>, (u64, u64))>>,
}

impl Sessions {
    /// None yet.
    pub fn new(clock: Arc<Clock>) -> Self {
        Self { sessions: ClientSessionMemoryCache::new(SESSIONS), clock, validities: Mutex::default() }
    }

    fn verified(&self, name: &ServerName<'_>, leaf: &CertificateDer<'_>) {
        let Some(validity) = x509::validity(leaf) else { return };
        let mut validities = self.validities.lock().unwrap_or_else(PoisonError::into_inner);
        validities.retain(|(other, _)| other != name);
        if validities.len() >= NAMES {
            validities.pop_front();
        }
        validities.push_back((name.to_owned(), validity));
    }

    fn is_valid(&self, name: &ServerName<'_>) -> bool {
        let validities = self.validities.lock().unwrap_or_else(PoisonError::into_inner);
        let validity = validities.iter().find(|(other, _)| other == name).map(|(_, validity)| validity);
        let now = self.clock.current_time().map(|now| now.as_secs());
        validity.zip(now).is_some_and(|((from, until), now)| (*from..=*until).contains(&now))
    }
}

impl ClientSessionStore for Sessions {
    fn set_kx_hint(&self, server_name: ServerName<'static>, group: NamedGroup) {
        self.sessions.set_kx_hint(server_name, group);
    }

    fn kx_hint(&self, server_name: &ServerName<'_>) -> Option<NamedGroup> {
        self.sessions.kx_hint(server_name)
    }

    fn set_tls12_session(&self, server_name: ServerName<'static>, value: Tls12ClientSessionValue) {
        self.sessions.set_tls12_session(server_name, value);
    }

    fn tls12_session(&self, server_name: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.sessions.tls12_session(server_name).filter(|_| self.is_valid(server_name))
    }

    fn remove_tls12_session(&self, server_name: &ServerName<'static>) {
        self.sessions.remove_tls12_session(server_name);
    }

    fn insert_tls13_ticket(&self, server_name: ServerName<'static>, value: Tls13ClientSessionValue) {
        self.sessions.insert_tls13_ticket(server_name, value);
    }

    fn take_tls13_ticket(&self, server_name: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.sessions.take_tls13_ticket(server_name).filter(|_| self.is_valid(server_name))
    }
}

/// Verifies as ever, and tells the sessions how long what it has seen is valid.
#[derive(Debug)]
pub(super) struct Witness {
    verifier: Arc<WebPkiServerVerifier>,
    sessions: Arc<Sessions>,
}

impl Witness {
    /// Of these sessions.
    pub fn new(verifier: Arc<WebPkiServerVerifier>, sessions: Arc<Sessions>) -> Self {
        Self { verifier, sessions }
    }
}

impl ServerCertVerifier for Witness {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified = self.verifier.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)?;
        self.sessions.verified(server_name, end_entity);
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}
