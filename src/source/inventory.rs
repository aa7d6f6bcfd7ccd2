//! The devices of the home: who answers to which address, as the kernel's neighbour tables tell.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::device::Mac;

/// Most devices remembered; the one not heard of for longest gives way.
const MOST_DEVICES: usize = 1024;
/// Most addresses of one device, likewise.
const MOST_ADDRESSES: usize = 16;
/// Most names taken over.
const MOST_NAMES: usize = 4096;
/// Longest name, in characters.
const LONGEST_NAME: usize = 64;

/// How long an address counts as the device's after the kernel has forgotten it. Blocks go by Ethernet address, so this
/// only bounds how far back a flow can be put down to a device that has left.
const MEMORY: Duration = Duration::from_secs(3600);
/// How long after an address has changed hands it is doubtful whose an older flow is: the longest idle time of a tracked
/// connection on OpenWrt.
const CONTESTED: Duration = Duration::from_secs(7440);

/// A device of the home.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Who.
    pub mac: Mac,
    /// The name the house knows it by.
    pub name: Option<String>,
    /// Its addresses: IPv4 first, link-local ones last.
    pub addresses: Vec<IpAddr>,
    /// The interface of the router it stands behind.
    pub interface: Option<String>,
}

/// An address on a link: link-local ones may exist on several.
type Place = (IpAddr, u32);

/// Who has an address.
#[derive(Clone, Copy, Debug)]
struct Holder {
    mac: Mac,
    /// Whether the kernel has it in its table.
    present: bool,
    /// When the kernel last told of it.
    heard: Instant,
    /// When it took the address over from another device.
    taken: Option<Instant>,
}

/// Everybody seen on the links that lead into the home.
#[derive(Debug, Default)]
pub struct Inventory {
    devices: BTreeMap<Mac, Device>,
    holders: BTreeMap<Place, Holder>,
    names: BTreeMap<Mac, String>,
    /// When the first address lost may be forgotten.
    forget: Option<Instant>,
    own: BTreeSet<IpAddr>,
}

impl Inventory {
    /// Nobody.
    pub fn new() -> Self {
        Self::default()
    }

    /// All devices, by Ethernet address.
    pub fn devices(&self) -> impl Iterator<Item = &Device> {
        self.devices.values()
    }

    /// The device with this Ethernet address.
    pub fn device(&self, mac: Mac) -> Option<&Device> {
        self.devices.get(&mac)
    }

    /// The addresses of a device as far as known.
    pub fn addresses_of(&self, mac: Mac) -> &[IpAddr] {
        self.devices.get(&mac).map_or(&[], |device| &device.addresses)
    }

    /// Who has this address. For a link-local address that several have on different links: one of them.
    pub fn mac_of(&self, address: IpAddr) -> Option<Mac> {
        self.holders.range((address, 0)..=(address, u32::MAX)).next().map(|(_, holder)| holder.mac)
    }

    /// Who has this address on that link.
    pub fn mac_on(&self, address: IpAddr, link: u32) -> Option<Mac> {
        self.holders.get(&(address, link)).map(|holder| holder.mac)
    }

    /// Whether an older flow from this address may be another device's, because the address has changed hands.
    pub(super) fn contested(&self, address: IpAddr, now: Instant) -> bool {
        let taken =
            |(_, holder): (_, &Holder)| holder.taken.is_some_and(|at| now.saturating_duration_since(at) < CONTESTED);
        self.holders.range((address, 0)..=(address, u32::MAX)).any(taken)
    }

    /// The addresses of the router itself, which are no device's.
    pub fn own(&self) -> &BTreeSet<IpAddr> {
        &self.own
    }

    /// Takes over the addresses of the router itself.
    pub fn set_own(&mut self, own: BTreeSet<IpAddr>) {
        self.own = own;
    }

    /// The name the house has given to a device, seen or not.
    pub fn name_of(&self, mac: Mac) -> Option<&str> {
        self.names.get(&mac).map(String::as_str)
    }

    /// The names the house has given to devices; replaces those before. Control characters are dropped.
    pub fn set_names(&mut self, names: BTreeMap<Mac, String>) {
        let clean = |(mac, name): (Mac, String)| {
            let name: String = name.chars().filter(|c| !c.is_control()).take(LONGEST_NAME).collect();
            (!name.trim().is_empty()).then_some((mac, name))
        };
        self.names = names.into_iter().filter_map(clean).take(MOST_NAMES).collect();
        for device in self.devices.values_mut() {
            device.name = self.names.get(&device.mac).cloned();
        }
    }

    /// Takes in a neighbour on a link that leads into the home; tells whether what is shown of the home has changed.
    pub fn learn(&mut self, address: IpAddr, link: u32, interface: Option<&str>, mac: Mac, now: Instant) -> bool {
        let before = self.holders.get(&(address, link)).copied();
        let moved = before.is_some_and(|before| before.mac != mac);
        let taken = if moved { Some(now) } else { before.and_then(|before| before.taken) };
        self.holders.insert((address, link), Holder { mac, present: true, heard: now, taken });
        let known = self.device(mac).is_some_and(|device| device.interface.as_deref() == interface);
        if known && before.is_some() && !moved {
            return false;
        }
        if let Some(before) = before.filter(|_| moved) {
            self.rebuild(before.mac);
        }
        let name = self.names.get(&mac).cloned();
        let device = Device { mac, name, addresses: Vec::new(), interface: interface.map(str::to_owned) };
        self.devices.insert(mac, device);
        self.drop_oldest_addresses(mac);
        self.rebuild(mac);
        while self.devices.len() > MOST_DEVICES {
            let Some(oldest) = self.oldest_device() else { break };
            self.holders.retain(|_, holder| holder.mac != oldest);
            self.rebuild(oldest);
        }
        true
    }

    /// The kernel has forgotten a neighbour, or lost it; it is remembered for a while.
    pub(super) fn lose(&mut self, address: IpAddr, link: u32, now: Instant) {
        if let Some(holder) = self.holders.get_mut(&(address, link)).filter(|holder| holder.present) {
            (holder.present, holder.heard) = (false, now);
            self.forget = Some(self.forget.unwrap_or(now + MEMORY));
        }
    }

    /// The kernel begins to list all its neighbours: any not named again are lost.
    pub(super) fn begin_listing(&mut self, now: Instant) {
        let places: Vec<Place> = self.holders.keys().copied().collect();
        for (address, link) in places {
            self.lose(address, link, now);
        }
    }

    /// Forgets addresses lost long ago, and devices without any; tells whether it did.
    pub(super) fn forget_old(&mut self, now: Instant) -> bool {
        let lost = |holder: &&Holder| !holder.present;
        let forgotten = self.retain(|_, holder| holder.present || now < holder.heard + MEMORY);
        self.forget = self.holders.values().filter(lost).map(|holder| holder.heard + MEMORY).min();
        forgotten
    }

    /// Forgets everybody on links that do not lead into the home; tells whether it did.
    pub(super) fn retain_links(&mut self, inward: impl Fn(u32) -> bool) -> bool {
        self.retain(|(_, link), _| inward(*link))
    }

    /// When [`Self::forget_old`] has something to do.
    pub(super) fn next_to_forget(&self) -> Option<Instant> {
        self.forget
    }

    fn retain(&mut self, keep: impl Fn(&Place, &Holder) -> bool) -> bool {
        let mut leaving = BTreeSet::new();
        self.holders.retain(|place, holder| {
            let stays = keep(place, holder);
            if !stays {
                leaving.insert(holder.mac);
            }
            stays
        });
        leaving.iter().for_each(|mac| self.rebuild(*mac));
        !leaving.is_empty()
    }

    fn places_of(&self, mac: Mac) -> impl Iterator<Item = (&Place, &Holder)> {
        self.holders.iter().filter(move |(_, holder)| holder.mac == mac)
    }

    /// Lists a device's addresses anew; without any it is gone.
    fn rebuild(&mut self, mac: Mac) {
        let mut addresses: Vec<IpAddr> = self.places_of(mac).map(|((address, _), _)| *address).collect();
        addresses.sort_by_key(|address| (is_link_local(*address), *address));
        addresses.dedup();
        if addresses.is_empty() {
            self.devices.remove(&mac);
        } else if let Some(device) = self.devices.get_mut(&mac) {
            device.addresses = addresses;
        }
    }

    fn drop_oldest_addresses(&mut self, mac: Mac) {
        while self.places_of(mac).count() > MOST_ADDRESSES {
            let oldest =
                self.places_of(mac).min_by_key(|(_, holder)| (holder.present, holder.heard)).map(|(place, _)| *place);
            let Some(place) = oldest else { break };
            self.holders.remove(&place);
        }
    }

    fn oldest_device(&self) -> Option<Mac> {
        let mut heard: BTreeMap<Mac, (bool, Instant)> = BTreeMap::new();
        for holder in self.holders.values() {
            let latest = heard.entry(holder.mac).or_insert((holder.present, holder.heard));
            *latest = (holder.present, holder.heard).max(*latest);
        }
        heard.into_iter().min_by_key(|(_, heard)| *heard).map(|(mac, _)| mac)
    }
}

fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    }
}
