//! What is ours: the addresses and prefixes under which the provider of an upstream sees this home (RFC 9066 section
//! 5.3.1, "in the scope of the Call Home DOTS server domain").

use std::net::IpAddr;

use ipnet::IpNet;
use vecset::VecSet;

use super::network::Network;
use crate::model::address::{is_global, is_visible};

/// An interface of the router's configuration, as netifd tells of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interface {
    /// Its name in the configuration, for example `wan6`.
    pub name: String,
    /// The network devices it stands on, for example `pppoe-wan`.
    pub devices: Vec<String>,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// Prefixes delegated over it.
    pub prefixes: Vec<IpNet>,
    /// The routers of its default routes.
    pub gateways: Vec<IpAddr>,
}

impl Interface {
    /// Whether it leads out of the home.
    pub(super) fn is_outward(&self) -> bool {
        !self.gateways.is_empty() || !self.prefixes.is_empty()
    }

    fn shares_device(&self, other: &Self) -> bool {
        self.devices.iter().any(|device| other.devices.contains(device))
    }
}

/// The addresses and prefixes of the upstream `name`: an interface that netifd knows and those on the same device (`wan`
/// and `wan6`), else the device of that name. Where nobody knows the name, nothing: it may be mistyped, or not there yet.
pub(super) fn of(name: &str, interfaces: &[Interface], network: &Network) -> Vec<IpNet> {
    let known = interfaces.iter().find(|interface| interface.name == name);
    let same: Vec<&Interface> =
        known.map_or(Vec::new(), |known| interfaces.iter().filter(|i| i.shares_device(known) || *i == known).collect());
    let mut names: Vec<String> = same.iter().flat_map(|interface| interface.devices.clone()).collect();
    if known.is_none() {
        names.push(name.to_owned());
    }
    let links: VecSet<u32> = network.links_named(&names).collect();
    if links.is_empty() && known.is_none() {
        return Vec::new();
    }
    let mut domain: VecSet<IpNet> = same.iter().flat_map(|i| &i.addresses).copied().map(IpNet::from).collect();
    domain.extend(links.iter().flat_map(|link| network.addresses_on(*link)).map(|net| IpNet::from(net.addr())));
    domain.extend(same.iter().flat_map(|interface| &interface.prefixes));
    domain.extend(links.iter().flat_map(|link| network.routed_out_by(*link)));
    let elsewhere = others(&links, &same, interfaces, network);
    let inside = network.inward_networks().filter(|net| is_global(net) && may_leave(net, &links, network));
    domain.extend(inside.filter(|net| !elsewhere.iter().any(|other| other.contains(net) || net.contains(other))));
    domain.retain(is_visible);
    domain.into_iter().collect()
}

/// Whether netifd or the kernel knows an upstream of that name, be it up or down.
pub(super) fn is_known(name: &str, interfaces: &[Interface], network: &Network) -> bool {
    interfaces.iter().any(|interface| interface.name == name)
        || network.links_named(&[name.to_owned()]).next().is_some()
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
