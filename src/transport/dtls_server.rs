//! The provider's end of DTLS: routers are let in when they are where they seem to be, and may resume from a ticket. No state
//! is kept for either.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use ring::hmac::{self, HMAC_SHA256};

use super::channel::Channel;
use super::credentials::{Anchors, Fault, Identity, Psk};
use super::dtls::{ChannelHooks, DtlsChannel, MAX_DATAGRAM};
use super::dtls_admission::{Admission, Keys};
use super::dtls_config::{Random, credentials, empty};
use super::mbedtls::{self, Credentials};
use super::verifier::RouterVerifier;
use crate::model::Now;

/// Tickets of another form are none.
const TICKET_FORM: &[u8] = b"2";

/// What the provider proves and believes.
pub struct ServerConfig {
    credentials: Rc<Credentials>,
    verifier: Option<RouterVerifier>,
    keys: Rc<Keys>,
    random: Random,
}

impl ServerConfig {
    /// Routers prove themselves by a certificate of these authorities, if we have one too, or by one of these keys.
    /// `ticket_secret` has to be the same after a restart for routers to resume.
    ///
    /// # Errors
    /// [`Fault::KeyMismatch`], [`Fault::UnusableKey`], [`Fault::Unreadable`], [`Fault::Unusable`]
    pub fn new(
        certificates: Option<(&Identity, &Anchors)>,
        psk: impl IntoIterator<Item = Psk>,
        ticket_secret: &[u8; 32],
        random: Random,
    ) -> Result<Self, Fault> {
        let credentials = match certificates {
            Some((identity, _)) => credentials(identity, random),
            None => empty(),
        };
        let credentials = Rc::new(credentials?);
        let verifier = certificates.map(|(_, anchors)| RouterVerifier::new(anchors)).transpose()?;
        let mut secret = [0; 32];
        random.fill(&mut secret).map_err(|_| Fault::Unusable("there is no randomness".into()))?;
        // Who is no longer trusted can't resume either.
        let mut trust = hmac::Context::with_key(&hmac::Key::new(HMAC_SHA256, ticket_secret));
        trust.update(TICKET_FORM);
        let trusted = certificates.into_iter().flat_map(|(_, anchors)| anchors.certificates());
        trusted.for_each(|certificate| trust.update(certificate));
        let keys = Keys {
            psk: psk.into_iter().map(|psk| (psk.identity().to_owned(), psk)).collect(),
            cookies: hmac::Key::new(HMAC_SHA256, &secret),
            tickets: hmac::Key::new(HMAC_SHA256, trust.sign().as_ref()),
            revoked: certificates.map(|(_, anchors)| Arc::clone(anchors.revoked())).unwrap_or_default(),
        };
        Ok(Self { credentials, verifier, keys: Rc::new(keys), random })
    }

    /// Takes a datagram from where no channel is known. Nothing is kept of it unless a channel comes out.
    pub fn accept(&self, from: SocketAddr, datagram: &[u8], now: Now) -> Answer {
        let admission = Admission::new(from, Rc::clone(&self.keys));
        let side = ChannelHooks::server(admission, self.verifier.clone(), self.random, now);
        let has_psk = !self.keys.psk.is_empty();
        let inner = mbedtls::Association::server(Rc::clone(&self.credentials), side, has_psk, MAX_DATAGRAM);
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
