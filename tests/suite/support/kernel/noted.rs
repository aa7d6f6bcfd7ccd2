//! The table of senders: what the kernel has noted of who opens flows.

use std::net::IpAddr;

use dots_callhome::model::Flow;
use dots_callhome::source::Sender;

use super::messages::{attribute, done, error, message, nest, octets};
use super::{GUEST, Kernel, LAN};

/// The table, once it has been made.
#[derive(Debug, Default)]
pub struct Noted {
    pub senders: Vec<Sender>,
    /// Whether there was no room for somebody.
    pub missed: bool,
    /// Whether it has been made lately.
    pub young: bool,
    /// Whether any flow has been in a zone; it is noted if the rules say so.
    pub zoned: bool,
    pub notes_zones: bool,
    rules: usize,
}

impl Noted {
    /// What this text makes of it: a table anew, or other rules.
    pub fn apply(table: &mut Option<Self>, text: &str) -> Result<(), ()> {
        let anew = text.starts_with("add table inet dots_callhome_senders\ndelete table inet dots_callhome_senders\n");
        if anew {
            *table =
                Some(Self { young: text.contains("missed { 00:00:00:00:00:00 timeout 600s }"), ..Self::default() });
        }
        let table = table.get_or_insert_default();
        table.notes_zones = text.contains("\t\tct zone != 0 add @zoned { ether saddr }\n");
        let lines = text.lines().filter(|line| line.starts_with("\t\t"));
        table.rules = lines
            .filter(|line| {
                line.contains("senders") || line.contains("update") || line.contains("add @") || line.contains("return")
            })
            .count();
        Ok(())
    }

    /// Somebody has deleted a rule.
    pub fn damage(&mut self) {
        self.rules -= 1;
    }

    /// A flow is forwarded.
    pub fn note_zone(&mut self, flow: &Flow) {
        self.zoned |= self.notes_zones && [flow.original, flow.reply].iter().any(|tuple| tuple.zone != 0);
    }

    pub fn note(&mut self, sender: Sender) {
        if !self.senders.contains(&sender) {
            self.senders.push(sender);
        }
    }
}

impl Kernel {
    /// Whoever has an address opens a flow from it; behind another router that router does.
    pub fn note_honestly(&mut self, address: IpAddr) {
        let mac_of =
            |address: IpAddr| [LAN, GUEST].iter().find_map(|l| Some((*self.neighbours.get(&(address, *l))?, *l)));
        let route = self.routes.iter().find(|route| route.to.prefix_len() > 0 && route.to.contains(&address));
        let next = route.and_then(|route| route.gateway).unwrap_or(address);
        if let (Some((mac, link)), Some(noted)) = (mac_of(next), &mut self.noted)
            && !self.addresses.iter().any(|(_, own, _)| *own == address)
        {
            noted.note(Sender { mac, address, link });
        }
    }
}

/// Whether a request is about this table.
pub fn is_meant(body: &[u8]) -> bool {
    let name = b"dots_callhome_senders\0";
    body.windows(name.len()).any(|part| part == name)
}

/// The answers to a request about it.
pub fn answer(table: Option<&Noted>, kind: u16, body: &[u8], sequence: u32) -> Vec<Vec<u8>> {
    let header = |parts: Vec<Vec<u8>>| [vec![1, 0, 0, 0], parts.concat()].concat();
    let name = |kind, text: &str| attribute(kind, format!("{text}\0").as_bytes());
    let mut answers = Vec::new();
    if kind == 0xa07 {
        let rules = table.map_or(0, |table| table.rules);
        answers
            .extend((0..rules).map(|_| message(0xa06, 2, sequence, &header(vec![name(1, "dots_callhome_senders")]))));
        answers.push(done(sequence));
        return answers;
    }
    let Some(table) = table else { return vec![error(2, sequence)] };
    let asks = |set: &str| body.windows(set.len() + 1).any(|part| part == format!("{set}\0").as_bytes());
    let keys: Vec<Vec<u8>> = if asks("zoned") {
        table.zoned.then_some(vec![2, 0xbb, 0, 0, 0, 1]).into_iter().collect()
    } else if asks("missed") {
        let marks = [(table.young, [0; 6]), (table.missed, [2, 0xbb, 0, 0, 0, 1])];
        marks.iter().filter(|(is, _)| *is).map(|(_, mac)| mac.to_vec()).collect()
    } else {
        let of_family = table.senders.iter().filter(|sender| sender.address.is_ipv4() == asks("v4"));
        of_family.map(key).collect()
    };
    for key in keys {
        let element = nest(1, &[nest(1, &[attribute(1, &key)])]);
        let list = nest(3, &[element]);
        answers.push(message(
            0xa0c,
            2,
            sequence,
            &header(vec![name(1, "dots_callhome_senders"), name(2, "set"), list]),
        ));
    }
    answers.push(done(sequence));
    answers.chunks(40).map(<[Vec<u8>]>::concat).collect()
}

/// Each part fills whole registers of four bytes.
fn key(sender: &Sender) -> Vec<u8> {
    [&sender.mac.0[..], &[0, 0], &octets(sender.address), &sender.link.to_ne_bytes()].concat()
}
