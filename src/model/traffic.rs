//! Amounts of traffic, and what can be reckoned with them.

use std::iter::Sum;
use std::time::Duration;

/// Traffic counted over some time. Nothing reckoned with it overflows: it ends at the largest or the smallest number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Packets.
    pub packets: u64,
    /// Bytes, layer 3.
    pub bytes: u64,
}

impl Traffic {
    /// Returns both amounts together.
    pub fn plus(self, other: Self) -> Self {
        Self { packets: self.packets.saturating_add(other.packets), bytes: self.bytes.saturating_add(other.bytes) }
    }

    /// Returns what is left without `part`.
    pub fn minus(self, part: Self) -> Self {
        Self { packets: self.packets.saturating_sub(part.packets), bytes: self.bytes.saturating_sub(part.bytes) }
    }

    /// Returns packets and bytes a second if this was counted within `passed`; nothing where that is below a millisecond: a
    /// rate can't be told from one reading.
    pub fn per_second(self, passed: Duration) -> Self {
        let millis = u64::try_from(passed.as_millis()).unwrap_or(u64::MAX);
        let share = |amount: u64| amount.saturating_mul(1000).checked_div(millis).unwrap_or(0);
        Self { packets: share(self.packets), bytes: share(self.bytes) }
    }

    /// Whether a counter that read `before` must have been set back to read this.
    pub fn is_below(self, before: Self) -> bool {
        self.packets < before.packets || self.bytes < before.bytes
    }
}

impl Sum for Traffic {
    fn sum<I: Iterator<Item = Self>>(parts: I) -> Self {
        parts.fold(Self::default(), Self::plus)
    }
}
