//! The package for routers: what is in it, and what its scripts do on a router that is installed, upgraded and rid of it.
//!
//! The router is a directory with busybox, as there, and stand-ins for OpenWrt's shell functions that note what is asked.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

mod apk;
mod contents;
mod life;
mod notify;
mod router;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The package, taken apart. In place of the daemon, which takes long to pack, it has [`BINARY`].
pub struct Package {
    pub file: PathBuf,
    pub data: PathBuf,
    pub control: PathBuf,
    /// The archives of LuCI's package.
    pub luci: PathBuf,
    pub all: Vec<PathBuf>,
}

impl Package {
    /// The archives of the daemon's package.
    pub fn parts(&self) -> PathBuf {
        self.data.with_file_name("parts")
    }
}

/// Made once for all tests.
pub fn package() -> &'static Package {
    static MADE: OnceLock<Package> = OnceLock::new();
    MADE.get_or_init(|| {
        let directory = scratch("made");
        let files = make("ipk", &directory);
        let file = files[0].clone();
        let unpack = |archive: &Path, to: &str| {
            let to = directory.join(to);
            fs::create_dir(&to).unwrap();
            run(Command::new("tar").arg("xzpf").arg(archive).arg("-C").arg(&to));
            to
        };
        let parts = unpack(&file, "parts");
        let data = unpack(&parts.join("data.tar.gz"), "data");
        let control = unpack(&parts.join("control.tar.gz"), "control");
        let luci = unpack(&files[1], "luci");
        Package { file, data, control, luci, all: files }
    })
}

pub const BINARY: &str = "#!/bin/sh\necho in place of the daemon\n";

/// Makes the packages in `directory`: the daemon's, LuCI's, and its translations.
pub fn make(format: &str, directory: &Path) -> Vec<PathBuf> {
    let binary = directory.join("binary");
    fs::write(&binary, BINARY).unwrap();
    let printed = run(Command::new("sh")
        .args(["openwrt/package.sh", format, "x86_64"])
        .arg(binary)
        .env("DIST", directory)
        .env("SOURCE_DATE_EPOCH", "0"));
    printed.lines().map(PathBuf::from).collect()
}

/// An empty directory of this test run.
pub fn scratch(name: &str) -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("package").join(name);
    let _ = fs::remove_dir_all(&directory);
    fs::create_dir_all(&directory).unwrap();
    directory
}

/// Runs it and returns what it prints.
pub fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}
