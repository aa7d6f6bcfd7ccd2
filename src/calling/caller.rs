//! When and whom to call: one provider, from the first call on.
//!
//! A whole attempt finds addresses and races connections to them. It begins at once after start, and after the loss of a
//! session that lasted. Whole attempts on one target never begin less than a minute apart, and five minutes apart once
//! two in a row have failed (RFC 9132 section 4.7); so the one early retry bridges a provider's restart, and no more.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use super::race::{Destination, Order, Outcomes, Race, candidates};
use super::redirection::{ActiveRedirect, NotFollowed, RecentTargets};
use super::target::Target;
use crate::model::Transport;
use crate::model::address::is_callable;
use crate::signal::redirect::Redirect;

/// Whole attempts never begin closer together (RFC 9132 section 4.7: MUST NOT).
const CLOSEST: Duration = Duration::from_secs(60);
/// They begin that far apart once more than one has failed (RFC 9132 section 4.7: SHOULD NOT be closer).
const PACE: Duration = Duration::from_secs(300);
/// After a loss or a change of the network things need a moment to settle.
const SETTLE: Duration = Duration::from_secs(2);
/// A session over TLS looks for DTLS that often (RFC 9132 section 4.3: SHOULD NOT more often, MUST NOT below 5 minutes).
const PROBE: Duration = Duration::from_secs(24 * 3600);
/// The resolver answers within this time or not at all.
const LONGEST_RESOLUTION: Duration = Duration::from_secs(30);
/// Whole attempts that fail in a row until the administrator should look after it.
const ALARMING: u32 = 2;

/// What the caller wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallerAction {
    /// Ask for the addresses of the name; the answer goes to [`Caller::handle_resolved`].
    Resolve(String),
    /// Look for the default routers; they go to [`Caller::handle_default_routers`].
    DefaultRouters,
    /// Connect and shake hands; the outcome goes to [`Caller::handle_established`] or [`Caller::handle_failed`].
    Connect {
        /// Its number.
        attempt: u32,
        /// Over which secure channel.
        transport: Transport,
        /// Where to.
        address: SocketAddr,
        /// The name to be proven, also for SNI; the address where the provider has no name.
        name: String,
        /// Without the offer to go on from an earlier session.
        in_full: bool,
    },
    /// Drop the connection of that number, if there still is one.
    Abandon {
        /// Its number.
        attempt: u32,
    },
    /// Close the session: it is with an alternate whose time is over.
    HangUp,
}

/// Where the caller stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallerPhase {
    /// There is a session.
    Connected,
    /// A whole attempt is under way.
    Connecting,
    /// The next whole attempt is still to come.
    Waiting,
}

/// What the administrator may want to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallerStatus {
    /// Where the caller stands.
    pub phase: CallerPhase,
    /// Time until the next whole attempt, while waiting.
    pub retry_in: Option<Duration>,
    /// Why there is no session.
    pub last_error: Option<String>,
    /// Since when there has been none.
    pub down_since: Option<Instant>,
    /// Whether the provider can't be reached for good: whole attempts have failed again and again.
    pub is_alarming: bool,
}

/// A whole attempt.
#[derive(Debug)]
struct WholeAttempt {
    /// It only looks for DTLS, beside a session over TLS.
    is_probe: bool,
    /// Why the name has no addresses.
    unresolved: Option<String>,
    /// The network has changed meanwhile.
    is_outdated: bool,
    stage: AttemptStage,
}

#[derive(Debug)]
enum AttemptStage {
    Resolving(Instant),
    Routers,
    Racing(Race),
}

/// A session.
#[derive(Debug)]
struct CurrentSession {
    since: Instant,
    /// When DTLS is looked for.
    probe: Option<Instant>,
}

/// Calls one provider.
#[derive(Debug)]
pub struct Caller {
    provisioned: Target,
    detour: Option<ActiveRedirect>,
    called: RecentTargets,
    outcomes: Outcomes,
    /// The address that led to the last session with that name, for when it can't be resolved.
    proven: Option<(String, SocketAddr)>,
    attacked: bool,
    effort: Option<WholeAttempt>,
    session: Option<CurrentSession>,
    actions: VecDeque<CallerAction>,
    numbers: u32,
    /// When the current target was last called.
    begun: Option<Instant>,
    /// When it is called next.
    next: Option<Instant>,
    /// Whole attempts that failed in a row.
    failures: u32,
    /// The last one got as far as the provider.
    reached_out: bool,
    down_since: Option<Instant>,
    last_error: Option<String>,
}

impl Caller {
    /// Calls at once.
    pub fn new(target: Target, now: Instant) -> Self {
        let mut caller = Self {
            provisioned: target,
            detour: None,
            called: RecentTargets::default(),
            outcomes: Outcomes::default(),
            proven: None,
            attacked: false,
            effort: None,
            session: None,
            actions: VecDeque::new(),
            numbers: 0,
            begun: None,
            next: None,
            failures: 0,
            reached_out: false,
            down_since: Some(now),
            last_error: None,
        };
        caller.begin(false, now);
        caller
    }

    fn target(&self) -> &Target {
        self.detour.as_ref().map_or(&self.provisioned, |detour| &detour.target)
    }

    fn begin(&mut self, is_probe: bool, now: Instant) {
        self.next = None;
        if !is_probe {
            self.begun = Some(now);
        }
        let target = self.target();
        let addresses: Vec<SocketAddr> = target.addresses.iter().map(|&address| (address, 0).into()).collect();
        let name = target.name.clone();
        self.effort =
            Some(WholeAttempt { is_probe, unresolved: None, is_outdated: false, stage: AttemptStage::Routers });
        if !addresses.is_empty() {
            self.race(&addresses, now);
        } else if name.is_empty() {
            self.actions.push_back(CallerAction::DefaultRouters);
        } else {
            self.actions.push_back(CallerAction::Resolve(name));
            self.set_stage(AttemptStage::Resolving(now));
        }
    }

    fn set_stage(&mut self, stage: AttemptStage) {
        if let Some(effort) = &mut self.effort {
            effort.stage = stage;
        }
    }

    /// The resolver's answer. Answers to nobody's question are ignored.
    pub fn handle_resolved(&mut self, name: &str, answer: Result<Vec<IpAddr>, String>, now: Instant) {
        let is_awaited = matches!(&self.effort, Some(WholeAttempt { stage: AttemptStage::Resolving(_), .. }));
        if !is_awaited || self.target().name != name {
            return;
        }
        let may_call = |ip: &IpAddr| self.detour.as_ref().map_or_else(|| is_callable(ip), |detour| detour.may_call(ip));
        let found = answer.map(|all| all.into_iter().filter(may_call).map(|ip| (ip, 0).into()).collect::<Vec<_>>());
        match found {
            Ok(addresses) if !addresses.is_empty() => self.race(&addresses, now),
            Ok(_) => self.unresolved("no address", now),
            Err(why) => self.unresolved(&why, now),
        }
    }

    fn unresolved(&mut self, why: &str, now: Instant) {
        let why = format!("{}: {why}", self.target().name);
        if let Some(effort) = &mut self.effort {
            effort.unresolved = Some(why);
        }
        let proven = self.proven.as_ref().filter(|(name, _)| *name == self.target().name);
        if let Some(&(_, address)) = proven {
            self.race(&[address], now);
        } else if self.detour.is_some() {
            // An alternate is elsewhere by nature.
            self.failed(now);
        } else {
            self.set_stage(AttemptStage::Routers);
            self.actions.push_back(CallerAction::DefaultRouters);
        }
    }

    /// The default routers, of both families; their ports don't matter. A link-local one bears its scope.
    pub fn handle_default_routers(&mut self, routers: Vec<SocketAddr>, now: Instant) {
        if !matches!(&self.effort, Some(WholeAttempt { stage: AttemptStage::Routers, .. })) {
            return;
        }
        if routers.is_empty() {
            self.failed(now);
        } else {
            self.race(&routers, now);
        }
    }

    fn race(&mut self, addresses: &[SocketAddr], now: Instant) {
        let Some(effort) = &self.effort else { return };
        let transports = if effort.is_probe { &[Transport::Dtls] } else { self.target().transports() };
        let candidates = candidates(addresses, self.target().port, transports);
        if !effort.is_probe {
            self.begun = Some(now);
        }
        let race = Race::new(candidates, &self.outcomes, self.attacked, &mut self.numbers, now);
        self.set_stage(AttemptStage::Racing(race));
        self.proceed(now);
    }

    /// The connection is established and its handshake done. False: another one was faster, this one is to be closed. A
    /// session there is already has moved to it, and is to be closed too.
    #[must_use]
    pub fn handle_established(&mut self, attempt: u32, now: Instant) -> bool {
        let Some(WholeAttempt { stage: AttemptStage::Racing(race), .. }) = &mut self.effort else { return false };
        let Some(winner) = race.handle_established(attempt, &mut self.outcomes, now) else { return false };
        self.carry_out();
        self.effort = None;
        let name = self.target().name.clone();
        self.called.note(&name, now);
        self.proven = Some((name, winner.address));
        let could_be_better =
            winner.transport != Transport::Dtls && self.target().transports().contains(&Transport::Dtls);
        let since = self.session.as_ref().map_or(now, |session| session.since);
        self.session = Some(CurrentSession { since, probe: could_be_better.then(|| now + PROBE) });
        (self.down_since, self.last_error) = (None, None);
        true
    }

    /// The connection can't be, for this reason.
    pub fn handle_failed(&mut self, attempt: u32, why: String, now: Instant) {
        if let Some(WholeAttempt { stage: AttemptStage::Racing(race), .. }) = &mut self.effort
            && race.handle_failed(attempt, &why, &mut self.outcomes, now)
        {
            self.proceed(now);
        }
    }

    /// The connection has begun with the offer to go on from an earlier session.
    pub fn handle_offered(&mut self, attempt: u32) {
        if let Some(WholeAttempt { stage: AttemptStage::Racing(race), .. }) = &mut self.effort {
            race.handle_offered(attempt);
        }
    }

    /// The peer has refused that offer, in whatever way, and shakes hands in full next, as part of the same attempt.
    pub fn handle_refused(&mut self, attempt: u32, why: String, now: Instant) {
        let Self { effort, numbers, .. } = self;
        if let Some(WholeAttempt { stage: AttemptStage::Racing(race), .. }) = effort
            && race.handle_refused(attempt, numbers, now)
        {
            return self.carry_out();
        }
        self.handle_failed(attempt, why, now);
    }

    /// A session that goes on from an earlier one has ended before the peer said anything: it was refused that way. There is no
    /// other to go on from, so calling again at once, as part of the same attempt, ends in a full handshake or not at all.
    pub fn handle_refused_session(&mut self, why: String, now: Instant) {
        let ends = self.detour.as_ref().is_some_and(ActiveRedirect::ends_with_session);
        if self.session.is_none() || ends || self.is_detour_over(now) {
            return self.handle_lost(why, now);
        }
        self.session = None;
        self.abandon_effort();
        (self.down_since, self.last_error) = (Some(now), Some(why));
        self.begin(false, now);
    }

    /// The session has ended, for this reason.
    pub fn handle_lost(&mut self, why: String, now: Instant) {
        let Some(session) = self.session.take() else { return };
        self.abandon_effort();
        self.called.note(&self.target().name.clone(), now);
        (self.down_since, self.last_error) = (Some(now), Some(why));
        if self.detour.as_ref().is_some_and(ActiveRedirect::ends_with_session) || self.is_detour_over(now) {
            return self.return_home(now);
        }
        // Who lets us in and shows us the door at once has not let us in.
        let lasted = now.saturating_duration_since(session.since) >= CLOSEST;
        self.failures = if lasted { 0 } else { self.failures + 1 };
        self.reached_out = true;
        self.wait(now);
    }

    /// Nothing more comes of the whole attempt.
    fn failed(&mut self, now: Instant) {
        let Some(effort) = self.effort.take() else { return };
        if effort.is_probe {
            if let Some(session) = &mut self.session {
                session.probe = Some(now + PROBE);
            }
            return;
        }
        let race = if let AttemptStage::Racing(race) = &effort.stage { Some(race) } else { None };
        let reasons = [effort.unresolved, race.and_then(Race::complaint)];
        let reasons: Vec<String> = reasons.into_iter().flatten().collect();
        let nowhere = || "no address is configured, and there is no default router".to_owned();
        self.last_error = Some(if reasons.is_empty() { nowhere() } else { reasons.join("; ") });
        self.called.note(&self.target().name.clone(), now);
        if self.detour.is_some() {
            return self.return_home(now);
        }
        self.failures = self.failures.saturating_add(1);
        self.reached_out = race.is_some_and(Race::has_sent);
        self.wait(now);
        if effort.is_outdated {
            self.handle_network_changed(now);
        }
    }

    fn wait(&mut self, now: Instant) {
        let apart = match self.failures {
            0 | 1 => CLOSEST,
            _ if self.reached_out => PACE,
            _ => CLOSEST,
        };
        let next = self.begun.map_or(now, |begun| begun + apart);
        self.next = Some(next.max(now + SETTLE));
    }

    /// The network or the clock is not what it was: a call that failed may succeed now. It does not wait longer than the
    /// rules demand; not at all, where the last one got nowhere.
    pub fn handle_network_changed(&mut self, now: Instant) {
        if let Some(effort) = &mut self.effort {
            effort.is_outdated = true;
        } else if let Some(next) = self.next {
            let allowed = self.begun.filter(|_| self.reached_out).map_or(now, |begun| begun + CLOSEST);
            self.next = Some(next.min(allowed.max(now + SETTLE)));
        }
    }

    /// Goes where the provider sends us, at once. What was said to be the session is over then: close it, after this.
    ///
    /// # Errors
    /// The session stays, and the administrator should know.
    pub fn redirect(&mut self, redirect: Redirect, now: Instant) -> Result<(), NotFollowed> {
        if redirect.ttl == Some(0) && !self.attacked {
            return Err(NotFollowed::Momentary);
        }
        self.called.note(&self.target().name.clone(), now);
        if self.called.is_loop(&redirect.name, now) {
            return Err(NotFollowed::Loop(redirect.name));
        }
        let from = self.proven.as_ref().map(|(_, address)| address.ip());
        let detour = ActiveRedirect::new(redirect, &self.provisioned, (from, self.detour.as_ref()), now)?;
        self.abandon_effort();
        self.session = None;
        self.down_since = Some(now);
        self.detour = Some(detour);
        self.begin(false, now);
        Ok(())
    }

    fn return_home(&mut self, now: Instant) {
        self.detour = None;
        self.failures = 0;
        self.begin(false, now);
    }

    /// Whether one of the provider's mitigations is in force: haste, and no experiments.
    pub fn set_attack(&mut self, attacked: bool) {
        self.attacked = attacked;
    }

    fn is_detour_over(&self, now: Instant) -> bool {
        !self.attacked && self.detour.as_ref().map(ActiveRedirect::until).is_some_and(|until| until <= now)
    }

    /// When [`Caller::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let effort = self.effort.as_ref().and_then(|effort| match &effort.stage {
            AttemptStage::Resolving(since) => Some(*since + LONGEST_RESOLUTION),
            AttemptStage::Routers => None,
            AttemptStage::Racing(race) => race.poll_timeout(),
        });
        let is_quiet = self.effort.is_none() && !self.attacked;
        let probe = self.session.as_ref().and_then(|session| session.probe).filter(|_| is_quiet);
        let detour = self.detour.as_ref().map(ActiveRedirect::until).filter(|_| !self.attacked);
        [effort, probe, detour, self.next].into_iter().flatten().min()
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.is_detour_over(now) {
            self.abandon_effort();
            self.called.note(&self.target().name.clone(), now);
            if self.session.take().is_some() {
                self.down_since = Some(now);
                self.actions.push_back(CallerAction::HangUp);
            }
            return self.return_home(now);
        }
        match &self.effort {
            Some(WholeAttempt { stage: AttemptStage::Resolving(since), .. }) if *since + LONGEST_RESOLUTION <= now => {
                self.unresolved("the resolver does not answer", now);
            }
            Some(_) => self.proceed(now),
            None => self.begin_what_is_due(now),
        }
    }

    fn begin_what_is_due(&mut self, now: Instant) {
        let is_due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        if is_due(self.next) {
            self.begin(false, now);
        } else if !self.attacked && is_due(self.session.as_ref().and_then(|session| session.probe)) {
            self.begin(true, now);
        }
    }

    /// Lets the race go on.
    fn proceed(&mut self, now: Instant) {
        let Some(WholeAttempt { is_probe, stage: AttemptStage::Racing(race), .. }) = &mut self.effort else { return };
        race.handle_timeout(&mut self.outcomes, &mut self.numbers, now);
        let is_over = race.is_over();
        if let Some(complaint) = race.complaint().filter(|_| !*is_probe) {
            self.last_error = Some(complaint);
        }
        self.carry_out();
        if is_over {
            self.failed(now);
        }
    }

    fn abandon_effort(&mut self) {
        if let Some(WholeAttempt { stage: AttemptStage::Racing(race), .. }) = &mut self.effort {
            race.abandon();
        }
        self.carry_out();
        self.effort = None;
    }

    /// Makes actions of what the race wants.
    fn carry_out(&mut self) {
        let Some(WholeAttempt { stage: AttemptStage::Racing(race), .. }) = &mut self.effort else { return };
        let Target { name, .. } = self.detour.as_ref().map_or(&self.provisioned, |detour| &detour.target);
        while let Some(order) = race.poll_order() {
            let in_full = matches!(order, Order::ConnectInFull(..));
            self.actions.push_back(match order {
                Order::Connect(attempt, destination) | Order::ConnectInFull(attempt, destination) => {
                    let Destination { transport, address } = destination;
                    let name = if name.is_empty() { address.ip().to_string() } else { name.clone() };
                    CallerAction::Connect { attempt, transport, address, name, in_full }
                }
                Order::Abandon(attempt) => CallerAction::Abandon { attempt },
            });
        }
    }

    /// What is to be done next.
    pub fn poll_action(&mut self) -> Option<CallerAction> {
        self.actions.pop_front()
    }

    /// Where the caller stands.
    pub fn state(&self, now: Instant) -> CallerStatus {
        let phase = match (&self.session, &self.effort) {
            (Some(_), _) => CallerPhase::Connected,
            (None, Some(_)) => CallerPhase::Connecting,
            (None, None) => CallerPhase::Waiting,
        };
        CallerStatus {
            phase,
            retry_in: self.next.map(|next| next.saturating_duration_since(now)),
            last_error: self.last_error.clone(),
            down_since: self.down_since,
            is_alarming: self.session.is_none() && self.failures >= ALARMING,
        }
    }
}
