//! Rulesets as nft text: one transaction from what the kernel holds to what it should hold.

use std::fmt::Write;
use std::time::{Duration, Instant};

use vecset::VecMap;

use super::chains::{Chain, chains};
use super::counters::Counters;
use super::ruleset::{Held, Members, Ruleset};
use super::set::Set;
use crate::model::{Mac, Traffic};
use crate::netlink::conntrack;
use crate::netlink::nftables::Family;
use crate::source::MOST_LOGGED;

/// A lifetime nft and the kernel can both take: nft reads at most eight digits of seconds and wants days for more, the
/// kernel counts nanoseconds in 64 bits.
const LONGEST: Duration = Duration::from_secs(100_000 * DAY);
const MOST_SECONDS: u64 = 99_999_999;
const DAY: u64 = 86_400;

/// A family's table before and after.
struct Change<'a> {
    table: &'static str,
    family: Family,
    /// Nothing where it is not known to be there as we made it.
    before: Option<&'a Ruleset>,
    after: &'a Ruleset,
    /// Those of `after`.
    chains: Vec<Chain>,
    counters: &'a Counters,
    now: Instant,
}

/// Returns the transaction that makes the tables of these families hold `after`, and what the kernel then holds. Without
/// `before` whatever they hold gives way. Elements that stay as they are keep timeout and counter in the kernel; those made
/// anew go on from the last reading.
pub(super) fn transaction(
    table: &'static str,
    before: Option<&Held>,
    after: &Ruleset,
    families: &[Family],
    counters: &Counters,
    now: Instant,
) -> (String, Held) {
    let mut text = String::new();
    let mut held_then = Held { ruleset: after.clone(), families: VecMap::new() };
    for family in families {
        let needed = |ruleset: &Ruleset| ruleset.sets(*family).next().is_some();
        let held = before.filter(|held| held.families.contains_key(family)).map(|held| &held.ruleset);
        let known = held.filter(|ruleset| needed(ruleset));
        let chains = if needed(after) { chains(after, *family) } else { Vec::new() };
        held_then.families.insert(*family, chains.iter().map(|chain| chain.rules.len()).sum());
        let change = Change { table, family: *family, before: known, after, chains, counters, now };
        // Writing to a string can't fail.
        let _ = match (known, needed(after)) {
            (Some(_), true) => change.write(&mut text),
            (None, true) => change.remove(&mut text).and_then(|()| change.write(&mut text)),
            (Some(_), false) => change.remove(&mut text),
            (None, false) if held.is_none() => change.remove(&mut text),
            (None, false) => Ok(()),
        };
    }
    (text, held_then)
}

impl Change<'_> {
    /// Deleting what is not there fails: it is made first.
    fn remove(&self, text: &mut String) -> std::fmt::Result {
        let (family, table) = (self.family.as_str(), self.table);
        writeln!(text, "add table {family} {table}")?;
        writeln!(text, "delete table {family} {table}")
    }

    fn write(&self, text: &mut String) -> std::fmt::Result {
        let (family, table) = (self.family.as_str(), self.table);
        writeln!(text, "table {family} {table} {{")?;
        for (set, _) in self.after.sets(self.family) {
            declare_set(text, set, set.counts(self.family))?;
        }
        for chain in &self.chains {
            declare_chain(text, chain)?;
        }
        writeln!(text, "}}")?;
        if self.before.is_some() {
            for chain in &self.chains {
                writeln!(text, "flush chain {family} {table} {}", chain.name)?;
            }
        }
        self.forget_sets(text)?;
        writeln!(text, "table {family} {table} {{")?;
        for chain in &self.chains {
            fill_chain(text, chain)?;
        }
        writeln!(text, "}}")?;
        for (set, members) in self.after.sets(self.family) {
            self.fill_set(text, set, members)?;
        }
        Ok(())
    }

    fn forget_sets(&self, text: &mut String) -> std::fmt::Result {
        for (set, _) in self.before.iter().flat_map(|before| before.sets(self.family)) {
            if !self.after.sets(self.family).any(|(kept, _)| kept == set) {
                writeln!(text, "delete set {} {} {set}", self.family.as_str(), self.table)?;
            }
        }
        Ok(())
    }

    /// An element's timeout can be changed only by making it anew (before Linux 6.12); one that may have run out already
    /// can be deleted only after being added.
    fn fill_set(&self, text: &mut String, set: Set, members: &Members) -> std::fmt::Result {
        let nobody = VecMap::new();
        let before = self.before.iter().flat_map(|before| before.sets(self.family));
        let before = before.into_iter().find(|(old, _)| *old == set).map_or(&nobody, |(_, members)| members);
        let gone: Vec<String> = before
            .iter()
            .filter(|(mac, ends)| members.get(mac) != Some(ends))
            .map(|(mac, _)| mac.to_string())
            .collect();
        let fresh: Vec<String> = members
            .iter()
            .filter(|(mac, ends)| before.get(mac) != Some(ends))
            .map(|(mac, ends)| self.element(set, *mac, *ends))
            .collect();
        self.elements(text, "add", set, &gone)?;
        self.elements(text, "delete", set, &gone)?;
        self.elements(text, "add", set, &fresh)
    }

    fn elements(&self, text: &mut String, verb: &str, set: Set, elements: &[String]) -> std::fmt::Result {
        if elements.is_empty() {
            return Ok(());
        }
        let (family, table) = (self.family.as_str(), self.table);
        writeln!(text, "{verb} element {family} {table} {set} {{ {} }}", elements.join(", "))
    }

    fn element(&self, set: Set, mac: Mac, ends: Option<Instant>) -> String {
        let mut text = mac.to_string();
        let counted = if set.counts(self.family) { self.counters.reading(set, mac) } else { Traffic::default() };
        if counted != Traffic::default() {
            text += &format!(" counter packets {} bytes {}", counted.packets, counted.bytes);
        }
        if let Some(ends) = ends {
            text += &format!(" timeout {}", timeout(ends.saturating_duration_since(self.now)));
        }
        text
    }
}

/// How long it is remembered who has sent something, of [`MOST_LOGGED`] of each family.
const LOGGED: &str = "\t\tflags dynamic,timeout\n\t\ttimeout 20s\n\t\tsize";

fn declare_set(text: &mut String, set: Set, counts: bool) -> std::fmt::Result {
    writeln!(text, "\tset {set} {{")?;
    match set {
        Set::SenderLog(_, conntrack::Family::V4) => {
            writeln!(text, "\t\ttype ether_addr . ipv4_addr . iface_index\n{LOGGED} {MOST_LOGGED}")?;
        }
        Set::SenderLog(_, conntrack::Family::V6) => {
            writeln!(text, "\t\ttype ether_addr . ipv6_addr . iface_index\n{LOGGED} {MOST_LOGGED}")?;
        }
        _ => writeln!(text, "\t\ttype ether_addr\n\t\tflags timeout")?,
    }
    if counts {
        writeln!(text, "\t\tcounter")?;
    }
    writeln!(text, "\t}}")
}

fn declare_chain(text: &mut String, chain: &Chain) -> std::fmt::Result {
    writeln!(text, "\tchain {} {{", chain.name)?;
    if let Some(hook) = chain.hook {
        writeln!(text, "\t\ttype filter hook {hook}; policy accept;")?;
    }
    writeln!(text, "\t}}")
}

fn fill_chain(text: &mut String, chain: &Chain) -> std::fmt::Result {
    writeln!(text, "\tchain {} {{", chain.name)?;
    for rule in &chain.rules {
        writeln!(text, "\t\t{rule}")?;
    }
    writeln!(text, "\t}}")
}

/// Rounded up: an element must not end before the mitigation does.
fn timeout(left: Duration) -> String {
    let left = left.min(LONGEST);
    let seconds = (left.as_secs() + u64::from(left.subsec_nanos() > 0)).max(1);
    if seconds > MOST_SECONDS { format!("{}d{}s", seconds / DAY, seconds % DAY) } else { format!("{seconds}s") }
}
