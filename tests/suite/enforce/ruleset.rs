//! The rules as text: what nft is given for what should be in force, word for word, and that nft and kernel take it.

use std::fs;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use dots_callhome::enforce::Socket;
use dots_callhome::enforce::desired::{Block, Desired, Narrowed, Owner, Quarantined, SenderLog};
use dots_callhome::model::{IcmpTypeRange, Mac, MitigationId, PortRange, Scope};

use crate::support::enforce::*;

fn ports(ranges: &[(u16, u16)]) -> Vec<PortRange> {
    ranges.iter().map(|(lower, upper)| PortRange::new(*lower, *upper).unwrap()).collect()
}

fn types(ranges: &[(u8, u8)]) -> Vec<IcmpTypeRange> {
    ranges.iter().map(|(lower, upper)| IcmpTypeRange::new(*lower, *upper).unwrap()).collect()
}

/// Any traffic to these targets, seen from one source port: which says nothing of later flows.
fn any(targets: &[&str]) -> Scope {
    let scope = scope(targets);
    Scope { target_ports: Vec::new(), target_protocols: Vec::new(), source_ports: ports(&[(40_000, 40_000)]), ..scope }
}

fn with(id: u32, scope: Scope, devices: &[Mac], remaining: u64) -> Block {
    Block {
        id: MitigationId(id),
        scope,
        devices: devices.into(),
        narrowed: Narrowed::new(),
        remaining: seconds(remaining),
    }
}

fn log(id: u32, scope: &Scope) -> SenderLog {
    SenderLog { id: MitigationId(id), scope: scope.clone() }
}

/// The text nft is given to get from one state to the next.
fn texts(states: &[Desired]) -> Vec<String> {
    let mut house = TestRouter::enforcing();
    for state in states {
        house.desire(state.clone());
    }
    assert_eq!(house.runs.len(), states.len());
    house.runs
}

/// The matches of one scope, each rule without what is common to all, after the targets that lead to it.
fn rules(scope: Scope) -> Vec<String> {
    let texts = texts(&[blocks(&[with(7, scope, &[CAMERA], 60)])]);
    let lines = || texts[0].lines().filter_map(|line| line.strip_prefix("add "));
    let mut all = Vec::new();
    for (family, address) in [("v4", "ip"), ("v6", "ip6")] {
        let elements = lines()
            .find_map(|line| line.strip_prefix(&format!("element inet dots_callhome blocked_{family} {{ ")))
            .map(|elements| elements.trim_end_matches(" }").replace(&format!(" : jump m7_{family}"), ""));
        let rules = lines().filter_map(|line| line.strip_prefix(&format!("rule inet dots_callhome m7_{family} ")));
        let rules = rules.filter_map(|rule| rule.strip_suffix("ether saddr @m7 drop"));
        all.extend(
            rules.map(|rule| format!("{address} daddr {} {rule}", elements.as_ref().unwrap()).trim().to_owned()),
        );
    }
    all
}

fn several() -> Desired {
    let attack = Scope {
        target_ports: ports(&[(9000, 9999), (53, 53)]),
        target_protocols: vec![17, 6],
        ..any(&["203.0.113.0/24", "198.51.100.200/32", "2001:db8:2::/48"])
    };
    let ping = Scope { target_protocols: vec![1], source_icmp_types: types(&[(8, 8)]), ..any(&["198.18.0.1/32"]) };
    Desired {
        sender_logs: vec![log(7, &attack), log(10, &ping)],
        blocks: vec![with(7, attack, &[CAMERA, TV], 3600), with(8, ping, &[TV], 600)],
        quarantined: vec![quarantine(Some(9), LAPTOP), quarantine(None, LAPTOP)],
    }
}

fn changed() -> Desired {
    let mut desired = several();
    desired.blocks[0].devices = vec![CAMERA, LAPTOP];
    desired.blocks[0].remaining = seconds(7200);
    desired.blocks.remove(1);
    desired.quarantined.clear();
    desired.sender_logs.truncate(1);
    desired
}

/// Two clients about the same device and target: each is told of its own attack, though one rule drops the packet.
fn overlapping() -> Desired {
    blocks(&[
        with(3, any(&["203.0.113.0/24"]), &[CAMERA], 60),
        with(4, any(&["203.0.113.80/32"]), &[CAMERA, TV], 60),
        with(5, any(&["198.18.0.0/15"]), &[CAMERA], 60),
        with(6, any(&["203.0.113.0/24"]), &[LAPTOP], 60),
    ])
}

/// A transaction that starts from nothing known, one that starts from what is there, and how each ends.
#[test]
fn texts_are_as_they_should_be() {
    let mut house = TestRouter::enforcing();
    house.desire(several());
    assert_eq!(house.runs[0], include_str!("../data/ruleset-new.nft"));
    house.desire(changed());
    assert_eq!(house.runs[1], include_str!("../data/ruleset-change.nft"));
    house.kernel.count("m7", CAMERA, 12);
    house.pass(seconds(4));
    house.kernel.tables.clear();
    house.hear(Socket::Events, &table_deleted("dots_callhome"));
    assert_eq!(house.runs[2], include_str!("../data/ruleset-anew.nft"));
    house.desire(Desired::default());
    assert_eq!(house.runs[3], include_str!("../data/ruleset-end.nft"));
    assert_eq!(texts(&[overlapping()])[0], include_str!("../data/ruleset-overlap.nft"));
}

/// The same state is the same text, in whatever order it is told.
#[test]
fn texts_do_not_depend_on_the_order() {
    let mut turned = several();
    turned.blocks.reverse();
    turned.quarantined.reverse();
    turned.sender_logs.reverse();
    turned.blocks[1].devices.reverse();
    turned.blocks[1].scope.target_prefixes.reverse();
    turned.blocks[1].scope.target_ports.reverse();
    turned.blocks[1].scope.target_protocols.reverse();
    assert_eq!(texts(&[several()]), texts(&[turned]));
}

/// Proves CH-5.3.1-07, CH-5.3.1-08: protocols, ports and ICMP types restrict what has them and nothing else, and source
/// ports, which are the provider's view, not the rule.
#[test]
fn scopes_become_matches() {
    let v4 = || any(&["203.0.113.80/32"]);
    let with = |ports: &[(u16, u16)], protocols: &[u8], types: &[(u8, u8)]| {
        let (ports, types) = (self::ports(ports), self::types(types));
        Scope { target_ports: ports, target_protocols: protocols.into(), source_icmp_types: types, ..v4() }
    };
    let to = |rest: &str| format!("ip daddr 203.0.113.80{rest}");
    assert_eq!(rules(v4()), [to("")]);
    assert_eq!(rules(with(&[], &[17], &[])), [to(" meta l4proto 17")]);
    assert_eq!(rules(with(&[], &[17, 47, 6], &[])), [to(" meta l4proto { 6, 17, 47 }")]);
    assert_eq!(rules(with(&[(53, 53)], &[], &[])), [to(" meta l4proto { 6, 17, 33, 132, 136 } th dport 53")]);
    assert_eq!(rules(with(&[(53, 53)], &[47, 17], &[])), [to(" meta l4proto 17 th dport 53"), to(" meta l4proto 47")],);
    assert_eq!(rules(with(&[(53, 53)], &[47], &[])), [to(" meta l4proto 47")]);
    assert_eq!(rules(with(&[], &[1], &[(8, 8), (13, 14)])), [to(" icmp type { 8, 13-14 }")]);
    assert_eq!(rules(with(&[], &[1], &[])), [to(" meta l4proto 1")]);
    assert_eq!(rules(with(&[], &[17, 1], &[(8, 8)])), [to(" icmp type 8"), to(" meta l4proto 17")]);
    assert_eq!(rules(with(&[], &[17], &[(8, 8)])), [to(" meta l4proto 17")]);
    // Source ports imply protocols only beside ICMP types.
    assert_eq!(rules(with(&[], &[], &[(8, 8)])), [to(" icmp type 8"), to(" meta l4proto { 6, 17, 33, 132, 136 }")],);
    let no_source_ports = Scope { source_ports: Vec::new(), ..with(&[], &[], &[(8, 8)]) };
    assert_eq!(rules(no_source_ports), [to(" icmp type 8")]);
    assert_eq!(
        rules(with(&[(1, 9), (10, 20), (5, 12), (22, 22)], &[6], &[])),
        [to(" meta l4proto 6 th dport { 1-20, 22 }")],
    );
    assert_eq!(rules(with(&[(0, 65_535), (7, 7)], &[6], &[])), [to(" meta l4proto 6 th dport 0-65535")]);
}

/// ICMP types are of the target's family.
#[test]
fn icmp_types_are_of_the_family_of_the_target() {
    let scope = Scope {
        source_ports: Vec::new(),
        source_icmp_types: types(&[(128, 128)]),
        ..any(&["203.0.113.80/32", "2001:db8::80/128"])
    };
    assert_eq!(rules(scope), ["ip daddr 203.0.113.80 icmp type 128", "ip6 daddr 2001:db8::80 icmpv6 type 128"]);
}

/// Prefixes that contain or touch each other are one: nft does not take them otherwise.
#[test]
fn prefixes_are_merged() {
    let targets = ["10.0.1.0/24", "10.0.0.0/24", "10.0.0.7/32", "192.0.2.1/32", "2001:db8::/33", "2001:db8:8000::/33"];
    let last = "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff";
    let all = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
    let v6 = |first: &str, last: &str| format!("ip6 daddr {first}-{last}");
    assert_eq!(rules(any(&targets)), ["ip daddr 10.0.0.0-10.0.1.255, 192.0.2.1", &v6("2001:db8::", last)]);
    assert_eq!(rules(any(&["0.0.0.0/0", "192.0.2.1/32"])), ["ip daddr 0.0.0.0-255.255.255.255"]);
    assert_eq!(rules(any(&["::/0"])), [v6("::", all)]);
}

/// Proves that a quarantine of the administrator's own has no end unless it is given one, and that long lifetimes work.
#[test]
fn timeouts_are_as_long_as_what_is_left() {
    let element = |quarantined: Quarantined| {
        let texts = texts(&[quarantines(&[quarantined])]);
        let element = texts[0].lines().find_map(|line| line.strip_prefix("add element inet dots_callhome quarantine "));
        element.unwrap().to_owned()
    };
    let lasting =
        |remaining: Option<Duration>| element(Quarantined { mac: CAMERA, owner: Owner::Administrator, remaining });
    assert_eq!(lasting(None), "{ 02:00:00:00:00:11 }");
    assert_eq!(lasting(Some(Duration::from_millis(1))), "{ 02:00:00:00:00:11 timeout 1s }");
    assert_eq!(lasting(Some(Duration::from_millis(59_001))), "{ 02:00:00:00:00:11 timeout 60s }");
    assert_eq!(lasting(Some(seconds(99_999_999))), "{ 02:00:00:00:00:11 timeout 99999999s }");
    assert_eq!(lasting(Some(seconds(100_000_000))), "{ 02:00:00:00:00:11 timeout 1157d35200s }");
    assert_eq!(lasting(Some(seconds(u32::MAX.into()))), "{ 02:00:00:00:00:11 timeout 49710d23295s }");
    assert_eq!(lasting(Some(seconds(1 << 40))), "{ 02:00:00:00:00:11 timeout 100000d0s }");
    assert_eq!(lasting(Some(Duration::MAX)), "{ 02:00:00:00:00:11 }");
}

/// Whoever is quarantined twice stays so until the later end.
#[test]
fn the_later_end_counts() {
    let standing = |remaining| Quarantined { mac: CAMERA, owner: Owner::Administrator, remaining };
    let by = |remaining| Quarantined { mac: CAMERA, owner: owner(Some(7)), remaining: Some(seconds(remaining)) };
    for (desired, expected) in [
        (vec![by(60), standing(Some(seconds(50)))], "{ 02:00:00:00:00:11 timeout 60s }"),
        (vec![by(60), standing(Some(seconds(70)))], "{ 02:00:00:00:00:11 timeout 70s }"),
        (vec![standing(None), by(60)], "{ 02:00:00:00:00:11 }"),
    ] {
        let text = &texts(&[quarantines(&desired)])[0];
        for set in ["accused", "quarantine"] {
            assert!(text.contains(&format!("add element inet dots_callhome {set} {expected}\n")), "{text}");
        }
        assert!(text.contains("add element inet dots_callhome q7 { 02:00:00:00:00:11 timeout 60s }\n"), "{text}");
    }
}

/// nft understands every text, the kernel takes it on top of the one before, and the same again.
#[test]
fn nft_and_kernel_take_it() {
    let mut house = TestRouter::enforcing();
    let long = [seconds(u32::MAX.into()), seconds(1 << 40)];
    let lasting =
        |remaining: Duration| Quarantined { mac: TV, owner: Owner::Administrator, remaining: Some(remaining) };
    let states = [several(), changed(), overlapping(), several(), random(), quarantines(&long.map(lasting))];
    for state in states.into_iter().chain([Desired::default()]) {
        house.desire(state);
    }
    let before =
        [texts(&[several()])[0].clone(), "table inet dots_callhome {\n}\ndelete table inet dots_callhome\n".into()];
    let again = house.runs.last().cloned();
    let runs: Vec<String> = before.into_iter().chain(house.runs).chain(again).collect();
    let listed = in_a_namespace(&runs);
    let errors = String::from_utf8_lossy(&listed.stderr);
    assert!(listed.status.success(), "{errors}");
    assert_eq!(String::from_utf8_lossy(&listed.stdout), "");
}

/// What `nft list ruleset` says after these texts, each of which nft must take, in a network namespace of their own.
pub fn in_a_namespace(texts: &[String]) -> Output {
    static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let number = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let name = format!("dots-callhome-ruleset-{}-{number}", std::process::id());
    let directory = std::env::temp_dir().join(name);
    fs::create_dir_all(&directory).unwrap();
    let files = texts.iter().enumerate().map(|(number, text)| {
        let file = directory.join(number.to_string());
        fs::write(&file, text).unwrap();
        file
    });
    let files: Vec<_> = files.collect();
    let loading = "for text; do nft -f \"$text\" || { cat \"$text\" >&2; exit 1; }; done; nft list ruleset";
    let unshare =
        |how: &[&str]| Command::new("unshare").args(how).args(["sh", "-c", loading, "sh"]).args(&files).output();
    // In a namespace of an ordinary user the kernel refuses messages as long as the longest here.
    let is_root = Command::new("unshare").args(["--net", "true"]).stderr(Stdio::null()).status().unwrap().success();
    let listed = unshare(if is_root { &["--net"] } else { &["--map-root-user", "--net"] }).unwrap();
    fs::remove_dir_all(&directory).unwrap();
    listed
}

/// As many mitigations as a peer may have, of any kind of scope.
fn random() -> Desired {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut below = move |most: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % most
    };
    let mut of = move |id: u32| {
        let mut scope = Scope { source_ports: Vec::new(), ..any(&["192.0.2.1/32"]) };
        scope.target_prefixes = (0..=below(20))
            .map(|_| match below(3) {
                0 => format!("2001:db8:{:x}::/{}", below(65_536), 16 + below(113)).parse().unwrap(),
                _ => format!("{}.{}.0.1/{}", below(223) + 1, below(256), below(33)).parse().unwrap(),
            })
            .map(|prefix: ipnet::IpNet| prefix.trunc())
            .collect();
        for _ in 0..below(6) {
            let (a, b) = (u16::try_from(below(65_536)).unwrap(), u16::try_from(below(65_536)).unwrap());
            scope.target_ports.extend(ports(&[(a.min(b), a.max(b))]));
        }
        scope.target_protocols = (0..below(4)).map(|_| [1, 6, 17, 47, 58, 255][below(6) as usize]).collect();
        for _ in 0..below(3) {
            let (a, b) = (u8::try_from(below(256)).unwrap(), u8::try_from(below(256)).unwrap());
            scope.source_icmp_types.extend(types(&[(a.min(b), a.max(b))]));
        }
        let devices = [CAMERA, TV, LAPTOP];
        with(id, scope, &devices[..=below(3) as usize], 60 + below(1000))
    };
    let blocks: Vec<Block> = (1..=128).map(&mut of).collect();
    let sender_logs = blocks.iter().map(|block| log(block.id.0, &block.scope)).collect();
    Desired { blocks, sender_logs, ..Desired::default() }
}
