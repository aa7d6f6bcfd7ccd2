//! The `peer` sections: whom to call, and how both sides prove who they are.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use ipnet::IpNet;
use rustls::pki_types::DnsName;

use super::fault::{ConfigFault, DisabledReason, ValueKind};
use super::section_reader::{SectionReader, flag, number, one_of};
use crate::model::CALL_HOME_PORT;
use crate::model::address::is_callable;

/// The upstream unless another is named.
const INTERFACE: &str = "wan";
/// Seconds between heartbeats (RFC 9132 section 4.5.2).
const HEARTBEAT: u16 = 30;
/// The longest identity every implementation of pre-shared keys takes (RFC 4279 section 5.3).
const MAX_IDENTITY: usize = 128;
/// What only some kinds of authentication read.
const AUTH_OPTIONS: [&str; 6] = ["ca", "certificate", "key", "peer_key", "psk_identity", "psk_file"];

/// A provider to be called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The section's name, by which the administrator and the ledger know it.
    pub section: String,
    /// The name its certificate must bear, resolved unless `addresses` say where it is; empty only where no
    /// certificate is used.
    pub name: String,
    /// Where it is; empty: what `name` resolves to, else the default router.
    pub addresses: Vec<IpAddr>,
    /// Where it listens.
    pub port: u16,
    /// Which secure channels are tried. [`TransportChoice::Auto`] only where `auth` works on both.
    pub transport: TransportChoice,
    /// How both sides prove who they are.
    pub auth: Auth,
    /// The upstream whose addresses and prefixes are this peer's domain: some of its interfaces.
    pub interfaces: Vec<String>,
    /// Replaces what the interface tells, unless empty. Host bits cleared.
    pub domain: Vec<IpNet>,
    /// Seconds between heartbeats: 15 to 240, or 0 for none.
    pub heartbeat_interval: u16,
}

/// Which secure channels are tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransportChoice {
    /// Both, and the better one is kept (RFC 9132 section 4.3).
    Auto,
    /// DTLS over UDP only.
    Dtls,
    /// TLS over TCP only.
    Tls,
}

/// How both sides prove who they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Auth {
    /// By certificates.
    Certificate {
        /// The authorities the provider's certificate must come from.
        ca: PathBuf,
        /// Our certificate with its chain.
        certificate: PathBuf,
        /// The private key of our certificate.
        key: PathBuf,
    },
    /// By keys known beforehand (RFC 7250), over TLS only.
    RawPublicKey {
        /// Our private key.
        key: PathBuf,
        /// The provider's public key.
        peer_key: PathBuf,
    },
    /// By a shared secret, over DTLS only.
    Psk {
        /// The name the secret is known by.
        identity: String,
        /// The file that holds the secret.
        file: PathBuf,
    },
}

impl Auth {
    /// The files it takes, each with the option that names it.
    pub fn files(&self) -> Vec<(&'static str, &Path)> {
        match self {
            Self::Certificate { ca, certificate, key } => {
                vec![("ca", ca.as_path()), ("certificate", certificate), ("key", key)]
            }
            Self::RawPublicKey { key, peer_key } => vec![("key", key.as_path()), ("peer_key", peer_key)],
            Self::Psk { file, .. } => vec![("psk_file", file.as_path())],
        }
    }
}

#[derive(Clone, Copy)]
enum AuthKind {
    Certificate,
    RawPublicKey,
    Psk,
}

/// The peer, or why it can't run.
pub(super) fn read(options: &mut SectionReader<'_>) -> Result<Peer, DisabledReason> {
    let enabled = options.get("enabled", flag).unwrap_or(true);
    let peer = peer(options);
    if !enabled {
        options.forgive_missing();
        return Err(DisabledReason::SwitchedOff);
    }
    match (options.first_fault(), peer) {
        (None, Some(peer)) => Ok(peer),
        (Some(first), _) => Err(DisabledReason::Fault(first.option.clone(), first.reason.clone())),
        (None, None) => Err(DisabledReason::Fault(None, ConfigFault::Unnamed)),
    }
}

fn peer(options: &mut SectionReader<'_>) -> Option<Peer> {
    if options.name().is_none() {
        // Its position may be another provider's tomorrow, and what stands in the ledger is kept by this name.
        options.fault(None, ConfigFault::Unnamed);
    }
    let addresses = options.list("address", address);
    let port = options.get("port", |text| u16_in(text, 1, u16::MAX)).unwrap_or(CALL_HOME_PORT);
    let mut interfaces = options.list("interface", interface);
    if interfaces.is_empty() {
        interfaces.push(INTERFACE.to_owned());
    }
    let domain = options.list("domain", prefix);
    // For whoever shows it: the daemon does nothing with these.
    options.know(&["display_name", "help_url", "help_phone"]);
    let heartbeat_interval = options.get("heartbeat_interval", heartbeat).unwrap_or(HEARTBEAT);
    let (name, transport, auth) = secured(options)?;
    let section = options.name()?.to_owned();
    Some(Peer { section, name, addresses, port, transport, auth, interfaces, domain, heartbeat_interval })
}

fn secured(options: &mut SectionReader<'_>) -> Option<(String, TransportChoice, Auth)> {
    let kinds =
        [("certificate", AuthKind::Certificate), ("raw-public-key", AuthKind::RawPublicKey), ("psk", AuthKind::Psk)];
    let transports = [("auto", TransportChoice::Auto), ("dtls", TransportChoice::Dtls), ("tls", TransportChoice::Tls)];
    options.know(&AUTH_OPTIONS);
    options.know(&["name"]);
    let transport = options.get("transport", |text| one_of(text, &transports)).unwrap_or(TransportChoice::Auto);
    let kind = match options.get("auth", |text| one_of(text, &kinds)) {
        Some(kind) => kind,
        None if options.is_set("auth") => return None,
        None => AuthKind::Certificate,
    };
    let name = match kind {
        AuthKind::Certificate => options.required("name", "the certificate is checked against it", domain_name),
        AuthKind::RawPublicKey | AuthKind::Psk => options.get("name", domain_name),
    };
    let transport = narrowed(options, kind, transport);
    let auth = auth(options, kind)?;
    Some((name.unwrap_or_default(), transport, auth))
}

fn auth(options: &mut SectionReader<'_>, kind: AuthKind) -> Option<Auth> {
    match kind {
        AuthKind::Certificate => {
            let why = "authentication by certificate needs it";
            let ca = options.required("ca", why, path);
            let certificate = options.required("certificate", why, path);
            let key = options.required("key", why, path);
            Some(Auth::Certificate { ca: ca?, certificate: certificate?, key: key? })
        }
        AuthKind::RawPublicKey => {
            let why = "authentication by raw public key needs it";
            let key = options.required("key", why, path);
            let peer_key = options.required("peer_key", why, path);
            Some(Auth::RawPublicKey { key: key?, peer_key: peer_key? })
        }
        AuthKind::Psk => {
            let why = "authentication by shared secret needs it";
            let identity = options.required("psk_identity", why, identity);
            let file = options.required("psk_file", why, path);
            Some(Auth::Psk { identity: identity?, file: file? })
        }
    }
}

/// The libraries do raw public keys in TLS and shared secrets in DTLS only.
fn narrowed(options: &mut SectionReader<'_>, kind: AuthKind, transport: TransportChoice) -> TransportChoice {
    match (kind, transport) {
        (AuthKind::RawPublicKey, TransportChoice::Dtls) => {
            options.fault(Some("transport"), ConfigFault::KeysNeedTls);
        }
        (AuthKind::Psk, TransportChoice::Tls) => {
            options.fault(Some("transport"), ConfigFault::SecretNeedsDtls);
        }
        (AuthKind::RawPublicKey, _) => return TransportChoice::Tls,
        (AuthKind::Psk, _) => return TransportChoice::Dtls,
        (AuthKind::Certificate, _) => {}
    }
    transport
}

fn domain_name(text: &str) -> Result<String, ConfigFault> {
    let name = text.strip_suffix('.').unwrap_or(text);
    let is_name = DnsName::try_from(name).is_ok() && name.parse::<IpAddr>().is_err();
    if is_name { Ok(name.to_owned()) } else { Err(ValueKind::DomainName.but(text)) }
}

/// A link-local address needs no setting: the default router's is found anyway.
fn address(text: &str) -> Result<IpAddr, ConfigFault> {
    let address: IpAddr = text.parse().map_err(|_| ValueKind::Address.but(text))?;
    if is_callable(&address) { Ok(address) } else { Err(ValueKind::CallableAddress.but(text)) }
}

fn prefix(text: &str) -> Result<IpNet, ConfigFault> {
    let prefix: IpNet =
        text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from)).map_err(|_| ValueKind::Prefix.but(text))?;
    if prefix.prefix_len() == 0 {
        return Err(ConfigFault::WholeInternet(text.to_owned()));
    }
    Ok(prefix.trunc())
}

/// Letters as netifd takes them.
fn interface(text: &str) -> Result<String, ConfigFault> {
    let fits = text.len() <= 64 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b));
    if fits { Ok(text.to_owned()) } else { Err(ValueKind::Interface.but(text)) }
}

/// Seconds (RFC 9132 section 4.5.2), or 0 for none.
fn heartbeat(text: &str) -> Result<u16, ConfigFault> {
    let (low, high) = (15, 240);
    if text == "0" {
        Ok(0)
    } else {
        u16_in(text, low, high).map_err(|_| ValueKind::NumberOrZero(low.into(), high.into()).but(text))
    }
}

fn identity(text: &str) -> Result<String, ConfigFault> {
    let fits = text.len() <= MAX_IDENTITY && !text.chars().any(char::is_control);
    if fits { Ok(text.to_owned()) } else { Err(ValueKind::Identity(MAX_IDENTITY).but(text)) }
}

fn path(text: &str) -> Result<PathBuf, ConfigFault> {
    let path = PathBuf::from(text);
    if path.is_absolute() { Ok(path) } else { Err(ValueKind::Path.but(text)) }
}

fn u16_in(text: &str, low: u16, high: u16) -> Result<u16, ConfigFault> {
    let number = number(text, low.into()..=high.into())?;
    u16::try_from(number).map_err(|_| ValueKind::Number(low.into(), high.into()).but(text))
}
