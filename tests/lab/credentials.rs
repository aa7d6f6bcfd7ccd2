//! Keys and certificates of one scenario, made anew each time.

use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};

/// The name the provider proves.
pub const PROVIDER_NAME: &str = "callhome.isp.example";
/// The name the router proves.
pub const ROUTER_NAME: &str = "home-1234.isp.example";

/// A certificate authority whose files lie in one directory.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    directory: PathBuf,
}

impl Authority {
    /// A new authority; its certificate is `ca.pem`.
    pub fn new(directory: &Path) -> Self {
        let mut params = CertificateParams::new([]).expect("no names");
        // OpenSSL takes a certificate whose issuer and subject have the same name for self-signed.
        params.distinguished_name.push(DnType::CommonName, "Authority of the lab");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("key")).expect("certificate");
        secret(&directory.join("ca.pem"), &issuer.pem());
        Self { issuer, directory: directory.into() }
    }

    /// Writes `NAME.pem` and `NAME.key` for `host`.
    pub fn issue(&self, name: &str, host: &str) {
        self.write(name, named(host));
    }

    /// The same, but it expired long ago.
    pub fn issue_expired(&self, name: &str, host: &str) {
        let mut params = named(host);
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2021, 1, 1);
        self.write(name, params);
    }

    fn write(&self, name: &str, params: CertificateParams) {
        let key = KeyPair::generate().expect("key");
        let certificate = params.signed_by(&key, &self.issuer).expect("certificate");
        secret(&self.directory.join(format!("{name}.pem")), &certificate.pem());
        secret(&self.directory.join(format!("{name}.key")), &key.serialize_pem());
    }
}

fn named(host: &str) -> CertificateParams {
    let mut params = CertificateParams::new([host.to_owned()]).expect("a name");
    params.distinguished_name.push(DnType::CommonName, host);
    params
}

/// Writes a file only its owner may read.
pub fn secret(path: &Path, text: &str) {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(path).expect("file");
    file.write_all(text.as_bytes()).expect("written");
}
