//! Whether the kernel filters bridges.

use super::ruleset::{Members, Ruleset};
use crate::netlink::nftables::Family;

/// What is known of the kernel's filter for bridges. Where it is missing it is tried again with every change of who is
/// quarantined: modules can be loaded later.
#[derive(Debug, Default)]
pub(super) struct Bridge {
    support: Support,
    told: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Support {
    #[default]
    Assumed,
    /// A transaction that speaks of bridges has failed; one that does not is being tried.
    Doubted,
    Missing,
}

impl Bridge {
    /// Returns the families the next transaction speaks of.
    pub(super) fn families(&self, before: Option<&Ruleset>, after: &Ruleset) -> &'static [Family] {
        let (old, new) = (before.and_then(quarantined), quarantined(after));
        let is_named = match self.support {
            Support::Assumed => before.is_none() || old.is_some() || new.is_some(),
            Support::Missing => new.is_some() && old != new,
            Support::Doubted => false,
        };
        if is_named { &[Family::Inet, Family::Bridge] } else { &[Family::Inet] }
    }

    /// A transaction has succeeded. Tells whether the filter turns out to be missing, the first time.
    pub(super) fn handle_success(&mut self, named: bool) -> bool {
        match self.support {
            Support::Missing if named => self.support = Support::Assumed,
            Support::Doubted => {
                self.support = Support::Missing;
                return !std::mem::replace(&mut self.told, true);
            }
            Support::Assumed | Support::Missing => {}
        }
        false
    }

    /// A transaction has failed. Tells whether perhaps only the bridge is to blame.
    pub(super) fn handle_failure(&mut self, named: bool) -> bool {
        if named {
            self.support = Support::Doubted;
        } else if self.support == Support::Doubted {
            self.support = Support::Assumed;
        }
        named
    }
}

fn quarantined(ruleset: &Ruleset) -> Option<&Members> {
    ruleset.sets(Family::Bridge).map(|(_, members)| members).next()
}
