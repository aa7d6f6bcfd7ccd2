//! Packets meet the rules about their target, however targets overlap and whatever has changed before.

use std::net::{IpAddr, Ipv4Addr};

use dots_callhome::enforce::desired::{Block, Desired, Narrowed};
use dots_callhome::model::{Detail, Mac, MitigationId, PortRange, Scope};

use crate::support::enforce::*;
use crate::support::kernel::Packet;
use crate::support::random::Dice;

const DEVICES: [Mac; 3] = [CAMERA, TV, LAPTOP];

fn number(dice: &mut Dice, bound: usize) -> u32 {
    u32::try_from(dice.below(bound)).unwrap()
}

/// Somewhere in 10.0.0.0/24, where everything meets; at its ends and in the middle more often than elsewhere.
fn target(dice: &mut Dice) -> Ipv4Addr {
    let last = [0, 127, 128, 254, number(dice, 255), number(dice, 255)][dice.below(6)];
    Ipv4Addr::from(0x0a00_0000 + last)
}

fn any_block(dice: &mut Dice, id: u32) -> Block {
    let mut target_prefixes =
        vec![format!("{}/{}", target(dice), 24 + number(dice, 9)).parse::<ipnet::IpNet>().unwrap().trunc()];
    if dice.below(3) == 0 {
        target_prefixes.push("2001:db8::/32".parse().unwrap());
    }
    let ports = (0..dice.below(3)).map(|_| {
        let low = number(dice, 8);
        PortRange::new(low as u16, (low + number(dice, 4)) as u16).unwrap()
    });
    let target_ports: Vec<PortRange> = ports.collect();
    let target_protocols = [vec![], vec![17], vec![6, 17], vec![47]][dice.below(4)].clone();
    let scope = Scope { target_prefixes, target_ports, target_protocols, ..scope(&[]) };
    let devices = DEVICES.into_iter().filter(|_| dice.below(2) == 0).chain([CAMERA]).collect::<Vec<_>>();
    let devices = devices.into_iter().collect();
    Block { id: MitigationId(id), scope, devices, narrowed: Narrowed::new(), remaining: seconds(3600) }
}

/// What the request says, read again from its text alone.
fn is_meant(block: &Block, packet: &Packet) -> bool {
    let scope = &block.scope;
    let Detail::Ports { destination, .. } = packet.detail else { return false };
    let has_ports = [6, 17].contains(&packet.protocol);
    let named = scope.target_protocols.contains(&packet.protocol);
    let protocol = named || (scope.target_protocols.is_empty() && (scope.target_ports.is_empty() || has_ports));
    let in_ports = scope.target_ports.iter().any(|range| (range.lower()..=range.upper()).contains(&destination));
    let port = scope.target_ports.is_empty() || !has_ports || in_ports;
    let target = scope.target_prefixes.iter().any(|prefix| prefix.contains(&packet.target));
    block.devices.contains(&packet.sender) && target && protocol && port
}

fn any_packet(dice: &mut Dice) -> Packet {
    Packet {
        sender: DEVICES[dice.below(3)],
        link: 4,
        source: ip(CAMERA_V4),
        target: IpAddr::V4(target(dice)),
        protocol: [6, 17, 47][dice.below(3)],
        detail: Detail::Ports { source: 4000, destination: number(dice, 12) as u16 },
    }
}

/// Sends packets through the rules that stand: dropped is what any block is about, and it counts for all of them.
fn check(house: &mut TestRouter, blocks: &[Block], dice: &mut Dice) {
    for _ in 0..200 {
        let packet = any_packet(dice);
        let meant: Vec<u32> = blocks.iter().filter(|block| is_meant(block, &packet)).map(|block| block.id.0).collect();
        let counts = |house: &mut TestRouter| -> Vec<u64> {
            let mut of = |block: &Block| house.kernel.set(&format!("m{}", block.id.0)).get(&packet.sender).cloned();
            blocks
                .iter()
                .map(|block| of(block).and_then(|element| element.counter).map_or(0, |it| it.packets))
                .collect()
        };
        let before = counts(house);
        assert_eq!(house.kernel.receive(&packet, 1), !meant.is_empty(), "{packet:?} {meant:?}\n{blocks:#?}");
        for ((block, before), after) in blocks.iter().zip(before).zip(counts(house)) {
            assert_eq!(after - before, u64::from(meant.contains(&block.id.0)), "{packet:?} {}", block.id.0);
        }
    }
}

/// Blocks come and go, by batches and now and then by a text; after each change the rules mean the same as the requests.
#[test]
fn overlapping_blocks_mean_what_they_say() {
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    for _ in 0..10 {
        let mut house = TestRouter::enforcing();
        let mut all: Vec<Block> = Vec::new();
        for id in 1..=16 {
            if all.len() > 8 || (dice.below(3) == 0 && !all.is_empty()) {
                all.remove(dice.below(all.len()));
            }
            all.push(any_block(&mut dice, id));
            house.kernel.no_batches = dice.below(8) == 0;
            house.desire(blocks(&all));
            check(&mut house, &all, &mut dice);
        }
        house.desire(Desired::default());
        assert!(house.kernel.tables.is_empty() && !house.kernel.has_gaped);
    }
}

/// So many overlaps that each combination of requests had rules of its own: one chain looks at the targets in turn instead,
/// and means the same.
#[test]
fn too_many_overlaps_are_looked_at_in_turn() {
    let mut dice = Dice(1);
    let ports: Vec<PortRange> = (0..200).map(|port| PortRange::new(2 * port, 2 * port).unwrap()).collect();
    let nested = |id: u32| {
        let target_prefixes = vec![format!("10.0.0.0/{id}").parse::<ipnet::IpNet>().unwrap().trunc()];
        let scope = Scope { target_prefixes, target_ports: ports.clone(), ..scope(&[]) };
        Block { scope, ..block(id, &[CAMERA, TV]) }
    };
    let all: Vec<Block> = (8..=32).map(nested).collect();
    let mut house = TestRouter::enforcing();
    house.desire(blocks(&all[..3]));
    check(&mut house, &all[..3], &mut dice);
    assert!(!house.kernel.tables["inet"].chains.contains_key("m_all_v4"));
    house.desire(blocks(&all));
    check(&mut house, &all, &mut dice);
    assert!(house.kernel.tables["inet"].chains.contains_key("m_all_v4"));
    assert!(house.runs.iter().all(|run| run.len() < 100_000));
}
