//! The finder: who it is that requests speak of, from conntrack and the neighbour tables.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use ipnet::IpNet;
use vecset::{VecMap, VecSet};

use super::conntrack_queries::ConntrackQueries;
use super::direction::Direction;
use super::ended::{EndedFlow, EndedFlows, Work};
use super::event::{Event, Events};
use super::home_network::HomeNetwork;
use super::inventory::Inventory;
use super::listening::{Listening, Pace};
use super::search::Search;
use super::sender_table::{SenderTable, Witnessed};
use super::suspect::{MOST_LOGGED, Sender};
use super::upstream::Interface;
use crate::model::{Flow, Mac, MitigationId, Now, Scope};
use crate::netlink::{conntrack, neighbour};

/// The netlink sockets the finder speaks over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Socket {
    /// Requests to conntrack (`NETLINK_NETFILTER`).
    Conntrack,
    /// What conntrack tells by itself: [`conntrack::GROUP_DESTROY`], and what [`Finder::listening`] says.
    ConntrackEvents,
    /// Requests about the router's network (`NETLINK_ROUTE`).
    Route,
    /// What the kernel tells by itself about it: [`neighbour::GROUPS`].
    RouteEvents,
    /// Requests about the table of senders (`NETLINK_NETFILTER`).
    Senders,
}

/// All searches, and what is known of the home.
#[derive(Debug)]
pub struct Finder {
    home: HomeNetwork,
    ended: EndedFlows,
    /// What may still be done in this turn.
    work: Work,
    /// When something was done last.
    proceeded: Option<Instant>,
    searches: VecMap<MitigationId, Search>,
    queries: ConntrackQueries,
    /// How events are read while nobody is searched for.
    pace: Pace,
    table: SenderTable,
    /// The searches for which the table of senders is being read.
    readers: VecSet<MitigationId>,
    /// Requests to find out who has an address.
    probes: VecDeque<Vec<u8>>,
    events: Events,
    overruns: u32,
}

impl Default for Finder {
    fn default() -> Self {
        Self::new()
    }
}

impl Finder {
    /// A finder that wants to know the router's network first.
    pub fn new() -> Self {
        Self {
            home: HomeNetwork::new(),
            ended: EndedFlows::default(),
            work: Work::of_one_turn(),
            proceeded: None,
            searches: VecMap::new(),
            queries: ConntrackQueries::default(),
            pace: Pace::default(),
            table: SenderTable::default(),
            readers: VecSet::new(),
            probes: VecDeque::new(),
            events: Events::default(),
            overruns: 0,
        }
    }

    /// Starts to search for whom a request speaks of, or starts again. What is found comes as [`Event::Found`], any
    /// number of times, until [`Self::end_search`].
    pub fn start_search(&mut self, id: MitigationId, scope: &Scope, now: Now) {
        let known = self.searches.remove(&id).filter(|search| search.scope() == scope);
        let mut search = known.unwrap_or_else(|| Search::new(scope.clone()));
        search.restart(now);
        self.searches.insert(id, search);
        self.proceed(now);
    }

    /// Bounds what is kept of a search: the devices, and about two flows for each. At first there may be 64.
    pub fn set_most_suspects(&mut self, id: MitigationId, most: usize) {
        if let Some(search) = self.searches.get_mut(&id) {
            search.set_most_suspects(most);
        }
    }

    /// Ends a search.
    pub fn end_search(&mut self, id: MitigationId) {
        self.searches.remove(&id);
    }

    /// Somebody is shown what was found: flows are read again, as they were when they were found, to tell what they do now.
    pub fn handle_shown(&mut self, now: Now) {
        self.searches.values_mut().for_each(|search| search.handle_shown(now));
        self.proceed(now);
    }

    /// Takes in who was seen to send what a search is about, whatever address it was sent from.
    pub fn handle_senders(&mut self, id: MitigationId, senders: &[Sender], now: Now) {
        let Some(search) = self.searches.get_mut(&id) else { return };
        let inside = senders.iter().filter(|sender| self.home.is_inside(sender));
        let of_family = |ipv4| senders.iter().filter(move |sender| sender.address.is_ipv4() == ipv4).count();
        let full = [true, false].into_iter().any(|ipv4| of_family(ipv4) >= MOST_LOGGED);
        for (mac, sends) in search.handle_senders(inside, full, &self.home, now) {
            self.events.push(Event::Spoofed { id, mac, sends });
        }
        self.proceed(now);
    }

    /// The rules that note who sends were away for a while.
    pub fn handle_senders_lost(&mut self) {
        self.searches.values_mut().for_each(Search::handle_log_lost);
    }

    /// Returns the text for one `nft -f -`, which makes or changes the table that notes who opens flows; the next only after
    /// [`Self::handle_nft`].
    pub fn poll_ruleset(&mut self) -> Option<String> {
        self.table.poll_ruleset()
    }

    /// Takes whether `nft` has done it.
    pub fn handle_nft(&mut self, done: bool, now: Now) {
        if self.table.handle_nft(done, now) {
            self.queries.handle_table_made(now);
        }
        self.searches.values_mut().filter(|_| done).for_each(|search| search.reconsider(now));
        self.proceed(now);
    }

    /// Takes what the kernel tells of tables that have changed (`NETLINK_NETFILTER` with the group `NFNLGRP_NFTABLES`).
    pub fn handle_tables(&mut self, datagram: &[u8], now: Now) {
        self.table.handle_change(datagram);
        self.proceed(now);
    }

    /// What the kernel has told of changed tables may be lost.
    pub fn handle_tables_overrun(&mut self, now: Now) {
        self.table.handle_overrun();
        self.proceed(now);
    }

    /// Takes in what a socket has received.
    pub fn handle_datagram(&mut self, socket: Socket, datagram: &[u8], now: Now) {
        match socket {
            Socket::Conntrack => {
                if !self.handle_answers(datagram, now) {
                    // What is listed is looked at once it is complete, or due.
                    return;
                }
            }
            Socket::ConntrackEvents => {
                self.handle_flows(datagram, now);
                if self.searches.is_empty() {
                    // Nothing follows from that, most of the time, and there may be thousands a second.
                    return;
                }
            }
            Socket::Route | Socket::RouteEvents => {
                let changed = self.home.handle_datagram(socket == Socket::Route, datagram, &mut self.events, now);
                self.handle_change(changed, now);
            }
            Socket::Senders => {
                if let Some(witnessed) = self.table.handle_datagram(datagram, now) {
                    self.handle_witnessed(witnessed, now);
                }
            }
        }
        self.proceed(now);
    }

    /// A socket has lost messages because they came faster than they were read.
    pub fn handle_overrun(&mut self, socket: Socket, now: Now) {
        self.overruns = self.overruns.saturating_add(1);
        match socket {
            Socket::Conntrack => self.queries.handle_overrun(&mut self.searches, now),
            Socket::ConntrackEvents => {
                self.pace.handle_overrun(now.instant);
                self.searches.values_mut().for_each(|search| search.handle_change(true, now));
            }
            Socket::Route => self.home.handle_overrun(),
            Socket::RouteEvents => {
                self.home.stations.handle_overrun(now.instant);
                self.home.handle_overrun();
            }
            Socket::Senders => self.table.handle_overrun(),
        }
        self.proceed(now);
    }

    /// What is to be heard of flows that come and go.
    pub fn listening(&self) -> Listening {
        let searching = !self.searches.is_empty();
        // Flows that begin in zones are noted by the table, where it stands.
        let new_flows = searching || !self.table.notes_zones();
        Listening { new_flows, read_at: self.pace.next().filter(|_| !searching) }
    }

    /// How often messages have been lost.
    pub fn overruns(&self) -> u32 {
        self.overruns
    }

    /// The next datagram to send.
    pub fn poll_transmit(&mut self) -> Option<(Socket, Vec<u8>)> {
        let route = self.home.poll_transmit().or_else(|| self.probes.pop_front());
        let route = route.map(|datagram| (Socket::Route, datagram));
        let table = || self.table.poll_transmit().map(|datagram| (Socket::Senders, datagram));
        route.or_else(|| self.queries.poll_transmit().map(|datagram| (Socket::Conntrack, datagram))).or_else(table)
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop()
    }

    /// When [`Self::handle_timeout`] wants to be called.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let busy = self.queries.is_busy();
        let searches = self.searches.values().filter_map(|search| search.poll_timeout(busy));
        // What is left of a turn's work goes on in the next one, which begins at once.
        let left = self.proceeded.filter(|_| self.searches.values().any(Search::is_looking_at_ended));
        let searches = searches.chain(left);
        let others = [self.queries.poll_timeout(), self.home.poll_timeout(), self.table.poll_timeout()];
        searches.filter(|_| self.home.is_ready()).chain(others.into_iter().flatten()).min()
    }

    /// Does what is due, and goes on with what is long; to be called once a turn, so that the turn is not.
    pub fn handle_timeout(&mut self, now: Now) {
        self.work = Work::of_one_turn();
        self.home.handle_timeout(&mut self.events, now);
        self.queries.handle_timeout(&mut self.searches, now);
        if let Some(witnessed) = self.table.handle_timeout(now) {
            self.handle_witnessed(witnessed, now);
        }
        self.proceed(now);
    }

    /// The devices of the home.
    pub fn inventory(&self) -> &Inventory {
        &self.home.inventory
    }

    /// Takes over the names of devices, as configured or known to LuCI; replaces those before.
    pub fn set_names(&mut self, names: VecMap<Mac, String>) {
        self.home.set_names(names, &mut self.events);
    }

    /// Takes over the interfaces as netifd tells of them; replaces those before. Without any, the kernel's default routes
    /// count.
    pub fn set_interfaces(&mut self, interfaces: Vec<Interface>, now: Now) {
        let changed = self.home.set_interfaces(interfaces, &mut self.events);
        self.handle_change(changed, now);
        self.proceed(now);
    }

    /// What is ours on an upstream, by the names its interfaces have in the configuration: the addresses of the router there
    /// and the prefixes of the home that are seen untranslated. Nothing for a name that nobody knows.
    pub fn domain(&self, interfaces: &[String]) -> Vec<IpNet> {
        self.home.domain(interfaces)
    }

    /// Whether there is an upstream of one of these names, be it up or down.
    pub fn knows(&self, interfaces: &[String]) -> bool {
        self.home.knows(interfaces)
    }

    /// The links that lead out of the home; nothing: they are not known yet.
    pub fn outward_links(&self) -> Option<Vec<u32>> {
        self.home.is_ready().then(|| self.home.network.outward_links().collect())
    }

    /// The default routers, best first, without ports; a link-local address bears its scope.
    pub fn default_routers(&self) -> Vec<SocketAddr> {
        self.home.network.default_routers()
    }

    fn handle_change(&mut self, changed: bool, now: Now) {
        if changed {
            self.searches.values_mut().for_each(|search| search.handle_change(false, now));
        }
    }

    /// Tells whether something is complete.
    fn handle_answers(&mut self, datagram: &[u8], now: Now) -> bool {
        let mut complete = false;
        let listed = self.queries.older().are_listed();
        for (sequence, message) in conntrack::messages(datagram) {
            self.queries.handle_message(sequence, &message, &mut self.searches, &self.home, now);
            complete |= !matches!(message, conntrack::Message::Flow(_));
        }
        if !listed && self.queries.older().are_listed() && self.table.stands() {
            self.events.push(Event::OpenersNoted);
        }
        complete
    }

    fn handle_flows(&mut self, datagram: &[u8], now: Now) {
        self.pace.handle_event(now.instant);
        for (_, message) in conntrack::messages(datagram) {
            match message {
                conntrack::Message::New(flow) => {
                    self.queries.handle_zone(flow.has_zone());
                    let [opener, _] = Direction::both(&flow);
                    self.searches.values_mut().for_each(|search| search.handle_new_flow(&opener, &self.home, now));
                }
                conntrack::Message::Destroyed(flow) => self.handle_ended_flow(flow, now),
                _ => {}
            }
        }
    }

    fn handle_ended_flow(&mut self, flow: Flow, now: Now) {
        self.queries.handle_zone(flow.has_zone());
        let home = &self.home;
        if home.network.is_local(flow.original.destination) && home.network.is_local(flow.reply.source) {
            return;
        }
        let side = |address: IpAddr| Some((home.locate(address)?, home.inventory.is_reassigned(address, now.instant)));
        // Its opener, or the device behind a forwarded port.
        let device = side(flow.original.source).or_else(|| side(flow.reply.source));
        let (located, reassigned) = device.map_or((None, false), |(located, reassigned)| (Some(located), reassigned));
        let ended = EndedFlow { flow, located, reassigned, at: now.unix };
        self.ended.push(&ended, now);
        if !self.searches.is_empty() {
            let directions = Direction::both(&flow);
            self.searches.values_mut().for_each(|search| search.handle_ended_flow(&ended, &directions, home, now));
        }
    }

    /// Starts what can be started, and reports what there is to report.
    fn proceed(&mut self, now: Now) {
        if !self.home.is_ready() {
            return;
        }
        self.proceeded = Some(now.instant);
        let home = &self.home;
        for search in self.searches.values_mut() {
            if search.is_look_due(now) {
                search.start_look();
            }
            search.look_at_ended(&self.ended, &mut self.work, home, now);
        }
        self.table.set_outward(home.network.outward_links());
        self.table.proceed(now);
        self.queries.set_zones_noted(self.table.notes_zones());
        self.queries.start_next(&mut self.searches, self.table.is_settled(), now);
        self.read_table(now);
        for (id, search) in &mut self.searches {
            if let Some(report) = search.poll_report(&self.home, self.queries.older(), now) {
                self.events.push_report(*id, report);
            }
        }
        self.ask_for_addresses();
    }

    fn ask_for_addresses(&mut self) {
        for address in self.searches.values_mut().flat_map(|search| std::iter::from_fn(|| search.poll_unknown())) {
            let link = self.home.network.expected_link(address);
            self.probes.extend(link.map(|link| neighbour::probe(address, link)));
        }
    }

    /// Reads who opens flows, for all searches at once that have something to report.
    fn read_table(&mut self, now: Now) {
        let wanting = self.searches.iter_mut().filter_map(|(id, search)| search.wants_reading(now).then_some(*id));
        let wanting: VecSet<MitigationId> = wanting.collect();
        if wanting.is_empty() || !self.table.is_idle() {
            return;
        }
        self.searches.iter_mut().filter(|(id, _)| wanting.contains(id)).for_each(|(_, search)| search.begin_reading());
        self.readers = wanting;
        if !self.table.begin_reading(now) {
            self.handle_witnessed(None, now);
        }
    }

    fn handle_witnessed(&mut self, witnessed: Option<Witnessed>, now: Now) {
        if witnessed.as_ref().is_some_and(|witnessed| !witnessed.young) {
            self.queries.handle_noted();
        }
        if witnessed.as_ref().is_some_and(|witnessed| witnessed.zoned) && self.queries.handle_zone(true) {
            // What was looked up may not have been all there is.
            self.searches.values_mut().for_each(|search| search.begin_anew(now));
        }
        for id in std::mem::take(&mut self.readers) {
            if let Some(search) = self.searches.get_mut(&id) {
                search.end_reading(witnessed.as_ref(), &self.home, now);
            }
        }
    }
}
