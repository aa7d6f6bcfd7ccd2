//! nf_tables: what `nft` may write, and what can be listed.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use dots_callhome::model::{Mac, Traffic};
use dots_callhome::source::Sender;

use super::messages::{attribute, error, message, name, octets};
use super::rules::expressions;
use super::{ENOENT, Kernel};

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Element {
    pub counter: Option<Traffic>,
    /// As written.
    pub timeout: Option<String>,
    /// What is left of it.
    left: Option<Duration>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    pub sets: BTreeMap<String, BTreeMap<Mac, Element>>,
    counting: BTreeMap<String, bool>,
    /// Ranges of addresses, and the chains they lead to.
    pub maps: BTreeMap<String, Vec<(IpAddr, IpAddr, String)>>,
    pub chains: BTreeMap<String, Vec<String>>,
}

impl Kernel {
    /// One transaction: all or nothing.
    pub fn run(&mut self, text: &str) -> Result<(), String> {
        if let Some(complaint) = &self.nft {
            return Err(complaint.clone());
        }
        let mut tables = self.tables.clone();
        self.has_gaped |= self.opens(text);
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

    /// Whether packets may get past what is in force while the kernel turns from one to the other: a table that blocks is made
    /// anew without a guard behind it, or a chain is filled anew with rules that look into new sets of ranges.
    fn opens(&self, text: &str) -> bool {
        let blocks = |table: &Table| table.sets.values().any(|set| !set.is_empty());
        let anew = ["inet", "bridge"].into_iter().any(|family| {
            let is_made = text.contains(&format!("\ntable {family} dots_callhome {{"));
            let is_deleted = text.contains(&format!("delete table {family} dots_callhome\n"));
            let stands = self.tables.get(family).is_some_and(blocks);
            let guarded = self.tables.get(&format!("{family}_guard")).is_some_and(blocks);
            is_made && is_deleted && stands && !guarded
        });
        let flushed = text.lines().filter_map(|line| line.strip_prefix("flush chain "));
        let has_ranges =
            |rule: &str| expressions(rule).iter().any(|word| word.contains(',') && word.contains(['-', '/']));
        let refilled = |chain: &str| {
            text.lines().filter_map(|line| line.strip_prefix(&format!("add rule {chain} "))).any(has_ranges)
        };
        anew || flushed.into_iter().any(refilled)
    }

    /// Elements whose time is over are gone.
    pub(super) fn expire(&mut self, passed: Duration) {
        for set in self.tables.values_mut().flat_map(|table| table.sets.values_mut()) {
            set.retain(|_, element| {
                element.left = element.left.map(|left| left.saturating_sub(passed));
                element.left != Some(Duration::ZERO)
            });
        }
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

    pub(super) fn inspect(&self, kind: u16, family: u8, body: &[u8], sequence: u32) -> Vec<Vec<u8>> {
        if let Some(errno) = self.unreadable {
            return vec![error(errno, sequence)];
        }
        let family = if family == 1 { "inet" } else { "bridge" };
        let names = strings(body);
        let Some(table) = self.tables.get(family).filter(|_| names[0] == "dots_callhome") else {
            // Without a table there are no rules; a set that is not there can't be listed.
            return vec![if kind == 0xa07 { message(3, 2, sequence, &[0; 4]) } else { error(ENOENT, sequence) }];
        };
        if let Some(ranges) = table.maps.get(names.get(1).map_or("", String::as_str)) {
            let elements = ranges.iter().flat_map(|(first, last, chain)| range_bodies(*first, *last, chain));
            let list = |element: Vec<u8>| attribute(3 | 0x8000, &attribute(1 | 0x8000, &element));
            let body =
                |element| [vec![1, 0, 0, 0], name(1, "dots_callhome"), name(2, &names[1]), list(element)].concat();
            let answers = elements.map(|element| message(0xa0c, 2, sequence, &body(element)));
            return answers.chain([message(3, 2, sequence, &[0; 4])]).collect();
        }
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
    // A guard is a table of its own, of a family by that name.
    let line = line.replace("inet dots_callhome_guard", "inet_guard dots_callhome");
    let line = line.replace("bridge dots_callhome_guard", "bridge_guard dots_callhome");
    let words: Vec<&str> = line.split(' ').collect();
    match words.as_slice() {
        ["add", "table", family, "dots_callhome"] => drop(tables.entry((*family).into()).or_default()),
        ["delete", "table", family, "dots_callhome"] => drop(tables.remove(*family).ok_or("no table")?),
        ["table", family, "dots_callhome", "{"] => block(tables.entry((*family).into()).or_default(), lines)?,
        ["add", "rule", family, "dots_callhome", chain, rule @ ..] => {
            let table = tables.get_mut(*family).ok_or("no table")?;
            table.chains.get_mut(*chain).ok_or("no chain")?.push(rule.join(" "));
        }
        ["flush", "chain", family, "dots_callhome", chain] => {
            let table = tables.get_mut(*family).ok_or("no table")?;
            table.chains.get_mut(*chain).ok_or("no chain")?.clear();
        }
        ["delete", what @ ("chain" | "set"), family, "dots_callhome", gone] => {
            let table = tables.get_mut(*family).ok_or("no table")?;
            let word = if *what == "chain" { (*gone).to_owned() } else { format!("@{gone}") };
            let used = |rule: &String| rule.split(' ').any(|other| other == word);
            let led = |(_, _, chain): &(IpAddr, IpAddr, String)| *what == "chain" && chain == gone;
            if table.chains.values().flatten().any(used) || table.maps.values().flatten().any(led) {
                return Err("in use");
            }
            match *what {
                "chain" if table.chains.get(*gone).is_some_and(|rules| !rules.is_empty()) => return Err("not empty"),
                "chain" => drop(table.chains.remove(*gone).ok_or("no chain")?),
                _ if table.maps.remove(*gone).is_some() => {}
                _ => drop(table.sets.remove(*gone).ok_or("no set")?),
            }
        }
        ["add", "element", _, "dots_callhome", "local", "{", "local,", "broadcast,", "anycast,", "multicast", "}"] => {}
        [verb @ ("add" | "delete"), "element", family, "dots_callhome", set, "{", elements @ .., "}"] => {
            let table = tables.get_mut(*family).ok_or("no table")?;
            if let Some(map) = table.maps.get_mut(*set) {
                for element in elements.join(" ").split(", ") {
                    range(map, verb, element)?;
                }
                return Ok(());
            }
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
            ["\tmap", name, "{"] => drop(table.maps.entry((*name).into()).or_default()),
            ["\tchain", name, "{"] => {
                inside.retain(|line| !line.starts_with("type "));
                table.chains.entry((*name).into()).or_default().extend(inside);
            }
            _ => return Err("not understood"),
        }
    }
    Ok(())
}

/// A range that overlaps none, or one that is there.
fn range(map: &mut Vec<(IpAddr, IpAddr, String)>, verb: &str, text: &str) -> Result<(), &'static str> {
    let (places, verdict) = text.split_once(" : ").ok_or("no verdict")?;
    let (first, last) = places.split_once('-').unwrap_or((places, places));
    let (first, last) = (first.parse().map_err(|_| "no address")?, last.parse().map_err(|_| "no address")?);
    let chain = verdict.strip_prefix("jump ").ok_or("no chain")?.to_owned();
    if verb == "delete" {
        let place = map.iter().position(|known| *known == (first, last, chain.clone())).ok_or("no range")?;
        map.remove(place);
    } else if map.iter().any(|(low, high, _)| *low <= last && first <= *high) {
        return Err("overlaps");
    } else {
        map.push((first, last, chain));
        map.sort();
    }
    Ok(())
}

fn element(set: &mut BTreeMap<Mac, Element>, verb: &str, text: &str, counting: bool) -> Result<(), &'static str> {
    let words: Vec<&str> = text.split(' ').collect();
    let mac: Mac = words[0].parse().map_err(|_| "no address")?;
    if verb == "delete" {
        return set.remove(&mac).map(drop).ok_or("no element");
    }
    let mut element = Element { counter: counting.then(Traffic::default), ..Element::default() };
    let mut rest = &words[1..];
    if let ["counter", "packets", packets, "bytes", bytes, more @ ..] = rest {
        let number = |text: &str| text.parse().map_err(|_| "no number");
        element.counter = Some(Traffic { packets: number(packets)?, bytes: number(bytes)? });
        rest = more;
    }
    if let ["timeout", seconds, more @ ..] = rest {
        element.timeout = Some((*seconds).to_owned());
        element.left = Some(span(seconds).ok_or("no time")?);
        rest = more;
    }
    // As before Linux 6.12: one that is there stays as it is.
    set.entry(mac).or_insert(element);
    if rest.is_empty() { Ok(()) } else { Err("more than an element") }
}

/// `1157d35200s`, or seconds alone.
fn span(text: &str) -> Option<Duration> {
    let (days, seconds) = text.split_once('d').unwrap_or(("0", text));
    let (days, seconds): (u64, u64) = (days.parse().ok()?, seconds.strip_suffix('s')?.parse().ok()?);
    Some(Duration::from_secs(days * 86_400 + seconds))
}

/// Rules and maps may refer only to what is there.
fn check(table: &Table) -> Result<(), String> {
    if let Some((.., chain)) = table.maps.values().flatten().find(|(.., chain)| !table.chains.contains_key(chain)) {
        return Err(format!("{chain}: is led to, but not there"));
    }
    for rule in table.chains.values().flatten() {
        let words: Vec<&str> = rule.split(' ').collect();
        for pair in words.windows(2) {
            let missing = match pair {
                ["jump" | "goto", chain] => !table.chains.contains_key(*chain),
                ["vmap", map] => !table.maps.contains_key(&map[1..]),
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

/// Each part fills whole registers of four bytes.
fn key(sender: &Sender) -> Vec<u8> {
    [&sender.mac.0[..], &[0, 0], &octets(sender.address), &sender.link.to_ne_bytes()].concat()
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

/// A range as the kernel keeps it: where it begins, with its verdict, and where the next may begin.
fn range_bodies(first: IpAddr, last: IpAddr, chain: &str) -> Vec<Vec<u8>> {
    let key = |address: &[u8]| attribute(1 | 0x8000, &attribute(1, address));
    let verdict = [attribute(1, &(-3_i32).to_be_bytes()), name(2, chain)].concat();
    let begins = [key(&octets(first)), attribute(2 | 0x8000, &attribute(2 | 0x8000, &verdict))].concat();
    let end = dots_callhome::netlink::batch::after(&octets(last));
    let ends = end.map(|end| [attribute(3, &1_u32.to_be_bytes()), key(&end)].concat());
    [begins].into_iter().chain(ends).collect()
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
