//! The DOTS Signal Channel Call Home (RFC 9066) for home routers.
//!
//! ```text
//! provider's Call Home DOTS client
//!       │  TLS/TCP, dialled by us
//!  transport   credentials, secure channel, when to call       bytes in and out
//!  coap        framing, duplicates, retransmission, blocks     CoAP messages
//!  signal      mitigate, config, hb, redirect                  DOTS bodies, validated types
//!  mitigation  the ledger: consent, conflicts, lifetimes       what should be in force
//!  source      conntrack, neighbours, ended flows              who it is, with evidence
//!  enforce     desired state → one nft transaction             what is in force, counters
//!       └── status back up the same rooms: notifications to the provider, ubus events to the administrator
//! ```
//!
//! A request goes down once and its status comes up once; no room calls back into a room above it (`tests/rooms.rs`).
//!
//! **The rule:** no I/O, no clock, no randomness and no global state outside [`io`], [`driver`] and the two programs. Every other
//! room is a deterministic state machine.
//!
//! # The contract of a core
//!
//! A state machine has four kinds of methods:
//! - `handle_*(input, now)` takes what has happened: bytes, events of another room, the time. Commands of the administrator or
//!   the provider are plain verbs, such as [`approve`](mitigation::Ledger::approve).
//! - `poll_*()` gives what it wants done: `poll_event`, `poll_transmit`, and the moment of `poll_timeout`. They change nothing
//!   but their queues.
//! - `set_*` changes what it goes by from now on.
//! - Nouns are getters.
//!
//! What the owner owes:
//! 1. Time never goes back. `now` is the same for everything within one turn.
//! 2. After any input it drains `poll_event` to the end, and hands each event to the rooms concerned before it asks for the
//!    next; it repeats this until no room has anything left. Then it calls `handle_turn_end` where a room has one.
//! 3. Then it sends what `poll_transmit` gives, until there is no more.
//! 4. `poll_timeout` may change with every input. It is asked anew before each wait, and `handle_timeout` is called once that
//!    moment has come; earlier is harmless.
//! 5. After an error of `handle_input` it sends what `poll_transmit` still has, then closes.
//!
//! What it owes for an event stands in that event's documentation, for example
//! [`Search`](mitigation::Event::Search): somebody must look, and tell the ledger whom they found.
//!
//! A session in simulated time: a provider asks, and the router answers that it is searching.
//!
//! ```
//! # #[cfg(feature = "client")] {
//! # use std::time::{Duration, Instant};
//! # use dots_callhome::coap::{Endpoint, Random};
//! # use dots_callhome::config::Config;
//! # use dots_callhome::mitigation::{Event, Ledger, State};
//! # use dots_callhome::model::{Now, Scope};
//! # use dots_callhome::signal::body::Lifetime;
//! # struct Counter(u8);
//! # impl Random for Counter {
//! #     fn fill(&mut self, bytes: &mut [u8]) {
//! #         bytes.iter_mut().for_each(|byte| { self.0 = self.0.wrapping_add(1); *byte = self.0 });
//! #     }
//! # }
//! let mut now = Now { instant: Instant::now(), unix: 1_800_000_000 };
//! let endpoint = || Endpoint::stream(Box::new(Counter(0)));
//! let mut ledger = Ledger::new(Config::read("").0.policy);
//! let mut router = dots_callhome::signal::session::Session::new("isp".into(), endpoint(), 30, now);
//! router.set_domain(vec!["198.51.100.7/32".parse().unwrap()]);
//! let mut provider = dots_callhome::client::Session::new(endpoint(), "dz6pHjaADkaFTbjr0JGBpw".into(), now.instant);
//! let source_prefixes = vec!["198.51.100.7/32".parse().unwrap()];
//! let target_prefixes = vec!["203.0.113.80/32".parse().unwrap()];
//! let scope = Scope { source_prefixes, target_prefixes, ..Scope::default() };
//! provider.request(7, 1, scope, Lifetime::Seconds(3600), now.instant);
//! for _ in 0..4 {
//!     while let Some(bytes) = provider.poll_transmit() {
//!         router.handle_input(&bytes, &mut ledger, now).unwrap();
//!     }
//!     while let Some(event) = ledger.poll_event() {
//!         if let Event::Search(id) = event {
//!             ledger.handle_attribution(id, Vec::new(), now); // Nobody is found yet.
//!         }
//!         router.handle_mitigation(&event, &ledger);
//!     }
//!     router.handle_turn_end(&mut ledger, now);
//!     while let Some(bytes) = router.poll_transmit() {
//!         provider.handle_input(&bytes, now.instant).unwrap();
//!     }
//!     now = now.after(Duration::from_secs(1));
//! }
//! let (mid, record) = provider.mitigations().next().unwrap();
//! assert_eq!((mid, record.report.status), (1, Some(1)));
//! assert_eq!(ledger.all().next().unwrap().state(), State::Searching);
//! # }
//! ```
//!
//! The library is public for the tests and the provider's program. It is not a stable API.
//!
//! **Collections:** what a home has few of is kept in sorted vectors ([`vecset`]): the code of trees would be a tenth of
//! the router's binary. [`BTreeMap`](std::collections::BTreeMap) is for what may come and go by the thousand in any order.

#![warn(unreachable_pub)]

pub mod calling;
#[cfg(feature = "client")]
pub mod client;
pub mod coap;
pub mod config;
pub mod driver;
pub mod enforce;
pub mod io;
pub mod mitigation;
pub mod model;
pub mod netlink;
pub mod signal;
pub mod source;
pub mod transport;
pub mod ubus;
pub mod uci;
