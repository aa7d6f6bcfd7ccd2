//! The finder: who it is that requests speak of, from conntrack and the neighbour tables.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use ipnet::IpNet;
use vecset::VecMap;

use super::conntrack_queries::ConntrackQueries;
use super::direction::Direction;
use super::domain::Interface;
use super::ended::{EndedFlow, EndedFlows};
use super::event::{Event, Events};
use super::home_network::HomeNetwork;
use super::inventory::Inventory;
use super::search::Search;
use super::suspect::Sender;
use crate::model::{Flow, Mac, MitigationId, Now, Scope};
use crate::netlink::{conntrack, neighbour};

/// The netlink sockets the finder speaks over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Socket {
    /// Requests to conntrack (`NETLINK_NETFILTER`).
    Conntrack,
    /// What conntrack tells by itself: [`conntrack::GROUP_NEW`] and [`conntrack::GROUP_DESTROY`].
    ConntrackEvents,
    /// Requests about the router's network (`NETLINK_ROUTE`).
    Route,
    /// What the kernel tells by itself about it: [`neighbour::GROUPS`].
    RouteEvents,
}

/// All searches, and what is known of the home.
#[derive(Debug)]
pub struct Finder {
    home: HomeNetwork,
    ended: EndedFlows,
    searches: VecMap<MitigationId, Search>,
    queries: ConntrackQueries,
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
            searches: VecMap::new(),
            queries: ConntrackQueries::default(),
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

    /// Ends a search.
    pub fn end_search(&mut self, id: MitigationId) {
        self.searches.remove(&id);
    }

    /// Takes in who was seen to send what a search is about, whatever address it was sent from.
    pub fn handle_senders(&mut self, id: MitigationId, senders: &[Sender], now: Now) {
        let Some(search) = self.searches.get_mut(&id) else { return };
        let inside = senders.iter().filter(|sender| self.home.is_inside(sender));
        for (mac, sends) in search.handle_senders(inside, &self.home, now) {
            self.events.push(Event::Spoofed { id, mac, sends });
        }
        self.proceed(now);
    }

    /// Takes in what a socket has received.
    pub fn handle_datagram(&mut self, socket: Socket, datagram: &[u8], now: Now) {
        match socket {
            Socket::Conntrack => self.handle_answers(datagram, now),
            Socket::ConntrackEvents => self.handle_flows(datagram, now),
            Socket::Route | Socket::RouteEvents => {
                let changed = self.home.handle_datagram(socket == Socket::Route, datagram, &mut self.events, now);
                self.handle_change(changed, now);
            }
        }
        self.proceed(now);
    }

    /// A socket has lost messages because they came faster than they were read.
    pub fn handle_overrun(&mut self, socket: Socket, now: Now) {
        self.overruns = self.overruns.saturating_add(1);
        match socket {
            Socket::Conntrack => self.queries.handle_overrun(&mut self.searches, &self.home, now),
            Socket::ConntrackEvents => self.searches.values_mut().for_each(|search| search.handle_change(true, now)),
            Socket::Route | Socket::RouteEvents => self.home.handle_overrun(),
        }
        self.proceed(now);
    }

    /// How often messages have been lost.
    pub fn overruns(&self) -> u32 {
        self.overruns
    }

    /// The next datagram to send.
    pub fn poll_transmit(&mut self) -> Option<(Socket, Vec<u8>)> {
        let route = self.home.poll_transmit().or_else(|| self.probes.pop_front());
        let route = route.map(|datagram| (Socket::Route, datagram));
        route.or_else(|| self.queries.poll_transmit().map(|datagram| (Socket::Conntrack, datagram)))
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop()
    }

    /// When [`Self::handle_timeout`] wants to be called.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let busy = self.queries.is_busy();
        let searches = self.searches.values().filter_map(|search| search.poll_timeout(busy));
        let others = [self.queries.poll_timeout(), self.home.poll_timeout()];
        searches.filter(|_| self.home.is_ready()).chain(others.into_iter().flatten()).min()
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Now) {
        self.home.handle_timeout(&mut self.events, now);
        self.queries.handle_timeout(&mut self.searches, &self.home, now);
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

    /// What is ours on an upstream, by the name its interface has in the configuration: the addresses of the router there
    /// and the prefixes of the home that are seen untranslated. Nothing for a name that
    /// nobody knows.
    pub fn domain(&self, interface: &str) -> Vec<IpNet> {
        self.home.domain(interface)
    }

    /// Whether there is an upstream of that name, be it up or down.
    pub fn knows(&self, interface: &str) -> bool {
        self.home.knows(interface)
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

    fn handle_answers(&mut self, datagram: &[u8], now: Now) {
        for (sequence, message) in conntrack::messages(datagram) {
            self.queries.handle_message(sequence, &message, &mut self.searches, &self.home, now);
        }
    }

    fn handle_flows(&mut self, datagram: &[u8], now: Now) {
        if self.searches.is_empty() {
            // Most of the time, and there may be thousands a second.
            self.queries.handle_zone(conntrack::begins_in_zone(datagram));
            return conntrack::ended(datagram).for_each(|flow| self.handle_ended_flow(flow, now));
        }
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
        let home = &self.home;
        for search in self.searches.values_mut().filter(|search| search.is_look_due(now)) {
            search.start_look(&self.ended, home, now);
        }
        self.queries.start_next(&mut self.searches, now);
        for address in self.searches.values_mut().flat_map(|search| std::iter::from_fn(|| search.poll_unknown())) {
            let link = home.network.expected_link(address);
            self.probes.extend(link.map(|link| neighbour::probe(address, link)));
        }
        for (id, search) in &mut self.searches {
            if let Some(suspects) = search.poll_report(home, now) {
                self.events.push(Event::Found { id: *id, suspects });
            }
        }
    }
}
