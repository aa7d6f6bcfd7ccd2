//! Tables as text for `nft`: made anew from nothing, in one transaction.

use std::fmt::{Display, Write};
use std::time::{Duration, Instant};

use super::chain_name::Map;
use super::chains::{Chain, chains, held, maps, needs_local};
use super::counters::Counters;
use super::dispatch::Piece;
use super::rule::{LOCAL, LOCALITIES};
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

/// How long it is remembered who has sent something.
pub(super) const LOGGED: Duration = Duration::from_secs(20);

/// Returns the text that makes the tables of these families hold a ruleset, whatever they held before, and what the kernel
/// then holds. Elements go on from their last reading.
pub(super) fn text(
    table: &'static str,
    ruleset: &Ruleset,
    families: &[Family],
    counters: &Counters,
    now: Instant,
) -> (String, Held) {
    let writing = |family: &Family| Writing { table, guards: false, family: *family, ruleset, counters, now };
    (families.iter().map(|family| writing(family).anew()).collect(), held(ruleset.clone(), families))
}

/// Returns the text that makes guards hold a ruleset: what gets past our tables while they are made anew meets them.
pub(super) fn guard(table: &'static str, ruleset: &Ruleset, families: &[Family], now: Instant) -> String {
    let counters = &Counters::default();
    let writing = |family: &Family| Writing { table, guards: true, family: *family, ruleset, counters, now };
    families.iter().map(|family| writing(family).anew()).collect()
}

/// Returns the text that removes the tables of these families, whether there are any or not.
pub(super) fn nothing(table: &'static str, families: &[Family]) -> String {
    families.iter().map(|family| removal(table, *family)).collect()
}

/// Deleting what is not there fails: it is made first.
fn removal(table: &str, family: Family) -> String {
    let family = family.as_str();
    format!("add table {family} {table}\ndelete table {family} {table}\n")
}

/// A family's table being written.
struct Writing<'a> {
    table: &'static str,
    /// Whether it stands in for another.
    guards: bool,
    family: Family,
    ruleset: &'a Ruleset,
    counters: &'a Counters,
    now: Instant,
}

impl Writing<'_> {
    fn anew(&self) -> String {
        let mut text = removal(self.table, self.family);
        if self.ruleset.needs(self.family) {
            // Writing to a string can't fail.
            let _ = self.make(&mut text);
        }
        text
    }

    fn make(&self, text: &mut String) -> std::fmt::Result {
        let (family, table) = (self.family.as_str(), self.table);
        writeln!(text, "table {family} {table} {{")?;
        for (set, _) in self.ruleset.sets(self.family) {
            declare_set(text, set, set.counts(self.family))?;
        }
        if needs_local(self.ruleset, self.family) {
            let names = LOCALITIES.map(|(name, _)| name).join(", ");
            writeln!(text, "\tset {LOCAL} {{\n\t\ttype fib_addrtype\n\t\tflags constant")?;
            writeln!(text, "\t\telements = {{ {names} }}\n\t}}")?;
        }
        for (map, _) in maps(self.ruleset, self.family) {
            declare_map(text, map)?;
        }
        for chain in chains(self.ruleset, self.family) {
            write_chain(text, &chain, self.guards)?;
        }
        writeln!(text, "}}")?;
        for (set, members) in self.ruleset.sets(self.family) {
            self.fill_set(text, set, members)?;
        }
        for (map, pieces) in maps(self.ruleset, self.family) {
            self.elements(text, map, pieces.iter().map(piece).collect())?;
        }
        Ok(())
    }

    fn fill_set(&self, text: &mut String, set: Set, members: &Members) -> std::fmt::Result {
        self.elements(text, set, members.iter().map(|(mac, ends)| self.element(set, *mac, *ends)).collect())
    }

    fn elements(&self, text: &mut String, set: impl Display, elements: Vec<String>) -> std::fmt::Result {
        if elements.is_empty() {
            return Ok(());
        }
        writeln!(text, "add element {} {} {set} {{ {} }}", self.family.as_str(), self.table, elements.join(", "))
    }

    fn element(&self, set: Set, mac: Mac, ends: Option<Instant>) -> String {
        let mut text = mac.to_string();
        let counted = if set.counts(self.family) { self.counters.reading(set, mac) } else { Traffic::default() };
        if counted != Traffic::default() {
            text += &format!(" counter packets {} bytes {}", counted.packets, counted.bytes);
        }
        if let Some(ends) = ends {
            text += &format!(" timeout {}", in_words(left(ends, self.now)));
        }
        text
    }
}

fn declare_set(text: &mut String, set: Set, counts: bool) -> std::fmt::Result {
    writeln!(text, "\tset {set} {{")?;
    match set {
        Set::SenderLog(_, family) => {
            let address = address_kind(family);
            writeln!(text, "\t\ttype ether_addr . {address} . iface_index\n\t\tflags dynamic,timeout")?;
            writeln!(text, "\t\ttimeout {}s\n\t\tsize {MOST_LOGGED}", LOGGED.as_secs())?;
        }
        _ => writeln!(text, "\t\ttype ether_addr\n\t\tflags timeout")?,
    }
    if counts {
        writeln!(text, "\t\tcounter")?;
    }
    writeln!(text, "\t}}")
}

fn declare_map(text: &mut String, map: Map) -> std::fmt::Result {
    writeln!(text, "\tmap {map} {{\n\t\ttype {} : verdict\n\t\tflags interval\n\t}}", address_kind(map.family))
}

/// A guard is called behind the table it stands in for, so that this counts on.
fn write_chain(text: &mut String, chain: &Chain, guards: bool) -> std::fmt::Result {
    writeln!(text, "\tchain {} {{", chain.name)?;
    if let Some(hook) = chain.hook {
        let behind = if guards { " + 1" } else { "" };
        writeln!(text, "\t\ttype filter hook {}{behind}; policy accept;", hook.as_str())?;
    }
    for rule in &chain.rules {
        writeln!(text, "\t\t{rule}")?;
    }
    writeln!(text, "\t}}")
}

fn piece(piece: &Piece) -> String {
    if piece.first == piece.last {
        format!("{} : jump {}", piece.first, piece.chain)
    } else {
        format!("{}-{} : jump {}", piece.first, piece.last, piece.chain)
    }
}

/// The word for the addresses of a family in the types of sets.
fn address_kind(family: conntrack::Family) -> &'static str {
    match family {
        conntrack::Family::V4 => "ipv4_addr",
        conntrack::Family::V6 => "ipv6_addr",
    }
}

/// What is left until then, rounded up to seconds: an element must not end before the mitigation does.
pub(super) fn left(ends: Instant, now: Instant) -> Duration {
    let left = ends.saturating_duration_since(now).min(LONGEST);
    Duration::from_secs((left.as_secs() + u64::from(left.subsec_nanos() > 0)).max(1))
}

fn in_words(left: Duration) -> String {
    let seconds = left.as_secs();
    if seconds > MOST_SECONDS { format!("{}d{}s", seconds / DAY, seconds % DAY) } else { format!("{seconds}s") }
}
