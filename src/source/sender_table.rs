//! Who opens flows, by Ethernet address: noted by the kernel in a table of our own before anybody asks.
//!
//! Conntrack knows no Ethernet addresses. So this table stands all the time: its rules note, for each device of the home,
//! from which IP address and over which link it opens flows, and drop nothing. It is read when a search has something to
//! report. What the sets had no room for is noted as missed; whatever is missed may be anybody's.
//!
//! It notes as well whether any flow is in a zone of conntrack, so that nobody has to listen to each flow that begins.

use std::fmt::Write;
use std::time::{Duration, Instant};

use super::suspect::Sender;
use crate::model::{Backoff, Mac, Now};
use crate::netlink::Exchange;
use crate::netlink::nftables::{self, Element, Family, Message};

/// The name of the table.
pub(super) const TABLE: &str = "dots_callhome_senders";

/// Flows older than the table are remembered for as long as conntrack keeps one that sends nothing (protocols without
/// ports: 600 s), and as long as flows that have ended are.
const YOUNG: Duration = Duration::from_secs(600);
/// The mark of that: the Ethernet address of nobody among those with missed packets.
const YOUNG_MARK: Mac = Mac([0; 6]);
/// Answered flows are no longer noted by each packet, but for one of so many.
const SAMPLED: u32 = 32;

/// How long senders are remembered: as long as an address that has changed hands is in doubt. Expired ones are looked for
/// once a minute only: that costs the kernel a walk over the set.
const SENDERS: &str = "\t\tflags dynamic,timeout\n\t\ttimeout 7440s\n\t\tgc-interval 60s\n\t\tsize 1024\n";
/// Who has flows in zones: it is enough to know that there is anybody, but for as long as the flow may live.
const ZONED: &str = "\t\tflags dynamic\n\t\tsize 64\n";
/// For whom there was no room, it is enough to know that there is anybody.
const MISSED: &str = "\t\tflags dynamic,timeout\n\t\ttimeout 7440s\n\t\tgc-interval 60s\n\t\tsize 64\n";

/// Most elements read of a set: more than it may hold is not ours.
const MOST: usize = 2048;
/// The kernel answers at once.
const PATIENCE: Duration = Duration::from_secs(5);
/// Somebody who removes it more often than this is not followed at once.
const STORM: Duration = Duration::from_secs(10);
const PAUSES: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60));

/// What is asked about the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Query {
    /// How many rules it has.
    Rules,
    /// What a set holds.
    Set(&'static str),
}

/// The sets, in the order in which they are read: what was missed last, so that nobody is missed unseen meanwhile.
const SETS: [&str; 4] = ["zoned", "v4", "v6", "missed"];

/// What the kernel holds.
#[derive(Debug, PartialEq, Eq)]
enum State {
    /// Perhaps a table of an earlier run.
    Unknown,
    Absent,
    /// The table, with rules that leave out these links; nothing: those of an earlier run.
    Stands(Option<Vec<u32>>),
}

/// A run of `nft`.
#[derive(Debug)]
struct Run {
    outward: Vec<u32>,
    anew: bool,
}

/// What the table has noted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Witnessed {
    /// Everybody who has opened flows.
    pub(super) senders: Vec<Sender>,
    /// Whether there was no room for somebody.
    pub(super) missed: bool,
    /// Whether there may be flows older than the table.
    pub(super) young: bool,
    /// Whether any flow has been in a zone.
    pub(super) zoned: bool,
}

/// The table in the kernel.
#[derive(Debug)]
pub(super) struct SenderTable {
    /// The links that lead out of the home: who sends there is of no interest. Nothing: not known yet.
    outward: Option<Vec<u32>>,
    state: State,
    /// Whether its rules speak of zones: not every kernel knows any.
    zones: bool,
    running: Option<Run>,
    /// Whether somebody else may have changed it.
    suspicious: bool,
    exchange: Exchange<Query>,
    rules: usize,
    reading: Option<Witnessed>,
    retry_at: Option<Instant>,
    retry: Backoff,
    /// When somebody else last removed it.
    lost_at: Option<Instant>,
    storm: Backoff,
}

impl Default for SenderTable {
    fn default() -> Self {
        Self {
            outward: None,
            state: State::Unknown,
            zones: true,
            running: None,
            suspicious: false,
            exchange: Exchange::default(),
            rules: 0,
            reading: None,
            retry_at: None,
            retry: PAUSES,
            lost_at: None,
            storm: PAUSES,
        }
    }
}

impl SenderTable {
    /// Takes the links that lead out of the home.
    pub(super) fn set_outward(&mut self, links: impl Iterator<Item = u32>) {
        let links: Vec<u32> = links.collect();
        if self.outward.as_ref() != Some(&links) {
            self.outward = Some(links);
        }
    }

    /// Whether it stands, with our rules.
    pub(super) fn stands(&self) -> bool {
        matches!(self.state, State::Stands(Some(_)))
    }

    /// Whether it stands, or can't for now: what is listed from then on is older than the table, or noted in it.
    pub(super) fn is_settled(&self) -> bool {
        self.stands() || self.retry_at.is_some()
    }

    /// Whether it stands, and notes flows in zones.
    pub(super) fn notes_zones(&self) -> bool {
        self.zones && self.stands()
    }

    /// The text for one `nft -f -`; the next only after [`Self::handle_nft`].
    pub(super) fn poll_ruleset(&mut self) -> Option<String> {
        let outward = self.outward.as_ref()?;
        if self.running.is_some() || self.retry_at.is_some() || self.exchange.request().is_some() {
            return None;
        }
        let anew = match &self.state {
            State::Absent => true,
            State::Stands(left_out) if left_out.as_ref() != Some(outward) => false,
            State::Stands(_) | State::Unknown => return None,
        };
        let run = Run { outward: outward.clone(), anew };
        let text = run.text(self.zones);
        self.running = Some(run);
        Some(text)
    }

    /// Takes how `nft` has ended. Tells whether the table has been made anew.
    pub(super) fn handle_nft(&mut self, done: bool, now: Now) -> bool {
        let Some(run) = self.running.take() else { return false };
        if done {
            self.state = State::Stands(Some(run.outward));
            self.retry.reset();
            return run.anew;
        }
        // One that can't be changed is another version's.
        self.state = State::Absent;
        if run.anew {
            // It may be the zones that the kernel does not know.
            self.zones = !self.zones;
            self.retry_at = Some(now.instant + self.retry.pause());
        }
        false
    }

    /// Takes what the kernel tells of changed tables. It may be our own doing: what counts is what it holds.
    pub(super) fn handle_change(&mut self, datagram: &[u8]) {
        self.suspicious |= nftables::touches(datagram, TABLE);
    }

    /// Changes may have been missed.
    pub(super) fn handle_overrun(&mut self) {
        self.suspicious = true;
    }

    /// Whether it can be read now: not while it is being looked at or made.
    pub(super) fn is_idle(&self) -> bool {
        let coming = self.state == State::Absent && self.retry_at.is_none();
        self.exchange.request().is_none() && !coming
    }

    /// Begins to read it; tells whether there is anything to read.
    pub(super) fn begin_reading(&mut self, now: Now) -> bool {
        let stands = matches!(self.state, State::Stands(_));
        if stands {
            self.reading = Some(Witnessed::default());
            self.ask(Query::Set(SETS[0]), now);
        }
        stands
    }

    /// Begins to look at what the kernel holds, where that is not known.
    pub(super) fn proceed(&mut self, now: Now) {
        let look = self.state == State::Unknown || self.suspicious;
        if look && self.running.is_none() && self.exchange.request().is_none() {
            self.suspicious = false;
            self.rules = 0;
            self.ask(Query::Rules, now);
        }
    }

    fn ask(&mut self, query: Query, now: Now) {
        self.exchange.start(query, |query, sequence| match query {
            Query::Rules => vec![nftables::rules(Family::Inet, TABLE, sequence)],
            Query::Set(set) => vec![nftables::elements(Family::Inet, TABLE, set, sequence)],
        });
        self.exchange.set_deadline(now.instant + PATIENCE);
    }

    /// Takes answers; returns what has been read once that is complete, or nothing in its place where it can't be had.
    pub(super) fn handle_datagram(&mut self, datagram: &[u8], now: Now) -> Option<Option<Witnessed>> {
        let mut read = None;
        for (sequence, message) in nftables::messages(datagram) {
            if self.exchange.is_last(sequence) {
                read = self.handle_message(message, now).or(read);
            }
        }
        read
    }

    fn handle_message(&mut self, message: Message, now: Now) -> Option<Option<Witnessed>> {
        let query = *self.exchange.request()?;
        match (query, message) {
            (Query::Rules, Message::Rule) => self.rules += 1,
            (Query::Set(set), Message::Elements(elements)) => {
                if let Some(read) = &mut self.reading {
                    read.add(set, elements);
                }
            }
            (Query::Rules, Message::Done) => {
                self.exchange.end();
                self.compare(now);
            }
            (Query::Set(set), Message::Done) => {
                let next = SETS.iter().skip_while(|known| **known != set).nth(1);
                match next {
                    Some(next) => self.ask(Query::Set(next), now),
                    None => return self.end_reading(),
                }
            }
            (_, Message::Error(errno)) if errno != 0 => return self.fail(now),
            _ => {}
        }
        None
    }

    fn end_reading(&mut self) -> Option<Option<Witnessed>> {
        self.exchange.end();
        self.reading.take().map(Some)
    }

    /// What was asked can't be had: there is no such table.
    fn fail(&mut self, now: Now) -> Option<Option<Witnessed>> {
        self.exchange.end();
        if self.state != State::Unknown {
            self.delay(now);
        }
        self.state = State::Absent;
        self.reading.take().map(|_| None)
    }

    /// It is made again: at once after an accident, not when somebody removes it again and again.
    fn delay(&mut self, now: Now) {
        let lost_at = self.lost_at.replace(now.instant);
        if lost_at.is_some_and(|last| now.instant.saturating_duration_since(last) < STORM) {
            self.retry_at = Some(now.instant + self.storm.pause());
        } else {
            self.storm.reset();
        }
    }

    /// Compares the number of rules with what there should be.
    fn compare(&mut self, now: Now) {
        let expected = match &self.state {
            State::Stands(Some(outward)) => Some(rules(outward, self.zones).iter().map(|(_, rules)| rules.len()).sum()),
            State::Stands(None) | State::Unknown | State::Absent => None,
        };
        self.state = match std::mem::replace(&mut self.state, State::Unknown) {
            State::Unknown | State::Absent if self.rules == 0 => State::Absent,
            State::Unknown | State::Absent => State::Stands(None),
            State::Stands(_) if expected.is_some_and(|expected: usize| expected != self.rules) => {
                self.delay(now);
                State::Absent
            }
            stands @ State::Stands(_) => stands,
        };
    }

    /// The next request.
    pub(super) fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        self.exchange.poll_transmit()
    }

    /// When [`Self::handle_timeout`] wants to be called.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        [self.exchange.poll_timeout(), self.retry_at].into_iter().flatten().min()
    }

    /// Does what is due; tells, as [`Self::handle_datagram`] does, that something can't be read.
    pub(super) fn handle_timeout(&mut self, now: Now) -> Option<Option<Witnessed>> {
        self.retry_at = self.retry_at.filter(|at| *at > now.instant);
        if !self.exchange.is_due(now.instant) {
            return None;
        }
        self.exchange.end();
        self.suspicious = true;
        self.reading.take().map(|_| None)
    }
}

impl Witnessed {
    fn add(&mut self, set: &str, elements: Vec<Element>) {
        if set == SETS[0] {
            self.zoned |= !elements.is_empty();
            return;
        }
        for Element { mac, place, .. } in elements {
            match place {
                Some((address, link)) if self.senders.len() < MOST => self.senders.push(Sender { mac, address, link }),
                Some(_) => self.missed = true,
                None if mac == YOUNG_MARK => self.young = true,
                None => self.missed = true,
            }
        }
    }
}

/// The chains and their rules.
fn rules(outward: &[u32], zones: bool) -> [(&'static str, Vec<String>); 2] {
    let mut forward = Vec::new();
    if zones {
        forward.push("ct zone != 0 add @zoned { ether saddr }".to_owned());
    }
    if !outward.is_empty() {
        let links: Vec<String> = outward.iter().map(u32::to_string).collect();
        forward.push(format!("meta iif {{ {} }} return", links.join(", ")));
    }
    // Flows without answers by each packet; connections of TCP only their two ends can have.
    forward.push("ct state new goto senders".to_owned());
    forward.push(format!("meta l4proto != 6 numgen random mod {SAMPLED} 0 goto senders"));
    let senders = [
        "update @v4 { ether saddr . ip saddr . meta iif } return",
        "update @v6 { ether saddr . ip6 saddr . meta iif } return",
        "update @missed { ether saddr }",
    ];
    [("senders", senders.map(str::to_owned).into()), ("forward", forward)]
}

impl Run {
    /// The transaction that makes the table, or its rules only. The rules stand behind the firewall's: what is not forwarded
    /// is of no interest.
    fn text(&self, zones: bool) -> String {
        let mut text = String::new();
        // Writing to a string can't fail.
        let _ = self.write(&mut text, zones);
        text
    }

    fn write(&self, text: &mut String, zones: bool) -> std::fmt::Result {
        if self.anew {
            // Deleting what is not there fails: it is made first.
            writeln!(text, "add table inet {TABLE}\ndelete table inet {TABLE}")?;
        }
        writeln!(text, "table inet {TABLE} {{")?;
        for (set, kind, size) in [
            ("v4", "ether_addr . ipv4_addr . iface_index", SENDERS),
            ("v6", "ether_addr . ipv6_addr . iface_index", SENDERS),
            ("missed", "ether_addr", MISSED),
            ("zoned", "ether_addr", ZONED),
        ] {
            writeln!(text, "\tset {set} {{\n\t\ttype {kind}\n{size}\t}}")?;
        }
        writeln!(text, "\tchain senders {{\n\t}}")?;
        writeln!(
            text,
            "\tchain forward {{\n\t\ttype filter hook forward priority filter + 10; policy accept;\n\t}}\n}}"
        )?;
        let chains = rules(&self.outward, zones);
        for (chain, _) in &chains {
            writeln!(text, "flush chain inet {TABLE} {chain}")?;
        }
        writeln!(text, "table inet {TABLE} {{")?;
        for (chain, rules) in &chains {
            writeln!(text, "\tchain {chain} {{\n\t\t{}\n\t}}", rules.join("\n\t\t"))?;
        }
        writeln!(text, "}}")?;
        if self.anew {
            writeln!(text, "add element inet {TABLE} missed {{ {YOUNG_MARK} timeout {}s }}", YOUNG.as_secs())?;
        }
        Ok(())
    }
}
