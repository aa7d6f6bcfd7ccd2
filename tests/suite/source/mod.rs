//! Which device sends what is complained of.

mod attribution;
mod domain;
mod doubts;
mod evidence;
mod inventory;
mod kept;
mod openers;
mod pretenders;
mod searching;
mod turns;
mod upstreams;
mod witnesses;
mod zones;
