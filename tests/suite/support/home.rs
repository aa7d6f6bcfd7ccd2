//! The home all tests speak of: its devices, addresses, links and policy, and short words for what is said often.

use std::net::IpAddr;
use std::time::Duration;

use dots_callhome::mitigation::{Action, Consent, Policy, TimeoutAction};
use dots_callhome::model::{Detail, Mac, Traffic};
use vecset::VecMap;

pub const CAMERA: Mac = mac(0x11);
pub const TV: Mac = mac(0x22);
pub const LAPTOP: Mac = mac(0x33);
pub const CAMERA_V4: &str = "192.168.1.17";
pub const CAMERA_V6: &str = "2001:db8:123::11";
pub const TV_V4: &str = "192.168.1.34";

pub const LAN: u32 = 2;
pub const WAN: u32 = 3;
pub const GUEST: u32 = 4;
pub const SECOND: u32 = 5;

/// The router towards the devices, and as the provider sees it.
pub const GATEWAY: &str = "192.168.1.1";
pub const WAN_ADDRESS: &str = "198.51.100.7";
pub const SECOND_ADDRESS: &str = "192.0.2.99";

pub const VICTIM: &str = "203.0.113.80";
pub const VICTIM6: &str = "2001:db8:c000::80";

pub const TCP: u8 = 6;
pub const UDP: u8 = 17;

/// Device number `n`: `02:00:00:00:00:n`, `192.168.1.n`, `2001:db8:123::n` (hexadecimal), on the LAN bridge.
pub const fn mac(n: u8) -> Mac {
    Mac([2, 0, 0, 0, 0, n])
}

pub fn v4(n: u8) -> String {
    format!("192.168.1.{n}")
}

pub fn v6(n: u8) -> String {
    format!("2001:db8:123::{n:x}")
}

pub fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// A prefix, or an address alone.
pub fn net(text: &str) -> ipnet::IpNet {
    text.parse().or_else(|_| text.parse::<IpAddr>().map(Into::into)).unwrap()
}

pub fn ports(source: u16, destination: u16) -> Detail {
    Detail::Ports { source, destination }
}

pub fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// So many packets of 100 bytes.
pub fn packets(n: u64) -> Traffic {
    Traffic { packets: n, bytes: n * 100 }
}

pub fn policy(consent: Consent) -> Policy {
    Policy {
        consent,
        action: Action::Block,
        consent_timeout: None,
        timeout_action: TimeoutAction::Ignore,
        max_lifetime: seconds(86_400),
        max_mitigations: 128,
        devices: VecMap::new(),
    }
}
