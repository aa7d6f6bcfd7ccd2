//! The store as one file of SQLite.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use dots_callhome::client::wishes::{Change, Kept, Sent, Wish};
use rusqlite::types::Type;
use rusqlite::{Connection, ErrorCode, Row, Transaction, params};
use serde::de::DeserializeOwned;

use super::{Store, StoreFault};
use crate::output;

/// The version of the tables below.
const VERSION: i64 = 1;
/// Columns beside `body` are for people who look with SQL.
const TABLES: &str = "
CREATE TABLE wish (id INTEGER PRIMARY KEY AUTOINCREMENT, router TEXT NOT NULL, key TEXT, until INTEGER, body TEXT NOT NULL);
CREATE TABLE request (router TEXT NOT NULL, mid INTEGER NOT NULL, body TEXT NOT NULL, PRIMARY KEY (router, mid)) WITHOUT ROWID;
CREATE TABLE number (router TEXT PRIMARY KEY, next INTEGER NOT NULL) WITHOUT ROWID;
PRAGMA user_version = 1;
";

/// The open file.
pub(crate) struct Sqlite(Connection);

impl Sqlite {
    /// Opens the file `state.db`, or begins one. One that is no database any more is set aside.
    ///
    /// # Errors
    /// Another program uses it, it is of a newer one, or it can't be made.
    pub(crate) fn open(directory: &Path) -> Result<Self, StoreFault> {
        fs::create_dir_all(directory).map_err(StoreFault::Directory)?;
        let file = directory.join("state.db");
        let is_new = !file.exists();
        let mut store = match Self::open_file(&file) {
            Err(StoreFault::Database(error)) if is_broken(&error) => {
                let aside = set_aside(&file).map_err(StoreFault::Directory)?;
                let kept = aside.display();
                output::log(format_args!(
                    "{}: {error}; it is set aside as {kept}, and a new one begins",
                    file.display()
                ));
                Self::open_file(&file)?
            }
            opened => opened?,
        };
        if is_new {
            store.take_former(&directory.join("mids.json"))?;
        }
        Ok(store)
    }

    fn open_file(file: &Path) -> Result<Self, StoreFault> {
        let connection = Connection::open(file)?;
        // Whoever has the lock keeps it, so that no second program gives the same numbers.
        connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.execute_batch("BEGIN IMMEDIATE; COMMIT;")?;
        let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
        match version {
            0 => connection.execute_batch(&format!("BEGIN; {TABLES} COMMIT;"))?,
            VERSION => {}
            newer => return Err(StoreFault::Newer(newer)),
        }
        let mut store = Self(connection);
        // What can't be read is found now, not at a loss.
        store.read()?;
        Ok(store)
    }

    /// The numbers of a program before there was a database.
    fn take_former(&mut self, file: &Path) -> Result<(), StoreFault> {
        let numbers: BTreeMap<String, u32> = match fs::read(file) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(StoreFault::Directory(error)),
            Ok(content) => serde_json::from_slice(&content).unwrap_or_else(|error| {
                output::log(format_args!("{}: {error}; numbers go on above what routers report", file.display()));
                BTreeMap::new()
            }),
        };
        let numbers = numbers.into_iter().map(|(router, next)| Change::Number { router, next });
        self.keep(&numbers.collect::<Vec<_>>())
    }

    fn all<T>(&self, query: &str, row: impl Fn(&Row<'_>) -> rusqlite::Result<T>) -> rusqlite::Result<Vec<T>> {
        self.0.prepare(query)?.query_map((), |r| row(r))?.collect()
    }
}

impl Store for Sqlite {
    fn read(&mut self) -> Result<Kept, StoreFault> {
        let next_wish = self.all("SELECT seq FROM sqlite_sequence WHERE name = 'wish'", |row| row.get::<_, i64>(0))?;
        Ok(Kept {
            wishes: self.all("SELECT body FROM wish", |row| parsed::<Wish>(row, 0))?,
            sent: self.all("SELECT router, body FROM request", |row| Ok((row.get(0)?, parsed::<Sent>(row, 1)?)))?,
            numbers: self.all("SELECT router, next FROM number", |row| Ok((row.get(0)?, row.get(1)?)))?,
            next_wish: next_wish.first().and_then(|next| u64::try_from(*next).ok()).unwrap_or(0),
        })
    }

    fn keep(&mut self, changes: &[Change]) -> Result<(), StoreFault> {
        let transaction = self.0.transaction()?;
        changes.iter().try_for_each(|change| write(&transaction, change))?;
        Ok(transaction.commit()?)
    }
}

fn write(transaction: &Transaction<'_>, change: &Change) -> rusqlite::Result<()> {
    let text =
        |body: serde_json::Result<String>| body.map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()));
    let execute = |sql: &str, values: &[&dyn rusqlite::ToSql]| transaction.prepare(sql)?.execute(values).map(drop);
    match change {
        Change::Wish(wish) => {
            let (id, until) = (signed(wish.id), wish.until.map(signed));
            let sql = "INSERT OR REPLACE INTO wish (id, router, key, until, body) VALUES (?, ?, ?, ?, ?)";
            execute(sql, params![id, wish.router, wish.key, until, text(serde_json::to_string(wish))?])
        }
        Change::Forgotten(id) => execute("DELETE FROM wish WHERE id = ?", params![signed(*id)]),
        Change::Sent { router, sent } => {
            let sql = "INSERT OR REPLACE INTO request (router, mid, body) VALUES (?, ?, ?)";
            execute(sql, params![router, sent.mid, text(serde_json::to_string(sent))?])
        }
        Change::Ended { router, mid } => {
            execute("DELETE FROM request WHERE router = ? AND mid = ?", params![router, mid])
        }
        Change::Number { router, next } => {
            execute("INSERT OR REPLACE INTO number (router, next) VALUES (?, ?)", params![router, next])
        }
    }
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn parsed<T: DeserializeOwned>(row: &Row<'_>, column: usize) -> rusqlite::Result<T> {
    let body: String = row.get(column)?;
    serde_json::from_str(&body)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(column, Type::Text, error.into()))
}

/// Whether the file holds no database of ours.
fn is_broken(error: &rusqlite::Error) -> bool {
    let codes = [Some(ErrorCode::NotADatabase), Some(ErrorCode::DatabaseCorrupt)];
    codes.contains(&error.sqlite_error_code()) || matches!(error, rusqlite::Error::FromSqlConversionFailure(..))
}

/// Renames a broken file, so that nothing is lost that somebody could still read.
fn set_aside(file: &Path) -> std::io::Result<PathBuf> {
    let free = |number: &u32| Some(file.with_extension(format!("db.broken-{number}"))).filter(|aside| !aside.exists());
    let aside = (1..u32::MAX).find_map(|number| free(&number)).ok_or(ErrorKind::AlreadyExists)?;
    fs::rename(file, &aside)?;
    for part in ["db-wal", "db-shm"] {
        let _ = fs::rename(file.with_extension(part), aside.with_extension(part));
    }
    Ok(aside)
}
