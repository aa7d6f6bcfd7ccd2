//! What we ask of other objects on the bus: names of devices, the router's interfaces, who is logged in.
//!
//! Names come from the devices themselves (DHCP), so they are as hostile as anything from the network.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use vecset::VecMap;

use super::blob::{array, elements, entries, integer, table, text};
use crate::model::{Mac, is_printable};

/// LuCI's object that knows the names of devices.
pub(super) const HINTS: &str = "luci-rpc";
/// The object of netifd that knows the router's interfaces, and the name of its events.
pub(super) const INTERFACES: &str = "network.interface";
/// The object of rpcd that knows who is logged in.
pub(super) const SESSIONS: &str = "session";
/// Devices whose names are kept.
const MOST_NAMES: usize = 1024;
/// Interfaces that are read, and addresses, prefixes and routes of each.
const MOST: usize = 64;
/// Longest name of a device (a DNS label's length), a user or an interface.
const LONGEST_NAME: usize = 63;

/// A logical interface of the router, as netifd knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogicalInterface {
    /// Whether it is up; the rest may be empty if not.
    pub up: bool,
    /// How it is set up, for example `dhcpv6`; empty where that is not told.
    pub protocol: String,
    /// Whether another interface has brought it up, rather than the configuration.
    pub dynamic: bool,
    /// The network device that carries its addresses.
    pub device: Option<String>,
    /// The network device below that, if it is another.
    pub lower: Option<String>,
    /// Its addresses with their prefix lengths.
    pub addresses: Vec<IpNet>,
    /// IPv6 prefixes delegated to the router through it.
    pub prefixes: Vec<Ipv6Net>,
    /// Next hops of its default routes.
    pub gateways: Vec<IpAddr>,
    /// Whether it has a default route.
    pub default_route: bool,
    /// Addresses that the firewall gives packets leaving by it (MAP).
    pub translated: Vec<IpAddr>,
}

/// The names in a reply of `luci-rpc getHostHints`: a table by address of the device.
pub(super) fn names(reply: &[u8]) -> VecMap<Mac, String> {
    let hints = entries(reply).take(MOST_NAMES).filter_map(|(address, hints)| {
        let name = entries(table(&hints)?).find(|(key, _)| *key == "name")?;
        Some((address.parse().ok()?, readable(text(&name.1)?)?))
    });
    hints.collect()
}

/// The user name in a reply of `session get`.
pub(super) fn username(reply: &[u8]) -> Option<String> {
    let values = entries(reply).find(|(key, _)| *key == "values")?;
    let name = entries(table(&values.1)?).find(|(key, _)| *key == "username")?;
    readable(text(&name.1)?)
}

/// The package a `config.change` event is about.
pub(super) fn changed_package(event: &[u8]) -> Option<&str> {
    entries(event).find(|(key, _)| *key == "config").and_then(|(_, value)| text(&value))
}

/// The path of an object that was added.
pub(super) fn added_path(event: &[u8]) -> Option<&str> {
    entries(event).find(|(key, _)| *key == "path").and_then(|(_, value)| text(&value))
}

/// The interfaces in a reply of `network.interface dump`.
pub(super) fn interfaces(reply: &[u8]) -> VecMap<String, LogicalInterface> {
    let all = entries(reply).filter(|(key, _)| *key == "interface").filter_map(|(_, value)| array(&value));
    all.flat_map(elements).take(MOST).filter_map(|value| interface(table(&value)?)).collect()
}

fn interface(fields: &[u8]) -> Option<(String, LogicalInterface)> {
    let mut name = None;
    let (mut device, mut l3_device) = (None, None);
    let mut interface = LogicalInterface::default();
    for (key, value) in entries(fields) {
        match key {
            "interface" => name = text(&value).and_then(readable),
            "up" => interface.up = integer(&value).is_some_and(|up| up != 0),
            "device" => device = text(&value).and_then(readable),
            "l3_device" => l3_device = text(&value).and_then(readable),
            "ipv4-address" | "ipv6-address" => interface.addresses.extend(each(&value, address_of)),
            "ipv6-prefix" => interface.prefixes.extend(each(&value, prefix_of)),
            "proto" => interface.protocol = text(&value).and_then(readable).unwrap_or_default(),
            "dynamic" => interface.dynamic = integer(&value).is_some_and(|dynamic| dynamic != 0),
            "route" => {
                interface.gateways.extend(each(&value, gateway_of).filter(|hop| !hop.is_unspecified()));
                interface.default_route |= each(&value, gateway_of).next().is_some();
            }
            "data" => interface.translated = table(&value).map(translations).unwrap_or_default(),
            _ => {}
        }
    }
    interface.lower = device.clone().filter(|_| l3_device.is_some() && device != l3_device);
    interface.device = l3_device.or(device);
    Some((name?, interface))
}

/// The tables of an array, as far as `read` makes something of them.
fn each<'a, T>(value: &ubus::BlobValue<'a>, read: fn(&'a [u8]) -> Option<T>) -> impl Iterator<Item = T> {
    let tables = elements(array(value).unwrap_or_default()).take(MOST);
    tables.filter_map(move |entry| table(&entry).and_then(read))
}

fn address_of(fields: &[u8]) -> Option<IpNet> {
    IpNet::new(parsed(fields, "address")?, mask(fields)?).ok()
}

fn prefix_of(fields: &[u8]) -> Option<Ipv6Net> {
    Some(Ipv6Net::new(parsed(fields, "address")?, mask(fields)?).ok()?.trunc())
}

/// The addresses of the firewall rules that come with an interface.
fn translations(data: &[u8]) -> Vec<IpAddr> {
    let rules = entries(data).filter(|(key, _)| *key == "firewall");
    let mut addresses: Vec<IpAddr> = Vec::new();
    for address in rules.flat_map(|(_, value)| each(&value, |rule| parsed(rule, "snat_ip")).collect::<Vec<_>>()) {
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    addresses
}

/// The next hop, if the route is a default route; all zero if there is none.
fn gateway_of(fields: &[u8]) -> Option<IpAddr> {
    let target: IpAddr = parsed(fields, "target")?;
    let everywhere = [IpNet::V4(Ipv4Net::default()), IpNet::V6(Ipv6Net::default())];
    let is_default = everywhere.contains(&IpNet::new(target, mask(fields)?).ok()?);
    is_default.then(|| parsed(fields, "nexthop").unwrap_or(target))
}

fn parsed<T: std::str::FromStr>(fields: &[u8], wanted: &str) -> Option<T> {
    entries(fields).find(|(key, _)| *key == wanted).and_then(|(_, value)| text(&value)?.parse().ok())
}

fn mask(fields: &[u8]) -> Option<u8> {
    entries(fields).find(|(key, _)| *key == "mask").and_then(|(_, value)| u8::try_from(integer(&value)?).ok())
}

/// A name without what would spoil a line of text; nothing where nothing is left.
fn readable(name: &str) -> Option<String> {
    let name: String = name.chars().filter(|c| is_printable(*c)).take(LONGEST_NAME).collect();
    (!name.trim().is_empty()).then(|| name.trim().to_owned())
}
