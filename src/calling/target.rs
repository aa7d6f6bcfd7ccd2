//! Whom to call.

use std::net::IpAddr;

use crate::config;
use crate::model::Transport;

/// Whom to call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The name it has to prove; may be empty where no certificate is used.
    pub name: String,
    /// Where it is; empty: what `name` resolves to, else the default router.
    pub addresses: Vec<IpAddr>,
    /// Where it listens.
    pub port: u16,
    /// Which secure channels may be used.
    pub transport: config::Transport,
}

impl Target {
    pub(super) fn transports(&self) -> &'static [Transport] {
        match self.transport {
            config::Transport::Auto => &[Transport::Dtls, Transport::Tls],
            config::Transport::Dtls => &[Transport::Dtls],
            config::Transport::Tls => &[Transport::Tls],
        }
    }
}
