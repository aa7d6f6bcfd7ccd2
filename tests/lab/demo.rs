//! The lab: scenarios with real packets in network namespaces.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

mod home;
mod host;
mod traffic;

use std::time::Duration;

fn main() {
    host::prepare().unwrap();
    let home = home::Home::new(2);
    let sink = traffic::Sink::udp(&home.victim, 53);
    let _flood = traffic::Sender::udp(home.device(1), (home::VICTIM, 53).into(), 1, 4000);
    let _good = traffic::Sender::udp(home.device(2), (home::VICTIM, 53).into(), 2, 50);
    println!("{} {}", sink.rate(1, Duration::from_secs(1)), sink.rate(2, Duration::from_secs(1)));
    println!("{:?} {:?}", sink.last(1), sink.last(2));
    println!("{}", home.router.run("conntrack", &["-L"]));
    println!("{}", home.router.run("ip", &["neigh"]));
}
