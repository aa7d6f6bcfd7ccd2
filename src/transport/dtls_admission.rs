//! How the provider's end of DTLS lets routers in: cookies, tickets, names. No state is kept of either.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hmac;
use rustls::pki_types::CertificateDer;

use super::credentials::Psk;
use super::revocation::{CertificateId, Proven, Revocations};
use super::{identity, x509};
use crate::model::Now;

/// A cookie is good for this many seconds, and as many more.
const COOKIE_SECONDS: u64 = 60;
/// A ticket is good for this many seconds, and as many more.
const TICKET_SECONDS: u64 = 86_400;
/// A name that can't be in a certificate is not worth a ticket.
const LONGEST_NAME: usize = 255;
/// Nor is a longer chain.
const MOST_CERTIFICATES: u8 = 8;

/// Secrets of the server that its channels share.
pub(super) struct Keys {
    pub(super) psk: BTreeMap<String, Psk>,
    pub(super) cookies: hmac::Key,
    pub(super) tickets: hmac::Key,
    pub(super) revoked: Arc<Revocations>,
}

/// What the server's end of a channel needs to let a peer in.
pub(super) struct Admission {
    from: SocketAddr,
    keys: Rc<Keys>,
    is_reachable: bool,
    name: Option<String>,
    /// First and last second of the certificate that bears the name.
    valid: (u64, u64),
    /// All certificates shown.
    certificates: Vec<CertificateId>,
}

impl Admission {
    /// Begins with a peer of which only the address is known.
    pub(super) fn new(from: SocketAddr, keys: Rc<Keys>) -> Self {
        Self { from, keys, is_reachable: false, name: None, valid: (0, 0), certificates: Vec::new() }
    }

    /// Whether the peer has shown a cookie.
    pub(super) fn is_reachable(&self) -> bool {
        self.is_reachable
    }

    /// Whom the peer has shown to be.
    pub(super) fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// What the peer has proven itself with.
    pub(super) fn proven(&self) -> Proven {
        let until = Some(self.valid.1).filter(|_| !self.certificates.is_empty());
        Proven { certificates: self.certificates.clone(), until }
    }

    /// The peer shows certificates, its own first; whether they are good is judged elsewhere.
    pub(super) fn shown(&mut self, certificates: &[CertificateDer<'_>]) {
        let leaf = certificates.first();
        self.name = leaf.and_then(identity::name);
        self.valid = leaf.and_then(|leaf| x509::validity(leaf)).unwrap_or((1, 0));
        self.certificates = Proven::by(certificates).certificates;
    }

    /// The key of an identity.
    pub(super) fn psk(&mut self, identity: &[u8]) -> Option<Vec<u8>> {
        self.name = None;
        self.certificates.clear();
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

    /// A ticket: nonce, then sealed the certificate's validity, the number of certificates, each of them, the name's length, the name,
    /// the session.
    pub(super) fn seal(&self, session: &[u8], nonce: [u8; NONCE_LEN], now: Now) -> Option<Vec<u8>> {
        let name = self.name.as_ref().filter(|name| name.len() <= LONGEST_NAME && self.valid != (0, 0))?;
        let mut content = Vec::new();
        content.extend_from_slice(&self.valid.0.to_be_bytes());
        content.extend_from_slice(&self.valid.1.to_be_bytes());
        content.push(u8::try_from(self.certificates.len()).ok().filter(|count| *count <= MOST_CERTIFICATES)?);
        self.certificates.iter().for_each(|CertificateId(id)| content.extend_from_slice(id));
        content.push(u8::try_from(name.len()).ok()?);
        content.extend_from_slice(name.as_bytes());
        content.extend_from_slice(session);
        let key = self.ticket_key(now.unix / TICKET_SECONDS)?;
        key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::empty(), &mut content).ok()?;
        Some([&nonce[..], &content].concat())
    }

    /// The session of a ticket whose certificates are still good.
    pub(super) fn open(&mut self, ticket: &[u8], now: Now) -> Option<Vec<u8>> {
        let day = now.unix / TICKET_SECONDS;
        let content = self.unseal(ticket, day).or_else(|| self.unseal(ticket, day.checked_sub(1)?))?;
        let (from, rest) = content.split_first_chunk()?;
        let (until, rest) = rest.split_first_chunk()?;
        let (&count, mut rest) = rest.split_first()?;
        let mut certificates = Vec::new();
        for _ in 0..count {
            let (id, after) = rest.split_first_chunk()?;
            certificates.push(CertificateId(*id));
            rest = after;
        }
        let (&length, rest) = rest.split_first()?;
        let (name, session) = rest.split_at_checked(length.into())?;
        self.valid = (u64::from_be_bytes(*from), u64::from_be_bytes(*until));
        // Whoever may not resume is told why in a full handshake.
        if now.unix < self.valid.0 || now.unix > self.valid.1 || self.keys.revoked.has_any(&certificates) {
            return None;
        }
        self.name = Some(String::from_utf8(name.to_vec()).ok()?);
        self.certificates = certificates;
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
