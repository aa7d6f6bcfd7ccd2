//! The secure transports.

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
