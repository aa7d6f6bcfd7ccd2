//! The chains of our tables, and the rules in them.

use std::net::IpAddr;

use super::chain_name::{ChainName, Map, Owners};
use super::dispatch::{Dispatch, Piece};
use super::left_open;
use super::rule::{Rule, Term};
use super::ruleset::{Held, Ruleset};
use super::set::Set;
use crate::model::MitigationId;
use crate::netlink::conntrack;
use crate::netlink::nftables::{Family, Hook};

const RECEIVED: ChainName = ChainName::Fixed("received");
const QUARANTINED: ChainName = ChainName::Fixed("quarantined");
const ACCUSED: ChainName = ChainName::Fixed("accused");
const WITNESS: ChainName = ChainName::Fixed("witness");

/// A chain and its rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Chain {
    pub(super) name: ChainName,
    /// Where the kernel calls it, if it does.
    pub(super) hook: Option<Hook>,
    pub(super) rules: Vec<Rule>,
}

impl Chain {
    fn new(name: ChainName, rules: Vec<Rule>) -> Self {
        Self { name, hook: None, rules }
    }
}

/// Returns the chains of a family's table, in such an order that each refers only to those before it.
pub(super) fn chains(ruleset: &Ruleset, family: Family) -> Vec<Chain> {
    match family {
        Family::Inet => inet(ruleset),
        Family::Bridge => {
            let rules = [Term::Sender(Set::Quarantine), Term::Receiver(Set::Quarantine)];
            let rules = rules.map(|who| Rule(vec![who, Term::PassesNot, Term::Drop])).into();
            vec![Chain { hook: Some(Hook::Forward), ..Chain::new(ChainName::Fixed("forward"), rules) }]
        }
    }
}

/// Everything is dropped before conntrack sees it. A device's answers on a connection opened from outside must not
/// make that an established one: it would be offloaded, and then no rule is asked any more. It also spares the
/// table of connections, which a flood would fill.
///
/// Who is not accused is past our rules after one look. A packet of who is meets the rules about its target alone. Blocks
/// come before the quarantine, so that each counts its own attack; what is then left of a quarantined device is counted for
/// all mitigations that quarantine it.
fn inet(ruleset: &Ruleset) -> Vec<Chain> {
    let mut chains: Vec<Chain> = Vec::new();
    for (map, owners, ids) in ruleset.watched.chains() {
        chains.push(Chain::new(ChainName::Of(map, owners), sender_logs(ruleset, map.family, owners, ids)));
    }
    for (map, owners, ids) in ruleset.blocked.chains() {
        chains.push(Chain::new(ChainName::Of(map, owners), blocks(ruleset, map.family, owners, ids)));
    }
    let quarantine = quarantine(ruleset);
    let is_quarantining = !quarantine.is_empty();
    let mut received = Vec::new();
    let mut quarantined = Vec::new();
    if is_quarantining {
        received.extend(left_open::rules());
        received.extend(quarantine.iter().cloned());
        quarantined.push(Rule(vec![Term::IsLocal, Term::Goto(RECEIVED)]));
        quarantined.push(left_open::on_link());
        quarantined.extend(quarantine);
    }
    let mut accused = by_target(&ruleset.blocked);
    if is_quarantining {
        // A frame between ports of a bridge that comes by here, as it does where `br_netfilter` is loaded.
        accused.push(Rule(vec![Term::Passes, Term::Accept]));
        accused.push(Rule(vec![Term::PassesRouted, Term::Accept]));
        accused.push(Rule(vec![Term::Goto(QUARANTINED)]));
    }
    let witness = by_target(&ruleset.watched);
    let mut all = Vec::new();
    if !witness.is_empty() {
        all.push(Rule(vec![Term::Jump(WITNESS)]));
    }
    if ruleset.sets.contains_key(&Set::Targeted) {
        all.push(Rule(vec![Term::Sender(Set::Targeted), Term::Jump(ACCUSED)]));
    }
    chains.extend([
        Chain::new(RECEIVED, received),
        Chain::new(QUARANTINED, quarantined),
        Chain::new(ACCUSED, accused),
        Chain::new(WITNESS, witness),
        Chain { hook: Some(Hook::Prerouting), ..Chain::new(ChainName::Fixed("prerouting"), all) },
    ]);
    chains
}

fn by_target(dispatch: &Dispatch) -> Vec<Rule> {
    dispatch.maps().map(|(map, _)| Rule(vec![Term::ByTarget(map.family, map)])).collect()
}

/// What is dropped of the traffic to targets of all these mitigations.
fn blocks(ruleset: &Ruleset, family: conntrack::Family, owners: Owners, ids: &[MitigationId]) -> Vec<Rule> {
    let mut rules = vec![Rule(vec![Term::IsLocal, Term::Return])];
    let mut marks = false;
    for (number, id) in ids.iter().enumerate() {
        let Some(target) = ruleset.targets.get(id) else { continue };
        // What a later block is about as well must get there, to be counted for that, too.
        let later = ids.get(number + 1..).unwrap_or_default();
        let shared = later.iter().any(|later| ruleset.shares_traffic(*id, *later));
        marks |= shared;
        let verdict = if shared { Term::Mark } else { Term::Drop };
        let whom = senders(ruleset, *id, family);
        for traffic in target.matches(family, owners == Owners::All) {
            for whom in &whom {
                let mut terms = [traffic.as_slice(), whom].concat();
                terms.extend([Term::Sender(Set::BlockBy(*id)), verdict.clone()]);
                rules.push(Rule(terms));
            }
        }
    }
    if marks {
        rules.push(Rule(vec![Term::IsMarked, Term::Drop]));
    }
    rules
}

fn quarantine(ruleset: &Ruleset) -> Vec<Rule> {
    let by = ruleset.sets.keys().filter(|set| matches!(set, Set::QuarantineBy(_)));
    let mut rules: Vec<Rule> = by.map(|set| Rule(vec![Term::Sender(*set)])).collect();
    if ruleset.sets.contains_key(&Set::Quarantine) {
        rules.push(Rule(vec![Term::Sender(Set::Quarantine), Term::Drop]));
    }
    rules
}

/// Notes who sends, those included whose packets are then dropped: it is what tells them from others in their name.
fn sender_logs(ruleset: &Ruleset, family: conntrack::Family, owners: Owners, ids: &[MitigationId]) -> Vec<Rule> {
    let mut rules = Vec::new();
    for id in ids {
        let Some(target) = ruleset.logged.get(id) else { continue };
        for mut terms in target.matches(family, owners == Owners::All) {
            terms.push(Term::Note(Set::SenderLog(*id, family), family));
            rules.push(Rule(terms));
        }
    }
    rules
}

/// Whose packets a block drops, one match for each rule it takes: those of the devices that are meant as a whole, and those
/// from the addresses meant of others. The set that counts follows.
fn senders(ruleset: &Ruleset, id: MitigationId, family: conntrack::Family) -> Vec<Vec<Term>> {
    let Some(narrowed) = ruleset.narrowed.get(&id) else { return vec![Vec::new()] };
    let of_family = |address: &&IpAddr| conntrack::Family::of(**address) == family;
    let mut senders = Vec::new();
    if !ruleset.is_all_narrowed(id) {
        senders.push(narrowed.keys().map(|mac| Term::NotFrom(*mac)).collect());
    }
    for (mac, addresses) in narrowed {
        senders.extend(addresses.iter().filter(of_family).map(|from| vec![Term::From(*mac, *from)]));
    }
    senders
}

/// What the kernel holds after a transaction that spoke of these families.
pub(super) fn held(ruleset: Ruleset, families: &[Family]) -> Held {
    let rules = |family: Family| chains(&ruleset, family).iter().map(|chain| chain.rules.len()).sum();
    let rules = |family: &Family| (*family, if ruleset.needs(*family) { rules(*family) } else { 0 });
    let families = families.iter().map(rules).collect();
    Held { ruleset, families }
}

/// Whether any rule looks into [`LOCAL`](super::rule::LOCAL).
pub(super) fn needs_local(ruleset: &Ruleset, family: Family) -> bool {
    family == Family::Inet && ruleset.sets.contains_key(&Set::Targeted)
}

/// The maps of the family's table, with what is in them.
pub(super) fn maps(ruleset: &Ruleset, family: Family) -> impl Iterator<Item = (Map, &[Piece])> {
    let within = family == Family::Inet;
    [&ruleset.blocked, &ruleset.watched].into_iter().filter(move |_| within).flat_map(Dispatch::maps)
}
