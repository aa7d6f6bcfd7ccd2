//! How often something may happen: so many times at once, and then once in a while.

use std::time::{Duration, Instant};

/// An allowance for what a stranger can cause, a token bucket; told by when it will be whole again.
#[derive(Clone, Copy, Debug)]
pub struct Allowance {
    burst: u32,
    spacing: Duration,
    whole: Option<Instant>,
}

impl Allowance {
    /// Returns an allowance of `burst` at once, and of one in each `spacing` from then on.
    pub const fn new(burst: u32, spacing: Duration) -> Self {
        Self { burst, spacing, whole: None }
    }

    /// Takes one off.
    ///
    /// # Errors
    /// How long until there is one.
    pub fn take(&mut self, now: Instant) -> Result<(), Duration> {
        let after = self.after(1, now);
        let wait = after.saturating_duration_since(now).saturating_sub(self.spacing.saturating_mul(self.burst));
        if wait.is_zero() {
            self.whole = Some(after);
            Ok(())
        } else {
            Err(wait)
        }
    }

    /// Takes off `count`, whether they are there or not.
    pub fn spend(&mut self, count: u32, now: Instant) {
        self.whole = Some(self.after(count, now));
    }

    fn after(&self, count: u32, now: Instant) -> Instant {
        self.whole.map_or(now, |whole| whole.max(now)) + self.spacing.saturating_mul(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn so_many_at_once_and_then_one_in_a_while() {
        let now = Instant::now();
        let mut allowance = Allowance::new(3, SECOND);
        assert!((0..3).all(|_| allowance.take(now).is_ok()));
        assert_eq!(allowance.take(now), Err(SECOND));
        assert_eq!(allowance.take(now + SECOND), Ok(()));
        assert_eq!(allowance.take(now + SECOND), Err(SECOND));
        let later = now + 100 * SECOND;
        assert_eq!((0..10).filter(|_| allowance.take(later).is_ok()).count(), 3, "no more than at first");
        allowance.spend(10, later);
        assert_eq!(allowance.take(later), Err(11 * SECOND));
    }
}
