//! Faults of the ruleset: what fw4 does to it, and what people and programs do by hand.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::Fault;
use super::Outcome;
use super::blocked::{Blocked, dropped};
use crate::host::Host;

/// All of them.
pub const ALL: &[Fault] = &[
    ("fw4_reload", "fw4 reload", reload),
    ("fw4_restart", "fw4 restart", restart),
    ("fw4_stop", "fw4 stop: every table deleted, one by one", stop),
    ("the_ruleset_is_flushed", "nft flush ruleset", flush),
    ("our_table_is_deleted", "nft delete table inet dots_callhome", delete),
    ("a_rule_is_deleted", "nft flush chain inet dots_callhome accused", gut),
    ("a_map_is_emptied", "nft flush map inet dots_callhome blocked_v4", empty),
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

/// How often the router looks at its rules while they count.
const PACE: Duration = Duration::from_secs(2);
/// Two losses within this time are a fight.
const STORM: Duration = Duration::from_secs(10);
/// How often it is tried to be quicker than the next look: on a busy machine not each time.
const TRIES: usize = 5;

/// The block is taken away, which is noticed by the kernel's word, before the next look was due, and made again.
fn noticed(mut blocked: Blocked, fault: fn(&Host), after: fn(&mut Blocked)) -> Outcome {
    let mut sent = 0;
    for number in 1.. {
        let looked = blocked.looked();
        let (before, start) = (blocked.attack.flood.sent(), Instant::now());
        fault(&blocked.stage.home.router);
        let noticed = blocked.stage.logged("removed our nft table", number);
        let away = blocked.made_again(start).as_millis();
        sent += blocked.attack.flood.sent() - before;
        after(&mut blocked);
        blocked.is_told();
        blocked.holds();
        if noticed < looked + PACE {
            let log = blocked.stage.log();
            assert_eq!(log.matches("removed our nft table").count(), number, "{log}");
            let through = blocked.through();
            assert!(through <= sent, "{through} packets came through, of {sent} sent until the block was there again");
            return blocked.outcome(format!("made again within {away} ms, times and counts go on"));
        }
        assert!(number < TRIES, "noticed by looking from time to time, not by the kernel's word");
        std::thread::sleep(STORM);
    }
    unreachable!("it ends by itself")
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
    noticed(Blocked::new(), fw4_flush, |blocked| {
        blocked.attack.assert_blocked();
        fw4_reload(&blocked.stage.home.router);
    })
}

fn flush() -> Outcome {
    noticed(Blocked::new(), |router| router.nft("flush ruleset"), |_| {})
}

fn delete() -> Outcome {
    noticed(Blocked::new(), |router| router.nft("delete table inet dots_callhome"), |_| {})
}

/// The block's rule is gone, its set is not.
fn gut() -> Outcome {
    noticed(Blocked::new(), |router| router.nft("flush chain inet dots_callhome accused"), |_| {})
}

/// The block's rules are there, but nothing leads to them.
fn empty() -> Outcome {
    noticed(Blocked::new(), |router| router.nft("flush map inet dots_callhome blocked_v4"), |_| {})
}

/// How often the program deletes our table before anything is asked.
const DELETIONS: usize = 5;

/// Nobody is told that a block is in force which isn't, and the router does not join the fight: it waits one second, then two,
/// then four.
fn fight() -> Outcome {
    let mut blocked = Blocked::new();
    let (id, mid) = (blocked.id, blocked.mid);
    let start = Instant::now();
    let over = AtomicBool::new(false);
    let deletions = std::thread::scope(|scope| {
        let stage = &blocked.stage;
        let program = scope.spawn(|| delete_again_and_again(&stage.home.router, &over));
        stage.until("the provider is told", |stage| stage.provider_status(mid)["status"] == 1);
        stage.until("the reason shows", |stage| {
            let ours = stage.mitigation(id);
            ours["verified"] == false
                && ours["detail"].as_str().is_some_and(|detail| detail.contains("another program"))
        });
        assert!(dropped(&stage.mitigation(id)) > 0);
        over.store(true, Ordering::Relaxed);
        program.join().expect("deleted")
    });
    for (number, pair) in deletions.windows(2).skip(1).take(3).enumerate() {
        let (paused, least) = (pair[1].1 - pair[0].0, Duration::from_secs(1 << number));
        assert!(paused >= least, "made again after {paused:?} instead of {least:?}");
    }
    let (last, _) = *deletions.last().expect("deleted");
    let (deleted, fought) = (deletions.len(), (last - start).as_secs());
    blocked.made_again(last);
    blocked.is_told();
    blocked.holds();
    blocked.outcome(format!(
        "deleted {deleted} times in {fought} s; then the provider is told it does not hold; holds once that ends"
    ))
}

/// Deletes our table whenever it is there, some times at least, and ends with a deletion; when each began and ended.
fn delete_again_and_again(router: &Host, over: &AtomicBool) -> Vec<(Instant, Instant)> {
    let mut deletions = Vec::new();
    loop {
        let may_end = over.load(Ordering::Relaxed) && deletions.len() >= DELETIONS;
        let begun = Instant::now();
        if router.output("nft", &["delete", "table", "inet", "dots_callhome"]).status.success() {
            deletions.push((begun, Instant::now()));
            if may_end {
                return deletions;
            }
        }
        // Slow enough that it could be made again in between each time.
        std::thread::sleep(Duration::from_millis(50));
    }
}
