//! What the authority has signed: a line for each certificate, with its number, its last second, its name, and when it was revoked.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::written::{SECRET, replace, told};

/// Seconds for which a list names a certificate that is over: clocks differ.
const DAY: u64 = 86_400;

/// One certificate.
pub(crate) struct One {
    pub serial: Vec<u8>,
    /// Its last second, since 1970.
    pub until: u64,
    /// Whose it is.
    pub name: String,
    /// Since when it counts no more, seconds since 1970.
    pub revoked: Option<u64>,
}

impl One {
    fn read(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        let (serial, until, name) = (words.next()?, words.next()?, words.next()?);
        let digits = serial.as_bytes().chunks(2);
        let serial = digits.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok());
        let revoked = words.next().map(|word| word.parse().ok());
        let revoked = if let Some(at) = revoked { Some(at?) } else { None };
        Some(Self {
            serial: serial.collect::<Option<_>>()?,
            until: until.parse().ok()?,
            name: name.to_owned(),
            revoked,
        })
    }

    fn line(&self) -> String {
        let serial: String = self.serial.iter().map(|byte| format!("{byte:02x}")).collect();
        let revoked = self.revoked.map(|at| format!(" {at}")).unwrap_or_default();
        format!("{serial} {} {}{revoked}\n", self.until, self.name)
    }
}

/// All of them.
pub(crate) struct Issued {
    file: PathBuf,
    all: Vec<One>,
}

impl Issued {
    /// Reads the file, if there is one.
    ///
    /// # Errors
    /// In words, with the line.
    pub(crate) fn read(file: &Path) -> Result<Self, String> {
        let text = match fs::read_to_string(file) {
            Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
            read => read.map_err(|error| told(file, error))?,
        };
        let one = |(number, line): (usize, &str)| {
            One::read(line).ok_or_else(|| format!("{}:{}: it can't be read", file.display(), number + 1))
        };
        let all = text.lines().enumerate().map(one).collect::<Result<_, _>>()?;
        Ok(Self { file: file.to_owned(), all })
    }

    /// Keeps one more.
    ///
    /// # Errors
    /// In words: it is not kept.
    pub(crate) fn add(&mut self, one: One) -> Result<(), String> {
        self.all.push(one);
        self.keep()
    }

    fn keep(&self) -> Result<(), String> {
        replace(&self.file, SECRET, &self.all.iter().map(One::line).collect::<String>())
    }

    /// Those of a name.
    pub(crate) fn of(&self, name: &str) -> impl Iterator<Item = &One> {
        self.all.iter().filter(move |one| one.name == name)
    }

    /// Revokes all of a name, and keeps that. Returns the numbers of those that are not over, revoked before or now.
    ///
    /// # Errors
    /// In words: it is not kept.
    pub(crate) fn revoke(&mut self, name: &str, now: u64) -> Result<Vec<Vec<u8>>, String> {
        let lasting = self.all.iter_mut().filter(|one| one.name == name && one.until >= now);
        let serials = lasting.map(|one| {
            one.revoked.get_or_insert(now);
            one.serial.clone()
        });
        let serials = serials.collect();
        self.keep()?;
        Ok(serials)
    }

    /// The numbers of those that a list has to name, and since when they count no more.
    pub(crate) fn revoked(&self, now: u64) -> impl Iterator<Item = (&[u8], u64)> {
        let named = self.all.iter().filter(move |one| one.until.saturating_add(DAY) >= now);
        named.filter_map(|one| Some((one.serial.as_slice(), one.revoked?)))
    }
}
