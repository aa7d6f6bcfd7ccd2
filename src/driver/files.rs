//! Files: configuration, credentials, and the decisions that survive a restart.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::config::{Auth, Config, Problem};
use crate::mitigation::snapshot::{self, Snapshot};

/// More than any of these files can sensibly be.
const MOST: u64 = 1024 * 1024;
/// Where decisions are kept, in the directories of state.
const DECISIONS: &str = "decisions.cbor";

/// Reads the configuration; a file that can't be read configures nothing.
pub fn configuration(path: &Path) -> (Config, Vec<Problem>) {
    match read(path).map(String::from_utf8) {
        Ok(Ok(text)) => Config::read(&text),
        Ok(Err(_)) => unreadable("it is no text"),
        Err(error) => unreadable(&error.to_string()),
    }
}

fn unreadable(reason: &str) -> (Config, Vec<Problem>) {
    let problem = Problem { section: String::new(), option: None, reason: reason.to_owned(), line: None };
    (Config::default(), vec![problem])
}

/// What a peer's credentials consist of, as read.
#[derive(Clone, PartialEq, Eq)]
pub struct Secrets {
    /// The authorities' certificates, or the peer's own key.
    pub trusted: Vec<u8>,
    /// Our certificates; empty where none is used.
    pub certificate: Vec<u8>,
    /// Our private or shared key.
    pub key: Vec<u8>,
}

/// Reads a peer's credentials.
///
/// # Errors
/// The first file that can't be used, and why.
pub fn secrets(auth: &Auth) -> Result<Secrets, String> {
    let open = |path: &Path| read(path).map_err(|error| format!("{}: {error}", path.display()));
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
fn secret(path: &Path) -> Result<Vec<u8>, String> {
    let fault = |why: &str| format!("{}: {why}", path.display());
    let about = fs::metadata(path).map_err(|error| fault(&error.to_string()))?;
    if about.mode() & 0o007 != 0 {
        return Err(fault("others may read it: chmod 600"));
    }
    let ours = fs::metadata("/proc/self").map_or(0, |own| own.uid());
    let keeper = path.parent().and_then(|directory| fs::metadata(directory).ok()).map_or(0, |about| about.uid());
    if ![0, ours, keeper].contains(&about.uid()) {
        return Err(fault("it belongs to another user"));
    }
    read(path).map_err(|error| fault(&error.to_string()))
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let about = fs::metadata(path)?;
    if !about.is_file() {
        return Err(io::Error::other("it is no file"));
    }
    if about.len() > MOST {
        return Err(io::Error::other("it is too large"));
    }
    fs::read(path)
}

/// The files of decisions: one on flash, written whenever something was decided, and one in memory where that fails, and
/// with the counters when we end.
#[derive(Clone)]
pub struct Decisions {
    flash: PathBuf,
    memory: PathBuf,
}

impl Decisions {
    /// In these directories, which are made if need be.
    pub fn new(state: &Path, run: &Path) -> Self {
        for directory in [state, run] {
            if let Err(error) = fs::DirBuilder::new().recursive(true).mode(0o700).create(directory) {
                log::warn!("{}: {error}", directory.display());
            }
        }
        Self { flash: state.join(DECISIONS), memory: run.join(DECISIONS) }
    }

    /// What was kept last, and whether it was on flash; what can't be read is reported and forgotten.
    pub fn load(&self) -> Option<(Snapshot, bool)> {
        let all = [(&self.flash, true), (&self.memory, false)].into_iter();
        let all = all.filter_map(|(path, on_flash)| Some((load(path)?, on_flash)));
        // Of two of the same second the one in memory knows more.
        all.max_by_key(|(snapshot, _)| snapshot.saved)
    }

    /// Keeps the decisions: all of them or, where that fails, still those from before. A restart without a reboot finds
    /// them all the same.
    ///
    /// # Errors
    /// The flash is full, read-only or broken.
    pub fn save(&self, snapshot: &Snapshot) -> Result<(), String> {
        let outcome = replace(&self.flash, &snapshot::encode(snapshot));
        match &outcome {
            // What memory holds is older now, whatever a clock that has been set back would say.
            Ok(()) => drop(fs::remove_file(&self.memory)),
            Err(_) => self.leave(snapshot),
        }
        outcome.map_err(|error| format!("{}: {error}", self.flash.display()))
    }

    /// Leaves what the next start should know, without wearing the flash.
    pub fn leave(&self, snapshot: &Snapshot) {
        if let Err(error) = replace(&self.memory, &snapshot::encode(snapshot)) {
            log::warn!("{}: {error}; counters start anew", self.memory.display());
        }
    }
}

fn load(path: &Path) -> Option<Snapshot> {
    let outcome = match read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        Err(error) => Err(error.to_string()),
        Ok(content) => snapshot::decode(&content).map_err(|why| why.to_string()),
    };
    outcome.inspect_err(|why| log::error!("{}: {why}; what it kept is lost", path.display())).ok()
}

fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(content)?;
    file.sync_all()
}

fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let fresh = path.with_extension("new");
    let written = write(&fresh, content).and_then(|()| fs::rename(&fresh, path));
    if written.is_err() {
        // Half of it only takes room.
        let _ = fs::remove_file(&fresh);
        return written;
    }
    match path.parent() {
        Some(directory) => File::open(directory)?.sync_all(),
        None => Ok(()),
    }
}
