//! What is told on standard output and standard error. Texts of routers and of strangers are in it, and whoever reads may have gone.

use std::fmt::Display;
use std::io::{self, Write};
use std::sync::atomic::{AtomicU32, Ordering};

use dots_callhome::model::printable;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// Characters of one line of the log.
const LONGEST: usize = 1000;

/// Lines that could not be written since the last that could.
static LEFT_OUT: AtomicU32 = AtomicU32::new(0);

/// All that could not be written.
static LOST: AtomicU32 = AtomicU32::new(0);

/// How many lines of the log could not be written.
pub(crate) fn lost() -> u32 {
    LOST.load(Ordering::Relaxed)
}

/// Writes a line of the log, if that can be done at once: a full disk, or a reader that has gone or stands still, ends nothing. What is
/// left out is counted, and the count comes before the next line.
pub(crate) fn log(text: impl Display) {
    let line: String = printable(&text.to_string()).chars().take(LONGEST).collect();
    let mut output = io::stdout().lock();
    let mut ready = [PollFd::new(&output, PollFlags::OUT)];
    let is_ready = poll(&mut ready, Some(&Timespec::default())).is_ok_and(|ready| ready > 0);
    let left_out = LEFT_OUT.load(Ordering::Relaxed);
    let line = if left_out == 0 { line } else { format!("{left_out} lines could not be written\n{line}") };
    if is_ready && writeln!(output, "{line}").is_ok() {
        LEFT_OUT.store(0, Ordering::Relaxed);
    } else {
        LEFT_OUT.store(left_out.saturating_add(1), Ordering::Relaxed);
        LOST.store(lost().saturating_add(1), Ordering::Relaxed);
    }
}

/// Writes a line that somebody has asked for.
///
/// # Errors
/// Nobody reads it.
pub(crate) fn print(text: impl Display) -> Result<(), String> {
    writeln!(io::stdout(), "{text}").map_err(|error| format!("standard output: {error}"))
}

/// Says what is wrong.
pub(crate) fn complain(text: &str) {
    let _ = writeln!(io::stderr(), "dots-callhome-client: {}", printable(text));
}
