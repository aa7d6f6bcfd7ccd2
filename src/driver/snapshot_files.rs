//! The files of snapshots: the decisions that survive a restart.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::files;
use crate::mitigation::snapshot::{self, Snapshot};

/// Where decisions are kept, in the directories of state.
const DECISIONS: &str = "decisions.cbor";

/// A file that could not be written: the flash is full, read-only or broken.
#[derive(Debug)]
pub(super) struct NotWritten {
    path: PathBuf,
    error: io::Error,
}

impl fmt::Display for NotWritten {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.error)
    }
}

/// The files of decisions: one on flash, written whenever something was decided, and one in memory where that fails, and
/// with the counters when we end.
#[derive(Clone)]
pub(super) struct SnapshotFiles {
    flash: PathBuf,
    memory: PathBuf,
}

impl SnapshotFiles {
    /// In these directories, which are made if need be.
    pub(super) fn new(state: &Path, run: &Path) -> Self {
        for directory in [state, run] {
            if let Err(error) = fs::DirBuilder::new().recursive(true).mode(0o700).create(directory) {
                log::warn!("{}: {error}", directory.display());
            }
        }
        Self { flash: state.join(DECISIONS), memory: run.join(DECISIONS) }
    }

    /// What was kept last, and whether it was on flash; what can't be read is reported and forgotten.
    pub(super) fn load(&self) -> Option<(Snapshot, bool)> {
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
    pub(super) fn save(&self, snapshot: &Snapshot) -> Result<(), NotWritten> {
        let outcome = replace(&self.flash, &snapshot::encode(snapshot));
        match &outcome {
            // What memory holds is older now, whatever a clock that has been set back would say.
            Ok(()) => drop(fs::remove_file(&self.memory)),
            Err(_) => self.leave(snapshot),
        }
        outcome.map_err(|error| NotWritten { path: self.flash.clone(), error })
    }

    /// Leaves what the next start should know, without wearing the flash.
    pub(super) fn leave(&self, snapshot: &Snapshot) {
        if let Err(error) = replace(&self.memory, &snapshot::encode(snapshot)) {
            log::warn!("{}: {error}; counters start anew", self.memory.display());
        }
    }
}

fn load(path: &Path) -> Option<Snapshot> {
    let outcome = match files::read(path) {
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// Of flash and memory the younger is taken up, and of the same second the one in memory, which knows more.
    #[test]
    fn the_younger_of_two_is_loaded() {
        let directory = std::env::temp_dir().join(format!("snapshots-{}", std::process::id()));
        let files = SnapshotFiles::new(&directory.join("state"), &directory.join("run"));
        let of = |saved| Snapshot { saved, next: 1, mitigations: Vec::new(), quarantines: Vec::new() };
        for (flash, memory, expected) in [(100, 200, (200, false)), (200, 100, (200, true)), (100, 100, (100, false))] {
            replace(&files.flash, &snapshot::encode(&of(flash))).unwrap();
            replace(&files.memory, &snapshot::encode(&of(memory))).unwrap();
            let loaded = files.load().map(|(snapshot, on_flash)| (snapshot.saved, on_flash));
            assert_eq!(loaded, Some(expected), "flash {flash}, memory {memory}");
        }
        let _ = fs::remove_dir_all(directory);
    }
}
