//! Changes of tables that stand: one netlink batch from what the kernel holds to what it should hold.
//!
//! A request, a refresh or an end costs what it changes, not what stands beside it: elements, and for a new request its set,
//! its chain and a few rules. What stays as it is keeps its timeouts and counters in the kernel.

use std::time::Instant;

use vecset::VecMap;

use super::chain_name::Map;
use super::chains::{Chain, chains, held, maps, needs_local};
use super::counters::Counters;
use super::dispatch::Piece;
use super::render::{LOGGED, left};
use super::rule::{LOCAL, LOCALITIES, Rule, octets};
use super::ruleset::{Held, Members, Ruleset};
use super::set::Set;
use crate::model::{Mac, Traffic};
use crate::netlink::batch::{Batch, NewElement, SetUse, Table, after};
use crate::netlink::conntrack;
use crate::netlink::expressions::{ValueKind, Verdict};
use crate::netlink::nftables::Family;
use crate::source::MOST_LOGGED;

/// Returns the batch that makes the tables of these families hold `after`, and what the kernel then holds; nothing where a
/// packet could get past a block meanwhile.
pub(super) fn batch(
    table: &'static str,
    before: &Held,
    after: &Ruleset,
    families: &[Family],
    counters: &Counters,
    now: Instant,
) -> Option<(Batch, Held)> {
    let mut batch = Batch::new();
    for family in families {
        let spoken_of = before.families.contains_key(family).then_some(&before.ruleset);
        let known = spoken_of.filter(|ruleset| ruleset.needs(*family));
        let table = Table { family: *family, name: table };
        let nothing = Ruleset::default();
        let change = Change { table, before: known.unwrap_or(&nothing), after, counters, now };
        match (known, after.needs(*family)) {
            (Some(_), true) if change.opens() => return None,
            (Some(_), true) => change.write(&mut batch),
            (None, true) => {
                remove(&mut batch, table);
                batch.add_table(table);
                change.write(&mut batch);
            }
            (Some(_), false) => remove(&mut batch, table),
            (None, false) if spoken_of.is_none() => remove(&mut batch, table),
            (None, false) => {}
        }
    }
    if batch.is_empty() {
        // It is answered all the same: this changes nothing.
        batch.add_table(Table { family: Family::Inet, name: table });
    }
    Some((batch, held(after.clone(), families)))
}

/// Deleting what is not there fails: it is made first.
fn remove(batch: &mut Batch, table: Table) {
    batch.add_table(table);
    batch.delete_table(table);
}

/// A family's table before and after.
struct Change<'a> {
    table: Table,
    before: &'a Ruleset,
    after: &'a Ruleset,
    counters: &'a Counters,
    now: Instant,
}

impl Change<'_> {
    /// Whether a chain that blocks is filled anew with rules that look into ranges: the kernel puts a new set of ranges into
    /// use only some time after the rules that look into it.
    fn opens(&self) -> bool {
        let old = chains(self.before, self.table.family);
        let is_refilled = |chain: &Chain| {
            let before = old.iter().find(|before| before.name == chain.name);
            before.is_some_and(|before| !before.rules.is_empty() && before.rules != chain.rules)
        };
        let looks = |chain: &Chain| chain.name.blocks() && chain.rules.iter().any(Rule::has_ranges);
        chains(self.after, self.table.family).iter().any(|chain| looks(chain) && is_refilled(chain))
    }

    /// What is referred to is made before what refers to it, and deleted after it.
    fn write(&self, batch: &mut Batch) {
        let family = self.table.family;
        let old = if self.before.needs(family) { chains(self.before, family) } else { Vec::new() };
        let new = chains(self.after, family);
        self.add_sets(batch);
        self.fill_chains(batch, &old, &new);
        self.change_maps(batch);
        for (set, members) in self.after.sets(family) {
            self.fill_set(batch, set, members);
        }
        let gone = || old.iter().filter(|chain| !new.iter().any(|kept| kept.name == chain.name));
        for chain in gone() {
            batch.flush_chain(self.table, &chain.name.to_string());
        }
        for chain in gone() {
            batch.delete_chain(self.table, &chain.name.to_string());
        }
        for (map, _) in maps(self.before, family) {
            if !maps(self.after, family).any(|(kept, _)| kept == map) {
                batch.delete_set(self.table, &map.to_string());
            }
        }
        if needs_local(self.before, family) && !needs_local(self.after, family) {
            batch.delete_set(self.table, LOCAL);
        }
        for (set, _) in self.before.sets(family) {
            if !self.after.sets(family).any(|(kept, _)| kept == set) {
                batch.delete_set(self.table, &set.to_string());
            }
        }
    }

    fn add_sets(&self, batch: &mut Batch) {
        let family = self.table.family;
        for (set, _) in self.after.sets(family) {
            if self.before.sets(family).any(|(known, _)| known == set) {
                continue;
            }
            let (kind, used) = match set {
                Set::SenderLog(_, family) => {
                    let kind = ValueKind::of(&[ValueKind::ETHERNET, address_kind(family), ValueKind::LINK]);
                    (kind, SetUse::Log { size: u32::try_from(MOST_LOGGED).unwrap_or(u32::MAX), timeout: LOGGED })
                }
                _ => (ValueKind::ETHERNET, SetUse::Timeouts { counts: set.counts(family) }),
            };
            batch.add_set(self.table, &set.to_string(), kind, used);
        }
        if needs_local(self.after, family) && !needs_local(self.before, family) {
            let elements = LOCALITIES.map(|(_, number)| NewElement::of(number.to_ne_bytes().to_vec()));
            batch.add_set(self.table, LOCAL, ValueKind::LOCALITY, SetUse::Constant);
            batch.add_elements(self.table, LOCAL, &elements);
        }
        for (map, _) in maps(self.after, family) {
            if !maps(self.before, family).any(|(known, _)| known == map) {
                batch.add_map(self.table, &map.to_string(), address_kind(map.family));
            }
        }
    }

    /// Chains that are as they were are left alone.
    fn fill_chains(&self, batch: &mut Batch, old: &[Chain], new: &[Chain]) {
        let before: VecMap<_, &Chain> = old.iter().map(|chain| (chain.name, chain)).collect();
        for chain in new.iter().filter(|chain| !before.contains_key(&chain.name)) {
            batch.add_chain(self.table, &chain.name.to_string(), chain.hook);
        }
        for chain in new {
            let name = chain.name.to_string();
            match before.get(&chain.name) {
                Some(known) if known.rules == chain.rules => continue,
                Some(known) if known.rules.is_empty() => {}
                Some(_) => batch.flush_chain(self.table, &name),
                None => {}
            }
            for rule in &chain.rules {
                batch.add_rule(self.table, &name, |out| rule.write(out));
            }
        }
    }

    fn change_maps(&self, batch: &mut Batch) {
        let family = self.table.family;
        let of = |ruleset, map: Map| -> &[Piece] {
            maps(ruleset, family).find(|(known, _)| *known == map).map_or(&[], |(_, pieces)| pieces)
        };
        for (map, pieces) in maps(self.before, family) {
            let kept = of(self.after, map);
            let gone: Vec<&Piece> = pieces.iter().filter(|piece| kept.binary_search(piece).is_err()).collect();
            let names: Vec<String> = gone.iter().map(|piece| piece.chain.to_string()).collect();
            batch.delete_elements(self.table, &map.to_string(), &elements(&gone, &names));
        }
        for (map, pieces) in maps(self.after, family) {
            let known = of(self.before, map);
            let fresh: Vec<&Piece> = pieces.iter().filter(|piece| known.binary_search(piece).is_err()).collect();
            let names: Vec<String> = fresh.iter().map(|piece| piece.chain.to_string()).collect();
            batch.add_elements(self.table, &map.to_string(), &elements(&fresh, &names));
        }
    }

    /// An element's timeout can be changed only by making it anew (before Linux 6.12); one that may have run out already
    /// can be deleted only after being added.
    fn fill_set(&self, batch: &mut Batch, set: Set, members: &Members) {
        let nobody = VecMap::new();
        let before = self.before.sets(self.table.family).find(|(old, _)| *old == set);
        let before = before.map_or(&nobody, |(_, members)| members);
        let gone = before.iter().filter(|(mac, ends)| members.get(mac) != Some(ends));
        let gone: Vec<NewElement<'_>> = gone.map(|(mac, _)| NewElement::of(mac.0.to_vec())).collect();
        let fresh = members.iter().filter(|(mac, ends)| before.get(mac) != Some(ends));
        let fresh: Vec<NewElement<'_>> = fresh.map(|(mac, ends)| self.element(set, *mac, *ends)).collect();
        let name = set.to_string();
        batch.add_elements(self.table, &name, &gone);
        batch.delete_elements(self.table, &name, &gone);
        batch.add_elements(self.table, &name, &fresh);
    }

    fn element(&self, set: Set, mac: Mac, ends: Option<Instant>) -> NewElement<'static> {
        let counts = set.counts(self.table.family);
        let counted = Some(self.counters.reading(set, mac)).filter(|counted| counts && *counted != Traffic::default());
        NewElement { timeout: ends.map(|ends| left(ends, self.now)), counted, ..NewElement::of(mac.0.to_vec()) }
    }
}

/// Each range as its first address and, where there is one, the first after it.
fn elements<'a>(pieces: &[&Piece], names: &'a [String]) -> Vec<NewElement<'a>> {
    let mut elements = Vec::with_capacity(2 * pieces.len());
    for (piece, name) in pieces.iter().zip(names) {
        elements.push(NewElement { verdict: Some(Verdict::Jump(name)), ..NewElement::of(octets(piece.first)) });
        let end = after(&octets(piece.last)).map(|key| NewElement { ends_range: true, ..NewElement::of(key) });
        elements.extend(end);
    }
    elements
}

fn address_kind(family: conntrack::Family) -> ValueKind {
    match family {
        conntrack::Family::V4 => ValueKind::IPV4,
        conntrack::Family::V6 => ValueKind::IPV6,
    }
}
