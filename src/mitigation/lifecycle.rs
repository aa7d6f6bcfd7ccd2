//! One mitigation from request to end, and what the provider is told of it.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use ipnet::IpNet;
use vecset::VecMap;

use super::budget;
use super::consent::Action;
use super::drop_stats::DropStats;
use super::phase::{Approval, Check, Ending, Inherited, Phase};
use super::state::{Client, Decision, State, Status};
use super::term::Until;
use crate::enforce::desired::Narrowed;
use crate::model::{Flow, Mac, MitigationId, Now, Scope, Traffic, Tuple};
use crate::source::{Confidence, Stranger, Suspect, most_flows};

/// How long a mitigation goes on after its withdrawal (RFC 9132 section 4.4.4).
pub(super) const TERMINATING: Duration = Duration::from_secs(120);

/// The longest such period, reached by doubling when the client asks again meanwhile (RFC 9132 section 4.4.4).
pub(super) const TERMINATING_MAX: Duration = Duration::from_secs(300);

/// One request of a client and what has become of it.
#[derive(Clone, Debug)]
pub struct Mitigation {
    pub(super) id: MitigationId,
    pub(super) client: Client,
    pub(super) mid: u32,
    pub(super) phase: Phase,
    pub(super) scope: Scope,
    /// Whether the provider's texts in the scope were lost by a restart; the next refresh brings them again.
    pub(super) names_forgotten: bool,
    pub(super) requested: u64,
    pub(super) granted: Duration,
    pub(super) ends: Instant,
    /// When it ends, as far as what is kept says.
    pub(super) kept_ends: Instant,
    /// Whether its provider still asks for it.
    pub(super) asked: bool,
    /// The administrator's own bound on the lifetime; refreshes don't pass it.
    pub(super) limit: Option<Instant>,
    /// Until when it goes on.
    pub(super) until: Until,
    /// How long it will go on after a withdrawal.
    pub(super) period: Duration,
    pub(super) action: Action,
    pub(super) suspects: Vec<Suspect>,
    /// Who sends and is no device.
    pub(super) strangers: Vec<Stranger>,
    /// Most of them; the least likely give way.
    pub(super) most_suspects: usize,
    /// From which addresses only a block drops, of those of its devices that stand for others as well.
    pub(super) narrowed: Narrowed,
    /// Requests of other clients that overlap, and where.
    pub(super) conflicts: VecMap<MitigationId, Vec<IpNet>>,
    /// Devices the administrator let go: policy must not choose them again.
    pub(super) released: Vec<Mac>,
    /// Devices from whose addresses somebody else sends: what is found of them proves nothing.
    pub(super) spoofed: Vec<Mac>,
    /// The consent given to the request this one superseded.
    pub(super) inherited: Option<Inherited>,
    pub(super) drops: DropStats,
    pub(super) started: Option<u64>,
    /// Who sends and can't be blocked, in words.
    pub(super) hint: Option<String>,
    /// Why it is not as it should be. It may be of any phase: another device can send in a suspect's name at any time.
    pub(super) detail: Option<String>,
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
            phase: Phase::Searching { assessed: false },
            scope,
            names_forgotten: false,
            requested: now.unix,
            granted: lifetime,
            ends: now.instant + lifetime,
            kept_ends: now.instant + lifetime,
            asked: true,
            limit: None,
            until: Until::Request,
            period: TERMINATING,
            action,
            suspects: Vec::new(),
            strangers: Vec::new(),
            most_suspects: budget::suspects(1),
            narrowed: Narrowed::new(),
            conflicts: VecMap::new(),
            released: Vec::new(),
            spoofed: Vec::new(),
            inherited: None,
            drops: DropStats::default(),
            started: None,
            hint: None,
            detail: None,
        }
    }

    /// When things happened, seconds since 1970.
    pub(super) fn dates(&mut self) -> impl Iterator<Item = &mut u64> {
        let inherited = self.inherited.as_mut().map(|inherited| &mut inherited.approval.decision);
        let decided = self.phase.decision_mut().into_iter().chain(inherited).map(|decision| &mut decision.at);
        [&mut self.requested].into_iter().chain(&mut self.started).chain(decided)
    }

    /// The number under which the administrator knows it.
    pub fn id(&self) -> MitigationId {
        self.id
    }

    /// The client whose request it is.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The client's identifier of the request (`mid`).
    pub fn mid(&self) -> u32 {
        self.mid
    }

    /// The phase it is in.
    pub fn state(&self) -> State {
        self.phase.state()
    }

    /// The traffic the request is about.
    pub fn scope(&self) -> &Scope {
        &self.scope
    }

    /// When the request first came, seconds since 1970.
    pub fn requested(&self) -> u64 {
        self.requested
    }

    /// The lifetime granted last.
    pub fn granted(&self) -> Duration {
        self.granted
    }

    /// What is, or would be, done to the devices.
    pub fn action(&self) -> Action {
        self.action
    }

    /// The devices that may be meant, most likely first.
    pub fn suspects(&self) -> &[Suspect] {
        &self.suspects
    }

    /// Most suspects kept of it, which its provider's other requests leave room for.
    pub fn most_suspects(&self) -> usize {
        self.most_suspects
    }

    /// The devices the decision is about.
    pub fn chosen(&self) -> &[Mac] {
        self.phase.devices()
    }

    /// The decision, if there is one.
    pub fn decision(&self) -> Option<&Decision> {
        self.phase.decision()
    }

    /// What has been dropped since the start; never counts back.
    pub fn dropped(&self) -> Traffic {
        self.drops.dropped
    }

    /// How long ago a packet was seen to be dropped last; nothing: none since the start of the daemon.
    pub fn dropped_ago(&self, now: Now) -> Option<Duration> {
        self.drops.ago(now.instant)
    }

    /// What is being dropped, per second, between the last two readings.
    pub fn rate(&self) -> Traffic {
        self.drops.rate
    }

    /// What has been dropped per second over the full five-minute intervals since the start (RFC 9132 section 4.4.2).
    pub fn average(&self) -> Traffic {
        self.drops.average
    }

    /// When it was first seen to be in force, seconds since 1970 (`mitigation-start`).
    pub fn started(&self) -> Option<u64> {
        self.started
    }

    /// Whether it was seen to be in force as it stands.
    pub fn verified(&self) -> bool {
        self.phase.verified()
    }

    /// Why it is not as it should be, in words; while nothing is in force also who sends and can't be blocked.
    pub fn detail(&self) -> Option<&str> {
        let waits = matches!(self.state(), State::Searching | State::Pending);
        self.detail.as_deref().or(self.hint.as_deref().filter(|_| waits))
    }

    /// Who sends what the request is about and is no device.
    pub fn strangers(&self) -> &[Stranger] {
        &self.strangers
    }

    /// Whether the source network has been searched at least once, or need not be any more.
    pub fn assessed(&self) -> bool {
        self.phase.assessed()
    }

    /// What the provider is told.
    pub fn status(&self) -> Status {
        match self.state() {
            State::Active if self.verified() => Status::Mitigated,
            State::Pending | State::Searching | State::Active => Status::InProgress,
            State::Stopped => Status::Stopped,
            State::Terminating => Status::Terminating,
            State::Expired => Status::Terminated,
            State::Rejected | State::Withdrawn => Status::Withdrawn,
        }
    }

    /// Whether the provider is to be told conflict-cause 4, legitimate traffic (RFC 9066 section 5.3.1).
    pub fn legitimate(&self) -> bool {
        self.state() == State::Rejected
    }

    /// Whether somebody has decided about it, or about one of its devices.
    pub(super) fn is_decided(&self) -> bool {
        self.decision().is_some() || !self.released.is_empty()
    }

    /// Whether it asks for the same as `scope`. Names that a restart has forgotten are taken from there.
    pub(super) fn asks_for(&mut self, scope: &Scope) -> bool {
        if !self.names_forgotten {
            return self.scope == *scope;
        }
        let same = self.scope == scope.without_names();
        if same {
            (self.scope, self.names_forgotten) = (scope.clone(), false);
        }
        same
    }

    /// Restarts the lifetime of what is kept. Returns whether that is worth writing: what is kept says less than half of
    /// it, or more than it, so that a restart would end it long before its time, or too late.
    pub(super) fn prolong(&mut self, lifetime: Duration, now: Now) -> bool {
        self.grant(lifetime, now);
        let kept = self.kept_ends.saturating_duration_since(now.instant);
        let worth = kept < self.granted / 2 || self.kept_ends > self.ends;
        if worth {
            self.kept_ends = self.ends;
        }
        worth
    }

    /// Restarts the lifetime, within the administrator's bound.
    pub(super) fn grant(&mut self, lifetime: Duration, now: Now) {
        self.granted = self.end_within(lifetime, now);
    }

    /// Lets it end then, or at the administrator's bound. Returns what is left.
    fn end_within(&mut self, time: Duration, now: Now) -> Duration {
        let bound = self.limit.map_or(time, |limit| limit.saturating_duration_since(now.instant));
        let left = time.min(bound);
        self.ends = now.instant + left;
        left
    }

    /// Asks the administrator.
    pub(super) fn ask(&mut self, now: Now) {
        self.phase = Phase::pending(now.instant);
    }

    /// Acts on `devices`, besides those acted upon already. Returns whether that changes anything; what must be in force
    /// has to be verified anew then. The first decision stays the one shown.
    pub(super) fn act_on(&mut self, devices: &[Mac], action: Action, decision: &Decision) -> bool {
        match &mut self.phase {
            Phase::InForce { approval, check } => {
                if !approval.add(devices) && self.action == action {
                    return false;
                }
                *check = Check::Unverified;
            }
            Phase::Searching { .. } | Phase::Pending { .. } => {
                let mut approval = Approval { decision: decision.clone(), devices: Vec::new(), confirmed: Vec::new() };
                approval.add(devices);
                self.phase = Phase::InForce { approval, check: Check::Unverified };
            }
            Phase::Terminating { approval, verified } => {
                if !approval.add(devices) && self.action == action {
                    return false;
                }
                *verified = false;
            }
            Phase::Ended { .. } => return false,
        }
        self.action = action;
        true
    }

    /// The client no longer wants it. What is not in force is not kept in force either. What it was granted stays known: a no
    /// lasts as long.
    pub(super) fn terminate(&mut self, now: Now) {
        if let Phase::InForce { approval, .. } = &self.phase {
            self.phase = Phase::Terminating { approval: approval.clone(), verified: self.phase.verified() };
            self.end_within(self.period, now);
        }
    }

    /// The client wants it again after all: the next withdrawal takes longer. Where all devices were let go meanwhile,
    /// somebody has to decide again.
    pub(super) fn revive(&mut self, now: Now) {
        let Phase::Terminating { approval, verified } = &self.phase else { return };
        let check = if *verified { Check::Verified } else { Check::Unverified };
        self.phase = match approval.devices.is_empty() {
            true => Phase::pending(now.instant),
            false => Phase::InForce { approval: approval.clone(), check },
        };
        self.period = self.longer_period();
        self.drops.begin(now.instant);
    }

    /// Ends it by a decision; what was wrong with it is of no concern any more.
    pub(super) fn end(&mut self, ending: Ending, decision: Decision) {
        self.phase = Phase::Ended { ending, decision: Some(decision), devices: self.chosen().to_vec() };
        self.detail = None;
    }

    /// Ends it because its time is over.
    pub(super) fn expire(&mut self) {
        let (decision, devices) = (self.decision().cloned(), self.chosen().to_vec());
        self.phase = Phase::Ended { ending: Ending::Expired, decision, devices };
    }

    /// Forgets what was decided, as the policy acts on nobody any more.
    pub(super) fn reopen(&mut self) {
        self.phase = Phase::Searching { assessed: true };
        self.detail = None;
    }

    pub(super) fn longer_period(&self) -> Duration {
        (self.period * 2).min(TERMINATING_MAX)
    }

    /// Takes in what the search found. A search that finds less never weakens what is known. Returns whether anything but
    /// figures is known that was not.
    pub(super) fn learn(&mut self, found: Vec<Suspect>) -> bool {
        let (mut changed, mut added) = (false, Vec::new());
        for mut suspect in found {
            if self.spoofed.contains(&suspect.mac) {
                suspect.confidence = Confidence::Possible;
            }
            match self.suspects.iter_mut().find(|known| known.mac == suspect.mac) {
                Some(known) if known.confidence > suspect.confidence => known.update_figures(&suspect),
                Some(known) => {
                    changed |= !suspect.is_as(known);
                    *known = suspect;
                }
                None => {
                    added.push(suspect.mac);
                    self.suspects.push(suspect);
                }
            }
        }
        self.sort_suspects();
        self.suspects.truncate(self.most_suspects);
        let most_flows = most_flows(self.most_suspects, self.suspects.len());
        self.suspects.iter_mut().for_each(|suspect| suspect.evidence.truncate(most_flows));
        changed || self.suspects.iter().any(|suspect| added.contains(&suspect.mac))
    }

    /// The addresses that a block is about, of a device that stands for others as well.
    pub fn narrowed(&self, mac: Mac) -> Option<&[IpAddr]> {
        let is_meant = self.action == Action::Block && self.chosen().contains(&mac);
        self.narrowed.get(&mac).filter(|_| is_meant).map(Vec::as_slice)
    }

    /// The flows of a suspect that what is done is about.
    pub(super) fn flows_meant<'a>(&'a self, suspect: &'a Suspect) -> impl Iterator<Item = Tuple> + use<'a> {
        let only = self.narrowed(suspect.mac);
        let is_meant = move |flow: &&Flow| {
            let by = |address| only.is_none_or(|only| only.contains(&address));
            by(flow.original.source) || by(flow.reply.source)
        };
        suspect.evidence.iter().map(|evidence| &evidence.flow).filter(is_meant).map(|flow| flow.original)
    }

    /// What is done about devices that turn out to stand for others as well is done about those who send only. Returns whether
    /// that changes anything. What a person has narrowed stays.
    pub(super) fn narrow(&mut self) -> bool {
        let before = self.narrowed.len();
        for suspect in self.suspects.iter().filter(|suspect| self.phase.devices().contains(&suspect.mac)) {
            if suspect.may_stand_for_others() && !suspect.senders.is_empty() {
                self.narrowed.entry(suspect.mac).or_insert_with(|| suspect.senders.clone());
            }
        }
        self.narrowed.len() > before
    }

    /// A person has chosen these devices, and perhaps some of their addresses; else those who were seen to send.
    pub(super) fn narrow_to(&mut self, devices: &[Mac], addresses: &[IpAddr]) {
        for mac in devices {
            let known = self.narrowed.remove(mac).filter(|_| self.phase.confirmed(*mac)).unwrap_or_default();
            let Some(suspect) = self.suspects.iter().find(|suspect| suspect.mac == *mac) else { continue };
            let chosen = match addresses {
                [] if suspect.may_stand_for_others() => suspect.senders.clone(),
                chosen => chosen.iter().copied().filter(|address| has_address(suspect, *address)).collect(),
            };
            let mut all: Vec<IpAddr> = known.into_iter().chain(chosen).collect();
            all.sort_unstable();
            all.dedup();
            if !all.is_empty() {
                self.narrowed.insert(*mac, all);
            }
        }
    }

    /// Whether others under the Ethernet address of a device acted upon send as well, in words.
    pub(super) fn unblocked_sender(&self) -> Option<String> {
        let is_several = |suspect: &&Suspect| suspect.may_stand_for_others() && !suspect.behind;
        let concerned = self.suspects.iter().filter(is_several).filter(|_| self.state().in_force());
        concerned.into_iter().find_map(|suspect| {
            let only = self.narrowed(suspect.mac)?;
            let other = suspect.senders.iter().find(|address| !only.contains(address))?;
            Some(format!("{other} sends as well under the Ethernet address {}, and is not blocked", suspect.mac))
        })
    }

    /// Takes in who sends and is no device. Whoever was suspected for want of anybody with the ports named is not any more.
    pub(super) fn meet_strangers(&mut self, strangers: Vec<Stranger>) {
        if !strangers.is_empty() && matches!(self.state(), State::Searching | State::Pending) {
            self.suspects.retain(|suspect| suspect.confidence > Confidence::Possible);
        }
        let words: Vec<String> = strangers.iter().map(Stranger::to_string).collect();
        self.hint = (!words.is_empty()).then(|| words.join("; "));
        self.strangers = strangers;
    }

    /// The policy must not choose the device again, nor does consent given before count.
    pub(super) fn bar(&mut self, mac: Mac) {
        if !self.released.contains(&mac) {
            self.released.push(mac);
        }
        if let Some(inherited) = &mut self.inherited {
            inherited.approval.devices.retain(|device| *device != mac);
        }
    }

    /// Nobody is sure of a device any more in whose name another one sends.
    pub(super) fn doubt(&mut self, mac: Mac) {
        if !self.spoofed.contains(&mac) {
            self.spoofed.push(mac);
        }
        if let Some(suspect) = self.suspects.iter_mut().find(|suspect| suspect.mac == mac) {
            suspect.confidence = Confidence::Possible;
        }
        self.sort_suspects();
    }

    fn sort_suspects(&mut self) {
        let spoofed = &self.spoofed;
        self.suspects.sort_by_key(|suspect| (std::cmp::Reverse(suspect.confidence), spoofed.contains(&suspect.mac)));
    }

    /// Whether somebody sends from the address of a device acted upon, in words. It may be the same device that has taken
    /// another Ethernet address to get away; only a person can say.
    pub(super) fn reassigned_address(&self) -> Option<String> {
        let (targeted, others): (Vec<&Suspect>, Vec<&Suspect>) =
            self.suspects.iter().partition(|suspect| self.chosen().contains(&suspect.mac));
        let places = others.iter().flat_map(|suspect| self.places(suspect).map(|address| (suspect.mac, address)));
        let before = |address| targeted.iter().find(|suspect| self.places(suspect).any(|place| place == address));
        places.filter(|_| self.state().in_force()).find_map(|(mac, address)| {
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
}

/// Whether a suspect is known to use an address.
pub(super) fn has_address(suspect: &Suspect, address: IpAddr) -> bool {
    [&suspect.senders, &suspect.sharers, &suspect.former, &suspect.addresses]
        .iter()
        .any(|known| known.contains(&address))
}
