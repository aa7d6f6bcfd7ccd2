//! The router's network over netlink: its links, their addresses, its routes, and the neighbours it has learnt.

use std::net::IpAddr;

use ipnet::IpNet;
use netlink_bindings::utils::{IterableChunks, parse_ip, parse_u16, parse_u32};

use super::conntrack::Family;
use super::{DONE, DUMP, ERROR, Raw, raw, request};
use crate::model::Mac;

/// The multicast groups of links, neighbours, addresses and routes, both families.
pub const GROUPS: [u32; 6] = [1, 3, 5, 7, 9, 11];

/// Longest name of a link (`IFNAMSIZ` less the zero).
const NAME: usize = 15;
/// Next hops taken from one route.
const HOPS: usize = 32;

/// `NLM_F_REPLACE`
const REPLACE: u16 = 0x100;

const IPV4: u8 = 2;
const IPV6: u8 = 10;
/// `AF_BRIDGE`
const BRIDGE: u8 = 7;

/// The main routing table.
pub const MAIN: u32 = 254;
/// The table of the router's own addresses.
const LOCAL: u32 = 255;

/// What the kernel can be asked to list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NetworkObject {
    /// Network interfaces.
    Links,
    /// Their addresses.
    Addresses,
    /// Routes of both families.
    Routes,
    /// Neighbours of both families.
    Neighbours,
    /// Ethernet addresses on the ports of bridges.
    Stations,
}

impl NetworkObject {
    /// The numbers of its messages: new, gone, get; and the length of the fixed part.
    const fn numbers(self) -> (u16, u16, u16, usize) {
        match self {
            Self::Links => (16, 17, 18, 16),
            Self::Addresses => (20, 21, 22, 8),
            Self::Routes => (24, 25, 26, 12),
            Self::Neighbours | Self::Stations => (28, 29, 30, 12),
        }
    }
}

/// A network interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// The kernel's number of it.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Its own Ethernet address, if it has one.
    pub mac: Option<Mac>,
    /// The bridge or bond it is a port of.
    pub master: Option<u32>,
    /// The link it stands on: that of a VLAN, or the one a tunnel leads over.
    pub lower: Option<u32>,
    /// What it is.
    pub kind: LinkKind,
}

/// What a link is, as far as it matters who may be on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LinkKind {
    /// Ethernet, Wi-Fi, a bridge, a VLAN.
    #[default]
    Ethernet,
    /// Another Ethernet address on the network of the link it stands on.
    Macvlan,
    /// Leads over another network to somewhere else: PPP, WireGuard, a tunnel.
    Tunnel,
}

/// An address of the router.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Address {
    /// The link it stands on.
    pub link: u32,
    /// The address, with the length of its prefix.
    pub net: IpNet,
    /// Whether the kernel has made it of what somebody on the link announced.
    pub announced: bool,
}

/// Someone on a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Neighbour {
    /// The link.
    pub link: u32,
    /// Its address.
    pub address: IpAddr,
    /// Its Ethernet address, as far as the kernel trusts it.
    pub mac: Option<Mac>,
    /// Whether the kernel has asked for it in vain.
    pub silent: bool,
}

/// An Ethernet address that a bridge has seen on one of its ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Station {
    /// The address.
    pub mac: Mac,
    /// The port.
    pub port: u32,
    /// The bridge.
    pub bridge: u32,
    /// The VLAN, where the bridge tells them apart; else 0.
    pub vlan: u16,
}

/// What a route does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RouteKind {
    /// Leads somewhere.
    Unicast,
    /// Refuses: a router marks so what it has been delegated but has not assigned.
    Refused,
}

/// Who has made a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RouteOrigin {
    /// The kernel, for an address or for a network that was announced as being on the link.
    Kernel,
    /// The router's configuration.
    Configured,
    /// A router advertisement or a redirect: anybody on the link can send one.
    Announced,
    /// A routing protocol.
    Daemon,
}

/// A route, or one of its next hops.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Route {
    /// Where to.
    pub destination: IpNet,
    /// Only for packets from there (IPv6).
    pub from: Option<IpNet>,
    /// Over which router; nothing on the link itself.
    pub gateway: Option<IpAddr>,
    /// Over which link.
    pub link: Option<u32>,
    /// Its metric: less goes first.
    pub metric: u32,
    /// What it does.
    pub kind: RouteKind,
    /// The routing table it stands in.
    pub table: u32,
    /// Who has made it.
    pub origin: RouteOrigin,
}

/// What the kernel says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// There is this link.
    Link(Link),
    /// The link of this number is gone.
    LinkGone(u32),
    /// There is this address.
    Address(Address),
    /// The address is gone.
    AddressGone(Address),
    /// There is this route.
    Route {
        /// Its next hops.
        hops: Vec<Route>,
        /// Whether it has taken the place of another to the same destination.
        replaces: bool,
    },
    /// The route is gone, with all its next hops.
    RouteGone(Vec<Route>),
    /// There is this neighbour, or it has changed.
    Neighbour(Neighbour),
    /// The kernel has forgotten the neighbour.
    NeighbourGone(Neighbour),
    /// A bridge has seen this station, perhaps on another port than before.
    Station(Station),
    /// A list is complete.
    Done,
    /// A request failed with this errno; 0: it is done.
    Error(i32),
    /// Something else.
    Other,
}

/// Asks for all there is.
pub fn dump(object: NetworkObject, sequence: u32) -> Vec<u8> {
    let (_, _, get, length) = object.numbers();
    // All zero: any family, any link.
    let mut body = vec![0; length];
    if object == NetworkObject::Stations
        && let Some(family) = body.first_mut()
    {
        *family = BRIDGE;
    }
    request(get, DUMP, sequence, &body)
}

/// Lets the kernel find out who has an address on a link, as if a packet were to be sent there. The answer comes as a change
/// of its neighbours.
pub fn probe(address: IpAddr, link: u32) -> Vec<u8> {
    const DESTINATION: u16 = 1;
    /// `NLM_F_CREATE`
    const CREATE: u16 = 0x400;
    /// `NTF_USE`
    const USE: u8 = 1;
    let octets = match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    let mut body = vec![Family::of(address).number(), 0, 0, 0];
    body.extend(link.to_ne_bytes());
    body.extend([0, 0, USE, 0]);
    // Four bytes of header and an address: no padding.
    body.extend(u16::try_from(4 + octets.len()).unwrap_or(u16::MAX).to_ne_bytes());
    body.extend(DESTINATION.to_ne_bytes());
    body.extend(octets);
    request(NetworkObject::Neighbours.numbers().0, CREATE, 0, &body)
}

/// Everything a datagram says, with the sequence numbers of the requests answered.
pub fn messages(datagram: &[u8]) -> impl Iterator<Item = (u32, Message)> {
    raw(datagram).map(|message| (message.sequence, read(&message).unwrap_or(Message::Other)))
}

fn read(message: &Raw<'_>) -> Option<Message> {
    const NEW_LINK: u16 = NetworkObject::Links.numbers().0;
    const DEL_LINK: u16 = NetworkObject::Links.numbers().1;
    const NEW_ADDRESS: u16 = NetworkObject::Addresses.numbers().0;
    const DEL_ADDRESS: u16 = NetworkObject::Addresses.numbers().1;
    const NEW_ROUTE: u16 = NetworkObject::Routes.numbers().0;
    const DEL_ROUTE: u16 = NetworkObject::Routes.numbers().1;
    const NEW_NEIGHBOUR: u16 = NetworkObject::Neighbours.numbers().0;
    const DEL_NEIGHBOUR: u16 = NetworkObject::Neighbours.numbers().1;
    let body = message.body;
    Some(match message.kind {
        DONE => message.broken_off().map_or(Message::Done, Message::Error),
        ERROR => Message::Error(message.errno()),
        NEW_LINK => Message::Link(link(body)?),
        DEL_LINK => Message::LinkGone(link(body)?.index),
        NEW_ADDRESS => Message::Address(address(body)?),
        DEL_ADDRESS => Message::AddressGone(address(body)?),
        NEW_ROUTE => Message::Route { hops: routes(body)?, replaces: message.flags & REPLACE != 0 },
        DEL_ROUTE => Message::RouteGone(routes(body)?),
        NEW_NEIGHBOUR if body.first() == Some(&BRIDGE) => Message::Station(station(body)?),
        NEW_NEIGHBOUR => Message::Neighbour(neighbour(body)?),
        DEL_NEIGHBOUR => Message::NeighbourGone(neighbour(body)?),
        _ => return None,
    })
}

/// The attributes after a fixed part.
fn attributes(body: &[u8], object: NetworkObject) -> Option<impl Iterator<Item = (u16, &[u8])>> {
    let (.., length) = object.numbers();
    Some(IterableChunks::new(body.get(length..)?).map(|(header, value)| (header.r#type, value)))
}

/// A number of the fixed part.
fn word(body: &[u8], at: usize) -> Option<u32> {
    parse_u32(body.get(at..)?)
}

fn mac(value: &[u8]) -> Option<Mac> {
    let octets: [u8; 6] = value.try_into().ok()?;
    let [first, ..] = octets;
    (first & 1 == 0 && octets != [0; 6]).then_some(Mac(octets))
}

fn link(body: &[u8]) -> Option<Link> {
    const ADDRESS: u16 = 1;
    const IFNAME: u16 = 3;
    const LOWER: u16 = 5;
    const MASTER: u16 = 10;
    const INFO: u16 = 18;
    // Bridges tell of their ports in messages of their own family, which say nothing about the link as such.
    if *body.first()? != 0 {
        return None;
    }
    const ETHERNET: [u16; 2] = [1, 772]; // and loopback
    let kind = if ETHERNET.contains(&parse_u16(body.get(2..)?)?) { LinkKind::Ethernet } else { LinkKind::Tunnel };
    let mut link = Link { index: word(body, 4)?, name: String::new(), mac: None, master: None, lower: None, kind };
    for (kind, value) in attributes(body, NetworkObject::Links)? {
        match kind {
            ADDRESS => link.mac = mac(value),
            IFNAME => {
                let name = value.strip_suffix(&[0]).unwrap_or(value);
                link.name = std::str::from_utf8(name).ok().filter(|name| name.len() <= NAME)?.to_owned();
            }
            LOWER => link.lower = parse_u32(value).filter(|lower| *lower != link.index),
            MASTER => link.master = parse_u32(value),
            INFO => link.kind = made_as(value).unwrap_or(link.kind),
            _ => {}
        }
    }
    Some(link)
}

/// What a link was made as, where that says more than its type: some tunnels look like Ethernet.
fn made_as(info: &[u8]) -> Option<LinkKind> {
    const KIND: u16 = 1;
    const TUNNELS: [&[u8]; 8] =
        [b"tun", b"vxlan", b"gretap", b"ip6gretap", b"erspan", b"ip6erspan", b"geneve", b"l2tpeth"];
    let (_, kind) = IterableChunks::new(info).find(|(header, _)| header.r#type == KIND)?;
    match kind.strip_suffix(&[0]).unwrap_or(kind) {
        b"macvlan" => Some(LinkKind::Macvlan),
        kind if TUNNELS.contains(&kind) => Some(LinkKind::Tunnel),
        _ => None,
    }
}

fn address(body: &[u8]) -> Option<Address> {
    const ADDRESS: u16 = 1;
    const LOCAL: u16 = 2;
    const ORIGIN: u16 = 11;
    const ADVERTISEMENT: &[u8] = &[2];
    let family = *body.first()?;
    let mut local = None;
    let mut address = None;
    let mut announced = false;
    for (kind, value) in attributes(body, NetworkObject::Addresses)? {
        match kind {
            ADDRESS => address = parse_ip(value),
            // On point-to-point links the other attribute is the far end.
            LOCAL => local = parse_ip(value),
            ORIGIN => announced = value == ADVERTISEMENT,
            _ => {}
        }
    }
    let address = local.or(address).filter(|address| is_of(*address, family))?;
    Some(Address { link: word(body, 4)?, net: IpNet::new(address, *body.get(1)?).ok()?, announced })
}

fn is_of(address: IpAddr, family: u8) -> bool {
    Family::of(address).number() == family
}

fn neighbour(body: &[u8]) -> Option<Neighbour> {
    const DESTINATION: u16 = 1;
    const LINK_ADDRESS: u16 = 2;
    /// Reachable, stale, delay, probe, permanent: all but those that never answered or need no asking.
    const TRUSTED: u16 = 0x02 | 0x04 | 0x08 | 0x10 | 0x80;
    let family = *body.first()?;
    const FAILED: u16 = 0x20;
    let state = parse_u16(body.get(8..)?)?;
    let mut address = None;
    let mut link_address = None;
    for (kind, value) in attributes(body, NetworkObject::Neighbours)? {
        match kind {
            DESTINATION => address = parse_ip(value),
            LINK_ADDRESS => link_address = mac(value),
            _ => {}
        }
    }
    let address = address.filter(|address| is_of(*address, family) && !address.is_multicast())?;
    let mac = link_address.filter(|_| state & TRUSTED != 0);
    Some(Neighbour { link: word(body, 4)?, address, mac, silent: state & FAILED != 0 })
}

/// Those that stand there by configuration, like the addresses of the ports themselves, are nobody's.
fn station(body: &[u8]) -> Option<Station> {
    const LINK_ADDRESS: u16 = 2;
    const VLAN: u16 = 5;
    const MASTER: u16 = 9;
    const NOARP: u16 = 0x40;
    const PERMANENT: u16 = 0x80;
    if parse_u16(body.get(8..)?)? & (NOARP | PERMANENT) != 0 {
        return None;
    }
    let (mut address, mut bridge, mut vlan) = (None, None, 0);
    for (kind, value) in attributes(body, NetworkObject::Stations)? {
        match kind {
            LINK_ADDRESS => address = mac(value),
            VLAN => vlan = parse_u16(value)?,
            MASTER => bridge = parse_u32(value),
            _ => {}
        }
    }
    Some(Station { mac: address?, port: word(body, 4)?, bridge: bridge?, vlan })
}

/// The routes of a message that count, one for each next hop: neither cached ones nor those to the router itself.
fn routes(body: &[u8]) -> Option<Vec<Route>> {
    /// A cached decision, not a route.
    const CLONED: u32 = 0x200;
    let &[family, to, from, _tos, table, protocol, _scope, kind, ..] = body else { return None };
    let kind = match kind {
        1 => RouteKind::Unicast,
        6..=8 => RouteKind::Refused,
        _ => return None,
    };
    let any: IpAddr = match family {
        IPV4 => [0; 4].into(),
        IPV6 => [0; 16].into(),
        _ => return None,
    };
    let RouteAttributes { destination, source, mut hops, hop, metric, table: number } = route_attributes(body)?;
    let destination = destination.unwrap_or(any);
    let table = number.unwrap_or(table.into());
    if word(body, 8)? & CLONED != 0 || table == LOCAL || !is_of(destination, family) {
        return None;
    }
    if hops.is_empty() {
        hops.push(hop);
    }
    let destination = IpNet::new(destination, to).ok()?.trunc();
    let from = source.and_then(|address| IpNet::new(address, from).ok()).map(|net| net.trunc());
    let origin = origin(protocol);
    let route = |Hop { gateway, link }| Route { destination, from, gateway, link, metric, kind, table, origin };
    Some(hops.into_iter().map(route).collect())
}

/// Who makes routes with this number (`RTPROT_…`).
fn origin(protocol: u8) -> RouteOrigin {
    match protocol {
        // `boot`, `static`, `dhcp`
        3 | 4 | 16 => RouteOrigin::Configured,
        0 | 2 => RouteOrigin::Kernel,
        // `redirect`, `ra`
        1 | 9 => RouteOrigin::Announced,
        _ => RouteOrigin::Daemon,
    }
}

/// The attributes of a route.
#[derive(Default)]
struct RouteAttributes {
    destination: Option<IpAddr>,
    source: Option<IpAddr>,
    /// The next hops of a multipath route.
    hops: Vec<Hop>,
    /// The only next hop of any other.
    hop: Hop,
    metric: u32,
    /// The table, where its number does not fit the fixed part.
    table: Option<u32>,
}

fn route_attributes(body: &[u8]) -> Option<RouteAttributes> {
    const DESTINATION: u16 = 1;
    const SOURCE: u16 = 2;
    const LINK: u16 = 4;
    const GATEWAY: u16 = 5;
    const PRIORITY: u16 = 6;
    const MULTIPATH: u16 = 9;
    const TABLE: u16 = 15;
    let mut route = RouteAttributes::default();
    for (kind, value) in attributes(body, NetworkObject::Routes)? {
        match kind {
            DESTINATION => route.destination = Some(parse_ip(value)?),
            SOURCE => route.source = parse_ip(value),
            LINK => route.hop.link = parse_u32(value),
            GATEWAY => route.hop.gateway = parse_ip(value),
            PRIORITY => route.metric = parse_u32(value)?,
            MULTIPATH => route.hops = multipath(value),
            TABLE => route.table = Some(parse_u32(value)?),
            _ => {}
        }
    }
    Some(route)
}

#[derive(Clone, Copy, Default)]
struct Hop {
    gateway: Option<IpAddr>,
    link: Option<u32>,
}

/// The next hops of a multipath route: each a header of 8 bytes with its length first, then attributes.
fn multipath(mut list: &[u8]) -> Vec<Hop> {
    const HEADER: usize = 8;
    const GATEWAY: u16 = 5;
    let mut hops = Vec::new();
    while hops.len() < HOPS {
        let Some(length) = parse_u16(list).map(usize::from).filter(|length| *length >= HEADER) else { break };
        let (Some(attributes), Some(link)) = (list.get(HEADER..length), word(list, 4)) else { break };
        let mut hop = Hop { gateway: None, link: Some(link) };
        for (header, value) in IterableChunks::new(attributes) {
            if header.r#type == GATEWAY {
                hop.gateway = parse_ip(value);
            }
        }
        hops.push(hop);
        list = list.get(netlink_bindings::utils::nla_align_up(length)..).unwrap_or_default();
    }
    hops
}
