//! Which routers may call, and the numbers given to requests.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use ipnet::IpNet;

use crate::scope_arguments::prefix;

/// From here on numbers begin anew once there is peace (RFC 9132 section 4.4.1).
const ROLLOVER: u32 = 3_221_225_471;
const FIRST: u32 = 1;
/// How many numbers are given between two writes.
const AHEAD: u32 = 128;

/// The routers that may call and the prefixes of their homes.
#[derive(Default)]
pub(crate) struct Roster {
    routers: Option<BTreeMap<String, Vec<IpNet>>>,
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
        Ok(Self { routers: Some(routers) })
    }

    /// Whether this router may call.
    pub(crate) fn admits(&self, name: &str) -> bool {
        self.routers.as_ref().is_none_or(|routers| routers.contains_key(name))
    }

    /// The first source that is not this router's to answer for (RFC 9066 section 5.3.1), where its prefixes are known.
    pub(crate) fn foreign<'a>(&self, name: &str, sources: &'a [IpNet]) -> Option<&'a IpNet> {
        let own = self.routers.as_ref()?.get(name).filter(|own| !own.is_empty())?;
        sources.iter().find(|source| !own.iter().any(|prefix| prefix.contains(*source)))
    }
}

/// The next `mid` of each router. What is kept over a restart is a number ahead of all that were taken: numbers may be left
/// out but never given twice, and a burst of requests does not wait for the disk at each.
pub(crate) struct Numbers {
    file: PathBuf,
    next: BTreeMap<String, u32>,
    kept: BTreeMap<String, u32>,
}

impl Numbers {
    /// Reads what was kept.
    pub(crate) fn read(directory: &Path) -> io::Result<Self> {
        fs::create_dir_all(directory)?;
        let file = directory.join("mids.json");
        let kept: BTreeMap<String, u32> = match fs::read(&file) {
            Ok(content) => serde_json::from_slice(&content)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => BTreeMap::new(),
            Err(error) => return Err(error),
        };
        Ok(Self { file, next: kept.clone(), kept })
    }

    /// A number higher than all before; in peace, 0 at last.
    pub(crate) fn take(&mut self, router: &str, in_peace: bool) -> io::Result<u32> {
        let next = self.next.get(router).copied().unwrap_or(FIRST);
        let mid = if in_peace && next >= ROLLOVER { 0 } else { next };
        let following = mid.saturating_add(1);
        let ahead = following..=following.saturating_add(AHEAD);
        if self.kept.get(router).is_none_or(|kept| !ahead.contains(kept)) {
            self.keep(router, *ahead.end())?;
        }
        self.next.insert(router.to_owned(), following);
        Ok(mid)
    }

    fn keep(&mut self, router: &str, number: u32) -> io::Result<()> {
        let mut kept = self.kept.clone();
        kept.insert(router.to_owned(), number);
        let new = self.file.with_extension("new");
        let mut file = fs::File::create(&new)?;
        file.write_all(&serde_json::to_vec(&kept)?)?;
        file.sync_all()?;
        fs::rename(&new, &self.file)?;
        self.kept = kept;
        Ok(())
    }
}
