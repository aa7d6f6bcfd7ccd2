//! All state machines, and what the outputs of each mean to the others.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::{Registry, Token, Waker};
use vecset::VecMap;

use super::bus_connection::{self, BusConnection};
use super::files;
use super::kernel_sockets::{KernelSocket, KernelSockets};
use super::logger;
use super::news::News;
use super::news_limiter::NewsLimiter;
use super::nft::{NftError, NftRunner};
use super::paths::Paths;
use super::peers::Peers;
use super::persistence::{self, Persistence};
use super::provider::LoopContext;
use super::resolver::Resolver;
use super::snapshot_files::SnapshotFiles;
use crate::config::Config;
use crate::enforce::desired::Owner;
use crate::enforce::{self, Enforcer, ServerTables};
use crate::io::clock;
use crate::io::netlink::Received;
use crate::mitigation::{self, Ledger};
use crate::model::{ClockSet, Mac, Now};
use crate::source::{self, Finder};
use crate::transport::crypto::Clock;
use crate::ubus::{self, CallContext};

/// Tokens of what is waited for; the ones below are the daemon's.
const BUS: Token = Token(3);
const NFT: Token = Token(4);
const KERNEL: usize = 5;
/// Connections to providers have the tokens from here on.
const CONNECTIONS: usize = KERNEL + KernelSockets::TOKENS;
/// Rounds of one turn: state machines that keep each other busy don't hold the loop.
const ROUNDS: usize = 32;
/// A clock that moves by more than this against the monotonic one has been set; seconds.
const CLOCK_SET: u64 = 60;

/// Whose ruleset `nft` is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NftUser {
    Enforcer,
    Finder,
    Servers,
}

/// The state machines with their sockets, files and processes.
pub(super) struct Wiring {
    paths: Paths,
    registry: Registry,
    resolver: Resolver,
    kernel: KernelSockets,
    nft: NftRunner,
    /// Whose ruleset it was given last.
    nft_user: NftUser,
    bus: BusConnection,
    peers: Peers,
    ledger: Ledger,
    finder: Finder,
    enforcer: Enforcer,
    servers: ServerTables,
    persistence: Persistence,
    news_limiter: NewsLimiter,
    /// Names of devices: as LuCI knows them, and as configured.
    hints: VecMap<Mac, String>,
    names: VecMap<Mac, String>,
    /// What is wrong with the configuration, as told.
    config_faults: Vec<String>,
    /// The token used last.
    token: usize,
    started: Now,
    now: Now,
}

impl Wiring {
    /// Reads the configuration and takes up what was in force before. Threads announce what they have done through `waker`.
    ///
    /// # Errors
    /// As the kernel says: it does not let us have its sockets.
    pub(super) fn new(paths: Paths, registry: Registry, waker: Arc<Waker>) -> io::Result<Self> {
        let kernel = KernelSockets::open(&registry, KERNEL)?;
        let now = clock::now();
        let mut wiring = Self {
            resolver: Resolver::new(Arc::clone(&waker)),
            nft: NftRunner::new(NFT),
            nft_user: NftUser::Enforcer,
            bus: BusConnection::new(paths.ubus.clone(), BUS),
            peers: Peers::new(Arc::new(Clock::default())),
            ledger: Ledger::new(Config::default().policy),
            finder: Finder::new(),
            enforcer: Enforcer::new(),
            servers: ServerTables::default(),
            persistence: Persistence::new(SnapshotFiles::new(&paths.state, &paths.run), waker),
            news_limiter: NewsLimiter::default(),
            hints: VecMap::new(),
            names: VecMap::new(),
            config_faults: Vec::new(),
            token: CONNECTIONS,
            started: now,
            now,
            paths,
            registry,
            kernel,
        };
        wiring.configure();
        wiring.persistence.restore(&mut wiring.ledger, now);
        if wiring.persistence.unread().is_some() {
            wiring.enforcer = Enforcer::beside_earlier();
        }
        wiring.ledger.set_first_number(persistence::first_number());
        wiring.enforce();
        Ok(wiring)
    }

    /// Looks at the clocks.
    pub(super) fn tick(&mut self) {
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

    /// Takes what the resolver's threads have found.
    pub(super) fn handle_resolutions(&mut self) {
        while let Some((name, addresses)) = self.resolver.poll_resolution() {
            self.peers.resolved(&name, &addresses, self.now);
        }
    }

    /// Takes what a socket or pipe is ready for.
    pub(super) fn ready(&mut self, token: Token, writable: bool) {
        match token {
            NFT => {
                if let Some(outcome) = self.nft.ready() {
                    self.handle_nft(outcome);
                }
            }
            BUS => self.bus_ready(writable),
            token if self.kernel.ready(token) => {}
            token => self.with_peers(|peers, s| peers.ready(token, writable, s)),
        }
    }

    /// Goes on with what was not read to its end before.
    ///
    /// # Errors
    /// As the kernel says, of its own sockets.
    pub(super) fn read_on(&mut self) -> io::Result<()> {
        let Self { finder, enforcer, servers, now, .. } = self;
        let now = *now;
        self.kernel.read(&self.registry, now.instant, |socket, received| match (socket, received) {
            (KernelSocket::Source(socket), Received::Datagram(datagram)) => {
                finder.handle_datagram(socket, datagram, now);
            }
            (KernelSocket::Source(socket), Received::Overrun) => {
                finder.handle_overrun(socket, now);
                logger::log_overruns(finder.overruns());
            }
            (KernelSocket::Enforce(socket), Received::Datagram(datagram)) => {
                if socket == enforce::Socket::Events {
                    finder.handle_tables(datagram, now);
                    servers.handle_change(datagram, now.instant);
                }
                enforcer.handle_datagram(socket, datagram, now);
            }
            (KernelSocket::Enforce(socket), Received::Overrun) => {
                if socket == enforce::Socket::Events {
                    finder.handle_tables_overrun(now);
                }
                enforcer.handle_overrun(socket, now);
            }
            (_, Received::Nothing) => {}
        })?;
        self.with_peers(|peers, s| peers.read_on(s));
        if self.bus.is_unread() {
            self.bus_ready(false);
        }
        Ok(())
    }

    /// Lets all state machines work until nothing is left to do for now, and sends what they want sent. Returns whether
    /// nothing is left; after many rounds the sockets have their turn first.
    ///
    /// The order of a round:
    /// 1. What is due by the clock is done; by the finder, whose looks may be long, once before the first round.
    /// 2. What happened before, in this turn or the round before, is handed on: the ledger's events first, for they start
    ///    searches and change what is to be enforced; then findings, what came of the enforcement, and the bus. Each may
    ///    change the ledger, so while any of them spoke a new round begins.
    /// 3. `nft` is started, if the ruleset has to change and no run is under way.
    /// 4. Once these are quiet the providers' sessions do what is due and send. So a provider is told once of what changed
    ///    in several rounds. What is due in a session may change the ledger: therefore it is heard a second time, and what
    ///    it says begins a new round.
    ///
    /// At the end the kernel is asked what there is to ask, the ledger's snapshot is begun to be written if anything was
    /// decided, and the bus is served. In that order: nothing changes the ledger between the last two.
    pub(super) fn settle(&mut self) -> bool {
        if self.finder.poll_timeout().is_some_and(|timeout| timeout <= self.now.instant) {
            self.finder.handle_timeout(self.now);
        }
        let quiet = (0..ROUNDS).any(|_| !self.round());
        self.transmit();
        quiet
    }

    /// Whether anything happened that others have to hear of.
    fn round(&mut self) -> bool {
        self.handle_timeouts();
        let heard = [self.hear_ledger(), self.hear_finder(), self.hear_enforcer(), self.hear_bus()];
        self.run_nft();
        if heard.contains(&true) {
            return true;
        }
        let heard = [self.hear_peers(), self.hear_ledger()];
        heard.contains(&true)
    }

    fn handle_timeouts(&mut self) {
        let now = self.now.instant;
        let due = |timeout: Option<Instant>| timeout.is_some_and(|timeout| timeout <= now);
        if due(self.ledger.poll_timeout()) {
            self.ledger.handle_timeout(self.now);
        }
        if due(self.enforcer.poll_timeout()) {
            self.enforcer.handle_timeout(self.now);
        }
        if due(self.bus.bus.poll_timeout()) {
            self.with_bus(|bus, cx, _, now| bus.bus.handle_timeout(cx, now));
        }
        if let Some(outcome) = self.nft.handle_timeout(now) {
            self.handle_nft(outcome);
        }
    }

    fn hear_ledger(&mut self) -> bool {
        let mut heard = false;
        while let Some(event) = self.ledger.poll_event() {
            heard = true;
            match &event {
                mitigation::Event::Search(id) => {
                    if let Some(m) = self.ledger.get(*id) {
                        self.finder.start_search(*id, &m.scope().without_names(), self.now);
                        self.finder.set_most_suspects(*id, m.most_suspects());
                    }
                }
                mitigation::Event::Gone(last) => self.finder.end_search(last.id()),
                mitigation::Event::Enforce => self.enforce(),
                mitigation::Event::Changed(_) => {}
            }
            self.peers.handle_mitigation(&event, &self.ledger);
            self.bus.bus.handle_mitigation(&event, self.now);
        }
        if heard {
            self.peers.handle_turn_end(&mut self.ledger, self.now);
        }
        while let Some(entry) = self.ledger.poll_news() {
            self.tell_news(&entry);
        }
        heard
    }

    /// To the log and the administrator's scripts, as far as one provider may cause that.
    fn tell_news(&mut self, entry: &mitigation::Entry) {
        let news = News::new(entry, &self.ledger, self.finder.inventory());
        let told = self.news_limiter.handle_news(entry, self.now.instant);
        if told.line {
            news.log(told.suppressed);
        }
        if told.hook {
            let variables = news.variables();
            let variables: Vec<(&str, &str)> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
            self.bus.bus.hotplug(&variables, self.now);
        }
    }

    fn enforce(&mut self) {
        let desired = self.ledger.desired(self.now);
        self.servers.set_quarantining(!desired.quarantined.is_empty());
        self.enforcer.set_desired(desired, self.ledger.known_flows(), self.finder.inventory(), self.now);
    }

    fn hear_finder(&mut self) -> bool {
        let mut heard = false;
        while let Some(event) = self.finder.poll_event() {
            heard = true;
            match event {
                source::Event::Found { id, suspects } => self.ledger.handle_attribution(id, suspects, self.now),
                source::Event::Strangers { id, strangers } => self.ledger.handle_strangers(id, strangers),
                source::Event::Spoofed { id, mac, sends } => self.ledger.handle_spoofed(id, mac, sends, self.now),
                source::Event::RouterAddresses(addresses) => self.ledger.set_router(addresses, self.now),
                source::Event::OpenersNoted => log::debug!("who opens flows is noted from now on"),
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
                enforce::Event::Senders { id, senders } => self.finder.handle_senders(id, &senders, self.now),
                enforce::Event::Spoofed { id, mac } => self.ledger.handle_spoofed(id, mac, false, self.now),
                enforce::Event::Counted { id, total } => self.ledger.handle_counted(id, total, self.now),
                enforce::Event::NoBridge => {
                    log::warn!("no kmod-nft-bridge: quarantined devices still reach others at home");
                }
                enforce::Event::Vanished => {
                    log::warn!("somebody removed our nft table; it is made again");
                    self.finder.handle_senders_lost();
                }
            }
        }
        heard
    }

    fn hear_bus(&mut self) -> bool {
        let mut heard = false;
        while let Some(event) = self.bus.bus.poll_event() {
            heard = true;
            match event {
                ubus::Event::Names(hints) => {
                    self.hints = hints;
                    self.name_devices();
                }
                ubus::Event::Interfaces(interfaces) => {
                    self.finder.set_interfaces(bus_connection::interfaces_up(interfaces), self.now)
                }
                ubus::Event::ConfigChanged => self.configure(),
                ubus::Event::Shown => self.finder.handle_shown(self.now),
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
            self.bus.bus.handle_peer(&status);
        }
        heard
    }

    /// Starts `nft` when what must be in force has to change, or the table that notes who opens flows.
    fn run_nft(&mut self) {
        self.enforcer.handle_turn();
        let enforcer = if self.nft.is_free(self.now.instant) { self.enforcer.poll_ruleset() } else { None };
        if let Some(ruleset) = enforcer {
            return self.start_nft(ruleset, NftUser::Enforcer);
        }
        let finder = if self.nft.is_idle() { self.finder.poll_ruleset() } else { None };
        if let Some(ruleset) = finder {
            self.start_nft(ruleset, NftUser::Finder);
            return self.nft.release();
        }
        self.servers.set_outward(self.finder.outward_links());
        let servers = if self.nft.is_idle() { self.servers.poll_ruleset(self.now.instant) } else { None };
        if let Some(ruleset) = servers {
            self.start_nft(ruleset, NftUser::Servers);
            self.nft.release();
        }
    }

    fn start_nft(&mut self, ruleset: String, user: NftUser) {
        self.nft_user = user;
        if let Err(error) = self.nft.start(ruleset, &self.registry, self.now.instant) {
            self.handle_nft(Err(error));
        }
    }

    fn handle_nft(&mut self, outcome: Result<(), NftError>) {
        match self.nft_user {
            NftUser::Enforcer => self.enforcer.handle_nft(outcome.map_err(|error| error.to_string()), self.now),
            NftUser::Finder => {
                if let Err(error) = &outcome {
                    log::warn!("who opens flows is not noted: {error}");
                }
                self.finder.handle_nft(outcome.is_ok(), self.now);
            }
            NftUser::Servers => {
                if let Err(error) = &outcome {
                    log::debug!("who serves names at home is not noted: {error}");
                }
                self.servers.handle_nft(outcome.is_ok(), self.now.instant);
            }
        }
    }

    /// Listens to what is to be heard, and sends what is to be sent. Who has decided is answered, and others are told, once it is kept.
    fn transmit(&mut self) {
        if let Err(error) = self.kernel.listen(self.finder.listening()) {
            log::error!("netlink: {error}");
        }
        let source = std::iter::from_fn(|| self.finder.poll_transmit());
        let source = source.map(|(socket, request)| (KernelSocket::Source(socket), request));
        let enforce = std::iter::from_fn(|| self.enforcer.poll_transmit());
        let enforce = enforce.map(|(socket, request)| (KernelSocket::Enforce(socket), request));
        for (socket, request) in source.chain(enforce) {
            if let Err(error) = self.kernel.send(socket, &request) {
                log::error!("netlink: {error}");
            }
        }
        self.persistence.proceed(&self.ledger, self.now);
        if let Some(settled) = self.persistence.settled() {
            self.bus.bus.handle_settled(settled);
            if settled == self.ledger.generation().decided {
                self.bus.bus.handle_turn_end(&self.ledger, self.finder.inventory(), self.now);
            }
        }
        self.bus.transmit(&self.registry, self.now);
    }

    fn bus_ready(&mut self, writable: bool) {
        self.with_bus(|bus, cx, registry, now| bus.ready(writable, cx, registry, now));
    }

    fn with_bus(&mut self, what: impl FnOnce(&mut BusConnection, &mut CallContext<'_>, &Registry, Now)) {
        let mut cx = CallContext {
            ledger: &mut self.ledger,
            peers: &self.peers.statuses(self.now),
            inventory: self.finder.inventory(),
            enforcer: &self.enforcer,
            started: self.started.instant,
            not_kept: self.persistence.trouble(),
            not_read: self.persistence.unread(),
            config_faults: &self.config_faults,
        };
        what(&mut self.bus, &mut cx, &self.registry, self.now);
    }

    fn with_peers<T>(&mut self, what: impl FnOnce(&mut Peers, &mut LoopContext<'_>) -> T) -> T {
        let mut surroundings = LoopContext {
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
    pub(super) fn configure(&mut self) {
        let (config, problems) = files::configuration(&self.paths.config);
        self.config_faults = files::told(&self.paths.config, &problems);
        // What can't be read as a whole changes nothing: sessions go on as they were configured.
        let Some(config) = config else { return };
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
    pub(super) fn wait(&self) -> Option<Duration> {
        if self.peers.is_unread() || self.bus.is_unread() {
            return Some(Duration::ZERO);
        }
        let timeouts = [
            self.kernel.read_at(self.now.instant),
            self.ledger.poll_timeout(),
            self.finder.poll_timeout(),
            self.enforcer.poll_timeout(),
            self.servers.poll_timeout(),
            self.bus.bus.poll_timeout(),
            self.peers.poll_timeout(),
            self.persistence.poll_timeout(),
            self.nft.poll_timeout(),
        ];
        let due = timeouts.into_iter().flatten().min()?;
        Some(due.saturating_duration_since(Instant::now()))
    }

    /// Blocks stay until their timeouts end them; providers are told that we leave.
    pub(super) fn stop(&mut self) {
        self.with_peers(|peers, s| peers.stop(s));
        self.persistence.end(&self.ledger, self.now);
    }
}
