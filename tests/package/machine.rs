//! What depends on the machine, in one program for `tests/package/matrix.sh`: cryptography, byte order, the size of words.
//! An example to Cargo, because for tests it builds all programs as well.
#![cfg(test)]
#![allow(clippy::duplicate_mod, missing_docs)]

#[path = "../call_home.rs"]
mod call_home;
#[path = "../cbor.rs"]
mod cbor;
#[path = "../conntrack.rs"]
mod conntrack;
#[path = "../ledger_support/mod.rs"]
mod ledger_support;
#[path = "../neighbour.rs"]
mod neighbour;
#[path = "../nftables.rs"]
mod nftables;
#[path = "../store.rs"]
mod store;
#[path = "../ubus_bytes.rs"]
mod ubus_bytes;
