//! The race of connections to one provider (RFC 9132 section 4.3, RFC 8305 section 5).

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::model::Transport;

/// The Connection Attempt Delay (RFC 8305 section 8).
const DELAY: Duration = Duration::from_millis(250);
/// The same during an attack (RFC 9132 section 4.3).
const DELAY_UNDER_ATTACK: Duration = Duration::from_millis(100);
/// A connection and its handshake take no longer.
const LONGEST: Duration = Duration::from_secs(20);
/// So long a peer may take to go on from an earlier session; then there is a full handshake in its place. Over datagrams the first
/// message has been sent three times by then.
const RESUMPTION: Duration = Duration::from_secs(3);
/// How long an outcome is remembered (RFC 9132 section 4.3).
const REMEMBERED: Duration = Duration::from_secs(600);
/// Connections of one race. A handshake takes memory; what has no turn now has it the next time, before what failed.
const MOST_CONNECTIONS: usize = 16;
/// Outcomes remembered at once.
const MOST_OUTCOMES: usize = 64;

/// A way to reach the provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Destination {
    pub transport: Transport,
    pub address: SocketAddr,
}

/// All ways to that port of these addresses: DTLS over IPv6, over IPv4, TLS over IPv6, over IPv4, for the first address of each
/// family; then the same for their second addresses, and so on.
pub(super) fn candidates(addresses: &[SocketAddr], port: u16, transports: &[Transport]) -> Vec<Destination> {
    let mut families = [Vec::new(), Vec::new()];
    let [v6, v4] = &mut families;
    for &(mut address) in addresses {
        address.set_port(port);
        let family = if address.is_ipv6() { &mut *v6 } else { &mut *v4 };
        if !family.contains(&address) {
            family.push(address);
        }
    }
    let rounds = families.iter().map(Vec::len).max().unwrap_or(0);
    let mut all = Vec::new();
    for round in 0..rounds {
        for &transport in transports {
            let addresses = families.iter().filter_map(|family| family.get(round));
            all.extend(addresses.map(|&address| Destination { transport, address }));
        }
    }
    all
}

/// What became of connections lately.
#[derive(Debug, Default)]
pub(super) struct Outcomes(VecDeque<RaceOutcome>);

#[derive(Debug)]
struct RaceOutcome {
    candidate: Destination,
    worked: bool,
    at: Instant,
}

impl Outcomes {
    /// Remembers one.
    pub(super) fn note(&mut self, candidate: Destination, worked: bool, at: Instant) {
        self.0.retain(|outcome| outcome.candidate != candidate);
        if self.0.len() >= MOST_OUTCOMES {
            self.0.pop_front();
        }
        self.0.push_back(RaceOutcome { candidate, worked, at });
    }

    /// What worked lately comes first, what failed lately last; else the order stays.
    fn arrange(&self, candidates: &mut [Destination], now: Instant) {
        let fresh = |outcome: &&RaceOutcome| now.saturating_duration_since(outcome.at) < REMEMBERED;
        candidates.sort_by_key(|candidate| {
            let known = self.0.iter().filter(fresh).find(|outcome| outcome.candidate == *candidate);
            known.map_or(1, |outcome| if outcome.worked { 0 } else { 2 })
        });
    }
}

/// A connection under way.
#[derive(Debug)]
struct Running {
    number: u32,
    candidate: Destination,
    begun: Instant,
    /// It has begun with the offer to go on from an earlier session.
    offered: bool,
}

impl Running {
    fn due(&self) -> Instant {
        self.begun + if self.offered { RESUMPTION } else { LONGEST }
    }
}

/// What a race wants done.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Order {
    Connect(u32, Destination),
    ConnectInFull(u32, Destination),
    Abandon(u32),
}

/// How telling a failure is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Weight {
    /// Nothing could be sent.
    Unsent,
    /// Nothing came back.
    Silent,
    /// Somebody objected.
    Answered,
}

/// One race: a connection each Connection Attempt Delay until one is established or all have failed.
#[derive(Debug)]
pub(super) struct Race {
    waiting: VecDeque<Destination>,
    running: Vec<Running>,
    delay: Duration,
    /// When the next one starts.
    next: Instant,
    orders: VecDeque<Order>,
    failures: Vec<(Weight, String)>,
}

impl Race {
    /// Starts the first connection. `numbers` are taken for the connections.
    pub(super) fn new(
        mut candidates: Vec<Destination>,
        outcomes: &Outcomes,
        attacked: bool,
        numbers: &mut u32,
        now: Instant,
    ) -> Self {
        outcomes.arrange(&mut candidates, now);
        candidates.truncate(MOST_CONNECTIONS);
        let mut race = Self {
            waiting: candidates.into(),
            running: Vec::new(),
            delay: if attacked { DELAY_UNDER_ATTACK } else { DELAY },
            next: now,
            orders: VecDeque::new(),
            failures: Vec::new(),
        };
        race.start_next(numbers, now);
        race
    }

    fn start_next(&mut self, numbers: &mut u32, now: Instant) {
        let Some(candidate) = self.waiting.pop_front() else { return };
        let number = self.run(candidate, numbers, now);
        self.orders.push_back(Order::Connect(number, candidate));
        self.next = now + self.delay;
    }

    fn run(&mut self, candidate: Destination, numbers: &mut u32, now: Instant) -> u32 {
        *numbers = numbers.wrapping_add(1);
        self.running.push(Running { number: *numbers, candidate, begun: now, offered: false });
        *numbers
    }

    /// A connection has begun with the offer to go on from an earlier session.
    pub(super) fn handle_offered(&mut self, number: u32) {
        if let Some(running) = self.running.iter_mut().find(|running| running.number == number) {
            running.offered = true;
        }
    }

    /// Such an offer was refused: the same once more without it. False: it is none of this race, or has made no offer.
    pub(super) fn handle_refused(&mut self, number: u32, numbers: &mut u32, now: Instant) -> bool {
        let refused = |running: &Running| running.number == number && running.offered;
        let Some(position) = self.running.iter().position(refused) else { return false };
        let candidate = self.running.swap_remove(position).candidate;
        let number = self.run(candidate, numbers, now);
        self.orders.push_back(Order::ConnectInFull(number, candidate));
        true
    }

    /// A connection has failed: the next one needs not wait. False: it is none of this race.
    pub(super) fn handle_failed(&mut self, number: u32, why: &str, outcomes: &mut Outcomes, now: Instant) -> bool {
        let Some(position) = self.running.iter().position(|running| running.number == number) else { return false };
        let Running { candidate, begun, .. } = self.running.swap_remove(position);
        // The socket itself refuses within the very turn of the loop that opened it.
        let weight = if begun == now { Weight::Unsent } else { Weight::Answered };
        self.fail(candidate, weight, why, outcomes, now);
        self.next = now;
        true
    }

    fn fail(&mut self, candidate: Destination, weight: Weight, why: &str, outcomes: &mut Outcomes, now: Instant) {
        outcomes.note(candidate, false, now);
        let Destination { transport, address } = candidate;
        self.failures.push((weight, format!("{} {}: {why}", transport.as_str(), address.ip())));
    }

    /// A connection is established, and the race over: all others have lost it.
    pub(super) fn handle_established(
        &mut self,
        number: u32,
        outcomes: &mut Outcomes,
        now: Instant,
    ) -> Option<Destination> {
        let winner = self.running.iter().find(|running| running.number == number)?.candidate;
        for Running { number: other, candidate, .. } in self.running.drain(..) {
            outcomes.note(candidate, other == number, now);
            if other != number {
                self.orders.push_back(Order::Abandon(other));
            }
        }
        self.waiting.clear();
        Some(winner)
    }

    /// Ends it without an outcome.
    pub(super) fn abandon(&mut self) {
        self.waiting.clear();
        self.orders.extend(self.running.drain(..).map(|running| Order::Abandon(running.number)));
    }

    /// Starts what is due, ends what takes too long.
    pub(super) fn handle_timeout(&mut self, outcomes: &mut Outcomes, numbers: &mut u32, now: Instant) {
        while let Some(&Running { number, offered, .. }) = self.running.iter().find(|running| running.due() <= now) {
            self.orders.push_back(Order::Abandon(number));
            if offered {
                self.handle_refused(number, numbers, now);
                continue;
            }
            let Some(position) = self.running.iter().position(|running| running.number == number) else { break };
            let candidate = self.running.swap_remove(position).candidate;
            self.fail(candidate, Weight::Silent, "no answer", outcomes, now);
        }
        if self.next <= now {
            self.start_next(numbers, now);
        }
    }

    /// What is to be done next.
    pub(super) fn poll_order(&mut self) -> Option<Order> {
        self.orders.pop_front()
    }

    /// When [`Race::handle_timeout`] is due.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let next = (!self.waiting.is_empty()).then_some(self.next);
        self.running.iter().map(Running::due).chain(next).min()
    }

    /// Whether nothing is left that could be established.
    pub(super) fn is_over(&self) -> bool {
        self.waiting.is_empty() && self.running.is_empty()
    }

    /// Whether anything may have been sent to the provider.
    pub(super) fn has_sent(&self) -> bool {
        self.failures.iter().any(|(weight, _)| *weight != Weight::Unsent)
    }

    /// The most telling failures, once somebody has objected or all is over.
    pub(super) fn complaint(&self) -> Option<String> {
        let weight = self.failures.iter().map(|(weight, _)| *weight).max()?;
        let telling = self.failures.iter().filter(|failure| failure.0 == weight).map(|(_, text)| text.as_str());
        let telling: Vec<&str> = telling.take(4).collect();
        (weight == Weight::Answered || self.is_over()).then(|| telling.join("; "))
    }
}
