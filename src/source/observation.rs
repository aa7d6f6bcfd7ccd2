//! What has been seen of one flow that matches a request, over time.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::direction::{Direction, Match, UniqueKey};
use super::network::Located;
use super::suspect::Evidence;
use crate::model::{Flow, Now, Traffic, Tuple};

/// A flow of a device that matches a request, as it was last seen.
#[derive(Clone, Copy, Debug)]
pub(super) struct Observation {
    /// With what was sent towards the target as sent, whoever opened it.
    pub(super) flow: Flow,
    /// The address inside the home.
    pub(super) address: IpAddr,
    /// How it matches.
    pub(super) matched: Match,
    /// The link inside it came over.
    pub(super) link: u32,
    /// Whether it came through another router of the home.
    pub(super) behind: bool,
    /// Whether the address may have been another device's when the flow was made.
    pub(super) reassigned: bool,
    /// Whether it is gone from conntrack.
    pub(super) ended: bool,
    /// When it was last seen to send, seconds since 1970.
    pub(super) seen: u64,
    /// Whether it has been seen to send; whoever opens a flow does.
    pub(super) sending: bool,
    /// When its counters were read last.
    pub(super) read: Instant,
    /// What it sent between the last two readings, per second.
    pub(super) rate: Traffic,
    /// The two readings between which it last was seen to send, by rules as well.
    pub(super) grown: Option<(Instant, Instant)>,
    /// Which reading of the table of senders is the first that covers that.
    pub(super) grown_by: u32,
    /// Which reading of the table of senders is the first that covers it.
    pub(super) covered_by: u32,
    /// Whether the device, and nobody else, was seen to send while the flow did.
    pub(super) caught: bool,
}

impl Observation {
    /// One direction of a flow seen now for the first time, and where its sender is.
    pub(super) fn new(direction: &Direction<'_>, matched: Match, at: &Located, now: Now) -> Self {
        Self {
            flow: Flow { sent: direction.sent, answered: direction.answered, ..*direction.flow },
            address: direction.device,
            matched,
            link: at.link,
            behind: at.behind,
            reassigned: false,
            ended: false,
            seen: now.unix,
            sending: false,
            read: now.instant,
            rate: Traffic::default(),
            grown: None,
            grown_by: 0,
            covered_by: 0,
            caught: false,
        }
    }

    /// Whether both are of the same entry of conntrack.
    pub(super) fn is_of_same_flow(&self, other: &Self) -> bool {
        self.flow.id == other.flow.id && self.flow.original == other.flow.original
    }

    /// Whether it is of the flow with this tuple, and of the entry with this number if one is given.
    pub(super) fn is_of(&self, original: &Tuple, id: Option<u32>) -> bool {
        self.flow.original == *original && id.is_none_or(|id| id == self.flow.id)
    }

    /// Takes in a later look at the same flow.
    pub(super) fn update(&mut self, later: Self) {
        let Self { mut seen, mut sending, mut read, mut rate, mut grown, mut grown_by, covered_by, caught, .. } = *self;
        let passed = later.read.saturating_duration_since(read);
        if let (Some(before), Some(sent)) = (self.flow.sent, later.flow.sent)
            && passed >= Duration::from_millis(1)
        {
            rate = sent.minus(before).per_second(passed);
            if sent.packets > before.packets {
                (sending, seen) = (true, later.seen);
                // What was offloaded may have sent past all rules, and nobody has seen who.
                if !self.flow.offloaded {
                    (grown, grown_by) = (Some((read, later.read)), later.covered_by);
                }
            }
            read = later.read;
        }
        if later.flow.sent.is_none() {
            seen = later.seen;
        }
        // The event of a flow that opens bears no counters.
        let sent = later.flow.sent.or(self.flow.sent);
        let flow = Flow { sent, ..later.flow };
        *self = Self { flow, seen, sending, read, rate, grown, grown_by, covered_by, caught, ..later };
    }

    /// Notes that the flow is gone from conntrack.
    pub(super) fn end(&mut self) {
        self.ended = true;
        self.rate = Traffic::default();
    }

    /// Whether nobody else can have made this flow. An address that has changed hands may have been taken by somebody who
    /// wants to be taken for somebody else, so it tells nothing for sure even while it sends.
    pub(super) fn is_sure(&self) -> bool {
        !self.behind && !self.reassigned
    }

    /// Whether nobody has answered it: then each of its packets is noted.
    pub(super) fn is_unanswered(&self) -> bool {
        self.flow.answered.is_some_and(|answered| answered.packets == 0)
    }

    /// Whether it is a flow of all that is named, that sends.
    pub(super) fn is_attack(&self) -> bool {
        self.sending && !self.ended && self.matched != Match::Partial
    }

    /// The key that names its sender alone.
    pub(super) fn key(&self) -> Option<UniqueKey> {
        self.matched.key()
    }

    /// What goes first in the evidence.
    pub(super) fn weight(&self) -> impl Ord + use<> {
        let total = self.flow.sent.unwrap_or_default();
        let full = self.matched != Match::Partial;
        (self.key().is_some(), full, !self.ended, self.rate.bytes, total.bytes, total.packets)
    }

    /// What it proves.
    pub(super) fn evidence(&self) -> Evidence {
        Evidence { flow: self.flow, rate: self.rate, seen: self.seen }
    }
}
