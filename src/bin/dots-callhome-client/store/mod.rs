//! Where wishes, requests and numbers survive the program.

mod sqlite;

use std::fmt;

use dots_callhome::client::wishes::{Change, Kept};

pub(crate) use sqlite::Sqlite;

/// What is kept. Whoever implements it keeps all changes of one call or none.
pub(crate) trait Store {
    /// All that is kept.
    ///
    /// # Errors
    /// It can't be read now.
    fn read(&mut self) -> Result<Kept, StoreFault>;

    /// Keeps these changes, in this order. They are safe from a loss of power when it returns.
    ///
    /// # Errors
    /// None of them is kept.
    fn keep(&mut self, changes: &[Change]) -> Result<(), StoreFault>;
}

/// Why something is not kept or can't be read.
#[derive(Debug)]
pub(crate) enum StoreFault {
    /// The database says so.
    Database(rusqlite::Error),
    /// What is in it is of a newer program.
    Newer(i64),
    /// Another program uses it.
    InUse,
    /// Its directory can't be used.
    Directory(std::io::Error),
}

impl fmt::Display for StoreFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Database(error) => error.fmt(f),
            Self::Newer(version) => write!(f, "it is of a newer program (version {version})"),
            Self::InUse => f.write_str("another program uses it"),
            Self::Directory(error) => error.fmt(f),
        }
    }
}

impl From<rusqlite::Error> for StoreFault {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DatabaseBusy | rusqlite::ErrorCode::DatabaseLocked) => Self::InUse,
            _ => Self::Database(error),
        }
    }
}
