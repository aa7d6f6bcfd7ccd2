#![no_main]
//! A session over a stream goes on or is aborted, whatever its peer sends and wherever the stream is cut; the first byte
//! tells where.

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
    let Some((&cut, stream)) = data.split_first() else { return };
    let mut said = Vec::new();
    for pieces in [vec![stream], stream.chunks(usize::from(cut).max(1)).collect()] {
        let mut now = Now { instant: Instant::now(), unix: 1 };
        let mut ledger = ledger::of_any_provider();
        let mut session = Session::new("isp".into(), Endpoint::stream(Box::new(Zeros)), 30, now);
        session.set_domain(session::everywhere());
        let outcome = pieces.into_iter().try_for_each(|piece| session.handle_input(piece, &mut ledger, now));
        // Where nothing is cut, what needs no resource is answered first.
        let mut answers: Vec<Vec<u8>> = std::iter::from_fn(|| session.poll_transmit()).collect();
        answers.sort();
        said.push((outcome, answers));
        session::tell(&mut ledger, &mut session, now);
        now = now.after(Duration::from_secs(30));
        session.handle_timeout(&mut ledger, now);
    }
    assert_eq!(said.first(), said.last(), "the cuts make no difference");
});
