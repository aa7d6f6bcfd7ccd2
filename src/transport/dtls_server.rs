//! The provider's end of DTLS: routers are let in when they are where they seem to be, and may resume from a ticket. No state
//! is kept for either.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hmac::{self, HMAC_SHA256};
use rustls::pki_types::CertificateDer;

use super::channel::Channel;
use super::credentials::{Anchors, Fault, Identity, Psk};
use super::dtls::{DtlsChannel, MAX_DATAGRAM, Side};
use super::dtls_config::{Random, credentials, fault};
use super::mbedtls::{self, Credentials};
use super::{identity, x509};
use crate::model::Now;

/// A cookie is good for this many seconds, and as many more.
const COOKIE_SECONDS: u64 = 60;
/// A ticket is good for this many seconds, and as many more.
const TICKET_SECONDS: u64 = 86_400;
/// A name that can't be in a certificate is not worth a ticket.
const LONGEST_NAME: usize = 255;

/// What the provider proves and believes.
pub struct ServerConfig {
    credentials: Rc<Credentials>,
    keys: Rc<Keys>,
    random: Random,
}

/// Secrets of the server that its channels share.
struct Keys {
    psk: BTreeMap<String, Psk>,
    cookies: hmac::Key,
    tickets: hmac::Key,
}

impl ServerConfig {
    /// Routers prove themselves by a certificate of these authorities, if we have one too, or by one of these keys.
    /// `ticket_secret` has to be the same after a restart for routers to resume.
    ///
    /// # Errors
    /// [`Fault::KeyMismatch`], [`Fault::Unusable`]
    pub fn new(
        certificates: Option<(&Identity, &Anchors)>,
        psk: impl IntoIterator<Item = Psk>,
        ticket_secret: &[u8; 32],
        random: Random,
    ) -> Result<Self, Fault> {
        let credentials = match certificates {
            Some((identity, anchors)) => credentials(identity, anchors, random),
            None => Credentials::new().map_err(fault),
        };
        let credentials = Rc::new(credentials?);
        let mut secret = [0; 32];
        random.fill(&mut secret).map_err(|_| Fault::Unusable("there is no randomness".into()))?;
        // Who is no longer trusted can't resume either.
        let mut trust = hmac::Context::with_key(&hmac::Key::new(HMAC_SHA256, ticket_secret));
        let trusted = certificates.map(|(_, anchors)| anchors.certificates()).unwrap_or_default();
        trusted.iter().for_each(|certificate| trust.update(certificate));
        let keys = Keys {
            psk: psk.into_iter().map(|psk| (psk.identity().to_owned(), psk)).collect(),
            cookies: hmac::Key::new(HMAC_SHA256, &secret),
            tickets: hmac::Key::new(HMAC_SHA256, trust.sign().as_ref()),
        };
        Ok(Self { credentials, keys: Rc::new(keys), random })
    }

    /// Takes a datagram from where no channel is known. Nothing is kept of it unless a channel comes out.
    pub fn accept(&self, from: SocketAddr, datagram: &[u8], now: Now) -> Answer {
        let admission = Admission { from, keys: Rc::clone(&self.keys), is_reachable: false, name: None, valid: (0, 0) };
        let side = Side::server(admission, self.random, now);
        let has_psk = !self.keys.psk.is_empty();
        let inner = mbedtls::Channel::server(Rc::clone(&self.credentials), side, has_psk, MAX_DATAGRAM);
        let Ok(inner) = inner else { return Answer::Nothing };
        let mut channel = DtlsChannel::new(inner, String::new(), now);
        let outcome = channel.handle_input(datagram, now);
        if outcome.is_ok() && channel.is_reachable() {
            return Answer::Accepted(channel);
        }
        channel.poll_transmit().map_or(Answer::Nothing, Answer::Reply)
    }
}

/// What a datagram of an unknown peer leads to.
pub enum Answer {
    /// Nothing: it is no beginning of a handshake.
    Nothing,
    /// A question to see whether the peer is there, or why it can't be talked to. Shorter than what was asked.
    Reply(Vec<u8>),
    /// The peer is there, and the handshake goes on.
    Accepted(DtlsChannel),
}

/// What the server's end of a channel needs to let a peer in.
pub(super) struct Admission {
    from: SocketAddr,
    keys: Rc<Keys>,
    is_reachable: bool,
    name: Option<String>,
    /// First and last second of the certificate that bears the name.
    valid: (u64, u64),
}

impl Admission {
    /// Whether the peer has shown a cookie.
    pub(super) fn is_reachable(&self) -> bool {
        self.is_reachable
    }

    /// Whom the peer has shown to be.
    pub(super) fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// The peer shows a certificate; whether it is good is judged elsewhere.
    pub(super) fn shown(&mut self, certificate: &CertificateDer<'_>) {
        self.name = identity::name(certificate);
        self.valid = x509::validity(certificate).unwrap_or((1, 0));
    }

    /// The key of an identity.
    pub(super) fn psk(&mut self, identity: &[u8]) -> Option<Vec<u8>> {
        self.name = None;
        let psk = self.keys.psk.get(std::str::from_utf8(identity).ok()?)?;
        self.name = Some(psk.identity().to_owned());
        Some(psk.key().to_vec())
    }

    /// A cookie for the peer's address.
    pub(super) fn cookie(&self, now: Now) -> Vec<u8> {
        hmac::sign(&self.keys.cookies, &self.cookie_text(now.unix / COOKIE_SECONDS)).as_ref().to_vec()
    }

    /// Whether it is one.
    pub(super) fn is_cookie(&mut self, cookie: &[u8], now: Now) -> bool {
        let slot = now.unix / COOKIE_SECONDS;
        let is_of = |slot: u64| hmac::verify(&self.keys.cookies, &self.cookie_text(slot), cookie).is_ok();
        self.is_reachable = is_of(slot) || is_of(slot.saturating_sub(1));
        self.is_reachable
    }

    fn cookie_text(&self, slot: u64) -> Vec<u8> {
        format!("{slot} {}", self.from).into_bytes()
    }

    /// A ticket: nonce, then sealed the certificate's validity, the name's length, the name, the session.
    pub(super) fn seal(&self, session: &[u8], nonce: [u8; NONCE_LEN], now: Now) -> Option<Vec<u8>> {
        let name = self.name.as_ref().filter(|name| name.len() <= LONGEST_NAME && self.valid != (0, 0))?;
        let mut content = Vec::new();
        content.extend_from_slice(&self.valid.0.to_be_bytes());
        content.extend_from_slice(&self.valid.1.to_be_bytes());
        content.push(u8::try_from(name.len()).ok()?);
        content.extend_from_slice(name.as_bytes());
        content.extend_from_slice(session);
        let key = self.ticket_key(now.unix / TICKET_SECONDS)?;
        key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::empty(), &mut content).ok()?;
        Some([&nonce[..], &content].concat())
    }

    /// The session of a ticket whose certificate is still valid.
    pub(super) fn open(&mut self, ticket: &[u8], now: Now) -> Option<Vec<u8>> {
        let day = now.unix / TICKET_SECONDS;
        let content = self.unseal(ticket, day).or_else(|| self.unseal(ticket, day.checked_sub(1)?))?;
        let (from, rest) = content.split_first_chunk()?;
        let (until, rest) = rest.split_first_chunk()?;
        let (&length, rest) = rest.split_first()?;
        let (name, session) = rest.split_at_checked(length.into())?;
        self.valid = (u64::from_be_bytes(*from), u64::from_be_bytes(*until));
        if now.unix < self.valid.0 || now.unix > self.valid.1 {
            return None;
        }
        self.name = Some(String::from_utf8(name.to_vec()).ok()?);
        Some(session.to_vec())
    }

    fn unseal(&self, ticket: &[u8], day: u64) -> Option<Vec<u8>> {
        let (nonce, sealed) = ticket.split_first_chunk()?;
        let mut content = sealed.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let opened = self.ticket_key(day)?.open_in_place(nonce, Aad::empty(), &mut content).ok()?.len();
        content.truncate(opened);
        Some(content)
    }

    /// Tickets of each day have a key of their own.
    fn ticket_key(&self, day: u64) -> Option<LessSafeKey> {
        let key = hmac::sign(&self.keys.tickets, &day.to_be_bytes());
        Some(LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key.as_ref()).ok()?))
    }
}
