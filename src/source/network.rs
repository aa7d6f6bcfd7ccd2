//! The router's own network: which links lead into the home and which out of it, as the kernel tells.

use std::net::{IpAddr, SocketAddr, SocketAddrV6};

use ipnet::IpNet;
use vecset::{VecMap, VecSet};

use super::inventory::Inventory;
use crate::model::Mac;
use crate::model::address::is_link_local;
use crate::netlink::neighbour::{Address, Link, LinkKind, MAIN, Message, Route, RouteKind, RouteOrigin};

/// Most entries of each table; what comes beyond is not looked at.
const MOST: usize = 4096;

/// The kernel's tables.
#[derive(Clone, Debug, Default)]
struct RoutingTables {
    links: VecMap<u32, Link>,
    addresses: VecSet<Address>,
    routes: VecSet<Route>,
}

impl RoutingTables {
    fn apply(&mut self, message: &Message) {
        match message {
            Message::Link(link) if self.links.len() < MOST || self.links.contains_key(&link.index) => {
                self.links.insert(link.index, link.clone());
            }
            Message::LinkGone(index) => {
                self.links.remove(index);
                self.addresses.retain(|address| address.link != *index);
                self.routes.retain(|route| route.link != Some(*index));
            }
            Message::Address(address) if self.addresses.len() < MOST => {
                self.remove(address);
                self.addresses.insert(*address);
            }
            Message::AddressGone(address) => self.remove(address),
            Message::Route { hops, replaces } => {
                if let (Some(new), true) = (hops.first(), *replaces) {
                    self.routes.retain(|old| key(old) != key(new));
                }
                if self.routes.len() < MOST {
                    self.routes.extend(hops);
                }
            }
            Message::RouteGone(routes) => routes.iter().for_each(|route| {
                self.routes.remove(route);
            }),
            _ => {}
        }
    }

    fn remove(&mut self, gone: &Address) {
        self.addresses.retain(|address| (address.link, address.net) != (gone.link, gone.net));
    }
}

/// Where an address of the home is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Located {
    /// Whose packets they are, as far as the router's links go.
    pub(super) mac: Mac,
    /// Over which link they come.
    pub(super) link: u32,
    /// Whether that is another router with devices of its own behind it.
    pub(super) behind: bool,
}

#[derive(Clone, Copy, Debug)]
struct Path {
    to: IpNet,
    link: u32,
    gateway: Option<IpAddr>,
}

/// The router's network.
#[derive(Debug, Default)]
pub(super) struct Network {
    tables: RoutingTables,
    /// What is being listed anew; it takes the place of the old tables when complete.
    listing: Option<RoutingTables>,
    /// Links that netifd calls an upstream.
    named: VecSet<String>,
    /// Links that netifd knows as none.
    inner: VecSet<String>,
    local: VecSet<IpAddr>,
    outward: VecSet<u32>,
    /// Where the router sends packets, but for default routes: over which link, and to which router if not to the
    /// receiver itself. The longest prefixes first.
    paths: Vec<Path>,
}

impl Network {
    /// The kernel begins to list everything.
    pub(super) fn begin_listing(&mut self) {
        self.listing = Some(RoutingTables::default());
    }

    /// Takes in an answer to a listing.
    pub(super) fn list(&mut self, message: &Message) {
        if let Some(listing) = &mut self.listing {
            listing.apply(message);
        }
    }

    /// The listing of links, addresses and routes is complete.
    pub(super) fn end_listing(&mut self) {
        if let Some(listing) = self.listing.take() {
            self.tables = listing;
        }
    }

    /// Takes in a change the kernel tells of; tells whether it is one.
    pub(super) fn change(&mut self, message: &Message) -> bool {
        self.list(message);
        self.tables.apply(message);
        !matches!(message, Message::Done | Message::Error(_) | Message::Station(_) | Message::Other)
    }

    /// The links that netifd calls an upstream, by name: they lead out of the home even without a default route; and those it
    /// knows as none.
    pub(super) fn set_named(&mut self, outward: VecSet<String>, inner: VecSet<String>) {
        (self.named, self.inner) = (outward, inner);
    }

    /// Works out what follows from the tables; to be called after any change. Tells whether a link leads into the home now
    /// that did not before.
    pub(super) fn derive(&mut self) -> bool {
        let RoutingTables { links, addresses, routes } = &self.tables;
        self.local = addresses.iter().map(|address| address.net.addr()).collect();
        let named = links.values().filter(|link| self.named.contains(&link.name)).map(|link| link.index);
        let is_inner = |link: &Link| self.inner.contains(&link.name) && !self.named.contains(&link.name);
        // Whoever is at home can announce a way out; whether it is one, netifd knows better, if there is one.
        let believed = |route: &&Route| {
            let is_inner = || route.link.and_then(|link| links.get(&link)).is_some_and(is_inner);
            route.origin != RouteOrigin::Announced || is_default(route) && !is_inner()
        };
        let routed = routes.iter().filter(|route| leads_out(route)).filter(believed).filter_map(|route| route.link);
        // An upstream that is down is still one: the provider's router must not show up as a device meanwhile.
        let down = |link: &u32| !addresses.iter().any(|a| a.link == *link && !is_link_local(a.net.addr()));
        let before = std::mem::take(&mut self.outward);
        let waiting = before.iter().copied().filter(|link| links.contains_key(link) && down(link));
        self.outward = routed.chain(named).chain(waiting).collect();
        // What stands beside an upstream on the same network leads there, too.
        let beside = links.values().filter(|link| link.kind == LinkKind::Macvlan);
        let beside = beside.filter(|link| link.lower.is_some_and(|lower| self.outward.contains(&lower)));
        let beside: Vec<u32> = beside.map(|link| link.index).collect();
        self.outward.extend(beside);
        let turned = before.iter().any(|link| links.contains_key(link) && !self.outward.contains(link));
        let on_link = addresses.iter().map(|a| Path { to: a.net.trunc(), link: a.link, gateway: None });
        let routed = routes.iter().filter(|route| {
            route.table == MAIN
                && route.kind == RouteKind::Unicast
                && route.origin != RouteOrigin::Announced
                && route.destination.prefix_len() > 0
        });
        let routed = routed.filter_map(|r| Some(Path { to: r.destination, link: r.link?, gateway: r.gateway }));
        let mut paths: Vec<Path> = on_link.chain(routed).filter(|path| !is_link_local(path.to.addr())).collect();
        paths.sort_by_key(|path| std::cmp::Reverse(path.to.prefix_len()));
        self.paths = paths;
        turned
    }

    /// Whether a link leads into the home.
    pub(super) fn is_inward(&self, link: u32) -> bool {
        !self.outward.contains(&link)
    }

    fn path(&self, address: IpAddr) -> Option<&Path> {
        self.paths.iter().find(|path| path.to.contains(&address))
    }

    /// Whether somebody on that link may have the address: not where the router would send its packets elsewhere,
    /// whatever is claimed there.
    pub(super) fn may_hold(&self, address: IpAddr, link: u32) -> bool {
        self.is_inward(link) && self.path(address).is_none_or(|path| path.link == link && path.gateway.is_none())
    }

    /// The name of a link.
    pub(super) fn name_of(&self, link: u32) -> Option<&str> {
        self.tables.links.get(&link).map(|link| link.name.as_str())
    }

    /// Whether the address is the router's own.
    pub(super) fn is_local(&self, address: IpAddr) -> bool {
        self.local.contains(&address)
    }

    /// The router's own addresses.
    pub(super) fn own_addresses(&self) -> &VecSet<IpAddr> {
        &self.local
    }

    /// The router's own Ethernet addresses on links that lead into the home.
    pub(super) fn own_macs(&self) -> VecSet<Mac> {
        self.tables.links.values().filter(|link| self.is_inward(link.index)).filter_map(|link| link.mac).collect()
    }

    /// Whether an Ethernet address is the router's own on that link: it, its ports, the link it stands on, or what stands
    /// on it bears the address. On any other link it is somebody else's.
    pub(super) fn is_own_mac(&self, mac: Mac, link: u32) -> bool {
        let lower = self.lower(link);
        let at = |other: &Link| {
            let beside = other.index == link || other.master == Some(link) || other.lower == Some(link);
            beside || lower.is_some_and(|lower| other.index == lower || other.master == Some(lower))
        };
        self.tables.links.values().any(|other| other.mac == Some(mac) && at(other))
    }

    /// Whose packets those from `address` are. The router's own are nobody's, whoever claims to have its address.
    pub(super) fn locate(&self, address: IpAddr, inventory: &Inventory) -> Option<Located> {
        if self.is_local(address) {
            return None;
        }
        let (place, behind) = match self.path(address) {
            Some(Path { link, gateway, .. }) => ((gateway.unwrap_or(address), *link), gateway.is_some()),
            None => (inventory.place_of(address)?, false),
        };
        let (address, link) = place;
        Some(Located { mac: inventory.mac_on(address, link)?, link, behind })
    }

    /// The link inside on which somebody must have the address, if there is one.
    pub(super) fn expected_link(&self, address: IpAddr) -> Option<u32> {
        let path = self.path(address).filter(|path| path.gateway.is_none() && !self.is_local(address))?;
        self.is_inward(path.link).then_some(path.link)
    }

    /// The links by these names.
    pub(super) fn links_named<'a>(&'a self, names: &'a [String]) -> impl Iterator<Item = u32> + 'a {
        self.tables.links.values().filter(|link| names.contains(&link.name)).map(|link| link.index)
    }

    /// The links that lead out of the home.
    pub(super) fn outward_links(&self) -> impl Iterator<Item = u32> {
        self.outward.iter().copied()
    }

    /// The addresses on a link.
    pub(super) fn addresses_on(&self, link: u32) -> impl Iterator<Item = IpNet> {
        self.tables.addresses.iter().filter(move |address| address.link == link).map(|address| address.net)
    }

    /// The link a link stands on.
    pub(super) fn lower(&self, link: u32) -> Option<u32> {
        self.tables.links.get(&link)?.lower
    }

    /// The networks on links of the home. Those of a tunnel may be its other end's, and what somebody on a link has announced
    /// need not be so.
    pub(super) fn home_networks(&self) -> impl Iterator<Item = IpNet> {
        let here = |address: &&Address| self.is_inward(address.link) && !address.announced;
        let on_links = self.tables.addresses.iter().filter(here).filter(|address| !self.is_tunnel(address.link));
        on_links.map(|address| address.net.trunc())
    }

    /// The networks behind tunnels that do not lead out of the home.
    pub(super) fn tunnel_networks(&self) -> impl Iterator<Item = IpNet> {
        let here = |address: &&Address| self.is_inward(address.link) && self.is_tunnel(address.link);
        let on_links = self.tables.addresses.iter().filter(here).map(|address| address.net.trunc());
        let routed = self.inward_routes().filter(|route| route.link.is_some_and(|link| self.is_tunnel(link)));
        on_links.chain(routed.map(|route| route.destination))
    }

    /// What the router refuses to route out because it has been given it to assign.
    pub(super) fn refused_networks(&self) -> impl Iterator<Item = IpNet> {
        let refused = self.tables.routes.iter().filter(|route| {
            route.kind == RouteKind::Refused
                && route.origin != RouteOrigin::Announced
                && route.destination.prefix_len() > 0
                && !route.destination.addr().is_ipv4()
        });
        refused.map(|route| route.destination)
    }

    /// What the configuration routes to other routers of the home.
    pub(super) fn routed_networks(&self) -> impl Iterator<Item = IpNet> {
        let is_meant = |route: &&Route| !is_single(route) && route.link.is_some_and(|link| !self.is_tunnel(link));
        self.inward_routes().filter(is_meant).map(|route| route.destination)
    }

    /// Single hosts of the home: a relay routes them inwards as soon as they say that they are there.
    pub(super) fn routed_hosts(&self) -> impl Iterator<Item = IpNet> {
        self.inward_routes().filter(is_single).map(|route| route.destination)
    }

    fn inward_routes(&self) -> impl Iterator<Item = &Route> {
        self.tables.routes.iter().filter(|route| {
            route.table == MAIN
                && route.kind == RouteKind::Unicast
                && route.origin == RouteOrigin::Configured
                && route.destination.prefix_len() > 0
                && route.link.is_some_and(|link| self.is_inward(link))
        })
    }

    /// Whether packets are handed to this address to leave the home.
    pub(super) fn is_next_hop(&self, address: IpAddr) -> bool {
        let mut hops = self.tables.routes.iter().filter(|route| route.gateway == Some(address));
        hops.any(|route| route.link.is_some_and(|link| !self.is_inward(link)))
    }

    /// The link over which packets to an address go, but for default routes.
    pub(super) fn link_towards(&self, address: IpAddr) -> Option<u32> {
        self.path(address).map(|path| path.link)
    }

    /// Whether there are no Ethernet addresses on a link, or only such as lead on to elsewhere.
    pub(super) fn is_tunnel(&self, link: u32) -> bool {
        self.tables.links.get(&link).is_none_or(|link| link.kind == LinkKind::Tunnel)
    }

    /// Whether a link has a default route of that family.
    pub(super) fn leads_out(&self, link: u32, ipv4: bool) -> bool {
        let routes = || self.tables.routes.iter().filter(|route| is_default(route) && route.link == Some(link));
        routes().any(|route| route.destination.addr().is_ipv4() == ipv4)
    }

    /// The prefixes whose packets leave by a link, where the default route says so.
    pub(super) fn routed_out_by(&self, link: u32) -> impl Iterator<Item = IpNet> {
        let defaults = self.tables.routes.iter().filter(move |route| is_default(route) && route.link == Some(link));
        defaults.filter_map(|route| route.from)
    }

    /// The routers of the default routes, main table first, lesser metrics first.
    pub(super) fn default_routers(&self) -> Vec<SocketAddr> {
        let mut routes: Vec<&Route> = self.tables.routes.iter().filter(|route| is_default(route)).collect();
        routes.sort_by_key(|route| (route.table != MAIN, route.metric));
        let mut routers = Vec::new();
        for router in routes.into_iter().filter_map(router) {
            if !routers.contains(&router) {
                routers.push(router);
            }
        }
        routers
    }
}

/// Where a route's next hop is reached: a link-local address only on its link.
fn router(route: &Route) -> Option<SocketAddr> {
    match route.gateway? {
        IpAddr::V6(address) if address.is_unicast_link_local() => {
            Some(SocketAddrV6::new(address, 0, 0, route.link?).into())
        }
        address => Some((address, 0).into()),
    }
}

/// What one route may have in common with no other, but for next hops.
fn key(route: &Route) -> (IpNet, Option<IpNet>, u32, u32) {
    (route.destination, route.from, route.table, route.metric)
}

/// Whether a route leads to so much of the Internet that nobody has it at home: everything, or one of the parts into which
/// VPN clients divide everything to leave the default route as it is.
fn leads_out(route: &Route) -> bool {
    let widest = match route.destination.addr() {
        IpAddr::V4(address) if !address.is_multicast() => 8,
        IpAddr::V6(address) if !address.is_multicast() && !address.is_unique_local() => 16,
        _ => 0,
    };
    is_default(route) || route.kind == RouteKind::Unicast && route.destination.prefix_len() < widest
}

/// Whether a route leads to one host, which is on the link itself.
fn is_single(route: &&Route) -> bool {
    route.gateway.is_none() && route.destination.prefix_len() == route.destination.max_prefix_len()
}

fn is_default(route: &Route) -> bool {
    route.destination.prefix_len() == 0 && route.kind == RouteKind::Unicast
}
