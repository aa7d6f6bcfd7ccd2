//! What flows and devices send as time passes.

use std::time::Duration;

use dots_callhome::model::{Flow, Mac, Traffic, Tuple};
use dots_callhome::source::Sender;

use super::rules::Packet;
use super::{Kernel, LAN};

/// A device that sends packets of 100 bytes, whether they pass or not.
pub struct Flood {
    pub sender: Mac,
    pub original: Tuple,
    pub reply: Tuple,
    /// Packets a second.
    pub pps: u64,
    pub passed: u64,
    pub dropped: u64,
}

/// How many packets of such a rate are sent between two times.
fn between(rate: u64, from: Duration, to: Duration) -> u64 {
    let until = |time: Duration| u128::from(rate) * time.as_nanos() / 1_000_000_000;
    u64::try_from(until(to) - until(from)).unwrap()
}

fn add(traffic: &mut Traffic, packets: u64) {
    traffic.packets += packets;
    traffic.bytes += packets * 100;
}

impl Kernel {
    /// A number for a flow that is opened.
    pub fn number(&mut self) -> u32 {
        self.opened += 1;
        self.opened
    }

    /// All that is sent, and ends, between two times. Returns the numbers of the flows this opens.
    pub fn pass(&mut self, from: Duration, to: Duration) -> Vec<u32> {
        for flow in &mut self.flows {
            let Some((sent, answered)) = self.rates.get(&flow.id) else { continue };
            for (traffic, rate) in [(&mut flow.sent, sent), (&mut flow.answered, answered)] {
                add(traffic.as_mut().unwrap(), between(*rate, from, to));
            }
        }
        let mut floods = std::mem::take(&mut self.floods);
        let opened = floods.iter_mut().filter_map(|flood| self.flood(flood, between(flood.pps, from, to))).collect();
        self.floods = floods;
        self.expire(to - from);
        opened
    }

    /// So many packets of a device. Returns the number of the flow if they open one.
    fn flood(&mut self, flood: &mut Flood, packets: u64) -> Option<u32> {
        let Tuple { source, destination: target, protocol, detail, .. } = flood.original;
        let packet = Packet { sender: flood.sender, link: LAN, source, target, protocol, detail };
        if packets == 0 {
            return None;
        }
        let sender = Sender { mac: flood.sender, address: source, link: LAN };
        self.noted.iter_mut().for_each(|noted| noted.note(sender));
        if self.receive(&packet, packets) {
            flood.dropped += packets;
            return None;
        }
        flood.passed += packets;
        let known = self.flows.iter_mut().find(|flow| flow.original == flood.original);
        if let Some(Flow { sent: Some(sent), .. }) = known {
            add(sent, packets);
            return None;
        }
        let (id, mut sent) = (self.number(), Traffic::default());
        add(&mut sent, packets);
        let (original, reply) = (flood.original, flood.reply);
        let answered = Some(Traffic::default());
        self.flows.push(Flow { id, original, reply, sent: Some(sent), answered, offloaded: false });
        Some(id)
    }
}
