//! A caller in a simulated network: names, routes and answers are as the test says, and time passes by itself.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use dots_callhome::calling::{Caller, CallerAction, CallerPhase, CallerStatus, Target};
use dots_callhome::config;
use dots_callhome::model::Transport;

pub const NAME: &str = "callhome.isp.example";
pub const V6: &str = "2001:db8::1";
pub const V4: &str = "192.0.2.1";

const REFUSED: &str = "the peer refuses to go on";

/// What the network does with a connection.
#[derive(Clone, Debug)]
pub enum Fate {
    /// Nothing ever comes back.
    Silent,
    /// The handshake is done after this many milliseconds.
    Established(u64),
    /// It fails after this many milliseconds; 0: nothing could even be sent.
    Fails(u64, &'static str),
    /// It offers to go on from an earlier session, which is refused after this many milliseconds, or without a word.
    Refuses(Option<u64>),
}

/// A connection as the network sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub at: Duration,
    pub transport: Transport,
    pub address: SocketAddr,
    pub name: String,
    /// It must make no offer to go on from an earlier session.
    pub in_full: bool,
}

impl Seen {
    /// `dtls 192.0.2.1`
    pub fn path(&self) -> String {
        format!("{} {}", self.transport.as_str(), self.address.ip())
    }
}

type Network = Box<dyn Fn(&Seen) -> Fate>;

/// The caller and all around it.
pub struct World {
    pub caller: Caller,
    pub network: Network,
    pub names: BTreeMap<String, Result<Vec<IpAddr>, String>>,
    pub routers: Vec<SocketAddr>,
    pub seen: Vec<Seen>,
    pub asked: Vec<String>,
    pub hung_up: usize,
    /// Path of the session.
    pub session: Option<String>,
    /// A connection that was established all the same, but not wanted any more.
    pub unwanted: usize,
    start: Instant,
    pub now: Instant,
    running: BTreeMap<u32, Seen>,
    due: BTreeSet<(Instant, u32)>,
    fates: BTreeMap<u32, Result<(), &'static str>>,
}

pub fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

pub fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}

pub fn ips(texts: &[&str]) -> Vec<IpAddr> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

pub fn target(addresses: &[&str]) -> Target {
    Target { name: NAME.into(), addresses: ips(addresses), port: 4647, transport: config::TransportChoice::Auto }
}

impl World {
    pub fn new(target: Target, network: impl Fn(&Seen) -> Fate + 'static) -> Self {
        let now = Instant::now();
        Self {
            caller: Caller::new(target, now),
            network: Box::new(network),
            names: BTreeMap::new(),
            routers: Vec::new(),
            seen: Vec::new(),
            asked: Vec::new(),
            hung_up: 0,
            session: None,
            unwanted: 0,
            start: now,
            now,
            running: BTreeMap::new(),
            due: BTreeSet::new(),
            fates: BTreeMap::new(),
        }
    }

    /// With both addresses configured.
    pub fn both(network: impl Fn(&Seen) -> Fate + 'static) -> Self {
        Self::new(target(&[V6, V4]), network)
    }

    pub fn set_network(&mut self, network: impl Fn(&Seen) -> Fate + 'static) {
        self.network = Box::new(network);
    }

    pub fn elapsed(&self) -> Duration {
        self.now - self.start
    }

    pub fn state(&self) -> CallerStatus {
        self.caller.state(self.now)
    }

    pub fn phase(&self) -> CallerPhase {
        self.state().phase
    }

    /// Lets time pass.
    pub fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        for _ in 0..100_000 {
            self.act();
            let timer = self.caller.poll_timeout();
            let arrival = self.due.first().map(|(at, _)| *at);
            let next = timer.into_iter().chain(arrival).min().unwrap_or(end).max(self.now);
            if next > end || (timer.is_none() && arrival.is_none()) {
                self.now = end;
                return;
            }
            self.now = next;
            if let Some((at, attempt)) = self.due.first().copied().filter(|(at, _)| *at <= self.now) {
                self.due.remove(&(at, attempt));
                self.arrive(attempt);
            } else {
                self.caller.handle_timeout(self.now);
                self.act();
                assert!(self.caller.poll_timeout().is_none_or(|due| due > self.now), "a timer that is never done");
            }
        }
        panic!("time does not pass");
    }

    fn arrive(&mut self, attempt: u32) {
        let Some(seen) = self.running.remove(&attempt) else { return };
        match self.fates.remove(&attempt).expect("a fate") {
            Ok(()) if self.caller.handle_established(attempt, self.now) => self.session = Some(seen.path()),
            Ok(()) => self.unwanted += 1,
            Err(why) if why == REFUSED => self.caller.handle_refused(attempt, why.into(), self.now),
            Err(why) => self.caller.handle_failed(attempt, why.into(), self.now),
        }
    }

    /// Does what the caller wants.
    pub fn act(&mut self) {
        while let Some(action) = self.caller.poll_action() {
            match action {
                CallerAction::Resolve(name) => {
                    self.asked.push(name.clone());
                    if let Some(answer) = self.names.get(&name) {
                        self.caller.handle_resolved(&name, answer.clone(), self.now);
                    }
                }
                CallerAction::DefaultRouters => self.caller.handle_default_routers(self.routers.clone(), self.now),
                CallerAction::Connect { attempt, transport, address, name, in_full } => {
                    self.connect(attempt, Seen { at: self.elapsed(), transport, address, name, in_full });
                }
                CallerAction::Abandon { attempt } => {
                    self.running.remove(&attempt);
                    self.fates.remove(&attempt);
                }
                CallerAction::HangUp => {
                    assert!(self.session.take().is_some(), "there is no session");
                    self.hung_up += 1;
                }
            }
        }
    }

    fn connect(&mut self, attempt: u32, seen: Seen) {
        let fate = (self.network)(&seen);
        self.seen.push(seen.clone());
        let (after, outcome) = match fate {
            Fate::Fails(0, why) => return self.caller.handle_failed(attempt, why.into(), self.now),
            Fate::Silent => (None, Err("")),
            Fate::Refuses(after) => {
                assert!(!seen.in_full);
                self.caller.handle_offered(attempt);
                (after, Err(REFUSED))
            }
            Fate::Established(after) => (Some(after), Ok(())),
            Fate::Fails(after, why) => (Some(after), Err(why)),
        };
        assert!(self.running.insert(attempt, seen).is_none(), "a number used twice");
        self.fates.insert(attempt, outcome);
        self.due.extend(after.map(|after| (self.now + millis(after), attempt)));
    }

    /// The session breaks.
    pub fn lose(&mut self) {
        assert!(self.session.take().is_some(), "there is no session");
        self.caller.handle_lost("connection reset".into(), self.now);
    }

    /// The session, which goes on from an earlier one, breaks before the provider has said a word.
    pub fn lose_unheard(&mut self) {
        assert!(self.session.take().is_some(), "there is no session");
        self.caller.handle_refused_session("no word".into(), self.now);
    }

    /// Connections under way.
    pub fn running(&self) -> usize {
        self.running.len()
    }

    /// What was seen since last asked.
    pub fn take_seen(&mut self) -> Vec<Seen> {
        std::mem::take(&mut self.seen)
    }

    /// The paths seen since last asked.
    pub fn take_paths(&mut self) -> Vec<String> {
        self.take_seen().iter().map(Seen::path).collect()
    }
}

/// When whole attempts began: connections more than 30 seconds apart belong to different ones.
pub fn beginnings(seen: &[Seen]) -> Vec<Duration> {
    let mut all: Vec<Duration> = Vec::new();
    let mut last: Option<Duration> = None;
    for seen in seen {
        if last.is_none_or(|last| seen.at - last > seconds(30)) {
            all.push(seen.at);
        }
        last = Some(seen.at);
    }
    all
}

/// The times between them, in seconds.
pub fn gaps(times: &[Duration]) -> Vec<u64> {
    times.windows(2).map(|pair| (pair[1] - pair[0]).as_secs()).collect()
}
