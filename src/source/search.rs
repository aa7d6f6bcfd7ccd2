//! The search for whom one request speaks of, from its first look to the end of its lifetime.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::attribution::{View, views};
use super::candidates::{Candidates, Sighting, owner};
use super::device::{Confidence, Sender, Suspect};
use super::ended::{Ended, Ring};
use super::home_network::HomeNetwork;
use super::plan;
use super::senders::Senders;
use crate::model::{Backoff, Flow, Mac, Now, Scope, Tuple};
use crate::netlink::conntrack::Filter;

/// When flows found are looked at again, counted from when they were found: first to see whether they send at all, then
/// for their rate.
const READINGS: [Duration; 5] = [
    Duration::from_millis(100),
    Duration::from_secs(1),
    Duration::from_secs(3),
    Duration::from_secs(6),
    Duration::from_secs(10),
];
/// Most flows looked at again at a time.
const MOST_READINGS: usize = 64;
/// Most addresses asked for in one look: whoever makes up addresses must not keep the neighbourhood busy.
const MOST_UNKNOWN: usize = 8;
/// The pauses after looks that found nobody sure.
const PAUSES: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60));
/// The longest pause before a look that something new calls for.
const SOON: Duration = Duration::from_secs(8);
/// Reports that follow each other are this far apart.
const BETWEEN_REPORTS: Duration = Duration::from_millis(100);

/// What a search wants from conntrack next.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Wants {
    /// Single entries.
    Lookups(Vec<Tuple>),
    /// Lists.
    Lists(Vec<Filter>),
    /// Nothing for now.
    Nothing,
}

/// One search.
#[derive(Debug)]
pub(super) struct Search {
    scope: Scope,
    candidates: Candidates,
    senders: Senders,
    /// Whether the next look has to begin from nothing: those who seemed to send do not.
    outdated: bool,
    /// Addresses of senders nobody knew during this look, and how many of them have been asked for.
    unknown: Vec<IpAddr>,
    asked_for: usize,
    wants: Wants,
    backoff: Backoff,
    /// Whether the last look has seen everything.
    complete: bool,
    failed: bool,
    next_look: Option<Instant>,
    /// When the flows to be read again were found, and how often that has been done since.
    found: Option<(Instant, usize)>,
    /// What was said last.
    said: Option<Vec<Suspect>>,
    /// When it was last seen whether there is something new to say.
    weighed: Option<Instant>,
    /// When to see so again.
    news: Option<Instant>,
}

impl Search {
    /// A search that wants to look at once.
    pub(super) fn new(scope: Scope) -> Self {
        Self {
            scope,
            candidates: Candidates::default(),
            senders: Senders::default(),
            outdated: false,
            unknown: Vec::new(),
            asked_for: 0,
            wants: Wants::Nothing,
            backoff: PAUSES,
            complete: false,
            failed: false,
            next_look: None,
            found: None,
            said: None,
            weighed: None,
            news: None,
        }
    }

    /// What is searched for.
    pub(super) fn scope(&self) -> &Scope {
        &self.scope
    }

    /// Begins again: looks as soon as no look is under way, and says what it finds even if that has been said.
    pub(super) fn again(&mut self, now: Now) {
        self.backoff.reset();
        (self.said, self.news, self.next_look) = (None, None, Some(now.instant));
    }

    /// Takes in who sends what is searched for; begins anew where that is another one than it seemed. Tells in whose name
    /// others do, and whether it does so itself.
    pub(super) fn witnessed<'a>(
        &mut self,
        seen: impl Iterator<Item = &'a Sender>,
        home: HomeNetwork<'_>,
        now: Now,
    ) -> Vec<(Mac, bool)> {
        let holder = |address| home.network.locate(address, home.inventory).map(|at| at.mac);
        if !self.senders.note(seen, holder) {
            return Vec::new();
        }
        self.outdated = true;
        self.again(now);
        self.senders.framed(holder)
    }

    /// Begins a look.
    pub(super) fn look(&mut self, ended: &Ring, home: HomeNetwork<'_>, now: Now) {
        if std::mem::take(&mut self.outdated) {
            self.candidates = Candidates::default();
        }
        self.candidates.begin();
        self.unknown.clear();
        self.asked_for = 0;
        (self.next_look, self.failed) = (None, false);
        // First of all: nothing is said before the look is over.
        self.wants = plan::lookups(&self.scope).map_or_else(|| self.lists(home), Wants::Lookups);
        let targets = self.scope.target_prefixes.clone();
        for ended in ended.aimed_at(&targets, now.instant) {
            self.remember(&ended, home, now);
        }
        self.next_list(home, now);
    }

    fn lists(&self, home: HomeNetwork<'_>) -> Wants {
        Wants::Lists(plan::filters(&self.scope, |address| home.network.is_local(address)))
    }

    /// Entries to be looked up now.
    pub(super) fn lookups(&self) -> Option<&[Tuple]> {
        match &self.wants {
            Wants::Lookups(tuples) => Some(tuples.as_slice()),
            _ => None,
        }
    }

    /// The next list to be had.
    pub(super) fn list(&self) -> Option<&Filter> {
        match &self.wants {
            Wants::Lists(filters) => filters.first(),
            _ => None,
        }
    }

    /// All entries looked up have been seen. `whole`: there can be no others like them.
    pub(super) fn looked_up(&mut self, whole: bool, home: HomeNetwork<'_>, now: Now) {
        if self.lookups().is_none() {
            return;
        }
        if whole && self.candidates.any_full() {
            self.end_look(home, now);
        } else {
            self.wants = self.lists(home);
            self.next_list(home, now);
        }
    }

    /// A list has been seen: this one, or of its whole family.
    pub(super) fn listed(&mut self, filter: &Filter, home: HomeNetwork<'_>, now: Now) {
        if let Wants::Lists(filters) = &mut self.wants {
            let whole = *filter == Filter::all(filter.family);
            filters.retain(|wanted| wanted != filter && !(whole && wanted.family == filter.family));
            self.next_list(home, now);
        }
    }

    fn next_list(&mut self, home: HomeNetwork<'_>, now: Now) {
        if matches!(&self.wants, Wants::Lists(filters) if filters.is_empty()) {
            self.end_look(home, now);
        }
    }

    /// Something the look wanted to see could not be had.
    pub(super) fn fail(&mut self) {
        self.failed = true;
    }

    fn end_look(&mut self, home: HomeNetwork<'_>, now: Now) {
        (self.wants, self.complete) = (Wants::Nothing, !self.failed);
        self.candidates.finish();
        self.found = self.candidates.living().next().map(|_| (now.instant, 0));
        self.pause(home, now);
        self.tell(now);
    }

    /// There may be something new to say; the first word waits for the first look to be complete.
    fn tell(&mut self, now: Now) {
        if self.outdated || self.said.is_none() && self.wants != Wants::Nothing {
            return;
        }
        let due = self.weighed.filter(|_| self.said.is_some()).map_or(now.instant, |at| at + BETWEEN_REPORTS);
        let due = due.max(now.instant);
        self.news = Some(self.news.map_or(due, |news| news.min(due)));
    }

    /// Decides when to look next.
    fn pause(&mut self, home: HomeNetwork<'_>, now: Now) {
        if self.settled(home) && !self.outdated {
            self.next_look = None;
        } else if self.next_look.is_none() {
            self.next_look = Some(now.instant + self.backoff.pause());
        }
    }

    fn settled(&self, home: HomeNetwork<'_>) -> bool {
        self.suspects(home).first().is_some_and(|suspect| suspect.confidence >= Confidence::Likely)
    }

    /// Something has been missed, or somebody unknown may be known now: looks again before long.
    pub(super) fn hurry(&mut self, missed: bool, now: Now) {
        let nobody = self.said.as_ref().is_some_and(Vec::is_empty);
        if missed || nobody || self.candidates.has_strangers() {
            self.complete &= !missed;
            let soon = now.instant + self.backoff.next_pause().min(SOON);
            if self.wants == Wants::Nothing {
                self.next_look = Some(self.next_look.map_or(soon, |next| next.min(soon)));
            }
        }
    }

    /// Takes in a flow that exists.
    pub(super) fn consider(&mut self, flow: &Flow, home: HomeNetwork<'_>, now: Now) {
        for view in views(flow) {
            // Whoever has sent nothing is not the one.
            if view.sent.is_none_or(|sent| sent.packets > 0) {
                self.consider_view(flow, &view, false, home, now);
            }
        }
    }

    /// Takes in a flow that has just been opened.
    pub(super) fn opened(&mut self, flow: &Flow, home: HomeNetwork<'_>, now: Now) {
        let [opener, _] = views(flow);
        self.consider_view(flow, &opener, true, home, now);
    }

    fn consider_view(&mut self, flow: &Flow, view: &View, opened: bool, home: HomeNetwork<'_>, now: Now) {
        let Some(fit) = view.fit(&self.scope, home.network.is_local(view.device)) else { return };
        let holder = home.network.locate(view.device, home.inventory);
        let (senders, doubtful) = self.senders.of(view.device, holder, home.network);
        let contested = doubtful || home.inventory.contested(view.device, now.instant);
        for at in &senders {
            let sighting = Sighting { contested, opened, ..Sighting::of(flow, view, fit, at, now) };
            if self.candidates.see(at.mac, sighting, now.instant) && self.next_reading().is_none() {
                self.found = Some((now.instant, 0));
            }
            self.tell(now);
        }
        if senders.is_empty() {
            self.candidates.strange(fit);
            if self.unknown.len() < MOST_UNKNOWN && !self.unknown.contains(&view.device) {
                self.unknown.push(view.device);
            }
        }
    }

    /// An address that a sender has and nobody is known to have. One who never gets an answer may never have told the
    /// router of a new address.
    pub(super) fn poll_unknown(&mut self) -> Option<IpAddr> {
        let address = self.unknown.get(self.asked_for).copied()?;
        self.asked_for += 1;
        Some(address)
    }

    /// Takes in a flow that has ended.
    pub(super) fn remember(&mut self, ended: &Ended, home: HomeNetwork<'_>, now: Now) {
        self.candidates.end(&ended.flow.original, Some(ended.flow.id));
        for view in views(&ended.flow).iter().filter(|view| view.sent.is_none_or(|sent| sent.packets > 0)) {
            let Some(fit) = view.fit(&self.scope, ended.located.is_none()) else { continue };
            let Ended { flow, located, contested, at: seen } = *ended;
            let (senders, doubtful) = self.senders.of(view.device, located, home.network);
            if senders.is_empty() {
                self.candidates.strange(fit);
            }
            for at in &senders {
                let sighting = Sighting::of(&flow, view, fit, at, now);
                let sighting = Sighting { contested: contested || doubtful, ended: true, seen, ..sighting };
                self.candidates.see(at.mac, sighting, now.instant);
                self.tell(now);
            }
        }
    }

    /// The flows to be read again, if it is time.
    pub(super) fn readings(&mut self, now: Now) -> Option<Vec<Tuple>> {
        self.next_reading().filter(|due| *due <= now.instant)?;
        let (at, count) = self.found?;
        self.found = Some((at, count + 1));
        let tuples: Vec<Tuple> = self.candidates.living().take(MOST_READINGS).collect();
        (!tuples.is_empty()).then_some(tuples)
    }

    /// A flow to be read again is gone.
    pub(super) fn gone(&mut self, original: &Tuple) {
        self.candidates.end(original, None);
    }

    /// All flows have been read again.
    pub(super) fn read(&mut self, home: HomeNetwork<'_>, now: Now) {
        self.pause(home, now);
        self.tell(now);
    }

    /// What there is to say now, if anything.
    pub(super) fn report(&mut self, home: HomeNetwork<'_>, now: Now) -> Option<Vec<Suspect>> {
        self.news.take_if(|due| *due <= now.instant)?;
        self.weighed = Some(now.instant);
        let suspects = self.suspects(home);
        if self.said.as_ref() == Some(&suspects) {
            return None;
        }
        self.said = Some(suspects.clone());
        Some(suspects)
    }

    fn suspects(&self, home: HomeNetwork<'_>) -> Vec<Suspect> {
        let suspects = self.candidates.suspects(home, self.complete);
        if !suspects.is_empty() {
            return suspects;
        }
        let hosts = self.scope.source_prefixes.iter().filter(|net| net.prefix_len() == net.max_prefix_len());
        let owned = |address: IpAddr| owner(address, home.inventory).filter(|_| !home.network.is_local(address));
        hosts.filter_map(|net| owned(net.addr())).collect()
    }

    fn next_reading(&self) -> Option<Instant> {
        let (at, count) = self.found?;
        Some(at + *READINGS.get(count)?)
    }

    /// Whether it is time to look again.
    pub(super) fn look_due(&self, now: Now) -> bool {
        self.next_look().is_some_and(|due| due <= now.instant)
    }

    /// When to look again; not while a look is under way, whose answers would count for the next.
    fn next_look(&self) -> Option<Instant> {
        self.next_look.filter(|_| self.wants == Wants::Nothing)
    }

    /// When something is due; flows can only be read while conntrack is not `busy` with another question.
    pub(super) fn poll_timeout(&self, busy: bool) -> Option<Instant> {
        let reading = self.next_reading().filter(|_| !busy);
        [self.next_look(), reading, self.news].into_iter().flatten().min()
    }
}
