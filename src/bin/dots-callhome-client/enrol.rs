//! The provider's own authority: credentials of routers, and the one file that a router needs.

use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use dots_callhome::driver::check_profile;
use dots_callhome::io::clock;
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, DnsName};

use crate::arguments::EnrolArguments;

/// The authority's name; what it signs says so.
const AUTHORITY: &str = "Call Home authority";

/// Makes credentials and says which files there are now.
///
/// # Errors
/// In words: a file can't be read or written, or is there already; a name is none.
pub(crate) fn enrol(arguments: &EnrolArguments) -> Result<Vec<PathBuf>, String> {
    // The other side takes the first DNS name in a certificate for the name of whom it proves.
    let is_name = DnsName::try_from(arguments.name.as_str()).is_ok() && arguments.name.parse::<IpAddr>().is_err();
    if !is_name {
        return Err(format!("'{}' is no domain name", arguments.name));
    }
    let Authority { certificate: ca, issuer } = Authority::open(&arguments.authority)?;
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(words)?;
    let mut params = CertificateParams::new(vec![arguments.name.clone()]).map_err(words)?;
    params.distinguished_name = named(&arguments.name);
    (params.not_before, params.not_after) = validity(arguments.days);
    params.use_authority_key_identifier_extension = true;
    let certificate = params.signed_by(&key, &issuer).map_err(words)?.pem();
    if arguments.own {
        let file = |end: &str| arguments.authority.join(format!("{}.{end}", arguments.name));
        write(&file("key"), SECRET, &key.serialize_pem())?;
        write(&file("pem"), PUBLIC, &certificate)?;
        return Ok(vec![file("pem"), file("key")]);
    }
    let profile = profile(arguments, &[("ca", &ca), ("certificate", &certificate), ("key", &key.serialize_pem())])?;
    let output = arguments.output.clone().unwrap_or_else(|| format!("{}.profile", arguments.name).into());
    write(&output, SECRET, &profile)?;
    Ok(vec![output])
}

/// Who signs.
struct Authority {
    certificate: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// Reads it, or makes it where there is none.
    fn open(directory: &Path) -> Result<Self, String> {
        let (file, key_file) = (directory.join("ca.pem"), directory.join("ca.key"));
        let mut params = CertificateParams::default();
        params.distinguished_name = named(AUTHORITY);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        (params.not_before, params.not_after) = validity(3650);
        let key = match fs::read_to_string(&key_file) {
            Ok(pem) => KeyPair::from_pem(&pem).map_err(|error| told(&key_file, error))?,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                fs::create_dir_all(directory).map_err(|error| told(directory, error))?;
                let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(words)?;
                write(&file, PUBLIC, &params.self_signed(&key).map_err(words)?.pem())?;
                write(&key_file, SECRET, &key.serialize_pem())?;
                key
            }
            Err(error) => return Err(told(&key_file, error)),
        };
        let certificate = fs::read_to_string(&file).map_err(|error| told(&file, error))?;
        if !is_of(&certificate, &params.self_signed(&key).map_err(words)?) {
            return Err(told(&file, format!("it is not of {}, or not of the name '{AUTHORITY}'", key_file.display())));
        }
        Ok(Self { certificate, issuer: Issuer::new(params, key) })
    }
}

/// Whether an authority's certificate has the name and the key that what is signed here points to.
fn is_of(certificate: &str, own: &Certificate) -> bool {
    let Ok(certificate) = CertificateDer::from_pem_slice(certificate.as_bytes()) else { return false };
    let about =
        |certificate| webpki::anchor_from_trusted_cert(certificate).map(|it| (it.subject, it.subject_public_key_info));
    matches!((about(&certificate), about(own.der())), (Ok(there), Ok(own)) if there == own)
}

fn named(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

/// From yesterday, as clocks differ, for so many days.
fn validity<T: From<std::time::SystemTime>>(days: u32) -> (T, T) {
    let now = std::time::UNIX_EPOCH + std::time::Duration::from_secs(clock::now().unix);
    let day = std::time::Duration::from_secs(86_400);
    ((now - day).into(), (now + day * days).into())
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

/// Mode of what only its owner may read, and of what the serving program reads though another user signs.
const SECRET: u32 = 0o600;
const PUBLIC: u32 = 0o644;

/// Writes a file, and no other in its place.
fn write(file: &Path, mode: u32, content: &str) -> Result<(), String> {
    let mut options = OpenOptions::new();
    let mut opened = options.write(true).create_new(true).mode(mode).open(file).map_err(|error| told(file, error))?;
    opened.write_all(content.as_bytes()).and_then(|()| opened.sync_all()).map_err(|error| told(file, error))
}

fn told(file: &Path, why: impl std::fmt::Display) -> String {
    format!("{}: {why}", file.display())
}

fn words(error: rcgen::Error) -> String {
    error.to_string()
}
