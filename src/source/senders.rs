//! Who was seen to send, whatever address the packets bore: what one search is about, and before anybody asked.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use vecset::{VecMap, VecSet};

use super::network::{Located, Network};
use super::observation::Observation;
use super::suspect::Sender;
use crate::model::Mac;

/// Most addresses remembered, and most senders of one.
const MOST_ADDRESSES: usize = 64;
const MOST_SENDERS: usize = 8;
/// Most addresses remembered of all devices in question, whatever they have sent.
const MOST_NOTED: usize = 256;
/// Between a packet and its sender's place in what is read of the sender log.
const MOMENT: Duration = Duration::from_secs(1);
/// How long the sender log remembers, less what passes until it is read.
const LOGGED: Duration = Duration::from_secs(15);

/// The senders of each address.
#[derive(Debug, Default)]
pub(super) struct Senders {
    /// Those the search's sender log has shown.
    seen: VecMap<IpAddr, Vec<Sender>>,
    /// In whose name others send, and whether it does as well.
    spoofed: VecMap<Mac, bool>,
    /// Since when the log shows all who send.
    logged_since: Option<Instant>,
    /// Whether the log has been full: somebody may be missing.
    overflowed: bool,
    /// Those who had opened flows before, whatever these were about.
    before: VecMap<IpAddr, Openers>,
    /// Those of the devices in question who have lately opened flows, whatever these were about.
    openers: VecSet<Sender>,
}

/// Who has opened flows from an address.
#[derive(Debug, PartialEq, Eq)]
struct Openers {
    senders: Vec<Sender>,
    /// Whether nobody can be missing.
    whole: bool,
}

impl Senders {
    /// Adds senders of the log; tells whether anybody new sends from an address that, as `holder` says, another one has or
    /// nobody.
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

    /// The log has been read; tells whether that is the first time. One that was full may lack anybody.
    pub(super) fn handle_log(&mut self, full: bool, now: Instant) -> bool {
        self.overflowed |= full;
        self.logged_since.replace(self.logged_since.unwrap_or(now)).is_none()
    }

    /// The log was away for a while.
    pub(super) fn handle_log_lost(&mut self) {
        self.logged_since = None;
    }

    /// Takes who had opened flows from an address before; `whole`: nobody can be missing. Tells whether that is news, and
    /// not only of who, as `holder` says, has the address.
    pub(super) fn add_before(
        &mut self,
        address: IpAddr,
        mut senders: Vec<Sender>,
        whole: bool,
        holder: Option<Mac>,
    ) -> bool {
        if self.before.len() >= MOST_ADDRESSES && !self.before.contains_key(&address) {
            return false;
        }
        // However many links one of them is on: none of the others is left out for that.
        senders.sort();
        senders.dedup_by_key(|sender| sender.mac);
        senders.truncate(MOST_SENDERS);
        let differs = senders.iter().any(|sender| Some(sender.mac) != holder);
        let known = self.before.insert(address, Openers { senders: senders.clone(), whole });
        differs && known.is_none_or(|known| known.senders != senders)
    }

    /// Takes all who have lately opened flows, as far as they are `in_question`.
    pub(super) fn set_openers(&mut self, senders: &[Sender], in_question: impl Fn(&Sender) -> bool) {
        self.openers = senders.iter().filter(|sender| in_question(sender)).copied().take(MOST_NOTED).collect();
    }

    /// Whether the log has shown anybody who sends from an address.
    pub(super) fn has_seen(&self, address: IpAddr) -> bool {
        self.seen.contains_key(&address)
    }

    /// From where a device was seen to send: over which links, from which addresses.
    pub(super) fn places_of(&self, mac: Mac) -> impl Iterator<Item = (u32, IpAddr)> {
        let all = self.openers.iter().chain(self.seen.values().flatten());
        all.filter(move |sender| sender.mac == mac).map(|sender| (sender.link, sender.address))
    }

    /// Nothing is known any more of who had opened flows before.
    pub(super) fn forget_before(&mut self) {
        self.before.values_mut().for_each(|openers| openers.whole = false);
    }

    /// Whether a device, and nobody else, has opened flows from this address.
    pub(super) fn opens_alone(&self, mac: Mac, address: IpAddr) -> bool {
        let openers = self.before.get(&address).filter(|openers| openers.whole);
        openers.is_some_and(|openers| is_only(mac, &openers.senders))
    }

    /// Whether a flow was seen to send while the log, as read now, has shown this device and nobody else as sender from
    /// its address.
    pub(super) fn catches(&self, mac: Mac, observation: &Observation, now: Instant) -> bool {
        let logged = |(from, to): (Instant, Instant)| {
            self.logged_since.is_some_and(|since| since <= from) && to + MOMENT <= now && now <= from + LOGGED
        };
        !self.overflowed
            && observation.grown.is_some_and(logged)
            && self.seen.get(&observation.address).is_some_and(|senders| is_only(mac, senders))
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

    /// Who sends from an address: whoever the log shows, else whoever has opened flows from it or has it; and whether that
    /// may still be another one's doing. A sender that does not have the address itself may be a router of the home that
    /// forwards for the one who has.
    pub(super) fn of(&self, address: IpAddr, holder: Option<Located>, network: &Network) -> (Vec<Located>, bool) {
        let logged = self.seen.get(&address).map(Vec::as_slice).unwrap_or_default();
        let before = self.before.get(&address).map(|openers| openers.senders.as_slice()).unwrap_or_default();
        let behind = |link| holder.map_or(network.expected_link(address) != Some(link), |holder| holder.behind);
        let shown = if logged.is_empty() { before } else { logged };
        let mut senders: Vec<Located> = Vec::new();
        let shown =
            shown.iter().map(|sender| Located { mac: sender.mac, link: sender.link, behind: behind(sender.link) });
        for sender in shown.chain(holder.filter(|_| logged.is_empty())) {
            if !senders.iter().any(|known| known.mac == sender.mac) {
                senders.push(sender);
            }
        }
        let all = || logged.iter().chain(before).map(|sender| sender.mac).chain(holder.map(|holder| holder.mac));
        let first = all().next();
        (senders, all().any(|mac| Some(mac) != first))
    }
}

/// Whether it is one of them, and all are it.
fn is_only(mac: Mac, senders: &[Sender]) -> bool {
    !senders.is_empty() && senders.iter().all(|sender| sender.mac == mac)
}
