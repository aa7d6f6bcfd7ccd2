//! Files that are written whole or not at all.

use std::fmt::Display;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Mode of what only its owner may read, and of what the serving program reads though another user signs.
pub(crate) const SECRET: u32 = 0o600;
pub(crate) const PUBLIC: u32 = 0o644;

/// Writes a file, and no other in its place.
///
/// # Errors
/// In words: it is there already, or can't be written.
pub(crate) fn create(file: &Path, mode: u32, content: &str) -> Result<(), String> {
    let mut options = OpenOptions::new();
    let mut opened = options.write(true).create_new(true).mode(mode).open(file).map_err(|error| told(file, error))?;
    opened.write_all(content.as_bytes()).and_then(|()| opened.sync_all()).map_err(|error| told(file, error))
}

/// Writes a file in the place of another: whoever reads sees one or the other, after a loss of power too.
///
/// # Errors
/// In words: it can't be written; then the other is still there.
pub(crate) fn replace(file: &Path, mode: u32, content: &str) -> Result<(), String> {
    let mut name = file.as_os_str().to_owned();
    name.push(".new");
    let new = Path::new(&name);
    let _ = fs::remove_file(new);
    create(new, mode, content)?;
    fs::rename(new, file).map_err(|error| told(file, error))?;
    let directory = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(directory).and_then(|directory| directory.sync_all()).map_err(|error| told(directory, error))
}

/// Why, with the file.
pub(crate) fn told(file: &Path, why: impl Display) -> String {
    format!("{}: {why}", file.display())
}
