//! What is asked of a ledger, and what a search may find.

use dots_callhome::mitigation::{Client, Consent, DevicePolicy, Policy};
use dots_callhome::model::{Detail, Flow, Mac, PortRange, Scope, Traffic, Tuple};
use dots_callhome::source::{Confidence, Evidence, Suspect};
use vecset::VecMap;

pub use super::home::{CAMERA, LAPTOP, TV, packets, policy, seconds};
pub use super::router::TestRouter;

pub fn with_device(consent: Consent, mac: Mac, device: DevicePolicy) -> Policy {
    Policy { devices: VecMap::from([(mac, device)]), ..policy(consent) }
}

pub fn isp() -> Client {
    Client { peer: "isp".into(), cuid: "K".into() }
}

pub fn scope(targets: &[&str], sources: &[&str]) -> Scope {
    let prefixes = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
    Scope { target_prefixes: prefixes(targets), source_prefixes: prefixes(sources), ..Scope::default() }
}

/// The scope most tests speak of.
pub fn attack() -> Scope {
    scope(&["2001:db8:c000::1/128"], &["2001:db8:123::1/128"])
}

/// Another target: overlaps with nothing else.
pub fn other_attack(n: u16) -> Scope {
    scope(&[&format!("2001:db8:d000::{n:x}/128")], &["2001:db8:123::1/128"])
}

pub fn with_source_ports(scope: &Scope, lower: u16, upper: u16) -> Scope {
    Scope { source_ports: vec![PortRange::new(lower, upper).unwrap()], ..scope.clone() }
}

/// `udp 192.168.1.23:4000 -> 203.0.113.80:53 as 198.51.100.7:40000`
pub fn flow() -> Flow {
    let tuple = |from: &str, source, to: &str, destination| Tuple {
        source: from.parse().unwrap(),
        destination: to.parse().unwrap(),
        protocol: 17,
        detail: Detail::Ports { source, destination },
        zone: 0,
    };
    Flow {
        id: 1,
        original: tuple("192.168.1.23", 4000, "203.0.113.80", 53),
        reply: tuple("203.0.113.80", 53, "198.51.100.7", 40000),
        sent: None,
        answered: None,
        offloaded: false,
    }
}

pub fn suspect(mac: Mac, confidence: Confidence) -> Suspect {
    Suspect {
        mac,
        name: Some("thing".into()),
        addresses: vec!["192.168.1.23".parse().unwrap()],
        interface: Some("br-lan".into()),
        behind: false,
        senders: vec!["192.168.1.23".parse().unwrap()],
        sharers: Vec::new(),
        former: Vec::new(),
        confidence,
        evidence: vec![Evidence { flow: flow(), rate: Traffic::default(), seen: 1 }],
    }
}

pub fn exact(mac: Mac) -> Suspect {
    suspect(mac, Confidence::Exact)
}

pub fn possible(mac: Mac) -> Suspect {
    suspect(mac, Confidence::Possible)
}
