//! More than one network inside, more than one outside, and who may speak of what.

use super::{Case, GUEST, INNER, TAGGED, TRUNK, Who};
use crate::attribution::world::WAN2;
use crate::attribution::{Lab, VICTIM6};
use crate::home::{VICTIM, WAN, device_address};
use crate::raw::UDP;

const OUT_OF_SCOPE: &str = "out of scope";
const NEVER: &str = "too much of the Internet";

/// What the second provider asks.
fn second(lab: &mut Lab, port: u16, more: &str) -> Vec<String> {
    lab.asker = "second";
    lab.words(&format!("--source {WAN2}/32 --target {VICTIM}/32 --target-port {port} --protocol {UDP} {more}"))
}

pub const CASES: &[Case] = &[
    Case {
        name: "the guest network, a sender in the first at the same place",
        who: Who::Surely(&[GUEST]),
        act: |lab, port| {
            lab.send(&[5, GUEST], port, 4000);
            lab.asked(port, UDP, &[lab.seen(GUEST).port()])
        },
    },
    Case {
        name: "a VLAN, senders in both other networks at the same place",
        who: Who::Surely(&[TAGGED]),
        act: |lab, port| {
            lab.send(&[5, GUEST, TAGGED], port, 4000);
            lab.asked(port, UDP, &[lab.seen(TAGGED).port()])
        },
    },
    Case {
        name: "a machine with a leg in two networks, by the one",
        who: Who::Surely(&[6]),
        act: |lab, port| {
            lab.send(&[6, TRUNK], port, 4000);
            lab.seen(TRUNK);
            lab.asked(port, UDP, &[lab.seen(6).port()])
        },
    },
    Case {
        name: "a machine with a leg in two networks, by the other",
        who: Who::Surely(&[TRUNK]),
        act: |lab, port| {
            lab.send(&[6, TRUNK], port, 4000);
            lab.seen(6);
            lab.asked(port, UDP, &[lab.seen(TRUNK).port()])
        },
    },
    Case {
        name: "behind another router",
        who: Who::Behind(INNER),
        act: |lab, port| {
            lab.send_from_attic(port);
            lab.asked(port, UDP, &[lab.seen(INNER).port()])
        },
    },
    Case {
        name: "the other router itself",
        who: Who::Surely(&[INNER]),
        act: |lab, port| {
            lab.send(&[INNER], port, 0);
            lab.asked(port, UDP, &[lab.seen(INNER).port()])
        },
    },
    Case {
        name: "the second upstream, a shared address, asked by its own provider",
        who: Who::Surely(&[11]),
        act: |lab, port| {
            lab.send(&[12], port, 30_012);
            lab.send(&[11], port, 30_011);
            let from = lab.seen(11);
            assert_eq!(from.ip(), WAN2);
            second(lab, port, &format!("--source-port {}", from.port()))
        },
    },
    Case {
        name: "the same port on both upstreams, asked by the first provider",
        who: Who::Surely(&[14]),
        act: |lab, port| {
            both_upstreams(lab, port);
            lab.asked(port, UDP, &[30_500])
        },
    },
    Case {
        name: "the same port on both upstreams, asked by the second provider",
        who: Who::Surely(&[13]),
        act: |lab, port| {
            both_upstreams(lab, port);
            second(lab, port, "--source-port 30500")
        },
    },
    Case {
        name: "one device leaves by the first upstream, one by the second, no port named",
        who: Who::Surely(&[15]),
        act: |lab, port| {
            lab.send(&[15], port, 0);
            lab.send(&[16], port, 30_016);
            lab.seen(15);
            lab.seen(16);
            lab.request("", port, UDP)
        },
    },
    Case {
        name: "the first provider about the second upstream",
        who: Who::Refused(OUT_OF_SCOPE),
        act: |lab, port| {
            lab.send(&[11], port, 30_011);
            lab.seen(11);
            second(lab, port, "--source-port 30011");
            lab.asker = "provider";
            lab.words(&format!("--source {WAN2}/32 --source-port 30011 --target {VICTIM}/32"))
        },
    },
    Case {
        name: "the second provider about the first upstream",
        who: Who::Refused(OUT_OF_SCOPE),
        act: |lab, port| {
            lab.send(&[1], port, 0);
            lab.asker = "second";
            lab.asked(port, UDP, &[lab.seen(1).port()])
        },
    },
    Case {
        name: "the second provider about the prefix of the first upstream",
        who: Who::Refused(OUT_OF_SCOPE),
        act: |lab, port| {
            lab.send6(&[1], port);
            lab.asker = "second";
            lab.asked6(port, &format!("{}/128", lab.seen(1).ip()))
        },
    },
    Case {
        name: "a source wider than what is ours",
        who: Who::Refused(OUT_OF_SCOPE),
        act: |lab, _| lab.words(&format!("--source 198.51.100.0/29 --target {VICTIM}/32")),
    },
    Case {
        name: "the whole Internet as source",
        who: Who::Refused(NEVER),
        act: |lab, _| lab.words(&format!("--source ::/0 --target {VICTIM6}/128")),
    },
    Case {
        name: "the provider's own address as source",
        who: Who::Refused(OUT_OF_SCOPE),
        act: |lab, _| lab.words(&format!("--source 198.51.100.1/32 --target {VICTIM}/32")),
    },
    Case {
        name: "a source inside the home",
        who: Who::Refused("not visible outside"),
        act: |lab, port| {
            lab.send(&[25], port, 0);
            lab.seen(25);
            lab.words(&format!("--source {}/32 --target {VICTIM}/32 --target-port {port}", device_address(25)))
        },
    },
    Case {
        name: "a source inside the home, where the administrator allows it",
        who: Who::Surely(&[25]),
        act: |lab, port| {
            lab.send(&[25, 26], port, 0);
            lab.seen(25);
            let words = format!("--source {}/32 --target {VICTIM}/32 --target-port {port}", device_address(25));
            lab.reconfigure("\toption internal_sources '1'\n");
            lab.words(&words)
        },
    },
    Case {
        name: "the router itself sends",
        who: Who::Surely(&[]),
        act: |lab, port| {
            lab.send(&[0], port, 0);
            lab.asked(port, UDP, &[lab.seen(0).port()])
        },
    },
    Case {
        name: "a device that serves a forwarded port",
        who: Who::Surely(&[5]),
        act: |lab, port| {
            lab.reflect(5, port, 1900);
            lab.words(&format!("--source {WAN}/32 --source-port 1900 --target {VICTIM}/32 --target-port {port}"))
        },
    },
];

/// Device 13 by the second upstream and device 14 by the first, both seen from port 30500.
fn both_upstreams(lab: &mut Lab, port: u16) {
    lab.send(&[13], port, 30_500);
    // From outside of the range that goes by the second, and moved into it by the router.
    lab.send(&[14], port, 41_500);
    assert_eq!(lab.seen(13), (WAN2, 30_500).into());
    assert_eq!(lab.seen(14), (WAN, 30_500).into());
}
