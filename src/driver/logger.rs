//! The log: one line each on standard error, which procd carries to syslog.

use std::io::Write;

use log::{Level, LevelFilter, Log, Metadata, Record};

use crate::model::printable;

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
        let mark = match record.level() {
            Level::Error => "error: ",
            Level::Warn => "warning: ",
            Level::Info => "",
            Level::Debug | Level::Trace => "debug: ",
        };
        // A line is written at once or not at all; what steers a terminal does not reach it.
        let text = printable(&record.args().to_string());
        let _ = std::io::stderr().write_all(format!("{mark}{text}\n").as_bytes());
    }

    fn flush(&self) {}
}
