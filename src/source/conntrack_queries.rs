//! What conntrack is asked: many searches may share one list, or be looked up in one go.

use std::time::{Duration, Instant};

use vecset::VecMap;

use super::direction::Direction;
use super::home_network::HomeNetwork;
use super::older::OlderFlows;
use super::search::Search;
use crate::model::{MitigationId, Now, Tuple};
use crate::netlink::Exchange;
use crate::netlink::conntrack::{self, By, ENOENT, Message};

/// How long the kernel may take to answer; it answers at once.
const PATIENCE: Duration = Duration::from_secs(5);
/// Most searches that share a list: each of its flows is held against all of them.
const MOST_SHARING: usize = 64;
/// With that many entries looked up at once nothing is added: their answers fit the smallest receive buffer.
const ENOUGH: usize = 64;

/// Numbers of lists: single entries have those below.
const LISTS: u32 = 1 << 31;

/// Single entries, perhaps not for the first time; those of a search follow each other.
#[derive(Debug)]
struct Singles {
    wanted: Vec<(MitigationId, Tuple)>,
    left: usize,
    again: bool,
}

/// A list of all entries for as many searches. `owed`: it is the one that has to be had once.
#[derive(Debug)]
struct List {
    ids: Vec<MitigationId>,
    owed: bool,
}

impl Singles {
    fn datagrams(&self, first: u32) -> Vec<Vec<u8>> {
        let by = if self.again { By::Original } else { By::Reply };
        self.wanted.iter().zip(first..).map(|((_, tuple), sequence)| conntrack::get(by, tuple, sequence)).collect()
    }
}

/// Requests to conntrack.
#[derive(Debug)]
pub(super) struct ConntrackQueries {
    /// Whether a list has to be had before it is known that no flow is in a zone, and which are older than the table of
    /// senders.
    unlisted: bool,
    older: OlderFlows,
    /// Whether any flow is, or may be, in another zone than 0, the only one that lookups are about: then they find less
    /// than there is.
    zones: bool,
    zones_noted: bool,
    singles: Exchange<Singles>,
    /// Under way at the same time: a long list keeps nobody from looking up what is named.
    list: Exchange<List>,
}

impl Default for ConntrackQueries {
    fn default() -> Self {
        Self {
            unlisted: true,
            older: OlderFlows::unknown(None),
            zones: false,
            zones_noted: false,
            singles: Exchange::default(),
            list: Exchange::numbered_after(LISTS),
        }
    }
}

type Searches = VecMap<MitigationId, Search>;

impl ConntrackQueries {
    /// The next datagram.
    pub(super) fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        self.singles.poll_transmit().or_else(|| self.list.poll_transmit())
    }

    /// When [`Self::handle_timeout`] wants to be called.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        [self.singles.poll_timeout(), self.list.poll_timeout()].into_iter().flatten().min()
    }

    /// Whether single entries are awaited.
    pub(super) fn is_busy(&self) -> bool {
        self.singles.request().is_some()
    }

    /// Takes note of the zone of a flow that begins, is listed or ends. Tells whether that is new.
    pub(super) fn handle_zone(&mut self, in_zone: bool) -> bool {
        let is_new = in_zone && !self.zones;
        self.zones |= in_zone;
        is_new
    }

    /// Takes whether the table of senders notes flows in zones: with it goes what it has noted.
    pub(super) fn set_zones_noted(&mut self, noted: bool) {
        if std::mem::replace(&mut self.zones_noted, noted) && !noted {
            self.unlisted = true;
        }
    }

    /// The table of senders has been made: all flows there are now are older.
    pub(super) fn handle_table_made(&mut self, now: Now) {
        self.unlisted = true;
        self.older = OlderFlows::unknown(Some(now.instant));
        if let Some(list) = self.list.request_mut() {
            list.owed = false;
        }
    }

    /// The flows that are older than the table of senders.
    pub(super) fn older(&self) -> &OlderFlows {
        &self.older
    }

    /// Whatever is that old has been noted since, where it can be.
    pub(super) fn handle_noted(&mut self) {
        self.older.handle_noted();
    }

    /// Gives up on an answer that does not come.
    pub(super) fn handle_timeout(&mut self, searches: &mut Searches, now: Now) {
        if self.singles.is_due(now.instant) {
            self.finish_singles(true, searches, now);
        }
        if self.list.is_due(now.instant) {
            self.finish_list(true, searches, now);
        }
    }

    /// Gives up on answers that may be lost.
    pub(super) fn handle_overrun(&mut self, searches: &mut Searches, now: Now) {
        self.finish_singles(true, searches, now);
        self.finish_list(true, searches, now);
    }

    /// Starts the next requests, unless such are under way. `settled`: the table of senders stands, or can't for now.
    pub(super) fn start_next(&mut self, searches: &mut Searches, settled: bool, now: Now) {
        if !self.is_busy() {
            self.start_singles(searches, now);
        }
        if self.list.request().is_some() {
            return;
        }
        let wanting = searches.iter().filter(|(_, search)| search.wants_list()).map(|(id, _)| *id);
        let ids: Vec<MitigationId> = wanting.take(MOST_SHARING).collect();
        let owed = self.unlisted && settled;
        // One that is owed is had although nobody waits for it.
        if owed || !ids.is_empty() {
            self.list.start(List { ids, owed }, |_, first| vec![conntrack::list(first)]);
            self.list.set_deadline(now.instant + PATIENCE);
        }
    }

    fn start_singles(&mut self, searches: &mut Searches, now: Now) {
        let mut wanted = Vec::new();
        for (id, search) in searches.iter() {
            add(&mut wanted, *id, || Some(search.lookups()?.to_vec()));
        }
        let again = wanted.is_empty();
        if again {
            for (id, search) in searches.iter_mut() {
                add(&mut wanted, *id, || search.poll_readings(now));
            }
        }
        if !wanted.is_empty() {
            self.singles.start(Singles { left: wanted.len(), wanted, again }, Singles::datagrams);
            self.singles.set_deadline(now.instant + PATIENCE);
        }
    }

    /// Takes in a message; what answers no request under way is left aside.
    pub(super) fn handle_message(
        &mut self,
        sequence: u32,
        message: &Message,
        searches: &mut Searches,
        home: &HomeNetwork,
        now: Now,
    ) {
        if let Message::Flow(flow) | Message::New(flow) = message {
            self.handle_zone(flow.has_zone());
        }
        if let Some(part) = self.singles.part(sequence) {
            self.handle_single(part, message, searches, home, now);
        } else if self.list.part(sequence).is_some() {
            self.handle_listed(message, searches, home, now);
        }
    }

    fn handle_single(&mut self, part: usize, message: &Message, searches: &mut Searches, home: &HomeNetwork, now: Now) {
        let Some(Singles { wanted, left, again }) = self.singles.request_mut() else { return };
        let Some((id, tuple)) = wanted.get(part) else { return };
        // It may have been ended meanwhile.
        let search = searches.get_mut(id);
        match (message, search) {
            (Message::Flow(flow) | Message::New(flow), Some(search)) => {
                search.handle_flow(&Direction::both(flow), home, now);
            }
            (Message::Error(errno), search) => {
                match (*errno, search) {
                    (0, _) | (_, None) => {}
                    (ENOENT, Some(search)) if *again => search.handle_gone(tuple),
                    (ENOENT, _) => {}
                    (_, Some(search)) => search.handle_failure(),
                }
                *left = left.saturating_sub(1);
                if *left == 0 {
                    self.finish_singles(false, searches, now);
                }
            }
            _ => {}
        }
    }

    fn handle_listed(&mut self, message: &Message, searches: &mut Searches, home: &HomeNetwork, now: Now) {
        let Some(List { ids, owed }) = self.list.request() else { return };
        match message {
            Message::Flow(flow) | Message::New(flow) => {
                if *owed {
                    self.older.add(flow.id);
                }
                let directions = Direction::both(flow);
                for id in ids {
                    if let Some(search) = searches.get_mut(id) {
                        search.handle_flow(&directions, home, now);
                    }
                }
                // A list of a large table takes a while, but not as long as this without a word.
                self.list.set_deadline(now.instant + PATIENCE);
            }
            Message::Done => self.finish_list(false, searches, now),
            Message::Error(_) => self.finish_list(true, searches, now),
            Message::Destroyed(_) | Message::Other => {}
        }
    }

    /// The entries looked up have been told; or not all, and will not be.
    fn finish_singles(&mut self, failed: bool, searches: &mut Searches, now: Now) {
        // They say all there is to say where everything is in zone 0.
        let whole = !self.unlisted && !self.zones;
        let Some(Singles { wanted, again, .. }) = self.singles.end() else { return };
        let mut ids: Vec<MitigationId> = wanted.into_iter().map(|(id, _)| id).collect();
        ids.dedup();
        for id in ids {
            let Some(search) = searches.get_mut(&id) else { continue };
            if again {
                search.handle_readings_end(now);
                continue;
            }
            if failed {
                search.handle_failure();
            }
            search.handle_lookups_end(whole, now);
        }
    }

    /// The list is complete; or not, and will not be.
    fn finish_list(&mut self, failed: bool, searches: &mut Searches, now: Now) {
        let Some(List { ids, owed }) = self.list.end() else { return };
        self.zones |= failed && owed;
        self.unlisted &= !owed;
        if failed && owed {
            self.older.lose();
        } else if owed {
            self.older.end_listing();
            searches.values_mut().for_each(|search| search.reconsider(now));
        }
        for id in ids {
            let Some(search) = searches.get_mut(&id) else { continue };
            if failed {
                search.handle_failure();
            }
            search.handle_list_end(now);
        }
    }
}

/// Adds what a search wants, unless there is enough.
fn add(wanted: &mut Vec<(MitigationId, Tuple)>, id: MitigationId, wants: impl FnOnce() -> Option<Vec<Tuple>>) {
    if wanted.len() < ENOUGH {
        wanted.extend(wants().into_iter().flatten().map(|tuple| (id, tuple)));
    }
}
