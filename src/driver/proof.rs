//! What a peer's credentials amount to: each is judged by the transports that use it, one by one.

use std::fmt::Display;
use std::path::Path;
use std::sync::Arc;

use super::files::Secrets;
use super::provider::ChannelConfigs;
use crate::config::{Auth, Peer, TransportChoice};
use crate::io::random;
use crate::model::{Now, Transport};
use crate::transport::credentials::{Anchors, Chain, EXPIRY_WARNING, Fault, Identity, Psk};
use crate::transport::crypto::Clock;
use crate::transport::dtls;
use crate::transport::raw_public_key::{self, OwnKey, PeerKeys};
use crate::transport::tls_config::{TlsClientConfig, client_config};

/// What a peer is called with.
pub(super) struct Proof {
    pub(super) channels: ChannelConfigs,
    /// What is doubtful about it, in words that name the file.
    pub(super) doubts: Vec<String>,
    /// How many days our certificate is still good.
    pub(super) days: Option<u64>,
}

/// Says what a peer is called with.
///
/// # Errors
/// Why it can't be called over any transport that its section allows.
pub(super) fn prove(peer: &Peer, secrets: &Secrets, clock: &Arc<Clock>, now: Now) -> Result<Proof, String> {
    let without_dates = |tls, dtls| Proof { channels: ChannelConfigs { tls, dtls }, doubts: Vec::new(), days: None };
    match &peer.auth {
        Auth::Certificate { ca, certificate, key } => {
            Certificates { peer, ca, certificate, key, warnings: Vec::new() }.prove(secrets, clock, now)
        }
        Auth::Psk { identity, file } => {
            let psk = Psk::read(identity, &secrets.key).map_err(|fault| told(file, fault))?;
            let dtls = dtls::ClientConfig::psk(psk, random::system()).map_err(|fault| told(file, fault))?;
            Ok(without_dates(None, Some(dtls)))
        }
        Auth::RawPublicKey { key, peer_key } => {
            let own = OwnKey::read(&secrets.key).map_err(|fault| told(key, fault))?;
            let theirs = PeerKeys::read(&secrets.trusted).map_err(|fault| told(peer_key, fault))?;
            let tls =
                raw_public_key::client_config(own, theirs, Arc::clone(clock)).map_err(|fault| told(key, fault))?;
            Ok(without_dates(Some(tls), None))
        }
    }
}

fn told(file: &Path, what: impl Display) -> String {
    format!("{}: {what}", file.display())
}

/// Certificates of a peer, and what there is to say about them.
struct Certificates<'a> {
    peer: &'a Peer,
    ca: &'a Path,
    certificate: &'a Path,
    key: &'a Path,
    warnings: Vec<String>,
}

impl Certificates<'_> {
    fn prove(mut self, secrets: &Secrets, clock: &Arc<Clock>, now: Now) -> Result<Proof, String> {
        let anchors = Anchors::read(&secrets.trusted).map_err(|fault| told(self.ca, fault))?;
        let chain = Chain::read(&secrets.certificate).map_err(|fault| told(self.certificate, fault))?;
        let identity = Identity::new(chain, &secrets.key).map_err(|fault| told(self.key, fault))?;
        self.warnings.extend(anchors.left_out().iter().map(|one| told(self.ca, one)));
        let days = match identity.valid_until(now.unix) {
            Ok(until) => Some(until.saturating_sub(now.unix) / 86_400),
            // The clock may be wrong; the provider will tell.
            Err(fault) => {
                self.warnings.push(told(self.certificate, fault));
                None
            }
        };
        let soon = days.filter(|days| *days < EXPIRY_WARNING.as_secs() / 86_400);
        self.warnings.extend(soon.map(|days| told(self.certificate, format!("expires in {days} days"))));
        let dtls = (self.peer.transport != TransportChoice::Tls).then(|| self.dtls(&identity, &anchors));
        let tls = (self.peer.transport != TransportChoice::Dtls).then(|| self.tls(identity, &anchors, clock));
        match (tls, dtls) {
            (Some(Err(one)), Some(Err(other))) if one != other => Err(format!("{one}; {other}")),
            (Some(Err(why)), None | Some(Err(_))) | (None, Some(Err(why))) => Err(why),
            (tls, dtls) => {
                let tls = tls.and_then(|tls| self.or_warn(tls, Transport::Tls));
                let dtls = dtls.and_then(|dtls| self.or_warn(dtls, Transport::Dtls));
                Ok(Proof { channels: ChannelConfigs { tls, dtls }, doubts: self.warnings, days })
            }
        }
    }

    fn tls(&self, identity: Identity, anchors: &Anchors, clock: &Arc<Clock>) -> Result<TlsClientConfig, String> {
        client_config(identity, anchors, Arc::clone(clock)).map_err(|fault| self.own(&fault))
    }

    fn dtls(&mut self, identity: &Identity, anchors: &Anchors) -> Result<dtls::ClientConfig, String> {
        let left_out = anchors.left_out_of_dtls().map_err(|fault| told(self.ca, fault))?;
        self.warnings.extend(left_out.iter().map(|one| told(self.ca, one)));
        dtls::ClientConfig::certificate(identity, anchors, random::system()).map_err(|fault| self.own(&fault))
    }

    /// What is wrong with what we show.
    fn own(&self, fault: &Fault) -> String {
        match fault {
            Fault::KeyMismatch => format!("{} or {}", self.certificate.display(), told(self.key, fault)),
            fault if fault.is_of_key() => told(self.key, fault),
            fault => told(self.certificate, fault),
        }
    }

    /// Of two transports one will do.
    fn or_warn<T>(&mut self, config: Result<T, String>, transport: Transport) -> Option<T> {
        let warn = |why| self.warnings.push(format!("{why}; {} is not tried", transport.as_str()));
        config.map_err(warn).ok()
    }
}
