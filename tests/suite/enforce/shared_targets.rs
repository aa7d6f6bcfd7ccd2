//! Blocks that have devices and targets in common, and flows that only look as if something passed.

use crate::support::enforce::*;
use dots_callhome::enforce::desired::Block;

/// Where their targets meet, the rule of the first of two blocks about the same device and overlapping targets counts and leaves the dropping to the
/// last rule, so that the second counts too; for IPv6 as for IPv4.
#[test]
fn both_of_two_blocks_count_common_traffic() {
    for (wide, narrow) in [("203.0.113.0/24", "203.0.113.80/32"), ("2001:db8:c000::/48", "2001:db8:c000::1/128")] {
        let mut house = TestRouter::enforcing();
        let about = |id, target| Block { scope: scope(&[target]), ..block(id, &[CAMERA]) };
        house.desire(blocks(&[about(7, wide), about(8, narrow)]));
        let text = &house.runs[0];
        let shared = |line: &&str| line.starts_with("add rule inet dots_callhome m_shared1_v");
        let rule = |set: &str| text.lines().filter(shared).find(|line| line.contains(set)).unwrap();
        assert!(rule("@m7").contains("meta mark set"), "{text}");
        assert!(rule("@m8").ends_with("drop"), "{text}");
        assert!(text.contains("meta mark 0x646f7473 drop"), "{text}");
    }
}

/// A flow that was opened from outside to a blocked device, which stays in the kernel's table, and on which the device answers
/// nothing, is no leak.
#[test]
fn an_unanswered_flow_from_outside_is_no_leak() {
    for answered in [0, 1] {
        let mut house = TestRouter::enforcing();
        house.desire(blocks(&[block(7, &[CAMERA])]));
        house.told();
        house.kernel.sticky = true;
        house.kernel.flows.push(incoming(1, (VICTIM, 53), (CAMERA_V4, 1900), answered));
        house.pass(seconds(120));
        assert_eq!(house.outcomes(7).iter().any(Result::is_err), answered > 0, "{answered} answers");
    }
}
