//! A look at what the kernel holds: counters, and whether all is still there.

use std::collections::VecDeque;
use std::time::Instant;

use vecset::{VecMap, VecSet};

use super::chain_name::Map;
use super::chains::maps;
use super::counters::Counters;
use super::dispatch::Piece;
use super::kernel_queries::{Answer, Query};
use super::ruleset::{Held, Ruleset};
use super::set::Set;
use crate::model::{Mac, MitigationId};
use crate::netlink::conntrack::ENOENT;
use crate::netlink::nftables::{Element, Family};
use crate::source::Sender;

/// How much is inspected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Depth {
    /// The counters, and who sends.
    Counters,
    /// Every set and rule.
    Everything,
}

/// What follows from an inspection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// All is there.
    Intact,
    /// Somebody else has removed or added something.
    Disturbed,
    /// Without any rule left: there may as well be no table.
    Gone,
    /// The kernel did not say.
    Unknown,
}

/// One look at the sets, and at the rules where everything is looked at.
#[derive(Debug)]
pub(super) struct Inspection {
    queries: VecDeque<Query>,
    /// What each finished query was about, and what has been seen of it.
    sets: Vec<(Family, Set)>,
    seen: VecSet<(Family, Set, Mac)>,
    rules: VecMap<Family, usize>,
    verdicts: VecMap<Map, usize>,
    current: Option<Query>,
    missing: bool,
    found: bool,
    failed: bool,
    /// Who has sent what mitigations are about, by mitigation.
    pub(super) senders: VecMap<MitigationId, Vec<Sender>>,
    /// Whether any counter has risen, or anybody sends what is looked for.
    pub(super) moved: bool,
    pub(super) depth: Depth,
    /// How many transactions had begun or ended when it began.
    pub(super) runs: u32,
}

impl Inspection {
    /// Begins to look at what the tables of these families hold of the ruleset.
    pub(super) fn new<'a>(
        ruleset: &Ruleset,
        families: impl IntoIterator<Item = &'a Family>,
        depth: Depth,
        runs: u32,
    ) -> Self {
        let mut queries = VecDeque::new();
        for family in families {
            let sets: Vec<Set> = ruleset.sets(*family).map(|(set, _)| set).collect();
            if depth == Depth::Everything && !sets.is_empty() {
                queries.push_back(Query::Rules(*family));
                queries.extend(maps(ruleset, *family).map(|(map, _)| Query::Verdicts(map)));
            }
            let sets = sets.into_iter().filter(|set| depth == Depth::Everything || set.is_read(*family));
            queries.extend(sets.map(|set| Query::Elements(*family, set)));
        }
        Self {
            queries,
            sets: Vec::new(),
            seen: VecSet::new(),
            rules: VecMap::new(),
            verdicts: VecMap::new(),
            current: None,
            missing: false,
            found: false,
            failed: false,
            senders: VecMap::new(),
            moved: false,
            depth,
            runs,
        }
    }

    /// What to ask next; nothing: it is over.
    pub(super) fn poll_query(&mut self) -> Option<Query> {
        self.current = self.queries.pop_front();
        match &self.current {
            Some(Query::Elements(family, set)) => self.sets.push((*family, *set)),
            Some(Query::Rules(family)) => drop(self.rules.insert(*family, 0)),
            Some(Query::Verdicts(map)) => drop(self.verdicts.insert(*map, 0)),
            _ => {}
        }
        self.current.clone()
    }

    /// A part of an answer.
    pub(super) fn handle_answer(&mut self, answer: Answer, counters: &mut Counters) {
        match answer {
            Answer::Elements(_, Set::SenderLog(id, _), elements) => {
                let seen =
                    |element: Element| element.place.map(|(address, link)| Sender { mac: element.mac, address, link });
                let senders = self.senders.entry(id).or_default();
                senders.extend(elements.into_iter().filter_map(seen));
                self.moved |= !senders.is_empty();
            }
            Answer::Elements(family, set, elements) => {
                for element in elements {
                    self.seen.insert((family, set, element.mac));
                    if let Some(reading) = element.counted.filter(|_| set.counts(family)) {
                        self.moved |= counters.read(set, element.mac, reading);
                    }
                }
            }
            Answer::Rule => {
                if let Some(Query::Rules(family)) = &self.current {
                    *self.rules.entry(*family).or_default() += 1;
                }
            }
            Answer::Verdicts(more) => {
                if let Some(Query::Verdicts(map)) = &self.current {
                    *self.verdicts.entry(*map).or_default() += more;
                }
            }
            Answer::Table(Ok(())) => self.found = true,
            Answer::Table(Err(ENOENT)) => self.missing = true,
            Answer::Table(Err(_)) => self.failed = true,
            _ => {}
        }
    }

    /// Whether any of it is there, or may be.
    pub(super) fn has_found(&self) -> bool {
        self.found || self.failed
    }

    /// Compares with what should be there.
    pub(super) fn verdict(&self, held: &Held, now: Instant) -> Verdict {
        let whole = |(family, set): &(Family, Set)| {
            let members = held.ruleset.sets(*family).find(|(known, _)| known == set);
            members
                .into_iter()
                .flat_map(|(_, members)| members)
                .all(|(mac, ends)| ends.is_some_and(|ends| ends <= now) || self.seen.contains(&(*family, *set, *mac)))
        };
        let complete = |(family, rules): (&Family, &usize)| held.families.get(family) == Some(rules);
        let leads = |(map, pieces): (Map, &[Piece])| self.verdicts.get(&map).is_none_or(|seen| *seen == pieces.len());
        if self.failed {
            Verdict::Unknown
        } else if self.rules.get(&Family::Inet) == Some(&0) {
            Verdict::Gone
        } else if self.missing
            || !self.sets.iter().all(whole)
            || !self.rules.iter().all(complete)
            || !maps(&held.ruleset, Family::Inet).all(leads)
        {
            Verdict::Disturbed
        } else {
            Verdict::Intact
        }
    }
}
