//! One mitigation from request to end, and what the provider is told of it.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use ipnet::IpNet;
use minicbor::{Decode, Encode};
use vecset::VecMap;

use super::consent::Action;
use super::tally::Tally;
use crate::model::{Mac, MitigationId, Now, Scope, Traffic};
use crate::source::device::{Confidence, Suspect};

/// How long a mitigation goes on after its withdrawal (RFC 9132 section 4.4.4).
pub(super) const TERMINATING: Duration = Duration::from_secs(120);

/// The longest such period, reached by doubling when the client asks again meanwhile (RFC 9132 section 4.4.4).
pub(super) const TERMINATING_MAX: Duration = Duration::from_secs(300);

/// Most suspects remembered of one request; the least likely give way.
const MAX_SUSPECTS: usize = 64;

/// Who asks: the peer as authenticated, and its name for itself.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Encode, Decode)]
#[cbor(map)]
pub struct Client {
    /// The configured peer.
    #[n(0)]
    pub peer: String,
    /// The `cuid` of its requests.
    #[n(1)]
    pub cuid: String,
}

/// Where a mitigation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum State {
    /// Waits for consent.
    #[n(0)]
    Pending,
    /// No device found yet.
    #[n(1)]
    Searching,
    /// Decided upon; in force as soon as it is [verified](Mitigation::verified).
    #[n(2)]
    Active,
    /// In force, but nothing has matched for a while.
    #[n(3)]
    Stopped,
    /// Withdrawn by the client, in force for a little longer.
    #[n(4)]
    Terminating,
    /// Judged to concern legitimate traffic.
    #[n(5)]
    Rejected,
    /// Ended by the router.
    #[n(6)]
    Withdrawn,
    /// Over.
    #[n(7)]
    Expired,
}

impl State {
    /// The contract's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Searching => "searching",
            Self::Active => "active",
            Self::Stopped => "stopped",
            Self::Terminating => "terminating",
            Self::Rejected => "rejected",
            Self::Withdrawn => "withdrawn",
            Self::Expired => "expired",
        }
    }

    /// Whether the request stands: neither withdrawn, refused nor over.
    pub fn is_open(self) -> bool {
        matches!(self, Self::Pending | Self::Searching | Self::Active | Self::Stopped)
    }

    /// The state of that word.
    pub fn from_word(word: &str) -> Option<Self> {
        use State::{Active, Expired, Pending, Rejected, Searching, Stopped, Terminating, Withdrawn};
        [Pending, Searching, Active, Stopped, Terminating, Rejected, Withdrawn, Expired]
            .into_iter()
            .find(|state| state.as_str() == word)
    }

    /// Whether rules must stand for a mitigation in this state.
    pub fn in_force(self) -> bool {
        matches!(self, Self::Active | Self::Stopped | Self::Terminating)
    }
}

/// What the provider is told (RFC 9132 table 3). The values 4 and 8 do not arise here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Status {
    /// Set-up is in progress, or consent is awaited.
    InProgress = 1,
    /// The attack is being mitigated.
    Mitigated = 2,
    /// Nothing matches any more.
    Stopped = 3,
    /// The client has withdrawn the request; still in force.
    Terminating = 5,
    /// Over.
    Terminated = 6,
    /// The router has withdrawn the mitigation.
    Withdrawn = 7,
}

/// Who decided about a mitigation or a device.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Decision {
    /// A user, or `policy` or `timeout`.
    #[n(0)]
    pub by: String,
    /// Seconds since 1970.
    #[n(1)]
    pub at: u64,
    /// In their words.
    #[n(2)]
    pub comment: Option<String>,
}

/// One request of a client and what has become of it.
#[derive(Clone, Debug)]
pub struct Mitigation {
    pub(super) id: MitigationId,
    pub(super) client: Client,
    pub(super) mid: u32,
    pub(super) state: State,
    pub(super) scope: Scope,
    pub(super) requested: u64,
    pub(super) granted: Duration,
    pub(super) ends: Instant,
    /// The administrator's own bound on the lifetime; refreshes don't pass it.
    pub(super) limit: Option<Instant>,
    /// How long it will go on after a withdrawal.
    pub(super) period: Duration,
    pub(super) action: Action,
    pub(super) suspects: Vec<Suspect>,
    pub(super) chosen: Vec<Mac>,
    /// Requests of other clients that overlap, and where.
    pub(super) rivals: VecMap<MitigationId, Vec<IpNet>>,
    /// Devices the administrator let go: policy must not choose them again.
    pub(super) released: Vec<Mac>,
    /// Devices from whose addresses somebody else sends: what is found of them proves nothing.
    pub(super) framed: Vec<Mac>,
    /// The approval of the request this one superseded, and for which devices.
    pub(super) inherited: Option<(Decision, Vec<Mac>)>,
    pub(super) decision: Option<Decision>,
    /// Since when an answer is awaited that a timeout may replace.
    pub(super) asked: Option<Instant>,
    pub(super) tally: Tally,
    pub(super) started: Option<u64>,
    pub(super) verified: bool,
    pub(super) detail: Option<String>,
    pub(super) assessed: bool,
}

impl Mitigation {
    pub(super) fn new(
        id: MitigationId,
        client: Client,
        mid: u32,
        scope: Scope,
        lifetime: Duration,
        action: Action,
        now: Now,
    ) -> Self {
        Self {
            id,
            client,
            mid,
            state: State::Searching,
            scope,
            requested: now.unix,
            granted: lifetime,
            ends: now.instant + lifetime,
            limit: None,
            period: TERMINATING,
            action,
            suspects: Vec::new(),
            chosen: Vec::new(),
            rivals: VecMap::new(),
            released: Vec::new(),
            framed: Vec::new(),
            inherited: None,
            decision: None,
            asked: None,
            tally: Tally::default(),
            started: None,
            verified: false,
            detail: None,
            assessed: false,
        }
    }

    /// When things happened, seconds since 1970.
    pub(super) fn dates(&mut self) -> impl Iterator<Item = &mut u64> {
        let decisions = [self.decision.as_mut(), self.inherited.as_mut().map(|(decision, _)| decision)];
        let decided = decisions.into_iter().flatten().map(|decision| &mut decision.at);
        [&mut self.requested].into_iter().chain(&mut self.started).chain(decided)
    }

    /// Its number.
    pub fn id(&self) -> MitigationId {
        self.id
    }

    /// Who asked.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The client's identifier of the request.
    pub fn mid(&self) -> u32 {
        self.mid
    }

    /// Where it stands.
    pub fn state(&self) -> State {
        self.state
    }

    /// What was asked.
    pub fn scope(&self) -> &Scope {
        &self.scope
    }

    /// When it was first asked, seconds since 1970.
    pub fn requested(&self) -> u64 {
        self.requested
    }

    /// The lifetime granted last.
    pub fn granted(&self) -> Duration {
        self.granted
    }

    /// What is left of the lifetime, or of the period after a withdrawal.
    pub fn remaining(&self, now: Now) -> Duration {
        self.ends.saturating_duration_since(now.instant)
    }

    /// What is, or would be, done.
    pub fn action(&self) -> Action {
        self.action
    }

    /// Who may be meant, most likely first.
    pub fn suspects(&self) -> &[Suspect] {
        &self.suspects
    }

    /// Whom the decision is about.
    pub fn chosen(&self) -> &[Mac] {
        &self.chosen
    }

    /// Who decided, if anybody has.
    pub fn decision(&self) -> Option<&Decision> {
        self.decision.as_ref()
    }

    /// What has been dropped since the start; never counts back.
    pub fn dropped(&self) -> Traffic {
        self.tally.dropped
    }

    /// What is being dropped, per second, between the last two readings.
    pub fn rate(&self) -> Traffic {
        self.tally.rate
    }

    /// What has been dropped per second over the full five-minute intervals since the start (RFC 9132 section 4.4.2).
    pub fn average(&self) -> Traffic {
        self.tally.average
    }

    /// When it was first seen to be in force, seconds since 1970 (mitigation-start).
    pub fn started(&self) -> Option<u64> {
        self.started
    }

    /// Whether it has been seen to be in force as it stands.
    pub fn verified(&self) -> bool {
        self.verified
    }

    /// Why it is not as it should be, in words.
    pub fn detail(&self) -> Option<&str> {
        self.detail.as_deref()
    }

    /// Whether the source network has been searched at least once.
    pub fn assessed(&self) -> bool {
        self.assessed
    }

    /// What the provider is told.
    pub fn status(&self) -> Status {
        match self.state {
            State::Active if self.verified => Status::Mitigated,
            State::Pending | State::Searching | State::Active => Status::InProgress,
            State::Stopped => Status::Stopped,
            State::Terminating => Status::Terminating,
            State::Expired => Status::Terminated,
            State::Rejected | State::Withdrawn => Status::Withdrawn,
        }
    }

    /// Whether the provider is to be told conflict-cause 4, legitimate traffic (RFC 9066 section 5.3.1).
    pub fn legitimate(&self) -> bool {
        self.state == State::Rejected
    }

    /// Restarts the lifetime, within the administrator's bound.
    pub(super) fn grant(&mut self, lifetime: Duration, now: Now) {
        let bound = self.limit.map_or(lifetime, |limit| limit.saturating_duration_since(now.instant));
        self.granted = lifetime.min(bound);
        self.ends = now.instant + self.granted;
    }

    /// The client no longer wants it.
    pub(super) fn terminate(&mut self, now: Now) {
        self.state = State::Terminating;
        self.grant(self.period, now);
    }

    /// The client wants it again after all: the next withdrawal takes longer.
    pub(super) fn revive(&mut self, now: Now) {
        self.state = State::Active;
        self.period = self.longer_period();
        self.tally.begin(now.instant);
    }

    pub(super) fn longer_period(&self) -> Duration {
        (self.period * 2).min(TERMINATING_MAX)
    }

    /// Takes in what the search found. A search that finds less never weakens what is known.
    pub(super) fn learn(&mut self, found: Vec<Suspect>) {
        for suspect in found {
            match self.suspects.iter_mut().find(|known| known.mac == suspect.mac) {
                Some(known) if known.confidence > suspect.confidence => {}
                Some(known) => *known = suspect,
                None => self.suspects.push(suspect),
            }
        }
        for suspect in self.suspects.iter_mut().filter(|suspect| self.framed.contains(&suspect.mac)) {
            suspect.confidence = Confidence::Possible;
        }
        let framed = &self.framed;
        self.suspects.sort_by_key(|suspect| (std::cmp::Reverse(suspect.confidence), framed.contains(&suspect.mac)));
        self.suspects.truncate(MAX_SUSPECTS);
    }

    /// Whether somebody sends from the address of a device acted upon, in words. It may be the same device that has taken
    /// another Ethernet address to get away; only a person can say.
    pub(super) fn successor(&self) -> Option<String> {
        let (accused, others): (Vec<&Suspect>, Vec<&Suspect>) =
            self.suspects.iter().partition(|suspect| self.chosen.contains(&suspect.mac));
        let places = others.iter().flat_map(|suspect| self.places(suspect).map(|address| (suspect.mac, address)));
        let before = |address| accused.iter().find(|suspect| self.places(suspect).any(|place| place == address));
        places.filter(|_| self.state.in_force()).find_map(|(mac, address)| {
            let before = before(address)?.mac;
            Some(format!(
                "{mac} sends from {address}, as {before} did before: perhaps the same device with another Ethernet address"
            ))
        })
    }

    /// From where a suspect opens flows. Those opened by the target tell nothing.
    fn places<'a>(&'a self, suspect: &'a Suspect) -> impl Iterator<Item = IpAddr> + use<'a> {
        let sources = suspect.evidence.iter().map(|evidence| evidence.flow.original.source);
        sources.filter(|source| !self.scope.target_prefixes.iter().any(|target| target.contains(source)))
    }

    /// Adds `devices` to those acted upon; what is in force has to be verified anew if that changes anything.
    pub(super) fn act_on(&mut self, devices: &[Mac], action: Action) -> bool {
        let before = (self.chosen.len(), self.action, self.state.in_force());
        for mac in devices {
            if !self.chosen.contains(mac) {
                self.chosen.push(*mac);
            }
        }
        self.action = action;
        let changed = before != (self.chosen.len(), action, true);
        if changed {
            self.state = State::Active;
            self.verified = false;
            self.asked = None;
        }
        changed
    }
}
