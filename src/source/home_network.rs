//! What is known of the home: the router's network, the devices in it, and what of it is seen from outside.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use ipnet::IpNet;
use vecset::{VecMap, VecSet};

use super::domain;
use super::event::{Event, Events};
use super::inventory::Inventory;
use super::network::{Located, Network};
use super::network_dump::NetworkDump;
use super::stations::Stations;
use super::stranger::{Stranger, StrangerKind};
use super::suspect::Sender;
use super::upstream::Interface;
use crate::model::{Mac, Now};
use crate::netlink::neighbour::{self, Message, Neighbour};

/// Most of the router's own Ethernet addresses remembered that devices bear.
const MOST_BORNE: usize = 64;

/// What is ours on every upstream, and the default routers.
type Domains = (Vec<Vec<IpNet>>, Vec<SocketAddr>);

/// The home as the kernel and netifd tell of it.
#[derive(Debug)]
pub(super) struct HomeNetwork {
    pub(super) network: Network,
    pub(super) inventory: Inventory,
    pub(super) stations: Stations,
    interfaces: Vec<Interface>,
    dump: NetworkDump,
    /// The router's own Ethernet addresses, as told last.
    router_macs: VecSet<Mac>,
    /// Those that devices were seen to bear on other links than the router's own.
    borne: VecSet<Mac>,
    domains: Domains,
}

impl HomeNetwork {
    /// Nothing is known yet, and everything asked for.
    pub(super) fn new() -> Self {
        let mut home = Self {
            network: Network::default(),
            inventory: Inventory::new(),
            stations: Stations::default(),
            interfaces: Vec::new(),
            dump: NetworkDump::default(),
            router_macs: VecSet::new(),
            borne: VecSet::new(),
            domains: Domains::default(),
        };
        home.handle_overrun();
        home
    }

    /// Whether enough is known for searches to make sense.
    pub(super) fn is_ready(&self) -> bool {
        self.dump.is_ready()
    }

    /// Where the device with this address is; nothing: it is the router's own, or nobody is known to have it.
    pub(super) fn locate(&self, address: IpAddr) -> Option<Located> {
        self.network.locate(address, &self.inventory)
    }

    /// Who sends from an address that is no device's.
    pub(super) fn stranger(&self, address: IpAddr) -> Stranger {
        let link = self.network.link_towards(address);
        let kind = match link {
            _ if self.network.is_local(address) => StrangerKind::Router,
            Some(link) if !self.network.is_inward(link) => StrangerKind::Outside,
            Some(link) if self.network.is_tunnel(link) => StrangerKind::NoEthernet,
            _ => StrangerKind::Unknown,
        };
        let link = link.filter(|_| kind != StrangerKind::Router);
        let interface = link.and_then(|link| self.network.name_of(link)).map(str::to_owned);
        Stranger { address, interface, kind, asked_by: Vec::new() }
    }

    /// Whether a packet has come from inside the home, be it with the Ethernet address of the router, whose own packets are
    /// not forwarded. From outside anybody may send in a device's name.
    pub(super) fn is_inside(&self, sender: &Sender) -> bool {
        self.network.is_inward(sender.link) && !self.network.is_local(sender.address)
    }

    /// What is ours on an upstream.
    pub(super) fn domain(&self, interfaces: &[String]) -> Vec<IpNet> {
        let of = |name: &String| domain::of(name, &self.interfaces, &self.network);
        let all: VecSet<IpNet> = interfaces.iter().flat_map(of).collect();
        all.into_iter().collect()
    }

    /// Whether there is an upstream of one of these names, as far as is known.
    pub(super) fn knows(&self, interfaces: &[String]) -> bool {
        interfaces.iter().any(|name| domain::is_known(name, &self.interfaces, &self.network))
    }

    /// Takes in what the kernel tells about the network: answers to the dump, or changes. Tells whether searches may find
    /// more now.
    pub(super) fn handle_datagram(&mut self, answers: bool, datagram: &[u8], events: &mut Events, now: Now) -> bool {
        let mut structure = false;
        let mut devices = false;
        for (sequence, message) in neighbour::messages(datagram) {
            if answers {
                structure |= self.dump.handle_message(sequence, &message, &mut self.network, &mut self.inventory, now);
            }
            match message {
                Message::Neighbour(neighbour) => devices |= self.handle_neighbour(&neighbour, now),
                Message::Station(station) => self.stations.see(&station, now.instant),
                Message::NeighbourGone(gone) => self.inventory.lose(gone.address, gone.link, now.instant),
                _ if !answers => structure |= self.network.change(&message),
                _ => {}
            }
        }
        self.tell_router_addresses(events);
        let changed = structure && self.handle_change(events);
        if devices {
            events.push_once(Event::InventoryChanged);
        }
        changed || devices
    }

    fn handle_neighbour(&mut self, neighbour: &Neighbour, now: Now) -> bool {
        let Neighbour { address, link, mac, silent } = *neighbour;
        if silent {
            return self.inventory.lose_silent(address, link, now.instant);
        }
        let Some(mac) = mac else {
            self.inventory.lose(address, link, now.instant);
            return false;
        };
        // Who stands outside of the home is none of its devices; before the links are known nobody can tell.
        let inside = self.dump.knows_links() && self.network.may_hold(address, link);
        if !inside || self.network.is_own_mac(mac, link) {
            return false;
        }
        if self.router_macs.contains(&mac) && self.borne.len() < MOST_BORNE {
            self.borne.insert(mac);
        }
        self.inventory.learn(address, link, self.network.name_of(link), mac, now.instant)
    }

    /// An address that a device bears as well is told no more: the device is not to go free because it has chosen that.
    fn tell_router_addresses(&mut self, events: &mut Events) {
        if !self.dump.knows_links() {
            return;
        }
        let mut macs = self.network.own_macs();
        macs.retain(|mac| !self.borne.contains(mac) && self.inventory.device(*mac).is_none());
        if macs != self.router_macs {
            self.router_macs.clone_from(&macs);
            events.push_router_addresses(macs);
        }
    }

    /// Links, addresses, routes or what netifd says of them have changed. Tells whether enough is known to draw
    /// conclusions.
    fn handle_change(&mut self, events: &mut Events) -> bool {
        if !self.dump.knows_links() {
            return false;
        }
        if self.network.derive() {
            // Whoever is on that link was not listened to so far.
            self.dump.begin(&mut self.network);
        }
        let network = &self.network;
        if self.inventory.retain_devices(|mac, link| network.is_inward(link) && !network.is_own_mac(mac, link)) {
            events.push_once(Event::InventoryChanged);
        }
        self.inventory.set_own(network.own_addresses().clone());
        self.tell_router_addresses(events);
        let domains = self.all_domains();
        if domains != self.domains {
            self.domains = domains;
            events.push_once(Event::DomainChanged);
        }
        true
    }

    /// Everything that domains are made of, to see whether any has changed.
    fn all_domains(&self) -> Domains {
        let links = self.network.outward_links().filter_map(|link| self.network.name_of(link));
        let names = self.interfaces.iter().map(|interface| interface.name.as_str()).chain(links);
        let domain = |name: &str| self.domain(&[name.to_owned()]);
        (names.map(domain).collect(), self.network.default_routers())
    }

    /// Asks for everything again: changes may have been missed.
    pub(super) fn handle_overrun(&mut self) {
        self.dump.begin(&mut self.network);
    }

    /// Takes over the names of devices.
    pub(super) fn set_names(&mut self, names: VecMap<Mac, String>, events: &mut Events) {
        self.inventory.set_names(names);
        events.push_once(Event::InventoryChanged);
    }

    /// Takes over the interfaces as netifd tells of them; tells whether searches may find more now.
    pub(super) fn set_interfaces(&mut self, interfaces: Vec<Interface>, events: &mut Events) -> bool {
        let (outward, inner): (Vec<_>, Vec<_>) = interfaces.iter().partition(|interface| interface.is_outward());
        let outward = outward.into_iter().flat_map(Interface::all_devices).collect();
        self.network.set_named(outward, inner.into_iter().flat_map(Interface::all_devices).collect());
        self.interfaces = interfaces;
        self.handle_change(events)
    }

    /// The next request.
    pub(super) fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        self.dump.poll_transmit()
    }

    /// When [`Self::handle_timeout`] wants to be called.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        [self.dump.poll_timeout(), self.inventory.next_to_forget()].into_iter().flatten().min()
    }

    /// Does what is due.
    pub(super) fn handle_timeout(&mut self, events: &mut Events, now: Now) {
        if self.inventory.next_to_forget().is_some_and(|due| due <= now.instant)
            && self.inventory.forget_old(now.instant)
        {
            events.push_once(Event::InventoryChanged);
        }
        self.dump.handle_timeout(&mut self.network, now);
    }
}
