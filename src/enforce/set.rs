//! The sets of our tables.

use std::fmt;

use crate::model::MitigationId;
use crate::netlink::conntrack;
use crate::netlink::nftables::Family;

/// A set of our tables. Its elements are devices, but for the last kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Set {
    /// Everyone anything is in force against: packets of all others are past our rules after one look.
    Targeted,
    /// Everyone quarantined, for whatever reason.
    Quarantine,
    /// Those a mitigation quarantines.
    QuarantineBy(MitigationId),
    /// Those a mitigation blocks.
    BlockBy(MitigationId),
    /// Who has lately sent what a mitigation is about, from which address of this family and over which link. The kernel
    /// fills it.
    SenderLog(MitigationId, conntrack::Family),
}

impl Set {
    /// The mitigation it counts for.
    pub(super) fn id(self) -> Option<MitigationId> {
        match self {
            Self::QuarantineBy(id) | Self::BlockBy(id) => Some(id),
            Self::Targeted | Self::Quarantine | Self::SenderLog(..) => None,
        }
    }

    /// Whether its elements count. Frames between devices at home are no part of what the provider sees.
    pub(super) fn counts(self, family: Family) -> bool {
        !matches!(self, Self::Targeted | Self::SenderLog(..)) && family == Family::Inet
    }

    /// Whether its elements tell anything but that they are there.
    pub(super) fn is_read(self, family: Family) -> bool {
        self.counts(family) || matches!(self, Self::SenderLog(..))
    }

    /// Whether what is found in it is dropped, rather than only counted.
    pub(super) fn drops(self) -> bool {
        matches!(self, Self::Quarantine | Self::BlockBy(_))
    }
}

impl fmt::Display for Set {
    /// The name in the kernel.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Targeted => f.write_str("accused"),
            Self::Quarantine => f.write_str("quarantine"),
            Self::QuarantineBy(id) => write!(f, "q{}", id.0),
            Self::BlockBy(id) => write!(f, "m{}", id.0),
            Self::SenderLog(id, conntrack::Family::V4) => write!(f, "w{}v4", id.0),
            Self::SenderLog(id, conntrack::Family::V6) => write!(f, "w{}v6", id.0),
        }
    }
}
