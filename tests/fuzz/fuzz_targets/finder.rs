#![no_main]
//! Whatever the sockets of the finder bring, in whatever order, it answers, and stops asking by itself.

use std::time::{Duration, Instant};

use dots_callhome::model::MitigationId;
use dots_callhome::model::Now;
use dots_callhome::model::Scope;
use dots_callhome::source::{Finder, Socket};
use libfuzzer_sys::fuzz_target;

const SOCKETS: [Socket; 5] =
    [Socket::Conntrack, Socket::ConntrackEvents, Socket::Route, Socket::RouteEvents, Socket::Senders];

fuzz_target!(|steps: Vec<(u8, Vec<u8>)>| {
    let mut now = Now { instant: Instant::now(), unix: 0 };
    let mut finder = Finder::new();
    let prefixes = |text: &str| text.parse().map(|net| vec![net]).unwrap_or_default();
    let scope =
        Scope { source_prefixes: prefixes("0.0.0.0/0"), target_prefixes: prefixes("0.0.0.0/0"), ..Scope::default() };
    finder.start_search(MitigationId(1), &scope, now);
    for (kind, datagram) in steps {
        match SOCKETS.get(usize::from(kind)) {
            Some(socket) => finder.handle_datagram(*socket, &datagram, now),
            None if kind < 10 => finder.handle_overrun(SOCKETS[usize::from(kind - 5)], now),
            None if kind == 10 => finder.handle_tables(&datagram, now),
            None => {
                now = now.after(Duration::from_millis(u64::from(kind) * 10));
                finder.handle_timeout(now);
            }
        }
        let asked = std::iter::from_fn(|| finder.poll_transmit()).take(1000).count();
        assert!(asked < 1000);
        if finder.poll_ruleset().is_some() {
            finder.handle_nft(kind & 1 == 0, now);
        }
        while finder.poll_event().is_some() {}
        let _ = finder.poll_timeout();
    }
});
