//! What may have to be in force, and flows it is about.

use dots_callhome::enforce::Event;
use dots_callhome::enforce::desired::{Block, Desired, Narrowed, Owner, Quarantined};
use dots_callhome::model::{Detail, Flow, Mac, MitigationId, PortRange, Scope, Tuple};

pub use super::home::*;
pub use super::kernel::table_deleted;
pub use super::router::TestRouter;

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
        narrowed: Narrowed::new(),
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
    let reply = tuple(17, target, (WAN_ADDRESS, port));
    Flow {
        id,
        original: tuple(17, (device, port), target),
        reply,
        sent: Some(packets(9)),
        answered: Some(packets(0)),
        offloaded: false,
    }
}

/// From outside to a forwarded port; `answered`: packets of the device.
pub fn incoming(id: u32, from: (&str, u16), device: (&str, u16), answered: u64) -> Flow {
    Flow {
        id,
        original: tuple(17, from, (WAN_ADDRESS, device.1)),
        reply: tuple(17, device, from),
        sent: Some(packets(5)),
        answered: Some(packets(answered)),
        offloaded: false,
    }
}
