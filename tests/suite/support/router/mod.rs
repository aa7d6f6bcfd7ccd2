//! The router without its loop: all state machines, a simulated kernel, providers and a broker that speak in bytes, and one
//! clock that passes only when told.

mod bus;
mod enforce;
mod ledger;
mod provider;
mod source;
mod turn;

use std::time::{Duration, Instant};

use dots_callhome::enforce::{self as enforcement, Enforcer};
use dots_callhome::mitigation::{Consent, Ledger, Policy};
use dots_callhome::model::{Mac, MitigationId, Now};
use dots_callhome::source::{Finder, Suspect};
use dots_callhome::ubus::{self as bus_events, Bus, PeerStatus};
use ubus::wire::Frame;
use vecset::VecSet;

use super::home::*;
use super::kernel::Kernel;
use super::random::Dice;
pub use provider::Provider;

/// When each test begins; what `mitigation-start` is counted from.
const BEGIN: u64 = 1_767_225_600;

/// What the ledger's events lead to. Finder and enforcer have their kernel in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wired {
    /// To nothing: the test reads them, and says what has been found and what is in force.
    Nothing,
    /// The sessions hear them; searches find [`TestRouter::suspects`] at once, and what is decided is in force at once.
    Sessions,
    /// All state machines hear each other, as in the router.
    All,
}

/// The router, its kernel, its providers and the clock.
pub struct TestRouter {
    pub now: Now,
    pub kernel: Kernel,
    pub ledger: Ledger,
    pub finder: Finder,
    pub enforcer: Enforcer,
    pub providers: Vec<Provider>,
    /// Our end of the bus.
    pub bus: Bus,
    wired: Wired,
    start: Instant,

    /// Whom every search finds; nothing: the search takes its time.
    pub suspects: Option<Vec<Suspect>>,
    /// Whether what is decided comes into force.
    pub enforces: bool,
    /// How long a provider takes to answer our heartbeats, if it does.
    pub answers: Option<Duration>,
    dice: Dice,

    /// What has been found, in order.
    pub found: Vec<(MitigationId, Vec<Suspect>)>,
    /// In whose name others have been seen to send, and whether it was seen to as well.
    pub framed: Vec<(MitigationId, Mac, bool)>,
    /// Who was said to send and be no device.
    pub strangers: Vec<(MitigationId, Vec<dots_callhome::source::Stranger>)>,
    /// The router's own Ethernet addresses.
    pub own_macs: VecSet<Mac>,
    pub domain_changes: usize,
    /// How often it was told that from then on it is known who opens flows.
    pub openers_noted: usize,
    pub inventory_changes: usize,
    /// Whether events of conntrack get lost.
    pub deaf: bool,

    /// Texts given to nft for the finder.
    pub nft_runs: Vec<String>,
    /// Texts given to nft, and those that say the same as batches given to the kernel.
    pub runs: Vec<String>,
    /// The number of a batch that is not answered yet.
    batch: Option<u32>,
    /// Whether nft ends only when [`TestRouter::end_nft`] says so.
    pub slow_nft: bool,
    told: Vec<enforcement::Event>,

    /// What is said of the peers on the bus.
    pub peers: Vec<PeerStatus>,
    pub not_kept: Option<&'static str>,
    /// What is wrong with its configuration.
    pub config_faults: Vec<String>,
    pub not_read: Option<&'static str>,
    bus_heard: Vec<bus_events::Event>,
    bus_sent: Vec<Frame>,
    sequence: u16,
}

impl TestRouter {
    /// A router in which everything is wired, with camera, TV and laptop at home. Providers [`connect`](Self::connect), and
    /// the bus is joined with [`join`](Self::join).
    pub fn new(policy: Policy) -> Self {
        let kernel = Kernel::new().with_devices([0x11, 0x22, 0x33]);
        let mut router = Self::build(kernel, Ledger::new(policy), Wired::All);
        router.enforce();
        router.settle();
        router
    }

    /// One whose ledger the test plays with.
    pub fn by_hand(policy: Policy) -> Self {
        Self::build(Kernel::new(), Ledger::new(policy), Wired::Nothing)
    }

    /// The same with a ledger that lived before.
    pub fn resumed(ledger: Ledger, now: Now) -> Self {
        Self { ledger, now, start: now.instant, ..Self::by_hand(policy(Consent::Ask)) }
    }

    /// One for searches begun by hand, on this kernel.
    /// A table of senders that stands already is an old one.
    pub fn on(mut kernel: Kernel) -> Self {
        kernel.noted.iter_mut().for_each(|noted| noted.young = false);
        let mut router = Self::build(kernel, Ledger::new(policy(Consent::Ask)), Wired::Nothing);
        router.kernel.asked.clear();
        router
    }

    /// One for searches begun by hand, with devices 11 to 10+n on the LAN.
    pub fn with_devices(n: u8) -> Self {
        Self::on(Kernel::new().with_devices(11..11 + n))
    }

    /// One for which the test says what must be in force, with camera and TV at home.
    pub fn enforcing() -> Self {
        let mut kernel = Kernel::new();
        for (address, mac) in [(CAMERA_V4, CAMERA), (CAMERA_V6, CAMERA), (TV_V4, TV)] {
            kernel.neighbours.insert((ip(address), LAN), mac);
        }
        let mut router = Self::on(kernel);
        // As the daemon does at its start.
        router.desire(enforcement::desired::Desired::default());
        router.runs.clear();
        router
    }

    /// The same on a kernel that deletes flows by a filter, and on an older one that lists them.
    pub fn enforcing_on_each_kernel() -> [Self; 2] {
        [true, false].map(|erases| {
            let mut router = Self::enforcing();
            router.kernel.erases = erases;
            router
        })
    }

    /// One that acts by itself against the camera, with one session.
    pub fn serving(is_stream: bool) -> Self {
        let mut router = Self::build(Kernel::new(), Ledger::new(policy(Consent::Auto)), Wired::Sessions);
        router.connect("isp", is_stream);
        router
    }

    fn build(kernel: Kernel, ledger: Ledger, wired: Wired) -> Self {
        let start = Instant::now();
        let mut router = Self {
            now: Now { instant: start, unix: BEGIN },
            kernel,
            ledger,
            finder: Finder::new(),
            enforcer: Enforcer::new(),
            providers: Vec::new(),
            bus: Bus::new("1.2.3"),
            wired,
            start,
            suspects: Some(vec![super::signal::camera(dots_callhome::source::Confidence::Exact)]),
            enforces: true,
            answers: None,
            dice: Dice(0x9e37_79b9_7f4a_7c15),
            found: Vec::new(),
            framed: Vec::new(),
            strangers: Vec::new(),
            own_macs: VecSet::new(),
            domain_changes: 0,
            inventory_changes: 0,
            openers_noted: 0,
            deaf: false,
            nft_runs: Vec::new(),
            runs: Vec::new(),
            batch: None,
            slow_nft: false,
            told: Vec::new(),
            peers: vec![super::ubus::peer("isp")],
            not_kept: None,
            config_faults: Vec::new(),
            not_read: None,
            bus_heard: Vec::new(),
            bus_sent: Vec::new(),
            sequence: 0,
        };
        router.settle();
        router
    }

    /// Lets time pass, with everything at its moment.
    pub fn pass(&mut self, time: Duration) {
        self.wakes(time);
    }

    /// The same; tells how often something was due.
    pub fn wakes(&mut self, time: Duration) -> usize {
        let end = self.now.instant + time;
        let (mut woken, mut still) = (0, 0);
        loop {
            let due = self.next_due().filter(|due| *due <= end);
            let moment = due.unwrap_or(end).max(self.now.instant);
            still = if moment == self.now.instant { still + 1 } else { 0 };
            assert!(still < 1000, "time stands still");
            self.send_traffic(moment);
            self.now = self.at(moment);
            if due.is_none() {
                return woken;
            }
            self.arrive();
            self.handle_timeouts();
            self.settle();
            woken += 1;
            assert!(woken < 100_000, "wakes without end");
        }
    }

    /// That moment on both clocks.
    fn at(&self, instant: Instant) -> Now {
        let age = |instant: Instant| instant.saturating_duration_since(self.start).as_secs();
        Now { instant, unix: self.now.unix + age(instant) - age(self.now.instant) }
    }

    fn next_due(&self) -> Option<Instant> {
        let providers = self.providers.iter().filter_map(Provider::poll_timeout);
        let rooms = [
            self.ledger.poll_timeout(),
            self.finder.poll_timeout(),
            self.enforcer.poll_timeout(),
            self.bus.poll_timeout(),
        ];
        providers.chain(rooms.into_iter().flatten()).min()
    }

    fn is_due(&self, timeout: Option<Instant>) -> bool {
        timeout.is_some_and(|due| due <= self.now.instant)
    }

    fn handle_timeouts(&mut self) {
        let due = self.ledger.poll_timeout();
        if self.is_due(due) {
            self.ledger.handle_timeout(self.now);
            assert_ne!(self.ledger.poll_timeout(), due, "a timeout that was handled is done");
        }
        if self.is_due(self.finder.poll_timeout()) {
            self.finder.handle_timeout(self.now);
        }
        if self.is_due(self.enforcer.poll_timeout()) {
            self.enforcer.handle_timeout(self.now);
        }
        if self.is_due(self.bus.poll_timeout()) {
            self.handle_bus_timeout();
        }
    }
}
