//! The cases of attribution with real packets.

use crate::home::{VICTIM, WAN, device_address};
use crate::{DEVICES, GUEST, INNER, Lab, VICTIM6};

/// One case. It starts its traffic to this port of the victim, and says what the provider asks.
pub struct Case {
    pub name: &'static str,
    /// Who really sends.
    pub culprits: &'static [usize],
    /// Whether anybody could know from what is asked.
    pub knowable: bool,
    /// Starts it; returns what the provider asks, as words of its program's command.
    pub act: fn(&mut Lab, u16) -> Vec<String>,
}

/// All cases.
pub const CASES: &[Case] = &[
    Case {
        name: "UDP, everything named",
        culprits: &[1],
        knowable: true,
        act: |lab, port| {
            lab.send(&[1, 2], port, 0);
            lab.asked(port, "17", &[lab.seen(1).port()])
        },
    },
    Case {
        name: "UDP, two devices with the same port inside",
        culprits: &[3],
        knowable: true,
        act: |lab, port| {
            lab.send(&[2, 3], port, 4000);
            lab.asked(port, "17", &[lab.seen(3).port()])
        },
    },
    Case {
        name: "UDP, two senders and two ports",
        culprits: &[4, 6],
        knowable: true,
        act: |lab, port| {
            lab.send(&[4, 5, 6], port, 0);
            lab.asked(port, "17", &[lab.seen(4).port(), lab.seen(6).port()])
        },
    },
    Case {
        name: "UDP, a range of ports, one sender in it",
        culprits: &[7],
        knowable: true,
        act: |lab, port| {
            lab.send(&[7], port, 20_007);
            lab.send(&[8], port, 30_008);
            lab.request(&["--source-port", "20000-29999"], port, "17")
        },
    },
    Case {
        name: "UDP, no port named, one sender",
        culprits: &[9],
        knowable: true,
        act: |lab, port| {
            lab.send(&[9], port, 0);
            lab.request(&[], port, "17")
        },
    },
    Case {
        name: "UDP, no port named, two senders",
        culprits: &[10],
        knowable: false,
        act: |lab, port| {
            lab.send(&[10, 11], port, 0);
            lab.request(&[], port, "17")
        },
    },
    Case {
        name: "UDP, no protocol named",
        culprits: &[12],
        knowable: true,
        act: |lab, port| {
            lab.send(&[12, 13], port, 0);
            let from = lab.seen(12).port().to_string();
            let target = format!("{VICTIM}/32");
            lab.own(&["--source", &format!("{WAN}/32"), "--source-port", &from, "--target", &target])
        },
    },
    Case {
        name: "a wide target",
        culprits: &[14],
        knowable: true,
        act: |lab, port| {
            lab.send(&[14, 15], port, 0);
            let (from, port) = (lab.seen(14).port().to_string(), port.to_string());
            let source = format!("{WAN}/32");
            lab.own(&[
                "--source",
                &source,
                "--source-port",
                &from,
                "--target",
                "203.0.113.0/24",
                "--target-port",
                &port,
            ])
        },
    },
    Case {
        name: "TCP",
        culprits: &[16],
        knowable: true,
        act: |lab, port| {
            lab.connect(&[16, 17], port);
            lab.asked(port, "6", &[lab.seen(16).port()])
        },
    },
    Case {
        name: "TCP, no port named, one sender",
        culprits: &[17],
        knowable: true,
        act: |lab, port| {
            lab.connect(&[17], port);
            lab.request(&[], port, "6")
        },
    },
    Case {
        name: "ICMP by type",
        culprits: &[18],
        knowable: true,
        act: |lab, _| {
            lab.ping(18, &VICTIM.to_string());
            let (source, target) = (format!("{WAN}/32"), format!("{VICTIM}/32"));
            lab.own(&["--source", &source, "--target", &target, "--source-icmp-type", "8", "--protocol", "1"])
        },
    },
    Case {
        name: "ICMPv6 by type",
        culprits: &[19],
        knowable: true,
        act: |lab, _| {
            lab.ping(19, VICTIM6);
            let target = format!("{VICTIM6}/128");
            lab.own(&["--source", "2001:db8:123::/64", "--target", &target, "--source-icmp-type", "128"])
        },
    },
    Case {
        name: "IPv6 by address",
        culprits: &[20],
        knowable: true,
        act: |lab, port| {
            lab.send6(&[20, 21], port);
            lab.asked6(port, &format!("{}/128", lab.seen(20).ip()))
        },
    },
    Case {
        name: "IPv6 by the home's prefix, one sender",
        culprits: &[22],
        knowable: true,
        act: |lab, port| {
            lab.send6(&[22], port);
            lab.asked6(port, "2001:db8:123::/64")
        },
    },
    Case {
        name: "IPv6 by the home's prefix, two senders",
        culprits: &[22],
        knowable: false,
        act: |lab, port| {
            lab.send6(&[22, 23], port);
            lab.asked6(port, "2001:db8:123::/64")
        },
    },
    Case {
        name: "IPv6, an address the device has only just taken",
        culprits: &[24],
        knowable: true,
        act: |lab, port| {
            lab.stage.home.device(24).ip("addr add 2001:db8:123::a:b:c/64 dev eth0 nodad");
            lab.send_as(24, "2001:db8:123::a:b:c", port);
            lab.asked6(port, "2001:db8:123::a:b:c/128")
        },
    },
    Case {
        name: "the guest network",
        culprits: &[GUEST],
        knowable: true,
        act: |lab, port| {
            lab.send(&[25], port, 0);
            lab.send_from_guest(port);
            lab.asked(port, "17", &[lab.seen(GUEST).port()])
        },
    },
    Case {
        name: "behind another router: asked, for a block would hit all behind it",
        culprits: &[INNER],
        knowable: false,
        act: |lab, port| {
            lab.send_from_attic(port);
            lab.asked(port, "17", &[lab.seen(INNER).port()])
        },
    },
    Case {
        name: "the other router itself",
        culprits: &[INNER],
        knowable: true,
        act: |lab, port| {
            lab.send(&[INNER], port, 0);
            lab.asked(port, "17", &[lab.seen(INNER).port()])
        },
    },
    Case {
        name: "a device that serves a forwarded port",
        culprits: &[5],
        knowable: true,
        act: |lab, port| {
            lab.reflect(5, port);
            let (port, target) = (port.to_string(), format!("{VICTIM}/32"));
            lab.own(&[
                "--source",
                &format!("{WAN}/32"),
                "--source-port",
                "1900",
                "--target",
                &target,
                "--target-port",
                &port,
            ])
        },
    },
    Case {
        name: "a flow that has ended",
        culprits: &[26],
        knowable: true,
        act: |lab, port| {
            lab.send(&[26, 27], port, 0);
            let from = lab.seen(26).port();
            lab.streams.clear();
            lab.forget_flows(port);
            lab.asked(port, "17", &[from])
        },
    },
    Case {
        name: "a flow that has not begun",
        culprits: &[28],
        knowable: true,
        act: |lab, port| {
            lab.later = Some((28, port, 22_028));
            lab.asked(port, "17", &[22_028])
        },
    },
    Case {
        name: "another port than the one named",
        culprits: &[29],
        knowable: false,
        act: |lab, port| {
            lab.send(&[29], port, 23_029);
            lab.asked(port, "17", &[23_030])
        },
    },
    Case {
        name: "the router itself sends",
        culprits: &[],
        knowable: true,
        act: |lab, port| {
            lab.send(&[0], port, 0);
            lab.asked(port, "17", &[lab.seen(0).port()])
        },
    },
    Case {
        name: "an address that another device has taken over: asked, for it may be a pretence",
        culprits: &[31],
        knowable: false,
        act: |lab, port| {
            let address = device_address(30);
            lab.send(&[30], port, 0);
            lab.seen(30);
            lab.streams.clear();
            lab.stage.home.device(30).ip(&format!("addr del {address}/24 dev eth0"));
            lab.stage.home.device(31).ip(&format!("addr add {address}/32 dev eth0"));
            lab.send_as(31, &address.to_string(), port);
            lab.asked(port, "17", &[lab.seen(31).port()])
        },
    },
    Case {
        name: "all devices send, one port is named",
        culprits: &[33],
        knowable: true,
        act: |lab, port| {
            lab.send(&(1..=DEVICES).filter(|n| *n != 30).collect::<Vec<_>>(), port, 4000);
            lab.asked(port, "17", &[lab.seen(33).port()])
        },
    },
];
