//! The daemon: all rooms and the loop that drives them.

use std::io::{self, ErrorKind, Read};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::net::UnixStream;
use mio::{Events, Poll, Registry, Token, Waker};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use vecset::VecMap;

use super::child::Nft;
use super::files::{self, Decisions};
use super::join::{self, Join};
use super::keeper::Keeper;
use super::kernel::{Kernel, Port};
use super::logger;
use super::news::News;
use super::peers::Peers;
use super::provider::Surroundings;
use super::resolver::Resolver;
use crate::config::Config;
use crate::enforce::desired::Owner;
use crate::enforce::{self, Enforcer};
use crate::io::clock;
use crate::io::netlink::Received;
use crate::io::signals;
use crate::mitigation::{self, Ledger};
use crate::model::{ClockSet, Mac, Now};
use crate::source::{self, Finder};
use crate::transport::credentials::Clock;
use crate::ubus::{self, House};

const WAKER: Token = Token(0);
const RELOAD: Token = Token(1);
const END: Token = Token(2);
const BUS: Token = Token(3);
const NFT: Token = Token(4);
const KERNEL: usize = 5;
/// Connections to providers have the tokens from here on.
const CONNECTIONS: usize = KERNEL + Kernel::TOKENS;
/// Rounds of one turn: rooms that keep each other busy don't hold the loop.
const ROUNDS: usize = 32;
/// Runs of nft begin that far apart at least: a burst of requests becomes a few transactions, a single one never waits.
const NFT_PACE: Duration = Duration::from_millis(50);
/// A clock that moves by more than this against the monotonic one has been set.
const CLOCK_SET: u64 = 60;

/// Where everything is.
#[derive(Clone, Debug)]
pub struct Options {
    /// The UCI file.
    pub config: PathBuf,
    /// The bus's socket.
    pub ubus: PathBuf,
    /// What survives a reboot.
    pub state: PathBuf,
    /// What doesn't.
    pub run: PathBuf,
}

/// Everything there is.
pub struct Daemon {
    options: Options,
    poll: Poll,
    registry: Registry,
    reload: UnixStream,
    end: UnixStream,
    resolver: Resolver,
    kernel: Kernel,
    nft: Option<Nft>,
    /// Until when the next run waits for company.
    nft_hold: Option<Instant>,
    join: Join,
    peers: Peers,
    ledger: Ledger,
    finder: Finder,
    enforcer: Enforcer,
    keeper: Keeper,
    /// Names of devices: as LuCI knows them, and as configured.
    hints: VecMap<Mac, String>,
    names: VecMap<Mac, String>,
    token: usize,
    started: Now,
    now: Now,
    stopping: bool,
}

impl Daemon {
    /// Reads the configuration and takes up what was in force before.
    ///
    /// # Errors
    /// In words, what the system does not let us have.
    pub fn new(options: Options) -> Result<Self, String> {
        let poll = Poll::new().map_err(|error| format!("no event loop: {error}"))?;
        let registry = poll.registry().try_clone().map_err(|error| format!("no event loop: {error}"))?;
        let waker = Waker::new(&registry, WAKER).map(Arc::new).map_err(|error| format!("no waker: {error}"))?;
        let reload = signals(&[SIGHUP], &registry, RELOAD).map_err(|error| format!("signals: {error}"))?;
        let end = signals(&[SIGINT, SIGTERM], &registry, END).map_err(|error| format!("signals: {error}"))?;
        let kernel = Kernel::open(&registry, KERNEL)
            .map_err(|error| format!("netlink: {error}; is CAP_NET_ADMIN missing, or kmod-nf-conntrack-netlink?"))?;
        let now = clock::now();
        let tls_clock = Arc::new(Clock::default());
        let mut daemon = Self {
            join: Join::new(options.ubus.clone(), BUS),
            peers: Peers::new(tls_clock),
            ledger: Ledger::new(Config::default().policy),
            keeper: Keeper::new(Decisions::new(&options.state, &options.run), Arc::clone(&waker)),
            finder: Finder::new(),
            enforcer: Enforcer::new(),
            resolver: Resolver::new(waker),
            hints: VecMap::new(),
            names: VecMap::new(),
            nft: None,
            nft_hold: None,
            token: CONNECTIONS,
            started: now,
            now,
            stopping: false,
            options,
            poll,
            registry,
            reload,
            end,
            kernel,
        };
        daemon.configure();
        daemon.keeper.restore(&mut daemon.ledger, now);
        daemon.enforce();
        Ok(daemon)
    }

    /// Runs until told to end.
    ///
    /// # Errors
    /// In words, why it can't go on.
    pub fn run(&mut self) -> Result<(), String> {
        let mut events = Events::with_capacity(64);
        while !self.stopping {
            self.settle();
            match self.poll.poll(&mut events, self.wait()) {
                Err(error) if error.kind() != ErrorKind::Interrupted => return Err(format!("event loop: {error}")),
                _ => {}
            }
            self.tick();
            for event in &events {
                self.dispatch(event.token(), event.is_writable());
            }
            self.read_on().map_err(|error| format!("netlink: {error}"))?;
        }
        self.stop();
        Ok(())
    }

    /// Looks at the clocks.
    fn tick(&mut self) {
        let before = self.now;
        self.now = clock::now();
        let passed = self.now.instant.saturating_duration_since(before.instant);
        let was = before.after(passed).unix;
        if self.now.unix.abs_diff(was) > CLOCK_SET {
            log::info!("the clock has been set");
            self.peers.handle_network_changed(self.now);
            let set = ClockSet { since: self.started.unix, was, is: self.now.unix };
            self.ledger.handle_clock_set(&set, self.now);
            set.correct(&mut self.started.unix);
        }
        self.peers.set_clock(self.now.unix);
    }

    fn dispatch(&mut self, token: Token, writable: bool) {
        match token {
            WAKER => {
                while let Some((name, answer)) = self.resolver.poll_answer() {
                    self.peers.resolved(&name, &answer, self.now);
                }
            }
            RELOAD => {
                drain(&mut self.reload);
                self.configure();
            }
            END => {
                drain(&mut self.end);
                self.stopping = true;
            }
            NFT => self.nft_ready(),
            BUS => self.bus_ready(writable),
            token if self.kernel.ready(token) => {}
            token => self.with_peers(|peers, s| peers.ready(token, writable, s)),
        }
    }

    /// Goes on with what was not read to its end before.
    fn read_on(&mut self) -> io::Result<()> {
        let (finder, enforcer, now) = (&mut self.finder, &mut self.enforcer, self.now);
        self.kernel.read(|port, received| match (port, received) {
            (Port::Source(socket), Received::Datagram(datagram)) => finder.handle_datagram(socket, datagram, now),
            (Port::Source(socket), Received::Overrun) => finder.handle_overrun(socket, now),
            (Port::Enforce(socket), Received::Datagram(datagram)) => enforcer.handle_datagram(socket, datagram, now),
            (Port::Enforce(socket), Received::Overrun) => enforcer.handle_overrun(socket, now),
            (_, Received::Nothing) => {}
        })?;
        self.with_peers(|peers, s| peers.read_on(s));
        if self.join.is_unread() {
            self.bus_ready(false);
        }
        Ok(())
    }

    /// Lets all rooms work until nothing is left to do for now.
    fn settle(&mut self) {
        for _ in 0..ROUNDS {
            self.handle_timeouts();
            let heard = [self.hear_ledger(), self.hear_finder(), self.hear_enforcer(), self.hear_bus()];
            self.enforce_next();
            if heard.contains(&true) {
                continue;
            }
            self.keeper.proceed(&self.ledger, self.now);
            let heard = [self.hear_peers(), self.hear_ledger()];
            if !heard.contains(&true) {
                break;
            }
        }
        self.transmit();
    }

    fn handle_timeouts(&mut self) {
        let now = self.now.instant;
        let due = |timeout: Option<Instant>| timeout.is_some_and(|timeout| timeout <= now);
        if due(self.ledger.poll_timeout()) {
            self.ledger.handle_timeout(self.now);
        }
        if due(self.finder.poll_timeout()) {
            self.finder.handle_timeout(self.now);
        }
        if due(self.enforcer.poll_timeout()) {
            self.enforcer.handle_timeout(self.now);
        }
        if due(self.join.bus.poll_timeout()) {
            self.with_bus(|join, house, _, now| join.bus.handle_timeout(house, now));
        }
        self.nft_hold = self.nft_hold.filter(|until| *until > now);
        if due(self.nft.as_ref().map(Nft::due)) {
            self.nft = None;
            self.enforcer.handle_nft(Err("nft does not end".to_owned()), self.now);
        }
    }

    fn hear_ledger(&mut self) -> bool {
        let mut heard = false;
        while let Some(event) = self.ledger.poll_event() {
            heard = true;
            match &event {
                mitigation::Event::Search(id) => {
                    if let Some(m) = self.ledger.get(*id) {
                        self.finder.search(*id, m.scope(), self.now);
                    }
                }
                mitigation::Event::Gone(last) => self.finder.forget(last.id()),
                mitigation::Event::Enforce => self.enforce(),
                mitigation::Event::Changed(_) => {}
            }
            self.peers.handle_mitigation(&event, &mut self.ledger, self.now);
            self.with_bus(|join, house, _, now| join.bus.handle_mitigation(&event, house, now));
        }
        while let Some(entry) = self.ledger.poll_news() {
            let news = News::new(&entry, &self.ledger, self.finder.inventory());
            news.log();
            let variables = news.variables();
            let variables: Vec<(&str, &str)> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
            self.join.bus.hotplug(&variables, self.now);
        }
        heard
    }

    fn enforce(&mut self) {
        let desired = self.ledger.desired(self.now);
        self.enforcer.set_desired(desired, self.ledger.known_flows(), self.finder.inventory(), self.now);
    }

    fn hear_finder(&mut self) -> bool {
        let mut heard = false;
        while let Some(event) = self.finder.poll_event() {
            heard = true;
            match event {
                source::Event::Found { id, suspects } => self.ledger.handle_attribution(id, suspects, self.now),
                source::Event::Framed { id, mac, sends } => self.ledger.handle_spoofed(id, mac, sends, self.now),
                source::Event::RouterAddresses(addresses) => self.ledger.set_router(addresses, self.now),
                source::Event::DomainChanged => self.with_peers(Peers::handle_networks),
                source::Event::InventoryChanged => self.enforce(),
            }
        }
        heard
    }

    fn hear_enforcer(&mut self) -> bool {
        let mut heard = false;
        while let Some(event) = self.enforcer.poll_event() {
            heard = true;
            match event {
                enforce::Event::Enforced { owner: Owner::Mitigation(id), outcome } => {
                    self.ledger.handle_enforced(id, outcome, self.now);
                }
                enforce::Event::Enforced { owner: Owner::Administrator, outcome: Ok(()) } => {}
                enforce::Event::Enforced { owner: Owner::Administrator, outcome: Err(why) } => {
                    log::warn!("quarantine: {why}");
                }
                enforce::Event::Senders { id, senders } => self.finder.witnessed(id, &senders, self.now),
                enforce::Event::Counted { id, total } => self.ledger.handle_counted(id, total, self.now),
                enforce::Event::NoBridge => {
                    log::warn!("no kmod-nft-bridge: quarantined devices still reach others at home");
                }
                enforce::Event::Vanished => log::warn!("somebody removed our nft table; it is made again"),
            }
        }
        heard
    }

    fn hear_bus(&mut self) -> bool {
        let mut heard = false;
        while let Some(event) = self.join.bus.poll_event() {
            heard = true;
            match event {
                ubus::Event::Names(hints) => {
                    self.hints = hints;
                    self.name_devices();
                }
                ubus::Event::Interfaces(interfaces) => self.finder.set_interfaces(join::known(interfaces), self.now),
                ubus::Event::ConfigChanged => self.configure(),
                ubus::Event::Joined => log::debug!("bus: joined"),
                ubus::Event::Trouble(line) => log::warn!("bus: {line}"),
            }
        }
        heard
    }

    fn hear_peers(&mut self) -> bool {
        self.with_peers(|peers, s| peers.proceed(s));
        let mut heard = false;
        while let Some(status) = self.peers.poll_status(self.now) {
            heard = true;
            self.join.bus.handle_peer(&status);
        }
        heard
    }

    /// Starts `nft` when the ruleset has to change.
    fn enforce_next(&mut self) {
        if self.nft.is_some() || self.nft_hold.is_some_and(|until| until > self.now.instant) {
            return;
        }
        let Some(ruleset) = self.enforcer.poll_ruleset() else { return };
        log::debug!("nft run, {} bytes", ruleset.len());
        self.nft_hold = Some(self.now.instant + NFT_PACE);
        match Nft::start(ruleset, &self.registry, NFT, self.now.instant) {
            Ok(nft) => self.nft = Some(nft),
            Err(error) => self.enforcer.handle_nft(Err(format!("nft: {error}")), self.now),
        }
    }

    fn nft_ready(&mut self) {
        if let Some(outcome) = self.nft.as_mut().and_then(Nft::proceed) {
            self.nft = None;
            self.enforcer.handle_nft(outcome, self.now);
        }
    }

    /// Sends what the rooms want sent.
    fn transmit(&mut self) {
        let source = std::iter::from_fn(|| self.finder.poll_transmit()).map(|(s, bytes)| (Port::Source(s), bytes));
        let enforce = std::iter::from_fn(|| self.enforcer.poll_transmit()).map(|(s, bytes)| (Port::Enforce(s), bytes));
        for (port, request) in source.chain(enforce) {
            if let Err(error) = self.kernel.send(port, &request) {
                log::error!("netlink: {error}");
            }
        }
        // The administrator hears of a decision once it is kept.
        if !self.keeper.is_busy() {
            self.join.transmit(&self.registry, self.now);
        }
    }

    fn bus_ready(&mut self, writable: bool) {
        self.with_bus(|join, house, registry, now| join.ready(writable, house, registry, now));
    }

    fn with_bus(&mut self, what: impl FnOnce(&mut Join, &mut House<'_>, &Registry, Now)) {
        let mut house = House {
            ledger: &mut self.ledger,
            peers: &self.peers.statuses(self.now),
            inventory: self.finder.inventory(),
            enforcer: &self.enforcer,
            started: self.started.instant,
            not_kept: self.keeper.trouble(),
        };
        what(&mut self.join, &mut house, &self.registry, self.now);
    }

    fn with_peers<T>(&mut self, what: impl FnOnce(&mut Peers, &mut Surroundings<'_>) -> T) -> T {
        let mut surroundings = Surroundings {
            registry: &self.registry,
            token: &mut self.token,
            resolver: &self.resolver,
            ledger: &mut self.ledger,
            finder: &self.finder,
            now: self.now,
        };
        what(&mut self.peers, &mut surroundings)
    }

    /// Reads the configuration, at the start and whenever it has changed.
    fn configure(&mut self) {
        let (config, problems) = files::configuration(&self.options.config);
        for problem in &problems {
            log::error!("{}: {problem}", self.options.config.display());
        }
        logger::set_level(config.log_level);
        self.ledger.set_policy(config.policy.clone(), self.now);
        self.names.clone_from(&config.names);
        self.name_devices();
        self.with_peers(|peers, s| peers.configure(config, s));
    }

    /// The administrator's names go before those the devices give themselves.
    fn name_devices(&mut self) {
        let mut names = self.hints.clone();
        names.extend(self.names.clone());
        self.finder.set_names(names);
    }

    /// How long nothing is to be done; nothing: until something happens.
    fn wait(&self) -> Option<Duration> {
        if self.kernel.is_ready() || self.peers.is_unread() || self.join.is_unread() {
            return Some(Duration::ZERO);
        }
        let timeouts = [
            self.ledger.poll_timeout(),
            self.finder.poll_timeout(),
            self.enforcer.poll_timeout(),
            self.join.bus.poll_timeout(),
            self.peers.poll_timeout(),
            self.keeper.poll_timeout(),
            self.nft_hold,
            self.nft.as_ref().map(Nft::due),
        ];
        let due = timeouts.into_iter().flatten().min()?;
        Some(due.saturating_duration_since(Instant::now()))
    }

    /// Blocks stay until their timeouts end them; providers are told that we leave.
    fn stop(&mut self) {
        self.with_peers(|peers, s| peers.stop(s));
        self.keeper.end(&self.ledger, self.now);
        log::info!("ends; what is blocked stays blocked until its time is over");
    }
}

fn drain(signals: &mut UnixStream) {
    let mut said = [0; 16];
    while signals.read(&mut said).is_ok_and(|length| length > 0) {}
}
