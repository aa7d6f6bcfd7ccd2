//! Which boxes of the home give devices names and addresses: noted by the kernel in a table of our own before anybody is
//! quarantined.
//!
//! The router need not be the home's only server of names and leases. Frames between ports of a bridge are seen by the bridge
//! alone, so this table stands there all the time: it notes which address each device asks for names, and over which port, and
//! marks the frames of such exchanges. What is marked passes the quarantine, which drops all else. Whoever is quarantined adds
//! nothing: its frames are dropped before they are noted. Without the table, or where bridges are not filtered, nothing passes.

use std::time::{Duration, Instant};

use crate::model::Backoff;
use crate::netlink::nftables;

/// The name of the table.
const TABLE: &str = "dots_callhome_servers";
/// The mark of frames that pass. It is taken off again behind the quarantine.
pub(super) const PASS: u32 = 0x646f_7470;
/// Between attempts where it can't be made: modules can be loaded later. As long where somebody removes it.
const PAUSES: Backoff = Backoff::new(Duration::from_secs(60), Duration::from_secs(3600));

/// What the rules know: who asks whom; the same with the port over which that one is reached; and these ports.
const SETS: [(&str, &str); 4] = [
    ("v4", "ether_addr . ipv4_addr"),
    ("v6", "ether_addr . ipv6_addr"),
    ("places", "ether_addr . ipv4_addr . iface_index"),
    ("ports", "ether_addr . iface_index"),
];

/// Questions to a server that was asked before, and answers. They are marked before anything else is done about them: where
/// `br_netfilter` is loaded, the rules for routed packets see them, too.
const ASKED: [&str; 6] = [
    "udp dport { 53, 67 } ether saddr . ip daddr @v4",
    "udp sport { 53, 67 } ether daddr . ip saddr @v4",
    "tcp dport 53 ether saddr . ip daddr @v4",
    "tcp sport 53 ether daddr . ip saddr @v4",
    "meta l4proto { tcp, udp } th dport 53 ether saddr . ip6 daddr @v6",
    "meta l4proto { tcp, udp } th sport 53 ether daddr . ip6 saddr @v6",
];

/// What finds a server's Ethernet address, and requests for a lease. These may go to all: they pass to its port only.
const FOUND: [&str; 6] = [
    "arp operation { request, reply } ether saddr . arp daddr ip . meta oif @places",
    "arp operation { request, reply } ether daddr . arp saddr ip . meta iif @places",
    "udp sport { 68, 546 } udp dport { 67, 547 } ether saddr . meta oif @ports",
    "udp sport { 67, 547 } udp dport { 68, 546 } ether daddr . meta iif @ports",
    "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } ether saddr . meta oif @ports",
    "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } ether daddr . meta iif @ports",
];

/// What is noted of frames that have passed: whom a device asks for names or leases. What goes to all tells nothing.
const USED: [&str; 6] = [
    "meta pkttype { broadcast, multicast } return",
    "udp dport { 53, 67 } update @v4 { ether saddr . ip daddr } update @places { ether saddr . ip daddr . meta oif }",
    "tcp dport 53 update @v4 { ether saddr . ip daddr } update @places { ether saddr . ip daddr . meta oif }",
    "meta l4proto { tcp, udp } th dport 53 update @v6 { ether saddr . ip6 daddr }",
    "udp dport { 53, 67 } update @ports { ether saddr . meta oif }",
    "tcp dport 53 update @ports { ether saddr . meta oif }",
];

/// Whether the table stands.
#[derive(Debug)]
enum State {
    Wanted,
    Running,
    Stands,
    /// It can't be made, or somebody has removed it: it is made again at this moment.
    Delayed(Instant),
}

/// The table in the kernel.
#[derive(Debug)]
pub struct ServerTable {
    state: State,
    pauses: Backoff,
}

impl Default for ServerTable {
    fn default() -> Self {
        Self { state: State::Wanted, pauses: PAUSES }
    }
}

impl ServerTable {
    /// Returns the text for one `nft -f -`; the next only after [`Self::handle_nft`]. What an earlier run has noted stays.
    pub fn poll_ruleset(&mut self, now: Instant) -> Option<String> {
        let is_due = match self.state {
            State::Wanted => true,
            State::Delayed(at) => at <= now,
            State::Running | State::Stands => false,
        };
        is_due.then(|| {
            self.state = State::Running;
            text()
        })
    }

    /// Takes whether `nft` has done it.
    pub fn handle_nft(&mut self, done: bool, now: Instant) {
        self.state = if done { State::Stands } else { State::Delayed(now + self.pauses.pause()) };
    }

    /// Takes what the kernel tells of changed tables (`NETLINK_NETFILTER` with the group `NFNLGRP_NFTABLES`).
    pub fn handle_change(&mut self, datagram: &[u8], now: Instant) {
        if matches!(self.state, State::Stands) && nftables::removes(datagram, TABLE) {
            self.state = State::Delayed(now + self.pauses.pause());
        }
    }

    /// Returns when [`Self::poll_ruleset`] has something to do again.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if let State::Delayed(at) = self.state { Some(at) } else { None }
    }
}

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
fn text() -> String {
    let mut text = format!("table bridge {TABLE} {{\n");
    for (set, kind) in SETS {
        text += &format!(
            "\tset {set} {{\n\t\ttype {kind}\n\t\tflags dynamic,timeout\n\t\ttimeout 7d\n\t\tsize 1024\n\t}}\n"
        );
    }
    for (chain, hook, _) in chains() {
        text += &format!("\tchain {chain} {{\n\t\ttype filter hook {hook}; policy accept;\n\t}}\n");
    }
    text += "}\n";
    for (chain, _, rules) in chains() {
        let rules = rules.join("\n\t\t");
        text += &format!("flush chain bridge {TABLE} {chain}\n");
        text += &format!("table bridge {TABLE} {{\n\tchain {chain} {{\n\t\t{rules}\n\t}}\n}}\n");
    }
    text
}
