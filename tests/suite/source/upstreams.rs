//! Which networks are the provider's to speak of, and which hosts are none of the home's.

use crate::support::source::*;
use dots_callhome::source::Socket;

const HOME: [&str; 3] = ["198.51.100.7/32", "2001:db8:1::7/128", "2001:db8:123::/64"];

/// Networks inside the home that nobody outside sees untranslated: 100.64.0.0/10 is shared by everybody (RFC 6598).
#[test]
fn what_is_translated_inside_is_not_the_domain() {
    for inside in ["100.64.5.1", "100.127.255.1", "10.1.0.1", "172.31.0.1"] {
        let mut kernel = Kernel::new();
        kernel.addresses.push((GUEST, ip(inside), 24));
        let house = TestRouter::on(kernel);
        let domain: Vec<String> = house.finder.domain(&["wan".to_owned()]).iter().map(ToString::to_string).collect();
        assert_eq!(domain, HOME, "{inside}");
    }
    // Global addresses inside are.
    let mut kernel = Kernel::new();
    kernel.addresses.push((GUEST, ip("100.128.0.1"), 24));
    let domain = TestRouter::on(kernel).finder.domain(&["wan".to_owned()]);
    assert!(domain.contains(&net("100.128.0.0/24")), "{domain:?}");
}

/// While the upstream is down, in whatever order its routes and addresses go, the provider's router is no device.
#[test]
fn the_providers_router_is_no_device_while_the_upstream_is_down() {
    for addresses_first in [false, true] {
        let mut house = TestRouter::with_devices(1);
        let routes = house.kernel.routes.clone();
        let mut gone: Vec<Vec<u8>> = routes[..2].iter().map(|route| messages::route(25, 0, 0, route)).collect();
        gone.extend(
            [(WAN_ADDRESS, 24), ("2001:db8:1::7", 64)].map(|(a, length)| messages::address(21, 0, WAN, ip(a), length)),
        );
        if addresses_first {
            gone.rotate_left(2);
        }
        for message in gone {
            house.event(Socket::RouteEvents, &message);
            house.neighbour("198.51.100.1", WAN, Some(mac(99)));
            let devices: Vec<_> = house.finder.inventory().devices().map(|device| device.mac).collect();
            assert!(!devices.contains(&mac(99)), "{devices:?}");
        }
    }
}
