//! Credentials of routers: made, signed, renewed and revoked, and the one file that a router needs.

use std::fmt::Write as _;
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use dots_callhome::driver::check_profile;
use dots_callhome::transport::certificate_request::CertificateRequest;
use dots_callhome::transport::credentials::KeyKind;
use dots_callhome::transport::identity;
use dots_callhome::uci::{self, SettingValue};
use rcgen::{
    KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_RSA_SHA256, PublicKeyData, SignatureAlgorithm,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, DnsName};
use serde_json::Value;

use crate::arguments::{EnrolArguments, RenewArguments};
use crate::asking::{Failed, ask};
use crate::authority::Authority;
use crate::control::Ask;
use crate::exit::Exit;
use crate::written::{PUBLIC, SECRET, create, replace, told};

/// Makes credentials and says which files there are now.
///
/// # Errors
/// In words: a file can't be read or written, or is there already; a name is none.
pub(crate) fn enrol(arguments: &EnrolArguments) -> Result<Vec<PathBuf>, String> {
    let name = &arguments.name;
    // The other side takes the first DNS name in a certificate for the name of whom it proves.
    if DnsName::try_from(name.as_str()).is_err() || name.parse::<IpAddr>().is_ok() {
        return Err(format!("'{name}' is no domain name"));
    }
    let request = arguments.csr.as_deref().map(read_request).transpose()?;
    let mut authority = Authority::open(&arguments.authority)?;
    let valid = arguments.validity.duration();
    let output = |end: &str| arguments.output.clone().unwrap_or_else(|| format!("{name}.{end}").into());
    if let Some(key) = request {
        create(&output("pem"), PUBLIC, &authority.sign(name, &key, valid)?)?;
        return Ok(vec![output("pem")]);
    }
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(|error| error.to_string())?;
    let certificate = authority.sign(name, &key, valid)?;
    if arguments.own {
        let [file, key_file] = own_files(&arguments.authority, name);
        create(&key_file, SECRET, &key.serialize_pem())?;
        create(&file, PUBLIC, &certificate)?;
        return Ok(vec![file, key_file]);
    }
    let ca = &authority.certificate;
    let profile = profile(arguments, &[("ca", ca), ("certificate", &certificate), ("key", &key.serialize_pem())])?;
    create(&output("profile"), SECRET, &profile)?;
    Ok(vec![output("profile")])
}

/// Makes a certificate for a key that has one already, and says which file has changed. The former one is good until its end.
///
/// # Errors
/// In words: nothing was ever signed for that name; a file can't be read or written, or is another's.
pub(crate) fn renew(arguments: &RenewArguments) -> Result<Vec<PathBuf>, String> {
    let name = &arguments.name;
    let mut authority = Authority::open(&arguments.authority)?;
    if !authority.knows(name) {
        return Err(format!("{}: nothing was signed for {name}: enrol it", arguments.authority.display()));
    }
    let valid = arguments.validity.duration();
    let output = |end: &str| arguments.output.clone().unwrap_or_else(|| format!("{name}.{end}").into());
    let (file, mode, content) = if let Some(request) = &arguments.csr {
        (output("pem"), PUBLIC, authority.sign(name, &read_request(request)?, valid)?)
    } else if arguments.own {
        let [file, key_file] = own_files(&arguments.authority, name);
        let key = KeyPair::from_pem(&text(&key_file)?).map_err(|error| told(&key_file, error))?;
        (file, PUBLIC, authority.sign(name, &key, valid)?)
    } else {
        let file = output("profile");
        let renewed = renewed(&text(&file)?, name, |key| authority.sign(name, key, valid));
        let content = renewed.map_err(|why| told(&file, why))?;
        (file, SECRET, content)
    };
    replace(&file, mode, &content)?;
    Ok(vec![file])
}

/// Revokes all that the authority has signed for a name, and has the serving program read that.
///
/// # Errors
/// Nothing is revoked; or the serving program does not know it, and what to do about it.
pub(crate) fn revoke(
    name: &str,
    authority: &Path,
    control: &Path,
    show: impl FnMut(&Value) -> Result<(), String>,
) -> Result<(), Failed> {
    let failed = |why| Failed::new(Exit::Unknown, why);
    let mut authority = Authority::open(authority).map_err(|why| Failed::new(Exit::Other, why))?;
    let certificates = authority.revoke(name).map_err(failed)?.iter().map(|id| id.hex()).collect();
    let list = authority.list();
    // Others may go on there while the serving program reads.
    drop(authority);
    ask(control, Ask::Revoke { router: name.to_owned(), certificates }, show)
        .map_err(|Failed { exit, why }| Failed { exit, why: format!("{} names it; {why}", list.display()) })
}

fn own_files(authority: &Path, name: &str) -> [PathBuf; 2] {
    ["pem", "key"].map(|end| authority.join(format!("{name}.{end}")))
}

fn text(file: &Path) -> Result<String, String> {
    fs::read_to_string(file).map_err(|error| told(file, error))
}

/// The key that somebody asks a certificate for.
struct RequestKey(CertificateRequest);

impl PublicKeyData for RequestKey {
    fn der_bytes(&self) -> &[u8] {
        self.0.key()
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        match self.0.kind() {
            KeyKind::P256 => &PKCS_ECDSA_P256_SHA256,
            KeyKind::P384 => &PKCS_ECDSA_P384_SHA384,
            _ => &PKCS_RSA_SHA256,
        }
    }
}

fn read_request(file: &Path) -> Result<RequestKey, String> {
    let content = fs::read(file).map_err(|error| told(file, error))?;
    CertificateRequest::read(&content).map(RequestKey).map_err(|why| told(file, why))
}

/// A profile with another certificate for its key, else as it was.
fn renewed(text: &str, name: &str, sign: impl FnOnce(&KeyPair) -> Result<String, String>) -> Result<String, String> {
    let sections = uci::parse(text).map_err(|error| format!("line {}: {}", error.line(), error.reason()))?;
    let [profile] = &sections[..] else { return Err("it is no profile".to_owned()) };
    let value = |option: &str| match profile.settings().iter().find(|one| one.name() == option).map(|one| one.value()) {
        Some(SettingValue::Scalar(text)) => Ok(text.as_str()),
        _ => Err(format!("it has no {option}")),
    };
    let former = value("certificate")?;
    let shown = CertificateDer::from_pem_slice(former.as_bytes()).ok();
    if shown.as_ref().and_then(identity::name).as_deref() != Some(name) {
        return Err(format!("its certificate is not for {name}"));
    }
    let key = KeyPair::from_pem(value("key")?).map_err(|error| format!("its key: {error}"))?;
    let certificate = sign(&key)?;
    let text = text.replacen(former, certificate.trim_end(), 1);
    check_profile(&text).map_err(|why| why.to_string())?;
    Ok(text)
}

/// The profile as the router reads it: UCI text with the credentials in it.
fn profile(arguments: &EnrolArguments, credentials: &[(&str, &String)]) -> Result<String, String> {
    let mut text = format!("config profile '{}'\n", fit("section", &arguments.section)?);
    let port = arguments.port.to_string();
    let options = [
        ("version", Some("1")),
        ("name", arguments.provider.as_deref()),
        ("port", Some(port.as_str())),
        ("transport", Some(arguments.transport.as_str())),
        ("auth", Some("certificate")),
        ("display_name", arguments.display_name.as_deref()),
        ("help_url", arguments.help_url.as_deref()),
        ("help_phone", arguments.help_phone.as_deref()),
    ];
    for (option, value) in options {
        if let Some(value) = value {
            let _ = writeln!(text, "\toption {option} '{}'", fit(option, value)?);
        }
    }
    for address in &arguments.address {
        let _ = writeln!(text, "\tlist address '{address}'");
    }
    for (option, content) in credentials {
        let _ = writeln!(text, "\toption {option} '{}'", content.trim_end());
    }
    check_profile(&text).map_err(|why| why.to_string())?;
    Ok(text)
}

/// What can stand between quotes.
fn fit<'a>(option: &str, value: &'a str) -> Result<&'a str, String> {
    let is_fit =
        !value.is_empty() && value.len() <= 256 && value.chars().all(|c| !c.is_control() && c != '\'' && c != '\\');
    if is_fit { Ok(value) } else { Err(format!("{option}: {value:?} can't stand in a profile")) }
}
