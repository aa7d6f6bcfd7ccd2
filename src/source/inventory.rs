//! The devices of the home: who answers to which address, as the kernel's neighbour tables tell.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use vecset::{VecMap, VecSet};

use crate::model::address::is_link_local;
use crate::model::{Mac, is_printable};

/// Most devices remembered; those that are gone give way.
const MOST_DEVICES: usize = 1024;
/// Most addresses of one device; the one heard of last longest ago gives way.
const MOST_ADDRESSES: usize = 16;
/// Most names taken over.
const MOST_NAMES: usize = 4096;
/// Longest name, in characters.
const LONGEST_NAME: usize = 64;

/// The longest idle time of a tracked connection on OpenWrt (TCP, established): so long a flow may be left of whoever had
/// an address before. Lost addresses are remembered for as long, and for as long after an address has changed hands it is
/// doubtful whose an older flow is.
const MEMORY: Duration = Duration::from_secs(7440);

/// A device of the home.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Its Ethernet address.
    pub mac: Mac,
    /// Its name as configured, or as LuCI knows it.
    pub name: Option<String>,
    /// Its addresses: IPv4 first, link-local ones last.
    pub addresses: Vec<IpAddr>,
    /// The router's interface to which it is attached.
    pub interface: Option<String>,
}

/// An address on a link: link-local ones may exist on several.
pub(super) type Place = (IpAddr, u32);

/// Who has an address.
#[derive(Clone, Copy, Debug)]
struct Holder {
    mac: Mac,
    /// Whether the kernel has it in its table.
    present: bool,
    /// Whether the kernel has asked for it in vain since.
    silent: bool,
    /// When the kernel last told of it.
    heard: Instant,
    /// When it took the address over from another device.
    reassigned: Option<Instant>,
}

/// A device, and where it is.
#[derive(Debug)]
struct DeviceRecord {
    device: Device,
    places: Vec<Place>,
}

/// Everybody seen on the links that lead into the home.
#[derive(Debug, Default)]
pub struct Inventory {
    devices: VecMap<Mac, DeviceRecord>,
    holders: BTreeMap<Place, Holder>,
    names: VecMap<Mac, String>,
    /// When the first address lost may be forgotten.
    forget: Option<Instant>,
    own: VecSet<IpAddr>,
}

impl Inventory {
    /// Nobody.
    pub fn new() -> Self {
        Self::default()
    }

    /// All devices, by Ethernet address.
    pub fn devices(&self) -> impl Iterator<Item = &Device> {
        self.devices.values().map(|known| &known.device)
    }

    /// The device with this Ethernet address.
    pub fn device(&self, mac: Mac) -> Option<&Device> {
        self.devices.get(&mac).map(|known| &known.device)
    }

    /// The addresses of a device as far as known.
    pub fn addresses_of(&self, mac: Mac) -> &[IpAddr] {
        self.device(mac).map_or(&[], |device| &device.addresses)
    }

    /// Who has this address. For a link-local address that several have on different links: one of them.
    pub fn mac_of(&self, address: IpAddr) -> Option<Mac> {
        self.place_of(address).and_then(|(address, link)| self.mac_on(address, link))
    }

    /// On which link somebody has this address.
    pub(super) fn place_of(&self, address: IpAddr) -> Option<Place> {
        self.holders.range((address, 0)..=(address, u32::MAX)).next().map(|(place, _)| *place)
    }

    /// Who has this address on that link.
    pub fn mac_on(&self, address: IpAddr, link: u32) -> Option<Mac> {
        self.holders.get(&(address, link)).map(|holder| holder.mac)
    }

    /// The links on which a device has this address.
    pub(super) fn links_of(&self, mac: Mac, address: IpAddr) -> impl Iterator<Item = (u32, IpAddr)> {
        let held = self.holders.range((address, 0)..=(address, u32::MAX));
        held.filter(move |(_, holder)| holder.mac == mac).map(|((address, link), _)| (*link, *address))
    }

    /// Whether an older flow from this address may be another device's, because the address has changed hands.
    pub(super) fn is_reassigned(&self, address: IpAddr, now: Instant) -> bool {
        let lately = |at: Instant| now.saturating_duration_since(at) < MEMORY;
        let mut holders = self.holders.range((address, 0)..=(address, u32::MAX));
        holders.any(|(_, holder)| holder.reassigned.is_some_and(lately))
    }

    /// The addresses of the router itself, which are no device's.
    pub fn own(&self) -> &VecSet<IpAddr> {
        &self.own
    }

    /// Takes over the addresses of the router itself.
    pub fn set_own(&mut self, own: VecSet<IpAddr>) {
        self.own = own;
    }

    /// The name of a device as configured or known to LuCI, seen or not.
    pub fn name_of(&self, mac: Mac) -> Option<&str> {
        self.names.get(&mac).map(String::as_str)
    }

    /// Takes over the names of devices, as configured or known to LuCI; replaces those before. Control characters are
    /// dropped.
    pub fn set_names(&mut self, names: VecMap<Mac, String>) {
        let clean = |(mac, name): (Mac, String)| {
            let name: String = name.chars().filter(|c| is_printable(*c)).take(LONGEST_NAME).collect();
            (!name.trim().is_empty()).then_some((mac, name))
        };
        self.names = names.into_iter().filter_map(clean).take(MOST_NAMES).collect();
        for DeviceRecord { device, .. } in self.devices.values_mut() {
            device.name = self.names.get(&device.mac).cloned();
        }
    }

    /// Takes in a neighbour on a link that leads into the home; tells whether what is shown of the home has changed.
    pub fn learn(&mut self, address: IpAddr, link: u32, interface: Option<&str>, mac: Mac, now: Instant) -> bool {
        let place = (address, link);
        let before = self.holders.get(&place).copied();
        let moved = before.is_some_and(|before| before.mac != mac);
        if let Some(before) = before.filter(|_| moved) {
            self.leave(place, before.mac);
        }
        if !self.devices.contains_key(&mac) && !self.make_room() {
            return self.holders.remove(&place).is_some();
        }
        let reassigned = if moved { Some(now) } else { before.and_then(|before| before.reassigned) };
        self.holders.insert(place, Holder { mac, present: true, silent: false, heard: now, reassigned });
        let same_link = self.device(mac).is_some_and(|device| device.interface.as_deref() == interface);
        let known = same_link && before.is_some() && !moved;
        if !known {
            self.arrive(place, interface, mac);
        }
        !known || before.is_some_and(|before| before.silent)
    }

    /// Makes room for one more device, if there is anybody to forget. Those who are there stay: whoever makes up Ethernet
    /// addresses must not push them out.
    fn make_room(&mut self) -> bool {
        if self.devices.len() < MOST_DEVICES {
            return true;
        }
        let heard = |known: &DeviceRecord| {
            let holders = known.places.iter().filter_map(|place| self.holders.get(place));
            holders.map(|holder| (holder.present, holder.heard)).max()
        };
        let absent = self.devices.iter().filter_map(|(mac, known)| Some((heard(known)?, *mac)));
        let longest = absent.filter(|((present, _), _)| !present).min_by_key(|(heard, _)| *heard);
        let Some(known) = longest.and_then(|(_, mac)| self.devices.remove(&mac)) else { return false };
        known.places.iter().for_each(|place| {
            self.holders.remove(place);
        });
        true
    }

    /// The kernel has forgotten a neighbour, or lost it; it is remembered for a while.
    pub(super) fn lose(&mut self, address: IpAddr, link: u32, now: Instant) {
        if let Some(holder) = self.holders.get_mut(&(address, link)).filter(|holder| holder.present) {
            holder.present = false;
            holder.heard = now;
            self.forget = Some(self.forget.unwrap_or(now + MEMORY));
        }
    }

    /// The kernel has asked for a neighbour in vain. Tells whether that is news.
    pub(super) fn lose_silent(&mut self, address: IpAddr, link: u32, now: Instant) -> bool {
        self.lose(address, link, now);
        let holder = self.holders.get_mut(&(address, link));
        holder.is_some_and(|holder| !std::mem::replace(&mut holder.silent, true))
    }

    /// Whether nobody answers at an address that somebody had.
    pub(super) fn is_silent(&self, address: IpAddr, link: u32) -> bool {
        self.holders.get(&(address, link)).is_some_and(|holder| holder.silent)
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

    /// Forgets everybody who can't be a device on the link where he was seen; tells whether it did.
    pub(super) fn retain_devices(&mut self, may_be: impl Fn(Mac, u32) -> bool) -> bool {
        self.retain(|(_, link), holder| may_be(holder.mac, *link))
    }

    /// When [`Self::forget_old`] has something to do.
    pub(super) fn next_to_forget(&self) -> Option<Instant> {
        self.forget
    }

    fn retain(&mut self, keep: impl Fn(&Place, &Holder) -> bool) -> bool {
        let leaving = |(place, holder): (&Place, &Holder)| (!keep(place, holder)).then_some((*place, holder.mac));
        let leaving: Vec<(Place, Mac)> = self.holders.iter().filter_map(leaving).collect();
        for (place, mac) in &leaving {
            self.holders.remove(place);
            self.leave(*place, *mac);
        }
        !leaving.is_empty()
    }

    /// Notes that a device is at a place; at too many, the one it was at least lately is forgotten.
    fn arrive(&mut self, place: Place, interface: Option<&str>, mac: Mac) {
        let name = self.names.get(&mac).cloned();
        let known = self.devices.entry(mac).or_insert_with(|| DeviceRecord {
            device: Device { mac, name, addresses: Vec::new(), interface: None },
            places: Vec::new(),
        });
        known.device.interface = interface.map(str::to_owned);
        if !known.places.contains(&place) {
            known.places.push(place);
        }
        if known.places.len() > MOST_ADDRESSES {
            let age = |place: &Place| self.holders.get(place).map(|holder| (holder.present, holder.heard));
            if let Some(oldest) = known.places.iter().min_by_key(|place| age(place)).copied() {
                self.holders.remove(&oldest);
                known.places.retain(|place| *place != oldest);
            }
        }
        known.list();
    }

    /// Notes that a device is no longer at a place; one that is nowhere is gone.
    fn leave(&mut self, place: Place, mac: Mac) {
        let Some(known) = self.devices.get_mut(&mac) else { return };
        known.places.retain(|other| *other != place);
        known.list();
        if known.places.is_empty() {
            self.devices.remove(&mac);
        }
    }
}

impl DeviceRecord {
    /// Lists the addresses anew.
    fn list(&mut self) {
        let mut addresses: Vec<IpAddr> = self.places.iter().map(|(address, _)| *address).collect();
        addresses.sort_by_key(|address| (is_link_local(*address), *address));
        addresses.dedup();
        self.device.addresses = addresses;
    }
}
