//! Who sends, whatever it is; and a quarantine in a home with servers of its own.

use std::net::UdpSocket;

use serde_json::{Value, json};

use super::world::{Tunnel, found, open};
use crate::attack::{Attack, FLOOD, approve, the_id_in_state};
use crate::home::{Home, VICTIM, device_mac, link};
use crate::host::Host;
use crate::stage::Stage;
use crate::traffic::{Sender, Sink};

/// A telephone that is at home by a tunnel takes part; a laptop uses the target from another port.
pub fn vpn_server() {
    let phone = Host::new("phone");
    let tunnel = std::cell::RefCell::new(None);
    let build = |home: &Home| {
        *tunnel.borrow_mut() = Some(Tunnel::new(&home.router, "wg0", &phone, "wg0"));
        home.router.ip("addr add 10.9.0.1/24 dev wg0");
        phone.ip("addr add 10.9.0.2/24 dev wg0");
        phone.ip("route add default via 10.9.0.1");
    };
    let stage = open("\toption consent 'auto'\n", 1, build, Value::Null);
    let sink = Sink::udp(&stage.home.victim, 53);
    let _laptop = Sender::udp(stage.home.device(1), (VICTIM, 53).into(), 2, 50);
    let _phone = Sender::udp(&phone, (VICTIM, 53).into(), FLOOD, 200);
    stage.until("both arrive", |_| sink.last(FLOOD).is_some() && sink.last(2).is_some());
    stage.request(sink.last(FLOOD).expect("arrived").1, 3600);
    stage.until("it is told who sends", |s| {
        s.the_mitigation()["detail"].as_str().is_some_and(|detail| detail.contains("10.9.0.2 on wg0"))
    });
    let mitigation = stage.the_mitigation();
    assert_eq!((&mitigation["state"], found(&mitigation)), (&json!("searching"), vec![]));
    assert_eq!(mitigation["strangers"][0]["interface"], "wg0");
}

/// A proxy on the router asks in the name of its own.
pub fn proxy() {
    let build = |home: &Home| {
        home.router.nft(
            "table inet proxy { chain pre { type nat hook prerouting priority dstnat; policy accept;
             iifname \"br-lan\" udp dport 53 redirect to :5300;\n}\n}\n",
        );
    };
    let stage = open("", 1, build, Value::Null);
    let sockets = stage.home.router.enter(|| [UdpSocket::bind("0.0.0.0:5300"), UdpSocket::bind("0.0.0.0:0")]);
    let [inner, outer] = sockets.map(|socket| socket.expect("socket"));
    std::thread::spawn(move || {
        let mut packet = [0; 100];
        while let Ok((length, _)) = inner.recv_from(&mut packet) {
            let _ = outer.send_to(&packet[..length], (VICTIM, 53));
        }
    });
    let sink = Sink::udp(&stage.home.victim, 53);
    let _device = Sender::udp(stage.home.device(1), (VICTIM, 53).into(), FLOOD, 200);
    stage.until("it arrives", |_| sink.last(FLOOD).is_some());
    stage.request(sink.last(FLOOD).expect("arrived").1, 3600);
    stage.until("it is told who sends", |s| {
        s.the_mitigation()["detail"].as_str().is_some_and(|detail| detail.contains("the router itself"))
    });
    assert_eq!(found(&stage.the_mitigation()), []);
}

/// A repeater that puts its own Ethernet address on what it relays: camera and laptop share it.
pub fn repeater() {
    let (repeater, camera, laptop) = (Host::new("repeater"), Host::new("camera"), Host::new("laptop"));
    let build = |home: &Home| {
        link(&home.router, "lan9", &repeater, "eth0");
        home.router.ip("link set lan9 master br-lan");
        repeater.sysctl("ipv4/ip_forward", "1");
        repeater.ip("addr add 192.168.1.60/24 dev eth0");
        repeater.ip("route add default via 192.168.1.1");
        for (host, port, last) in [(&camera, "p1", 61), (&laptop, "p2", 62)] {
            link(&repeater, port, host, "eth0");
            repeater.ip(&format!("route add 192.168.1.{last}/32 dev {port}"));
            host.ip(&format!("addr add 192.168.1.{last}/24 dev eth0"));
            host.ip("route add default via 192.168.1.1");
        }
        for port in ["eth0", "p1", "p2"] {
            repeater.sysctl(&format!("ipv4/conf/{port}/proxy_arp"), "1");
        }
    };
    let stage = open("\toption consent 'auto'\n", 0, build, Value::Null);
    let sink = Sink::udp(&stage.home.victim, 53);
    let _camera = Sender::udp(&camera, (VICTIM, 53).into(), FLOOD, 200);
    let good = Sender::udp(&laptop, (VICTIM, 53).into(), 2, 50);
    stage.until("both arrive", |_| sink.last(FLOOD).is_some() && sink.last(2).is_some());
    stage.request(sink.last(FLOOD).expect("arrived").1, 3600);
    let id = the_id_in_state(&stage, "pending");
    stage.until("both are told", |s| {
        let device = s.mitigation(id)["devices"][0].clone();
        device["confidence"] == "exact" && device["sharers"].as_array().is_some_and(|sharers| sharers.len() == 2)
    });
    approve(&stage, id);
    assert_eq!(stage.mitigation(id)["devices"][0]["only"], json!(["192.168.1.61"]));
    sink.settle(&good, 2);
    let before = sink.packets(FLOOD);
    sink.settle(&good, 2);
    assert_eq!(sink.packets(FLOOD), before, "the camera still sends");
}

/// The upstream bears the Ethernet address of a PC at home, which takes part; taking it is no way out of a quarantine.
pub fn cloned_address() {
    let build = |home: &Home| {
        home.router.ip("link set wan down");
        home.router.ip(&format!("link set wan address {}", device_mac(1)));
        home.router.ip("link set wan up");
        home.router.ip("route add default via 198.51.100.1");
    };
    let stage = open("", 2, build, Value::Null);
    let attack = Attack::start(&stage);
    stage.request(attack.seen(), 3600);
    let id = the_id_in_state(&stage, "pending");
    stage.until("the PC is found", |s| found(&s.mitigation(id)) == [(device_mac(1), "exact".to_owned())]);
    approve(&stage, id);
    attack.assert_blocked();
    stage.quarantine(&device_mac(1));
    assert_eq!(the_device(&stage)["state"], "quarantined");
}

fn the_device(stage: &Stage) -> Value {
    let devices = stage.ubus("devices", json!({})).expect("devices")["devices"].clone();
    let all = devices.as_array().cloned().unwrap_or_default();
    all.into_iter().find(|device| device["mac"] == device_mac(1)).unwrap_or_default()
}

/// Another box serves names and leases: what a device in quarantine has asked it before it goes on asking, and nothing else.
pub fn servers_of_the_home() {
    let stage = open("", 3, |_| {}, Value::Null);
    let (device, server, laptop) = (stage.home.device(1), stage.home.device(2), stage.home.device(3));
    let sinks = [53, 67, 80].map(|port| Sink::udp(server, port));
    let at = |host: u8, port: u16| std::net::SocketAddr::from(([192, 168, 1, host], port));
    let other = Sink::udp(laptop, 53);
    stage.until("the servers are noted", |s| {
        s.home.router.output("nft", &["list", "table", "bridge", "dots_callhome_servers"]).status.success()
    });
    let ask = |tag: u8, to| Sender::udp(device, to, tag, 50);
    let (names, lease, page) = (ask(1, at(12, 53)), ask(2, at(12, 67)), ask(3, at(12, 80)));
    stage.until("all arrive", |_| (0..3).all(|n| sinks[n].last(n as u8 + 1).is_some()));
    device.says_hello();
    stage.quarantine(&device_mac(1));
    // One more that it has not asked before.
    let late = ask(4, at(13, 53));
    stage.until("the quarantine holds", |_| {
        let before = sinks[2].packets(3);
        sinks[0].settle(&names, 1);
        sinks[0].settle(&names, 1);
        sinks[2].packets(3) == before
    });
    sinks[1].settle(&lease, 2);
    assert!(late.sent() > 0 && page.sent() > 0);
    assert_eq!(other.packets(4), 0, "a box it has never asked");
    let answered = || device.output("ping", &["-c1", "-W1", "192.168.1.12"]).status.success();
    assert!(!answered(), "nothing but names and leases");
}

/// A device that has got another address since it was last heard is one device, not two: `auto` asks nobody, and the block is about the
/// address that sends.
pub fn readdressed() {
    let stage = open("\toption consent 'auto'\n", 2, |_| {}, Value::Null);
    let device = stage.home.device(1);
    let sink = Sink::udp(&stage.home.victim, 53);
    stage.until("openers are noted", |s| s.log().contains("who opens flows is noted"));
    // It has used the target from its first address.
    let first = Sender::udp(device, (VICTIM, 53).into(), 3, 50);
    stage.until("it arrives", |_| sink.last(3).is_some());
    drop(first);
    device.ip("addr add 192.168.1.111/24 dev eth0");
    device.ip("addr del 192.168.1.11/24 dev eth0");
    device.ip("addr replace 192.168.1.111/24 dev eth0");
    device.ip("route replace default via 192.168.1.1");
    let _flood = Sender::udp(device, (VICTIM, 53).into(), FLOOD, 200);
    let good = Sender::udp(stage.home.device(2), (VICTIM, 53).into(), 2, 50);
    stage.until("both arrive", |_| sink.last(FLOOD).is_some() && sink.last(2).is_some());
    stage.request(sink.last(FLOOD).expect("arrived").1, 3600);
    let id = the_id_in_state(&stage, "active");
    stage.until("in force and verified", |s| s.mitigation(id)["verified"] == true);
    assert_eq!(stage.mitigation(id)["devices"][0]["only"], json!(["192.168.1.111"]));
    sink.settle(&good, 2);
    let before = sink.packets(FLOOD);
    sink.settle(&good, 2);
    assert_eq!(sink.packets(FLOOD), before, "it still sends");
}

/// A device bears the Ethernet address that the router has on another link of the home. It stays in quarantine over a restart, though it
/// says nothing.
pub fn borne_address() {
    let build = |home: &Home| {
        home.router.ip("link add guest type bridge");
        home.router.ip(&format!("link set guest address {}", device_mac(1)));
        home.router.ip("link set guest up");
        home.router.ip("addr add 192.168.2.1/24 dev guest");
    };
    let mut stage = open("", 2, build, Value::Null);
    stage.home.device(1).says_hello();
    stage.quarantine(&device_mac(1));
    let is_dropped = |stage: &Stage| {
        let sets = stage.home.router.output("nft", &["list", "set", "inet", "dots_callhome", "quarantine"]);
        String::from_utf8_lossy(&sets.stdout).contains(&device_mac(1))
    };
    stage.until("it is in force", is_dropped);
    stage.stop_daemon("TERM");
    stage.home.device(1).ip("link set eth0 down");
    stage.home.router.ip("neigh flush dev br-lan");
    stage.start_daemon();
    stage.until("the session is up", |s| s.peer_state() == "connected");
    stage.home.device(2).says_hello();
    stage.until("it knows its neighbours", |s| {
        let devices = s.ubus("devices", json!({})).expect("devices");
        devices["devices"].as_array().is_some_and(|all| all.iter().any(|device| device["mac"] == device_mac(2)))
    });
    assert!(is_dropped(&stage), "set free by a restart");
}

/// Servers of names in other networks of the home, one on another link and one behind an inner router, to which ours sends devices on: a
/// device in quarantine goes on asking both, and reaches nothing else there.
pub fn servers_elsewhere() {
    let (pihole, other) = (Host::new("pihole"), Host::new("other"));
    let build = |home: &Home| {
        let inner = home.device(2);
        home.router.ip("route add 192.168.3.0/24 via 192.168.1.12");
        inner.sysctl("ipv4/ip_forward", "1");
        for (router, port, host, net) in [(inner, "p1", &pihole, 3), (&home.router, "dmz", &other, 4)] {
            link(router, port, host, "eth0");
            router.ip(&format!("addr add 192.168.{net}.1/24 dev {port}"));
            host.ip(&format!("addr add 192.168.{net}.2/24 dev eth0"));
            host.ip(&format!("route add default via 192.168.{net}.1"));
        }
    };
    let stage = open("", 2, build, Value::Null);
    let device = stage.home.device(1);
    let noted = |stage: &Stage, family: &str| {
        let set = stage.home.router.output("nft", &["list", "set", family, "dots_callhome_servers", "v4"]);
        String::from_utf8_lossy(&set.stdout).into_owned()
    };
    stage.until("servers are noted", |s| !noted(s, "inet").is_empty() && !noted(s, "bridge").is_empty());
    let at = |net: u8, port: u16| std::net::SocketAddr::from(([192, 168, net, 2], port));
    let servers = [(&pihole, 3, 1), (&other, 4, 2)];
    let names = servers.map(|(host, net, tag)| (Sink::udp(host, 53), Sender::udp(device, at(net, 53), tag, 50), tag));
    let pages = servers.map(|(host, net, tag)| (Sink::udp(host, 80), Sender::udp(device, at(net, 80), tag, 50), tag));
    let abroad = (Sink::udp(&stage.home.victim, 53), Sender::udp(device, (VICTIM, 53).into(), 3, 50), 3);
    let rest: Vec<_> = pages.into_iter().chain([abroad]).collect();
    stage.until("all arrive", |_| names.iter().chain(&rest).all(|(sink, _, tag)| sink.last(*tag).is_some()));
    // Our router tells the device of the inner one, to which it turns by itself then.
    stage.until("both are noted", |s| {
        noted(s, "inet").contains("192.168.4.2") && noted(s, "bridge").contains("192.168.3.2")
    });
    assert!(!noted(&stage, "inet").contains(&VICTIM.to_string()), "{}", noted(&stage, "inet"));
    stage.quarantine(&device_mac(1));
    let passes = || {
        let arrived = || rest.iter().map(|(sink, _, tag)| sink.packets(*tag)).sum::<usize>();
        let before = arrived();
        names.iter().for_each(|(sink, sender, tag)| sink.settle(sender, *tag));
        names.iter().for_each(|(sink, sender, tag)| sink.settle(sender, *tag));
        arrived() > before
    };
    stage.until("the quarantine holds", |_| !passes());
    device.ip("neigh flush dev eth0");
    assert!(!passes(), "it reaches more than names");
}

/// The same box on the same bridge, over IPv6, where the bridge's frames pass the rules for routed packets as well: names go on, and so
/// does what finds the two of them.
pub fn servers_with_br_netfilter() {
    let stage = open(
        "",
        2,
        |home| {
            for table in ["iptables", "ip6tables"] {
                home.router.sysctl(&format!("bridge/bridge-nf-call-{table}"), "1");
            }
            for (device, last) in [(1, 11), (2, 12)] {
                home.device(device).ip(&format!("addr add fd00::{last}/64 dev eth0 nodad"));
            }
        },
        Value::Null,
    );
    let (device, server) = (stage.home.device(1), stage.home.device(2));
    let noted = |stage: &Stage| {
        let set = stage.home.router.output("nft", &["list", "set", "bridge", "dots_callhome_servers", "v6"]);
        String::from_utf8_lossy(&set.stdout).into_owned()
    };
    stage.until("servers are noted", |s| !noted(s).is_empty());
    let bind = |host: &Host, at: &str| host.enter(|| UdpSocket::bind(at)).expect("socket");
    let (asks, answers) = (bind(device, "[fd00::11]:5000"), bind(server, "[fd00::12]:53"));
    for socket in [&asks, &answers] {
        socket.set_read_timeout(Some(std::time::Duration::from_millis(200))).expect("timeout");
    }
    let exchange = || {
        let mut packet = [0; 8];
        let _ = asks.send_to(b"question", "[fd00::12]:53");
        let Ok((_, from)) = answers.recv_from(&mut packet) else { return false };
        let _ = answers.send_to(b"answered", from);
        asks.recv_from(&mut packet).is_ok()
    };
    stage.until("names are served", |_| exchange());
    stage.until("the server is noted", |s| noted(s).contains("fd00::12"));
    device.says_hello();
    stage.quarantine(&device_mac(1));
    stage.until("the quarantine holds", |_| !device.output("ping", &["-6", "-c1", "-W1", "fd00::12"]).status.success());
    // Both have forgotten where the other is.
    for host in [device, server] {
        host.ip("-6 neigh flush dev eth0");
    }
    stage.until("names are served still", |_| exchange());
    server.ip("-6 neigh flush dev eth0");
    stage.until("the server finds the device", |_| {
        let _ = answers.send_to(b"answered", "[fd00::11]:5000");
        asks.recv_from(&mut [0; 8]).is_ok()
    });
    assert!(!device.output("ping", &["-6", "-c1", "-W1", "fd00::12"]).status.success(), "nothing but names");
}
