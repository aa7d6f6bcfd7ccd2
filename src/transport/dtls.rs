//! The secure channel over datagrams: DTLS 1.2 (RFC 6347) by Mbed TLS, no I/O. The router's end; the provider's begins in
//! `dtls_server`.

use std::collections::VecDeque;
use std::rc::Rc;
use std::time::{Duration, Instant};

use rustls::AlertDescription;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
#[cfg(feature = "client")]
use rustls::server::danger::ClientCertVerifier;

use super::channel::Channel;
#[cfg(feature = "client")]
use super::dtls_admission::Admission;
use super::dtls_config::Proof;
pub use super::dtls_config::{ClientConfig, Random, SavedSession};
use super::failure::{Failure, alerted, failure, said};
use super::mbedtls::{self, ClientSettings, Error, Hooks};
#[cfg(feature = "client")]
use super::revocation::Proven;
use super::verifier::ProviderVerifier;
#[cfg(feature = "client")]
use super::verifier::RouterVerifier;
use super::x509;
use crate::model::Now;

/// The longest datagram sent: with the headers of IPv6 and UDP it is what every IPv6 path carries (RFC 9132 section 7.3).
pub const MAX_DATAGRAM: usize = 1280 - 40 - 8;

/// Type, version, epoch and number, length (RFC 6347 section 4.1).
const RECORD_HEADER: usize = 13;

/// Flags of the library for what is wrong with a certificate: they choose the alert that the peer gets.
const EXPIRED: u32 = 0x01;
#[cfg(feature = "client")]
const REVOKED: u32 = 0x02;
const WRONG_NAME: u32 = 0x04;
const NOT_TRUSTED: u32 = 0x08;
const OTHER: u32 = 0x0100;
const NOT_YET_VALID: u32 = 0x0200;
const OTHER_USE: u32 = 0x1000;

/// Errors of the library.
const VERIFY_FAILED: Error = Error(-0x2700);
const TIMEOUT: Error = Error(-0x6800);
const UNKNOWN_IDENTITY: Error = Error(-0x6c80);
const HANDSHAKE_FAILURE: Error = Error(-0x6e00);
const BAD_VERSION: Error = Error(-0x6e80);
const INVALID_MAC: Error = Error(-0x7180);
const NO_CLIENT_CERTIFICATE: Error = Error(-0x7480);
const BAD_CERTIFICATE: Error = Error(-0x7a00);
const FATAL_ALERT: Error = Error(-0x7780);
const OUT_OF_MEMORY: Error = Error(-0x7f00);
const PEER_CLOSE_NOTIFY: Error = Error(-0x7880);

/// One DTLS association.
pub struct DtlsChannel {
    inner: mbedtls::Association<ChannelHooks>,
    began: Instant,
    /// The name the peer has to prove; empty in the server's role.
    name: String,
    /// The router's, and there only with certificates: with pre-shared keys a handshake is as cheap as a resumption.
    resumable: Option<ClientConfig>,
    session: Option<SavedSession>,
    /// It has begun with the offer to resume a session.
    offered: bool,
    failure: Option<Failure>,
}

impl DtlsChannel {
    /// The router's end: proves that the peer is `name`, and sends it as SNI. A session of another name or other credentials
    /// is ignored, as is one whose certificate is not valid `now`. The first datagram is ready.
    ///
    /// # Errors
    /// [`Failure::BadName`], [`Failure::Protocol`]
    pub fn client(
        config: &ClientConfig,
        name: &str,
        session: Option<&SavedSession>,
        now: Now,
    ) -> Result<Self, Failure> {
        let server = ServerName::try_from(name.to_owned()).map_err(|_| Failure::BadName(name.to_owned()))?;
        let session = session.filter(|session| session.name == name && Rc::ptr_eq(&session.config.0, &config.0));
        let session = session.filter(|s| s.certificate.as_ref().is_some_and(|c| is_valid(c, now)));
        let (psk, expected) = match &config.0.proof {
            Proof::Psk(psk) => (Some(psk), Expected::Nobody),
            Proof::Certificates(verifier) => (None, Expected::Provider(verifier.clone(), server)),
        };
        let mut side = ChannelHooks::new(expected, config.0.random, now);
        side.certificate = session.and_then(|session| session.certificate.clone());
        side.resumed = session.is_some();
        side.keyed = psk.is_some();
        let client = ClientSettings {
            name,
            psk: psk.map(|psk| (psk.identity().as_bytes(), psk.key())),
            session: session.map_or(&[], |session| &session.state),
        };
        let inner = mbedtls::Association::client(Rc::clone(&config.0.credentials), side, &client, MAX_DATAGRAM);
        let inner = inner.map_err(|error| Failure::Protocol(words(error).into()))?;
        let resumable = psk.is_none().then(|| config.clone());
        let mut channel = Self { resumable, offered: session.is_some(), ..Self::new(inner, name.to_owned(), now) };
        channel.proceed(&[], now)?;
        Ok(channel)
    }

    pub(super) fn new(inner: mbedtls::Association<ChannelHooks>, name: String, now: Now) -> Self {
        Self { inner, began: now.instant, name, resumable: None, session: None, offered: false, failure: None }
    }

    fn proceed(&mut self, datagram: &[u8], now: Now) -> Result<(), Failure> {
        if let Some(failure) = &self.failure {
            return Err(failure.clone());
        }
        self.inner.owner_mut().now = now;
        let passed = now.instant.saturating_duration_since(self.began).as_millis();
        let outcome = self.inner.handle(u64::try_from(passed).unwrap_or(u64::MAX), datagram);
        if self.session.is_none() && self.inner.is_established() {
            self.keep_session();
        }
        outcome.map_err(|error| self.fail(error))
    }

    fn keep_session(&mut self) {
        let Some(config) = self.resumable.take() else { return };
        let certificate = self.inner.owner().certificate.clone();
        self.session = Some(SavedSession { config, name: self.name.clone(), state: self.inner.session(), certificate });
    }

    /// Remembers why the channel is dead.
    pub(super) fn fail(&mut self, error: Error) -> Failure {
        let failure = match error {
            VERIFY_FAILED | BAD_CERTIFICATE => self.rejected(),
            NO_CLIENT_CERTIFICATE => Failure::NoCertificate,
            TIMEOUT => Failure::Silent,
            PEER_CLOSE_NOTIFY => Failure::Closed,
            UNKNOWN_IDENTITY => Failure::WrongKey("its identity is unknown".into()),
            INVALID_MAC if self.inner.owner().keyed => Failure::WrongKey("they do not agree".into()),
            FATAL_ALERT => match AlertDescription::from(self.inner.alert()) {
                alert @ (AlertDescription::UnknownPSKIdentity
                | AlertDescription::BadRecordMac
                | AlertDescription::DecryptError)
                    if self.inner.owner().keyed =>
                {
                    Failure::WrongKey(format!("the peer says that {}", said(alert)))
                }
                alert => alerted(alert),
            },
            other if other.is_of_certificates() => self.rejected(),
            other => Failure::Protocol(words(other).into()),
        };
        self.failure = Some(failure.clone());
        failure
    }

    /// What was wrong with the peer's certificate.
    fn rejected(&self) -> Failure {
        let unreadable = || Failure::BadCertificate("it cannot be read, or its key not be used".into());
        self.inner.owner().rejected.clone().unwrap_or_else(unreadable)
    }

    /// The longest message that fits a datagram, in bytes.
    pub fn max_message(&self) -> usize {
        self.inner.room()
    }

    /// The provider's end before a peer is let in.
    #[cfg(feature = "client")]
    pub(super) fn is_reachable(&self) -> bool {
        self.inner.owner().admission.as_ref().is_some_and(Admission::is_reachable)
    }
}

impl Channel for DtlsChannel {
    fn handle_input(&mut self, datagram: &[u8], now: Now) -> Result<(), Failure> {
        // The library would take the datagram for the timeout, and lose it.
        if self.poll_timeout().is_some_and(|due| due <= now.instant) {
            self.proceed(&[], now)?;
        }
        let records = whole_records(datagram);
        if records.is_empty() { self.failure.clone().map_or(Ok(()), Err) } else { self.proceed(records, now) }
    }

    fn poll_plaintext(&mut self) -> Option<Vec<u8>> {
        self.inner.owner_mut().messages.pop_front()
    }

    fn write(&mut self, message: &[u8]) {
        if self.failure.is_none() && self.is_established() && message.len() <= self.max_message() {
            // Not even an error leaves more to say than that it was lost.
            let _ = self.inner.write(message);
        }
    }

    fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        self.inner.owner_mut().out.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let due = self.inner.due().filter(|_| self.failure.is_none())?;
        self.began.checked_add(Duration::from_millis(due))
    }

    fn handle_timeout(&mut self, now: Now) -> Result<(), Failure> {
        if self.poll_timeout().is_some_and(|due| due <= now.instant) { self.proceed(&[], now) } else { Ok(()) }
    }

    fn close(&mut self) {
        if self.failure.is_none() && self.is_established() {
            self.inner.close();
        }
    }

    fn is_established(&self) -> bool {
        self.inner.is_established()
    }

    fn has_offered(&self) -> bool {
        self.offered
    }

    fn is_resumed(&self) -> bool {
        self.is_established() && self.inner.owner().resumed
    }

    fn peer_certificate(&self) -> Option<&CertificateDer<'static>> {
        self.inner.owner().certificate.as_ref().filter(|_| self.is_established())
    }

    #[cfg(feature = "client")]
    fn peer_name(&self) -> Option<String> {
        self.inner.owner().admission.as_ref()?.name().filter(|_| self.is_established()).map(str::to_owned)
    }

    #[cfg(feature = "client")]
    fn proven(&self) -> Proven {
        self.inner.owner().admission.as_ref().map(Admission::proven).unwrap_or_default()
    }

    fn session(&self) -> Option<&SavedSession> {
        self.session.as_ref().filter(|session| !session.state.is_empty())
    }
}

/// The library's other side: what it wants sent, what it has read, and what it asks.
pub(super) struct ChannelHooks {
    now: Now,
    random: Random,
    out: VecDeque<Vec<u8>>,
    messages: VecDeque<Vec<u8>>,
    /// The peer's leaf.
    certificate: Option<CertificateDer<'static>>,
    /// All it has shown in this handshake, the leaf first.
    shown: Vec<CertificateDer<'static>>,
    expected: Expected,
    /// What is wrong with that.
    rejected: Option<Failure>,
    /// Whether the peer has proven itself in an earlier session, for all we know.
    resumed: bool,
    /// Whether it is to prove itself by a pre-shared key.
    keyed: bool,
    #[cfg(feature = "client")]
    admission: Option<Admission>,
}

impl ChannelHooks {
    fn new(expected: Expected, random: Random, now: Now) -> Self {
        Self {
            shown: Vec::new(),
            expected,
            rejected: None,
            now,
            random,
            out: VecDeque::new(),
            messages: VecDeque::new(),
            certificate: None,
            resumed: false,
            keyed: false,
            #[cfg(feature = "client")]
            admission: None,
        }
    }

    #[cfg(feature = "client")]
    pub(super) fn server(admission: Admission, verifier: Option<RouterVerifier>, random: Random, now: Now) -> Self {
        let expected = verifier.map_or(Expected::Nobody, Expected::Router);
        Self { admission: Some(admission), ..Self::new(expected, random, now) }
    }
}

impl Hooks for ChannelHooks {
    fn send(&mut self, datagram: &[u8]) {
        self.out.push_back(datagram.to_vec());
    }

    fn deliver(&mut self, message: &[u8]) {
        self.messages.push_back(message.to_vec());
    }

    fn random(&mut self, bytes: &mut [u8]) -> bool {
        self.random.fill(bytes).is_ok()
    }

    fn certificate(&mut self, der: &[u8]) {
        self.shown.push(CertificateDer::from(der.to_vec()));
    }

    fn verdict(&mut self) -> u32 {
        self.resumed = false;
        let shown = std::mem::take(&mut self.shown);
        #[cfg(feature = "client")]
        if let Some(admission) = &mut self.admission {
            admission.shown(&shown);
        }
        self.rejected = self.expected.verify(&shown, self.now).err();
        self.certificate = shown.into_iter().next();
        match &self.rejected {
            None => 0,
            Some(Failure::Expired) => EXPIRED,
            Some(Failure::NotYetValid) => NOT_YET_VALID,
            Some(Failure::WrongName(_)) => WRONG_NAME,
            Some(Failure::UnknownAuthority) => NOT_TRUSTED,
            Some(failure) if failure.is_other_use() => OTHER_USE,
            #[cfg(feature = "client")]
            Some(failure) if failure.is_revoked() => REVOKED,
            Some(_) => OTHER,
        }
    }

    #[cfg(feature = "client")]
    fn psk(&mut self, identity: &[u8]) -> Option<Vec<u8>> {
        self.keyed = true;
        self.admission.as_mut()?.psk(identity)
    }

    #[cfg(feature = "client")]
    fn cookie(&mut self) -> Vec<u8> {
        self.admission.as_ref().map(|admission| admission.cookie(self.now)).unwrap_or_default()
    }

    #[cfg(feature = "client")]
    fn is_cookie(&mut self, cookie: &[u8]) -> bool {
        self.admission.as_mut().is_some_and(|admission| admission.is_cookie(cookie, self.now))
    }

    #[cfg(feature = "client")]
    fn seal(&mut self, session: &[u8]) -> Option<Vec<u8>> {
        let mut nonce = [0; 12];
        self.random.fill(&mut nonce).ok()?;
        self.admission.as_ref()?.seal(session, nonce, self.now)
    }

    #[cfg(feature = "client")]
    fn open(&mut self, ticket: &[u8]) -> Option<Vec<u8>> {
        let session = self.admission.as_mut()?.open(ticket, self.now)?;
        self.resumed = true;
        Some(session)
    }
}

/// A datagram without the piece of a record it may end with, on which the library would give up.
fn whole_records(datagram: &[u8]) -> &[u8] {
    let mut rest = datagram;
    while let Some((&[.., high, low], content)) = rest.split_first_chunk::<RECORD_HEADER>()
        && let Some(after) = content.get(usize::from(u16::from_be_bytes([high, low]))..)
    {
        rest = after;
    }
    datagram.get(..datagram.len() - rest.len()).unwrap_or_default()
}

/// Whether a certificate's dates allow it.
fn is_valid(certificate: &[u8], now: Now) -> bool {
    x509::validity(certificate).is_some_and(|(from, until)| (from..=until).contains(&now.unix))
}

/// Who has to be at the other end.
enum Expected {
    /// A provider of this name.
    Provider(ProviderVerifier, ServerName<'static>),
    /// Any router that is believed.
    #[cfg(feature = "client")]
    Router(RouterVerifier),
    /// Nobody who has a certificate.
    Nobody,
}

impl Expected {
    fn verify(&self, shown: &[CertificateDer<'_>], now: Now) -> Result<(), Failure> {
        let (leaf, others) = shown.split_first().ok_or(Failure::NoCertificate)?;
        let now = UnixTime::since_unix_epoch(Duration::from_secs(now.unix));
        let (outcome, name) = match self {
            Self::Provider(verifier, name) => (verifier.verify(leaf, others, name, now), name.to_str().into_owned()),
            #[cfg(feature = "client")]
            Self::Router(verifier) => (verifier.verify_client_cert(leaf, others, now).map(|_| ()), String::new()),
            Self::Nobody => return Err(Failure::NoCertificate),
        };
        outcome.map_err(|error| failure(error, &name))
    }
}

fn words(error: Error) -> &'static str {
    match error {
        HANDSHAKE_FAILURE => "no cipher suite in common",
        BAD_VERSION => "no protocol version in common",
        OUT_OF_MEMORY => "there is no memory",
        _ => "the peer does not keep to the protocol",
    }
}
