//! The control socket: one question as a line of JSON, answered by one line, or by one for each change.

use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::net::IpAddr;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::UnixStream;
use std::path::Path;

use mio::net::UnixListener;
use rustix::fs::Mode;
use rustix::process::{geteuid, umask};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::scope_arguments::ScopeAsked;

/// A question to the serving program.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "ask")]
pub(crate) enum Ask {
    /// Which routers have called?
    Routers,
    /// Send a mitigation request.
    Request { router: String, scope: ScopeAsked, lifetime: i64 },
    /// What do the routers report?
    Status { router: Option<String>, mid: Option<u32>, watch: bool },
    /// Withdraw a request.
    Withdraw { router: String, mid: u32 },
    /// Send a router elsewhere.
    Redirect { router: String, to: String, addresses: Vec<IpAddr>, ttl: Option<u32> },
}

/// Listens for commands, of our own user and nobody else. A socket that a serving program of ours has left there is taken away, and
/// nothing but that.
///
/// # Errors
/// In words, with the path: what is there is something else, or serves.
pub(crate) fn listen(path: &Path) -> Result<UnixListener, String> {
    let told = |why: &dyn std::fmt::Display| format!("{}: {why}", path.display());
    match fs::symlink_metadata(path) {
        Ok(there) if !there.file_type().is_socket() => return Err(told(&"there is something that is no socket")),
        Ok(there) if there.uid() != geteuid().as_raw() => return Err(told(&"the socket there is another user's")),
        Ok(_) => match UnixStream::connect(path) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                fs::remove_file(path).map_err(|error| told(&error))?;
            }
            _ => return Err(told(&"another program serves there")),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(told(&error)),
    }
    let former = umask(Mode::RWXG | Mode::RWXO | Mode::XUSR);
    let listener = UnixListener::bind(path);
    umask(former);
    listener.map_err(|error| told(&error))
}

/// Asks the serving program and hands each line of the answer to `show`.
///
/// # Errors
/// In words: nobody serves there, or the question was refused.
pub(crate) fn ask(
    socket: &Path,
    question: &Ask,
    mut show: impl FnMut(&Value) -> Result<(), String>,
) -> Result<(), String> {
    let mut stream = UnixStream::connect(socket)
        .map_err(|error| format!("{}: {error} (is \"dots-callhome-client serve\" running?)", socket.display()))?;
    let mut line = serde_json::to_string(question).map_err(|error| error.to_string())?;
    line.push('\n');
    stream.write_all(line.as_bytes()).map_err(|error| error.to_string())?;
    let mut answered = false;
    for line in BufReader::new(stream).lines() {
        let line = line.map_err(|error| error.to_string())?;
        let value: Value = serde_json::from_str(&line).map_err(|error| error.to_string())?;
        if let Some(why) = value.get("error").and_then(Value::as_str) {
            return Err(why.into());
        }
        answered = true;
        show(&value)?;
    }
    if answered { Ok(()) } else { Err("the serving program ended without an answer".into()) }
}
