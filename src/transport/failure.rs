//! Why a secure channel fails, in the same words over both transports.

use std::fmt;

use rustls::AlertDescription;

/// Why the channel can't be, or is no more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The configured name is no DNS name or address.
    BadName(String),
    /// The peer's certificate has expired, or had when our clock is right.
    Expired,
    /// The peer's certificate is not yet valid; a clock in the past looks the same.
    NotYetValid,
    /// The peer's certificate is for somebody else.
    WrongName(String),
    /// No authority we trust has signed the peer's certificate.
    UnknownAuthority,
    /// The peer shows no certificate.
    NoCertificate,
    /// The peer's certificate is bad in another way.
    BadCertificate(String),
    /// The peer does not accept our certificate.
    Refused(String),
    /// The peer does not accept our pre-shared key, or we not its.
    WrongKey(String),
    /// The peer has said goodbye.
    Closed,
    /// The peer does not answer; only where nothing else tells, over datagrams.
    Silent,
    /// The peer's raw public key is not known.
    UnknownKey,
    /// The peer does not say that it speaks CoAP (RFC 8323 section 8.2).
    NoCoap,
    /// Anything else the TLS library objects to.
    Protocol(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadName(name) => write!(f, "{name} is neither a DNS name nor an address"),
            Self::Expired => write!(f, "the peer's certificate has expired"),
            Self::NotYetValid => write!(f, "the peer's certificate is not valid yet, or our clock is in the past"),
            Self::WrongName(name) => write!(f, "the peer's certificate is not for {name}"),
            Self::UnknownAuthority => write!(f, "the peer's certificate is signed by an unknown authority"),
            Self::NoCertificate => write!(f, "the peer shows no certificate"),
            Self::BadCertificate(why) => write!(f, "the peer's certificate is unusable: {why}"),
            Self::Refused(why) => write!(f, "the peer refuses our certificate: {why}"),
            Self::WrongKey(why) => write!(f, "the pre-shared keys differ: {why}"),
            Self::Closed => write!(f, "the peer has closed the session"),
            Self::Silent => write!(f, "the peer does not answer"),
            Self::UnknownKey => write!(f, "the peer's public key is not the one we know"),
            Self::NoCoap => write!(f, "the peer does not say that it speaks CoAP (no ALPN)"),
            Self::Protocol(why) => write!(f, "TLS: {why}"),
        }
    }
}

impl std::error::Error for Failure {}

/// What a fatal alert of the peer says.
pub(super) fn alerted(alert: AlertDescription) -> Failure {
    match alert {
        AlertDescription::BadCertificate
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::CertificateRevoked
        | AlertDescription::CertificateExpired
        | AlertDescription::CertificateUnknown
        | AlertDescription::UnknownCA
        | AlertDescription::AccessDenied
        | AlertDescription::CertificateRequired => Failure::Refused(format!("{alert:?}")),
        other => Failure::Protocol(format!("the peer says {other:?}")),
    }
}
