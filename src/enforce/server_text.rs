//! What the texts of both tables of servers have in common.

/// The name of both tables.
pub(super) const TABLE: &str = "dots_callhome_servers";

/// A set that rules fill, each element for a week.
pub(super) fn set(name: &str, kind: &str) -> String {
    format!("\tset {name} {{\n\t\ttype {kind}\n\t\tflags dynamic,timeout\n\t\ttimeout 7d\n\t\tsize 1024\n\t}}\n")
}

/// The rules of a chain of that family's table, in place of those before.
pub(super) fn fill(family: &str, chain: &str, rules: &[String]) -> String {
    let rules = rules.join("\n\t\t");
    format!(
        "flush chain {family} {TABLE} {chain}\ntable {family} {TABLE} {{\n\tchain {chain} {{\n\t\t{rules}\n\t}}\n}}\n"
    )
}
