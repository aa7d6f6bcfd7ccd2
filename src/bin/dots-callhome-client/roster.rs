//! Which routers may call, and the numbers given to requests.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use ipnet::IpNet;

use crate::arguments::prefix;

/// Numbers begin anew from here on (RFC 9132 section 4.4.1).
const ROLLOVER: u32 = 3_221_225_471;

/// The routers that may call and the prefixes of their homes.
#[derive(Default)]
pub struct Roster {
    routers: Option<BTreeMap<String, Vec<IpNet>>>,
}

impl Roster {
    /// Reads a file: a name a line, then the prefixes of that home, if known.
    ///
    /// # Errors
    /// In words, with the line.
    pub fn read(file: &Path) -> Result<Self, String> {
        let text = fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
        let mut routers = BTreeMap::new();
        for (number, line) in text.lines().enumerate() {
            let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
            let Some(name) = words.next() else { continue };
            let prefixes: Result<Vec<IpNet>, String> = words.map(prefix).collect();
            let prefixes = prefixes.map_err(|why| format!("{}:{}: {why}", file.display(), number + 1))?;
            routers.insert(name.to_owned(), prefixes);
        }
        Ok(Self { routers: Some(routers) })
    }

    /// Whether this router may call.
    pub fn admits(&self, name: &str) -> bool {
        self.routers.as_ref().is_none_or(|routers| routers.contains_key(name))
    }

    /// The first source that is not this router's to answer for (RFC 9066 section 5.3.1), where its prefixes are known.
    pub fn foreign<'a>(&self, name: &str, sources: &'a [IpNet]) -> Option<&'a IpNet> {
        let own = self.routers.as_ref()?.get(name).filter(|own| !own.is_empty())?;
        sources.iter().find(|source| !own.iter().any(|prefix| prefix.contains(*source)))
    }
}

/// The next `mid` of each router, kept over restarts.
pub struct Numbers {
    file: PathBuf,
    next: BTreeMap<String, u32>,
}

impl Numbers {
    /// Reads what was kept.
    pub fn read(directory: &Path) -> io::Result<Self> {
        fs::create_dir_all(directory)?;
        let file = directory.join("mids.json");
        let next = match fs::read(&file) {
            Ok(content) => serde_json::from_slice(&content)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => BTreeMap::new(),
            Err(error) => return Err(error),
        };
        Ok(Self { file, next })
    }

    /// A number higher than all before.
    pub fn take(&mut self, router: &str) -> io::Result<u32> {
        let next = self.next.entry(router.to_owned()).or_insert(1);
        let mid = *next;
        *next = if mid >= ROLLOVER { 0 } else { mid + 1 };
        let new = self.file.with_extension("new");
        fs::write(&new, serde_json::to_vec(&self.next)?)?;
        fs::rename(&new, &self.file)?;
        Ok(mid)
    }
}
