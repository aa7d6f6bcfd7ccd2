//! The enforcer with a kernel made of maps and simulated time, and short words for what the tests say often.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use dots_callhome::enforce::desired::{Block, Desired, Owner, Quarantined};
use dots_callhome::enforce::{Enforcer, Event, Socket};
use dots_callhome::model::{Detail, Flow, Mac, MitigationId, Now, PortRange, Scope, Traffic, Tuple};
use dots_callhome::source::Inventory;

use super::kernel::Kernel;

pub const CAMERA: Mac = Mac([2, 0, 0, 0, 0, 0x11]);
pub const TV: Mac = Mac([2, 0, 0, 0, 0, 0x22]);
pub const LAPTOP: Mac = Mac([2, 0, 0, 0, 0, 0x33]);
pub const CAMERA_V4: &str = "192.168.1.17";
pub const CAMERA_V6: &str = "2001:db8:123::11";
pub const TV_V4: &str = "192.168.1.34";
pub const GATEWAY: &str = "192.168.1.1";
pub const VICTIM: &str = "203.0.113.80";
pub const WAN: &str = "198.51.100.7";

pub fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

pub fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// UDP to port 53 of these targets.
pub fn scope(targets: &[&str]) -> Scope {
    Scope {
        target_prefixes: targets.iter().map(|text| text.parse().unwrap()).collect(),
        target_ports: vec![PortRange::new(53, 53).unwrap()],
        target_protocols: vec![17],
        source_prefixes: vec!["198.51.100.7/32".parse().unwrap()],
        ..Scope::default()
    }
}

pub fn block(id: u32, devices: &[Mac]) -> Block {
    Block {
        id: MitigationId(id),
        scope: scope(&["203.0.113.80/32"]),
        devices: devices.into(),
        remaining: seconds(3600),
    }
}

pub fn blocks(blocks: &[Block]) -> Desired {
    Desired { blocks: blocks.into(), ..Desired::default() }
}

pub fn quarantine(id: Option<u32>, mac: Mac) -> Quarantined {
    Quarantined { mac, owner: owner(id), remaining: id.map(|_| seconds(3600)) }
}

/// A mitigation; without a number, the administrator.
pub fn owner(id: Option<u32>) -> Owner {
    id.map_or(Owner::Administrator, |id| Owner::Mitigation(MitigationId(id)))
}

/// A mitigation is told to be in force.
pub fn enforced(id: u32) -> Event {
    Event::Enforced { owner: owner(Some(id)), outcome: Ok(()) }
}

/// Whether a mitigation has been told not to be in force, in these words.
pub fn failed(told: &[Event], id: u32, reason: &str) -> bool {
    told.iter().any(|event| match event {
        Event::Enforced { owner: of, outcome: Err(why) } => *of == owner(Some(id)) && why.to_string() == reason,
        _ => false,
    })
}

pub fn quarantines(quarantined: &[Quarantined]) -> Desired {
    Desired { quarantined: quarantined.into(), ..Desired::default() }
}

pub fn packets(n: u64) -> Traffic {
    Traffic { packets: n, bytes: n * 100 }
}

pub fn tuple(protocol: u8, source: (&str, u16), destination: (&str, u16)) -> Tuple {
    Tuple {
        source: ip(source.0),
        destination: ip(destination.0),
        protocol,
        detail: Detail::Ports { source: source.1, destination: destination.1 },
        zone: 0,
    }
}

/// From a device through masquerading.
pub fn outgoing(id: u32, device: &str, port: u16, target: (&str, u16)) -> Flow {
    let reply = tuple(17, target, (WAN, port));
    Flow { id, original: tuple(17, (device, port), target), reply, sent: Some(packets(9)), answered: Some(packets(0)) }
}

/// From outside to a forwarded port; `answered`: packets of the device.
pub fn incoming(id: u32, from: (&str, u16), device: (&str, u16), answered: u64) -> Flow {
    Flow {
        id,
        original: tuple(17, from, (WAN, device.1)),
        reply: tuple(17, device, from),
        sent: Some(packets(5)),
        answered: Some(packets(answered)),
    }
}

/// The enforcer, its kernel and the clock.
pub struct House {
    pub enforcer: Enforcer,
    pub kernel: Kernel,
    pub inventory: Inventory,
    pub now: Now,
    /// Texts given to nft.
    pub runs: Vec<String>,
    /// Whether nft ends only when [`House::end_nft`] says so.
    pub slow_nft: bool,
    told: Vec<Event>,
}

impl House {
    pub fn new() -> Self {
        let now = Now { instant: Instant::now(), unix: 1_767_225_600 };
        let mut inventory = Inventory::new();
        for (address, mac) in [(CAMERA_V4, CAMERA), (CAMERA_V6, CAMERA), (TV_V4, TV)] {
            inventory.learn(ip(address), 1, Some("br-lan"), mac, now.instant);
        }
        inventory.set_own([ip(GATEWAY), ip("2001:db8:123::1"), ip(WAN)].into());
        let (kernel, enforcer) = (Kernel::default(), Enforcer::new());
        let mut house = Self { enforcer, kernel, inventory, now, runs: Vec::new(), slow_nft: false, told: Vec::new() };
        // As the daemon does at its start.
        house.desire(Desired::default());
        house.runs.clear();
        house
    }

    pub fn desire(&mut self, desired: Desired) {
        self.desire_cutting(desired, &[]);
    }

    pub fn desire_cutting(&mut self, desired: Desired, cut_first: &[Tuple]) {
        self.enforcer.set_desired(desired, cut_first.to_vec(), &self.inventory, self.now);
        self.settle();
    }

    /// Lets the kernel answer until nothing is left to ask.
    pub fn settle(&mut self) {
        for _ in 0..10_000 {
            let text = self.enforcer.poll_ruleset();
            let requests: Vec<_> = std::iter::from_fn(|| self.enforcer.poll_transmit()).collect();
            self.told.extend(std::iter::from_fn(|| self.enforcer.poll_event()));
            if text.is_none() && requests.is_empty() {
                return;
            }
            for (socket, request) in requests {
                assert_eq!(socket, Socket::Netfilter);
                for datagram in self.kernel.answer(&request) {
                    self.enforcer.handle_datagram(Socket::Netfilter, &datagram, self.now);
                }
            }
            if let Some(text) = text {
                assert_eq!(self.enforcer.poll_ruleset(), None, "one nft at a time");
                self.runs.push(text);
                if !self.slow_nft {
                    self.end_nft();
                }
            }
        }
        panic!("never settles");
    }

    /// The running nft ends.
    pub fn end_nft(&mut self) {
        let outcome = self.kernel.run(self.runs.last().expect("one runs"));
        self.enforcer.handle_nft(outcome, self.now);
    }

    /// Lets time pass, with every timeout at its moment; tells how often it was woken.
    pub fn pass(&mut self, time: Duration) -> usize {
        let (end, mut woken) = (self.now.after(time), 0);
        while let Some(due) = self.enforcer.poll_timeout().filter(|due| *due <= end.instant) {
            self.now = self.now.after(due.saturating_duration_since(self.now.instant));
            self.enforcer.handle_timeout(self.now);
            self.settle();
            woken += 1;
            assert!(woken < 100_000, "wakes without end");
        }
        self.now = end;
        woken
    }

    pub fn hear(&mut self, socket: Socket, datagram: &[u8]) {
        self.enforcer.handle_datagram(socket, datagram, self.now);
        self.settle();
    }

    /// Everything told since the last time.
    pub fn told(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.told)
    }

    /// What has been told about a mitigation being in force since the last time; everything told is forgotten.
    pub fn outcomes(&mut self, id: u32) -> Vec<Result<(), String>> {
        let of = |event| match event {
            Event::Enforced { owner: of, outcome } if of == owner(Some(id)) => {
                Some(outcome.map_err(|reason| reason.to_string()))
            }
            _ => None,
        };
        self.told().into_iter().filter_map(of).collect()
    }

    /// The last total told of a mitigation; everything told is forgotten.
    pub fn counted(&mut self, id: u32) -> Option<Traffic> {
        let of = |event: Event| match event {
            Event::Counted { id: of, total } if of.0 == id => Some(total),
            _ => None,
        };
        self.told().into_iter().filter_map(of).next_back()
    }

    /// The elements of a set, in order.
    pub fn members(&self, set: &str) -> Vec<Mac> {
        let set = self.kernel.tables.get("inet").and_then(|table| table.sets.get(set));
        set.map(|set| set.keys().copied().collect()).unwrap_or_default()
    }
}
