//! Who it is: from what the provider saw to the device behind NAT, with evidence.
//!
//! A [`Finder`] keeps current what searches need: the router's own network, the [`Inventory`] of devices, and the flows that
//! have ended within ten minutes (4,096 of IPv4 and 2,048 of IPv6, and 512 of each that were the router's own or nobody's;
//! about 700 KB when full). When more end at once the oldest give way; events that come faster than they are read are lost,
//! counted ([`Finder::overruns`], which goes to the log), and made good by another look at what is still there. Who sends
//! from an address nobody is known to have is asked for.
//!
//! How sure it is ([`Confidence`]): `exact` where the request names the sender alone, by the port of a shared address or by an address of its own, and nobody else fits that or did so lately; `likely` where it names less, but only
//! one device fits, and that is seen to send; else `possible`. What has been said can't be taken back, so nothing is said for
//! sure before a look is over. What can be seen makes less sure: an address that has changed hands, flows of the router
//! itself or of nobody known, a device that is a router with others behind it. Conntrack knows no Ethernet addresses,
//! and whoever sends from the address of another device would pass for it. So nobody is sure who was not seen to send: by a
//! table that the kernel fills from the start ([`Finder::poll_ruleset`]) with who opens flows, alone from its address; or, for
//! flows older than that, by what enforcement tells of who sends after the request ([`Finder::handle_senders`]). Neither sees
//! what a flow table forwards: of an older flow that is offloaded nobody is ever sure. Notes that
//! are full or lost prove nothing, nor does an Ethernet address that has just moved from one port of a bridge to another.
//!
//! On its road a conntrack entry is a [`Flow`](crate::model::Flow); each of its two `Direction`s is held against what a
//! request names, which gives a `Match` or none; a match of a device is kept as an `Observation` for as long as the search
//! lasts; the observations of one device make a [`Suspect`] of it.
//!
//! Methods, here and of what the finder is made of: what has happened comes in by `handle_*`, what comes out is taken by
//! `poll_*`, and what the owner orders is a plain verb (`start_search`, `set_names`). All others only tell.

mod candidate;
mod candidates;
mod conntrack_queries;
mod direction;
mod domain;
mod ended;
mod event;
mod finder;
mod home_network;
mod inventory;
mod listening;
mod network;
mod network_dump;
mod observation;
mod older;
mod plan;
mod readings;
mod schedule;
mod search;
mod sender_table;
mod senders;
mod stations;
mod stranger;
mod strangers;
mod suspect;
mod upstream;

pub use event::Event;
pub use finder::{Finder, Socket};
pub use inventory::{Device, Inventory};
pub use listening::Listening;
pub use stranger::{Stranger, StrangerKind};
pub(crate) use suspect::most_flows;
pub use suspect::{Confidence, Evidence, MOST_LOGGED, Sender, Suspect};
pub use upstream::Interface;
