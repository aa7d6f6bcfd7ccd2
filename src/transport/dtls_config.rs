//! What DTLS proves and believes, in the library's form.

use std::rc::Rc;
use std::sync::Arc;

use rustls::crypto::SecureRandom;
use rustls::pki_types::CertificateDer;

use super::credentials::{Anchors, Fault, Identity, KeyKind, Psk};
use super::mbedtls::{Credentials, Error};
use super::verifier::ProviderVerifier;
use super::x509;
use crate::model::Transport;

const KEY_MISMATCH: Error = Error(-0x3f00);

/// Where unpredictable bytes come from; only `driver/` has such a thing.
pub type Random = &'static dyn SecureRandom;

/// What the router proves and believes towards one peer. Cheap to clone.
#[derive(Clone)]
pub struct ClientConfig(pub(super) Rc<ClientProof>);

pub(super) struct ClientProof {
    pub(super) credentials: Rc<Credentials>,
    pub(super) proof: Proof,
    pub(super) random: Random,
}

/// How both sides prove who they are.
pub(super) enum Proof {
    /// By certificates, ours and what this verifies.
    Certificates(ProviderVerifier),
    /// By a key both know.
    Psk(Psk),
}

impl ClientConfig {
    /// Mutual authentication by certificates.
    ///
    /// # Errors
    /// [`Fault::KeyMismatch`]; [`Fault::UnusableKey`], [`Fault::Unreadable`] for what the library can't use, an Ed25519 key for
    /// instance.
    pub fn certificate(identity: &Identity, anchors: &Anchors, random: Random) -> Result<Self, Fault> {
        let credentials = Rc::new(credentials(identity, random)?);
        let proof = Proof::Certificates(ProviderVerifier::new(Arc::clone(anchors.store())));
        Ok(Self(Rc::new(ClientProof { credentials, proof, random })))
    }

    /// Mutual authentication by a key both know. Only such cipher suites are offered.
    ///
    /// # Errors
    /// [`Fault::Unusable`]
    pub fn psk(psk: Psk, random: Random) -> Result<Self, Fault> {
        let credentials = Rc::new(empty()?);
        Ok(Self(Rc::new(ClientProof { credentials, proof: Proof::Psk(psk), random })))
    }
}

/// What we show, in the library's form.
pub(super) fn credentials(identity: &Identity, random: Random) -> Result<Credentials, Fault> {
    let mut credentials = empty()?;
    if !identity.kind().is_some_and(KeyKind::is_of_dtls) {
        return Err(identity.unusable_over(Transport::Dtls));
    }
    for certificate in identity.chain() {
        // Who does not have an authority that signs itself does not believe it either.
        if credentials.add_own(certificate).is_err() && !x509::signs_itself(certificate) {
            return Err(Fault::Unreadable(Transport::Dtls));
        }
    }
    let set = credentials.set_key(identity.key().secret_der(), &mut |bytes| random.fill(bytes).is_ok());
    set.map_err(
        |error| if error == KEY_MISMATCH { Fault::KeyMismatch } else { identity.unusable_over(Transport::Dtls) },
    )?;
    Ok(credentials)
}

/// Nothing to show.
pub(super) fn empty() -> Result<Credentials, Fault> {
    Credentials::new().map_err(|_| Fault::Unusable("there is no memory".into()))
}

/// The session a later channel to the same peer resumes, instead of a full handshake.
#[derive(Clone)]
pub struct SavedSession {
    pub(super) config: ClientConfig,
    /// The name the peer has proven.
    pub(super) name: String,
    /// The session in the library's form.
    pub(super) state: Vec<u8>,
    pub(super) certificate: Option<CertificateDer<'static>>,
}
