//! Pauses between attempts at what fails.

use std::time::Duration;

/// Pauses that double, up to a longest one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
    next: Duration,
}

impl Backoff {
    /// Returns pauses of `first`, twice that, and so on, none longer than `longest`.
    pub const fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest, next: first }
    }

    /// Returns the pause before the next attempt; the one after it is twice as long.
    pub fn pause(&mut self) -> Duration {
        let pause = self.next;
        self.next = pause.saturating_mul(2).min(self.longest);
        pause
    }

    /// Returns the pause that comes next, and leaves it so.
    pub fn next_pause(&self) -> Duration {
        self.next
    }

    /// Begins again with the first pause.
    pub fn reset(&mut self) {
        self.next = self.first;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_begin_again() {
        let seconds = |backoff: &mut Backoff| [(); 5].map(|()| backoff.pause().as_secs());
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(6));
        assert_eq!(seconds(&mut backoff), [1, 2, 4, 6, 6]);
        assert_eq!(backoff.next_pause().as_secs(), 6);
        backoff.reset();
        assert_eq!(seconds(&mut backoff), [1, 2, 4, 6, 6]);
    }
}
