#![no_main]
//! A session over datagrams goes on whatever its peer sends: the input is a series of them, each behind its length.

use std::time::{Duration, Instant};

use dots_callhome::coap::{Endpoint, Random};
use dots_callhome::model::Now;
use dots_callhome::signal::session::Session;
use libfuzzer_sys::fuzz_target;

#[path = "../ledger.rs"]
mod ledger;
#[path = "../session.rs"]
mod session;

struct Zeros;

impl Random for Zeros {
    fn fill(&mut self, bytes: &mut [u8]) {
        bytes.fill(0);
    }
}

fuzz_target!(|data: &[u8]| {
    let mut now = Now { instant: Instant::now(), unix: 1 };
    let mut ledger = ledger::of_any_provider();
    let mut session = Session::new("isp".into(), Endpoint::datagram(Box::new(Zeros)), 30, now);
    session.set_domain(session::everywhere());
    let mut rest = data;
    while let Some((&length, after)) = rest.split_first() {
        let (datagram, after) = after.split_at(after.len().min(usize::from(length)));
        rest = after;
        assert_eq!(session.handle_input(datagram, &mut ledger, now), Ok(()));
        session::tell(&mut ledger, &mut session, now);
        while let Some(datagram) = session.poll_transmit() {
            assert!(datagram.len() <= 1152);
        }
        now = now.after(Duration::from_millis(700));
        session.handle_timeout(&mut ledger, now);
    }
});
