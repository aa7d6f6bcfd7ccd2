//! Flows are cut by a filter where the kernel can and a filter can say it, else listed and cut one by one; none is by chance.

use dots_callhome::enforce::Socket;
use dots_callhome::enforce::desired::Block;
use dots_callhome::model::{PortRange, Scope};

use crate::support::enforce::*;

/// What is asked of conntrack to bring a block of this scope into force.
fn asked(house: &mut TestRouter, id: u32, scope: Scope) -> Vec<&'static str> {
    house.kernel.asked.clear();
    house.desire(blocks(&[Block { scope, ..block(id, &[CAMERA]) }]));
    assert_eq!(house.outcomes(id), [Ok(())]);
    house.kernel.asked.clone()
}

#[test]
fn one_target_takes_no_list() {
    let mut house = TestRouter::enforcing();
    assert_eq!(asked(&mut house, 7, scope(&["203.0.113.80/32"])), ["erase", "erase"]);
    house.pass(seconds(3600));
    let whole = Scope { target_ports: Vec::new(), target_protocols: Vec::new(), ..scope(&["203.0.113.80/32"]) };
    assert_eq!(asked(&mut house, 8, whole), ["erase", "erase"]);
}

/// A kernel that heeds no filter is asked once, and never again.
#[test]
fn a_kernel_that_can_not_is_asked_once() {
    let mut house = TestRouter::enforcing();
    house.kernel.erases = false;
    assert_eq!(asked(&mut house, 7, scope(&["203.0.113.80/32"])), ["erase", "list"]);
    house.pass(seconds(3600));
    assert_eq!(asked(&mut house, 8, scope(&["203.0.113.81/32"])), ["list"]);
}

/// Neither prefixes nor ranges of ports nor IPv6 addresses: what a filter can't say exactly would cut others' flows.
#[test]
fn what_a_filter_can_not_say_is_listed() {
    let port = |low, high| vec![PortRange::new(low, high).unwrap()];
    let range = Scope { target_ports: port(53, 54), ..scope(&["203.0.113.80/32"]) };
    let icmp = Scope { target_protocols: vec![1], target_ports: Vec::new(), ..scope(&["203.0.113.80/32"]) };
    let types = vec![dots_callhome::model::IcmpTypeRange::new(8, 8).unwrap()];
    let icmp = Scope { source_icmp_types: types, ..icmp };
    let many = scope(&["203.0.113.80/32", "203.0.113.82/32", "203.0.113.84/32"]);
    for scope in [scope(&["203.0.113.80/31"]), scope(&["2001:db8:c000::80/128"]), range, icmp, many] {
        assert_eq!(asked(&mut TestRouter::enforcing(), 7, scope), ["list"]);
    }
}

/// What the router itself receives is no target.
#[test]
fn flows_to_the_router_stay() {
    for mut house in TestRouter::enforcing_on_each_kernel() {
        let own = outgoing(1, CAMERA_V4, 4000, (GATEWAY, 53));
        house.kernel.flows = vec![own];
        house.desire(blocks(&[Block { scope: scope(&[&format!("{GATEWAY}/32")]), ..block(7, &[CAMERA]) }]));
        assert_eq!(house.kernel.flows, [own]);
    }
}

/// Nothing is told of flows older than the daemon: they are cut all the same, and one that is back is seen by the next look.
#[test]
fn flows_of_which_nothing_is_told_are_cut_as_well() {
    let mut house = TestRouter::enforcing();
    house.kernel.flows = vec![outgoing(1, CAMERA_V4, 4000, (VICTIM, 53))];
    house.kernel.untold = vec![1];
    house.desire(blocks(&[block(7, &[CAMERA])]));
    assert!(house.kernel.flows.is_empty());
    assert_eq!(house.outcomes(7), [Ok(())]);

    house.kernel.flows = vec![outgoing(1, CAMERA_V4, 4000, (VICTIM, 53))];
    house.kernel.sticky = true;
    house.pass(seconds(2));
    assert!(matches!(house.outcomes(7).as_slice(), [Err(_)]));
}

/// More flows are cut than there is room to tell of: then they are listed.
#[test]
fn an_answer_that_is_lost_leads_to_a_list() {
    let mut house = TestRouter::enforcing();
    house.kernel.mute = true;
    house.desire(blocks(&[block(7, &[CAMERA])]));
    assert!(house.told().is_empty());
    house.kernel.mute = false;
    house.kernel.asked.clear();
    house.enforcer.handle_overrun(Socket::Netfilter, house.now);
    house.settle();
    assert_eq!(house.kernel.asked, ["list"]);
    assert_eq!(house.outcomes(7), [Ok(())]);
    assert_eq!(asked(&mut house, 8, scope(&["203.0.113.81/32"]))[..1], ["erase"], "it is not the kernel's fault");
}
