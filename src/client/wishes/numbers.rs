//! The numbers of requests to one router (RFC 9132 section 4.4.1).

/// From here on numbers begin anew once there is peace.
const ROLLOVER: u32 = 3_221_225_471;
/// The first that a router ever sees.
const FIRST: u32 = 1;

/// The next `mid` of one router: higher than any taken and any the router has reported.
#[derive(Clone, Copy, Debug)]
pub(super) struct Numbers(u32);

impl Default for Numbers {
    fn default() -> Self {
        Self(FIRST)
    }
}

impl Numbers {
    /// Begins where all below have been taken.
    pub(super) fn from(next: u32) -> Self {
        Self(next)
    }

    /// All below have been taken.
    pub(super) fn next(self) -> u32 {
        self.0
    }

    /// Takes note of a number that the router knows.
    pub(super) fn raise(&mut self, known: u32) {
        self.0 = self.0.max(known.saturating_add(1));
    }

    /// A number higher than all before; in peace, 0 at last.
    pub(super) fn take(&mut self, in_peace: bool) -> u32 {
        let mid = if in_peace && self.0 >= ROLLOVER { 0 } else { self.0 };
        self.0 = mid.saturating_add(1);
        mid
    }
}
