//! What we prove to routers, and what they have to prove.

use std::fmt;
use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

use dots_callhome::io::{clock, random};
use dots_callhome::transport::credentials::{Anchors, Identity, Psk};
use dots_callhome::transport::crypto::Clock;
use dots_callhome::transport::dtls_server::ServerConfig;
use dots_callhome::transport::identity::cuid;
use dots_callhome::transport::raw_public_key::{self, OwnKey, PeerKeys};
use dots_callhome::transport::revocation::Revocations;
use dots_callhome::transport::tls_config::server_config;

use crate::settings::Settings;

/// What we are to routers.
pub(crate) struct ServerCredentials {
    /// Over TCP.
    pub tls: Arc<rustls::ServerConfig>,
    /// Over UDP, where our credentials are of use there.
    pub dtls: Option<ServerConfig>,
    /// Our identifier.
    pub cuid: String,
    /// Certificates that count no more.
    pub revoked: Arc<Revocations>,
    /// The last second of our certificate, if we have one.
    pub until: Option<u64>,
}

/// Reads all files.
///
/// # Errors
/// In words, with the file.
pub(crate) fn read(arguments: &Settings, time: Arc<Clock>) -> Result<ServerCredentials, String> {
    let key = content(&arguments.key)?;
    let keys = arguments.psk_file.as_deref().map(pre_shared).transpose()?.unwrap_or_default();
    let secret = ticket_secret(&arguments.state.join("tickets.key"))?;
    let (mut revoked, mut until) = (Arc::default(), None);
    let (tls, dtls, cuid) = match (&arguments.peer_keys, &arguments.ca, &arguments.certificate) {
        (Some(peers), _, _) => {
            let own = OwnKey::read(&key).map_err(|fault| told(&arguments.key, fault))?;
            let peers = PeerKeys::read(&content(peers)?).map_err(|fault| told(peers, fault))?;
            let cuid = own.public().and_then(cuid);
            // The library knows no raw public keys.
            let dtls = (!keys.is_empty()).then(|| ServerConfig::new(None, keys, &secret, random::system()));
            (raw_public_key::server_config(own, peers, time), dtls, cuid)
        }
        (None, Some(ca), Some(certificate)) => {
            let files = || format!("{} or {}", certificate.display(), arguments.key.display());
            let identity = Identity::read(&content(certificate)?, &key);
            let identity = identity.map_err(|fault| format!("{}: {fault}", files()))?;
            let mut anchors = Anchors::read(&content(ca)?).map_err(|fault| told(ca, fault))?;
            if let Some(list) = &arguments.crl {
                anchors = anchors.without_revoked(&content(list)?).map_err(|fault| told(list, fault))?;
            }
            revoked = Arc::clone(anchors.revoked());
            let cuid = identity.leaf().and_then(cuid);
            until = identity.valid_until(clock::now().unix).ok();
            let dtls = ServerConfig::new(Some((&identity, &anchors)), keys, &secret, random::system());
            (server_config(identity, &anchors, time), Some(dtls), cuid)
        }
        _ => return Err("certificates, or the public keys of the routers?".to_owned()),
    };
    let tls = tls.map_err(|fault| told(&arguments.key, fault))?;
    let dtls = dtls.transpose().map_err(|fault| told(&arguments.key, fault))?;
    Ok(ServerCredentials { tls, dtls, cuid: cuid.ok_or("our own credentials cannot be read")?, revoked, until })
}

/// Lines `identity:key`.
fn pre_shared(file: &Path) -> Result<Vec<Psk>, String> {
    let mut keys = Vec::new();
    for (number, line) in content(file)?.split(|&byte| byte == b'\n').enumerate() {
        let line = line.trim_ascii();
        if line.is_empty() || line.starts_with(b"#") {
            continue;
        }
        let told = |why: String| format!("{}:{}: {why}", file.display(), number + 1);
        let line = std::str::from_utf8(line).map_err(|error| told(error.to_string()))?;
        let (identity, key) = line.rsplit_once(':').ok_or_else(|| told("IDENTITY:KEY expected".to_owned()))?;
        keys.push(Psk::read(identity, key.as_bytes()).map_err(|fault| told(fault.to_string()))?);
    }
    Ok(keys)
}

/// What tickets over UDP are sealed with, kept so that routers can resume after a restart.
fn ticket_secret(file: &Path) -> Result<[u8; 32], String> {
    if let Some(secret) = fs::read(file).ok().and_then(|secret| secret.try_into().ok()) {
        return Ok(secret);
    }
    let mut secret = [0; 32];
    random::system().fill(&mut secret).map_err(|_| "there is no randomness".to_owned())?;
    let mut options = fs::OpenOptions::new();
    let created = options.write(true).create(true).truncate(true).mode(0o600).open(file);
    created.and_then(|mut file| file.write_all(&secret)).map_err(|error| told(file, error))?;
    Ok(secret)
}

fn content(file: &Path) -> Result<Vec<u8>, String> {
    fs::read(file).map_err(|error| told(file, error))
}

fn told(file: &Path, why: impl fmt::Display) -> String {
    format!("{}: {why}", file.display())
}
