//! What we prove to routers, and what they have to prove.

use std::fmt;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use dots_callhome::transport::credentials::{Anchors, Clock, Identity, server_config};
use dots_callhome::transport::identity::cuid;
use dots_callhome::transport::raw_public_key::{self, OwnKey, PeerKeys};
use rustls::ServerConfig;

use crate::arguments::Serve;

/// The configuration for TLS, and our `cuid`.
///
/// # Errors
/// In words, with the file.
pub fn read(arguments: &Serve, clock: Arc<Clock>) -> Result<(Arc<ServerConfig>, String), String> {
    let key = content(&arguments.key)?;
    let (config, cuid) = match (&arguments.peer_keys, &arguments.ca, &arguments.certificate) {
        (Some(peers), _, _) => {
            let own = OwnKey::read(&key).map_err(|fault| told(&arguments.key, fault))?;
            let peers = PeerKeys::read(&content(peers)?).map_err(|fault| told(peers, fault))?;
            let cuid = own.public().and_then(cuid);
            (raw_public_key::server_config(own, peers, clock), cuid)
        }
        (None, Some(ca), Some(certificate)) => {
            let files = || format!("{} or {}", certificate.display(), arguments.key.display());
            let identity = Identity::read(&content(certificate)?, &key);
            let identity = identity.map_err(|fault| format!("{}: {fault}", files()))?;
            let anchors = Anchors::read(&content(ca)?).map_err(|fault| told(ca, fault))?;
            let cuid = identity.leaf().and_then(cuid);
            (server_config(identity, &anchors, clock), cuid)
        }
        _ => return Err("certificates, or the public keys of the routers?".to_owned()),
    };
    let config = config.map_err(|fault| told(&arguments.key, fault))?;
    Ok((config, cuid.ok_or("our own credentials cannot be read")?))
}

fn content(file: &Path) -> Result<Vec<u8>, String> {
    fs::read(file).map_err(|error| told(file, error))
}

fn told(file: &Path, why: impl fmt::Display) -> String {
    format!("{}: {why}", file.display())
}
