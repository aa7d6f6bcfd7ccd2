//! The chains of our tables, and the rules in them.

use std::net::IpAddr;
use std::rc::Rc;

use super::left_open;
use super::ruleset::Ruleset;
use super::servers::PASS;
use super::set::Set;
use super::target::DropFilter;
use crate::model::MitigationId;
use crate::netlink::conntrack;
use crate::netlink::nftables::Family;

/// The mark of a packet on its way to the end of our rules, where it is dropped. Nobody else ever sees it: ours is the
/// first hook, and marks for routing are set later.
const DROP: &str = "0x646f7473";

/// A chain and its rules.
pub(super) struct Chain {
    pub(super) name: &'static str,
    /// Where the kernel calls it, if it does.
    pub(super) hook: Option<&'static str>,
    pub(super) rules: Vec<String>,
}

impl Chain {
    fn new(name: &'static str, rules: Vec<String>) -> Self {
        Self { name, hook: None, rules }
    }
}

/// Returns the chains of a family's table. Their names are the same for every ruleset.
pub(super) fn chains(ruleset: &Ruleset, family: Family) -> Vec<Chain> {
    match family {
        Family::Inet => inet(ruleset),
        Family::Bridge => {
            let rules = ["saddr", "daddr"].map(|end| format!("ether {end} @quarantine meta mark != {PASS} drop"));
            vec![Chain { hook: Some("forward priority filter"), ..Chain::new("forward", rules.into()) }]
        }
    }
}

/// Everything is dropped before conntrack sees it. A device's answers on a connection opened from outside must not
/// make that an established one: it would be offloaded, and then no rule is asked any more. It also spares the
/// table of connections, which a flood would fill.
///
/// Blocks come before the quarantine, so that each counts its own attack; what is then left of a quarantined device
/// is counted for all mitigations that quarantine it.
fn inet(ruleset: &Ruleset) -> Vec<Chain> {
    let quarantine = quarantine(ruleset);
    let mut received = Vec::new();
    if ruleset.sets.contains_key(&Set::Quarantine) {
        received.extend(left_open::rules());
    }
    received.extend(quarantine.iter().cloned());
    let mut targeted = blocks(ruleset);
    if ruleset.sets.contains_key(&Set::Quarantine) {
        // A frame between ports of a bridge that comes by here, as it does where `br_netfilter` is loaded.
        targeted.push(format!("meta mark {PASS} accept"));
    }
    targeted.extend(quarantine);
    let seen = DropFilter::any_of(ruleset.logged.values().map(Rc::as_ref));
    let mut all: Vec<String> = seen.into_iter().map(|traffic| format!("{traffic} jump witness")).collect();
    if ruleset.sets.contains_key(&Set::Targeted) {
        all.push("ether saddr @accused jump accused".to_owned());
    }
    vec![
        Chain::new("received", received),
        Chain::new("accused", targeted),
        Chain::new("witness", sender_logs(ruleset)),
        Chain { hook: Some("prerouting priority raw"), ..Chain::new("prerouting", all) },
    ]
}

fn blocks(ruleset: &Ruleset) -> Vec<String> {
    // Named rather than "not unicast": where routing goes by rules, the kernel may call a good address unreachable here.
    let mut rules = vec!["fib daddr type { local, broadcast, anycast, multicast } goto received".to_owned()];
    let mut marks = false;
    for (id, target) in &ruleset.targets {
        // What a later block is about as well must get there, to be counted for that, too.
        let shared = ruleset.shares_traffic(*id, target);
        marks |= shared;
        let verdict = if shared { format!("meta mark set {DROP}") } else { "drop".to_owned() };
        let set = Set::BlockBy(*id);
        for family in target.families() {
            let whom = senders(ruleset, *id, family);
            let matches = target.matches(family).into_iter();
            rules.extend(matches.flat_map(|traffic| {
                whom.iter().map(|whom| format!("{traffic} {whom}ether saddr @{set} {verdict}")).collect::<Vec<_>>()
            }));
        }
    }
    if marks {
        rules.push(format!("meta mark {DROP} drop"));
    }
    rules
}

fn quarantine(ruleset: &Ruleset) -> Vec<String> {
    let by = ruleset.sets.keys().filter(|set| matches!(set, Set::QuarantineBy(_)));
    let mut rules: Vec<String> = by.map(|set| format!("ether saddr @{set}")).collect();
    if ruleset.sets.contains_key(&Set::Quarantine) {
        rules.push("ether saddr @quarantine drop".to_owned());
    }
    rules
}

/// Notes who sends, those included whose packets are then dropped: it is what tells them from others in their name.
fn sender_logs(ruleset: &Ruleset) -> Vec<String> {
    let mut rules = Vec::new();
    for (id, target) in &ruleset.logged {
        for family in target.families() {
            let (set, source) = (Set::SenderLog(*id, family), address(family));
            let note = |traffic| format!("{traffic} update @{set} {{ ether saddr . {source} saddr . meta iif }}");
            rules.extend(target.matches(family).into_iter().map(note));
        }
    }
    rules
}

/// Whose packets a block drops, one match for each rule it takes: those of the devices that are meant as a whole, and those
/// from the addresses meant of others. The set that counts follows.
fn senders(ruleset: &Ruleset, id: MitigationId, family: conntrack::Family) -> Vec<String> {
    let Some(narrowed) = ruleset.narrowed.get(&id) else { return vec![String::new()] };
    let of_family = |address: &&IpAddr| conntrack::Family::of(**address) == family;
    let mut senders = Vec::new();
    if !ruleset.is_all_narrowed(id) {
        senders.push(narrowed.keys().map(|mac| format!("ether saddr != {mac} ")).collect());
    }
    for (mac, addresses) in narrowed {
        let saddr = address(family);
        let only = |from: &IpAddr| format!("ether saddr {mac} {saddr} saddr {from} ");
        senders.extend(addresses.iter().filter(of_family).map(only));
    }
    senders
}

/// The word for the addresses of a family in rules.
fn address(family: conntrack::Family) -> &'static str {
    match family {
        conntrack::Family::V4 => "ip",
        conntrack::Family::V6 => "ip6",
    }
}
