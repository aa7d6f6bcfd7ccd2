//! Faults of the links: interfaces that come and go.

use std::time::Duration;

use serde_json::{Value, json};

use super::blocked::Blocked;
use super::firewall::fw4_reload;
use super::{Fault, Outcome};
use crate::attack::{GOOD, state};
use crate::home::{PROVIDER, device_mac};
use crate::stage::Stage;

/// Nothing says when everybody has noticed that a link is gone; a person with a cable takes no less.
const AWAY: Duration = Duration::from_millis(300);

/// All of them.
pub const ALL: &[Fault] = &[
    ("the_upstream_comes_and_goes", "the upstream goes down and gets another address", upstream),
    ("the_bridge_comes_and_goes", "the LAN bridge is deleted and made again", bridge),
    ("the_device_comes_and_goes", "the device is unplugged, comes back with another address", device),
];

fn bridge() -> Outcome {
    let mut blocked = Blocked::new();
    let router = &blocked.stage.home.router;
    router.ip("link del br-lan");
    std::thread::sleep(AWAY);
    router.ip("link add br-lan type bridge");
    router.ip("link set br-lan up");
    router.ip("addr add 192.168.1.1/24 dev br-lan");
    router.ip("addr add 2001:db8:123::1/64 dev br-lan nodad");
    for port in 1..=3 {
        router.ip(&format!("link set lan{port} master br-lan"));
    }
    // Every interface that comes up makes netifd do that.
    fw4_reload(router);
    goes_on(&blocked);
    blocked.holds();
    assert_eq!(blocked.through(), 0);
    blocked.outcome("stays, untouched")
}

fn upstream() -> Outcome {
    let mut blocked = Blocked::new();
    let router = &blocked.stage.home.router;
    router.ip("link set wan down");
    router.ip("addr flush dev wan");
    std::thread::sleep(AWAY);
    router.ip("link set wan up");
    router.ip("addr add 198.51.100.8/24 dev wan");
    router.ip("addr add 2001:db8:1::7/64 dev wan nodad");
    router.ip(&format!("route add default via {PROVIDER}"));
    router.ip("-6 route add default via 2001:db8:1::1");
    fw4_reload(router);
    blocked.stage.until("honest traffic comes from the new address", |_| {
        let seen = blocked.attack.sink.last(GOOD).map(|(_, from)| from.ip().to_string());
        seen.as_deref() == Some("198.51.100.8")
    });
    blocked.stage.until("the loss is noticed", |s| s.log().contains("our address 198.51.100.7 is gone"));
    // So young a session was the last attempt less than a minute ago.
    blocked.stage.until("called again", |s| s.peer_state() == "connected");
    blocked.is_told();
    blocked.holds();
    assert_eq!(blocked.through(), 0);
    // What the provider says of the new address is understood.
    let seen = blocked.attack.sink.last(GOOD).expect("arrived").1;
    let mid = blocked.stage.request(seen, 600)["mid"].clone();
    let about = |s: &Stage| {
        let list = s.ubus("list", json!({ "state": "pending" })).unwrap_or_default();
        let all = list["mitigations"].as_array().cloned().unwrap_or_default();
        all.into_iter().find(|m| m["mid"] == mid).unwrap_or(Value::Null)
    };
    blocked.stage.until("the new request is understood", |s| state(&about(s)) == "pending");
    assert_eq!(about(&blocked.stage)["devices"][0]["mac"], device_mac(2));
    blocked.outcome("stays, untouched; the provider is called again from the new address")
}

fn device() -> Outcome {
    let mut blocked = Blocked::new();
    let (router, device) = (&blocked.stage.home.router, blocked.stage.home.device(1));
    router.ip("link set lan1 down");
    std::thread::sleep(AWAY);
    device.ip("addr del 192.168.1.11/24 dev eth0");
    device.ip("addr add 192.168.1.99/24 dev eth0");
    device.ip("route replace default via 192.168.1.1");
    router.ip("link set lan1 up");
    blocked.holds();
    assert_eq!(blocked.through(), 0);
    blocked.stage.until("the new address shows", |s| {
        let devices = s.mitigation(blocked.id)["devices"].clone();
        devices[0]["addresses"].to_string().contains("192.168.1.99")
    });
    blocked.outcome("stays: it is by Ethernet address")
}

/// Honest traffic arrives again.
fn goes_on(blocked: &Blocked) {
    let before = blocked.attack.sink.packets(GOOD);
    blocked.stage.until("honest traffic goes on", |_| blocked.attack.sink.packets(GOOD) > before);
}
