//! The DOTS Signal Channel Call Home (RFC 9066) for home routers.
pub mod coap;
pub mod config;
pub mod driver;
pub mod enforce;
pub mod mitigation;
pub mod netlink;
pub mod scope;
pub mod signal;
pub mod source;
pub mod store;
pub mod time;
pub mod transport;
pub mod ubus;
pub mod uci;
