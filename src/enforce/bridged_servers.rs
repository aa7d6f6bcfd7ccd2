//! The servers of names and leases that devices use on the same bridge.
//!
//! Frames between ports of a bridge are seen by the bridge alone, so this table stands there: it notes which address each device asks
//! for names, and over which port, and marks the frames of such exchanges. Where bridges are not filtered, nothing passes.

use super::server_text::{TABLE, fill, set};

/// The mark of frames that pass. It is taken off again behind the quarantine.
pub(super) const PASS: u32 = 0x646f_7470;

/// What the rules know: who asks whom; the same with the port over which that one is reached; these ports; and from which of its
/// own addresses a device asks.
const SETS: [(&str, &str); 5] = [
    ("v4", "ether_addr . ipv4_addr"),
    ("v6", "ether_addr . ipv6_addr"),
    ("places", "ether_addr . ipv4_addr . iface_index"),
    ("ports", "ether_addr . iface_index"),
    ("own", "ether_addr . ipv4_addr"),
];

/// Questions to a server that was asked before, and answers. They are marked before anything else is done about them: where
/// `br_netfilter` is loaded, the rules for routed packets see them, too.
const ASKED: [&str; 7] = [
    "udp dport { 53, 67 } ether saddr . ip daddr @v4",
    "udp sport { 53, 67 } ether daddr . ip saddr @v4",
    "tcp dport 53 ether saddr . ip daddr @v4",
    "tcp sport 53 ether daddr . ip saddr @v4",
    "meta l4proto { tcp, udp } th dport 53 ether saddr . ip6 daddr @v6",
    "meta l4proto { tcp, udp } th sport 53 ether daddr . ip6 saddr @v6",
    "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } ether saddr . ip6 daddr @v6",
];

/// What finds a server's Ethernet address, or that of the router before it, and requests for a lease. These may go to all: they pass to
/// its port only, and nobody says there that he has another's address.
const FOUND: [&str; 8] = [
    "arp operation { request, reply } ether saddr . arp daddr ip . meta oif @places",
    "arp operation { request, reply } ether daddr . arp saddr ip . meta iif @places",
    "arp operation { request, reply } ether saddr . arp saddr ip @own ether saddr . meta oif @ports",
    "arp operation { request, reply } ether daddr . arp daddr ip @own ether daddr . meta iif @ports",
    "udp sport { 68, 546 } udp dport { 67, 547 } ether saddr . meta oif @ports",
    "udp sport { 67, 547 } udp dport { 68, 546 } ether daddr . meta iif @ports",
    "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } ether saddr . meta oif @ports",
    "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } ether daddr . meta iif @ports",
];

/// What is noted of frames that have passed: whom a device asks for names or leases, and who gives it one. What goes to all tells
/// nothing.
const USED: [&str; 11] = [
    "meta pkttype { broadcast, multicast } return",
    "udp dport { 53, 67 } update @v4 { ether saddr . ip daddr } update @places { ether saddr . ip daddr . meta oif }",
    "tcp dport 53 update @v4 { ether saddr . ip daddr } update @places { ether saddr . ip daddr . meta oif }",
    "meta l4proto { tcp, udp } th dport 53 update @v6 { ether saddr . ip6 daddr }",
    "udp dport { 53, 67 } update @ports { ether saddr . meta oif }",
    "tcp dport 53 update @ports { ether saddr . meta oif }",
    "udp dport 53 update @own { ether saddr . ip saddr }",
    "tcp dport 53 update @own { ether saddr . ip saddr }",
    "udp sport 67 udp dport 68 update @v4 { ether daddr . ip saddr }",
    "udp sport 67 udp dport 68 update @places { ether daddr . ip saddr . meta iif }",
    "udp sport { 67, 547 } udp dport { 68, 546 } update @ports { ether daddr . meta iif }",
];

/// The chains: where the kernel calls them, and their rules.
fn chains() -> [(&'static str, &'static str, Vec<String>); 3] {
    let marked = |frames: &&str| format!("{frames} meta mark set {PASS:#x}");
    let unmark = format!("meta mark {PASS:#x} meta mark set 0");
    let used = [unmark].into_iter().chain(USED.map(str::to_owned)).collect();
    [
        ("asked", "prerouting priority filter - 10", ASKED.iter().map(marked).collect()),
        ("found", "forward priority filter - 10", FOUND.iter().map(marked).collect()),
        ("used", "forward priority filter + 10", used),
    ]
}

/// The transaction that makes the table, or its rules anew.
pub(super) fn text() -> String {
    let mut text = format!("table bridge {TABLE} {{\n");
    SETS.iter().for_each(|(name, kind)| text += &set(name, kind));
    for (chain, hook, _) in chains() {
        text += &format!("\tchain {chain} {{\n\t\ttype filter hook {hook}; policy accept;\n\t}}\n");
    }
    text += "}\n";
    chains().iter().for_each(|(chain, _, rules)| text += &fill("bridge", chain, rules));
    text
}
