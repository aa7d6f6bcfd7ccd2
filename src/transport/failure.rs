//! Why a secure channel fails, in the same words over both transports.

use std::fmt;

use rustls::{AlertDescription, CertificateError, OtherError, PeerIncompatible};

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

/// Of a certificate whose extensions say so.
const OTHER_USE: &str = "it is for another use";
/// Of a certificate that its authority has revoked.
#[cfg(feature = "client")]
const REVOKED: &str = "it is revoked";

impl Failure {
    /// Whether the certificate would be good if it were not revoked.
    #[cfg(feature = "client")]
    pub(super) fn is_revoked(&self) -> bool {
        matches!(self, Self::BadCertificate(why) if why == REVOKED)
    }

    /// Whether the certificate is good, but not for this.
    pub(super) fn is_other_use(&self) -> bool {
        matches!(self, Self::BadCertificate(why) if why == OTHER_USE)
    }
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

/// What TLS objects to, where the peer has to prove `name`.
pub(super) fn failure(error: rustls::Error, name: &str) -> Failure {
    use rustls::Error::{AlertReceived, InvalidCertificate, NoCertificatesPresented, PeerIncompatible};
    match error {
        InvalidCertificate(why) => certificate(&why, name),
        NoCertificatesPresented => Failure::NoCertificate,
        AlertReceived(alert) => alerted(alert),
        PeerIncompatible(why) => Failure::Protocol(format!("{} in common", incompatible(&why))),
        rustls::Error::DecryptError => Failure::Protocol("what the peer says can't be decrypted".into()),
        rustls::Error::NoApplicationProtocol => Failure::NoCoap,
        rustls::Error::FailedToGetRandomBytes => Failure::Protocol("there is no randomness".into()),
        _ => Failure::Protocol("the peer does not keep to the protocol".into()),
    }
}

fn certificate(why: &CertificateError, name: &str) -> Failure {
    use CertificateError as Why;
    Failure::BadCertificate(String::from(match why {
        Why::Expired | Why::ExpiredContext { .. } => return Failure::Expired,
        Why::NotValidYet | Why::NotValidYetContext { .. } => return Failure::NotYetValid,
        Why::NotValidForName | Why::NotValidForNameContext { .. } => return Failure::WrongName(name.to_owned()),
        Why::UnknownIssuer => return Failure::UnknownAuthority,
        Why::ApplicationVerificationFailure => return Failure::UnknownKey,
        #[cfg(feature = "client")]
        Why::Revoked => REVOKED,
        Why::BadEncoding => "it cannot be read",
        Why::BadSignature => "the peer does not have its key",
        Why::InvalidPurpose | Why::InvalidPurposeContext { .. } => OTHER_USE,
        Why::UnhandledCriticalExtension => "it has a critical extension that nobody here knows",
        Why::UnsupportedSignatureAlgorithmContext { .. }
        | Why::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => "it is signed in a way that is not supported",
        Why::Other(OtherError(inner)) => match inner.downcast_ref() {
            Some(webpki::Error::CaUsedAsEndEntity) => {
                "it is an authority's own (CA:TRUE), not one for a provider or router"
            }
            Some(webpki::Error::UnsupportedCertVersion) => "it is of an old version, without names in extensions",
            Some(webpki::Error::NameConstraintViolation) => "its authority may not sign for its name",
            Some(webpki::Error::PathLenConstraintViolated) => "its chain is longer than its authority allows",
            Some(webpki::Error::EndEntityUsedAsCa) => return Failure::UnknownAuthority,
            Some(
                webpki::Error::MaximumSignatureChecksExceeded
                | webpki::Error::MaximumPathBuildCallsExceeded
                | webpki::Error::MaximumPathDepthExceeded,
            ) => "its chain is too long or tangled",
            _ => "it does not keep to the rules of certificates",
        },
        _ => "it does not keep to the rules of certificates",
    }))
}

fn incompatible(why: &PeerIncompatible) -> &'static str {
    use PeerIncompatible as Why;
    match why {
        Why::ServerDoesNotSupportTls12Or13
        | Why::ServerTlsVersionIsDisabledByOurConfig
        | Why::SupportedVersionsExtensionRequired
        | Why::Tls12NotOffered
        | Why::Tls12NotOfferedOrEnabled
        | Why::Tls13RequiredForQuic => "no protocol version",
        Why::NoCipherSuitesInCommon => "no cipher suite",
        Why::NoKxGroupsInCommon | Why::NamedGroupsExtensionRequired | Why::KeyShareExtensionRequired => {
            "no way to agree on keys"
        }
        Why::NoSignatureSchemesInCommon
        | Why::NoCertificateRequestSignatureSchemesInCommon
        | Why::SignatureAlgorithmsExtensionRequired => "no kind of signature",
        Why::IncorrectCertificateTypeExtension | Why::UnsolicitedCertificateTypeExtension => {
            "no way to prove who one is, certificate or raw public key"
        }
        _ => "nothing",
    }
}

/// What a fatal alert of the peer says.
pub(super) fn alerted(alert: AlertDescription) -> Failure {
    Failure::Refused(String::from(match alert {
        AlertDescription::BadCertificate => "it can't use it",
        AlertDescription::UnsupportedCertificate => "it is of a kind or for a use that it does not take",
        AlertDescription::CertificateRevoked => "it is revoked",
        AlertDescription::CertificateExpired => "it has expired",
        AlertDescription::CertificateUnknown => "it does not say why",
        AlertDescription::UnknownCA => "it does not know the authority",
        AlertDescription::AccessDenied => "it does not let us in",
        AlertDescription::CertificateRequired => "it wants one",
        other => return Failure::Protocol(format!("the peer says that {}", said(other))),
    }))
}

/// The words of an alert that is not about certificates.
pub(super) fn said(alert: AlertDescription) -> &'static str {
    match alert {
        AlertDescription::HandshakeFailure => "both have nothing in common",
        AlertDescription::InsufficientSecurity => "what we offer is not secure enough",
        AlertDescription::ProtocolVersion => "it speaks no version that we speak",
        AlertDescription::NoApplicationProtocol => "it does not speak CoAP there (ALPN)",
        AlertDescription::UnrecognisedName => "it does not know the name that we call",
        AlertDescription::UnknownPSKIdentity => "it does not know our identity",
        AlertDescription::BadRecordMac | AlertDescription::DecryptError => "it can't verify what we send",
        AlertDescription::InternalError => "it has a fault of its own",
        AlertDescription::UserCanceled => "it was told to end",
        _ => "we don't keep to the protocol",
    }
}
