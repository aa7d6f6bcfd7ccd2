//! What TLS sessions resume from (RFC 8446 section 2.2, RFC 5077). A resumption shows no certificate, so a session is
//! offered again only while the certificate that began it is valid. Who shakes hands in full has forgotten what was before, and
//! who refuses a session that was offered is not offered any again.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ClientSessionMemoryCache, ClientSessionStore, Tls12ClientSessionValue, Tls13ClientSessionValue};
use rustls::crypto::{verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::time_provider::TimeProvider;
use rustls::{DigitallySignedStruct, Error, NamedGroup, SignatureScheme};

use super::crypto::Clock;
use super::signatures::ALGORITHMS;
use super::verifier::ProviderVerifier;
use super::x509;

/// Sessions remembered, eight for each name: the provider's and an alternate's.
const SESSIONS: usize = 16;
/// Names whose certificates are remembered.
const NAMES: usize = 4;

/// The sessions of one peer.
#[derive(Debug)]
pub(super) struct Sessions {
    cache: ClientSessionMemoryCache,
    clock: Arc<Clock>,
    validities: Mutex<VecDeque<(ServerName<'static>, (u64, u64))>>,
}

impl Sessions {
    /// None yet.
    pub(super) fn new(clock: Arc<Clock>) -> Self {
        Self { cache: ClientSessionMemoryCache::new(SESSIONS), clock, validities: Mutex::default() }
    }

    /// The peer has proven its name anew, by what is valid from the first to the last of these seconds since 1970.
    pub(super) fn verified(&self, name: &ServerName<'_>, validity: (u64, u64)) {
        self.forget(name);
        let mut validities = self.validities.lock().unwrap_or_else(PoisonError::into_inner);
        validities.retain(|(other, _)| other != name);
        if validities.len() >= NAMES {
            validities.pop_front();
        }
        validities.push_back((name.to_owned(), validity));
    }

    /// Forgets all sessions of that name.
    pub(super) fn forget(&self, name: &ServerName<'_>) {
        let name = name.to_owned();
        self.cache.remove_tls12_session(&name);
        while self.cache.take_tls13_ticket(&name).is_some() {}
    }

    fn is_valid(&self, name: &ServerName<'_>) -> bool {
        let validities = self.validities.lock().unwrap_or_else(PoisonError::into_inner);
        let validity = validities.iter().find(|(other, _)| other == name).map(|(_, validity)| validity);
        let now = self.clock.current_time().map(|now| now.as_secs());
        validity.zip(now).is_some_and(|((from, until), now)| (*from..=*until).contains(&now))
    }
}

/// The sessions of a peer as one channel sees them.
#[derive(Debug)]
pub(super) struct Offer {
    sessions: Arc<Sessions>,
    /// Whether the channel may resume any.
    resumes: bool,
    made: AtomicBool,
}

impl Offer {
    /// Of these sessions, or of none.
    pub(super) fn new(sessions: Arc<Sessions>, resumes: bool) -> Self {
        Self { sessions, resumes, made: AtomicBool::new(false) }
    }

    /// Whether the channel has offered to resume a session.
    pub(super) fn is_made(&self) -> bool {
        self.made.load(Ordering::Relaxed)
    }

    /// What may be offered of what is kept for a name.
    fn offered<T>(
        &self,
        name: &ServerName<'_>,
        kept: impl FnOnce(&ClientSessionMemoryCache) -> Option<T>,
    ) -> Option<T> {
        if !self.resumes {
            return None;
        }
        let session = kept(&self.sessions.cache).filter(|_| self.sessions.is_valid(name));
        self.made.fetch_or(session.is_some(), Ordering::Relaxed);
        session
    }
}

impl ClientSessionStore for Offer {
    fn set_kx_hint(&self, server_name: ServerName<'static>, group: NamedGroup) {
        self.sessions.cache.set_kx_hint(server_name, group);
    }

    fn kx_hint(&self, server_name: &ServerName<'_>) -> Option<NamedGroup> {
        self.sessions.cache.kx_hint(server_name)
    }

    fn set_tls12_session(&self, server_name: ServerName<'static>, value: Tls12ClientSessionValue) {
        self.sessions.cache.set_tls12_session(server_name, value);
    }

    fn tls12_session(&self, server_name: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.offered(server_name, |cache| cache.tls12_session(server_name))
    }

    fn remove_tls12_session(&self, server_name: &ServerName<'static>) {
        self.sessions.cache.remove_tls12_session(server_name);
    }

    fn insert_tls13_ticket(&self, server_name: ServerName<'static>, value: Tls13ClientSessionValue) {
        self.sessions.cache.insert_tls13_ticket(server_name, value);
    }

    fn take_tls13_ticket(&self, server_name: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.offered(server_name, |cache| cache.take_tls13_ticket(server_name))
    }
}

/// Verifies what servers prove, and tells the sessions how long it is valid.
#[derive(Debug)]
pub(super) struct CertificateVerifier {
    verifier: ProviderVerifier,
    sessions: Arc<Sessions>,
}

impl CertificateVerifier {
    /// Tells these sessions.
    pub(super) fn new(verifier: ProviderVerifier, sessions: Arc<Sessions>) -> Self {
        Self { verifier, sessions }
    }
}

impl ServerCertVerifier for CertificateVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.verifier.verify(end_entity, intermediates, server_name, now)?;
        if let Some(validity) = x509::validity(end_entity) {
            self.sessions.verified(server_name, validity);
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &ALGORITHMS)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &ALGORITHMS)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        ALGORITHMS.supported_schemes()
    }
}
