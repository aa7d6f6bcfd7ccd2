//! What DTLS proves and believes, in the library's form.

use std::rc::Rc;

use rustls::crypto::SecureRandom;
use rustls::pki_types::CertificateDer;

use super::credentials::{Anchors, Fault, Identity, Psk};
use super::mbedtls::{Credentials, Error};

const KEY_MISMATCH: Error = Error(-0x3f00);

/// Where unpredictable bytes come from; only `driver/` has such a thing.
pub type Random = &'static dyn SecureRandom;

/// What the router proves and believes towards one peer. Cheap to clone.
#[derive(Clone)]
pub struct ClientConfig(pub(super) Rc<ClientProof>);

pub(super) struct ClientProof {
    pub(super) credentials: Rc<Credentials>,
    pub(super) psk: Option<Psk>,
    pub(super) random: Random,
}

impl ClientConfig {
    /// Mutual authentication by certificates.
    ///
    /// # Errors
    /// [`Fault::KeyMismatch`]; [`Fault::Unusable`] for what the library can't use, an Ed25519 key for instance.
    pub fn certificate(identity: &Identity, anchors: &Anchors, random: Random) -> Result<Self, Fault> {
        let credentials = Rc::new(credentials(identity, anchors, random)?);
        Ok(Self(Rc::new(ClientProof { credentials, psk: None, random })))
    }

    /// Mutual authentication by a key both know. Only such cipher suites are offered.
    ///
    /// # Errors
    /// [`Fault::Unusable`]
    pub fn psk(psk: Psk, random: Random) -> Result<Self, Fault> {
        let credentials = Rc::new(Credentials::new().map_err(fault)?);
        Ok(Self(Rc::new(ClientProof { credentials, psk: Some(psk), random })))
    }
}

/// Whether the library can use these authorities: name constraints, for instance, it does not know.
///
/// # Errors
/// [`Fault::Unusable`]
pub fn can_trust(anchors: &Anchors) -> Result<(), Fault> {
    let mut credentials = Credentials::new().map_err(fault)?;
    anchors.certificates().iter().try_for_each(|certificate| credentials.add_trusted(certificate).map_err(fault))
}

/// Everything certificates need, in the library's form.
pub(super) fn credentials(identity: &Identity, anchors: &Anchors, random: Random) -> Result<Credentials, Fault> {
    let mut credentials = Credentials::new().map_err(fault)?;
    for certificate in identity.chain() {
        credentials.add_own(certificate).map_err(fault)?;
    }
    for certificate in anchors.certificates() {
        credentials.add_trusted(certificate).map_err(fault)?;
    }
    credentials.set_key(identity.key(), &mut |bytes| random.fill(bytes).is_ok()).map_err(fault)?;
    Ok(credentials)
}

pub(super) fn fault(error: Error) -> Fault {
    match error {
        KEY_MISMATCH => Fault::KeyMismatch,
        Error(code) => Fault::Unusable(format!("not usable for DTLS: error -0x{:04x}", -code)),
    }
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
