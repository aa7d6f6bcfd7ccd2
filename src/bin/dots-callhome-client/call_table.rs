//! All calls of routers, found by number, by name and by when something is due.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use dots_callhome::transport::drop_list::block;

/// What a call is found by.
pub(crate) trait Listed {
    /// When something is due.
    fn due(&self) -> Option<Instant>;
    /// The router's name, once it is proven.
    fn router(&self) -> Option<&str>;
    /// Where it comes from.
    fn source(&self) -> SocketAddr;
}

/// What a call was known by when it was put in.
struct Entry<C> {
    call: C,
    due: Option<Instant>,
    /// Where it comes from.
    source: IpAddr,
    /// Whether whoever calls has not proven yet who it is.
    is_proving: bool,
}

/// The calls. Each is taken out to be changed, and put back.
pub(crate) struct CallTable<C> {
    all: BTreeMap<usize, Entry<C>>,
    names: BTreeMap<String, usize>,
    due: BTreeSet<(Instant, usize)>,
    /// Who has not proven yet who it is, by source; whoever came first has the lowest number.
    proving: BTreeMap<IpAddr, BTreeSet<usize>>,
    all_proving: BTreeSet<usize>,
    /// How many routers have proven who they are, by source.
    proven: BTreeMap<IpAddr, usize>,
}

impl<C: Listed> CallTable<C> {
    /// None yet.
    pub(crate) fn new() -> Self {
        let (names, due) = (BTreeMap::new(), BTreeSet::new());
        let (proving, all_proving, proven) = (BTreeMap::new(), BTreeSet::new(), BTreeMap::new());
        Self { all: BTreeMap::new(), names, due, proving, all_proving, proven }
    }

    /// Puts a call in under its number.
    pub(crate) fn put(&mut self, token: usize, call: C) {
        let due = call.due();
        self.due.extend(due.map(|due| (due, token)));
        let source = block(call.source().ip());
        let is_proving = call.router().is_none();
        match call.router() {
            Some(name) => {
                self.names.insert(name.to_owned(), token);
                *self.proven.entry(source).or_default() += 1;
            }
            None => {
                self.proving.entry(source).or_default().insert(token);
                self.all_proving.insert(token);
            }
        }
        self.all.insert(token, Entry { call, due, source, is_proving });
    }

    /// Takes a call out.
    pub(crate) fn take(&mut self, token: usize) -> Option<C> {
        let Entry { call, due, source, is_proving } = self.all.remove(&token)?;
        if let Some(due) = due {
            self.due.remove(&(due, token));
        }
        if let Some(name) = call.router().filter(|name| self.names.get(*name) == Some(&token)) {
            self.names.remove(name);
        }
        if is_proving {
            self.all_proving.remove(&token);
            let others = self.proving.get_mut(&source);
            if others.is_some_and(|others| others.remove(&token) && others.is_empty()) {
                self.proving.remove(&source);
            }
        } else if let Some(count) = self.proven.get_mut(&source) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.proven.remove(&source);
            }
        }
        Some(call)
    }

    /// Takes any call out.
    pub(crate) fn take_first(&mut self) -> Option<(usize, C)> {
        let token = *self.all.first_key_value()?.0;
        Some((token, self.take(token)?))
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    /// The call of the router of that name.
    pub(crate) fn named(&self, name: &str) -> Option<usize> {
        self.names.get(name).copied()
    }

    /// One call.
    pub(crate) fn get(&self, token: usize) -> Option<&C> {
        self.all.get(&token).map(|entry| &entry.call)
    }

    /// All calls of routers that have proven who they are, by name.
    pub(crate) fn routers(&self) -> impl Iterator<Item = (&str, &C)> {
        self.names.iter().filter_map(|(name, token)| Some((name.as_str(), self.get(*token)?)))
    }

    /// When something is due first.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.due.first().map(|(due, _)| *due)
    }

    /// The calls for which something is due.
    pub(crate) fn due(&self, now: Instant) -> Vec<usize> {
        self.due.iter().take_while(|(due, _)| *due <= now).map(|(_, token)| *token).collect()
    }

    /// How many callers of this source have not proven yet who they are, and who of them came first.
    pub(crate) fn proving_of(&self, source: IpAddr) -> (usize, Option<usize>) {
        let of_source = self.proving.get(&source);
        (of_source.map_or(0, BTreeSet::len), of_source.and_then(|tokens| tokens.first().copied()))
    }

    /// How many have not proven yet who they are.
    pub(crate) fn proving(&self) -> usize {
        self.all_proving.len()
    }

    /// Whether a router there has proven who it is.
    pub(crate) fn is_home(&self, source: IpAddr) -> bool {
        self.proven.contains_key(&source)
    }

    /// Who came first of all that have not proven yet who they are.
    pub(crate) fn first_proving(&self) -> Option<usize> {
        self.all_proving.first().copied()
    }
}
