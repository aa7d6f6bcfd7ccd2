//! The provider's own authority: it signs, remembers what it has signed, and names what counts no more.
//!
//! Its directory has `ca.pem`, `ca.key`, `issued` (a line for each certificate: number, last second, name, and when it was revoked)
//! and `crl.pem`. Only one command at a time works there.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use dots_callhome::io::{clock, random};
use dots_callhome::transport::revocation::CertificateId;
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertificateRevocationListParams, DistinguishedName, DnType, IsCa,
    Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PublicKeyData, RevokedCertParams,
    SerialNumber,
};
use rustix::fs::{FlockOperation, flock};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::issued::{Issued, One};
use crate::written::{PUBLIC, SECRET, create, replace, told};

/// The authority's name; what it signs says so.
const AUTHORITY: &str = "Call Home authority";
/// Days for which the authority itself is good.
const LASTING: Duration = Duration::from_secs(3650 * 86_400);
/// Within this time a list is replaced, says the list.
const NEXT_LIST: Duration = Duration::from_secs(365 * 86_400);
/// As clocks differ, a certificate is valid from so long before it is made.
const BEFORE: Duration = Duration::from_secs(86_400);

/// Who signs.
pub(crate) struct Authority {
    directory: PathBuf,
    /// Its own certificate, PEM.
    pub certificate: String,
    issuer: Issuer<'static, KeyPair>,
    /// Its name as it stands in what it signs.
    name: Vec<u8>,
    issued: Issued,
    _lock: File,
}

impl Authority {
    /// Reads it, or makes it where there is none.
    ///
    /// # Errors
    /// In words, with the file.
    pub(crate) fn open(directory: &Path) -> Result<Self, String> {
        fs::create_dir_all(directory).map_err(|error| told(directory, error))?;
        let (file, key_file) = (directory.join("ca.pem"), directory.join("ca.key"));
        let lock = File::open(directory).map_err(|error| told(directory, error))?;
        flock(&lock, FlockOperation::LockExclusive).map_err(|error| told(directory, error))?;
        let params = own_params();
        let key = match fs::read_to_string(&key_file) {
            Ok(pem) => KeyPair::from_pem(&pem).map_err(|error| told(&key_file, error))?,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(words)?;
                create(&file, PUBLIC, &params.self_signed(&key).map_err(words)?.pem())?;
                create(&key_file, SECRET, &key.serialize_pem())?;
                key
            }
            Err(error) => return Err(told(&key_file, error)),
        };
        let certificate = fs::read_to_string(&file).map_err(|error| told(&file, error))?;
        let name = subject(&certificate, &params.self_signed(&key).map_err(words)?).ok_or_else(|| {
            told(&file, format!("it is not of {}, or not of the name '{AUTHORITY}'", key_file.display()))
        })?;
        let issued = Issued::read(&directory.join("issued"))?;
        let issuer = Issuer::new(params, key);
        let authority = Self { directory: directory.to_owned(), certificate, issuer, name, issued, _lock: lock };
        if !authority.list().exists() {
            authority.write_list()?;
        }
        Ok(authority)
    }

    /// Where its list of what counts no more is.
    pub(crate) fn list(&self) -> PathBuf {
        self.directory.join("crl.pem")
    }

    /// A certificate, PEM, for this name and key, valid for so long. That it was made is kept before it is handed out.
    ///
    /// # Errors
    /// In words.
    pub(crate) fn sign(&mut self, name: &str, key: &impl PublicKeyData, valid: Duration) -> Result<String, String> {
        let mut serial = [0; 16];
        random::system().fill(&mut serial).map_err(|_| "there is no randomness".to_owned())?;
        // Positive, and never shorter (RFC 5280 section 4.1.2.2).
        serial[0] = serial[0] & 0x3f | 0x40;
        let mut params = CertificateParams::new(vec![name.to_owned()]).map_err(words)?;
        params.distinguished_name = named(name);
        params.serial_number = Some(SerialNumber::from(serial.to_vec()));
        params.use_authority_key_identifier_extension = true;
        (params.not_before, params.not_after) = ((now() - BEFORE).into(), (now() + valid).into());
        let certificate = params.signed_by(key, &self.issuer).map_err(words)?;
        let until = clock::now().unix.saturating_add(valid.as_secs());
        self.issued.add(One { serial: serial.to_vec(), until, name: name.to_owned(), revoked: None })?;
        Ok(certificate.pem())
    }

    /// Whether it has signed anything for this name.
    pub(crate) fn knows(&self, name: &str) -> bool {
        self.issued.of(name).next().is_some()
    }

    /// Revokes all certificates of this name and writes the list anew. Returns which they are.
    ///
    /// # Errors
    /// In words: it has signed none that is still valid, or something can't be written.
    pub(crate) fn revoke(&mut self, name: &str) -> Result<Vec<CertificateId>, String> {
        let now = clock::now().unix;
        let revoked = self.issued.revoke(name, now)?;
        if revoked.is_empty() {
            return Err(format!("{}: nothing for {name} is still valid", self.directory.display()));
        }
        self.write_list()?;
        Ok(revoked.iter().map(|serial| CertificateId::new(&self.name, serial)).collect())
    }

    fn write_list(&self) -> Result<(), String> {
        let entry = |(serial, at): (&[u8], u64)| RevokedCertParams {
            serial_number: SerialNumber::from(serial.to_vec()),
            revocation_time: (UNIX_EPOCH + Duration::from_secs(at)).into(),
            reason_code: None,
            invalidity_date: None,
        };
        let number = now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros());
        let list = CertificateRevocationListParams {
            this_update: now().into(),
            next_update: (now() + NEXT_LIST).into(),
            crl_number: SerialNumber::from(u64::try_from(number).unwrap_or(u64::MAX)),
            issuing_distribution_point: None,
            revoked_certs: self.issued.revoked(clock::now().unix).map(entry).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let list = list.signed_by(&self.issuer).and_then(|list| list.pem()).map_err(words)?;
        replace(&self.list(), PUBLIC, &list)
    }
}

fn own_params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = named(AUTHORITY);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    (params.not_before, params.not_after) = ((now() - BEFORE).into(), (now() + LASTING).into());
    params
}

/// The subject of an authority's certificate, if it has the name and the key that what is signed here points to.
fn subject(certificate: &str, own: &Certificate) -> Option<Vec<u8>> {
    let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).ok()?;
    let there = webpki::anchor_from_trusted_cert(&certificate).ok()?;
    let own = webpki::anchor_from_trusted_cert(own.der()).ok()?;
    let is_same = (&there.subject, &there.subject_public_key_info) == (&own.subject, &own.subject_public_key_info);
    is_same.then(|| there.subject.to_vec())
}

fn named(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(clock::now().unix)
}

fn words(error: rcgen::Error) -> String {
    error.to_string()
}
