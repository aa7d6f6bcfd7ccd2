//! Randomness as the endpoint needs it.

/// Unpredictable bytes; only `io/` has them.
pub trait Random {
    /// Fills `bytes`.
    fn fill(&mut self, bytes: &mut [u8]);
}
