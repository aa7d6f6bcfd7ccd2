//! The log: one line each, warnings and errors on standard error, the rest on standard output: procd carries both to syslog, the
//! first as errors, the second as information.

use std::io::Write;

use log::{Level, LevelFilter, Log, Metadata, Record};

use crate::model::printable;

/// Bytes of a line: what strangers say must not fill the log. Those for debugging are whole.
const MOST: usize = 300;

struct Logger;

static LOGGER: Logger = Logger;

/// Logs from now on.
pub fn start() {
    // Only a second start could fail, and changes nothing.
    let _ = log::set_logger(&LOGGER);
    set_level(LevelFilter::Info);
}

/// What is worth a line.
pub fn set_level(level: LevelFilter) {
    log::set_max_level(level);
}

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= log::max_level() && metadata.target().starts_with("dots_callhome")
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        // A line is written at once or not at all.
        let line = line(record.level(), &record.args().to_string());
        let _ = match record.level() {
            Level::Error | Level::Warn => std::io::stderr().write_all(line.as_bytes()),
            Level::Info | Level::Debug | Level::Trace => std::io::stdout().write_all(line.as_bytes()),
        };
    }

    fn flush(&self) {}
}

/// A whole line. What steers a terminal does not reach it.
fn line(level: Level, text: &str) -> String {
    let (mark, most) = match level {
        Level::Error => ("error: ", MOST),
        Level::Warn => ("warning: ", MOST),
        Level::Info => ("", MOST),
        Level::Debug | Level::Trace => ("debug: ", usize::MAX),
    };
    let mut line = format!("{mark}{}", printable(text));
    if line.len() >= most {
        let room = most - "…\n".len();
        line.truncate((0..=room).rfind(|at| line.is_char_boundary(*at)).unwrap_or_default());
        line.push('…');
    }
    line.push('\n');
    line
}

/// Logs that events of the kernel were lost, at each doubling of their number only: an attack must not fill the log.
pub(super) fn log_overruns(count: u32) {
    if count.is_power_of_two() {
        log::info!("netlink: {count} times events came faster than they were read; looks again");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_one_line_of_bounded_length() {
        assert_eq!(line(Level::Info, "one\ntwo\u{1b}[2J"), "one two [2J\n");
        for letter in ["x", "é", "…", "😀"] {
            for length in 0..400 {
                let line = line(Level::Warn, &letter.repeat(length));
                assert!(line.len() <= MOST && line.ends_with('\n'), "{length} {letter}");
            }
        }
    }
}
