//! What FastNetMon passes to its notify script: text of the Community edition, JSON of the Advanced one.
//!
//! Who attacks whom is told by the direction of its lines of flows, not by the second argument: that is the direction of the
//! threshold that was passed.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use serde::Deserialize;

use super::{BadReport, Sighting, protocol};

/// Targets of one attack that are asked about, those of most packets.
const MOST_TARGETS: usize = 3;

/// What is reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoticeAction {
    /// An attack has begun.
    Ban,
    /// More about an attack that has begun.
    AttackDetails,
    /// Nothing is seen of it any more, which is so too where a block works.
    Unban,
}

impl FromStr for NoticeAction {
    type Err = BadReport;

    fn from_str(text: &str) -> Result<Self, BadReport> {
        match text {
            "ban" => Ok(Self::Ban),
            "attack_details" => Ok(Self::AttackDetails),
            "unban" => Ok(Self::Unban),
            other => Err(BadReport::Action(other.to_owned())),
        }
    }
}

/// One call of the script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// What is reported.
    pub action: NoticeAction,
    /// Whom it is about.
    pub source: IpAddr,
    /// What it sends, by target and protocol.
    pub sightings: Vec<Sighting>,
}

/// Reads what came on standard input, with the script's arguments for what only they tell.
///
/// # Errors
/// There is no address or action, or JSON that is not of this kind.
pub fn read_notice(arguments: Option<(&str, &str)>, input: &str) -> Result<Notice, BadReport> {
    if input.trim_start().starts_with('{') {
        return read_json(input);
    }
    let (address, action) = arguments.ok_or_else(|| BadReport::Address(String::new()))?;
    let source: IpAddr = address.parse().map_err(|_| BadReport::Address(address.to_owned()))?;
    Ok(Notice { action: action.parse()?, source, sightings: read_text(source, input) })
}

/// A flow with less than this part of the packets of the strongest one to the same target is somebody else's, behind the same address.
const PART: u64 = 10;

/// Packets to a target, by the ports they come from and go to.
#[derive(Default)]
struct Seen(BTreeMap<(Option<u16>, Option<u16>), u64>);

impl Seen {
    fn packets(&self) -> u64 {
        self.0.values().fold(0, |sum, packets| sum.saturating_add(*packets))
    }

    /// The ports of those that make the attack.
    fn ports(&self) -> (BTreeSet<u16>, BTreeSet<u16>) {
        let strongest = self.0.values().max().copied().unwrap_or_default();
        let flows = self.0.iter().filter(|(_, packets)| packets.saturating_mul(PART) >= strongest);
        let (from, to): (Vec<_>, Vec<_>) = flows.map(|(ports, _)| *ports).unzip();
        (from.into_iter().flatten().collect(), to.into_iter().flatten().collect())
    }
}

fn read_text(source: IpAddr, input: &str) -> Vec<Sighting> {
    let mut all: BTreeMap<(IpAddr, Option<u8>), Seen> = BTreeMap::new();
    let mut of_block = None;
    let is_cropped = input.contains("have cropped");
    for line in input.lines() {
        if let Some((name, _)) = line.split_once(" flows:") {
            of_block = protocol(name.trim());
        }
        let words: Vec<&str> = line.split_whitespace().collect();
        let Some(position) = words.iter().position(|word| *word == ">") else { continue };
        let at = |index: Option<usize>| index.and_then(|index| words.get(index)).and_then(|word| endpoint(word));
        let (Some((from, from_port)), Some((to, to_port))) = (at(position.checked_sub(1)), at(Some(position + 1)))
        else {
            continue;
        };
        if from != source {
            continue;
        }
        let after = |name: &str| words.iter().position(|word| *word == name).and_then(|index| words.get(index + 1));
        let before =
            |name: &str| words.iter().position(|word| *word == name).and_then(|index| words.get(index.checked_sub(1)?));
        let of_line = after("protocol:").and_then(|name| protocol(name));
        let packets = before("packets").or_else(|| after("packets:")).and_then(|count| count.parse().ok()).unwrap_or(1);
        let seen = all.entry((to, of_line.or(of_block))).or_default();
        let flow = seen.0.entry((from_port, to_port)).or_default();
        *flow = flow.saturating_add(packets);
    }
    let mut all: Vec<_> = all.into_iter().collect();
    all.sort_by_key(|(_, seen)| std::cmp::Reverse(seen.packets()));
    all.truncate(MOST_TARGETS);
    let sighting = |((target, protocol), seen): ((IpAddr, Option<u8>), Seen)| {
        let (from, target_ports) = seen.ports();
        // Of a list that is not whole the ports are not all of them.
        let source_ports = if is_cropped { BTreeSet::new() } else { from };
        Sighting { source, source_ports, target, target_ports, protocol }
    };
    all.into_iter().map(sighting).collect()
}

/// An address with a port, unless that is 0, or alone.
fn endpoint(word: &str) -> Option<(IpAddr, Option<u16>)> {
    if let Ok(both) = word.parse::<SocketAddr>() {
        return Some((both.ip(), Some(both.port()).filter(|port| *port > 0)));
    }
    if let Ok(address) = word.parse::<IpAddr>() {
        return Some((address, None));
    }
    // Without brackets the last colon is before the port.
    let (address, port) = word.rsplit_once(':')?;
    Some((address.parse().ok()?, port.parse().ok().filter(|port: &u16| *port > 0)))
}

/// The JSON of the Advanced edition, as far as it is needed.
#[derive(Deserialize)]
struct Json {
    action: NoticeAction,
    ip: IpAddr,
    #[serde(default)]
    flow_spec_rules: Vec<Rule>,
    #[serde(default)]
    packet_dump: Vec<String>,
}

#[derive(Deserialize)]
struct Rule {
    destination_prefix: Option<ipnet::IpNet>,
    #[serde(default)]
    source_ports: Vec<u16>,
    #[serde(default)]
    destination_ports: Vec<u16>,
    #[serde(default)]
    protocols: Vec<String>,
}

fn read_json(input: &str) -> Result<Notice, BadReport> {
    let Json { action, ip, flow_spec_rules, packet_dump } =
        serde_json::from_str(input).map_err(|error| BadReport::Json(error.to_string()))?;
    let mut sightings = Vec::new();
    for rule in flow_spec_rules {
        let Some(target) = rule.destination_prefix.filter(|net| net.prefix_len() == net.max_prefix_len()) else {
            continue;
        };
        if target.addr() == ip {
            continue;
        }
        let protocols: Vec<Option<u8>> = rule.protocols.iter().map(|name| protocol(name)).collect();
        for protocol in if protocols.is_empty() { vec![None] } else { protocols } {
            sightings.push(Sighting {
                source: ip,
                source_ports: rule.source_ports.iter().copied().collect(),
                target: target.addr(),
                target_ports: rule.destination_ports.iter().copied().collect(),
                protocol,
            });
        }
    }
    if sightings.is_empty() {
        sightings = read_text(ip, &packet_dump.join("\n"));
    }
    sightings.truncate(MOST_TARGETS);
    Ok(Notice { action, source: ip, sightings })
}
