//! What chains and maps are called.

use std::fmt;

use crate::model::MitigationId;
use crate::netlink::conntrack::Family;

/// What traffic is sorted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Purpose {
    /// It may have to be dropped.
    Block,
    /// Its senders are noted.
    Log,
}

/// A map from targets to chains.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Map {
    pub(super) purpose: Purpose,
    pub(super) family: Family,
}

/// Whom a chain is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Owners {
    /// One mitigation.
    One(MitigationId),
    /// Several, under a number that says nothing.
    Several(u32),
    /// All, whatever their targets.
    All,
}

/// A chain of our tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum ChainName {
    /// One that is always called so.
    Fixed(&'static str),
    /// One that a map leads to.
    Of(Map, Owners),
}

impl ChainName {
    /// Whether a map of blocks leads to it.
    pub(super) fn blocks(self) -> bool {
        matches!(self, Self::Of(Map { purpose: Purpose::Block, .. }, _))
    }
}

impl fmt::Display for Map {
    /// The name in the kernel.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let purpose = if self.purpose == Purpose::Block { "blocked" } else { "watched" };
        write!(f, "{purpose}_{}", family_name(self.family))
    }
}

impl fmt::Display for ChainName {
    /// The name in the kernel.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (map, owners) = match self {
            Self::Fixed(name) => return f.write_str(name),
            Self::Of(map, owners) => (map, owners),
        };
        let letter = if map.purpose == Purpose::Block { "m" } else { "w" };
        match owners {
            Owners::One(id) => write!(f, "{letter}{}", id.0)?,
            Owners::Several(number) => write!(f, "{letter}_shared{number}")?,
            Owners::All => write!(f, "{letter}_all")?,
        }
        write!(f, "_{}", family_name(map.family))
    }
}

fn family_name(family: Family) -> &'static str {
    match family {
        Family::V4 => "v4",
        Family::V6 => "v6",
    }
}
