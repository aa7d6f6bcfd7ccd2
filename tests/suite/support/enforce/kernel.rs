//! A kernel made of maps: as much of nf_tables and conntrack as enforcement relies on. It takes the very text `nft` would
//! get and the very datagrams, and is as strict as the real one about what exists.

use std::collections::BTreeMap;
use std::net::IpAddr;

use dots_callhome::model::{Detail, Flow, Mac, Traffic, Tuple};
use dots_callhome::source::Sender;

const ENOENT: i32 = 2;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Element {
    pub counter: Option<Traffic>,
    /// Seconds, as written.
    pub timeout: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    pub sets: BTreeMap<String, BTreeMap<Mac, Element>>,
    counting: BTreeMap<String, bool>,
    pub chains: BTreeMap<String, Vec<String>>,
}

/// What it holds, and how it misbehaves.
#[derive(Debug, Default)]
pub struct Kernel {
    pub tables: BTreeMap<String, Table>,
    pub flows: Vec<Flow>,
    /// Who has sent what the rules that fill a set speak of.
    pub senders: BTreeMap<String, Vec<Sender>>,
    /// Flows that are back as soon as they are deleted.
    pub sticky: bool,
    /// Flows that are opened anew as soon as they are deleted.
    pub reopened: bool,
    /// What nft complains about.
    pub nft: Option<String>,
    /// Bridges are not filtered.
    pub no_bridge: bool,
    /// The errno conntrack answers every list with.
    pub conntrack: Option<i32>,
    /// The errno with which our tables can't be read.
    pub unreadable: Option<i32>,
    /// Nobody answers.
    pub mute: bool,
    /// What was asked of conntrack, in order.
    pub asked: Vec<&'static str>,
}

impl Kernel {
    /// One transaction: all or nothing.
    pub fn run(&mut self, text: &str) -> Result<(), String> {
        if let Some(complaint) = &self.nft {
            return Err(complaint.clone());
        }
        let mut tables = self.tables.clone();
        let mut lines = text.lines();
        while let Some(line) = lines.next() {
            if self.no_bridge && line.contains(" bridge ") {
                return Err("nft: Error: Could not process rule: Operation not supported".into());
            }
            apply(&mut tables, line, &mut lines).map_err(|why| format!("{line}: {why}"))?;
        }
        for table in tables.values() {
            check(table)?;
        }
        self.tables = tables;
        Ok(())
    }

    /// A set of our table of the family `inet`.
    pub fn set(&mut self, name: &str) -> &mut BTreeMap<Mac, Element> {
        self.tables.get_mut("inet").expect("table").sets.get_mut(name).expect("set")
    }

    /// Somebody's packets are dropped.
    pub fn count(&mut self, set: &str, mac: Mac, packets: u64) {
        let counter = self.set(set).get_mut(&mac).expect("element").counter.as_mut().expect("counter");
        counter.packets += packets;
        counter.bytes += packets * 100;
    }

    /// What a request is answered with.
    pub fn answer(&mut self, request: &[u8]) -> Vec<Vec<u8>> {
        if self.mute {
            return Vec::new();
        }
        let kind = u16::from_ne_bytes([request[4], request[5]]);
        let sequence = u32::from_ne_bytes(request[8..12].try_into().unwrap());
        let body = &request[20..];
        match kind {
            0x101 => self.list_flows(request, sequence),
            0x102 => {
                // What fills up the last attribute may be left out.
                let mut body = body.to_vec();
                body.resize(body.len().next_multiple_of(4), 0);
                vec![error(self.delete(&body), sequence)]
            }
            0xa0d | 0xa07 => self.inspect(kind, request[16], body, sequence),
            other => panic!("unexpected request {other:x}"),
        }
    }

    fn list_flows(&mut self, request: &[u8], sequence: u32) -> Vec<Vec<u8>> {
        self.asked.push("list");
        if let Some(errno) = self.conntrack {
            return vec![error(errno, sequence)];
        }
        let (v4, filter) = (request[16] == 2, &request[20..]);
        let passes = |flow: &&Flow| {
            let side = match filter.get(2) {
                None => return flow.original.source.is_ipv4() == v4,
                Some(1) => flow.original.source,
                Some(_) => flow.reply.source,
            };
            matches!(side, IpAddr::V4(side) if v4 && filter.windows(8).any(|part| part == attribute(1, &side.octets())))
        };
        let passing = self.flows.iter().filter(passes);
        let mut answers: Vec<Vec<u8>> = passing.map(|flow| flow_message(flow, 0x100, sequence)).collect();
        answers.push(message(3, 2, sequence, &[0; 4]));
        answers
    }

    fn delete(&mut self, body: &[u8]) -> i32 {
        self.asked.push("delete");
        let meant = |flow: &Flow| {
            let by_tuple = [tuple(1, &flow.original), zone(flow)].concat();
            body == by_tuple || body == [by_tuple, attribute(12, &flow.id.to_ne_bytes())].concat()
        };
        let found = self.flows.iter().position(meant);
        match found {
            Some(_) if self.sticky => 0,
            Some(number) if self.reopened => {
                self.flows[number].id += 1000;
                0
            }
            Some(number) => {
                self.flows.remove(number);
                0
            }
            None => ENOENT,
        }
    }

    fn inspect(&self, kind: u16, family: u8, body: &[u8], sequence: u32) -> Vec<Vec<u8>> {
        if let Some(errno) = self.unreadable {
            return vec![error(errno, sequence)];
        }
        let family = if family == 1 { "inet" } else { "bridge" };
        let names = strings(body);
        let Some(table) = self.tables.get(family).filter(|_| names[0] == "dots_callhome") else {
            // Without a table there are no rules; a set that is not there can't be listed.
            return vec![if kind == 0xa07 { message(3, 2, sequence, &[0; 4]) } else { error(ENOENT, sequence) }];
        };
        let header = |body: Vec<u8>| [vec![1, 0, 0, 0], body].concat();
        let mut answers = Vec::new();
        if kind == 0xa07 {
            let rules = table.chains.values().flatten();
            answers.extend(rules.map(|_| message(0xa06, 2, sequence, &header(name(1, "dots_callhome")))));
        } else {
            let Some(set) = table.sets.get(&names[1]) else { return vec![error(ENOENT, sequence)] };
            let elements = set.iter().map(|(mac, element)| element_body(&mac.0, element));
            let senders = self.senders.get(&names[1]).into_iter().flatten();
            for element in elements.chain(senders.map(|sender| element_body(&key(sender), &Element::default()))) {
                let list = attribute(3 | 0x8000, &attribute(1 | 0x8000, &element));
                let body = [name(1, "dots_callhome"), name(2, &names[1]), list].concat();
                answers.push(message(0xa0c, 2, sequence, &header(body)));
            }
        }
        answers.push(message(3, 2, sequence, &[0; 4]));
        answers
    }
}

/// A datagram of events: somebody has deleted a table of this name.
pub fn table_deleted(table: &str) -> Vec<u8> {
    message(0xa02, 0, 0, &[vec![1, 0, 0, 1], name(1, table)].concat())
}

fn apply<'a>(
    tables: &mut BTreeMap<String, Table>,
    line: &str,
    lines: &mut impl Iterator<Item = &'a str>,
) -> Result<(), &'static str> {
    let words: Vec<&str> = line.split(' ').collect();
    match words.as_slice() {
        ["add", "table", family, "dots_callhome"] => drop(tables.entry((*family).into()).or_default()),
        ["delete", "table", family, "dots_callhome"] => drop(tables.remove(*family).ok_or("no table")?),
        ["table", family, "dots_callhome", "{"] => block(tables.entry((*family).into()).or_default(), lines)?,
        ["flush", "chain", family, "dots_callhome", chain] => {
            let table = tables.get_mut(*family).ok_or("no table")?;
            table.chains.get_mut(*chain).ok_or("no chain")?.clear();
        }
        ["delete", what @ ("chain" | "set"), family, "dots_callhome", gone] => {
            let table = tables.get_mut(*family).ok_or("no table")?;
            let used = |rule: &String| rule.contains(&format!("@{gone} ")) || rule.ends_with(&format!("jump {gone}"));
            if table.chains.values().flatten().any(used) {
                return Err("in use");
            }
            match *what {
                "chain" => drop(table.chains.remove(*gone).ok_or("no chain")?),
                _ => drop(table.sets.remove(*gone).ok_or("no set")?),
            }
        }
        [verb @ ("add" | "delete"), "element", family, "dots_callhome", set, "{", elements @ .., "}"] => {
            let table = tables.get_mut(*family).ok_or("no table")?;
            let counting = table.counting.get(*set).copied().unwrap_or_default();
            let set = table.sets.get_mut(*set).ok_or("no set")?;
            for element in elements.join(" ").split(", ") {
                self::element(set, verb, element, counting)?;
            }
        }
        _ => return Err("not understood"),
    }
    Ok(())
}

fn block<'a>(table: &mut Table, lines: &mut impl Iterator<Item = &'a str>) -> Result<(), &'static str> {
    while let Some(line) = lines.next().filter(|line| *line != "}") {
        let mut inside = Vec::new();
        for line in lines.by_ref().take_while(|line| *line != "\t}") {
            inside.push(line.strip_prefix("\t\t").ok_or("badly indented")?.to_owned());
        }
        match line.split(' ').collect::<Vec<_>>().as_slice() {
            ["\tset", name, "{"] => {
                table.counting.insert((*name).into(), inside.contains(&"counter".into()));
                table.sets.entry((*name).into()).or_default();
            }
            ["\tchain", name, "{"] => {
                inside.retain(|line| !line.starts_with("type "));
                table.chains.entry((*name).into()).or_default().extend(inside);
            }
            _ => return Err("not understood"),
        }
    }
    Ok(())
}

fn element(set: &mut BTreeMap<Mac, Element>, verb: &str, text: &str, counting: bool) -> Result<(), &'static str> {
    let words: Vec<&str> = text.split(' ').collect();
    let mac: Mac = words[0].parse().map_err(|_| "no address")?;
    if verb == "delete" {
        return set.remove(&mac).map(drop).ok_or("no element");
    }
    let mut element = Element { counter: counting.then(Traffic::default), timeout: None };
    let mut rest = &words[1..];
    if let ["counter", "packets", packets, "bytes", bytes, more @ ..] = rest {
        let number = |text: &str| text.parse().map_err(|_| "no number");
        element.counter = Some(Traffic { packets: number(packets)?, bytes: number(bytes)? });
        rest = more;
    }
    if let ["timeout", seconds, more @ ..] = rest {
        element.timeout = Some((*seconds).to_owned());
        rest = more;
    }
    // As before Linux 6.12: one that is there stays as it is.
    set.entry(mac).or_insert(element);
    if rest.is_empty() { Ok(()) } else { Err("more than an element") }
}

/// Rules may refer only to what is there.
fn check(table: &Table) -> Result<(), String> {
    for rule in table.chains.values().flatten() {
        let words: Vec<&str> = rule.split(' ').collect();
        for pair in words.windows(2) {
            let missing = match pair {
                ["jump" | "goto", chain] => !table.chains.contains_key(*chain),
                [_, set] if set.starts_with('@') => !table.sets.contains_key(&set[1..]),
                _ => false,
            };
            if missing {
                return Err(format!("{rule}: refers to nothing"));
            }
        }
    }
    Ok(())
}

/// A conntrack entry as the kernel writes it.
pub fn flow_message(flow: &Flow, kind: u16, sequence: u32) -> Vec<u8> {
    let counters = |kind: u16, traffic: Option<Traffic>| {
        traffic.map_or_else(Vec::new, |traffic| {
            let (packets, bytes) = (traffic.packets.to_be_bytes(), traffic.bytes.to_be_bytes());
            attribute(kind | 0x8000, &[attribute(1, &packets), attribute(2, &bytes)].concat())
        })
    };
    let family = if flow.original.source.is_ipv4() { 2 } else { 10 };
    let body = [
        vec![family, 0, 0, 0],
        tuple(1, &flow.original),
        tuple(2, &flow.reply),
        counters(9, flow.sent),
        counters(10, flow.answered),
        attribute(12, &flow.id.to_ne_bytes()),
        zone(flow),
    ];
    message(kind, 2, sequence, &body.concat())
}

/// The zone of a flow that is in one both ways.
fn zone(flow: &Flow) -> Vec<u8> {
    let zone = flow.original.zone;
    if zone == 0 { Vec::new() } else { attribute(18, &zone.to_be_bytes()) }
}

fn tuple(kind: u16, tuple: &Tuple) -> Vec<u8> {
    let address = |v4: u16, address: IpAddr| match address {
        IpAddr::V4(address) => attribute(v4, &address.octets()),
        IpAddr::V6(address) => attribute(v4 + 2, &address.octets()),
    };
    let addresses = [address(1, tuple.source), address(2, tuple.destination)].concat();
    let mut protocol = attribute(1, &[tuple.protocol]);
    match tuple.detail {
        Detail::Ports { source, destination } => {
            protocol.extend(attribute(2, &source.to_be_bytes()));
            protocol.extend(attribute(3, &destination.to_be_bytes()));
        }
        Detail::Icmp { kind, code, id } => {
            let first = if tuple.protocol == 58 { 7 } else { 4 };
            protocol.extend(attribute(first, &id.to_be_bytes()));
            protocol.extend(attribute(first + 1, &[kind]));
            protocol.extend(attribute(first + 2, &[code]));
        }
        Detail::None => {}
    }
    attribute(kind | 0x8000, &[attribute(1 | 0x8000, &addresses), attribute(2 | 0x8000, &protocol)].concat())
}

/// Each part fills whole registers of four bytes.
fn key(sender: &Sender) -> Vec<u8> {
    let address = match sender.address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    [&sender.mac.0[..], &[0, 0], &address, &sender.link.to_ne_bytes()].concat()
}

fn element_body(key: &[u8], element: &Element) -> Vec<u8> {
    let mut body = attribute(1 | 0x8000, &attribute(1, key));
    if let Some(counter) = element.counter {
        let (bytes, packets) = (counter.bytes.to_be_bytes(), counter.packets.to_be_bytes());
        let data = [attribute(1, &bytes), attribute(2, &packets)].concat();
        body.extend(attribute(7 | 0x8000, &[name(1, "counter"), attribute(2 | 0x8000, &data)].concat()));
    }
    body
}

fn message(kind: u16, flags: u16, sequence: u32, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(16 + body.len()).unwrap().to_ne_bytes();
    let head = [kind.to_ne_bytes(), flags.to_ne_bytes()].concat();
    [&length[..], &head, &sequence.to_ne_bytes(), &[0; 4], body].concat()
}

fn error(errno: i32, sequence: u32) -> Vec<u8> {
    message(2, 0, sequence, &[&(-errno).to_ne_bytes()[..], &[0; 16]].concat())
}

fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(4 + value.len()).unwrap();
    let mut bytes = [&length.to_ne_bytes()[..], &kind.to_ne_bytes(), value].concat();
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

fn name(kind: u16, text: &str) -> Vec<u8> {
    attribute(kind, &[text.as_bytes(), &[0]].concat())
}

/// The strings a request bears.
fn strings(mut body: &[u8]) -> Vec<String> {
    let mut strings = Vec::new();
    while body.len() > 4 {
        let length = usize::from(u16::from_ne_bytes([body[0], body[1]]));
        strings.push(String::from_utf8(body[4..length - 1].to_vec()).unwrap());
        body = &body[length.next_multiple_of(4).min(body.len())..];
    }
    strings
}
