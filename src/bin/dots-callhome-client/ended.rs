//! Why the call of a router is over.

use std::fmt;

use dots_callhome::coap::Broken;
use dots_callhome::io::connection::{Connection, Lost};
use dots_callhome::transport::Failure;

/// Why a call is over.
pub(crate) enum Ended {
    /// The connection is lost.
    Lost(Lost),
    /// What the router says is no CoAP.
    Broken(Broken),
    /// The router said goodbye or went silent.
    Silent,
    /// Over datagrams whoever called just stopped, as a router does that has reached us over another path.
    Abandoned,
    /// Over a stream whoever called did not prove in time who it is.
    TooSlow,
    /// The proof that whoever called has given is no good.
    Unproven(Failure),
    /// Its certificate has no name.
    Nameless,
    /// It is none of our routers.
    Foreign(String),
    /// The certificate of this router counts no more.
    Revoked(String),
    /// The time of its certificate is over.
    Expired,
    /// Others with the same name have called again and again: whoever has the session keeps it for a while.
    Duplicate(String),
}

impl Ended {
    /// The end of a call whose connection is lost.
    pub(crate) fn lost(connection: &Connection, why: Lost) -> Self {
        match why {
            // A router that has reached us over another path hangs up before it has proven anything.
            Lost::Channel(failure)
                if !connection.is_established() && !matches!(failure, Failure::Closed | Failure::Silent) =>
            {
                Self::Unproven(failure)
            }
            why => Self::Lost(why),
        }
    }

    /// Whether whoever called is to blame for a handshake in vain.
    pub(crate) fn is_refusal(&self) -> bool {
        matches!(self, Self::TooSlow | Self::Unproven(_) | Self::Nameless | Self::Foreign(_) | Self::Revoked(_))
    }
}

impl From<Broken> for Ended {
    fn from(broken: Broken) -> Self {
        Self::Broken(broken)
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost(why) => why.fmt(f),
            Self::Broken(why) => why.fmt(f),
            Self::Silent => write!(f, "it said goodbye or went silent"),
            Self::Abandoned | Self::TooSlow => write!(f, "it did not prove in time who it is"),
            Self::Unproven(failure) => failure.fmt(f),
            Self::Nameless => write!(f, "no name in its certificate"),
            Self::Duplicate(name) => write!(f, "more than one router has the name {name}"),
            Self::Revoked(name) => write!(f, "the certificate of {name} is revoked"),
            Self::Expired => write!(f, "its certificate has expired"),
            Self::Foreign(name) => write!(f, "{name} is not among our routers"),
        }
    }
}
