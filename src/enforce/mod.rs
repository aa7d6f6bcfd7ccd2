//! From what must be in force to what is in force.
//!
//! # What stands in the kernel
//!
//! One table, in which a packet is looked at in this order, each time in a set or a map:
//!
//! 1. `accused`: whether anything is in force against its sender. Everybody else is past our rules with that.
//! 2. `blocked_v4`, `blocked_v6`: whether its target is one of any block, and of which. What else an accused device sends is past
//!    our rules with that, however many blocks there are.
//! 3. The chain of those blocks: protocols, ports or ICMP types, and the set `m<id>` of devices with timeouts and counters.
//!
//! Targets of open requests are found in the same way (`watched_v4`, `watched_v6`), so that more of them cost no packet more.
//! The address comes first and alone. One set of address, protocol, port and device together would do without chains, but
//! multiplies targets by ports and devices, its ranges must not overlap while those of requests do, and kernels before
//! Linux 6.1.88 free the wrong one of two such elements with timeouts.
//!
//! There is no chain at the ingress of links. It would drop for less (1,655 ns instead of 2,480 with the sender's share), and
//! catch what a flow table forwards. But it belongs to links that come and go, as Wi-Fi's do, sees tagged frames before their
//! tag is taken off, and on a bridge its ports rather than the bridge; what a flow table forwards has to be cut anyway.
//!
//! # How it gets there
//!
//! Each change of what stands is one netlink batch: a refresh or an end its elements, a new request its set, its chain with a
//! few rules, and elements. All is made anew, by one text for `nft` that everybody can read, only where nothing is known to
//! stand.
//!
//! Three machines share the work: what stands (`Tables`), whether it bites (`Monitor`), and what is told (`Progress`).

mod bridge;
mod bridged_servers;
mod chain_name;
mod chains;
mod change;
mod counters;
pub mod desired;
mod dispatch;
mod enforcer;
mod event;
mod inspection;
mod kernel_queries;
mod left_open;
mod monitor;
mod progress;
mod render;
mod routed_servers;
mod rule;
mod ruleset;
mod server_text;
mod servers;
mod set;
mod sweep;
mod tables;
mod target;
mod transaction;

pub use enforcer::{Enforcer, Socket};
pub use event::{Event, NotInForce};
pub use servers::ServerTables;
pub use sweep::PassingFlows;
pub use target::{DropFilter, rules_per_target};
