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
