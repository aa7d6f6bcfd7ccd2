//! Links, addresses, routes and neighbours, as rtnetlink tells them.

use std::net::IpAddr;

use super::{Kernel, LAN, messages};

impl Kernel {
    pub(super) fn list_network(&self, kind: u16, sequence: u32) -> Vec<Vec<u8>> {
        let mut answers: Vec<Vec<u8>> = match kind {
            18 => self.links.iter().map(|(i, link)| messages::link(16, sequence, *i, link.name, link.mac)).collect(),
            22 => {
                self.addresses.iter().map(|(i, a, length)| messages::address(20, sequence, *i, *a, *length)).collect()
            }
            26 => self.routes.iter().map(|route| messages::route(24, 2, sequence, route)).collect(),
            _ => self
                .neighbours
                .iter()
                .map(|((a, link), mac)| messages::neighbour(28, sequence, *link, *a, 4, Some(mac.0)))
                .collect(),
        };
        answers.push(messages::done(sequence));
        // Several messages in a datagram, as the kernel does.
        answers.chunks(3).map(<[Vec<u8>]>::concat).collect()
    }

    /// Ethernet addresses and the ports of the bridge they are seen on.
    pub(super) fn list_stations(&self, sequence: u32) -> Vec<Vec<u8>> {
        let stations = self.stations.iter();
        let mut answers: Vec<_> = stations.map(|(mac, port)| messages::station(sequence, *port, LAN, mac.0)).collect();
        answers.push(messages::done(sequence));
        answers
    }

    /// What `ip neigh add … use` asks.
    pub(super) fn ask_for(&mut self, body: &[u8]) -> Vec<Vec<u8>> {
        self.asked_for += 1;
        assert_eq!(body[8..12], [0, 0, 1, 0], "state, NTF_USE, type");
        let address = match body[0] {
            2 => IpAddr::from(<[u8; 4]>::try_from(&body[16..]).unwrap()),
            _ => IpAddr::from(<[u8; 16]>::try_from(&body[16..]).unwrap()),
        };
        let link = u32::from_ne_bytes(body[4..8].try_into().unwrap());
        let Some(mac) = self.silent.remove(&(address, link)) else { return Vec::new() };
        self.neighbours.insert((address, link), mac);
        vec![messages::neighbour(28, 0, link, address, 2, Some(mac.0))]
    }
}
