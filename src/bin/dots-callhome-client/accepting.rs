//! Accepting connections: some at a time, and whatever happens those that wait are not forgotten.

use std::io::{self, ErrorKind};
use std::time::Duration;

/// Connections accepted in one turn of the loop: others want their turn too.
const MOST: usize = 64;
/// Where the system has no descriptor or memory left, it may have some a moment later.
const AGAIN: Duration = Duration::from_millis(100);

/// Takes connections that wait. Returns after what time more are to be taken; nothing when none is left: the loop tells of the next.
pub(crate) fn accept_some<C>(accept: impl Fn() -> io::Result<C>, mut take: impl FnMut(C)) -> Option<Duration> {
    for _ in 0..MOST {
        match accept() {
            Ok(connection) => take(connection),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return None,
            // This one has gone again; the others are still there.
            Err(error) if matches!(error.kind(), ErrorKind::ConnectionAborted | ErrorKind::Interrupted) => {}
            Err(_) => return Some(AGAIN),
        }
    }
    Some(Duration::ZERO)
}
