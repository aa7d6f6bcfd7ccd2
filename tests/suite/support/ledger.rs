//! A ledger with simulated time, and short words for what the tests say often.

use std::time::{Duration, Instant};

use dots_callhome::mitigation::{
    Action, Client, Consent, DevicePolicy, Event, Grant, Ledger, Mitigation, Policy, Refusal, State, TimeoutAction,
};
use dots_callhome::model::{Detail, Flow, Mac, MitigationId, Now, PortRange, Scope, Traffic, Tuple};
use dots_callhome::source::{Confidence, Evidence, Suspect};
use vecset::VecMap;

pub const CAMERA: Mac = Mac([2, 0, 0, 0, 0, 0x11]);
pub const TV: Mac = Mac([2, 0, 0, 0, 0, 0x22]);
pub const LAPTOP: Mac = Mac([2, 0, 0, 0, 0, 0x33]);

pub fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
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
    }
}

pub fn suspect(mac: Mac, confidence: Confidence) -> Suspect {
    Suspect {
        mac,
        name: Some("thing".into()),
        addresses: vec!["192.168.1.23".parse().unwrap()],
        interface: Some("br-lan".into()),
        behind: false,
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

pub fn packets(n: u64) -> Traffic {
    Traffic { packets: n, bytes: n * 100 }
}

/// The ledger and its clock.
pub struct House {
    pub ledger: Ledger,
    pub now: Now,
}

impl House {
    pub fn new(policy: Policy) -> Self {
        Self { ledger: Ledger::new(policy), now: Now { instant: Instant::now(), unix: 1_767_225_600 } }
    }

    /// Lets time pass, with every timeout at its moment.
    pub fn pass(&mut self, time: Duration) {
        let end = self.now.after(time);
        while let Some(due) = self.ledger.poll_timeout().filter(|due| *due <= end.instant) {
            self.now = self.now.after(due.saturating_duration_since(self.now.instant));
            self.ledger.handle_timeout(self.now);
            assert_ne!(self.ledger.poll_timeout(), Some(due), "a timeout that was handled is done");
        }
        self.now = end;
    }

    pub fn put(&mut self, mid: u32, scope: &Scope) -> Result<Grant, Refusal> {
        self.ledger.put(&isp(), mid, scope, Some(seconds(3600)), false, self.now)
    }

    pub fn delete(&mut self, mid: u32) {
        self.ledger.delete(&isp(), mid, self.now);
    }

    /// A new request whose search has found these.
    pub fn request(&mut self, mid: u32, scope: &Scope, suspects: &[Suspect]) -> MitigationId {
        let id = self.put(mid, scope).unwrap().id;
        self.ledger.handle_attribution(id, suspects.to_vec(), self.now);
        id
    }

    /// A request about an exact suspect, approved and seen to be in force.
    pub fn in_force(&mut self, mid: u32, scope: &Scope, mac: Mac) -> MitigationId {
        let id = self.request(mid, scope, &[exact(mac)]);
        if self.m(id).state() == State::Pending {
            self.ledger.approve(id, None, &[], None, "root", self.now).unwrap();
        }
        self.ledger.handle_enforced(id, Ok(()), self.now);
        id
    }

    pub fn m(&self, id: MitigationId) -> &Mitigation {
        self.ledger.get(id).expect("the mitigation exists")
    }

    pub fn state(&self, id: MitigationId) -> State {
        self.m(id).state()
    }

    pub fn status(&self, id: MitigationId) -> u8 {
        self.m(id).status() as u8
    }

    pub fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.ledger.poll_event()).collect()
    }

    /// The ended ones among the events.
    pub fn gone(&mut self) -> Vec<Mitigation> {
        let gone = |event| if let Event::Gone(m) = event { Some(*m) } else { None };
        self.events().into_iter().filter_map(gone).collect()
    }

    /// Whose traffic is blocked now.
    pub fn blocked(&self) -> Vec<Mac> {
        self.ledger.desired(self.now).blocks.into_iter().flat_map(|block| block.devices).collect()
    }

    /// Who is quarantined now.
    pub fn quarantined(&self) -> Vec<Mac> {
        self.ledger.desired(self.now).quarantined.into_iter().map(|quarantined| quarantined.mac).collect()
    }
}
