//! The enforcer against the kernel of this machine, in a home of network namespaces: what it renders is loaded, what it
//! reads is what the kernel means, and packets stop.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, dead_code)]

#[path = "lab/home.rs"]
mod home;
#[path = "lab/host.rs"]
mod host;
#[path = "enforcer_support/router.rs"]
mod router;
#[path = "lab/traffic.rs"]
mod traffic;

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use dots_callhome::enforce::Event;
use dots_callhome::enforce::ruleset::{Block, Desired, Quarantined};
use dots_callhome::scope::{PortRange, Scope};
use dots_callhome::source::Inventory;

use crate::home::{Home, VICTIM, device_address};
use crate::router::{Router, mac};
use crate::traffic::{Sender, Sink};

const GATEWAY: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 1);

fn scope() -> Scope {
    Scope {
        target_prefixes: vec![format!("{VICTIM}/32").parse().unwrap()],
        target_ports: vec![PortRange::new(53, 53).unwrap()],
        target_protocols: vec![17],
        source_prefixes: vec!["198.51.100.7/32".parse().unwrap()],
        ..Scope::default()
    }
}

fn block(id: u32, seconds: u64, devices: &[u8]) -> Block {
    let devices = devices.iter().map(|n| mac(*n)).collect();
    Block { id, scope: scope(), devices, remaining: Duration::from_secs(seconds) }
}

fn blocks(blocks: &[Block]) -> Desired {
    Desired { blocks: blocks.to_vec(), quarantined: Vec::new() }
}

fn inventory(devices: u8) -> Inventory {
    let mut inventory = Inventory::new();
    for number in 1..=devices {
        let address = device_address(number.into()).into();
        inventory.learn(address, 1, Some("br-lan"), mac(number), Instant::now());
    }
    inventory.set_own([GATEWAY.into()].into());
    inventory
}

/// A flood stops, the neighbour's traffic does not, and the kernel's own counters say so.
#[test]
fn a_block_bites_and_counts() {
    host::prepare().unwrap();
    let home = Home::new(2);
    let sink = Sink::udp(&home.victim, 53);
    let _flood = Sender::udp(home.device(1), (VICTIM, 53).into(), 1, 500);
    let _good = Sender::udp(home.device(2), (VICTIM, 53).into(), 2, 50);
    assert!(sink.rate(1, Duration::from_millis(300)) > 100.0);

    let mut router = Router::new(&home.router);
    router.desire(blocks(&[block(7, 3600, &[1])]), Vec::new(), &inventory(2));
    router.until("in force", |r| r.in_force(7));
    let (before, good) = (sink.packets(1), sink.packets(2));
    router.until("counted", |r| r.counted(7) > 500);
    assert_eq!(sink.packets(1), before);
    assert!(sink.packets(2) > good + 30);
    assert_eq!(router.enforcer.dropped_by(mac(1)).packets, router.counted(7));
    assert_eq!(router.enforcer.dropped_by(mac(2)).packets, 0);
    assert_eq!(router.runs.len(), 1);

    // Longer, and another device: what was counted stays.
    let counted = router.counted(7);
    router.desire(blocks(&[block(7, 7200, &[1]), block(8, 3600, &[2])]), Vec::new(), &inventory(2));
    router.until("both", |r| r.in_force(8));
    let listed = home.router.run("nft", &["list", "set", "inet", "dots_callhome", "m7"]);
    assert!(listed.contains("timeout 2h"), "{listed}");
    router.told.clear();
    router.until("counted again", |r| r.counted(7) > 0);
    assert!(router.counted(7) > counted, "{} {counted}", router.counted(7));

    // Nothing: nothing is left.
    router.desire(Desired::default(), Vec::new(), &inventory(2));
    router.until("all gone", |r| r.enforcer.poll_timeout().is_none());
    assert!(!home.router.run("nft", &["list", "ruleset"]).contains("dots"));
    assert!(sink.rate(1, Duration::from_millis(300)) > 100.0);
}

/// `fw4 flush` and the like: everything is back at once, with what was left of timeouts and with counters.
#[test]
fn a_deleted_table_comes_back() {
    host::prepare().unwrap();
    let home = Home::new(1);
    let sink = Sink::udp(&home.victim, 53);
    let _flood = Sender::udp(home.device(1), (VICTIM, 53).into(), 1, 500);
    let mut router = Router::new(&home.router);
    router.desire(blocks(&[block(7, 3600, &[1])]), Vec::new(), &inventory(1));
    router.until("counted", |r| r.counted(7) > 100);
    router.work(Duration::from_millis(300));
    let (counted, runs) = (router.counted(7), router.runs.len());
    for (number, harm) in [
        ["delete", "table", "inet", "dots_callhome"].as_slice(),
        &["flush", "chain", "inet", "dots_callhome", "accused"],
        &["insert", "rule", "inet", "dots_callhome", "prerouting", "accept"],
    ]
    .iter()
    .enumerate()
    {
        home.router.run("nft", harm);
        router.told.clear();
        router.until("noticed", |r| r.told.contains(&Event::Vanished));
        router.until("made anew", |r| r.runs.len() == runs + number + 1);
        router.until("counted", |r| r.counted(7) >= counted);
        let packets = sink.packets(1);
        router.work(Duration::from_millis(200));
        assert_eq!(sink.packets(1), packets, "{harm:?}");
    }
}

/// A quarantined device gets the router's names and nothing else.
#[test]
fn a_quarantine_leaves_the_router() {
    host::prepare().unwrap();
    let home = Home::new(2);
    let (dns, other) = (Sink::udp(&home.router, 53), Sink::udp(&home.router, 5353));
    let (victim, neighbour) = (Sink::udp(&home.victim, 53), Sink::udp(home.device(2), 53));
    let device = home.device(1);
    let _senders = [
        Sender::udp(device, (GATEWAY, 53).into(), 1, 50),
        Sender::udp(device, (GATEWAY, 5353).into(), 2, 50),
        Sender::udp(device, (VICTIM, 53).into(), 3, 50),
        Sender::udp(device, (device_address(2), 53).into(), 4, 50),
        Sender::udp(home.device(2), (VICTIM, 53).into(), 5, 50),
    ];
    std::thread::sleep(Duration::from_millis(300));
    assert!(other.packets(2) > 0 && victim.packets(3) > 0 && neighbour.packets(4) > 0);

    let mut router = Router::new(&home.router);
    let quarantined = |id| Quarantined { mac: mac(1), id, remaining: id.map(|_| Duration::from_secs(60)) };
    let desired = Desired { blocks: Vec::new(), quarantined: vec![quarantined(Some(7)), quarantined(None)] };
    router.desire(desired, Vec::new(), &inventory(2));
    router.until("in force", |r| r.in_force(7) && r.told.contains(&Event::Standing { outcome: Ok(()) }));
    let before = [dns.packets(1), other.packets(2), victim.packets(3), neighbour.packets(4), victim.packets(5)];
    router.until("counted", |r| r.counted(7) > 100);
    let after = [dns.packets(1), other.packets(2), victim.packets(3), neighbour.packets(4), victim.packets(5)];
    assert!(after[0] > before[0] + 30 && after[4] > before[4] + 30, "{before:?} {after:?}");
    assert_eq!(before[1..4], after[1..4]);
    router.work(Duration::from_secs(4));
    let failed = |event: &Event| matches!(event, Event::Enforced { outcome: Err(_), .. } | Event::NoBridge);
    assert!(!router.told.iter().any(failed), "{:?}", router.told);
}
