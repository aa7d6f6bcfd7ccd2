//! A block comes into force: rules first, then flows, and it is proven before it is told.

use std::time::Duration;

use dots_callhome::enforce::Event;
use dots_callhome::enforce::desired::{Block, Desired, Owner};
use dots_callhome::model::{Detail, Flow, IcmpTypeRange, PortRange, Scope, Tuple};

use crate::support::enforce::*;

/// Proves CH-5.3.2-06: the device's traffic to the target is cut, told to be so when it is, and nobody else's is touched.
#[test]
fn cuts_the_flows_of_the_device_to_the_target_and_no_others() {
    for mut house in TestRouter::enforcing_on_each_kernel() {
        let others = [
            outgoing(2, TV_V4, 4000, (VICTIM, 53)),
            outgoing(3, CAMERA_V4, 4000, (VICTIM, 443)),
            outgoing(4, CAMERA_V4, 4000, ("203.0.113.81", 53)),
            outgoing(5, "192.168.1.99", 4000, (VICTIM, 53)),
        ];
        house.kernel.flows = vec![outgoing(1, CAMERA_V4, 4000, (VICTIM, 53))];
        house.kernel.flows.extend(others);
        house.desire(blocks(&[block(7, &[CAMERA])]));
        assert_eq!(house.kernel.flows, others);
        assert_eq!(house.outcomes(7), [Ok(())]);
        assert_eq!((house.runs.len(), house.members("m7")), (1, vec![CAMERA]));
    }
}

/// Flows cut before the rules stand would come back, so they are cut after, known ones before any others are looked for.
#[test]
fn cuts_known_flows_first_but_not_before_the_rules_stand() {
    for mut house in TestRouter::enforcing_on_each_kernel() {
        let flow = outgoing(1, CAMERA_V4, 4000, (VICTIM, 53));
        house.kernel.flows = vec![flow];
        house.slow_nft = true;
        house.kernel.asked.clear();
        house.desire_cutting(blocks(&[block(7, &[CAMERA])]), &[flow.original]);
        assert!(house.kernel.asked.is_empty());
        assert!(house.told().is_empty());
        house.end_nft();
        house.settle();
        assert_eq!(house.kernel.asked[..2], ["delete", "erase"]);
        assert_eq!(house.kernel.lists(), usize::from(!house.kernel.erases));
        assert!(house.kernel.flows.is_empty());
        assert_eq!(house.outcomes(7), [Ok(())]);
    }
}

/// A change that comes while nft runs is not taken for applied by the run before it.
#[test]
fn tells_only_what_the_kernel_holds() {
    let mut house = TestRouter::enforcing();
    house.slow_nft = true;
    house.desire(blocks(&[block(7, &[CAMERA])]));
    house.desire(blocks(&[block(7, &[CAMERA, TV]), block(8, &[TV])]));
    house.end_nft();
    house.settle();
    assert!(house.told().is_empty());
    house.end_nft();
    house.settle();
    let told = house.told();
    assert!([7, 8].iter().all(|id| told.contains(&enforced(*id))));
    // Back to what is being replaced, before it is.
    house.desire(blocks(&[block(7, &[CAMERA])]));
    house.desire(blocks(&[block(7, &[CAMERA, TV]), block(8, &[TV])]));
    house.end_nft();
    house.settle();
    house.end_nft();
    house.settle();
    assert_eq!(house.outcomes(7).last(), Some(&Ok(())));
    assert_eq!(house.members("m7"), [CAMERA, TV]);
}

/// One run for all that changes while another is under way.
#[test]
fn coalesces_a_burst() {
    let mut house = TestRouter::enforcing();
    house.slow_nft = true;
    let mut all = Vec::new();
    for id in 1..=128 {
        let target = format!("198.18.0.{id}/32");
        all.push(Block { scope: scope(&[&target]), ..block(id, &[CAMERA]) });
        house.desire(blocks(&all));
    }
    house.slow_nft = false;
    house.end_nft();
    house.settle();
    assert_eq!(house.runs.len(), 2);
    let told = house.told();
    assert!((1..=128).all(|id| told.contains(&enforced(id))));
}

/// Looks for flows wait for changes that follow each other, not for changes without end.
#[test]
fn checks_after_a_burst_but_not_for_ever() {
    let mut house = TestRouter::enforcing();
    house.slow_nft = true;
    let first = block(1, &[CAMERA]);
    house.desire(blocks(std::slice::from_ref(&first)));
    house.kernel.asked.clear();
    let mut checked_after = None;
    for id in 2..=100 {
        let target = format!("198.18.0.{id}/32");
        house.desire(blocks(&[first.clone(), Block { scope: scope(&[&target]), ..block(id, &[CAMERA]) }]));
        house.end_nft();
        house.settle();
        if checked_after.is_none() && house.kernel.asked.iter().any(|asked| ["erase", "list"].contains(asked)) {
            checked_after = Some(id * 10);
        }
        house.pass(Duration::from_millis(10));
    }
    let checked_after = checked_after.expect("checked in spite of the changes");
    assert!((400..=600).contains(&checked_after), "{checked_after} ms");
    assert_eq!(house.outcomes(1).first(), Some(&Ok(())));
}

/// The same again changes nothing, but is answered: the owner may have forgotten what it was told.
#[test]
fn says_again_what_stands_when_asked_again() {
    let mut house = TestRouter::enforcing();
    house.desire(blocks(&[block(7, &[CAMERA])]));
    house.told();
    house.desire(blocks(&[block(7, &[CAMERA])]));
    assert_eq!(house.runs.len(), 1);
    assert_eq!(house.outcomes(7), [Ok(())]);
}

/// A connection opened from outside is cut with the others; that it comes back without answers is nobody's fault.
#[test]
fn cuts_flows_opened_from_outside() {
    for mut house in TestRouter::enforcing_on_each_kernel() {
        house.kernel.flows = vec![
            incoming(1, (VICTIM, 53), (CAMERA_V4, 1900), 40),
            incoming(2, (VICTIM, 54), (CAMERA_V4, 1900), 40),
            incoming(3, (VICTIM, 53), (TV_V4, 1901), 40),
        ];
        house.desire(blocks(&[block(7, &[CAMERA])]));
        assert_eq!(house.kernel.flows.iter().map(|flow| flow.id).collect::<Vec<_>>(), [2, 3]);
        assert_eq!(house.outcomes(7), [Ok(())]);
        for id in 10..20 {
            house.kernel.flows.push(incoming(id, (VICTIM, 53), (CAMERA_V4, 1900), 0));
            house.pass(seconds(60));
        }
        assert!(house.outcomes(7).is_empty());
        assert_eq!(house.kernel.flows.len(), 2);
    }
}

/// Traffic that answers on such a connection passes.
#[test]
fn notices_answers_on_flows_opened_from_outside() {
    let mut house = TestRouter::enforcing();
    house.desire(blocks(&[block(7, &[CAMERA])]));
    house.told();
    house.kernel.sticky = true;
    house.kernel.flows.push(incoming(1, (VICTIM, 53), (CAMERA_V4, 1900), 3));
    house.pass(seconds(5));
    let outcomes = house.outcomes(7);
    let [Err(reason)] = outcomes.as_slice() else { panic!("{outcomes:?}") };
    assert!(reason.contains("203.0.113.80"), "{reason}");
}

/// What is forwarded counts, not what the device believes to be talking to: a redirected packet goes elsewhere.
/// Where rules keep flows apart in zones of conntrack, one of the same addresses and ports in zone 0 is another one.
#[test]
fn cuts_flows_in_their_zone() {
    let flow = outgoing(1, CAMERA_V4, 4000, (VICTIM, 53));
    let within = |tuple| Tuple { zone: 7, ..tuple };
    let zoned = Flow { id: 2, original: within(flow.original), reply: within(flow.reply), ..flow };
    for mut house in TestRouter::enforcing_on_each_kernel() {
        house.kernel.flows = vec![zoned, flow];
        house.desire_cutting(blocks(&[block(7, &[CAMERA])]), &[zoned.original]);
        assert!(house.kernel.flows.is_empty());
        assert_eq!(house.outcomes(7), [Ok(())]);
    }
}

#[test]
fn looks_at_the_target_behind_destination_nat() {
    for mut house in TestRouter::enforcing_on_each_kernel() {
        let redirected =
            Flow { reply: tuple(17, (GATEWAY, 53), (CAMERA_V4, 4000)), ..outgoing(1, CAMERA_V4, 4000, (VICTIM, 53)) };
        let sent_there = Flow {
            reply: tuple(17, (VICTIM, 53), (WAN_ADDRESS, 4001)),
            ..outgoing(2, CAMERA_V4, 4001, ("192.0.2.99", 8053))
        };
        house.kernel.flows = vec![redirected, sent_there];
        house.desire(blocks(&[block(7, &[CAMERA])]));
        assert_eq!(house.kernel.flows, [redirected]);
    }
}

/// Both families, prefixes, ranges, several protocols and ICMP types select the flows that the rules select.
#[test]
fn selects_flows_as_the_rules_select_packets() {
    let icmp = |id, kind| {
        let side = |source: &str, destination: &str, kind| Tuple {
            source: ip(source),
            destination: ip(destination),
            protocol: 58,
            detail: Detail::Icmp { kind, code: 0, id: 7 },
            zone: 0,
        };
        let (there, back) =
            (side(CAMERA_V6, "2001:db8:c000::80", kind), side("2001:db8:c000::80", CAMERA_V6, kind + 1));
        Flow { id, original: there, reply: back, sent: None, answered: None, offloaded: false }
    };
    let tcp = |id, port, target: (&str, u16)| Flow {
        original: tuple(6, (CAMERA_V4, port), target),
        reply: tuple(6, target, (WAN_ADDRESS, port)),
        ..outgoing(id, CAMERA_V4, port, target)
    };
    let gre = |id, target: &str| {
        let side = |source: &str, destination: &str| Tuple {
            source: ip(source),
            destination: ip(destination),
            protocol: 47,
            detail: Detail::None,
            zone: 0,
        };
        Flow {
            id,
            original: side(CAMERA_V4, target),
            reply: side(target, WAN_ADDRESS),
            sent: None,
            answered: None,
            offloaded: false,
        }
    };
    let scope = Scope {
        target_prefixes: ["203.0.113.64/26", "198.18.0.0/15", "2001:db8:c000::/48"].map(|p| p.parse().unwrap()).into(),
        target_ports: vec![PortRange::new(80, 90).unwrap(), PortRange::new(443, 443).unwrap()],
        target_protocols: vec![6, 47, 58],
        source_icmp_types: vec![IcmpTypeRange::new(128, 129).unwrap()],
        source_prefixes: vec!["198.51.100.7/32".parse().unwrap()],
        ..Scope::default()
    };
    let meant = [
        tcp(1, 4000, (VICTIM, 80)),
        tcp(2, 4001, ("198.19.255.255", 443)),
        tcp(3, 4002, ("203.0.113.127", 90)),
        gre(4, VICTIM),
        icmp(5, 128),
    ];
    let others = [
        tcp(11, 4000, (VICTIM, 91)),
        tcp(12, 4001, ("203.0.113.63", 80)),
        tcp(13, 4002, ("198.20.0.0", 443)),
        outgoing(14, CAMERA_V4, 4003, (VICTIM, 80)),
        gre(15, "203.0.113.1"),
        icmp(16, 1),
    ];
    let mut house = TestRouter::enforcing();
    house.kernel.flows = meant.into_iter().chain(others).collect();
    house.desire(blocks(&[Block { scope, ..block(7, &[CAMERA]) }]));
    assert_eq!(house.kernel.flows, others);
}

/// Where neither ports nor protocols nor types are named all that goes to the target is meant, and cut.
#[test]
fn a_bare_target_means_all_that_goes_there() {
    let of = |id, protocol, detail, to: &str| {
        let side = |source: &str, destination: &str| Tuple {
            source: ip(source),
            destination: ip(destination),
            protocol,
            detail,
            zone: 0,
        };
        Flow {
            id,
            original: side(CAMERA_V4, to),
            reply: side(to, WAN_ADDRESS),
            sent: None,
            answered: None,
            offloaded: false,
        }
    };
    let ports = Detail::Ports { source: 4000, destination: 4000 };
    let all = |first, to: &str| {
        let echo = Detail::Icmp { kind: 8, code: 0, id: 7 };
        [
            of(first, 17, ports, to),
            of(first + 1, 6, ports, to),
            of(first + 2, 1, echo, to),
            of(first + 3, 47, Detail::None, to),
        ]
    };
    let scope = Scope {
        target_prefixes: vec!["203.0.113.80/31".parse().unwrap()],
        source_prefixes: vec!["198.51.100.7/32".parse().unwrap()],
        ..Scope::default()
    };
    let others: Vec<Flow> = all(11, "203.0.113.79").into_iter().chain(all(15, "203.0.113.82")).collect();
    let mut house = TestRouter::enforcing();
    house.kernel.flows =
        all(1, "203.0.113.80").into_iter().chain(all(5, "203.0.113.81")).chain(others.clone()).collect();
    house.desire(blocks(&[Block { scope, ..block(7, &[CAMERA]) }]));
    assert_eq!(house.kernel.flows, others);
}

/// A device with more addresses than are worth a question each, and thousands of flows.
#[test]
fn copes_with_many_addresses_and_flows() {
    let mut house = TestRouter::enforcing();
    for last in 100..120 {
        house.neighbour(&format!("192.168.1.{last}"), LAN, Some(LAPTOP));
    }
    let flows = (0..10_000).map(|n| outgoing(n, "192.168.1.119", 1024 + u16::try_from(n).unwrap(), (VICTIM, 53)));
    house.kernel.flows = flows.collect();
    house.desire(blocks(&[block(7, &[LAPTOP])]));
    assert!(house.kernel.flows.is_empty());
    assert_eq!(house.outcomes(7), [Ok(())]);
}

/// An address that turns up later belongs to the same device.
#[test]
fn follows_a_device_to_a_new_address() {
    let mut house = TestRouter::enforcing();
    house.desire(blocks(&[block(7, &[CAMERA])]));
    house.pass(seconds(30));
    house.kernel.flows = vec![outgoing(1, "192.168.1.200", 4000, (VICTIM, 53))];
    house.neighbour("192.168.1.200", LAN, Some(CAMERA));
    house.desire(blocks(&[Block { remaining: seconds(3570), ..block(7, &[CAMERA]) }]));
    house.pass(seconds(0));
    assert!(house.kernel.flows.is_empty());
    assert_eq!(house.runs.len(), 1);
}

/// What has no time left is not made, and nothing in force leaves nothing behind and wakes nobody.
#[test]
fn nothing_in_force_leaves_nothing_behind() {
    let mut house = TestRouter::enforcing();
    assert_eq!(house.enforcer.poll_timeout(), None);
    house.desire(blocks(&[Block { remaining: seconds(0), ..block(7, &[CAMERA]) }, block(8, &[])]));
    assert!(house.runs.is_empty());
    house.desire(blocks(&[block(7, &[CAMERA])]));
    house.pass(seconds(100));
    house.desire(Desired::default());
    assert_eq!(house.kernel.tables, Default::default());
    assert_eq!(house.enforcer.poll_timeout(), None);
    assert_eq!(house.wakes(seconds(100_000)), 0);
}

/// Proves CH-5.3.1-28: a quarantine cuts everything but what the router itself still gives.
#[test]
fn a_quarantine_cuts_all_but_the_router() {
    let mut house = TestRouter::enforcing();
    let to_router = |id, port, service| Flow {
        reply: tuple(17, (GATEWAY, service), (CAMERA_V4, port)),
        ..outgoing(id, CAMERA_V4, port, (GATEWAY, service))
    };
    let open = [to_router(1, 4000, 53), to_router(2, 68, 67)];
    house.kernel.flows = vec![
        to_router(11, 4001, 5353),
        outgoing(12, CAMERA_V4, 4002, ("8.8.8.8", 53)),
        outgoing(13, CAMERA_V4, 4003, (VICTIM, 9)),
        incoming(14, ("192.0.2.5", 1000), (CAMERA_V4, 80), 2),
    ];
    house.kernel.flows.extend(open);
    house.desire(quarantines(&[quarantine(Some(7), CAMERA), quarantine(None, CAMERA)]));
    assert_eq!(house.kernel.flows, open);
    let told = house.told();
    assert!(told.contains(&enforced(7)));
    assert!(told.contains(&Event::Enforced { owner: Owner::Administrator, outcome: Ok(()) }));
    house.pass(seconds(3000));
    assert!(house.outcomes(7).is_empty());
}
