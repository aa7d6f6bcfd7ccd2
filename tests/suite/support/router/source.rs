//! Short words for flows, neighbours and searches.

use std::time::Instant;

use dots_callhome::model::{Flow, Mac, MitigationId, Scope, Traffic, Tuple};
use dots_callhome::source::{Confidence, Sender, Socket, Suspect};

use super::TestRouter;
use crate::support::home::*;
use crate::support::kernel::{Flood, Packet, messages, table_deleted};
use crate::support::source::tuple;

impl TestRouter {
    /// Somebody is seen to send what a search is about, with an address that may be another's.
    pub fn witness(&mut self, id: u32, sender: Mac, address: &str, link: u32) {
        let sender = Sender { mac: sender, address: ip(address), link };
        self.finder.handle_senders(MitigationId(id), &[sender], self.now);
        self.settle();
    }

    /// Flows send as long as until then, and the kernel tells of new ones.
    pub(super) fn send_traffic(&mut self, until: Instant) {
        let age = |instant: Instant| instant.saturating_duration_since(self.start);
        for id in self.kernel.pass(age(self.now.instant), age(until)) {
            self.announce(id);
        }
    }

    /// A device sends so many packets of UDP a second to port `to` of the victim, seen from port `seen`: over a flow while
    /// they pass. Returns its place among the kernel's floods.
    pub fn flood(&mut self, device: u8, seen: u16, to: u16, pps: u64) -> usize {
        let original = tuple(&v4(device), VICTIM, UDP, ports(4000, to));
        let reply = tuple(VICTIM, WAN_ADDRESS, UDP, ports(to, seen));
        self.kernel.floods.push(Flood { sender: mac(device), original, reply, pps, passed: 0, dropped: 0 });
        self.kernel.floods.len() - 1
    }

    /// Whether the kernel would drop such a packet of a device on the LAN; `port` is the target's, where the protocol has
    /// ports. The device sends from its first address of the target's family.
    pub fn drops(&self, device: Mac, target: &str, port: u16, protocol: u8) -> bool {
        let target = ip(target);
        let own = self.finder.inventory().addresses_of(device).iter().find(|own| own.is_ipv4() == target.is_ipv4());
        let unknown = ip(if target.is_ipv4() { "192.168.1.250" } else { "2001:db8:123::fa" });
        let source = own.copied().unwrap_or(unknown);
        self.kernel.drops(&Packet { sender: device, link: LAN, source, target, protocol, detail: ports(4000, port) })
    }

    /// A flow that exists before anybody asks, sending so many packets a second. Returns its number.
    pub fn flow(&mut self, original: Tuple, reply: Tuple, pps: u64) -> u32 {
        [original.source, reply.source].into_iter().for_each(|address| self.kernel.note_honestly(address));
        self.borrowed_flow(original, reply, pps)
    }

    /// A flow of which the table of senders has noted nothing by itself.
    pub fn borrowed_flow(&mut self, original: Tuple, reply: Tuple, pps: u64) -> u32 {
        let id = self.kernel.number();
        let sent = Some(Traffic { packets: 10, bytes: 1000 });
        let answered = Some(Traffic { packets: 0, bytes: 0 });
        self.kernel.flows.push(Flow { id, original, reply, sent, answered, offloaded: false });
        self.kernel.rates.insert(id, (pps, 0));
        id
    }

    /// A flow from a device through the NAT to port `to` of the victim.
    pub fn translated(&mut self, device: u8, protocol: u8, from: u16, seen: u16, to: u16, pps: u64) -> u32 {
        self.translated_from(&v4(device), protocol, from, seen, to, pps)
    }

    /// The same from any address.
    pub fn translated_from(&mut self, from: &str, protocol: u8, port: u16, seen: u16, to: u16, pps: u64) -> u32 {
        let original = tuple(from, VICTIM, protocol, ports(port, to));
        self.flow(original, tuple(VICTIM, WAN_ADDRESS, protocol, ports(to, seen)), pps)
    }

    /// The table of senders notes that somebody opens flows from an address.
    pub fn opens(&mut self, mac: Mac, address: &str, link: u32) {
        let sender = Sender { mac, address: ip(address), link };
        self.kernel.noted.as_mut().expect("the table").note(sender);
    }

    /// The bridge sees an address on one of its ports.
    pub fn station(&mut self, mac: Mac, port: u32) {
        self.kernel.stations.insert(mac, port);
        self.event(Socket::RouteEvents, &messages::station(0, port, LAN, mac.0));
    }

    /// The kernel tells that somebody has changed the table of senders.
    pub fn tables_changed(&mut self) {
        self.finder.handle_tables(&table_deleted("dots_callhome_senders"), self.now);
        self.settle();
    }

    /// A flow over IPv6.
    pub fn untranslated(&mut self, address: &str, protocol: u8, from: u16, to: u16, pps: u64) -> u32 {
        let original = tuple(address, VICTIM6, protocol, ports(from, to));
        self.flow(original, tuple(VICTIM6, address, protocol, ports(to, from)), pps)
    }

    /// The flow is opened, and the kernel tells, if anybody listens.
    pub fn announce(&mut self, id: u32) {
        let flow = *self.kernel.flows.iter().find(|flow| flow.id == id).unwrap();
        self.kernel.noted.iter_mut().for_each(|noted| noted.note_zone(&flow));
        if !self.finder.listening().new_flows {
            return;
        }
        let message = messages::flow(0x100, 0x600, 0, &Flow { sent: None, answered: None, ..flow });
        self.event(Socket::ConntrackEvents, &message);
    }

    /// The flow ends, and the kernel tells.
    pub fn end(&mut self, id: u32) {
        let at = self.kernel.flows.iter().position(|flow| flow.id == id).unwrap();
        let flow = self.kernel.flows.remove(at);
        let message = messages::flow(0x102, 0, 0, &self.kernel.told(&flow));
        self.event(Socket::ConntrackEvents, &message);
    }

    /// A neighbour appears, changes or (without an Ethernet address) is lost, and the kernel tells.
    pub fn neighbour(&mut self, address: &str, link: u32, mac: Option<Mac>) {
        let (address, state) = (ip(address), if mac.is_some() { 2 } else { 32 });
        match mac {
            Some(mac) => self.kernel.neighbours.insert((address, link), mac),
            None => self.kernel.neighbours.remove(&(address, link)),
        };
        let message = messages::neighbour(28, 0, link, address, state, mac.map(|mac| mac.0));
        self.event(Socket::RouteEvents, &message);
    }

    pub fn event(&mut self, socket: Socket, datagram: &[u8]) {
        if !(self.deaf && socket == Socket::ConntrackEvents) {
            self.finder.handle_datagram(socket, datagram, self.now);
        }
        self.settle();
    }

    pub fn overrun(&mut self, socket: Socket) {
        self.finder.handle_overrun(socket, self.now);
        self.settle();
    }

    /// Begins a search.
    pub fn search(&mut self, id: u32, scope: &Scope) {
        self.finder.start_search(MitigationId(id), scope, self.now);
        self.settle();
    }

    /// What has been said last of a search.
    pub fn last(&self, id: u32) -> Option<&[Suspect]> {
        self.found.iter().rev().find(|(found, _)| *found == MitigationId(id)).map(|(_, suspects)| suspects.as_slice())
    }

    /// Everybody who has ever been said to be surely meant.
    pub fn ever_sure(&self, id: u32) -> Vec<(Mac, Confidence)> {
        let said = self.found.iter().filter(|(found, _)| *found == MitigationId(id)).flat_map(|(_, suspects)| suspects);
        let sure = said.filter(|suspect| suspect.confidence > Confidence::Possible);
        sure.map(|suspect| (suspect.mac, suspect.confidence)).collect()
    }

    /// The same of what has been said last, in short.
    pub fn verdict(&self, id: u32) -> Vec<(Mac, Confidence)> {
        let last = self.last(id).expect("nothing has been said");
        last.iter().map(|suspect| (suspect.mac, suspect.confidence)).collect()
    }
}
