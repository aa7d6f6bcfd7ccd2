//! What tests and their outcomes say of each requirement, and what must not be.

use std::collections::BTreeMap;
use std::fmt;

use super::list::{Reach, Requirement, SIDES, Side};
use super::outcomes::Outcomes;
use super::proofs::Proof;

/// How far a requirement is proven on one side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    Pass,
    Fail,
    NotRun,
    Unproven,
    /// A test names it, though the list says that none proves it.
    Contradicted,
    Open,
    Excluded,
}

impl Verdict {
    pub const ALL: [Self; 7] =
        [Self::Pass, Self::Fail, Self::NotRun, Self::Unproven, Self::Contradicted, Self::Open, Self::Excluded];

    /// Whether nothing may be so.
    pub fn is_fault(self) -> bool {
        !matches!(self, Self::Pass | Self::Open | Self::Excluded)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Pass => "pass",
            Self::Fail => "FAIL",
            Self::NotRun => "NOT RUN",
            Self::Unproven => "UNPROVEN",
            Self::Contradicted => "CONTRADICTED",
            Self::Open => "open",
            Self::Excluded => "not reachable",
        })
    }
}

/// One cell of the table.
pub struct Judgement<'a> {
    pub requirement: &'a Requirement,
    pub side: Side,
    pub verdict: Verdict,
    /// The tests it rests on.
    pub proofs: Vec<&'a Proof>,
}

/// Everything that tests show.
pub struct Table<'a> {
    pub judgements: Vec<Judgement<'a>>,
    /// Tests that name what is in no list.
    pub unknown: Vec<&'a Proof>,
}

impl<'a> Table<'a> {
    pub fn new(list: &'a [Requirement], proofs: &'a [Proof], outcomes: &Outcomes) -> Self {
        let mut by_id: BTreeMap<&str, Vec<&Proof>> = BTreeMap::new();
        for proof in proofs {
            by_id.entry(&proof.id).or_default().push(proof);
        }
        let mut judgements = Vec::new();
        for requirement in list {
            let all = by_id.remove(requirement.id.as_str()).unwrap_or_default();
            judgements.extend(SIDES.iter().filter_map(|side| judge(requirement, *side, &all, outcomes)));
        }
        Self { judgements, unknown: by_id.into_values().flatten().collect() }
    }

    /// Whether every requirement is proven where the list says so, and every test names one.
    pub fn holds(&self) -> bool {
        self.unknown.is_empty() && !self.judgements.iter().any(|judgement| judgement.verdict.is_fault())
    }
}

fn judge<'a>(
    requirement: &'a Requirement,
    side: Side,
    all: &[&'a Proof],
    outcomes: &Outcomes,
) -> Option<Judgement<'a>> {
    // What shows both sides speaks for the one that needs it; what shows a side alone speaks of that side.
    let is_elsewhere =
        |proof: &Proof| proof.sides.iter().any(|other| *requirement.reach(*other) == Reach::Test && *other != side);
    let own = all.iter().copied().filter(|proof| proof.sides.contains(&side));
    let proofs: Vec<&Proof> = match requirement.reach(side) {
        Reach::Test => own.collect(),
        _ => own.filter(|proof| !is_elsewhere(proof)).collect(),
    };
    let ended = |outcome| proofs.iter().any(|proof| outcomes.of(proof) == outcome);
    let verdict = match requirement.reach(side) {
        Reach::Test if proofs.is_empty() => Verdict::Unproven,
        Reach::Test if ended(Some(false)) => Verdict::Fail,
        Reach::Test if ended(None) => Verdict::NotRun,
        Reach::Test => Verdict::Pass,
        _ if !proofs.is_empty() => Verdict::Contradicted,
        Reach::Foreign => return None,
        Reach::Open(_) => Verdict::Open,
        Reach::Excluded(_) => Verdict::Excluded,
    };
    Some(Judgement { requirement, side, verdict, proofs })
}

impl fmt::Display for Judgement<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { requirement, side, verdict, proofs } = self;
        let why = match (requirement.reach(*side), &proofs[..]) {
            (Reach::Open(why) | Reach::Excluded(why), []) => why.clone(),
            (_, []) => requirement.text.clone(),
            (_, [one]) => one.to_string(),
            (_, [first, more @ ..]) => format!("{first} and {} more", more.len()),
        };
        write!(f, "{:15} {:7} {:8} {verdict:13} {why}", requirement.id, requirement.level, side.to_string())
    }
}

impl fmt::Display for Table<'_> {
    /// How many there are of each verdict, and then everything that must not be.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:8}", "")?;
        Verdict::ALL.iter().try_for_each(|verdict| write!(f, "{verdict:>15}"))?;
        for side in SIDES {
            write!(f, "\n{:8}", side.to_string())?;
            for verdict in Verdict::ALL {
                let is_meant = |judgement: &&Judgement| judgement.side == side && judgement.verdict == verdict;
                write!(f, "{:>15}", self.judgements.iter().filter(is_meant).count())?;
            }
        }
        for judgement in self.judgements.iter().filter(|judgement| judgement.verdict.is_fault()) {
            write!(f, "\n{judgement}")?;
        }
        self.unknown.iter().try_for_each(|proof| write!(f, "\n{proof} names {}, which is no requirement", proof.id))
    }
}
