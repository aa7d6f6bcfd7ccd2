//! The router's daemon: the Call Home DOTS server.

fn main() {}
