//! What might fool the daemon: ports and addresses that change hands, pretences, services of the router, translations both
//! ways, other zones of conntrack.

use std::net::{IpAddr, Ipv4Addr, UdpSocket};

use super::{Case, Who};
use crate::attribution::{Lab, VICTIM6};
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
            lab.host(33).output("ping", &["-c1", "-W2", "192.168.1.1"]);
            pretend(lab, 35, "192.168.1.43");
            lab.send_as(35, "192.168.1.43", port);
            lab.asked(port, UDP, &[lab.seen(35).port()])
        },
    },
    Case {
        name: "the address of a neighbour that sends to the target as well",
        who: Who::Nobody(&[35, 33], "packets with the same address come from two devices"),
        act: |lab, port| {
            lab.send(&[33], port, 0);
            pretend(lab, 35, "192.168.1.43");
            lab.send_as(35, "192.168.1.43", port);
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
    Case {
        name: "an address borrowed for a moment, over before the request",
        who: Who::Nobody(&[32], "both have opened flows from it, and neither sends any more"),
        act: |lab, port| {
            browse(lab, 29);
            borrow(lab, 32, "192.168.1.39", port)
        },
    },
    Case {
        name: "the same, and the target has answered",
        who: Who::Nobody(&[32], "the answers go to the owner of the address, who knows nothing of them"),
        act: |lab, port| {
            browse(lab, 28);
            let target = lab.stage.home.victim.enter(|| UdpSocket::bind((VICTIM, port))).expect("socket");
            borrow_from(lab, 32, "192.168.1.38", port, 26_028);
            let mut packet = [0; 100];
            let (length, from) = target.recv_from(&mut packet).expect("arrives");
            target.send_to(&packet[..length], from).expect("answered");
            let to = port.to_string();
            let words = ["-L", "-p", "udp", "--orig-port-src", "26028", "--orig-port-dst", &to];
            lab.stage.until("it is answered", |s| !s.home.router.run("conntrack", &words).contains("UNREPLIED"));
            lab.asked(port, UDP, &[from.port()])
        },
    },
    Case {
        name: "the same among 400 made-up addresses",
        who: Who::Nobody(&[32], "both have opened flows from it"),
        act: |lab, port| {
            browse(lab, 27);
            make_up(lab, 32, 400, port);
            borrow(lab, 32, "192.168.1.37", port)
        },
    },
    Case {
        name: "the same over IPv6",
        who: Who::Nobody(&[32], "both have opened flows from it"),
        act: |lab, port| {
            lab.send6(&[26], port + 1);
            lab.seen(26);
            lab.streams.clear();
            borrow_from(lab, 32, "2001:db8:123::24", port, 26_026);
            lab.asked6(port, "2001:db8:123::24/128")
        },
    },
    Case {
        name: "an address that another device has announced for a moment",
        who: Who::Nobody(&[32], "it has changed hands, and both have opened flows from it"),
        act: |lab, port| {
            browse(lab, 24);
            announce(lab, 32, "192.168.1.34/32", "192.168.1.1");
            lab.send_as(32, "192.168.1.34", port);
            let from = lab.seen(32).port();
            lab.streams.clear();
            lab.host(32).ip("addr del 192.168.1.34/32 dev eth0");
            lab.host(24).ip("neigh flush dev eth0");
            lab.host(24).output("ping", &["-c1", "-W2", "192.168.1.1"]);
            lab.asked(port, UDP, &[from])
        },
    },
    Case {
        name: "the same over IPv6 with neighbour advertisements",
        who: Who::Nobody(&[32], "it has changed hands, and both have opened flows from it"),
        act: |lab, port| {
            lab.send6(&[23], port + 1);
            lab.seen(23);
            lab.streams.clear();
            lab.host(32).sysctl("ipv6/conf/eth0/ndisc_notify", "1");
            announce(lab, 32, "2001:db8:123::21/128", "2001:db8:123::1");
            lab.send_as(32, "2001:db8:123::21", port);
            lab.seen(32);
            lab.streams.clear();
            lab.host(32).ip("addr del 2001:db8:123::21/128 dev eth0");
            lab.asked6(port, "2001:db8:123::21/128")
        },
    },
    Case {
        name: "the Ethernet address of another device, on another port of the bridge",
        who: Who::Nobody(&[22], "both have the same address; only the bridge has seen that it moved"),
        act: |lab, port| {
            browse(lab, 22);
            let (own, other) = (super::mac(32), super::mac(22));
            clone(lab, 32, &other);
            let words = borrow(lab, 32, "192.168.1.32", port);
            clone(lab, 32, &own);
            words
        },
    },
    // The last one: from here on the sets are full.
    Case {
        name: "a borrowed address among 1,200 made-up ones",
        who: Who::Nobody(&[], "the kernel had no room to note who borrowed it, and knows that"),
        act: |lab, port| {
            browse(lab, 21);
            make_up(lab, 32, 1200, port);
            borrow(lab, 32, "192.168.1.31", port)
        },
    },
];

/// A device sends something else somewhere else, as devices do.
fn browse(lab: &mut Lab, number: usize) {
    let (address, port) = (device_address(number), 40_000 + number as u16);
    lab.send_from(number, (address, 0).into(), port);
    lab.seen(number);
    lab.streams.clear();
    lab.victim.clear();
}

/// A device sends from an address that it need not have, for a moment, and the provider asks about that.
fn borrow(lab: &mut Lab, number: usize, address: &str, port: u16) -> Vec<String> {
    use_any(lab, number, &format!("{address}/32"));
    lab.send_as(number, address, port);
    let from = lab.seen(number).port();
    lab.streams.clear();
    lab.asked(port, UDP, &[from])
}

/// Lets a device send from addresses of others, without answering for them.
fn use_any(lab: &Lab, number: usize, addresses: &str) {
    let host = lab.host(number);
    if addresses.contains(':') {
        return host.sysctl("ipv6/ip_nonlocal_bind", "1");
    }
    for (what, value) in [("arp_ignore", "1"), ("arp_announce", "2")] {
        host.sysctl(&format!("ipv4/conf/all/{what}"), value);
    }
    host.ip(&format!("route replace local {addresses} dev lo"));
}

/// One packet from such an address and this port.
fn borrow_from(lab: &mut Lab, number: usize, address: &str, port: u16, from: u16) {
    let host = lab.host(number);
    use_any(lab, number, &format!("{address}/32"));
    let address: IpAddr = address.parse().expect("address");
    let socket = host.enter(|| UdpSocket::bind((address, from))).expect("socket");
    let target: IpAddr = if address.is_ipv4() { VICTIM.into() } else { VICTIM6.parse().expect("address") };
    socket.send_to(&[u8::try_from(number).expect("a small number"); 100], (target, port)).expect("sent");
    let protocol = if address.is_ipv4() { "ipv4" } else { "ipv6" };
    let (from, to) = (from.to_string(), port.to_string());
    let words = ["-L", "-f", protocol, "-p", "udp", "--orig-port-src", &from, "--orig-port-dst", &to];
    lab.stage.until("it is on its way", |s| s.home.router.run("conntrack", &words).contains("dport"));
}

/// A packet from each of so many addresses that nobody has.
fn make_up(lab: &mut Lab, number: usize, count: u16, port: u16) {
    use_any(lab, number, "10.99.0.0/16");
    let host = lab.host(number);
    host.enter(|| {
        for n in 0..count {
            let [high, low] = n.to_be_bytes();
            let socket = UdpSocket::bind((Ipv4Addr::new(10, 99, high, low), 0)).expect("socket");
            socket.send_to(&[0; 20], (VICTIM, port)).expect("sent");
        }
    });
}

/// A device takes an address, and lets the router know.
fn announce(lab: &mut Lab, number: usize, address: &str, router: &str) {
    let host = lab.host(number);
    host.ip(&format!("addr add {address} dev eth0{}", if address.contains(':') { " nodad" } else { "" }));
    host.ip("neigh flush dev eth0");
    let (own, _) = address.split_once('/').expect("a prefix");
    host.output("ping", &["-c1", "-W2", "-I", own, router]);
}

/// A device takes an Ethernet address.
fn clone(lab: &mut Lab, number: usize, mac: &str) {
    let host = lab.host(number);
    host.ip("link set eth0 down");
    host.ip(&format!("link set eth0 address {mac}"));
    host.ip("link set eth0 up");
    host.ip("route replace default via 192.168.1.1");
}

/// Lets a device send from an address without answering for it.
fn pretend(lab: &mut Lab, number: usize, address: &str) {
    let host = lab.host(number);
    host.output("ping", &["-c1", "-W2", "192.168.1.1"]);
    for (what, value) in [("arp_ignore", "1"), ("arp_announce", "2")] {
        host.sysctl(&format!("ipv4/conf/all/{what}"), value);
    }
    host.ip(&format!("addr replace {address}/32 dev lo"));
}
