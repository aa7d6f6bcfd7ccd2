//! The secure transports.

/// Where providers listen unless agreed otherwise. RFC 9066 assigns no port; this one is of its draft.
pub const CALL_HOME_PORT: u16 = 4647;

/// A secure transport. The preferred one comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Transport {
    /// DTLS over UDP.
    Dtls,
    /// TLS over TCP.
    Tls,
}

impl Transport {
    /// Its name in the configuration, in replies and in the log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Dtls => "dtls",
            Self::Tls => "tls",
        }
    }
}
