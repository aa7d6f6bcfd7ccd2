//! The search for whom one request speaks of, from its first look to the end of its lifetime.

use std::net::IpAddr;
use std::time::Instant;

use vecset::VecSet;

use super::candidate::owner;
use super::candidates::Candidates;
use super::direction::{Direction, Match};
use super::ended::{Cursor, EndedFlow, EndedFlows, Work};
use super::event::Report;
use super::home_network::HomeNetwork;
use super::network::Located;
use super::observation::Observation;
use super::older::OlderFlows;
use super::plan;
use super::readings::Readings;
use super::schedule::Schedule;
use super::sender_table::Witnessed;
use super::senders::Senders;
use super::strangers::Strangers;
use super::suspect::{Sender, Suspect};
use crate::model::{Mac, Now, Scope, Tuple};

/// Most flows read again at a time.
const MOST_READINGS: usize = 64;
/// Most addresses asked for in one look: whoever makes up addresses must not keep the neighbourhood busy.
const MOST_UNKNOWN: usize = 8;
/// Most addresses for which the table of senders is asked, as nobody is known to have them.
const MOST_UNATTRIBUTED: usize = 64;

/// What a search wants from conntrack next.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Wants {
    /// Single entries.
    Lookups(Vec<Tuple>),
    /// A list of all entries.
    List,
    /// Nothing more for this look.
    NoMore,
    /// Nothing for now.
    Nothing,
}

/// One search.
#[derive(Debug)]
pub(super) struct Search {
    scope: Scope,
    candidates: Candidates,
    senders: Senders,
    schedule: Schedule,
    /// Whether the next look has to begin from nothing: those who seemed to send do not.
    outdated: bool,
    /// Addresses during this look of senders nobody knew, or of which one device has one only; and how many of them have been
    /// asked for.
    unknown: Vec<IpAddr>,
    asked_for: usize,
    /// Addresses that nobody is known to have, but that somebody may have been noted to use.
    unattributed: VecSet<IpAddr>,
    wants: Wants,
    /// Where to go on with the flows that have ended, until the look has seen all of them.
    ended: Option<Cursor>,
    /// Whether the last look has seen everything.
    complete: bool,
    failed: bool,
    /// The suspects of the last report.
    reported: Option<Vec<Suspect>>,
    strangers: Strangers,
    readings: Readings,
}

impl Search {
    /// A search that wants to look at once.
    pub(super) fn new(scope: Scope) -> Self {
        Self {
            scope,
            candidates: Candidates::default(),
            senders: Senders::default(),
            schedule: Schedule::default(),
            outdated: false,
            unknown: Vec::new(),
            asked_for: 0,
            unattributed: VecSet::new(),
            wants: Wants::Nothing,
            ended: None,
            complete: false,
            failed: false,
            reported: None,
            strangers: Strangers::default(),
            readings: Readings::default(),
        }
    }

    /// Bounds how many devices are kept, and about two flows for each.
    pub(super) fn set_most_suspects(&mut self, most: usize) {
        self.candidates.set_most(most);
    }

    /// What is searched for.
    pub(super) fn scope(&self) -> &Scope {
        &self.scope
    }

    /// Begins again: looks as soon as no look is under way, and reports what it finds even if that has been reported.
    pub(super) fn restart(&mut self, now: Now) {
        self.reported = None;
        self.schedule.restart(now.instant);
    }

    /// Takes in who sends what is searched for, as the sender log shows, and whether that was full; begins anew where it is
    /// another one than it seemed. Tells in whose name others send, and whether that device does so itself.
    pub(super) fn handle_senders<'a>(
        &mut self,
        seen: impl Iterator<Item = &'a Sender>,
        full: bool,
        home: &HomeNetwork,
        now: Now,
    ) -> Vec<(Mac, bool)> {
        let holder = |address| home.locate(address).map(|at| at.mac);
        let differs = self.senders.add(seen, holder);
        if self.senders.handle_log(full, now.instant) && self.candidates.live_flows().next().is_some() {
            // What sends from now on is seen in the log as well.
            self.schedule.read_from(now.instant);
        }
        if !differs {
            self.catch(now);
            let mut former = self.reported.iter().flatten().flat_map(|suspect| &suspect.former);
            if former.any(|address| self.senders.has_seen(*address)) {
                self.plan_report(now);
            }
            return Vec::new();
        }
        self.begin_anew(now);
        self.senders.poll_spoofed(holder)
    }

    /// Begins again from nothing.
    pub(super) fn begin_anew(&mut self, now: Now) {
        self.outdated = true;
        self.readings.stop_awaiting();
        self.restart(now);
    }

    /// Notes which flows their devices were caught at.
    fn catch(&mut self, now: Now) {
        let mut caught = false;
        for (mac, observation) in self.candidates.observations_mut() {
            if !observation.caught && self.senders.catches(mac, observation, now.instant) {
                observation.caught = true;
                caught = true;
            }
        }
        if caught {
            self.plan_report(now);
        }
    }

    /// The sender log was away for a while.
    pub(super) fn handle_log_lost(&mut self) {
        self.senders.handle_log_lost();
    }

    /// Whether a report is due that needs the table of senders to be read first.
    pub(super) fn wants_reading(&mut self, now: Now) -> bool {
        let is_due = self.schedule.next_report().is_some_and(|due| due <= now.instant);
        if is_due {
            self.readings.await_needed();
        }
        self.readings.are_awaited()
    }

    /// A reading begins: it covers all that has been observed so far.
    pub(super) fn begin_reading(&mut self) {
        self.readings.begin();
    }

    /// Takes in what the table of senders has noted; nothing: it can't be read.
    pub(super) fn end_reading(&mut self, witnessed: Option<&Witnessed>, home: &HomeNetwork, now: Now) {
        self.readings.end();
        let Some(witnessed) = witnessed else { return self.senders.forget_before() };
        let in_question = |sender: &Sender| self.candidates.has(sender.mac) && home.is_inside(sender);
        self.senders.set_openers(&witnessed.senders, in_question);
        let mut differs = false;
        let mut addresses: Vec<IpAddr> = Vec::new();
        for address in self.candidates.addresses().chain(self.unattributed.iter().copied()) {
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        for address in addresses {
            let of = |sender: &&Sender| sender.address == address && home.is_inside(sender);
            let senders = witnessed.senders.iter().filter(of).copied().collect();
            let holder = home.locate(address).map(|at| at.mac);
            differs |= self.senders.add_before(address, senders, !witnessed.missed, holder);
        }
        if differs {
            self.begin_anew(now);
        }
    }

    /// Perhaps more is known now of who had opened the flows observed.
    pub(super) fn reconsider(&mut self, now: Now) {
        self.readings.need_next();
        self.plan_report(now);
    }

    /// Begins a look; [`Self::look_at_ended`] follows.
    pub(super) fn start_look(&mut self) {
        if std::mem::take(&mut self.outdated) {
            self.candidates = Candidates::new(self.candidates.most());
        }
        self.candidates.begin_look();
        self.unknown.clear();
        self.unattributed.clear();
        self.asked_for = 0;
        self.schedule.stop_looking();
        self.failed = false;
        // First of all: nothing is reported before the look is over.
        self.wants = plan::lookups(&self.scope).map_or_else(|| self.list(), Wants::Lookups);
        self.ended = Some(Cursor::default());
    }

    /// Whether the look has not seen all flows yet that have ended.
    pub(super) fn is_looking_at_ended(&self) -> bool {
        self.ended.is_some()
    }

    /// Goes on with the flows that have ended, as long as there is `work` left for this turn.
    pub(super) fn look_at_ended(&mut self, ended: &EndedFlows, work: &mut Work, home: &HomeNetwork, now: Now) {
        let Some(cursor) = &mut self.ended else { return };
        let (found, over) = ended.aimed_at(&self.scope.target_prefixes, cursor, work, now.instant);
        for ended in found {
            self.handle_ended_flow(&ended, &Direction::both(&ended.flow), home, now);
        }
        if over {
            self.ended = None;
            self.end_look_if_complete(now);
        }
    }

    fn list(&self) -> Wants {
        if plan::is_possible(&self.scope) { Wants::List } else { Wants::NoMore }
    }

    /// Entries to be looked up now.
    pub(super) fn lookups(&self) -> Option<&[Tuple]> {
        match &self.wants {
            Wants::Lookups(tuples) => Some(tuples.as_slice()),
            _ => None,
        }
    }

    /// Whether a list is to be had now.
    pub(super) fn wants_list(&self) -> bool {
        self.wants == Wants::List
    }

    /// All entries looked up have been seen. `whole`: there can be no others like them.
    pub(super) fn handle_lookups_end(&mut self, whole: bool, now: Now) {
        if self.lookups().is_none() {
            return;
        }
        self.wants = if whole && self.candidates.has_full_match() { Wants::NoMore } else { self.list() };
        self.end_look_if_complete(now);
    }

    /// A list has been seen.
    pub(super) fn handle_list_end(&mut self, now: Now) {
        if self.wants_list() {
            self.wants = Wants::NoMore;
            self.end_look_if_complete(now);
        }
    }

    /// Something the look wanted to see could not be had.
    pub(super) fn handle_failure(&mut self) {
        self.failed = true;
    }

    /// Ends the look unless there is more to be had.
    fn end_look_if_complete(&mut self, now: Now) {
        if self.ended.is_some() || self.wants != Wants::NoMore {
            return;
        }
        self.wants = Wants::Nothing;
        self.complete = !self.failed;
        self.candidates.end_look();
        match self.candidates.live_flows().next() {
            Some(_) => self.schedule.read_from(now.instant),
            None => self.schedule.stop_reading(),
        }
        self.plan_look(now);
        self.plan_report(now);
    }

    /// There may be something new to report; the first report waits for the first look to be complete.
    fn plan_report(&mut self, now: Now) {
        let is_first = self.reported.is_none();
        let too_early = is_first && self.wants != Wants::Nothing;
        if !self.outdated && !too_early {
            self.schedule.report(is_first, now.instant);
        }
    }

    /// Decides when to look next.
    fn plan_look(&mut self, now: Now) {
        if !self.outdated && self.candidates.is_settled(self.complete) {
            self.schedule.stop_looking();
        } else {
            self.schedule.look_later(now.instant);
        }
    }

    /// Somebody unknown may be known now, or, where `missed`, something has not been seen: looks again before long.
    pub(super) fn handle_change(&mut self, missed: bool, now: Now) {
        let nobody = self.reported.as_ref().is_some_and(Vec::is_empty);
        if self.reported.iter().flatten().any(|suspect| suspect.is_shared() || !suspect.former.is_empty()) {
            self.plan_report(now);
        }
        if missed || nobody || self.candidates.has_unattributed() {
            self.complete &= !missed;
            if self.wants == Wants::Nothing {
                self.schedule.look_soon(now.instant);
            }
        }
    }

    /// Takes in both directions of a flow that exists. Whoever has sent nothing is not the one.
    pub(super) fn handle_flow(&mut self, directions: &[Direction<'_>; 2], home: &HomeNetwork, now: Now) {
        for direction in directions.iter().filter(|direction| direction.may_have_sent()) {
            self.observe(direction, false, home, now);
        }
    }

    /// Takes in the opener's direction of a flow that has just been made: whoever opens a flow sends.
    pub(super) fn handle_new_flow(&mut self, opener: &Direction<'_>, home: &HomeNetwork, now: Now) {
        self.observe(opener, true, home, now);
    }

    fn observe(&mut self, direction: &Direction<'_>, sending: bool, home: &HomeNetwork, now: Now) {
        let device = direction.device;
        let Some(matched) = direction.matches(&self.scope, home.network.is_local(device)) else {
            return self.strangers.observe_asker(direction, &self.scope, home);
        };
        let (senders, doubtful) = self.senders_of(device, home.locate(device), matched, home);
        let reassigned = doubtful || home.inventory.is_reassigned(device, now.instant);
        for at in &senders {
            let observation = self.observation(direction, matched, at, now);
            let observation = Observation { reassigned, sending, ..observation };
            if self.candidates.observe(at.mac, observation) && self.schedule.next_reading().is_none() {
                self.schedule.read_from(now.instant);
            }
            self.plan_report(now);
        }
        if senders.is_empty() {
            self.ask_for(device);
        }
    }

    fn ask_for(&mut self, address: IpAddr) {
        if self.unknown.len() < MOST_UNKNOWN && !self.unknown.contains(&address) {
            self.unknown.push(address);
        }
    }

    /// What has been seen now is covered by the next reading of the table of senders.
    fn observation(&mut self, direction: &Direction<'_>, matched: Match, at: &Located, now: Now) -> Observation {
        let covered_by = self.readings.need_next();
        Observation { covered_by, ..Observation::new(direction, matched, at, now) }
    }

    /// Who sends from an address, and whether that is in doubt; notes where nobody known does.
    fn senders_of(
        &mut self,
        address: IpAddr,
        holder: Option<Located>,
        matched: Match,
        home: &HomeNetwork,
    ) -> (Vec<Located>, bool) {
        let (mut senders, doubtful) = self.senders.of(address, holder, &home.network);
        // Whoever uses the router's Ethernet address is nobody who could be blocked.
        senders.retain(|at| !home.network.is_own_mac(at.mac, at.link));
        if senders.is_empty() {
            self.candidates.observe_unattributed(matched, address);
            self.expect_senders_of(address, home);
        }
        (senders, doubtful)
    }

    /// Nobody known has this address: the table of senders may tell who uses it.
    fn expect_senders_of(&mut self, address: IpAddr, home: &HomeNetwork) {
        if !home.network.is_local(address) && self.unattributed.len() < MOST_UNATTRIBUTED {
            self.unattributed.insert(address);
            self.readings.need_next();
        }
    }

    /// An address that a sender has and nobody is known to have, as one who never gets an answer may never have told the router
    /// of a new address; or one of several under one Ethernet address, of whom some may be away.
    pub(super) fn poll_unknown(&mut self) -> Option<IpAddr> {
        let address = self.unknown.get(self.asked_for).copied()?;
        self.asked_for += 1;
        Some(address)
    }

    /// Takes in both directions of a flow that has ended.
    pub(super) fn handle_ended_flow(
        &mut self,
        ended: &EndedFlow,
        directions: &[Direction<'_>; 2],
        home: &HomeNetwork,
        now: Now,
    ) {
        let EndedFlow { flow, located, reassigned, at: seen } = *ended;
        self.candidates.end_flow(&flow.original, Some(flow.id));
        for direction in directions.iter().filter(|direction| direction.may_have_sent()) {
            let Some(matched) = direction.matches(&self.scope, located.is_none()) else { continue };
            let (senders, doubtful) = self.senders_of(direction.device, located, matched, home);
            let reassigned = reassigned || doubtful;
            for at in &senders {
                let observation = self.observation(direction, matched, at, now);
                self.candidates.observe(at.mac, Observation { reassigned, ended: true, seen, ..observation });
                self.plan_report(now);
            }
        }
    }

    /// Somebody is shown what was found.
    pub(super) fn handle_shown(&mut self, now: Now) {
        if self.candidates.live_flows().next().is_some() {
            self.schedule.read_anew(now.instant);
        }
    }

    /// The flows to be read again, if it is time.
    pub(super) fn poll_readings(&mut self, now: Now) -> Option<Vec<Tuple>> {
        if !self.schedule.poll_reading(now.instant) {
            return None;
        }
        let tuples: Vec<Tuple> = self.candidates.live_flows().take(MOST_READINGS).collect();
        (!tuples.is_empty()).then_some(tuples)
    }

    /// A flow to be read again is gone.
    pub(super) fn handle_gone(&mut self, original: &Tuple) {
        self.candidates.end_flow(original, None);
    }

    /// All flows have been read again.
    pub(super) fn handle_readings_end(&mut self, now: Now) {
        self.plan_look(now);
        self.plan_report(now);
    }

    /// What there is to report, if it is time to and it is not that of the last report.
    pub(super) fn poll_report(&mut self, home: &HomeNetwork, older: &OlderFlows, now: Now) -> Option<Report> {
        if self.readings.are_awaited() || !self.schedule.poll_report(now.instant) {
            return None;
        }
        self.readings.stop_awaiting();
        if self.readings.are_behind() {
            // Something has been observed since, which the next report is to cover.
            self.schedule.report(false, now.instant);
        }
        let suspects = self.suspects(home, older, now);
        let strangers = self.strangers.poll_news(self.candidates.strangers(), home);
        if strangers.is_none() && self.reported.as_ref() == Some(&suspects) {
            return None;
        }
        suspects.iter().flat_map(|suspect| &suspect.sharers).for_each(|address| self.ask_for(*address));
        self.reported = Some(suspects.clone());
        Some(Report { suspects, strangers })
    }

    fn suspects(&self, home: &HomeNetwork, older: &OlderFlows, now: Now) -> Vec<Suspect> {
        // An older flow is noted while it sends, unless it is answered.
        let sends_noted = |observation: &Observation| {
            let since = observation.grown.is_some_and(|(from, _)| older.are_older_than(from));
            since && observation.is_unanswered() && self.readings.have_completed(observation.grown_by)
        };
        let noted = |mac, observation: &Observation| {
            self.readings.have_completed(observation.covered_by)
                && (!older.contains(&observation.flow) || sends_noted(observation))
                && self.senders.opens_alone(mac, observation.address)
        };
        let earned = |mac, observation: &Observation| {
            (observation.caught || noted(mac, observation)) && !home.stations.may_have_moved(mac, now.instant)
        };
        let suspects = self.candidates.suspects(home, &self.senders, self.complete, &earned);
        if !suspects.is_empty() || self.candidates.has_unattributed() {
            return suspects;
        }
        let hosts = self.scope.source_prefixes.iter().filter(|net| net.prefix_len() == net.max_prefix_len());
        let owned = |address: IpAddr| owner(address, &home.inventory).filter(|_| !home.network.is_local(address));
        hosts.filter_map(|net| owned(net.addr())).collect()
    }

    /// Whether it is time to look again.
    pub(super) fn is_look_due(&self, now: Now) -> bool {
        self.next_look().is_some_and(|due| due <= now.instant)
    }

    /// When to look again; not while a look is under way, whose answers would count for the next.
    fn next_look(&self) -> Option<Instant> {
        self.schedule.next_look().filter(|_| self.wants == Wants::Nothing)
    }

    /// When something is due; flows can only be read while conntrack is not `busy` with another question.
    pub(super) fn poll_timeout(&self, busy: bool) -> Option<Instant> {
        let reading = self.schedule.next_reading().filter(|_| !busy);
        let report = self.schedule.next_report().filter(|_| !self.readings.are_awaited());
        [self.next_look(), reading, report].into_iter().flatten().min()
    }
}
