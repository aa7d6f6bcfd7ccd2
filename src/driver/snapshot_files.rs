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

/// Says why rules of an earlier run are left alone. It is in memory: a reboot ends these rules, and it.
const UNREAD: &str = "unread";

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

/// What an earlier run has left.
#[derive(Debug, Default)]
pub(super) struct Loaded {
    /// What could be read of it, and whether it was on flash.
    pub(super) snapshot: Option<(Snapshot, bool)>,
    /// Why that may not be all: what the kernel still holds must stay.
    pub(super) unread: Option<String>,
}

/// The files of decisions: one on flash, written whenever something was decided, and one in memory where that fails, and
/// with the counters when we end.
#[derive(Clone)]
pub(super) struct SnapshotFiles {
    flash: PathBuf,
    memory: PathBuf,
    unread: PathBuf,
}

impl SnapshotFiles {
    /// In these directories, which are made if need be.
    pub(super) fn new(state: &Path, run: &Path) -> Self {
        for directory in [state, run] {
            if let Err(error) = fs::DirBuilder::new().recursive(true).mode(0o700).create(directory) {
                log::warn!("{}: {error}", directory.display());
            }
        }
        Self { flash: state.join(DECISIONS), memory: run.join(DECISIONS), unread: run.join(UNREAD) }
    }

    /// What was kept last. What memory holds was written because flash could not be, or after it: it goes before.
    pub(super) fn load(&self) -> Loaded {
        let mut loaded = Loaded { unread: fs::read_to_string(&self.unread).ok(), ..Loaded::default() };
        for (path, on_flash) in [(&self.memory, false), (&self.flash, true)] {
            match load(path) {
                Ok(None) => {}
                Ok(Some(snapshot)) => drop(loaded.snapshot.get_or_insert((snapshot, on_flash))),
                Err(why) => {
                    let why = format!("{}: {why}", path.display());
                    log::error!("{why}; what it stood for stays in force until its timeouts");
                    if let Err(error) = fs::write(&self.unread, &why) {
                        log::warn!("{}: {error}", self.unread.display());
                    }
                    loaded.unread = Some(why);
                }
            }
        }
        loaded
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

/// Reads one file; nothing where there is none.
fn load(path: &Path) -> Result<Option<Snapshot>, String> {
    match files::read_up_to(path, snapshot::MOST as u64) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.to_string()),
        Ok(content) => snapshot::decode(&content).map(Some).map_err(|why| why.to_string()),
    }
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
mod tests {
    use std::env;
    use std::process;

    use super::*;

    /// Two directories of their own, which are gone afterwards.
    struct Place(PathBuf);

    impl Place {
        fn new(name: &str) -> Self {
            Self(env::temp_dir().join(format!("dots-callhome-{name}-{}", process::id())))
        }

        fn files(&self) -> SnapshotFiles {
            SnapshotFiles::new(&self.0.join("state"), &self.0.join("run"))
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn snapshot(saved: u64) -> Snapshot {
        Snapshot { saved, next: 7, mitigations: Vec::new(), quarantines: Vec::new(), vetoes: None, incidents: None }
    }

    fn saved(loaded: &Loaded) -> Option<(u64, bool)> {
        loaded.snapshot.as_ref().map(|(snapshot, on_flash)| (snapshot.saved, *on_flash))
    }

    #[test]
    fn memory_knows_more_than_flash_whatever_the_clock_says() {
        let place = Place::new("newer");
        let files = place.files();
        assert_eq!(saved(&files.load()), None, "nothing yet");
        files.save(&snapshot(9)).unwrap();
        assert_eq!(saved(&files.load()), Some((9, true)));
        for later in [8, 9, 10] {
            files.leave(&snapshot(later));
            assert_eq!(saved(&files.load()), Some((later, false)));
        }
        files.save(&snapshot(1)).unwrap();
        assert_eq!(saved(&files.load()), Some((1, true)), "memory is older now");
        assert!(files.load().unread.is_none());
    }

    #[test]
    fn what_cannot_be_read_is_told_until_the_reboot() {
        let large = vec![0; snapshot::MOST + 1];
        for (name, spoil) in
            [("large", large.as_slice()), ("broken", b"\x82\x01"), ("future", b"\x82\x09\xa0"), ("empty", b"")]
        {
            let place = Place::new(name);
            let files = place.files();
            fs::write(&files.flash, spoil).unwrap();
            let loaded = files.load();
            assert!(loaded.snapshot.is_none());
            assert!(loaded.unread.as_ref().is_some_and(|why| why.contains(DECISIONS)), "{name}: {loaded:?}");
            files.save(&snapshot(9)).unwrap();
            let again = files.load();
            assert_eq!((saved(&again), again.unread), (Some((9, true)), loaded.unread), "the rules still stand");
        }
    }

    #[test]
    fn one_that_can_be_read_is_taken_up_all_the_same() {
        let place = Place::new("half");
        let files = place.files();
        files.save(&snapshot(9)).unwrap();
        fs::create_dir(&files.memory).unwrap();
        let loaded = files.load();
        assert_eq!(saved(&loaded), Some((9, true)));
        assert!(loaded.unread.is_some());
    }
}
