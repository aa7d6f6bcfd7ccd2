//! What might fool the daemon: ports and addresses that change hands, pretences, services of the router, translations both
//! ways, other zones of conntrack.

use super::{Case, Who};
use crate::attribution::Lab;
use crate::home::{VICTIM, WAN, device_address};
use crate::raw::UDP;

pub const CASES: &[Case] = &[
    Case {
        name: "an address that another device has taken over",
        who: Who::Nobody(&[31], "it may be a pretence, or the flow that of the one before"),
        act: |lab, port| {
            let address = device_address(30);
            lab.send(&[30], port, 0);
            lab.seen(30);
            lab.streams.clear();
            lab.host(30).ip(&format!("addr del {address}/24 dev eth0"));
            lab.host(31).ip(&format!("addr add {address}/32 dev eth0"));
            // From its new address it asks for the router, who so learns of it.
            lab.host(31).ip("neigh flush dev eth0");
            lab.send_as(31, &address.to_string(), port);
            lab.asked(port, UDP, &[lab.seen(31).port()])
        },
    },
    Case {
        name: "a port that another device uses seconds later",
        who: Who::Nobody(&[32, 34], "both were seen at that port within the time the provider takes"),
        act: |lab, port| {
            lab.send(&[32], port, 24_000);
            lab.seen(32);
            lab.end_flows(port);
            lab.send(&[34], port, 24_000);
            assert_eq!(lab.seen(32).port(), lab.seen(34).port());
            lab.asked(port, UDP, &[24_000])
        },
    },
    Case {
        name: "a port of the router itself that a device uses seconds later",
        who: Who::Nobody(&[34], "the router was seen at that port within the time the provider takes"),
        act: |lab, port| {
            lab.send(&[0], port, 24_001);
            lab.seen(0);
            lab.end_flows(port);
            lab.send(&[34], port, 24_001);
            assert_eq!(lab.seen(0).port(), lab.seen(34).port());
            lab.asked(port, UDP, &[24_001])
        },
    },
    Case {
        name: "an address nobody has",
        who: Who::InTheEnd(&[36]),
        act: |lab, port| {
            pretend(lab, 36, "192.168.1.250");
            lab.send_as(36, "192.168.1.250", port);
            lab.asked(port, UDP, &[lab.seen(36).port()])
        },
    },
    Case {
        name: "the address of a neighbour that is there",
        who: Who::Nobody(&[35], "whoever has the address may send by way of the one who is seen to send"),
        act: |lab, port| {
            lab.host(37).output("ping", &["-c1", "-W2", "192.168.1.1"]);
            pretend(lab, 35, "192.168.1.47");
            lab.send_as(35, "192.168.1.47", port);
            lab.asked(port, UDP, &[lab.seen(35).port()])
        },
    },
    Case {
        name: "the address of a neighbour that sends to the target as well",
        who: Who::Nobody(&[35, 37], "packets with the same address come from two devices"),
        act: |lab, port| {
            lab.send(&[37], port, 0);
            pretend(lab, 35, "192.168.1.47");
            lab.send_as(35, "192.168.1.47", port);
            lab.asked(port, UDP, &[lab.seen(35).port()])
        },
    },
    Case {
        name: "forty addresses that nobody has, no port named",
        who: Who::InTheEnd(&[35]),
        act: |lab, port| {
            for n in 200..240 {
                let address = format!("192.168.1.{n}");
                pretend(lab, 35, &address);
                lab.send_as(35, &address, port);
            }
            lab.seen(35);
            lab.asked(port, UDP, &[])
        },
    },
    Case {
        name: "a service of the router that answers, while a device sends from another port",
        who: Who::Surely(&[]),
        act: |lab, port| {
            lab.send_to(38, (VICTIM, port).into());
            lab.reflect(0, port, 1901);
            lab.asked(port, UDP, &[1901])
        },
    },
    Case {
        name: "a forwarded port, while another device uses it from inside",
        who: Who::Surely(&[5]),
        act: |lab, port| {
            lab.send_to(8, (WAN, 1900).into());
            lab.reflect(5, port, 1900);
            lab.asked(port, UDP, &[1900])
        },
    },
    Case {
        name: "a target that the router has put in another's place",
        who: Who::Surely(&[9]),
        act: |lab, port| {
            lab.victim.listen(&lab.stage.home.victim, port);
            lab.send_to(9, ([192, 0, 2, 50], port).into());
            lab.asked(port, UDP, &[lab.seen(9).port()])
        },
    },
    Case {
        name: "the target addressed, where the router sends all to another",
        who: Who::Surely(&[]),
        act: |lab, port| {
            lab.victim.listen(&lab.stage.home.victim, port);
            lab.send_to(9, ([192, 0, 2, 50], port).into());
            let from = lab.seen(9).port();
            lab.words(&format!("--source {WAN}/32 --source-port {from} --target 192.0.2.50/32 --protocol {UDP}"))
        },
    },
    Case {
        name: "a flow in another zone of conntrack",
        who: Who::Surely(&[39]),
        act: |lab, port| {
            lab.send(&[38, 39], port, 0);
            lab.asked(port, UDP, &[lab.seen(39).port()])
        },
    },
    Case {
        name: "a flow that is in another zone of conntrack one way only",
        who: Who::Surely(&[37]),
        act: |lab, port| {
            lab.send(&[35, 37], port, 4000);
            lab.asked(port, UDP, &[lab.seen(37).port()])
        },
    },
    Case {
        name: "the same port in two zones of conntrack, seen from the same address",
        who: Who::Nobody(&[38, 39], "each zone gives away all ports, and the provider sees no zones"),
        act: |lab, port| {
            lab.send(&[38, 39], port, 24_002);
            assert_eq!((lab.seen(38), lab.seen(39)), ((WAN, 24_002).into(), (WAN, 24_002).into()));
            lab.asked(port, UDP, &[24_002])
        },
    },
];

/// Lets a device send from an address without answering for it.
fn pretend(lab: &mut Lab, number: usize, address: &str) {
    let host = lab.host(number);
    host.output("ping", &["-c1", "-W2", "192.168.1.1"]);
    for (what, value) in [("arp_ignore", "1"), ("arp_announce", "2")] {
        host.sysctl(&format!("ipv4/conf/all/{what}"), value);
    }
    host.ip(&format!("addr replace {address}/32 dev lo"));
}
