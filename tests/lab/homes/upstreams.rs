//! What is ours behind each kind of upstream.

use std::cell::RefCell;

use serde_json::{Value, json};

use super::world::{Tunnel, assert_ours, default_route, found, interface, mitigation, open};
use crate::attack::{Attack, approve};
use crate::crowd::Stream;
use crate::home::{Home, VICTIM, device_mac, link};
use crate::host::Host;
use crate::stage::Stage;

const WAN: &str = "198.51.100.7/32";
const PREFIX: &str = "2001:db8:123::/48";
const VICTIM6: &str = "2001:db8:c000::80";

fn lan() -> Value {
    interface("lan", "static", "br-lan", json!({ "ipv4-address": [{ "address": "192.168.1.1", "mask": 24 }] }))
}

/// The IPv6 half of a line, with its delegated prefix.
fn wan6() -> Value {
    interface(
        "wan6",
        "dhcpv6",
        "wan",
        json!({
            "ipv6-address": [{ "address": "2001:db8:1::7", "mask": 64 }],
            "ipv6-prefix": [{ "address": "2001:db8:123::", "mask": 48 }],
            "route": default_route("2001:db8:1::1"),
        }),
    )
}

/// A tunnel of the provider that carries IPv4 over its IPv6, as netifd brings it up.
fn softwire(protocol: &str, more: Value) -> Value {
    let mut all = json!({ "dynamic": true, "route": default_route("0.0.0.0") });
    all.as_object_mut().expect("a table").extend(more.as_object().expect("a table").clone());
    interface("wan6_4", protocol, "softwire", all)
}

/// The router's IPv4 goes through a softwire to the provider, with this address there, which may stand on no link.
fn add_softwire(home: &Home, on_link: Option<&str>, translation: &str) -> Tunnel {
    let (router, provider) = (&home.router, &home.provider);
    let tunnel = Tunnel::new(router, "softwire", provider, "aftr");
    router.ip("route del default");
    router.ip("route add default dev softwire");
    // The session still goes over the line itself.
    if let Some(address) = on_link {
        router.ip(&format!("addr add {address}/32 dev softwire"));
    }
    for address in ["192.0.2.18", "192.0.0.2"] {
        provider.ip(&format!("route add {address}/32 dev aftr"));
    }
    translate(router, "softwire", translation);
    tunnel
}

/// What leaves by a link is translated so.
fn translate(router: &Host, link: &str, how: &str) {
    router.nft(&format!(
        "table inet added {{\nchain srcnat {{\ntype nat hook postrouting priority srcnat - 1; policy accept;\n\
         oifname \"{link}\" {how}\n}}\n}}\n"
    ));
}

/// One address by DHCP, a prefix by DHCPv6.
pub fn dhcp() {
    let interfaces = json!([
        lan(),
        interface(
            "wan",
            "dhcp",
            "wan",
            json!({ "ipv4-address": [{ "address": "198.51.100.7", "mask": 24 }], "route": default_route("198.51.100.1") }),
        ),
        wan6(),
    ]);
    let stage = open("", 2, |_| {}, interfaces);
    assert_ours(
        &stage,
        &[WAN, PREFIX],
        &["198.51.100.1/32", "198.51.100.0/29", "2001:db8:1::1/128", "192.168.1.11/32"],
    );
    assert_found(&stage);
}

/// Device 1 floods and is found for sure.
fn assert_found(stage: &Stage) {
    let attack = Attack::start(stage);
    let mid = stage.request(attack.seen(), 3600)["mid"].clone();
    stage.until("the device is found", |s| found(&mitigation(s, &mid)) == [(device_mac(1), "exact".to_owned())]);
}

/// PPPoE: the upstream has no Ethernet addresses, and the link below it is the modem's.
pub fn point_to_point() {
    let tunnel = RefCell::new(None);
    let build = |home: &Home| {
        let (router, provider) = (&home.router, &home.provider);
        *tunnel.borrow_mut() = Some(Tunnel::new(router, "pppoe-wan", provider, "ppp0"));
        router.ip("addr del 198.51.100.7/24 dev wan");
        router.ip("addr add 192.168.100.2/24 dev wan");
        router.ip("addr add 198.51.100.7 peer 198.51.100.1 dev pppoe-wan");
        router.ip("route add default dev pppoe-wan");
        provider.ip("addr del 198.51.100.1/24 dev edge");
        provider.ip("addr add 198.51.100.1 peer 198.51.100.7 dev ppp0");
        translate(router, "pppoe-wan", "masquerade");
    };
    let wan = json!({
        "device": "wan",
        "ipv4-address": [{ "address": "198.51.100.7", "mask": 32 }],
        "route": default_route("198.51.100.1"),
    });
    let modem = json!({ "ipv4-address": [{ "address": "192.168.100.2", "mask": 24 }] });
    let interfaces =
        json!([lan(), interface("wan", "pppoe", "pppoe-wan", wan), interface("modem", "static", "wan", modem)]);
    let stage = open("", 2, build, interfaces);
    // The modem in front of the router answers on its page.
    stage.home.provider.ip("addr add 192.168.100.1/24 dev edge");
    stage.home.router.run("ping", &["-c1", "-W5", "192.168.100.1"]);
    assert_ours(&stage, &[WAN], &["198.51.100.1/32", "192.168.100.2/32", "192.168.100.1/32"]);
    assert_found(&stage);
    let devices = stage.ubus("devices", json!({})).expect("devices")["devices"].clone();
    assert!(!devices.to_string().contains("192.168.100."), "the modem is no device: {devices}");
}

/// MAP-E: both halves of the line by one name, the translated address on the tunnel.
pub fn map_e() {
    let tunnel = RefCell::new(None);
    let snat = "ip protocol { tcp, udp } snat ip to 192.0.2.18:20000-20999";
    let build = |home: &Home| *tunnel.borrow_mut() = Some(add_softwire(home, Some("192.0.2.18"), snat));
    let map = softwire("map", json!({ "ipv4-address": [{ "address": "192.0.2.18", "mask": 32 }] }));
    softwire_is_ours(open("", 2, build, json!([lan(), wan6(), map])), "192.0.2.18/32");
}

/// MAP-T: the translated address stands on no link; netifd knows it from the rules for the firewall.
pub fn map_t() {
    let tunnel = RefCell::new(None);
    let snat = "ip protocol { tcp, udp } snat ip to 192.0.2.18:20000-20999";
    let build = |home: &Home| *tunnel.borrow_mut() = Some(add_softwire(home, None, snat));
    let rule = json!({ "type": "nat", "target": "SNAT", "family": "inet", "snat_ip": "192.0.2.18", "snat_port": "20000-20999" });
    let map = softwire("map", json!({ "data": { "zone": "wan", "firewall": [rule] } }));
    let stage = open("", 2, build, json!([lan(), wan6(), map]));
    let attack = Attack::start(&stage);
    assert_eq!(attack.seen().ip().to_string(), "192.0.2.18");
    let range = ["--source", "192.0.2.18/32", "--source-port", "20000-20999", "--target", "203.0.113.80/32"];
    let words = ["request", "--router", crate::credentials::ROUTER_NAME];
    let mid = stage.provider(&[&words[..], &range, &["--protocol", "17"]].concat()).expect("accepted")["mid"].clone();
    stage.until("both are shown", |s| found(&mitigation(s, &mid)).len() == 2);
    stage
        .provider(&["withdraw", "--router", crate::credentials::ROUTER_NAME, "--mid", &mid.to_string()])
        .expect("gone");
    drop(attack);
    softwire_is_ours(stage, "192.0.2.18/32");
}

/// DS-Lite: the provider translates, and sees the address that every home has at its end of the tunnel.
pub fn ds_lite() {
    let tunnel = RefCell::new(None);
    let build = |home: &Home| *tunnel.borrow_mut() = Some(add_softwire(home, Some("192.0.0.2"), "masquerade"));
    let lite = softwire("dslite", json!({ "ipv4-address": [{ "address": "192.0.0.2", "mask": 32 }] }));
    softwire_is_ours(open("", 2, build, json!([lan(), wan6(), lite])), "192.0.0.2/32");
}

/// Both halves are accepted by the default name, though no interface of that name is up; the device is found.
fn softwire_is_ours(stage: Stage, address: &str) {
    assert_ours(&stage, &[address, PREFIX], &["203.0.113.1/32", "2001:db8:1::1/128"]);
    assert_found(&stage);
}

/// A relay: devices have addresses of the provider's own network, and single routes say that they are inside.
pub fn relay() {
    let build = |home: &Home| {
        home.router.ip("addr del 2001:db8:123::1/64 dev br-lan");
        home.router.ip("-6 route add 2001:db8:1::b/128 dev br-lan proto static");
        // Whoever says at home that he has the victim's address is routed inwards as well.
        home.router.ip("-6 route add 2001:db8:c000::99/128 dev br-lan proto static");
        home.router.sysctl("ipv6/conf/all/proxy_ndp", "1");
        home.router.ip("-6 neigh add proxy 2001:db8:1::b dev wan");
        home.device(1).ip("addr add 2001:db8:1::b/64 dev eth0 nodad");
        home.router.ip("addr add fe80::1/64 dev br-lan nodad");
        home.device(1).ip("-6 route replace default via fe80::1 dev eth0");
    };
    let stage = open("", 1, build, Value::Null);
    assert_ours(&stage, &["2001:db8:1::b/128"], &["2001:db8:1::1/128", "2001:db8:1::c/128", "2001:db8:c000::99/128"]);
    let from = "[2001:db8:1::b]:0".parse().expect("address");
    let to = format!("[{VICTIM6}]:53").parse().expect("address");
    let _stream = Stream::udp(stage.home.device(1), from, to, 1);
    let mid = super::world::ask(&stage, "2001:db8:1::b/128", 0x80).expect("accepted")["mid"].clone();
    stage.until("the device is found", |s| found(&mitigation(s, &mid)) == [(device_mac(1), "exact".to_owned())]);
}

/// A shared address (RFC 6598), which the provider translates once more.
pub fn cgn() {
    let build = |home: &Home| {
        home.router.ip("addr add 100.64.9.7/24 dev wan");
        home.router.ip("addr del 198.51.100.7/24 dev wan");
        home.router.ip("route add 198.51.100.1/32 dev wan src 100.64.9.7");
        home.router.ip("route replace default via 198.51.100.1 src 100.64.9.7");
        home.provider.ip("route add 100.64.9.7/32 dev edge");
    };
    let stage = open("", 2, build, Value::Null);
    assert_ours(&stage, &["100.64.9.7/32"], &["100.64.9.8/32", WAN]);
    assert_found(&stage);
}

/// NPTv6: devices have private addresses, and the router puts the delegated prefix in their place.
pub fn npt() {
    let build = |home: &Home| {
        home.router.ip("addr del 2001:db8:123::1/64 dev br-lan");
        home.router.ip("addr add fd00:123::1/64 dev br-lan nodad");
        home.router.ip("-6 route add unreachable 2001:db8:123::/48");
        home.device(1).ip("addr add fd00:123::b/64 dev eth0 nodad");
        home.device(1).ip("-6 route replace default via fd00:123::1");
        home.router.nft(
            "table ip6 npt { chain srcnat { type nat hook postrouting priority srcnat; policy accept;
             oifname \"wan\" snat ip6 prefix to ip6 saddr map { fd00:123::/64 : 2001:db8:123::/64 };\n}\n}\n",
        );
    };
    let stage = open("", 1, build, Value::Null);
    assert_ours(&stage, &["2001:db8:123::b/128"], &["fd00:123::b/128"]);
    let from = "[fd00:123::b]:4000".parse().expect("address");
    let _stream = Stream::udp(stage.home.device(1), from, format!("[{VICTIM6}]:53").parse().expect("address"), 1);
    let mid = super::world::ask(&stage, "2001:db8:123::b/128", 0x80).expect("accepted")["mid"].clone();
    stage.until("the device is found", |s| found(&mitigation(s, &mid)) == [(device_mac(1), "likely".to_owned())]);
}

/// A VPN client that leaves the default route as it is and leads everything into its tunnel by halves.
pub fn split_default() {
    let tunnel = RefCell::new(None);
    let far = Host::new("vpn");
    let build = |home: &Home| {
        *tunnel.borrow_mut() = Some(Tunnel::new(&home.router, "tun0", &far, "tun0"));
        home.router.ip("addr add 192.0.2.130/25 dev tun0");
        home.router.ip("route add 0.0.0.0/1 dev tun0");
        home.router.ip("route add 128.0.0.0/1 dev tun0");
    };
    let stage = open("", 1, build, Value::Null);
    assert_ours(&stage, &[WAN], &["192.0.2.130/32", "192.0.2.200/32"]);
}

/// A public network behind another router of the home, to which the configuration routes it; a device there is blocked alone.
pub fn inner_router() {
    let (camera, laptop) = (Host::new("camera"), Host::new("laptop"));
    let build = |home: &Home| {
        let inner = home.device(1);
        home.router.ip("route add 192.0.2.64/26 via 192.168.1.11");
        home.provider.ip("route add 192.0.2.64/26 via 198.51.100.7");
        home.router.nft(
            "flush chain inet fw4 srcnat\n\
             add rule inet fw4 srcnat oifname \"wan\" ip saddr 192.168.0.0/16 masquerade\n",
        );
        inner.sysctl("ipv4/ip_forward", "1");
        inner.ip("link add br0 type bridge");
        inner.ip("link set br0 up");
        inner.ip("addr add 192.0.2.65/26 dev br0");
        for (host, port, last) in [(&camera, "p1", 66), (&laptop, "p2", 67)] {
            link(inner, port, host, "eth0");
            inner.ip(&format!("link set {port} master br0"));
            host.ip(&format!("addr add 192.0.2.{last}/26 dev eth0"));
            host.ip("route add default via 192.0.2.65");
        }
    };
    let stage = open("", 1, build, Value::Null);
    assert_ours(&stage, &["192.0.2.66/32", "192.0.2.64/26"], &["192.0.2.0/25"]);
    let sink = crate::traffic::Sink::udp(&stage.home.victim, 53);
    let to = (VICTIM, 53).into();
    let _flood = crate::traffic::Sender::udp(&camera, to, 1, 200);
    let good = crate::traffic::Sender::udp(&laptop, to, 2, 50);
    let mid = super::world::ask(&stage, "192.0.2.66/32", 80).expect("accepted")["mid"].clone();
    stage.until("the router before it is shown", |s| {
        let device = mitigation(s, &mid)["devices"][0].clone();
        device["mac"] == device_mac(1)
            && device["name"].as_str().is_some_and(|name| name.starts_with("192.0.2.66 behind"))
    });
    let id = mitigation(&stage, &mid)["id"].as_u64().expect("id");
    approve(&stage, id);
    sink.settle(&good, 2);
    let before = sink.packets(1);
    sink.settle(&good, 2);
    assert_eq!(sink.packets(1), before, "the camera still sends");
}

/// Ports of a switch, one of which is the upstream, all with one Ethernet address, as a router with DSA has them.
pub fn switch_ports() {
    let build = |home: &Home| {
        for port in ["br-lan", "lan1", "lan2", "wan"] {
            home.router.ip(&format!("link set {port} address 02:00:00:ff:00:01"));
        }
        home.router.ip("neigh flush dev wan");
    };
    let stage = open("", 2, build, Value::Null);
    assert_ours(&stage, &[WAN], &["198.51.100.1/32"]);
    assert_found(&stage);
}
