//! The finder: who it is that requests speak of, from conntrack and the neighbour tables.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use ipnet::IpNet;
use vecset::{VecMap, VecSet};

use super::asking::Asking;
use super::device::{Sender, Suspect};
use super::domain::{self, Interface};
use super::ended::{Ended, Ring};
use super::home_network::HomeNetwork;
use super::inventory::Inventory;
use super::network::Network;
use super::search::Search;
use super::surveyor::Surveyor;
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

/// What the finder has to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A search has something new: everybody who may be meant, most likely first. Nobody, once, when the first look
    /// was in vain; the search goes on.
    Found {
        /// The mitigation searched for.
        id: MitigationId,
        /// Who.
        suspects: Vec<Suspect>,
    },
    /// Another device sends what is searched for in the name of this one.
    Framed {
        /// The mitigation searched for.
        id: MitigationId,
        /// In whose name.
        mac: Mac,
        /// Whether it sends as well.
        sends: bool,
    },
    /// What [`Finder::domain`] or [`Finder::default_routers`] say has changed.
    DomainChanged,
    /// What [`Finder::inventory`] says has changed.
    InventoryChanged,
    /// The router's own Ethernet addresses, all of them.
    RouterAddresses(VecSet<Mac>),
}

/// What is ours on every upstream, and the default routers.
type Domains = (Vec<Vec<IpNet>>, Vec<SocketAddr>);

/// All searches, and what is known of the home.
#[derive(Debug)]
pub struct Finder {
    network: Network,
    inventory: Inventory,
    interfaces: Vec<Interface>,
    ended: Ring,
    searches: VecMap<MitigationId, Search>,
    asking: Asking,
    surveyor: Surveyor,
    /// Requests to find out who has an address.
    asking_for: VecDeque<Vec<u8>>,
    events: VecDeque<Event>,
    own: VecSet<Mac>,
    domains: Domains,
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
        let mut finder = Self {
            network: Network::default(),
            inventory: Inventory::new(),
            interfaces: Vec::new(),
            ended: Ring::default(),
            searches: VecMap::new(),
            asking: Asking::default(),
            surveyor: Surveyor::default(),
            asking_for: VecDeque::new(),
            events: VecDeque::new(),
            own: VecSet::new(),
            domains: Domains::default(),
            overruns: 0,
        };
        finder.surveyor.begin(&mut finder.network);
        finder
    }

    /// Begins to search for whom a request speaks of, or begins again. What is found comes as [`Event::Found`], any
    /// number of times, until [`Self::forget`].
    pub fn search(&mut self, id: MitigationId, scope: &Scope, now: Now) {
        let known = self.searches.remove(&id).filter(|search| search.scope() == scope);
        let mut search = known.unwrap_or_else(|| Search::new(scope.clone()));
        search.again(now);
        self.searches.insert(id, search);
        self.pump(now);
    }

    /// Ends a search.
    pub fn forget(&mut self, id: MitigationId) {
        self.searches.remove(&id);
    }

    /// Takes in who was seen to send what a search is about, whatever address it was sent from.
    pub fn witnessed(&mut self, id: MitigationId, senders: &[Sender], now: Now) {
        let home = HomeNetwork { network: &self.network, inventory: &self.inventory };
        let Some(search) = self.searches.get_mut(&id) else { return };
        // From outside the home anybody may send in a device's name.
        let inside = |sender: &&Sender| {
            home.network.is_inward(sender.link)
                && !home.network.is_local(sender.address)
                && !self.own.contains(&sender.mac)
        };
        let framed = search.witnessed(senders.iter().filter(inside), home, now);
        self.events.extend(framed.into_iter().map(|(mac, sends)| Event::Framed { id, mac, sends }));
        self.pump(now);
    }

    /// Takes in what a socket has received.
    pub fn handle_datagram(&mut self, socket: Socket, datagram: &[u8], now: Now) {
        match socket {
            Socket::Conntrack => self.handle_answers(datagram, now),
            Socket::ConntrackEvents => self.handle_flows(datagram, now),
            Socket::Route | Socket::RouteEvents => self.handle_network(socket, datagram, now),
        }
        self.pump(now);
    }

    /// A socket has lost messages because they came faster than they were read.
    pub fn handle_overrun(&mut self, socket: Socket, now: Now) {
        self.overruns = self.overruns.saturating_add(1);
        let home = HomeNetwork { network: &self.network, inventory: &self.inventory };
        match socket {
            Socket::Conntrack => self.asking.finish(true, &mut self.searches, home, now),
            Socket::ConntrackEvents => self.searches.values_mut().for_each(|search| search.hurry(true, now)),
            Socket::Route | Socket::RouteEvents => self.surveyor.begin(&mut self.network),
        }
        self.pump(now);
    }

    /// How often messages have been lost.
    pub fn overruns(&self) -> u32 {
        self.overruns
    }

    /// The next datagram to send.
    pub fn poll_transmit(&mut self) -> Option<(Socket, Vec<u8>)> {
        let route = self.surveyor.poll_transmit().or_else(|| self.asking_for.pop_front());
        let route = route.map(|datagram| (Socket::Route, datagram));
        route.or_else(|| self.asking.poll_transmit().map(|datagram| (Socket::Conntrack, datagram)))
    }

    /// The next thing found.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When [`Self::handle_timeout`] wants to be called.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let busy = self.asking.is_busy();
        let searches = self.searches.values().filter_map(|search| search.poll_timeout(busy));
        let others = [self.asking.poll_timeout(), self.surveyor.poll_timeout(), self.inventory.next_to_forget()];
        searches.filter(|_| self.surveyor.is_ready()).chain(others.into_iter().flatten()).min()
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Now) {
        if self.inventory.next_to_forget().is_some_and(|due| due <= now.instant)
            && self.inventory.forget_old(now.instant)
        {
            self.say_once(Event::InventoryChanged);
        }
        let home = HomeNetwork { network: &self.network, inventory: &self.inventory };
        self.asking.handle_timeout(&mut self.searches, home, now);
        self.surveyor.handle_timeout(&mut self.network, now);
        self.pump(now);
    }

    /// The devices of the home.
    pub fn inventory(&self) -> &Inventory {
        &self.inventory
    }

    /// The names the house has given to devices; replaces those before.
    pub fn set_names(&mut self, names: VecMap<Mac, String>) {
        self.inventory.set_names(names);
        self.say_once(Event::InventoryChanged);
    }

    /// The interfaces as netifd tells of them; replaces those before. Without any, the kernel's default routes count.
    pub fn set_interfaces(&mut self, interfaces: Vec<Interface>, now: Now) {
        let outward = interfaces.iter().filter(|interface| interface.is_outward());
        self.network.set_outward(outward.flat_map(|interface| interface.devices.clone()).collect());
        self.interfaces = interfaces;
        self.network_changed(now);
        self.pump(now);
    }

    /// What is ours on an upstream, by the name its interface has in the configuration: the addresses of the router there
    /// and the prefixes of the home that are seen untranslated. A name that nobody knows means all upstreams.
    pub fn domain(&self, interface: &str) -> Vec<IpNet> {
        domain::of(interface, &self.interfaces, &self.network)
    }

    /// The default routers, best first, without ports; a link-local address bears its scope.
    pub fn default_routers(&self) -> Vec<SocketAddr> {
        self.network.default_routers()
    }

    fn say_once(&mut self, event: Event) {
        if !self.events.contains(&event) {
            self.events.push_back(event);
        }
    }

    fn handle_answers(&mut self, datagram: &[u8], now: Now) {
        let home = HomeNetwork { network: &self.network, inventory: &self.inventory };
        for (sequence, message) in conntrack::messages(datagram) {
            self.asking.handle(sequence, &message, &mut self.searches, home, now);
        }
    }

    fn handle_flows(&mut self, datagram: &[u8], now: Now) {
        if self.searches.is_empty() {
            // Most of the time, and there may be thousands a second.
            self.asking.note(conntrack::begins_in_zone(datagram));
            return conntrack::ended(datagram).for_each(|flow| self.flow_ended(flow, now));
        }
        for (_, message) in conntrack::messages(datagram) {
            match message {
                conntrack::Message::New(flow) => {
                    self.asking.note(flow.has_zone());
                    let home = HomeNetwork { network: &self.network, inventory: &self.inventory };
                    self.searches.values_mut().for_each(|search| search.opened(&flow, home, now));
                }
                conntrack::Message::Destroyed(flow) => self.flow_ended(flow, now),
                _ => {}
            }
        }
    }

    fn flow_ended(&mut self, flow: Flow, now: Now) {
        self.asking.note(flow.has_zone());
        if self.network.is_local(flow.original.destination) && self.network.is_local(flow.reply.source) {
            return;
        }
        let home = HomeNetwork { network: &self.network, inventory: &self.inventory };
        let side = |address: IpAddr| {
            let located = home.network.locate(address, home.inventory)?;
            Some((located, home.inventory.contested(address, now.instant)))
        };
        // Its opener, or the device behind a forwarded port.
        let device = side(flow.original.source).or_else(|| side(flow.reply.source));
        let (located, contested) = device.map_or((None, false), |(located, contested)| (Some(located), contested));
        let ended = Ended { flow, located, contested, at: now.unix };
        self.ended.push(&ended, now);
        self.searches.values_mut().for_each(|search| search.remember(&ended, home, now));
    }

    fn handle_network(&mut self, socket: Socket, datagram: &[u8], now: Now) {
        let (mut structure, mut devices) = (false, false);
        for (sequence, message) in neighbour::messages(datagram) {
            if socket == Socket::Route {
                let listed = self.surveyor.handle(sequence, &message, &mut self.network, &mut self.inventory, now);
                structure |= listed;
            }
            match message {
                neighbour::Message::Neighbour(neighbour) => devices |= self.neighbour(&neighbour, now),
                neighbour::Message::NeighbourGone(gone) => self.inventory.lose(gone.address, gone.link, now.instant),
                _ if socket == Socket::RouteEvents => structure |= self.network.change(&message),
                _ => {}
            }
        }
        if structure {
            self.network_changed(now);
        }
        if devices {
            self.say_once(Event::InventoryChanged);
            self.searches.values_mut().for_each(|search| search.hurry(false, now));
        }
    }

    fn neighbour(&mut self, neighbour: &neighbour::Neighbour, now: Now) -> bool {
        let neighbour::Neighbour { address, link, mac } = *neighbour;
        match mac {
            // Who stands outside of the home is none of its devices; before the links are known nobody can tell.
            Some(mac)
                if self.surveyor.knows_links() && self.network.believes(address, link) && !self.own.contains(&mac) =>
            {
                let interface = self.network.name_of(link);
                self.inventory.learn(address, link, interface, mac, now.instant)
            }
            Some(_) => false,
            None => {
                self.inventory.lose(address, link, now.instant);
                false
            }
        }
    }

    /// Links, addresses, routes or what netifd says of them have changed.
    fn network_changed(&mut self, now: Now) {
        if !self.surveyor.knows_links() {
            return;
        }
        if self.network.derive() {
            // Whoever is on that link was not listened to so far.
            self.surveyor.begin(&mut self.network);
        }
        let network = &self.network;
        let lost = self.inventory.retain_links(|link| network.is_inward(link));
        self.inventory.set_own(network.own_addresses().clone());
        let own = network.own_macs();
        let domains = self.all_domains();
        if lost {
            self.say_once(Event::InventoryChanged);
        }
        if own != self.own {
            self.own.clone_from(&own);
            self.events.retain(|event| !matches!(event, Event::RouterAddresses(_)));
            self.events.push_back(Event::RouterAddresses(own));
        }
        if domains != self.domains {
            self.domains = domains;
            self.say_once(Event::DomainChanged);
        }
        self.searches.values_mut().for_each(|search| search.hurry(false, now));
    }

    /// Everything that domains are made of, to see whether any has changed.
    fn all_domains(&self) -> Domains {
        let links = self.network.outward_links().filter_map(|link| self.network.name_of(link));
        let names = self.interfaces.iter().map(|interface| interface.name.as_str()).chain(links);
        (names.map(|name| self.domain(name)).collect(), self.default_routers())
    }

    /// Starts what can be started, and says what there is to say.
    fn pump(&mut self, now: Now) {
        if !self.surveyor.is_ready() {
            return;
        }
        let home = HomeNetwork { network: &self.network, inventory: &self.inventory };
        for search in self.searches.values_mut().filter(|search| search.look_due(now)) {
            search.look(&self.ended, home, now);
        }
        self.asking.start(&mut self.searches, now);
        for address in self.searches.values_mut().flat_map(|search| std::iter::from_fn(|| search.poll_unknown())) {
            let link = self.network.home_of(address);
            self.asking_for.extend(link.map(|link| neighbour::probe(address, link)));
        }
        for (id, search) in &mut self.searches {
            if let Some(suspects) = search.report(home, now) {
                self.events.push_back(Event::Found { id: *id, suspects });
            }
        }
    }
}
