//! What must be in force, and the sets and rules that make it so.
//!
//! One set for each mitigation holds the devices, each with its own timeout and counter; the rules hold the scope. So
//! scopes may overlap, a device may be in many mitigations, and a change of one leaves the counters of the others alone.

use std::fmt;
use std::rc::Rc;
use std::time::{Duration, Instant};

use vecset::{VecMap, VecSet};

use super::target::Target;
use crate::model::{Mac, Scope};
use crate::netlink::conntrack;
use crate::netlink::nftables::Family;

/// Everything that must be in force at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Desired {
    /// Devices' traffic to attacked targets.
    pub blocks: Vec<Block>,
    /// Devices cut off altogether.
    pub quarantined: Vec<Quarantined>,
    /// Traffic whose senders are noted.
    pub witnesses: Vec<Witness>,
}

/// Traffic of `devices` within `scope` is dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// The mitigation's number.
    pub id: u32,
    /// What is dropped.
    pub scope: Scope,
    /// Whose.
    pub devices: Vec<Mac>,
    /// For how long.
    pub remaining: Duration,
}

/// Whoever sends traffic within `scope` is noted by Ethernet address, IP address and link, and passes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Witness {
    /// The mitigation's number.
    pub id: u32,
    /// What is looked at.
    pub scope: Scope,
}

/// A device cut off from everything but the router.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quarantined {
    /// Who.
    pub mac: Mac,
    /// The mitigation it is due to; nothing for the administrator's standing decision.
    pub id: Option<u32>,
    /// For how long; nothing: until released.
    pub remaining: Option<Duration>,
}

/// The sets of our tables. Their elements are devices, but for the last kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Set {
    /// Everyone anything is in force against: packets of all others are past our rules after one look.
    Accused,
    /// Everyone quarantined, for whatever reason.
    Quarantine,
    /// Those a mitigation quarantines.
    QuarantineBy(u32),
    /// Those a mitigation blocks.
    BlockBy(u32),
    /// Who has lately sent what a mitigation is about, from which address of this family and over which link. The kernel
    /// fills it.
    WitnessOf(u32, conntrack::Family),
}

impl Set {
    /// The mitigation it is for.
    pub(super) fn id(self) -> Option<u32> {
        match self {
            Self::QuarantineBy(id) | Self::BlockBy(id) => Some(id),
            Self::Accused | Self::Quarantine | Self::WitnessOf(..) => None,
        }
    }

    /// Whether its elements count. Frames between devices at home are no part of what the provider sees.
    pub(super) fn counts(self, family: Family) -> bool {
        !matches!(self, Self::Accused | Self::WitnessOf(..)) && family == Family::Inet
    }

    /// Whether its elements tell anything but that they are there.
    pub(super) fn is_read(self, family: Family) -> bool {
        self.counts(family) || matches!(self, Self::WitnessOf(..))
    }

    /// Whether what is found in it is dropped, rather than only counted.
    pub(super) fn drops(self) -> bool {
        matches!(self, Self::Quarantine | Self::BlockBy(_))
    }
}

impl fmt::Display for Set {
    /// The name in the kernel.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Accused => f.write_str("accused"),
            Self::Quarantine => f.write_str("quarantine"),
            Self::QuarantineBy(id) => write!(f, "q{id}"),
            Self::BlockBy(id) => write!(f, "m{id}"),
            Self::WitnessOf(id, conntrack::Family::V4) => write!(f, "w{id}v4"),
            Self::WitnessOf(id, conntrack::Family::V6) => write!(f, "w{id}v6"),
        }
    }
}

/// When a device's membership ends; nothing: when it is taken out.
pub(super) type Members = VecMap<Mac, Option<Instant>>;

/// A [`Desired`] state with moments instead of durations, ready to be compared, written and checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Ruleset {
    targets: VecMap<u32, Rc<Target>>,
    witnessed: VecMap<u32, Rc<Target>>,
    sets: VecMap<Set, Members>,
    /// Those the administrator has quarantined himself.
    standing: VecSet<Mac>,
}

/// What a mitigation does: to whom, and about which traffic if not all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Measure {
    pub(super) target: Option<Rc<Target>>,
    /// Sorted.
    pub(super) devices: Vec<Mac>,
}

/// A chain and its rules.
pub(super) struct Chain {
    pub(super) name: String,
    /// Where the kernel calls it, if it does.
    pub(super) hook: Option<&'static str>,
    pub(super) rules: Vec<String>,
}

impl Chain {
    fn new(name: &str, rules: impl IntoIterator<Item = String>) -> Self {
        Self { name: name.to_owned(), hook: None, rules: rules.into_iter().collect() }
    }
}

impl Ruleset {
    /// What `before` has worked out already is taken from there.
    pub(super) fn new(desired: &Desired, before: &Self, now: Instant) -> Self {
        let mut ruleset = Self::default();
        for block in desired.blocks.iter().filter(|block| !block.devices.is_empty() && !block.remaining.is_zero()) {
            let ends = now.checked_add(block.remaining);
            for mac in &block.devices {
                ruleset.add(Set::BlockBy(block.id), *mac, ends);
                ruleset.add(Set::Accused, *mac, ends);
            }
            let target = ruleset.target(before, block.id, &block.scope);
            ruleset.targets.insert(block.id, target);
        }
        for witness in &desired.witnesses {
            let target = ruleset.target(before, witness.id, &witness.scope);
            for family in target.families() {
                ruleset.sets.insert(Set::WitnessOf(witness.id, family), Members::new());
            }
            ruleset.witnessed.insert(witness.id, target);
        }
        for quarantined in desired.quarantined.iter().filter(|q| q.remaining.is_none_or(|left| !left.is_zero())) {
            let ends = quarantined.remaining.and_then(|remaining| now.checked_add(remaining));
            match quarantined.id {
                Some(id) => ruleset.add(Set::QuarantineBy(id), quarantined.mac, ends),
                None => drop(ruleset.standing.insert(quarantined.mac)),
            }
            ruleset.add(Set::Quarantine, quarantined.mac, ends);
            ruleset.add(Set::Accused, quarantined.mac, ends);
        }
        ruleset
    }

    /// What a mitigation of this scope is about, worked out once for all rules.
    fn target(&self, before: &Self, id: u32, scope: &Scope) -> Rc<Target> {
        let known = [&self.targets, &before.targets, &before.witnessed];
        let known = known.into_iter().find_map(|targets| targets.get(&id));
        known.filter(|target| target.is_of(scope)).map_or_else(|| Rc::new(Target::new(scope)), Rc::clone)
    }

    /// Whoever is in for two reasons stays until the later end.
    fn add(&mut self, set: Set, mac: Mac, ends: Option<Instant>) {
        let members = self.sets.entry(set).or_default();
        let later = members.get(&mac).map_or(ends, |known| known.zip(ends).map(|(known, ends)| known.max(ends)));
        members.insert(mac, later);
    }

    /// Nothing is in force.
    pub(super) fn is_empty(&self) -> bool {
        self.sets.is_empty()
    }

    /// All devices anything is in force against.
    pub(super) fn devices(&self) -> impl Iterator<Item = Mac> {
        self.sets.get(&Set::Accused).into_iter().flat_map(VecMap::keys).copied()
    }

    /// Whether the device is in the set.
    pub(super) fn holds(&self, set: Set, mac: Mac) -> bool {
        self.sets.get(&set).is_some_and(|members| members.contains_key(&mac))
    }

    /// What each mitigation does; without a number, what the administrator has ordered himself.
    pub(super) fn measures(&self) -> impl Iterator<Item = (Option<u32>, Measure)> {
        let keys = self.sets.keys().filter_map(|set| set.id()).map(Some).chain([None]);
        keys.filter_map(|key| Some((key, self.measure(key)?)))
    }

    /// What one of them does.
    pub(super) fn measure(&self, key: Option<u32>) -> Option<Measure> {
        let Some(id) = key else {
            let devices: Vec<Mac> = self.standing.iter().copied().collect();
            return (!devices.is_empty()).then_some(Measure { target: None, devices });
        };
        let members = self.sets.get(&Set::BlockBy(id)).or_else(|| self.sets.get(&Set::QuarantineBy(id)))?;
        Some(Measure { target: self.targets.get(&id).cloned(), devices: members.keys().copied().collect() })
    }

    /// When one of them ends here though it goes on in `later`.
    pub(super) fn lapses(&self, key: Option<u32>, later: &Self) -> Option<Instant> {
        let ends = |ruleset: &Self| {
            let sets = [Set::BlockBy(key?), Set::QuarantineBy(key?)];
            sets.iter().filter_map(|set| ruleset.sets.get(set)).flat_map(VecMap::values).copied().flatten().min()
        };
        ends(self).filter(|end| ends(later).is_some_and(|later| later > *end))
    }

    /// Whether an element that has a counter is not in `later` as it is here.
    pub(super) fn loses_counters(&self, later: &Self) -> bool {
        self.sets(Family::Inet).filter(|(set, _)| set.counts(Family::Inet)).any(|(set, members)| {
            let kept = later.sets.get(&set);
            members.iter().any(|(mac, ends)| kept.and_then(|kept| kept.get(mac)) != Some(ends))
        })
    }

    /// Whether senders are noted that were not before.
    pub(super) fn notes_more(&self, before: Option<&Self>) -> bool {
        self.witnessed.keys().any(|id| before.is_none_or(|before| !before.witnessed.contains_key(id)))
    }

    /// The sets of the family's table; none: no table is needed.
    pub(super) fn sets(&self, family: Family) -> impl Iterator<Item = (Set, &Members)> {
        let within = move |set: Set| family == Family::Inet || set == Set::Quarantine;
        self.sets.iter().map(|(set, members)| (*set, members)).filter(move |(set, _)| within(*set))
    }

    /// The chains of the family's table.
    pub(super) fn chains(&self, family: Family) -> Vec<Chain> {
        match family {
            Family::Inet => self.inet(),
            Family::Bridge => {
                let rules = ["ether saddr @quarantine drop", "ether daddr @quarantine drop"].map(str::to_owned);
                vec![Chain { hook: Some("forward priority filter"), ..Chain::new("forward", rules) }]
            }
        }
    }

    /// Everything is dropped before conntrack sees it. A device's answers on a connection opened from outside must not
    /// make that an established one: it would be offloaded, and then no rule is asked any more. It also spares the
    /// table of connections, which a flood would fill.
    ///
    /// Blocks come before the quarantine, so that each counts its own attack; what is then left of a quarantined device
    /// is counted for all mitigations that quarantine it.
    fn inet(&self) -> Vec<Chain> {
        // Named rather than "not unicast": where routing goes by rules, the kernel may call a good address unreachable here.
        let mut accused = vec!["fib daddr type { local, broadcast, anycast, multicast } goto received".to_owned()];
        let mut marks = false;
        for (id, target) in &self.targets {
            // What a later block is about as well must get there, to be counted for that, too.
            let shared = self.shares_traffic(*id, target);
            marks |= shared;
            let verdict = if shared { format!("meta mark set {DROP}") } else { "drop".to_owned() };
            let set = Set::BlockBy(*id);
            let matches = target.families().flat_map(|family| target.matches(family));
            accused.extend(matches.map(|traffic| format!("{traffic} ether saddr @{set} {verdict}")));
        }
        if marks {
            accused.push(format!("meta mark {DROP} drop"));
        }
        let by = self.sets.keys().filter(|set| matches!(set, Set::QuarantineBy(_)));
        let mut quarantine: Vec<String> = by.map(|set| format!("ether saddr @{set}")).collect();
        let mut received = Vec::new();
        if self.sets.contains_key(&Set::Quarantine) {
            quarantine.push("ether saddr @quarantine drop".to_owned());
            received.extend(LEFT_OPEN.iter().map(|rule| (*rule).to_owned()));
        }
        received.extend(quarantine.iter().cloned());
        accused.extend(quarantine);
        let seen = Target::any_of(self.witnessed.values().map(Rc::as_ref));
        let mut all: Vec<String> = seen.into_iter().map(|traffic| format!("{traffic} jump witness")).collect();
        if self.sets.contains_key(&Set::Accused) {
            all.push("ether saddr @accused jump accused".to_owned());
        }
        vec![
            Chain::new("received", received),
            Chain::new("accused", accused),
            Chain::new("witness", self.witness()),
            Chain { hook: Some("prerouting priority raw"), ..Chain::new("prerouting", all) },
        ]
    }

    /// Notes who sends, those included whose packets are then dropped: it is what tells them from others in their name.
    fn witness(&self) -> Vec<String> {
        let mut rules = Vec::new();
        for (id, target) in &self.witnessed {
            for family in target.families() {
                let (set, source) = (Set::WitnessOf(*id, family), address(family));
                let note = |traffic| format!("{traffic} update @{set} {{ ether saddr . {source} saddr . meta iif }}");
                rules.extend(target.matches(family).into_iter().map(note));
            }
        }
        rules
    }

    /// Whether a later block of one of the same devices is about any of the same targets.
    fn shares_traffic(&self, id: u32, target: &Target) -> bool {
        let devices = self.sets.get(&Set::BlockBy(id));
        self.targets.iter().skip_while(|(other, _)| **other <= id).any(|(later, other)| {
            let both = devices.zip(self.sets.get(&Set::BlockBy(*later)));
            both.is_some_and(|(own, others)| own.keys().any(|mac| others.contains_key(mac))) && target.meets(other)
        })
    }
}

/// The word for the addresses of a family in rules.
fn address(family: conntrack::Family) -> &'static str {
    match family {
        conntrack::Family::V4 => "ip",
        conntrack::Family::V6 => "ip6",
    }
}

/// The mark of a packet on its way to the end of our rules, where it is dropped. Nobody else ever sees it: ours is the
/// first hook, and marks for routing are set later.
const DROP: &str = "0x646f7473";

/// What a quarantined device still gets from the router: addresses, names, its neighbours' link addresses and the web
/// page. `accept` is not final: the firewall's own chains come later and may still refuse.
const LEFT_OPEN: [&str; 3] = [
    "udp dport { 53, 67, 547 } accept",
    "tcp dport { 53, 80, 443 } accept",
    "icmpv6 type { nd-router-solicit, nd-neighbor-solicit, nd-neighbor-advert } accept",
];
