//! The clocks and the randomness that everything else is handed.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::model::Now;

/// What the time is.
pub fn now() -> Now {
    let unix = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    Now { instant: Instant::now(), unix }
}
