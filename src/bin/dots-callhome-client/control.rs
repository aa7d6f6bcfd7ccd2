//! The control socket: questions as lines of JSON, each answered by one line, or by one for each change.

use std::fs;
use std::io;
use std::net::IpAddr;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::UnixStream;
use std::path::Path;

use dots_callhome::signal::body::AttackStatus;
use mio::net::UnixListener;
use rustix::fs::Mode;
use rustix::process::{geteuid, umask};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::scope_arguments::ScopeAsked;

/// The version of what is spoken.
pub(crate) const VERSION: u32 = 1;

/// A question, and what its answers bear. With `v` or `id` more questions may follow on the connection; without them it is over
/// with the answer.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Question {
    /// The version of what is spoken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub v: Option<u32>,
    /// Whatever the asker likes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<Value>,
    /// What is asked.
    #[serde(flatten)]
    pub ask: Ask,
}

/// What is asked of the serving program.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "ask")]
pub(crate) enum Ask {
    /// Which routers have called?
    Routers {
        #[serde(flatten)]
        page: Page,
    },
    /// Keep a wish and send it to the router.
    Request(Box<Wanted>),
    /// What do the routers report?
    Status {
        router: Option<String>,
        mid: Option<u32>,
        #[serde(default)]
        watch: bool,
        #[serde(flatten)]
        page: Page,
    },
    /// What is wanted of the routers, and what has become of it?
    Wishes {
        router: Option<String>,
        key: Option<String>,
        #[serde(flatten)]
        page: Page,
    },
    /// Withdraw a request by its number, or all that have a key.
    Withdraw {
        router: Option<String>,
        mid: Option<u32>,
        key: Option<String>,
        /// Only what no router mitigates.
        #[serde(default)]
        spare_working: bool,
    },
    /// Tell routers how an attack stands in spite of what they do: a request by its number, or all that serve a key.
    Efficacy { router: Option<String>, mid: Option<u32>, key: Option<String>, attack: Attack },
    /// Send a router elsewhere.
    Redirect { router: String, to: String, addresses: Vec<IpAddr>, ttl: Option<u32> },
    /// What is there to be counted?
    Metrics,
    /// Send all routers elsewhere, and whoever comes; without a name no more.
    Drain {
        to: Option<String>,
        #[serde(default)]
        addresses: Vec<IpAddr>,
        ttl: Option<u32>,
        /// Routers in a second.
        #[serde(default = "per_second")]
        per_second: u32,
    },
    /// Tell what happens from now on.
    Events,
    /// Let no router of this name call any more; with certificates: read all files once more, which have to name these.
    Revoke {
        router: String,
        /// Each in hexadecimal digits.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        certificates: Vec<String>,
    },
    /// Read all files once more.
    Reload,
}

/// Routers that are told in a second unless it is said.
fn per_second() -> u32 {
    100
}

/// How an attack stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Attack {
    /// It goes on.
    UnderAttack,
    /// Nothing is seen of it any more.
    Mitigated,
}

impl From<Attack> for AttackStatus {
    fn from(attack: Attack) -> Self {
        match attack {
            Attack::UnderAttack => Self::UnderAttack,
            Attack::Mitigated => Self::Mitigated,
        }
    }
}

/// Which part of a list is wanted.
#[derive(Clone, Debug, Default, Serialize, Deserialize, clap::Args)]
pub(crate) struct Page {
    /// Only what comes after this router, in the order of names.
    #[arg(long, value_name = "NAME")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// At most so many.
    #[arg(long, value_name = "N")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
}

/// What is wanted of a router.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Wanted {
    /// Which; without it whichever has the sources.
    pub router: Option<String>,
    /// What is to be stopped.
    pub scope: ScopeAsked,
    /// Seconds; -1 until it is withdrawn.
    pub lifetime: i64,
    /// What the asker calls it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Who asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
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
