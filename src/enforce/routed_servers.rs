//! The servers of names and leases that devices use in other networks of the home: behind another router, on another link.
//!
//! This table notes which of them each device asks; who is reached by a link that leads out of the home is none. While anybody is
//! in quarantine, packets to those noted are marked before our rules look at them, and the mark is taken off behind these.

use super::bridged_servers::PASS as BRIDGED;
use super::server_text::{TABLE, fill, set};

/// The mark of packets that pass. Another one than that of frames on a bridge, which is still needed there.
pub(super) const PASS: u32 = 0x646f_7471;

/// Who asks whom.
const SETS: [(&str, &str); 2] = [("v4", "ether_addr . ipv4_addr"), ("v6", "ether_addr . ipv6_addr")];

/// What a device asks a server for, each with the sets that know the two of them.
const QUESTIONS: [(&str, &str, &str); 3] = [
    ("udp dport { 53, 67 }", "v4", "ether saddr . ip daddr"),
    ("tcp dport 53", "v4", "ether saddr . ip daddr"),
    ("meta l4proto { tcp, udp } th dport 53", "v6", "ether saddr . ip6 daddr"),
];

/// The chains that are there only while anybody is in quarantine, and where the kernel calls them: just before our rules, and just
/// behind them and their guard, before anything is routed by marks.
const MARKING: [(&str, &str); 2] =
    [("asked", "prerouting priority raw - 10"), ("passed", "prerouting priority raw + 10")];

/// The transaction that makes the table, or its rules anew.
pub(super) fn text(outward: &[u32], is_quarantining: bool) -> String {
    let chain =
        |(name, hook): (&str, &str)| format!("\tchain {name} {{\n\t\ttype filter hook {hook}; policy accept;\n\t}}\n");
    let mut text = format!("table inet {TABLE} {{\n");
    SETS.iter().for_each(|(name, kind)| text += &set(name, kind));
    text += &chain(("used", "forward priority filter + 10"));
    // Deleting what is not there fails: it is made first.
    MARKING.iter().for_each(|place| text += &chain(*place));
    text += "}\n";
    text += &fill("inet", "used", &used(outward));
    if is_quarantining {
        text += &fill("inet", "asked", &asked(outward));
        text += &fill("inet", "passed", &[format!("meta mark {PASS:#x} meta mark set 0")]);
    } else {
        for (name, _) in MARKING {
            text += &format!("flush chain inet {TABLE} {name}\ndelete chain inet {TABLE} {name}\n");
        }
    }
    text
}

/// What is noted of packets that have passed.
fn used(outward: &[u32]) -> Vec<String> {
    let note = |(question, set, pair): (&str, &str, &str)| format!("{question} update @{set} {{ {pair} }}");
    let outside = links(outward).map(|links| format!("meta oif {links} return"));
    outside.into_iter().chain(QUESTIONS.map(note)).collect()
}

/// What is marked. A server that was noted before its link led out of the home is none any more.
fn asked(outward: &[u32]) -> Vec<String> {
    let others = ["th dport != { 53, 67 } return".to_owned(), format!("meta mark {BRIDGED:#x} return")];
    let outside = links(outward).map(|links| format!("fib daddr oif {links} return"));
    let mark = |(question, set, pair): (&str, &str, &str)| format!("{question} {pair} @{set} meta mark set {PASS:#x}");
    others.into_iter().chain(outside).chain(QUESTIONS.map(mark)).collect()
}

fn links(outward: &[u32]) -> Option<String> {
    let links: Vec<String> = outward.iter().map(u32::to_string).collect();
    (!links.is_empty()).then(|| format!("{{ {} }}", links.join(", ")))
}
