//! The enforcer against the kernel of this machine, in a home of network namespaces: what it renders is loaded, what it
//! reads is what the kernel means, and packets stop.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, TcpListener, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use dots_callhome::enforce::Event;
use dots_callhome::enforce::desired::{Block, Desired, Owner, Quarantined, SenderLog};
use dots_callhome::model::{IcmpTypeRange, MitigationId, PortRange, Scope};
use dots_callhome::source::{self, Inventory};

use crate::crowd::Stream;
use crate::home::{Home, VICTIM, WAN, device_address};
use crate::host::{Host, PATIENCE, comes_true};
use crate::router::{Router, mac};
use crate::traffic::{Sender, Sink};

const GATEWAY: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 1);

/// All tests by name.
pub const ALL: &[(&str, fn())] = &[
    ("a_block_bites_and_counts", a_block_bites_and_counts),
    ("a_deleted_table_comes_back", a_deleted_table_comes_back),
    ("a_quarantine_leaves_the_router", a_quarantine_leaves_the_router),
    ("overlapping_blocks_both_count", overlapping_blocks_both_count),
    ("every_kind_of_flow_is_cut", every_kind_of_flow_is_cut),
    ("senders_are_seen", senders_are_seen),
    ("a_reflector_is_silenced", a_reflector_is_silenced),
    ("a_borrowed_address_is_told", a_borrowed_address_is_told),
    ("what_is_made_anew_lets_nothing_past", what_is_made_anew_lets_nothing_past),
    ("a_batch_makes_what_nft_would_make", a_batch_makes_what_nft_would_make),
];

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
    Block {
        id: MitigationId(id),
        scope: scope(),
        devices,
        narrowed: Default::default(),
        remaining: Duration::from_secs(seconds),
    }
}

fn blocks(blocks: &[Block]) -> Desired {
    Desired { blocks: blocks.to_vec(), ..Desired::default() }
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

/// All there is of kinds of scopes: one and several, and such as overlap.
fn of_all_kinds(id: u32) -> Scope {
    let ports = |ranges: &[(u16, u16)]| ranges.iter().map(|(a, b)| PortRange::new(*a, *b).unwrap()).collect();
    let types = |ranges: &[(u8, u8)]| ranges.iter().map(|(a, b)| IcmpTypeRange::new(*a, *b).unwrap()).collect();
    let to = |targets: &[&str]| Scope {
        target_prefixes: targets.iter().map(|target| target.parse().unwrap()).collect(),
        source_prefixes: scope().source_prefixes,
        ..Scope::default()
    };
    match id {
        1 => Scope { target_ports: ports(&[(53, 53), (9000, 9999)]), ..to(&["203.0.113.0/24", "2001:db8:2::/48"]) },
        2 => Scope { target_ports: ports(&[(9000, 9999)]), target_protocols: vec![17], ..to(&["198.51.100.1/32"]) },
        3 => Scope { source_icmp_types: types(&[(8, 8), (13, 14)]), ..to(&["203.0.113.128/25", "2001:db8:2::1/128"]) },
        4 => Scope { source_icmp_types: types(&[(8, 8)]), ..to(&["0.0.0.0/1", "8000::/1"]) },
        5 => Scope { target_protocols: vec![47, 6], ..to(&["255.255.255.0/24", "::/0"]) },
        _ => to(&["203.0.113.0/24"]),
    }
}

/// What the kernel holds by batches is what it holds by text, as `nft` lists it; and no `nft` runs for any of it.
fn a_batch_makes_what_nft_would_make() {
    let home = Home::new(2);
    let of = |ids: &[u32], quarantined: &[u8]| Desired {
        blocks: ids.iter().map(|id| Block { scope: of_all_kinds(*id), ..block(*id, 3600, &[1, 2]) }).collect(),
        sender_logs: ids.iter().map(|id| SenderLog { id: MitigationId(*id), scope: of_all_kinds(*id) }).collect(),
        quarantined: quarantined
            .iter()
            .map(|number| Quarantined { mac: mac(*number), owner: Owner::Administrator, remaining: None })
            .collect(),
    };
    let listed = || {
        let text = home.router.run("nft", &["--stateless", "list", "ruleset"]);
        // Chains of several mitigations have numbers that say nothing, and one element may be a second older.
        let unnumbered = |line: &str| {
            let line = line.split(" timeout ").next().unwrap_or_default();
            let mut parts = line.split("_shared");
            let first = parts.next().unwrap_or_default().to_owned();
            parts.fold(first, |all, part| all + "_shared" + part.trim_start_matches(char::is_numeric))
        };
        let mut lines: Vec<String> = text.lines().map(unnumbered).collect();
        lines.sort();
        lines
    };
    let all: Vec<u32> = (1..=6).collect();
    let bring = |router: &mut Router<'_>, (ids, quarantined): (&[u32], &[u8])| {
        router.told.clear();
        router.desire(of(ids, quarantined), Vec::new(), &inventory(2));
        router.until("in force", |r| {
            let told = ids.iter().all(|id| r.in_force(*id)) && (quarantined.is_empty() || r.in_quarantine());
            let lines = listed();
            let isolates = lines.iter().any(|line| line.starts_with("\t\tether daddr @quarantine "));
            let blocks = |id: &u32| lines.contains(&format!("\tset m{id} {{"));
            told && all.iter().all(|id| blocks(id) == ids.contains(id)) && isolates != quarantined.is_empty()
        });
    };
    let nothing: (&[u32], &[u8]) = (&[], &[]);
    let states: [(&[u32], &[u8]); 5] =
        [(&all[..1], &[]), (&all, &[1]), (&all[2..], &[]), (&[], &[2]), (&all[3..4], &[])];
    for pair in [&[nothing][..], &states, &[nothing]].concat().windows(2) {
        let mut router = Router::new(&home.router);
        bring(&mut router, nothing);
        router.until("made room", |r| r.runs.len() == 1);
        bring(&mut router, pair[0]);
        bring(&mut router, pair[1]);
        let by_batch = listed();
        assert_eq!(router.runs.len(), 1, "{:#?}", router.runs);
        let mut other = Router::new(&home.router);
        bring(&mut other, pair[1]);
        other.until("made anew", Router::has_no_guard);
        assert_eq!(by_batch, listed());
    }
    assert!(!home.router.run("nft", &["list", "ruleset"]).contains("dots"));
}

/// Waits until many packets of that tag have arrived.
fn assert_arrives(sink: &Sink, tag: u8) {
    let before = sink.packets(tag);
    assert!(comes_true(|| sink.packets(tag) > before + 50), "{tag} does not arrive");
}

/// Works through several looks at the counters; nobody is told that anything fails.
fn assert_stands(router: &mut Router<'_>) {
    router.told.clear();
    let counted = |r: &Router<'_>| r.told.iter().filter(|event| matches!(event, Event::Counted { .. })).count();
    router.until("counted again and again", |r| counted(r) >= 3);
    let failed = |event: &Event| matches!(event, Event::Enforced { outcome: Err(_), .. } | Event::NoBridge);
    assert!(!router.told.iter().any(failed), "{:?}", router.told);
}

/// Proves CH-1-05, CH-5.3.2-06: a flood stops, the neighbour's traffic does not, and the kernel's own counters say so.
fn a_block_bites_and_counts() {
    let home = Home::new(2);
    let sink = Sink::udp(&home.victim, 53);
    let _flood = Sender::udp(home.device(1), (VICTIM, 53).into(), 1, 500);
    let good = Sender::udp(home.device(2), (VICTIM, 53).into(), 2, 50);
    assert_arrives(&sink, 1);

    let mut router = Router::new(&home.router);
    router.desire(blocks(&[block(7, 3600, &[1])]), Vec::new(), &inventory(2));
    router.until("in force", |r| r.in_force(7));
    sink.settle(&good, 2);
    let (before, well) = (sink.packets(1), sink.packets(2));
    router.until("counted", |r| r.counted(7) > 500);
    router.until("the neighbour's traffic goes on", |_| sink.packets(2) > well + 30);
    sink.settle(&good, 2);
    assert_eq!(sink.packets(1), before);
    assert_eq!(router.enforcer.dropped_by(mac(1)).packets, router.counted(7));
    assert_eq!(router.enforcer.dropped_by(mac(2)).packets, 0);
    // What a slow nft on a busy machine has made too long-lived is put right by another run.
    assert!((1..=2).contains(&router.runs.len()), "{:#?}", router.runs);

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
    assert_arrives(&sink, 1);
}

/// A daemon that starts again and again, a block that is narrowed and widened, another about the same that comes and goes,
/// under a flood as fast as this machine can: not one packet.
fn what_is_made_anew_lets_nothing_past() {
    let home = Home::new(2);
    let sink = Sink::udp(&home.victim, 53);
    let good = Sender::udp(home.device(2), (VICTIM, 53).into(), 2, 50);
    let ports = [(53, 53), (9000, 9999)].map(|(low, high)| PortRange::new(low, high).unwrap());
    let scope = Scope { target_ports: ports.into(), ..scope() };
    let of = |source: Option<Ipv4Addr>, others: &[Block]| {
        let narrowed = source.map(|source| (mac(1), vec![source.into()])).into_iter().collect();
        let first = Block { scope: scope.clone(), narrowed, ..block(7, 3600, &[1]) };
        blocks(&[&[first], others].concat())
    };
    let wide = Scope { target_prefixes: vec!["203.0.113.0/24".parse().unwrap()], ..scope.clone() };
    let other = [Block { scope: wide, ..block(8, 3600, &[1]) }];
    let socket = home.device(1).enter(|| UdpSocket::bind("0.0.0.0:0").unwrap());
    let burst = move || (0..20_000).all(|_| socket.send_to(&[1; 64], (VICTIM, 53)).is_ok());
    let _flood = Stream::new(home.device(1), burst);
    assert_arrives(&sink, 1);
    let mut router = Router::new(&home.router);
    router.desire(of(None, &[]), Vec::new(), &inventory(1));
    router.until("in force", |r| r.in_force(7));
    sink.settle(&good, 2);
    let before = sink.packets(1);
    for round in 0..100 {
        // The same address as before: what is dropped stays the same, the rules do not.
        let source = (round % 2 == 0).then_some(device_address(1));
        let others: &[Block] = if round % 4 < 2 { &other } else { &[] };
        if round % 3 == 0 {
            router = Router::new(&home.router);
        }
        router.told.clear();
        router.desire(of(source, others), Vec::new(), &inventory(1));
        router.until("in force", |r| r.in_force(7));
        router.until("no guard", Router::has_no_guard);
    }
    sink.settle(&good, 2);
    assert_eq!(sink.packets(1) - before, 0);
}

/// `fw4 flush` and the like: everything is back at once, with what was left of timeouts and with counters.
fn a_deleted_table_comes_back() {
    let home = Home::new(2);
    let sink = Sink::udp(&home.victim, 53);
    let flood = Sender::udp(home.device(1), (VICTIM, 53).into(), 1, 500);
    let good = Sender::udp(home.device(2), (VICTIM, 53).into(), 2, 50);
    let mut router = Router::new(&home.router);
    router.desire(blocks(&[block(7, 3600, &[1])]), Vec::new(), &inventory(1));
    router.until("counted", |r| r.counted(7) > 100);
    let first = router.counted(7);
    router.until("counted more", |r| r.counted(7) > first);
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
        sink.settle(&good, 2);
        let (packets, sent) = (sink.packets(1), flood.sent());
        router.until("it floods in vain", |_| flood.sent() > sent + 100);
        sink.settle(&good, 2);
        assert_eq!(sink.packets(1), packets, "{harm:?}");
    }
}

/// Proves CH-1-05, CH-5.3.1-28: a quarantined device gets the router's names and nothing else.
fn a_quarantine_leaves_the_router() {
    let home = Home::new(3);
    let (dns, other) = (Sink::udp(&home.router, 53), Sink::udp(&home.router, 5353));
    let (victim, neighbour) = (Sink::udp(&home.victim, 53), Sink::udp(home.device(2), 53));
    let device = home.device(1);
    let senders = [
        Sender::udp(device, (GATEWAY, 53).into(), 1, 50),
        Sender::udp(device, (GATEWAY, 5353).into(), 2, 50),
        Sender::udp(device, (VICTIM, 53).into(), 3, 50),
        Sender::udp(device, (device_address(2), 53).into(), 4, 50),
        // What the device must not reach, others do.
        Sender::udp(home.device(2), (VICTIM, 53).into(), 5, 50),
        Sender::udp(home.device(2), (GATEWAY, 5353).into(), 6, 50),
        Sender::udp(home.device(3), (device_address(2), 53).into(), 7, 50),
    ];
    for (sink, tag) in [(&dns, 1), (&other, 2), (&victim, 3), (&neighbour, 4)] {
        assert_arrives(sink, tag);
    }

    let mut router = Router::new(&home.router);
    let quarantined = |owner, remaining| Quarantined { mac: mac(1), owner, remaining };
    let by_mitigation = quarantined(Owner::Mitigation(MitigationId(7)), Some(Duration::from_secs(60)));
    let by_administrator = quarantined(Owner::Administrator, None);
    let desired = Desired { quarantined: vec![by_mitigation, by_administrator], ..Desired::default() };
    router.desire(desired, Vec::new(), &inventory(2));
    router.until("in force", |r| {
        r.in_force(7) && r.told.contains(&Event::Enforced { owner: Owner::Administrator, outcome: Ok(()) })
    });
    let settled = || {
        for (sink, tag) in [(&victim, 5), (&other, 6), (&neighbour, 7)] {
            sink.settle(&senders[usize::from(tag) - 1], tag);
        }
        [other.packets(2), victim.packets(3), neighbour.packets(4)]
    };
    let (before, names) = (settled(), dns.packets(1));
    let sent: Vec<usize> = senders.iter().map(Sender::sent).collect();
    router.until("counted", |r| r.counted(7) > 100);
    router.until("names are asked for", |_| dns.packets(1) > names + 30);
    router.until("all send on", |_| senders.iter().zip(&sent).all(|(sender, sent)| sender.sent() > sent + 30));
    assert_eq!(before, settled());
    // Names over IPv6, at the router's global and at its link-local address, whose link addresses are still found.
    let global: Ipv6Addr = "2001:db8:123::1".parse().unwrap();
    let near = link_local(&home.router);
    device.run("ip", &["neigh", "flush", "dev", "eth0"]);
    for (address, service, passes) in [(global, 53, true), (near, 53, true), (near, 5353, false)] {
        let names = home.router.enter(|| UdpSocket::bind(at(&home.router, "br-lan", address, service)).unwrap());
        assert_eq!(is_heard(&home, &names, address, service), passes, "{address} {service}");
    }
    assert_stands(&mut router);
}

/// Whether the first device is heard at the router; that it is not is said once the second has been many times.
fn is_heard(home: &Home, names: &UdpSocket, address: Ipv6Addr, service: u16) -> bool {
    names.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    let devices = [home.device(1), home.device(2)];
    let askers = devices.map(|device| (device, device.enter(|| UdpSocket::bind("[::]:0").unwrap())));
    let (start, mut heard) = (Instant::now(), [0, 0]);
    while heard[0] == 0 && heard[1] < 20 {
        assert!(start.elapsed() < PATIENCE, "nobody is heard at {address}");
        for (who, (device, asker)) in (0..).zip(&askers) {
            let _ = asker.send_to(&[who], at(device, "eth0", address, service));
        }
        let mut who = [0];
        while names.recv(&mut who).is_ok() {
            heard[usize::from(who[0])] += 1;
        }
    }
    heard[0] > 0
}

/// Two mitigations about the same packets are both told of them, and the device has lost each packet once.
fn overlapping_blocks_both_count() {
    let home = Home::new(2);
    let sink = Sink::udp(&home.victim, 53);
    let flood = Sender::udp(home.device(1), (VICTIM, 53).into(), 1, 500);
    let good = Sender::udp(home.device(2), (VICTIM, 53).into(), 2, 50);
    let mut router = Router::new(&home.router);
    let mut wide = block(8, 60, &[1]);
    wide.scope.target_prefixes = vec!["203.0.113.0/24".parse().unwrap()];
    router.desire(blocks(&[block(7, 60, &[1]), wide]), Vec::new(), &inventory(1));
    router.until("in force", |r| r.in_force(7) && r.in_force(8));
    sink.settle(&good, 2);
    let before = sink.packets(1);
    router.until("both count", |r| r.counted(7) > 100 && r.counted(8) > 100);
    sink.settle(&good, 2);
    assert_eq!(sink.packets(1), before);
    // They are read one after the other: the same at last, when nothing more comes.
    drop(flood);
    router.until("both have counted the same", |r| r.counted(7) == r.counted(8));
}

/// Both families, TCP and ICMP: what runs is cut, what is not meant goes on.
fn every_kind_of_flow_is_cut() {
    let home = Home::new(2);
    let (device, other_device, victim) = (home.device(1), home.device(2), &home.victim);
    let listener = victim.enter(|| TcpListener::bind((VICTIM, 443)).unwrap());
    let mut attack = device.enter(|| TcpStream::connect((VICTIM, 443)).unwrap());
    let (mut received, _) = listener.accept().unwrap();
    let other = victim.enter(|| TcpListener::bind((VICTIM, 80)).unwrap());
    let mut good = device.enter(|| TcpStream::connect((VICTIM, 80)).unwrap());
    let (mut well, _) = other.accept().unwrap();
    let v6 = victim.enter(|| UdpSocket::bind("[2001:db8:c000::80]:443").unwrap());
    let [sender, other_sender] =
        [device, other_device].map(|device| device.enter(|| UdpSocket::bind("[::]:0").unwrap()));
    received.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    v6.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    let mut buffer = [0; 8];
    // Neighbours take their time to be found.
    for sender in [&sender, &other_sender] {
        let arrives = || {
            sender.send_to(b"x", "[2001:db8:c000::80]:443").unwrap();
            v6.recv(&mut [0; 8]).is_ok()
        };
        assert!(comes_true(arrives));
    }

    let mut scope = scope();
    scope.target_prefixes.push("2001:db8:c000::/48".parse().unwrap());
    scope.target_ports = vec![PortRange::new(443, 443).unwrap()];
    scope.target_protocols = vec![1, 6, 17, 58];
    let mut inventory = inventory(1);
    inventory.learn("2001:db8:123::b".parse().unwrap(), 1, Some("br-lan"), mac(1), Instant::now());
    let mut router = Router::new(&home.router);
    router.desire(blocks(&[Block { scope, ..block(7, 60, &[1]) }]), Vec::new(), &inventory);
    router.until("in force", |r| r.in_force(7));
    let listed = home.router.run("conntrack", &["-L"]);
    let left: Vec<&str> = listed.lines().filter(|flow| flow.contains("dport=443 ")).collect();
    assert!(left.iter().all(|flow| flow.contains("src=2001:db8:123::c ")) && listed.contains("dport=80 "), "{listed}");
    while v6.recv(&mut buffer).is_ok() {}
    attack.write_all(b"attack").unwrap();
    good.write_all(b"well").unwrap();
    // What is sent later and not meant arrives, and alone.
    assert!(well.read(&mut buffer).is_ok());
    assert!(received.read(&mut buffer).is_err());
    v6.set_read_timeout(Some(PATIENCE)).unwrap();
    let _ = sender.send_to(b"x", "[2001:db8:c000::80]:443");
    other_sender.send_to(b"x", "[2001:db8:c000::80]:443").unwrap();
    let (_, from) = v6.recv_from(&mut buffer).unwrap();
    assert_eq!(from.ip(), IpAddr::from("2001:db8:123::c".parse::<Ipv6Addr>().unwrap()));
    let pings = |device: &Host| device.output("ping", &["-c1", "-W1", &VICTIM.to_string()]).status.success();
    let others_do = || {
        assert!(!pings(device));
        pings(other_device)
    };
    assert!(comes_true(others_do));
    router.until("counted", |r| r.counted(7) >= 3);
}

/// The kernel's own word on who sends, in both families, whether it passes or is dropped.
fn senders_are_seen() {
    let home = Home::new(2);
    let v6: SocketAddr = "[2001:db8:c000::80]:53".parse().unwrap();
    let (_sink, _sink6) = (Sink::udp(&home.victim, 53), home.victim.enter(|| UdpSocket::bind(v6).unwrap()));
    let _senders = [
        Sender::udp(home.device(1), (VICTIM, 53).into(), 1, 100),
        Sender::udp(home.device(2), (VICTIM, 53).into(), 2, 100),
        Sender::udp(home.device(2), (VICTIM, 54).into(), 2, 100),
    ];
    let sender6 = home.device(2).enter(|| UdpSocket::bind("[::]:0").unwrap());
    let mut scope = scope();
    scope.target_prefixes.push("2001:db8:c000::/48".parse().unwrap());
    let mut router = Router::new(&home.router);
    let desired =
        Desired { sender_logs: vec![SenderLog { id: MitigationId(7), scope }], ..blocks(&[block(7, 60, &[1])]) };
    router.desire(desired, Vec::new(), &inventory(2));
    let link = home.router.run("ip", &["-o", "link", "show", "dev", "br-lan"]);
    let link = link.split(':').next().unwrap().parse().unwrap();
    let seen = |number, address| source::Sender { mac: mac(number), address, link };
    let address6 = "2001:db8:123::c".parse().unwrap();
    let all = [seen(1, device_address(1).into()), seen(2, device_address(2).into()), seen(2, address6)];
    router.until("all are seen", |r| {
        let _ = sender6.send_to(b"x", v6);
        let mut told = r.told.iter().filter_map(|event| match event {
            Event::Senders { id: MitigationId(7), senders } => Some(senders),
            _ => None,
        });
        told.next_back().is_some_and(|senders| senders.len() == 3 && all.iter().all(|sender| senders.contains(sender)))
    });
}

/// A service of the device that is open to the world, used to attack whoever asks in the victim's name: its answers
/// stop, and never make the connection one that could be offloaded.
fn a_reflector_is_silenced() {
    let home = Home::new(2);
    home.router.nft(&format!(
        "table ip forwarding {{\n chain dstnat {{\n type nat hook prerouting priority dstnat;\n \
         iifname \"wan\" udp dport 1900 dnat to {}\n }}\n}}\n",
        device_address(1)
    ));
    let service = home.device(1).enter(|| UdpSocket::bind("0.0.0.0:1900").unwrap());
    let victim = home.victim.enter(|| UdpSocket::bind((VICTIM, 53)).unwrap());
    for socket in [&service, &victim] {
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
    }
    let ask = || {
        victim.send_to(b"question", (WAN, 1900)).unwrap();
        let mut question = [0; 64];
        let (_, from) = service.recv_from(&mut question).unwrap();
        let _ = service.send_to(b"answer", from);
    };
    let mut answer = [0; 64];
    ask();
    victim.recv(&mut answer).unwrap();

    let mut router = Router::new(&home.router);
    router.desire(blocks(&[block(7, 60, &[1])]), Vec::new(), &inventory(1));
    router.until("in force", |r| r.in_force(7));
    let other = home.device(2).enter(|| UdpSocket::bind("0.0.0.0:0").unwrap());
    for _ in 0..10 {
        ask();
        // What another device says afterwards is heard first.
        other.send_to(b"other", (VICTIM, 53)).unwrap();
        let length = victim.recv(&mut answer).unwrap();
        assert_eq!(&answer[..length], b"other");
    }
    let listed = home.router.run("conntrack", &["-L", "-p", "udp"]);
    assert!(listed.contains("[UNREPLIED]"), "{listed}");
    assert_stands(&mut router);
}

/// Proves CH-5.3.2-06 with real packets: device 2 floods in the name of device 1, which is blocked and sends nothing. Once it
/// sends as well, it is no longer said to be innocent.
fn a_borrowed_address_is_told() {
    let home = Home::new(2);
    let sink = Sink::udp(&home.victim, 53);
    home.device(2).ip(&format!("route add local {}/32 dev lo", device_address(1)));
    home.device(2).sysctl("ipv4/conf/all/arp_ignore", "1");
    let borrowed = home.device(2).enter(|| UdpSocket::bind((device_address(1), 0)).unwrap());
    let _flood = Stream::new(home.device(2), move || borrowed.send_to(&[2; 64], (VICTIM, 53)).is_ok());
    assert_arrives(&sink, 2);
    let mut router = Router::new(&home.router);
    router.desire(blocks(&[block(7, 3600, &[1])]), Vec::new(), &inventory(2));
    let innocent = Event::Spoofed { id: MitigationId(7), mac: mac(1) };
    router.until("told", |r| r.told.contains(&innocent));
    assert_eq!(router.counted(7), 0);

    let _own = Sender::udp(home.device(1), (VICTIM, 53).into(), 1, 100);
    router.until("counted", |r| r.counted(7) > 0);
    router.told.clear();
    let counted = |r: &Router<'_>| r.told.iter().filter(|event| matches!(event, Event::Counted { .. })).count();
    router.until("looked at again and again", |r| counted(r) >= 3);
    assert!(!router.told.contains(&innocent));
}

/// The router's link-local address at home.
fn link_local(router: &Host) -> Ipv6Addr {
    let listed = router.run("ip", &["-6", "-o", "addr", "show", "dev", "br-lan", "scope", "link"]);
    let address = listed.split_whitespace().find(|word| word.starts_with("fe80")).unwrap();
    address.split('/').next().unwrap().parse().unwrap()
}

/// An address as a host on that link writes it.
fn at(host: &Host, link: &str, address: Ipv6Addr, port: u16) -> SocketAddrV6 {
    let scope = if address.is_unicast_link_local() {
        let listed = host.run("ip", &["-o", "link", "show", "dev", link]);
        listed.split(':').next().unwrap().parse().unwrap()
    } else {
        0
    };
    SocketAddrV6::new(address, port, 0, scope)
}
