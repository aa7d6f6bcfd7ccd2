//! Files that are read: the configuration and the credentials it names.

use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::config::{Auth, Config, ConfigFault, Problem};
use crate::uci;

/// Faults that are told on the bus, and characters of each.
const FAULTS: usize = 16;
const LONGEST_FAULT: usize = 200;

/// More than any of these files can sensibly be.
const MOST: u64 = 1024 * 1024;

/// Reads the configuration, unless the file can't be read as a whole; and what is wrong with it. Bytes that are no UTF-8, which
/// `uci` takes, become replacement characters.
pub(super) fn configuration(path: &Path) -> (Option<Config>, Vec<Problem>) {
    let reason = match read(path).map(|bytes| (is_utf16(&bytes), String::from_utf8_lossy(&bytes).into_owned())) {
        Err(error) => ConfigFault::Unreadable(error.to_string()),
        Ok((true, _)) => ConfigFault::Utf16,
        Ok((_, text)) if text.len() > uci::MAX_LENGTH => ConfigFault::Syntax(uci::Reason::TooLong),
        Ok((_, text)) => {
            let (config, problems) = Config::read(&text);
            return (Some(config), problems);
        }
    };
    (None, vec![Problem { section: String::new(), option: None, reason, line: None }])
}

/// Logs what is wrong with the configuration, and returns the first faults as they are told on the bus.
pub(super) fn told(path: &Path, problems: &[Problem]) -> Vec<String> {
    for problem in problems {
        let level = if problem.is_harmless() { log::Level::Warn } else { log::Level::Error };
        log::log!(level, "{}: {problem}", path.display());
    }
    let shown = |problem: &Problem| problem.to_string().chars().take(LONGEST_FAULT).collect();
    problems.iter().take(FAULTS).map(shown).collect()
}

/// By its mark, or as text in the letters of ASCII looks then.
fn is_utf16(bytes: &[u8]) -> bool {
    matches!(bytes, [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [0, 1..=0xff, ..] | [1..=0xff, 0, ..])
}

/// What a peer's credentials consist of, as read.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Secrets {
    /// The authorities' certificates, or the peer's own key.
    pub(super) trusted: Vec<u8>,
    /// Our certificates; empty where none is used.
    pub(super) certificate: Vec<u8>,
    /// Our private or shared key.
    pub(super) key: Vec<u8>,
}

/// A file of credentials that can't be used.
#[derive(Debug)]
pub(super) struct Unusable {
    path: PathBuf,
    reason: UnusableReason,
}

#[derive(Debug)]
enum UnusableReason {
    Unreadable(io::Error),
    Exposed,
    Foreign,
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.path.display())?;
        match &self.reason {
            UnusableReason::Unreadable(error) => error.fmt(f),
            UnusableReason::Exposed => f.write_str("others may read it: chmod 600"),
            UnusableReason::Foreign => f.write_str("it belongs to another user"),
        }
    }
}

/// Reads a peer's credentials.
///
/// # Errors
/// The first file that can't be used, and why.
pub(super) fn secrets(auth: &Auth) -> Result<Secrets, Unusable> {
    let open = |path: &Path| {
        read(path).map_err(|error| Unusable { path: path.to_owned(), reason: UnusableReason::Unreadable(error) })
    };
    Ok(match auth {
        Auth::Certificate { ca, certificate, key } => {
            Secrets { trusted: open(ca)?, certificate: open(certificate)?, key: secret(key)? }
        }
        Auth::RawPublicKey { key, peer_key } => {
            Secrets { trusted: open(peer_key)?, certificate: Vec::new(), key: secret(key)? }
        }
        Auth::Psk { file, .. } => Secrets { trusted: Vec::new(), certificate: Vec::new(), key: secret(file)? },
    })
}

/// Reads a file that nobody but its owner may change and none of the others may read. Its owner is root, or ourselves, or
/// whoever owns its directory and could replace it anyway: the daemon's user, when root checks.
fn secret(path: &Path) -> Result<Vec<u8>, Unusable> {
    let unusable = |reason| Unusable { path: path.to_owned(), reason };
    let about = fs::metadata(path).map_err(|error| unusable(UnusableReason::Unreadable(error)))?;
    if about.mode() & 0o007 != 0 {
        return Err(unusable(UnusableReason::Exposed));
    }
    let ours = fs::metadata("/proc/self").map_or(0, |own| own.uid());
    let keeper = path.parent().and_then(|directory| fs::metadata(directory).ok()).map_or(0, |about| about.uid());
    if ![0, ours, keeper].contains(&about.uid()) {
        return Err(unusable(UnusableReason::Foreign));
    }
    read(path).map_err(|error| unusable(UnusableReason::Unreadable(error)))
}

/// Reads a file of sensible size.
///
/// # Errors
/// As [`read_up_to`].
pub(super) fn read(path: &Path) -> io::Result<Vec<u8>> {
    read_up_to(path, MOST)
}

/// Reads a file that is no larger than `most` bytes.
///
/// # Errors
/// As the system says; it is no file; it is too large.
pub(super) fn read_up_to(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let about = fs::metadata(path)?;
    if !about.is_file() {
        return Err(io::Error::other("it is no file"));
    }
    if about.len() > most {
        return Err(io::Error::other("it is too large"));
    }
    fs::read(path)
}
