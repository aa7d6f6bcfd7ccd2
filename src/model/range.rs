//! Ranges of ports and of ICMP types.

use std::fmt;
use std::str::FromStr;

/// All numbers from `lower` to `upper`, both included; never inverted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "client", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "client", serde(try_from = "(T, T)", into = "(T, T)"))]
#[cfg_attr(
    feature = "client",
    serde(bound(
        serialize = "T: Copy + serde::Serialize",
        deserialize = "T: Copy + PartialOrd + fmt::Display + serde::Deserialize<'de>"
    ))
)]
pub struct Range<T> {
    lower: T,
    upper: T,
}

/// Ports.
pub type PortRange = Range<u16>;

/// ICMP or ICMPv6 types.
pub type IcmpTypeRange = Range<u8>;

/// What was to become a range is none: it is no number, or no two, or inverted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoRange(String);

impl fmt::Display for NoRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is no range", self.0)
    }
}

impl std::error::Error for NoRange {}

impl<T: Copy + PartialOrd> Range<T> {
    /// The range, or nothing where `upper` is below `lower`.
    pub fn new(lower: T, upper: T) -> Option<Self> {
        (lower <= upper).then_some(Self { lower, upper })
    }

    /// The lowest number.
    pub fn lower(self) -> T {
        self.lower
    }

    /// The highest number.
    pub fn upper(self) -> T {
        self.upper
    }

    /// Whether `number` lies within.
    pub fn contains(self, number: T) -> bool {
        (self.lower..=self.upper).contains(&number)
    }

    /// Whether the ranges have a number in common.
    pub fn intersects(self, other: Self) -> bool {
        self.lower <= other.upper && other.lower <= self.upper
    }
}

impl<T: PartialEq + fmt::Display> fmt::Display for Range<T> {
    /// `40000-40010`, or `53` alone.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.lower == self.upper { write!(f, "{}", self.lower) } else { write!(f, "{}-{}", self.lower, self.upper) }
    }
}

impl<T: Copy + PartialOrd + FromStr> FromStr for Range<T> {
    type Err = NoRange;

    /// Reads `40000-40010`, or `53` alone.
    fn from_str(text: &str) -> Result<Self, NoRange> {
        let (lower, upper) = text.split_once('-').unwrap_or((text, text));
        let range = lower.parse().ok().zip(upper.parse().ok()).and_then(|(lower, upper)| Self::new(lower, upper));
        range.ok_or_else(|| NoRange(text.to_owned()))
    }
}

impl<T: Copy + PartialOrd + fmt::Display> TryFrom<(T, T)> for Range<T> {
    type Error = NoRange;

    fn try_from((lower, upper): (T, T)) -> Result<Self, NoRange> {
        Self::new(lower, upper).ok_or_else(|| NoRange(format!("{lower}-{upper}")))
    }
}

impl<T> From<Range<T>> for (T, T) {
    fn from(range: Range<T>) -> Self {
        (range.lower, range.upper)
    }
}
