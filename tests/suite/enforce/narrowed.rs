//! A block of a device that stands for others is about some addresses of it only.

use crate::support::enforce::*;
use crate::support::kernel::Packet;
use dots_callhome::enforce::desired::{Block, Narrowed};
use dots_callhome::model::Mac;

const TARGET: &str = "203.0.113.80";

fn drops(house: &TestRouter, sender: Mac, source: &str, target: &str) -> bool {
    let (source, target) = (ip(source), ip(target));
    house.kernel.drops(&Packet { sender, link: LAN, source, target, protocol: UDP, detail: ports(4000, 53) })
}

#[test]
fn the_others_under_the_same_address_reach_the_target() {
    let mut house = TestRouter::enforcing();
    let narrowed: Narrowed = [(CAMERA, vec![ip("192.168.1.61"), ip("2001:db8:123::61")])].into();
    let targets = scope(&["203.0.113.80/32", "2001:db8:c000::80/128"]);
    let block = Block { scope: targets, narrowed, ..block(7, &[CAMERA, TV]) };
    house.desire(blocks(std::slice::from_ref(&block)));
    assert!(drops(&house, CAMERA, "192.168.1.61", TARGET));
    assert!(drops(&house, CAMERA, "2001:db8:123::61", VICTIM6));
    assert!(!drops(&house, CAMERA, "192.168.1.62", TARGET));
    assert!(!drops(&house, CAMERA, "2001:db8:123::62", VICTIM6));
    assert!(!drops(&house, LAPTOP, "192.168.1.61", TARGET), "another device with that address");
    assert!(drops(&house, TV, "192.168.1.62", TARGET), "a device that is meant as a whole");
    // Alone, and then as a whole.
    house.desire(blocks(&[Block { devices: vec![CAMERA], ..block.clone() }]));
    assert!(drops(&house, CAMERA, "192.168.1.61", TARGET) && !drops(&house, CAMERA, "192.168.1.62", TARGET));
    assert!(!drops(&house, TV, "192.168.1.62", TARGET));
    house.desire(blocks(&[Block { narrowed: Narrowed::new(), ..block }]));
    assert!(drops(&house, CAMERA, "192.168.1.62", TARGET));
}
