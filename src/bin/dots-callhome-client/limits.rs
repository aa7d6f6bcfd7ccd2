//! How many connections there may be at once: no more than the system gives us descriptors for, and always some left for commands.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors of the program itself: listeners, the loop, files.
const OWN: u64 = 32;
/// Routers connected, and callers that still prove who they are.
const MOST_CALLS: u64 = 65_536;
/// Callers from one source that have not proven yet who they are.
const MOST_PROVING: usize = 64;
/// Commands under way.
const MOST_COMMANDS: u64 = 512;

/// Connections at once.
#[derive(Clone, Copy)]
pub(crate) struct Limits {
    /// Of routers, proven or not.
    pub calls: usize,
    /// Of callers from one source that have not proven yet who they are.
    pub proving: usize,
    /// Of commands.
    pub commands: usize,
}

impl Limits {
    /// Raises the limit of descriptors as far as the system allows, and shares them out.
    pub(crate) fn raise() -> Self {
        let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
        // What can't be raised is shared out as it is.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
        Self::of(getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX))
    }

    fn of(descriptors: u64) -> Self {
        let spare = descriptors.saturating_sub(OWN);
        let share = |part: u64, most: u64| usize::try_from(part.clamp(1, most)).unwrap_or(1);
        let calls = share(spare / 4 * 3, MOST_CALLS);
        Self { calls, proving: (calls / 4).clamp(1, MOST_PROVING), commands: share(spare / 8, MOST_COMMANDS) }
    }
}
