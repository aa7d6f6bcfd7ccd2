//! Which routers may call, and whose addresses are whose.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, ErrorKind, Write};
use std::path::Path;

use ipnet::IpNet;

use crate::scope_arguments::prefix;

/// The routers that may call and the prefixes of their homes.
#[derive(Default)]
pub(crate) struct Roster {
    routers: Option<BTreeMap<String, Vec<IpNet>>>,
    revoked: BTreeSet<String>,
}

impl Roster {
    /// Reads a file: a name a line, then the prefixes of that home, if known.
    ///
    /// # Errors
    /// In words, with the line.
    pub(crate) fn read(file: &Path) -> Result<Self, String> {
        let text = fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
        let mut routers = BTreeMap::new();
        for (number, line) in text.lines().enumerate() {
            let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
            let Some(name) = words.next() else { continue };
            let prefixes: Result<Vec<IpNet>, String> = words.map(prefix).collect();
            let prefixes = prefixes.map_err(|why| format!("{}:{}: {why}", file.display(), number + 1))?;
            routers.insert(name.to_owned(), prefixes);
        }
        Ok(Self { routers: Some(routers), revoked: BTreeSet::new() })
    }

    /// Whether this router may call.
    pub(crate) fn admits(&self, name: &str) -> bool {
        self.routers.as_ref().is_none_or(|routers| routers.contains_key(name)) && !self.revoked.contains(name)
    }

    /// Reads the names that may not call any more, one a line.
    ///
    /// # Errors
    /// In words: the file is there and can't be read.
    pub(crate) fn read_revoked(&mut self, file: &Path) -> Result<(), String> {
        match fs::read_to_string(file) {
            Ok(text) => self.revoked = text.lines().map(str::to_owned).collect(),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(format!("{}: {error}", file.display())),
        }
        Ok(())
    }

    /// Lets no router of this name call any more, and keeps that.
    ///
    /// # Errors
    /// It is not kept.
    pub(crate) fn revoke(&mut self, name: &str, file: &Path) -> io::Result<()> {
        if !self.revoked.contains(name) {
            let mut opened = fs::OpenOptions::new().append(true).create(true).open(file)?;
            opened.write_all(format!("{name}\n").as_bytes())?;
            opened.sync_all()?;
            self.revoked.insert(name.to_owned());
        }
        Ok(())
    }

    /// The first source that is not this router's to answer for (RFC 9066 section 5.3.1), where its prefixes are known.
    pub(crate) fn foreign<'a>(&self, name: &str, sources: &'a [IpNet]) -> Option<&'a IpNet> {
        let own = self.routers.as_ref()?.get(name).filter(|own| !own.is_empty())?;
        sources.iter().find(|source| !own.iter().any(|prefix| prefix.contains(*source)))
    }

    /// The routers whose homes have all these addresses.
    pub(crate) fn owners(&self, sources: &[IpNet]) -> impl Iterator<Item = String> {
        let has = |own: &[IpNet]| sources.iter().all(|source| own.iter().any(|prefix| prefix.contains(source)));
        self.routers.iter().flatten().filter(move |(_, own)| has(own)).map(|(name, _)| name.clone())
    }
}
