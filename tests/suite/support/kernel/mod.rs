//! A kernel to test against, made of maps: as much of conntrack, nf_tables, links, routes and neighbours as the router relies
//! on. It takes the very datagrams, and the very text `nft` would get, and is as strict as the real one about what exists.

mod asked;
pub mod batch;
mod conntrack;
pub mod messages;
mod network;
mod nftables;
pub mod noted;
mod rules;
mod traffic;

use std::collections::BTreeMap;
use std::net::IpAddr;

use dots_callhome::model::{Flow, Mac};
use dots_callhome::source::Sender;

use super::home::*;
pub use messages::Route;
pub use nftables::{Table, table_deleted};
use noted::Noted;
pub use rules::Packet;
pub use traffic::Flood;

const ENOENT: i32 = 2;

/// A link of the router.
pub struct Link {
    pub name: &'static str,
    pub mac: [u8; 6],
}

/// What it holds, and how it misbehaves.
pub struct Kernel {
    pub flows: Vec<Flow>,
    /// Packets a second of 100 bytes, by the flow's number: sent, answered.
    pub rates: BTreeMap<u32, (u64, u64)>,
    /// Devices that send whether their packets pass or not.
    pub floods: Vec<Flood>,
    /// The number of the flow opened last.
    opened: u32,
    pub links: BTreeMap<u32, Link>,
    pub addresses: Vec<(u32, IpAddr, u8)>,
    pub routes: Vec<Route>,
    pub neighbours: BTreeMap<(IpAddr, u32), Mac>,
    /// Who would answer if asked for; and how often somebody was asked for.
    pub silent: BTreeMap<(IpAddr, u32), Mac>,
    pub asked_for: usize,
    /// What conntrack was asked: to `list`, to `look up`, to `delete`, to `erase` by a filter; in order.
    pub asked: Vec<&'static str>,
    /// Whether lists of conntrack fail with this errno.
    pub list_error: Option<i32>,
    /// Whether entries can be deleted by a filter, as since Linux 6.11.
    pub erases: bool,
    /// Flows, by number, of whose deletion nothing is told: they are older than whoever listens.
    pub untold: Vec<u32>,
    /// Whether accounting is on.
    pub accounting: bool,
    /// The table of senders, and whether nft fails to make or change it.
    pub noted: Option<Noted>,
    pub nft_fails: bool,
    /// How often one of its sets has been read.
    pub table_reads: usize,
    /// On which port of the bridge addresses have been seen.
    pub stations: BTreeMap<Mac, u32>,
    /// Flows that are opened anew as soon as they are deleted.
    pub reopened: bool,
    /// The errno with which our tables can't be read.
    pub unreadable: Option<i32>,
    /// Flows that are back as soon as they are deleted.
    pub sticky: bool,
    /// Our tables by family; guards as of families `inet_guard` and `bridge_guard`.
    pub tables: BTreeMap<String, Table>,
    /// Whether a transaction has opened what was in force.
    pub has_gaped: bool,
    /// Who has sent what the rules that fill a set speak of.
    pub senders: BTreeMap<String, Vec<Sender>>,
    /// What nft complains about.
    pub nft: Option<String>,
    /// Batches are refused, so that all is left to nft.
    pub no_batches: bool,
    /// Bridges are not filtered.
    pub no_bridge: bool,
    /// Nobody answers.
    pub mute: bool,
}

impl Kernel {
    /// A home with a LAN, a guest network and one upstream; nobody is in it.
    pub fn new() -> Self {
        let link = |name, last| Link { name, mac: [2, 0xff, 0, 0, 0, last] };
        let mut kernel = Self {
            flows: Vec::new(),
            rates: BTreeMap::new(),
            floods: Vec::new(),
            opened: 0,
            has_gaped: false,
            links: [(1, link("lo", 0)), (LAN, link("br-lan", 1)), (WAN, link("wan", 2)), (GUEST, link("br-guest", 3))]
                .into(),
            addresses: Vec::new(),
            routes: vec![
                Route::new("0.0.0.0/0", Some("198.51.100.1"), WAN),
                Route::new("::/0", Some("fe80::1"), WAN),
                Route::new("192.168.1.0/24", None, LAN),
            ],
            neighbours: BTreeMap::new(),
            silent: BTreeMap::new(),
            asked_for: 0,
            asked: Vec::new(),
            list_error: None,
            erases: true,
            untold: Vec::new(),
            accounting: true,
            noted: None,
            nft_fails: false,
            table_reads: 0,
            stations: BTreeMap::new(),
            reopened: false,
            unreadable: None,
            sticky: false,
            tables: BTreeMap::new(),
            senders: BTreeMap::new(),
            nft: None,
            no_batches: false,
            no_bridge: false,
            mute: false,
        };
        for (link, address, length) in [
            (1, "127.0.0.1", 8),
            (LAN, GATEWAY, 24),
            (LAN, "2001:db8:123::1", 64),
            (LAN, "fd00:1::1", 64),
            (LAN, "fe80::1", 64),
            (GUEST, "192.168.2.1", 24),
            (WAN, WAN_ADDRESS, 24),
            (WAN, "2001:db8:1::7", 64),
            (WAN, "fe80::7", 64),
        ] {
            kernel.addresses.push((link, ip(address), length));
        }
        // The provider's router is a neighbour, too, but no device.
        kernel.neighbours.insert((ip("198.51.100.1"), WAN), Mac([2, 0xee, 0, 0, 0, 1]));
        kernel
    }

    /// With devices of these numbers on the LAN.
    pub fn with_devices(mut self, numbers: impl IntoIterator<Item = u8>) -> Self {
        for n in numbers {
            self.neighbours.insert((ip(&v4(n)), LAN), mac(n));
            self.neighbours.insert((ip(&v6(n)), LAN), mac(n));
        }
        self
    }

    /// A second upstream, with a prefix of its own.
    pub fn add_second_upstream(&mut self) {
        self.links.insert(SECOND, Link { name: "wan2", mac: [2, 0xff, 0, 0, 0, 4] });
        self.addresses.push((SECOND, ip(SECOND_ADDRESS), 24));
        let default = Route { metric: 10, ..Route::new("0.0.0.0/0", Some("192.0.2.1"), SECOND) };
        self.routes.push(default);
    }

    /// What a request is answered with.
    pub fn answer(&mut self, request: &[u8]) -> Vec<Vec<u8>> {
        if self.mute {
            return Vec::new();
        }
        let kind = u16::from_ne_bytes([request[4], request[5]]);
        let dump = u16::from_ne_bytes([request[6], request[7]]) & 0x300 == 0x300;
        let sequence = u32::from_ne_bytes(request[8..12].try_into().unwrap());
        let body = &request[16..];
        match kind {
            0x101 if dump => self.list_flows(body, sequence),
            0x101 => self.look_up(body, sequence),
            0x102 if request[6] & 8 != 0 => self.erase(body, sequence),
            0x102 => vec![messages::error(self.delete(&body[4..]), sequence)],
            0xa0d | 0xa07 if noted::is_meant(&body[4..]) => {
                self.table_reads += usize::from(kind == 0xa0d);
                noted::answer(self.noted.as_ref(), kind, &body[4..], sequence)
            }
            0xa0d | 0xa07 => self.inspect(kind, body[0], &body[4..], sequence),
            30 if body[0] == 7 => self.list_stations(sequence),
            18 | 22 | 26 | 30 => self.list_network(kind, sequence),
            28 => self.ask_for(body),
            other => panic!("unexpected request {other:x}"),
        }
    }
}
