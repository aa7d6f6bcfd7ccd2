//! The homes people have: what the provider may speak of in each, and who is found there. The table of them is in
//! `docs/reference.md`.

mod networks;
mod senders;
mod upstreams;
mod world;

use libtest_mimic::Trial;

const ALL: &[(&str, fn())] = &[
    ("dhcp", upstreams::dhcp),
    ("point_to_point", upstreams::point_to_point),
    ("map_e", upstreams::map_e),
    ("map_t", upstreams::map_t),
    ("ds_lite", upstreams::ds_lite),
    ("relay", upstreams::relay),
    ("cgn", upstreams::cgn),
    ("npt", upstreams::npt),
    ("split_default", upstreams::split_default),
    ("inner_router", upstreams::inner_router),
    ("switch_ports", upstreams::switch_ports),
    ("inner_shared", networks::inner_shared),
    ("public_network", networks::public_network),
    ("bridged_upstream", networks::bridged_upstream),
    ("policy_vpn", networks::policy_vpn),
    ("alias", networks::alias),
    ("nat64", networks::nat64),
    ("port_sets", networks::port_sets),
    ("vpn_server", senders::vpn_server),
    ("proxy", senders::proxy),
    ("repeater", senders::repeater),
    ("cloned_address", senders::cloned_address),
    ("servers_of_the_home", senders::servers_of_the_home),
    ("servers_elsewhere", senders::servers_elsewhere),
    ("servers_with_br_netfilter", senders::servers_with_br_netfilter),
    ("readdressed", senders::readdressed),
    ("borne_address", senders::borne_address),
];

/// All of them as tests.
pub fn trials() -> impl Iterator<Item = Trial> {
    ALL.iter().map(|(home, play)| crate::trial(format!("homes::{home}"), play))
}
