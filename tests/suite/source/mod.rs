//! Which device sends what is complained of.

mod attribution;
mod domain;
mod doubts;
mod evidence;
mod homes;
mod inventory;
mod kept;
mod listening;
mod offloaded;
mod openers;
mod pretenders;
mod searching;
mod sharers;
mod strangers;
mod takeovers;
mod turns;
mod upstreams;
mod witnesses;
mod zones;
