//! Who was seen to send what one search is about, whatever address the packets bore.

use std::net::IpAddr;

use vecset::VecMap;

use super::network::{Located, Network};
use super::suspect::Sender;
use crate::model::Mac;

/// Most addresses remembered, and most senders of one.
const MOST_ADDRESSES: usize = 64;
const MOST_SENDERS: usize = 8;

/// The senders of each address.
#[derive(Debug, Default)]
pub(super) struct Senders {
    seen: VecMap<IpAddr, Vec<Sender>>,
    /// In whose name others send, and whether it does as well.
    spoofed: VecMap<Mac, bool>,
}

impl Senders {
    /// Adds senders; tells whether anybody new sends from an address that, as `holder` says, another one has or nobody.
    pub(super) fn add<'a>(
        &mut self,
        seen: impl Iterator<Item = &'a Sender>,
        holder: impl Fn(IpAddr) -> Option<Mac>,
    ) -> bool {
        let mut differs = false;
        for sender in seen {
            if self.seen.len() >= MOST_ADDRESSES && !self.seen.contains_key(&sender.address) {
                continue;
            }
            let senders = self.seen.entry(sender.address).or_default();
            if senders.len() < MOST_SENDERS && !senders.contains(sender) {
                senders.push(*sender);
                differs |= senders.iter().any(|sender| Some(sender.mac) != holder(sender.address));
            }
        }
        differs
    }

    /// The devices in whose name others send, each with whether it does as well, as far as that is new.
    pub(super) fn poll_spoofed(&mut self, holder: impl Fn(IpAddr) -> Option<Mac>) -> Vec<(Mac, bool)> {
        let mut spoofed = VecMap::new();
        for (address, senders) in &self.seen {
            let Some(holder) = holder(*address) else { continue };
            if senders.iter().any(|sender| sender.mac != holder) {
                *spoofed.entry(holder).or_default() |= senders.iter().any(|sender| sender.mac == holder);
            }
        }
        let before = std::mem::replace(&mut self.spoofed, spoofed.clone());
        spoofed.into_iter().filter(|(mac, sends)| before.get(mac) != Some(sends)).collect()
    }

    /// Who sends from an address: whoever was seen to, else whoever has it; and whether that may still be another one's
    /// doing. A sender that does not have the address itself may be a router of the home that forwards for the one who has.
    pub(super) fn of(&self, address: IpAddr, holder: Option<Located>, network: &Network) -> (Vec<Located>, bool) {
        let Some(seen) = self.seen.get(&address) else { return (holder.into_iter().collect(), false) };
        let behind = |link| holder.map_or(network.expected_link(address) != Some(link), |holder| holder.behind);
        let senders =
            seen.iter().map(|sender| Located { mac: sender.mac, link: sender.link, behind: behind(sender.link) });
        let others = holder.is_some_and(|holder| seen.iter().any(|sender| sender.mac != holder.mac));
        (senders.collect(), others || seen.len() > 1)
    }
}
