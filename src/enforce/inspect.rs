//! A look at what the kernel holds: counters, and whether all is still there.

use std::collections::VecDeque;
use std::time::Instant;

use vecset::{VecMap, VecSet};

use super::counters::Counters;
use super::dialogue::{Heard, Question};
use super::render::Held;
use super::ruleset::{Ruleset, Set};
use crate::model::Mac;
use crate::netlink::conntrack::ENOENT;
use crate::netlink::nftables::{Element, Family};
use crate::source::device::Sender;

/// How much is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Depth {
    /// The counters, and who sends.
    Counters,
    /// Every set and rule.
    Everything,
}

/// What follows from it.
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

#[derive(Debug)]
pub(super) struct Inspection {
    questions: VecDeque<Question>,
    /// What each finished question was about, and what has been seen of it.
    sets: Vec<(Family, Set)>,
    seen: VecSet<(Family, Set, Mac)>,
    rules: VecMap<Family, usize>,
    current: Option<Question>,
    missing: bool,
    failed: bool,
    /// Who has sent what mitigations are about, by their numbers.
    pub(super) senders: VecMap<u32, Vec<Sender>>,
    /// Whether any counter has risen, or anybody sends what is looked for.
    pub(super) moved: bool,
    pub(super) depth: Depth,
    /// How many transactions had begun or ended when it began.
    pub(super) runs: u32,
}

impl Inspection {
    pub(super) fn new(held: &Held, depth: Depth, runs: u32) -> Self {
        let mut questions = VecDeque::new();
        for family in &held.families {
            let sets: Vec<Set> = held.ruleset.sets(*family).map(|(set, _)| set).collect();
            if depth == Depth::Everything && !sets.is_empty() {
                questions.push_back(Question::Rules(*family));
            }
            let sets = sets.into_iter().filter(|set| depth == Depth::Everything || set.is_read(*family));
            questions.extend(sets.map(|set| Question::Elements(*family, set)));
        }
        Self {
            questions,
            sets: Vec::new(),
            seen: VecSet::new(),
            rules: VecMap::new(),
            current: None,
            missing: false,
            failed: false,
            senders: VecMap::new(),
            moved: false,
            depth,
            runs,
        }
    }

    /// What to ask next; nothing: it is over.
    pub(super) fn next(&mut self) -> Option<Question> {
        self.current = self.questions.pop_front();
        match &self.current {
            Some(Question::Elements(family, set)) => self.sets.push((*family, *set)),
            Some(Question::Rules(family)) => drop(self.rules.insert(*family, 0)),
            _ => {}
        }
        self.current.clone()
    }

    /// A part of an answer.
    pub(super) fn hear(&mut self, heard: Heard, counters: &mut Counters) {
        match heard {
            Heard::Elements(_, Set::WitnessOf(id, _), elements) => {
                let seen =
                    |element: Element| element.place.map(|(address, link)| Sender { mac: element.mac, address, link });
                let senders = self.senders.entry(id).or_default();
                senders.extend(elements.into_iter().filter_map(seen));
                self.moved |= !senders.is_empty();
            }
            Heard::Elements(family, set, elements) => {
                for element in elements {
                    self.seen.insert((family, set, element.mac));
                    if let Some(reading) = element.counted.filter(|_| set.counts(family)) {
                        self.moved |= counters.read(set, element.mac, reading);
                    }
                }
            }
            Heard::Rule => {
                if let Some(Question::Rules(family)) = &self.current {
                    *self.rules.entry(*family).or_default() += 1;
                }
            }
            Heard::Table(Err(ENOENT)) => self.missing = true,
            Heard::Table(Err(_)) => self.failed = true,
            _ => {}
        }
    }

    /// Compares with what should be there.
    pub(super) fn verdict(&self, ruleset: &Ruleset, now: Instant) -> Verdict {
        let whole = |(family, set): &(Family, Set)| {
            let members = ruleset.sets(*family).find(|(known, _)| known == set);
            members
                .into_iter()
                .flat_map(|(_, members)| members)
                .all(|(mac, ends)| ends.is_some_and(|ends| ends <= now) || self.seen.contains(&(*family, *set, *mac)))
        };
        let complete = |(family, rules): (&Family, &usize)| {
            ruleset.chains(*family).iter().map(|chain| chain.rules.len()).sum::<usize>() == *rules
        };
        if self.failed {
            Verdict::Unknown
        } else if self.rules.get(&Family::Inet) == Some(&0) {
            Verdict::Gone
        } else if self.missing || !self.sets.iter().all(whole) || !self.rules.iter().all(complete) {
            Verdict::Disturbed
        } else {
            Verdict::Intact
        }
    }
}
