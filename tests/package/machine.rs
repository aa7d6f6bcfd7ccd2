//! What depends on the machine, in one program for `tests/package/matrix.sh`: cryptography, byte order, the size of words.
//! An example to Cargo, because for tests it builds all programs as well.
#![cfg(test)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

#[path = "../suite/call_home.rs"]
mod call_home;
#[path = "../suite/signal/cbor.rs"]
mod cbor;
#[path = "../suite/netlink/conntrack.rs"]
mod conntrack;
#[path = "../suite/netlink/neighbour.rs"]
mod neighbour;
#[path = "../suite/netlink/nftables.rs"]
mod nftables;
#[path = "../suite/mitigation/store.rs"]
mod store;
#[path = "../suite/support/mod.rs"]
pub mod support;
#[path = "../suite/ubus/bytes.rs"]
mod ubus_bytes;
