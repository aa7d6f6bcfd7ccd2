//! Identifiers.

/// The number under which the administrator knows a mitigation; counts up, and is never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MitigationId(pub u32);
