//! Certificates of all kinds, made anew for each test.

use dots_callhome::transport::credentials::{Anchors, Identity};
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
    PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, SanType, date_time_ymd,
};

/// The name the provider has to prove.
pub const PROVIDER: &str = "callhome.isp.example";
/// The name the router proves.
pub const ROUTER: &str = "home-1234.isp.example";
/// 2026-06-15, when everything happens.
pub const TODAY: u64 = 1_781_481_600;
/// The key of the only RSA certificates here: making one takes long.
const RSA_KEY: &str = include_str!("../data/rsa-2048.key");

/// Kinds of keys.
#[derive(Clone, Copy)]
pub enum Kind {
    P256,
    P384,
    Rsa,
}

impl Kind {
    /// A key of it.
    pub fn key(self) -> KeyPair {
        match self {
            Self::P256 => KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap(),
            Self::P384 => KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap(),
            Self::Rsa => KeyPair::from_pem(RSA_KEY).unwrap(),
        }
    }
}

/// A certificate authority.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: Certificate,
    /// Certificates between it and what one trusts, the lowest first.
    between: String,
}

impl Authority {
    /// One that signs itself.
    pub fn new(name: &str) -> Self {
        let (params, key) = (Self::params(name), Kind::P256.key());
        let certificate = params.self_signed(&key).unwrap();
        Self { issuer: Issuer::new(params, key), certificate, between: String::new() }
    }

    fn params(name: &str) -> CertificateParams {
        let mut params = CertificateParams::new([]).unwrap();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
    }

    /// One below this one.
    pub fn intermediate(&self, name: &str) -> Self {
        self.below(Self::params(name))
    }

    /// One below this one with other dates.
    pub fn intermediate_from_until(&self, name: &str, from: i32, until: i32) -> Self {
        let mut params = Self::params(name);
        params.not_before = date_time_ymd(from, 1, 1);
        params.not_after = date_time_ymd(until, 1, 1);
        self.below(params)
    }

    /// A leaf below this one that takes itself for an authority.
    pub fn leaf_that_signs(&self, name: &str) -> Self {
        self.below(params_with(Vec::new(), Some(name)))
    }

    fn below(&self, params: CertificateParams) -> Self {
        let key = Kind::P256.key();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let between = certificate.pem() + &self.between;
        Self { issuer: Issuer::new(params, key), certificate, between }
    }

    /// As what one trusts.
    pub fn anchors(&self) -> Anchors {
        Anchors::read(self.pem().as_bytes()).unwrap()
    }

    /// Its own certificate.
    pub fn pem(&self) -> String {
        self.certificate.pem()
    }

    /// A certificate for `name` with the chain to it.
    pub fn issue(&self, name: &str) -> Identity {
        self.issue_with(Kind::P256, params(name))
    }

    /// The same of a certain kind.
    pub fn issue_with(&self, kind: Kind, params: CertificateParams) -> Identity {
        self.issue_chain(kind, params, &self.between)
    }

    /// The same, but the chain is incomplete.
    pub fn issue_alone(&self, name: &str) -> Identity {
        self.issue_chain(Kind::P256, params(name), "")
    }

    fn issue_chain(&self, kind: Kind, params: CertificateParams, between: &str) -> Identity {
        let (leaf, key) = self.issue_pem(kind, params);
        Identity::read((leaf + between).as_bytes(), key.as_bytes()).unwrap()
    }

    /// A certificate and its key.
    pub fn issue_pem(&self, kind: Kind, params: CertificateParams) -> (String, String) {
        let key = kind.key();
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }
}

/// A certificate's content for a DNS name.
pub fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new([name.to_owned()]).unwrap();
    params.distinguished_name = DistinguishedName::new();
    params
}

/// The same with other names.
pub fn params_with(names: Vec<SanType>, common_name: Option<&str>) -> CertificateParams {
    let mut params = CertificateParams::new([]).unwrap();
    params.distinguished_name = DistinguishedName::new();
    if let Some(name) = common_name {
        params.distinguished_name.push(DnType::CommonName, name);
    }
    params.subject_alt_names = names;
    params
}

/// The same with other dates.
pub fn params_from_until(name: &str, from: i32, until: i32) -> CertificateParams {
    let mut params = params(name);
    params.not_before = date_time_ymd(from, 1, 1);
    params.not_after = date_time_ymd(until, 1, 1);
    params
}
