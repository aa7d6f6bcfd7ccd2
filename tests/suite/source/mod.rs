//! Which device sends what is complained of.

mod attribution;
mod domain;
mod evidence;
mod inventory;
mod pretenders;
mod searching;
mod upstreams;
mod witnesses;
mod zones;
