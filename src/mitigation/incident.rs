//! What a request was, who decided and how it ended, kept for those who ask later whether a device has done so before.

use std::collections::VecDeque;

use minicbor::{Decode, Encode};

use super::consent::Action;
use super::history::Happened;
use super::lifecycle::Mitigation;
use super::state::{Decision, State};
use crate::model::{ClockSet, Mac, Now};

/// Incidents kept; the oldest gives way, those nobody has decided about first.
const MOST: usize = 50;
/// Of these so many at most are ones that nobody has decided about: they cost their provider nothing.
const MOST_UNDECIDED: usize = 10;
/// Devices of one, and prefixes, ports and protocols.
const MOST_LISTED: usize = 8;

/// A request that is over.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Incident {
    /// The number of its mitigation.
    #[n(0)]
    pub id: u32,
    /// Who had asked.
    #[n(1)]
    pub peer: String,
    /// When, seconds since 1970.
    #[n(2)]
    pub requested: u64,
    /// When it ended, seconds since 1970.
    #[n(3)]
    pub ended: u64,
    /// Ethernet address and name of those acted upon, or else suspected; at most 8.
    #[n(4)]
    pub devices: Vec<(String, Option<String>)>,
    /// The first prefixes attacked.
    #[n(5)]
    pub targets: Vec<String>,
    /// The first ports.
    #[n(10)]
    pub ports: Vec<String>,
    /// The first protocols.
    #[n(11)]
    pub protocols: Vec<u8>,
    /// What was done, or would have been.
    #[n(6)]
    pub action: Action,
    /// Who decided.
    #[n(7)]
    pub decision: Option<Decision>,
    /// Packets and bytes dropped.
    #[n(8)]
    pub dropped: (u64, u64),
    /// How it ended: one of the words of the history.
    #[n(9)]
    pub outcome: String,
}

impl Incident {
    fn new(m: &Mitigation, outcome: Happened, decision: Option<&Decision>, now: Now) -> Self {
        let chosen = |mac| m.chosen().is_empty() || m.chosen().contains(&mac);
        let devices = m.suspects.iter().filter(|suspect| chosen(suspect.mac)).take(MOST_LISTED);
        Self {
            id: m.id.0,
            peer: m.client.peer.clone(),
            requested: m.requested,
            ended: now.unix,
            devices: devices.map(|suspect| (suspect.mac.to_string(), suspect.name.clone())).collect(),
            targets: texts(&m.scope.target_prefixes),
            ports: texts(&m.scope.target_ports),
            protocols: m.scope.target_protocols.iter().take(MOST_LISTED).copied().collect(),
            action: m.action,
            decision: decision.cloned(),
            dropped: (m.dropped().packets, m.dropped().bytes),
            outcome: outcome.as_str().to_owned(),
        }
    }

    /// Whether it was about the device.
    pub fn is_about(&self, mac: Mac) -> bool {
        self.devices.iter().any(|(known, _)| known.parse() == Ok(mac))
    }
}

fn texts<T: ToString>(items: &[T]) -> Vec<String> {
    items.iter().take(MOST_LISTED).map(T::to_string).collect()
}

/// Those kept, newest first.
#[derive(Debug, Default)]
pub(super) struct Incidents(VecDeque<Incident>);

impl Incidents {
    /// One ends now; `decision`: what had been decided first, or ends it. What a no has ended before is known already.
    pub(super) fn add(&mut self, m: &Mitigation, outcome: Happened, decision: Option<&Decision>, now: Now) {
        let known = matches!(m.state(), State::Rejected | State::Withdrawn);
        let decision = m.decision().or(decision);
        let worth = decision.is_some() || (!m.suspects.is_empty() && outcome != Happened::Superseded);
        if known || !worth {
            return;
        }
        self.0.push_front(Incident::new(m, outcome, decision, now));
        let undecided = |incident: &Incident| incident.decision.is_none();
        let crowd = self.0.iter().filter(|incident| undecided(incident)).count() > MOST_UNDECIDED;
        if crowd || self.0.len() > MOST {
            let oldest = self.0.iter().rposition(undecided).unwrap_or(self.0.len() - 1);
            self.0.remove(oldest);
        }
    }

    pub(super) fn newest_first(&self) -> impl Iterator<Item = &Incident> {
        self.0.iter()
    }

    /// Restores what was kept, which may be anything.
    pub(super) fn restore(&mut self, saved: &[Incident]) {
        self.0 = saved.iter().take(MOST).cloned().collect();
    }

    pub(super) fn handle_clock_set(&mut self, set: &ClockSet) {
        for incident in &mut self.0 {
            set.correct(&mut incident.requested);
            set.correct(&mut incident.ended);
            incident.decision.iter_mut().for_each(|decision| set.correct(&mut decision.at));
        }
    }
}
