//! Homes with networks of many kinds beside and behind the first one.

use std::cell::RefCell;

use serde_json::{Value, json};

use super::world::{Tunnel, ask, assert_ours, found, mitigation, open};
use crate::attack::{FLOOD, approve};
use crate::home::{Home, VICTIM, device_mac, link};
use crate::host::Host;
use crate::stage::Stage;
use crate::traffic::{Sender, Sink};

const WAN: &str = "198.51.100.7/32";

fn to_victim(host: &Host, tag: u8, pps: u32) -> Sender {
    Sender::udp(host, (VICTIM, 53).into(), tag, pps)
}

/// Nothing with that tag arrives any more, while what has the other one does.
fn assert_stopped(sink: &Sink, tag: u8, good: (&Sender, u8)) {
    sink.settle(good.0, good.1);
    let before = sink.packets(tag);
    sink.settle(good.0, good.1);
    sink.settle(good.0, good.1);
    assert_eq!(sink.packets(tag), before, "it still sends");
}

/// The provider speaks of the flood as it sees it; once the answer is there.
fn assert_finds(stage: &Stage, sink: &Sink, expected: &[(String, String)]) -> u64 {
    let mid = stage.request(sink.last(FLOOD).expect("arrived").1, 3600)["mid"].clone();
    stage.until(&format!("{expected:?} is found"), |s| found(&mitigation(s, &mid)) == expected);
    mitigation(stage, &mid)["id"].as_u64().expect("id")
}

fn exactly(number: usize) -> (String, String) {
    (device_mac(number), "exact".to_owned())
}

/// An inner router with shared addresses (RFC 6598) behind it, which ours translates: they are no part of what the provider sees, and a
/// block there is about one of them.
pub fn inner_shared() {
    let (camera, laptop) = (Host::new("camera"), Host::new("laptop"));
    let build = |home: &Home| {
        let inner = home.device(1);
        home.router.ip("route add 100.64.5.0/24 via 192.168.1.11");
        inner.sysctl("ipv4/ip_forward", "1");
        inner.ip("link add br0 type bridge");
        inner.ip("link set br0 up");
        inner.ip("addr add 100.64.5.1/24 dev br0");
        for (host, port, last) in [(&camera, "p1", 2), (&laptop, "p2", 3)] {
            link(inner, port, host, "eth0");
            inner.ip(&format!("link set {port} master br0"));
            host.ip(&format!("addr add 100.64.5.{last}/24 dev eth0"));
            host.ip("route add default via 100.64.5.1");
        }
    };
    let stage = open("\toption consent 'auto'\n", 1, build, Value::Null);
    assert_ours(&stage, &[WAN], &["100.64.5.2/32", "100.64.5.0/24"]);
    let sink = Sink::udp(&stage.home.victim, 53);
    let _flood = to_victim(&camera, FLOOD, 200);
    let good = to_victim(&laptop, 2, 50);
    stage.until("both arrive", |_| sink.last(FLOOD).is_some() && sink.last(2).is_some());
    let id = assert_finds(&stage, &sink, &[(device_mac(1), "possible".to_owned())]);
    assert!(
        stage.mitigation(id)["devices"][0]["name"].as_str().is_some_and(|name| name.starts_with("100.64.5.2 behind"))
    );
    assert_eq!(stage.mitigation(id)["state"], "pending", "a person decides");
    approve(&stage, id);
    assert_stopped(&sink, FLOOD, (&good, 2));
}

/// A public network on the link of the home itself, which nobody translates.
pub fn public_network() {
    let build = |home: &Home| {
        home.router.ip("addr add 192.0.2.65/29 dev br-lan");
        home.provider.ip("route add 192.0.2.64/29 via 198.51.100.7");
        home.router.nft(
            "flush chain inet fw4 srcnat\n\
             add rule inet fw4 srcnat oifname \"wan\" ip saddr 192.168.0.0/16 masquerade\n",
        );
        home.device(1).ip("addr flush dev eth0");
        home.device(1).ip("addr add 192.0.2.66/29 dev eth0");
        home.device(1).ip("route replace default via 192.0.2.65");
    };
    let stage = open("", 2, build, Value::Null);
    assert_ours(
        &stage,
        &[WAN, "192.0.2.66/32", "192.0.2.64/29"],
        &["192.0.2.0/24", "192.0.2.72/32", "192.168.1.12/32"],
    );
    let sink = Sink::udp(&stage.home.victim, 53);
    let _flood = to_victim(stage.home.device(1), FLOOD, 200);
    let good = to_victim(stage.home.device(2), 2, 50);
    stage.until("both arrive", |_| sink.last(FLOOD).is_some() && sink.last(2).is_some());
    let id = assert_finds(&stage, &sink, &[exactly(1)]);
    approve(&stage, id);
    assert_stopped(&sink, FLOOD, (&good, 2));
}

/// The upstream is a bridge, on which the provider's box for television has an address of its own: that is no device of the home.
pub fn bridged_upstream() {
    let television = Host::new("television");
    let build = |home: &Home| {
        home.router.ip("link add br-wan type bridge");
        home.router.ip("link set br-wan up");
        home.router.ip("addr flush dev wan");
        home.router.ip("link set wan master br-wan");
        home.router.ip("addr add 198.51.100.7/24 dev br-wan");
        home.router.ip("route add default via 198.51.100.1");
        link(&home.router, "tv", &television, "eth0");
        home.router.ip("link set tv master br-wan");
        television.ip("addr add 198.51.100.9/24 dev eth0");
        television.ip("route add default via 198.51.100.1");
        home.router.nft("add rule inet fw4 srcnat meta nfproto ipv4 oifname \"br-wan\" masquerade\n");
    };
    let wan = super::world::interface(
        "wan",
        "dhcp",
        "br-wan",
        json!({
            "ipv4-address": [{ "address": "198.51.100.7", "mask": 24 }],
            "route": super::world::default_route("198.51.100.1"),
        }),
    );
    let stage = open("", 2, build, json!([wan]));
    assert_ours(&stage, &[WAN], &["198.51.100.9/32", "198.51.100.0/29"]);
    let sink = Sink::udp(&stage.home.victim, 53);
    let _flood = to_victim(stage.home.device(1), FLOOD, 200);
    let _film = to_victim(&television, 3, 50);
    stage.home.router.run("ping", &["-c1", "-W5", "198.51.100.9"]);
    stage.until("both arrive", |_| sink.last(FLOOD).is_some() && sink.last(3).is_some());
    assert_finds(&stage, &sink, &[exactly(1)]);
    let devices = stage.ubus("devices", json!({})).expect("devices")["devices"].clone();
    assert!(!devices.to_string().contains("198.51.100."), "who stands outside is no device: {devices}");
}

/// A VPN client for one of the devices, by a rule: what leaves by the tunnel is none of the provider's business, though it uses the same
/// target from the same port.
pub fn policy_vpn() {
    let tunnel = RefCell::new(None);
    let far = Host::new("vpn");
    let build = |home: &Home| {
        *tunnel.borrow_mut() = Some(Tunnel::new(&home.router, "wg0", &far, "wg0"));
        home.router.ip("addr add 10.14.0.2/32 dev wg0");
        home.router.ip("route add default dev wg0 table 100");
        home.router.ip("rule add from 192.168.1.12 lookup 100");
        home.router.nft("add rule inet fw4 srcnat meta nfproto ipv4 oifname \"wg0\" masquerade\n");
    };
    let stage = open("\toption consent 'auto'\n", 3, build, Value::Null);
    assert_ours(&stage, &[WAN], &["10.14.0.2/32"]);
    let sink = Sink::udp(&stage.home.victim, 53);
    let bind = |n: usize| {
        let socket = stage.home.device(n).enter(|| std::net::UdpSocket::bind("0.0.0.0:4000")).expect("socket");
        move || drop(socket.send_to(&[15; 64], (VICTIM, 53)))
    };
    let (own, by_tunnel) = (bind(1), bind(2));
    let good = to_victim(stage.home.device(3), 2, 50);
    stage.until("both are open", |_| {
        own();
        by_tunnel();
        sink.last(15).is_some() && sink.last(2).is_some()
    });
    let mid = stage.request(sink.last(15).expect("arrived").1, 3600)["mid"].clone();
    stage.until("the one that leaves by the line is found", |s| {
        own();
        by_tunnel();
        let mitigation = mitigation(s, &mid);
        found(&mitigation) == [exactly(1)] && mitigation["verified"] == true
    });
    sink.settle(&good, 2);
}

/// The line has a second address by an alias, as for the modem's page or for more public addresses: both are of one upstream.
pub fn alias() {
    let build = |home: &Home| {
        home.router.ip("addr add 198.51.100.8/24 dev wan");
        // One of the devices leaves by the second address.
        home.router.nft("insert rule inet fw4 srcnat oifname \"wan\" ip saddr 192.168.1.12 snat ip to 198.51.100.8\n");
    };
    let of = |address: &str, more: Value| {
        let mut all = json!({ "ipv4-address": [{ "address": address, "mask": 24 }] });
        all.as_object_mut().expect("a table").extend(more.as_object().expect("a table").clone());
        all
    };
    let default = json!({ "route": super::world::default_route("198.51.100.1") });
    let interfaces = json!([
        super::world::interface("wan", "dhcp", "wan", of("198.51.100.7", default)),
        super::world::interface("wan_alias", "static", "wan", of("198.51.100.8", json!({}))),
    ]);
    let stage = open("", 2, build, interfaces);
    assert_ours(&stage, &[WAN, "198.51.100.8/32"], &["198.51.100.9/32"]);
    let sink = Sink::udp(&stage.home.victim, 53);
    let _flood = to_victim(stage.home.device(2), FLOOD, 200);
    let _good = to_victim(stage.home.device(1), 2, 50);
    stage.until("both arrive", |_| sink.last(FLOOD).is_some() && sink.last(2).is_some());
    assert_eq!(sink.last(FLOOD).expect("arrived").1.ip().to_string(), "198.51.100.8");
    assert_finds(&stage, &sink, &[exactly(2)]);
}

/// A program on the router translates what devices send over IPv6 only: who sends is told by its address in the second translation, and
/// nobody else is named.
pub fn nat64() {
    let translator = Host::new("translator");
    let tunnel = RefCell::new(None);
    let build = |home: &Home| {
        *tunnel.borrow_mut() = Some(Tunnel::new(&home.router, "nat64", &translator, "nat64"));
        home.router.ip("route add 192.168.255.0/24 dev nat64");
        translator.ip("addr add 192.168.255.9/32 dev nat64");
        translator.ip("route add default dev nat64 src 192.168.255.9");
    };
    let stage = open("\toption consent 'auto'\n", 1, build, Value::Null);
    let sink = Sink::udp(&stage.home.victim, 53);
    let _flood = to_victim(&translator, FLOOD, 200);
    let _laptop = to_victim(stage.home.device(1), 2, 50);
    stage.until("both arrive", |_| sink.last(FLOOD).is_some() && sink.last(2).is_some());
    let mid = stage.request(sink.last(FLOOD).expect("arrived").1, 3600)["mid"].clone();
    stage.until("it is told who sends", |s| {
        mitigation(s, &mid)["detail"].as_str().is_some_and(|detail| detail.contains("192.168.255.9 on nat64"))
    });
    assert_eq!(found(&mitigation(&stage, &mid)), []);
}

/// An IPv4 address that several homes share, each with several sets of ports (RFC 7597): who has the port named is found, and a port of
/// another home is nobody's here.
pub fn port_sets() {
    let tunnel = RefCell::new(None);
    let build = |home: &Home| {
        *tunnel.borrow_mut() = Some(Tunnel::new(&home.router, "map-wan", &home.provider, "aftr"));
        home.router.ip("route del default");
        home.router.ip("route add default dev map-wan");
        home.router.ip("addr add 192.0.2.18/32 dev map-wan");
        home.provider.ip("route add 192.0.2.18/32 dev aftr");
        home.router.nft(
            "add rule inet fw4 srcnat oifname \"map-wan\" ip protocol udp numgen inc mod 2 0 snat ip to 192.0.2.18:5136-5139\n\
             add rule inet fw4 srcnat oifname \"map-wan\" ip protocol udp snat ip to 192.0.2.18:9232-9235\n",
        );
    };
    let map = super::world::interface(
        "wan",
        "map",
        "map-wan",
        json!({
            "ipv4-address": [{ "address": "192.0.2.18", "mask": 32 }],
            "route": super::world::default_route("0.0.0.0"),
        }),
    );
    let stage = open("", 3, build, json!([map]));
    let sink = Sink::udp(&stage.home.victim, 53);
    let _flood = to_victim(stage.home.device(1), FLOOD, 200);
    let others: Vec<Sender> = [(2, 2), (3, 3)].map(|(n, tag)| to_victim(stage.home.device(n), tag, 50)).into();
    stage.until("all arrive", |_| [FLOOD, 2, 3].iter().all(|tag| sink.last(*tag).is_some()));
    assert_eq!(others.len(), 2);
    assert_finds(&stage, &sink, &[exactly(1)]);
    // The port of a home that has the same address.
    let foreign = std::net::SocketAddr::from(([192, 0, 2, 18], 6160));
    let mid = stage.request(foreign, 3600)["mid"].clone();
    stage.until("it has been looked for", |s| !mitigation(s, &mid)["state"].is_null());
    assert!(found(&mitigation(&stage, &mid)).iter().all(|(_, confidence)| confidence == "possible"));
    let mid = ask(&stage, "192.0.2.18/32", 80).expect("accepted")["mid"].clone();
    assert_ne!(mid, Value::Null);
}
