//! Two ends of DTLS and the network between them, in simulated time.

pub use super::certificates::*;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use dots_callhome::model::Now;
use dots_callhome::transport::credentials::{Anchors, Identity, Psk};
use dots_callhome::transport::dtls::{ClientConfig, DtlsChannel, Random, SavedSession};
use dots_callhome::transport::dtls_server::{Answer, ServerConfig};
pub use dots_callhome::transport::{Channel, Failure};
use rustls::crypto::{GetRandomFailed, SecureRandom};

/// A secret for tickets.
pub const TICKETS: [u8; 32] = [7; 32];
/// What headers of IPv6 and UDP add.
const HEADERS: usize = 48;

/// Repeatable randomness: xorshift64*.
#[derive(Debug)]
pub struct Dice(Mutex<u64>);

impl Dice {
    /// With its own sequence.
    pub fn new(seed: u64) -> Self {
        Self(Mutex::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1))
    }

    /// The next number.
    pub fn roll(&self) -> u64 {
        let mut state = self.0.lock().unwrap();
        *state ^= *state >> 12;
        *state ^= *state << 25;
        *state ^= *state >> 27;
        state.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// True `percent` times of a hundred.
    pub fn happens(&self, percent: u64) -> bool {
        (self.roll() >> 32) % 100 < percent
    }

    /// One below `end`.
    pub fn below(&self, end: usize) -> usize {
        usize::try_from((self.roll() >> 32) % u64::try_from(end).unwrap()).unwrap()
    }
}

impl SecureRandom for Dice {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), GetRandomFailed> {
        bytes.fill_with(|| self.roll().to_be_bytes()[0]);
        Ok(())
    }
}

/// Randomness for a channel.
pub fn random(seed: u64) -> Random {
    Box::leak(Box::new(Dice::new(seed)))
}

/// A pre-shared key.
pub fn psk(identity: &str, byte: u8) -> Psk {
    Psk::read(identity, format!("{byte:02x}").repeat(16).as_bytes()).unwrap()
}

/// What happens to datagrams, in percent of them.
#[derive(Clone, Copy, Default)]
pub struct Weather {
    pub lost: u64,
    pub doubled: u64,
    pub late: u64,
}

/// Which way a datagram goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum To {
    Server,
    Client,
}

/// A datagram under way.
#[derive(Clone, Debug)]
pub struct Flight {
    pub at: Instant,
    pub to: To,
    pub datagram: Vec<u8>,
}

/// Both ends and what is between them.
pub struct World {
    pub now: Now,
    pub server_config: ServerConfig,
    pub client: DtlsChannel,
    pub server: Option<DtlsChannel>,
    pub client_failure: Option<Failure>,
    pub server_failure: Option<Failure>,
    pub under_way: VecDeque<Flight>,
    /// All that was ever sent.
    pub seen: Vec<Flight>,
    pub weather: Weather,
    pub dice: Dice,
    pub router: SocketAddr,
}

impl World {
    /// Certificates of one authority on both sides, fine weather.
    pub fn new() -> Self {
        let authority = Authority::new("Root");
        Self::between(&server(&authority, PROVIDER), &client(&authority, ROUTER), None)
    }

    /// These two, today.
    pub fn between(server: &Make, client: &ClientConfig, session: Option<&SavedSession>) -> Self {
        Self::at(TODAY, server, client, session)
    }

    /// These two, when the clocks show `unix`.
    pub fn at(unix: u64, server: &Make, client: &ClientConfig, session: Option<&SavedSession>) -> Self {
        let now = Now { instant: Instant::now(), unix };
        Self {
            now,
            server_config: server(),
            client: DtlsChannel::client(client, PROVIDER, session, now).unwrap(),
            server: None,
            client_failure: None,
            server_failure: None,
            under_way: VecDeque::new(),
            seen: Vec::new(),
            weather: Weather::default(),
            dice: Dice::new(99),
            router: "[2001:db8:1::7]:40000".parse().unwrap(),
        }
    }

    /// Takes from both ends what they want sent.
    pub fn collect(&mut self) {
        let mut fresh = Vec::new();
        while let Some(datagram) = self.client.poll_transmit() {
            fresh.push((To::Server, datagram));
        }
        while let Some(datagram) = self.server.as_mut().and_then(Channel::poll_transmit) {
            fresh.push((To::Client, datagram));
        }
        for (to, datagram) in fresh {
            self.send(to, datagram);
        }
    }

    fn send(&mut self, to: To, datagram: Vec<u8>) {
        assert!(datagram.len() + HEADERS <= 1280, "a datagram of {} bytes", datagram.len());
        let late = if self.dice.happens(self.weather.late) { 400 } else { 0 };
        let at = self.now.instant + Duration::from_millis(20 + late);
        let flight = Flight { at, to, datagram };
        self.seen.push(flight.clone());
        if self.dice.happens(self.weather.doubled) {
            self.under_way.push_back(Flight { at: at + Duration::from_millis(3), ..flight.clone() });
        }
        if !self.dice.happens(self.weather.lost) {
            self.under_way.push_back(flight);
        }
    }

    /// The next thing to happen, and when; false if there is none.
    pub fn step(&mut self) -> bool {
        self.collect();
        let arrival = self.under_way.iter().map(|flight| flight.at).min();
        let timers = [self.client.poll_timeout(), self.server.as_ref().and_then(Channel::poll_timeout)];
        let Some(next) = timers.into_iter().flatten().chain(arrival).min() else { return false };
        self.now = self.now.after(next.saturating_duration_since(self.now.instant));
        if arrival.is_some_and(|arrival| arrival <= self.now.instant) {
            let position = self.under_way.iter().position(|flight| Some(flight.at) == arrival).unwrap();
            let flight = self.under_way.remove(position).unwrap();
            self.arrive(flight.to, &flight.datagram);
        } else {
            let failure = self.client.handle_timeout(self.now).err();
            self.client_failure = self.client_failure.take().or(failure);
            let failure = self.server.as_mut().and_then(|server| server.handle_timeout(self.now).err());
            self.server_failure = self.server_failure.take().or(failure);
        }
        self.collect();
        true
    }

    /// Lets a datagram arrive.
    pub fn arrive(&mut self, to: To, datagram: &[u8]) {
        match (to, &mut self.server) {
            (To::Client, _) => {
                let failure = self.client.handle_input(datagram, self.now).err();
                self.client_failure = self.client_failure.take().or(failure);
            }
            (To::Server, Some(server)) => {
                let failure = server.handle_input(datagram, self.now).err();
                self.server_failure = self.server_failure.take().or(failure);
            }
            (To::Server, None) => match self.server_config.accept(self.router, datagram, self.now) {
                Answer::Nothing => {}
                Answer::Reply(reply) => self.send(To::Client, reply),
                Answer::Accepted(channel) => self.server = Some(channel),
            },
        }
    }

    /// Goes on until both are connected; panics when they never are.
    pub fn connect(&mut self) {
        for _ in 0..10_000 {
            if self.is_up() {
                return;
            }
            assert!(self.step() && self.client_failure.is_none() && self.server_failure.is_none(), "{}", self.state());
        }
        panic!("no end: {}", self.state());
    }

    /// Goes on until one of them gives up; panics when none does. The client's reason and the server's.
    pub fn fail(&mut self) -> (Option<Failure>, Option<Failure>) {
        for _ in 0..10_000 {
            if !self.step() {
                break;
            }
        }
        assert!(!self.is_up() && (self.client_failure.is_some() || self.server_failure.is_some()), "{}", self.state());
        (self.client_failure.clone(), self.server_failure.clone())
    }

    /// Until nothing is under way.
    pub fn settle(&mut self) {
        self.collect();
        while !self.under_way.is_empty() {
            self.step();
        }
    }

    fn is_up(&self) -> bool {
        self.client.is_established() && self.server.as_ref().is_some_and(Channel::is_established)
    }

    fn state(&self) -> String {
        format!("client {:?}, server {:?}", self.client_failure, self.server_failure)
    }

    /// The server's end.
    pub fn server(&mut self) -> &mut DtlsChannel {
        self.server.as_mut().unwrap()
    }

    /// All messages that have arrived at the client.
    pub fn at_client(&mut self) -> Vec<Vec<u8>> {
        std::iter::from_fn(|| self.client.poll_plaintext()).collect()
    }

    /// All messages that have arrived at the server.
    pub fn at_server(&mut self) -> Vec<Vec<u8>> {
        let server = self.server();
        std::iter::from_fn(|| server.poll_plaintext()).collect()
    }

    /// A message each way, and both arrive.
    pub fn talk(&mut self) {
        self.client.write(b"from the router");
        self.server().write(b"from the provider");
        self.settle();
        assert_eq!(self.at_server(), [b"from the router".to_vec()]);
        assert_eq!(self.at_client(), [b"from the provider".to_vec()]);
    }
}

/// Makes a server's configuration, again after a restart.
pub type Make = dyn Fn() -> ServerConfig;

/// A server with this name's certificate.
pub fn server(authority: &Authority, name: &str) -> Box<Make> {
    serving(authority.issue(name), authority.anchors(), Vec::new())
}

/// A server with all of this.
pub fn serving(identity: Identity, anchors: Anchors, psk: Vec<Psk>) -> Box<Make> {
    Box::new(move || ServerConfig::new(Some((&identity, &anchors)), psk.clone(), &TICKETS, random(2)).unwrap())
}

/// A client with this name's certificate.
pub fn client(authority: &Authority, name: &str) -> ClientConfig {
    ClientConfig::certificate(&authority.issue(name), &authority.anchors(), random(1)).unwrap()
}
