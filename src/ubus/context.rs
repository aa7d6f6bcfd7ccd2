//! What our object shows and changes, lent for the time of one call.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::enforce::Enforcer;
use crate::mitigation::Ledger;
use crate::source::Inventory;

/// What one call may see and change.
#[derive(Debug)]
pub struct CallContext<'a> {
    /// What is asked, decided and in force.
    pub ledger: &'a mut Ledger,
    /// The providers, in the order of the configuration.
    pub peers: &'a [PeerStatus],
    /// The devices of the home network.
    pub inventory: &'a Inventory,
    /// What has been dropped of them.
    pub enforcer: &'a Enforcer,
    /// Since when the daemon runs.
    pub started: Instant,
    /// Why decisions are not kept, if they aren't.
    pub not_kept: Option<&'a str>,
    /// Why decisions of before could not be read, if so; their rules were left alone.
    pub not_read: Option<&'a str>,
    /// What is wrong with the configuration's file.
    pub config_faults: &'a [String],
}

/// How it stands with one provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerStatus {
    /// The name of its configuration section.
    pub name: String,
    /// Whether there is a session.
    pub state: PeerState,
    /// `tls` or `dtls`, once known.
    pub transport: Option<&'static str>,
    /// Its address, once known.
    pub address: Option<SocketAddr>,
    /// Since when there is a session, or since when there is none; seconds since 1970.
    pub since: Option<u64>,
    /// When the next attempt is made.
    pub retry_in: Option<Duration>,
    /// Why the last attempt or session ended, or why the peer is disabled.
    pub last_error: Option<String>,
    /// The round trip last measured.
    pub rtt: Option<Duration>,
}

/// Whether there is a session with a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerState {
    /// There is a session.
    Connected,
    /// It is being set up.
    Connecting,
    /// The next attempt is due later.
    Waiting,
    /// By configuration, or because the configuration can't work.
    Disabled,
}

impl PeerState {
    /// The contract's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connected => "connected",
            Self::Connecting => "connecting",
            Self::Waiting => "waiting",
            Self::Disabled => "disabled",
        }
    }
}
