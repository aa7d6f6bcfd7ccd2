//! What becomes of a packet by the rules of our table: enough of nft's expressions for those we write.

use std::net::IpAddr;

use dots_callhome::model::{Detail, Mac};
use dots_callhome::source::Sender;

use super::{Kernel, Table};
use crate::support::home::{ip, net};

/// A packet that comes in from a device.
#[derive(Clone, Copy, Debug)]
pub struct Packet {
    pub sender: Mac,
    pub link: u32,
    pub source: IpAddr,
    pub target: IpAddr,
    pub protocol: u8,
    pub detail: Detail,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Drop,
    Accept,
    /// No rule has decided.
    Continue,
}

/// What a packet has met on its way: its mark, the counting elements, the sets that note who sends.
#[derive(Default)]
struct Passage {
    mark: Option<String>,
    counted: Vec<String>,
    noted: Vec<String>,
}

impl Kernel {
    /// Whether the rules drop such a packet on its way to the router or beyond.
    pub fn drops(&self, packet: &Packet) -> bool {
        self.judge(packet).0 == Verdict::Drop
    }

    /// So many such packets come in: they are counted and noted. Returns whether they are dropped.
    pub fn receive(&mut self, packet: &Packet, packets: u64) -> bool {
        let (verdict, passage) = self.judge(packet);
        for set in passage.counted {
            self.count(&set, packet.sender, packets);
        }
        let sender = Sender { mac: packet.sender, address: packet.source, link: packet.link };
        for set in passage.noted {
            let senders = self.senders.entry(set).or_default();
            if !senders.contains(&sender) {
                senders.push(sender);
            }
        }
        verdict == Verdict::Drop
    }

    fn judge(&self, packet: &Packet) -> (Verdict, Passage) {
        let mut passage = Passage::default();
        let mut verdict = Verdict::Continue;
        for table in [self.tables.get("inet"), self.tables.get("inet_guard")].into_iter().flatten() {
            if verdict != Verdict::Drop {
                verdict = self.chain(table, "prerouting", packet, &mut passage);
            }
        }
        (verdict, passage)
    }

    fn chain(&self, table: &Table, chain: &str, packet: &Packet, passage: &mut Passage) -> Verdict {
        for rule in &table.chains[chain] {
            let (verdict, leaves) = self.rule(table, rule, packet, passage);
            if verdict != Verdict::Continue || leaves {
                return verdict;
            }
        }
        Verdict::Continue
    }

    /// What a rule says, and whether the chain is left with it.
    fn rule(&self, table: &Table, rule: &str, packet: &Packet, passage: &mut Passage) -> (Verdict, bool) {
        let expressions = expressions(rule);
        let mut rest: &[&str] = &expressions.iter().map(String::as_str).collect::<Vec<_>>();
        while let [first, more @ ..] = rest {
            let (used, matches) = match (*first, more) {
                ("drop", _) => return (Verdict::Drop, true),
                ("return", _) => return (Verdict::Continue, true),
                ("accept", _) => return (Verdict::Accept, true),
                ("jump", [chain, ..]) => return (self.chain(table, chain, packet, passage), false),
                ("goto", [chain, ..]) => return (self.chain(table, chain, packet, passage), true),
                ("update", [set, _, ..]) => {
                    passage.noted.push(set[1..].to_owned());
                    (2, true)
                }
                ("meta", ["mark", "set", mark, ..]) => {
                    passage.mark = Some((*mark).to_owned());
                    (3, true)
                }
                ("meta", ["mark", mark, ..]) => (2, passage.mark.as_deref() == Some(mark)),
                ("ether", ["saddr", "!=", mac, ..]) => (3, packet.sender != mac.parse().unwrap()),
                ("ether", ["saddr", mac, ..]) if mac.contains(':') => (2, packet.sender == mac.parse().unwrap()),
                ("ether", ["saddr", set, ..]) => (2, member(table, &set[1..], packet.sender, passage)),
                ("ip" | "ip6", ["daddr", "vmap", map, ..]) => {
                    let within =
                        |(first, last, _): &&(IpAddr, IpAddr, String)| (*first..=*last).contains(&packet.target);
                    return match table.maps[&map[1..]].iter().find(within) {
                        Some((.., chain)) => (self.chain(table, chain, packet, passage), false),
                        None => (Verdict::Continue, false),
                    };
                }
                ("fib", ["daddr", "type", "@local", ..]) => (3, self.is_local(packet.target)),
                (of, [field, values, ..]) => (2, matches_field(packet, of, field, values)),
                _ => panic!("not understood: {rule}"),
            };
            if !matches {
                return (Verdict::Continue, false);
            }
            rest = &more[used..];
        }
        (Verdict::Continue, false)
    }

    /// Of the router itself, or to all on a link.
    fn is_local(&self, target: IpAddr) -> bool {
        let broadcast = target == IpAddr::from([255; 4]) || target.to_string().ends_with(".255");
        target.is_multicast() || broadcast || self.addresses.iter().any(|(_, own, _)| *own == target)
    }
}

/// Whether it is in the set; a set with counters counts it then.
fn member(table: &Table, set: &str, sender: Mac, passage: &mut Passage) -> bool {
    let element = table.sets[set].get(&sender);
    if element.is_some_and(|element| element.counter.is_some()) {
        passage.counted.push(set.to_owned());
    }
    element.is_some()
}

/// Words of a rule; what stands in braces is one.
pub(super) fn expressions(rule: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut inside = false;
    for word in rule.split(' ') {
        match (word, inside, words.last_mut()) {
            ("{", ..) => {
                inside = true;
                words.push(String::new());
            }
            ("}", ..) => inside = false,
            (word, true, Some(last)) => last.push_str(word),
            _ => words.push(word.to_owned()),
        }
    }
    words
}

fn matches_field(packet: &Packet, of: &str, field: &str, values: &str) -> bool {
    let port = match packet.detail {
        Detail::Ports { destination, .. } if [6, 17, 33, 132, 136].contains(&packet.protocol) => Some(destination),
        _ => None,
    };
    let icmp = if let Detail::Icmp { kind, .. } = packet.detail { Some(kind) } else { None };
    match (of, field) {
        ("ip", "daddr") => packet.target.is_ipv4() && has_address(values, packet.target),
        ("ip6", "daddr") => packet.target.is_ipv6() && has_address(values, packet.target),
        ("ip", "saddr") => packet.source.is_ipv4() && has_address(values, packet.source),
        ("ip6", "saddr") => packet.source.is_ipv6() && has_address(values, packet.source),
        ("meta", "nfproto") => values == if packet.target.is_ipv4() { "ipv4" } else { "ipv6" },
        ("meta", "l4proto") => has_number(values, packet.protocol.into()),
        ("th", "dport") => port.is_some_and(|port| has_number(values, port)),
        ("udp", "dport") => packet.protocol == 17 && port.is_some_and(|port| has_number(values, port)),
        ("tcp", "dport") => packet.protocol == 6 && port.is_some_and(|port| has_number(values, port)),
        ("icmp", "type") => packet.protocol == 1 && icmp.is_some_and(|kind| has_number(values, kind.into())),
        ("icmpv6", "type") => packet.protocol == 58 && icmp.is_some_and(|kind| has_number(values, kind.into())),
        _ => panic!("not understood: {of} {field}"),
    }
}

fn has_address(values: &str, address: IpAddr) -> bool {
    values.split(',').any(|value| match value.split_once('-') {
        Some((first, last)) => (ip(first)..=ip(last)).contains(&address),
        None => net(value).contains(&address),
    })
}

/// Numbers and ranges; of what neighbour discovery is called by name, the number.
fn has_number(values: &str, number: u16) -> bool {
    let parse = |text: &str| match text {
        "nd-router-solicit" => 133,
        "nd-neighbor-solicit" => 135,
        "nd-neighbor-advert" => 136,
        text => text.parse().unwrap(),
    };
    values.split(',').any(|value| match value.split_once('-').filter(|_| !value.starts_with("nd-")) {
        Some((lower, upper)) => (parse(lower)..=parse(upper)).contains(&number),
        None => parse(value) == number,
    })
}
