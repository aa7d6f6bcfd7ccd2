//! What is ours: the addresses and prefixes under which the provider of an upstream sees this home (RFC 9066 section
//! 5.3.1, "in the scope of the Call Home DOTS server domain").
//!
//! It follows from what the provider has given the router, and from where the router sends packets. Nothing that a device at
//! home can announce makes it larger, but for single addresses of the upstream's own network that a relay routes inwards.

use std::net::IpAddr;

use ipnet::IpNet;
use vecset::VecSet;

use super::network::Network;
use super::upstream::{self, Interface};
use crate::model::address::{is_global, is_visible};

/// The addresses and prefixes of the upstream `name`: an interface that netifd knows and those that make one upstream with
/// it, else the device of that name. Where nobody knows the name, nothing: it may be mistyped, or not there yet.
pub(super) fn of(name: &str, interfaces: &[Interface], network: &Network) -> Vec<IpNet> {
    let same = upstream::group(name, interfaces, network);
    let mut names: Vec<String> = same.iter().flat_map(|interface| interface.devices.clone()).collect();
    if same.is_empty() {
        names.push(name.to_owned());
    }
    let links: VecSet<u32> = network.links_named(&names).collect();
    if links.is_empty() && same.is_empty() {
        return Vec::new();
    }
    let mut domain = own_addresses(&same, &links, network);
    domain.extend(same.iter().flat_map(|interface| &interface.prefixes));
    domain.extend(links.iter().flat_map(|link| network.routed_out_by(*link)));
    let elsewhere = others(&links, &same, interfaces, network);
    let inside = inside(&domain, network).into_iter().filter(|net| is_global(net) && may_leave(net, &links, network));
    let inside: Vec<IpNet> =
        inside.filter(|net| !elsewhere.iter().any(|other| other.contains(net) || net.contains(other))).collect();
    domain.extend(inside);
    domain.extend(relayed(&links, network));
    domain.retain(is_visible);
    domain.into_iter().collect()
}

/// Whether netifd or the kernel knows an upstream of that name, be it up or down.
pub(super) fn is_known(name: &str, interfaces: &[Interface], network: &Network) -> bool {
    !upstream::group(name, interfaces, network).is_empty() || network.links_named(&[name.to_owned()]).next().is_some()
}

/// The router's addresses towards the provider, on links and on none. A private one beside others is that of a modem's page
/// or the like: nobody sends from it through the provider's network.
fn own_addresses(same: &[&Interface], links: &VecSet<u32>, network: &Network) -> VecSet<IpNet> {
    let on_links = links.iter().flat_map(|link| network.addresses_on(*link)).map(|net| net.addr());
    let told = same.iter().flat_map(|interface| interface.addresses.iter().chain(&interface.translated)).copied();
    let mut addresses: VecSet<IpAddr> = on_links.chain(told).collect();
    let beside = |address: &IpAddr| {
        let mut bearers = same.iter().filter(|interface| interface.addresses.contains(address)).peekable();
        bearers.peek().is_some() && bearers.all(|interface| !interface.is_outward())
    };
    let has_public = addresses.iter().any(|address| address.is_ipv4() && !is_private(*address));
    addresses.retain(|address| !is_private(*address) || !has_public && !beside(address));
    addresses.into_iter().map(IpNet::from).collect()
}

fn is_private(address: IpAddr) -> bool {
    matches!(address, IpAddr::V4(address) if address.is_private())
}

/// The networks of the home. Behind a tunnel that is no upstream they are ours only where they are a part of what the
/// provider has `given`.
fn inside(given: &VecSet<IpNet>, network: &Network) -> Vec<IpNet> {
    let refused: Vec<IpNet> = network.refused_networks().collect();
    let is_given = |net: &IpNet| given.iter().chain(&refused).any(|known| known.contains(net));
    let behind_tunnels = network.tunnel_networks().filter(is_given);
    network.home_networks().chain(network.routed_networks()).chain(behind_tunnels).chain(refused.clone()).collect()
}

/// Hosts at home with addresses of the upstream's own network, where the router relays.
fn relayed(links: &VecSet<u32>, network: &Network) -> Vec<IpNet> {
    let on_link: Vec<IpNet> = links.iter().flat_map(|link| network.addresses_on(*link)).collect();
    let within = |host: &IpNet| on_link.iter().any(|net| net.contains(host));
    network.routed_hosts().filter(within).filter(|host| !network.is_next_hop(host.addr())).collect()
}

/// Whether packets of a network inside can leave by these links: not where only others have a default route for them.
fn may_leave(net: &IpNet, links: &VecSet<u32>, network: &Network) -> bool {
    let leads = |link: &u32| network.leads_out(*link, net.addr().is_ipv4());
    links.iter().any(leads) || !network.outward_links().any(|link| leads(&link))
}

/// What belongs to other upstreams.
fn others(links: &VecSet<u32>, same: &[&Interface], interfaces: &[Interface], network: &Network) -> Vec<IpNet> {
    let routed = network.outward_links().filter(|link| !links.contains(link));
    let given = interfaces.iter().filter(|interface| !same.contains(interface));
    routed.flat_map(|link| network.routed_out_by(link)).chain(given.flat_map(|i| i.prefixes.clone())).collect()
}
