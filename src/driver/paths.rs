//! Where the daemon's files and sockets are.

use std::path::PathBuf;

/// The files, directories and sockets the daemon uses.
#[derive(Clone, Debug)]
pub struct Paths {
    /// The configuration, a UCI file.
    pub config: PathBuf,
    /// The bus's socket.
    pub ubus: PathBuf,
    /// The directory of what survives a reboot.
    pub state: PathBuf,
    /// The directory of what does not.
    pub run: PathBuf,
}
