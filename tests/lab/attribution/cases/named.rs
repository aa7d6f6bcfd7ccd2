//! What a request may name: addresses, prefixes, ports, protocols and types; and when.

use super::{Case, Who};
use crate::attribution::{DEVICES, VICTIM6};
use crate::home::{VICTIM, WAN};
use crate::raw::{ESP, ICMP, ICMPV6, SCTP, TCP, UDP};

pub const CASES: &[Case] = &[
    Case {
        name: "UDP, everything named",
        who: Who::Surely(&[1]),
        act: |lab, port| {
            lab.send(&[1, 2], port, 0);
            lab.asked(port, UDP, &[lab.seen(1).port()])
        },
    },
    Case {
        name: "UDP, two devices with the same port inside",
        who: Who::Surely(&[3]),
        act: |lab, port| {
            lab.send(&[2, 3], port, 4000);
            lab.asked(port, UDP, &[lab.seen(3).port()])
        },
    },
    Case {
        name: "UDP, two senders and two ports",
        who: Who::Surely(&[4, 6]),
        act: |lab, port| {
            lab.send(&[4, 5, 6], port, 0);
            lab.asked(port, UDP, &[lab.seen(4).port(), lab.seen(6).port()])
        },
    },
    Case {
        name: "UDP, a range of ports, one sender in it",
        who: Who::Surely(&[7]),
        act: |lab, port| {
            lab.send(&[7], port, 20_007);
            lab.send(&[8], port, 40_008);
            lab.request("--source-port 20000-29999", port, UDP)
        },
    },
    Case {
        name: "UDP, a range of ports, two senders in it",
        who: Who::Nobody(&[7, 8], "both ports are in the range"),
        act: |lab, port| {
            lab.send(&[7], port, 20_007);
            lab.send(&[8], port, 20_008);
            lab.request("--source-port 20000-29999", port, UDP)
        },
    },
    Case {
        name: "UDP, no port named, one sender",
        who: Who::Surely(&[9]),
        act: |lab, port| {
            lab.send(&[9], port, 0);
            lab.request("", port, UDP)
        },
    },
    Case {
        name: "UDP, no port named, two senders",
        who: Who::Nobody(&[10, 11], "one address, and nothing tells the two apart"),
        act: |lab, port| {
            lab.send(&[10, 11], port, 0);
            lab.seen(10);
            lab.seen(11);
            lab.request("", port, UDP)
        },
    },
    Case {
        name: "UDP, no protocol named",
        who: Who::Surely(&[12]),
        act: |lab, port| {
            lab.send(&[12, 13], port, 0);
            let from = lab.seen(12).port();
            lab.words(&format!("--source {WAN}/32 --source-port {from} --target {VICTIM}/32"))
        },
    },
    Case {
        name: "a wide target and a range of its ports",
        who: Who::Surely(&[14]),
        act: |lab, port| {
            lab.send(&[14, 15], port, 0);
            let from = lab.seen(14).port();
            lab.words(&format!(
                "--source {WAN}/32 --source-port {from} --target 203.0.113.0/24 --target-port 9999-{port}"
            ))
        },
    },
    Case {
        name: "two protocols, one port each",
        who: Who::Surely(&[16, 17]),
        act: |lab, port| {
            lab.send(&[17, 18], port, 0);
            let udp = lab.seen(17).port();
            lab.victim.clear();
            lab.connect(&[16, 19], port);
            let tcp = lab.seen(16).port();
            lab.request(&format!("--protocol 6 --source-port {udp} --source-port {tcp}"), port, UDP)
        },
    },
    Case {
        name: "TCP",
        who: Who::Surely(&[16]),
        act: |lab, port| {
            lab.connect(&[16, 17], port);
            lab.asked(port, TCP, &[lab.seen(16).port()])
        },
    },
    Case {
        name: "TCP, no port named, one sender",
        who: Who::Surely(&[17]),
        act: |lab, port| {
            lab.connect(&[17], port);
            lab.request("", port, TCP)
        },
    },
    Case {
        name: "SCTP, two devices with the same port inside",
        who: Who::Surely(&[18]),
        act: |lab, port| {
            lab.send_sctp(17, port, 5000);
            let from = lab.send_sctp(18, port, 5000).port();
            lab.asked(port, SCTP, &[from])
        },
    },
    Case {
        name: "a protocol without ports, by its number",
        who: Who::Surely(&[20]),
        act: |lab, port| {
            lab.send(&[21], port, 0);
            lab.send_raw(20, ESP, &VICTIM.to_string());
            lab.words(&format!("--source {WAN}/32 --target {VICTIM}/32 --protocol {ESP}"))
        },
    },
    Case {
        name: "ICMP by type",
        who: Who::Surely(&[18]),
        act: |lab, port| {
            lab.send(&[21], port, 0);
            lab.send_raw(18, ICMP, &VICTIM.to_string());
            lab.words(&format!("--source {WAN}/32 --target {VICTIM}/32 --source-icmp-type 8 --protocol 1"))
        },
    },
    Case {
        name: "ICMP by type, two senders",
        who: Who::Nobody(&[18, 21], "a request can't name what tells echo requests apart"),
        act: |lab, _| {
            lab.send_raw(18, ICMP, &VICTIM.to_string());
            lab.send_raw(21, ICMP, &VICTIM.to_string());
            lab.words(&format!("--source {WAN}/32 --target {VICTIM}/32 --source-icmp-type 8 --protocol 1"))
        },
    },
    Case {
        name: "ICMP, another type than the one sent",
        who: Who::Surely(&[]),
        act: |lab, _| {
            lab.send_raw(18, ICMP, &VICTIM.to_string());
            lab.words(&format!("--source {WAN}/32 --target {VICTIM}/32 --source-icmp-type 13-18 --protocol 1"))
        },
    },
    Case {
        name: "ICMPv6 by type",
        who: Who::Surely(&[19]),
        act: |lab, _| {
            lab.send_raw(19, ICMPV6, VICTIM6);
            lab.words(&format!("--source 2001:db8:123::/64 --target {VICTIM6}/128 --source-icmp-type 128"))
        },
    },
    Case {
        name: "IPv6 by address",
        who: Who::Surely(&[20]),
        act: |lab, port| {
            lab.send6(&[20, 21], port);
            lab.asked6(port, &format!("{}/128", lab.seen(20).ip()))
        },
    },
    Case {
        name: "IPv6 by the home's prefix, one sender",
        who: Who::Surely(&[22]),
        act: |lab, port| {
            lab.send6(&[22], port);
            lab.asked6(port, "2001:db8:123::/64")
        },
    },
    Case {
        name: "IPv6 by the home's prefix, two senders",
        who: Who::Nobody(&[22, 23], "the prefix is everybody's"),
        act: |lab, port| {
            lab.send6(&[22, 23], port);
            lab.seen(22);
            lab.seen(23);
            lab.asked6(port, "2001:db8:123::/64")
        },
    },
    Case {
        name: "IPv6, an address the device has only just taken",
        who: Who::Surely(&[24]),
        act: |lab, port| {
            // It knows the router: nothing makes it tell the router of the new address before it sends.
            lab.host(24).output("ping", &["-c1", "-W2", "2001:db8:123::1"]);
            lab.host(24).ip("addr add 2001:db8:123::a:b:c/64 dev eth0 nodad");
            lab.send_as(24, "2001:db8:123::a:b:c", port);
            lab.asked6(port, "2001:db8:123::a:b:c/128")
        },
    },
    Case {
        name: "a flow that has ended",
        who: Who::Surely(&[26]),
        act: |lab, port| {
            lab.send(&[26, 27], port, 0);
            let from = lab.seen(26).port();
            lab.end_flows(port);
            lab.asked(port, UDP, &[from])
        },
    },
    Case {
        name: "a flow that has not begun",
        who: Who::Surely(&[28]),
        act: |lab, port| {
            lab.later = Some((28, port, 22_028));
            lab.asked(port, UDP, &[22_028])
        },
    },
    Case {
        name: "another port than the one named",
        who: Who::Nobody(&[29], "no flow bears the port the provider has seen; this may be another attack"),
        act: |lab, port| {
            lab.send(&[29], port, 23_029);
            lab.asked(port, UDP, &[23_030])
        },
    },
    Case {
        name: "all devices send, one port is named",
        who: Who::Surely(&[33]),
        act: |lab, port| {
            lab.send(&(1..=DEVICES).collect::<Vec<_>>(), port, 4000);
            lab.asked(port, UDP, &[lab.seen(33).port()])
        },
    },
];
