//! Names that more than one router seems to have: cloned images throw each other out for ever.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How often a session may be displaced by another of the same name, in what time. A router that has lost its session calls again
/// too, but not so often.
const MOST: u32 = 5;
const WITHIN: Duration = Duration::from_secs(60);

/// How often each name has displaced itself.
#[derive(Default)]
pub(crate) struct Duplicates(BTreeMap<String, (u32, Instant)>);

impl Duplicates {
    /// Takes note that a router of this name calls while another has a session. Returns whether there must be two of them.
    pub(crate) fn is_duplicate(&mut self, name: &str, now: Instant) -> bool {
        self.0.retain(|_, (_, since)| now.saturating_duration_since(*since) < WITHIN);
        let (count, _) = self.0.entry(name.to_owned()).or_insert((0, now));
        *count = count.saturating_add(1);
        *count > MOST
    }
}
