//! What conntrack is asked, one thing at a time: many searches may share one list, or be looked up in one go.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use vecset::VecMap;

use super::home_network::HomeNetwork;
use super::search::Search;
use crate::model::{MitigationId, Now, Tuple};
use crate::netlink::conntrack::{self, By, ENOENT, Family, Filter, Message};

/// How long the kernel may take to answer; it answers at once.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
/// From so many searches on, one list of a whole family takes the place of one list for each.
const SHARE: usize = 3;
/// With that many entries looked up at once nothing is added: their answers fit the smallest receive buffer.
const ENOUGH: usize = 64;

/// A request under way.
#[derive(Clone, Debug)]
enum Request {
    /// Single entries, perhaps not for the first time; those of a search follow each other. Sequence numbers count up
    /// from the first.
    Single { wanted: Vec<(MitigationId, Tuple)>, first: u32, left: usize, again: bool },
    /// A list for as many.
    List { ids: Vec<MitigationId>, filter: Filter, sequence: u32 },
}

/// Requests to conntrack.
#[derive(Debug)]
pub(super) struct Asking {
    /// What has to be listed once before it is known that no flow is in a zone.
    unlisted: Vec<Filter>,
    /// Whether any flow is, or may be, in another zone than 0, the only one that lookups are about: then they find less
    /// than there is.
    zones: bool,
    request: Option<Request>,
    deadline: Option<Instant>,
    sequence: u32,
    out: VecDeque<Vec<u8>>,
}

impl Default for Asking {
    fn default() -> Self {
        let unlisted = [Family::V4, Family::V6].map(Filter::all).into();
        Self { unlisted, zones: false, request: None, deadline: None, sequence: 0, out: VecDeque::new() }
    }
}

type Searches = VecMap<MitigationId, Search>;

impl Asking {
    /// The next datagram.
    pub(super) fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        self.out.pop_front()
    }

    /// When [`Self::handle_timeout`] wants to be called.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.deadline
    }

    /// Whether an answer is awaited.
    pub(super) fn is_busy(&self) -> bool {
        self.request.is_some()
    }

    /// Takes note of the zone of a flow that begins, is listed or ends.
    pub(super) fn note(&mut self, in_zone: bool) {
        self.zones |= in_zone;
    }

    /// Gives up on an answer that does not come.
    pub(super) fn handle_timeout(&mut self, searches: &mut Searches, home: HomeNetwork<'_>, now: Now) {
        if self.deadline.is_some_and(|due| due <= now.instant) {
            self.finish(true, searches, home, now);
        }
    }

    /// Starts the next request, if none is under way.
    pub(super) fn start(&mut self, searches: &mut Searches, now: Now) {
        if self.request.is_some() {
            return;
        }
        let mut wanted = Vec::new();
        for (id, search) in searches.iter() {
            add(&mut wanted, *id, || Some(search.lookups()?.to_vec()));
        }
        if !wanted.is_empty() {
            return self.look_up(wanted, false, now);
        }
        for (id, search) in searches.iter_mut() {
            add(&mut wanted, *id, || search.readings(now));
        }
        if !wanted.is_empty() {
            return self.look_up(wanted, true, now);
        }
        let Some(filter) = searches.values().find_map(Search::list).copied() else {
            // Nobody waits for this.
            if let Some(filter) = self.unlisted.first().copied() {
                self.list(Vec::new(), filter, now);
            }
            return;
        };
        let wanting = |wants: &dyn Fn(&Filter) -> bool| -> Vec<MitigationId> {
            searches.iter().filter(|(_, search)| search.list().is_some_and(wants)).map(|(id, _)| *id).collect()
        };
        let family = wanting(&|other| other.family == filter.family);
        if family.len() >= SHARE {
            self.list(family, Filter::all(filter.family), now);
        } else {
            self.list(wanting(&|other| *other == filter), filter, now);
        }
    }

    fn look_up(&mut self, wanted: Vec<(MitigationId, Tuple)>, again: bool, now: Now) {
        let by = if again { By::Original } else { By::Reply };
        let first = self.next_sequence(wanted.len());
        for ((_, tuple), sequence) in wanted.iter().zip(first..) {
            self.out.push_back(conntrack::get(by, tuple, sequence));
        }
        self.request = Some(Request::Single { left: wanted.len(), wanted, first, again });
        self.deadline = Some(now.instant + PATIENCE);
    }

    fn list(&mut self, ids: Vec<MitigationId>, filter: Filter, now: Now) {
        let sequence = self.next_sequence(1);
        self.out.push_back(conntrack::dump(&filter, sequence));
        self.request = Some(Request::List { ids, filter, sequence });
        self.deadline = Some(now.instant + PATIENCE);
    }

    /// The first of as many sequence numbers in a row, none of them 0.
    fn next_sequence(&mut self, count: usize) -> u32 {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        let before = if self.sequence.checked_add(count).is_some() { self.sequence } else { 0 };
        self.sequence = before.saturating_add(count);
        before.saturating_add(1)
    }

    /// Takes in a message; what answers no request under way is left aside.
    pub(super) fn handle(
        &mut self,
        sequence: u32,
        message: &Message,
        searches: &mut Searches,
        home: HomeNetwork<'_>,
        now: Now,
    ) {
        if let Message::Flow(flow) | Message::New(flow) = message {
            self.note(flow.has_zone());
        }
        match &self.request {
            Some(Request::Single { first, .. }) => {
                let index = sequence.checked_sub(*first).and_then(|index| usize::try_from(index).ok());
                if let Some(index) = index {
                    self.handle_single(index, message, searches, home, now);
                }
            }
            Some(Request::List { ids, filter, sequence: asked }) if *asked == sequence => match message {
                Message::Flow(flow) | Message::New(flow) => {
                    // A list of a large table takes a while, but not as long as this without a word.
                    self.deadline = Some(now.instant + PATIENCE);
                    for id in ids {
                        if let Some(search) = searches.get_mut(id) {
                            search.consider(flow, home, now);
                        }
                    }
                }
                Message::Done => self.finish(false, searches, home, now),
                // A kernel that does not know the filter may know the list.
                Message::Error(_) if *filter != Filter::all(filter.family) => {
                    let (ids, family) = (ids.clone(), filter.family);
                    self.list(ids, Filter::all(family), now);
                }
                Message::Error(_) => self.finish(true, searches, home, now),
                Message::Destroyed(_) | Message::Other => {}
            },
            _ => {}
        }
    }

    fn handle_single(
        &mut self,
        index: usize,
        message: &Message,
        searches: &mut Searches,
        home: HomeNetwork<'_>,
        now: Now,
    ) {
        let Some(Request::Single { wanted, left, again, .. }) = &mut self.request else { return };
        let Some((id, tuple)) = wanted.get(index) else { return };
        // It may have been ended meanwhile.
        let search = searches.get_mut(id);
        match (message, search) {
            (Message::Flow(flow) | Message::New(flow), Some(search)) => search.consider(flow, home, now),
            (Message::Error(errno), search) => {
                match (*errno, search) {
                    (0, _) | (_, None) => {}
                    (ENOENT, Some(search)) if *again => search.gone(tuple),
                    (ENOENT, _) => {}
                    (_, Some(search)) => search.fail(),
                }
                *left = left.saturating_sub(1);
                if *left == 0 {
                    self.finish(false, searches, home, now);
                }
            }
            _ => {}
        }
    }

    /// The request under way has been answered in full; or not, and will not be.
    pub(super) fn finish(&mut self, failed: bool, searches: &mut Searches, home: HomeNetwork<'_>, now: Now) {
        self.deadline = None;
        // Lookups say all there is to say where everything is in zone 0.
        let whole = self.unlisted.is_empty() && !self.zones;
        match self.request.take() {
            Some(Request::Single { wanted, again, .. }) => {
                let mut ids: Vec<MitigationId> = wanted.into_iter().map(|(id, _)| id).collect();
                ids.dedup();
                for id in ids {
                    let Some(search) = searches.get_mut(&id) else { continue };
                    if again {
                        search.read(home, now);
                        continue;
                    }
                    if failed {
                        search.fail();
                    }
                    search.looked_up(whole, home, now);
                }
            }
            Some(Request::List { ids, filter, .. }) => {
                self.zones |= failed && self.unlisted.contains(&filter);
                self.unlisted.retain(|unlisted| *unlisted != filter);
                for id in ids {
                    let Some(search) = searches.get_mut(&id) else { continue };
                    if failed {
                        search.fail();
                    }
                    search.listed(&filter, home, now);
                }
            }
            None => {}
        }
    }
}

/// Adds what a search wants, unless there is enough.
fn add(wanted: &mut Vec<(MitigationId, Tuple)>, id: MitigationId, wants: impl FnOnce() -> Option<Vec<Tuple>>) {
    if wanted.len() < ENOUGH {
        wanted.extend(wants().into_iter().flatten().map(|tuple| (id, tuple)));
    }
}
