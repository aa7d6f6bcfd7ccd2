//! Faults of the ruleset: what fw4 does to it, and what people and programs do by hand.

use std::time::{Duration, Instant};

use crate::Fault;
use crate::Outcome;
use crate::blocked::{Blocked, dropped};
use crate::host::Host;

/// All of them.
pub const ALL: &[Fault] = &[
    ("fw4_reload", "fw4 reload", reload),
    ("fw4_restart", "fw4 restart", restart),
    ("fw4_stop", "fw4 stop: every table deleted, one by one", stop),
    ("the_ruleset_is_flushed", "nft flush ruleset", flush),
    ("our_table_is_deleted", "nft delete table inet dots_callhome", delete),
    ("a_rule_is_deleted", "nft flush chain inet dots_callhome accused", gut),
    ("a_program_keeps_deleting", "a program that deletes our table twenty times a second", fight),
];

/// A firewall as fw4 makes it, as far as it matters here: everything in its own table, zones by interface.
pub const RULES: &str = "
table inet fw4
flush table inet fw4
table inet fw4 {
    chain input {
        type filter hook input priority filter; policy drop;
        iif lo accept
        ct state vmap { established : accept, related : accept }
        iifname \"br-lan\" accept
        meta l4proto { icmp, ipv6-icmp } accept
    }
    chain forward {
        type filter hook forward priority filter; policy drop;
        ct state vmap { established : accept, related : accept }
        iifname \"br-lan\" accept
        meta l4proto ipv6-icmp accept
    }
    chain srcnat {
        type nat hook postrouting priority srcnat; policy accept;
        meta nfproto ipv4 oifname \"wan\" masquerade
    }
}
";

/// `fw4 reload`: one transaction over its own table.
pub fn fw4_reload(router: &Host) {
    router.nft(RULES);
}

/// What `service firewall stop` does, which is `fw4 flush`.
fn fw4_flush(router: &Host) {
    for table in router.run("nft", &["list", "tables"]).lines() {
        let words: Vec<&str> = table.split_whitespace().collect();
        router.run("nft", &["delete", "table", words[1], words[2]]);
    }
}

/// The block stays where it is, nothing is made anew.
fn untouched(mut blocked: Blocked) -> Outcome {
    blocked.holds();
    assert_eq!(blocked.through(), 0);
    assert!(!blocked.stage.log().contains("removed our nft table"), "{}", blocked.stage.log());
    blocked.outcome("stays, untouched")
}

/// The block was gone, and is noticed and made again.
fn noticed(mut blocked: Blocked, after: u128) -> Outcome {
    blocked.is_told();
    blocked.holds();
    assert_eq!(blocked.stage.log().matches("removed our nft table").count(), 1, "{}", blocked.stage.log());
    assert!(blocked.through() < 1000, "noticed by looking from time to time, not by the kernel's word");
    blocked.outcome(format!("made again within {after} ms, times and counts go on"))
}

fn reload() -> Outcome {
    let blocked = Blocked::new();
    for _ in 0..5 {
        fw4_reload(&blocked.stage.home.router);
    }
    untouched(blocked)
}

fn restart() -> Outcome {
    let blocked = Blocked::new();
    let router = &blocked.stage.home.router;
    router.run("nft", &["delete", "table", "inet", "fw4"]);
    fw4_reload(router);
    untouched(blocked)
}

fn stop() -> Outcome {
    let blocked = Blocked::new();
    fw4_flush(&blocked.stage.home.router);
    let after = blocked.made_again();
    blocked.attack.assert_blocked();
    fw4_reload(&blocked.stage.home.router);
    noticed(blocked, after)
}

fn flush() -> Outcome {
    let blocked = Blocked::new();
    blocked.stage.home.router.nft("flush ruleset");
    let after = blocked.made_again();
    noticed(blocked, after)
}

fn delete() -> Outcome {
    let blocked = Blocked::new();
    blocked.stage.home.router.nft("delete table inet dots_callhome");
    let after = blocked.made_again();
    noticed(blocked, after)
}

fn gut() -> Outcome {
    let blocked = Blocked::new();
    let router = &blocked.stage.home.router;
    let rules = || router.run("nft", &["list", "chain", "inet", "dots_callhome", "accused"]).contains("@m");
    assert!(rules());
    router.nft("flush chain inet dots_callhome accused");
    let start = Instant::now();
    blocked.stage.until("the rule is there again", |_| rules());
    noticed(blocked, start.elapsed().as_millis())
}

/// Nobody is told that a block is in force which isn't, and the router does not join the fight.
fn fight() -> Outcome {
    let mut blocked = Blocked::new();
    let (id, mid) = (blocked.id, blocked.mid);
    let router = &blocked.stage.home.router;
    let start = Instant::now();
    let mut deleted = 0;
    // Ends with a deletion: what follows is told of a table that is away.
    loop {
        let gone = router.output("nft", &["delete", "table", "inet", "dots_callhome"]).status.success();
        deleted += u32::from(gone);
        if gone && start.elapsed() > Duration::from_secs(4) {
            break;
        }
        // Slow enough that it could be made again in between each time.
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(deleted < 8, "made again {deleted} times");
    blocked.stage.until("the provider is told", |stage| stage.provider_status(mid)["status"] == 1);
    let ours = blocked.stage.mitigation(id);
    assert_eq!(ours["verified"], false);
    assert!(ours["detail"].as_str().is_some_and(|detail| detail.contains("another program")), "{ours}");
    assert!(dropped(&ours) > 0);
    let fought = start.elapsed().as_secs();
    blocked.made_again();
    blocked.is_told();
    blocked.holds();
    blocked.outcome(format!(
        "deleted {deleted} times in {fought} s; then the provider is told it does not hold; holds once that ends"
    ))
}
