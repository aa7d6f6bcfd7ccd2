#![no_main]
//! Whatever the kernel answers, the enforcer goes on, and asks no more for it than a bounded number of questions.

use std::time::{Duration, Instant};

use dots_callhome::enforce::desired::{Block, Desired};
use dots_callhome::enforce::{Enforcer, Socket};
use dots_callhome::model::{Mac, MitigationId, Now, Scope};
use dots_callhome::source::Inventory;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|datagrams: Vec<(u8, Vec<u8>)>| {
    let mac = Mac([2, 0, 0, 0, 0, 1]);
    let mut now = Now { instant: Instant::now(), unix: 0 };
    let mut inventory = Inventory::new();
    inventory.learn([192, 0, 2, 1].into(), 1, None, mac, now.instant);
    let scope = Scope { target_prefixes: vec!["0.0.0.0/0".parse().unwrap()], ..Scope::default() };
    let block = Block {
        id: MitigationId(1),
        scope,
        devices: vec![mac],
        narrowed: Default::default(),
        remaining: Duration::from_secs(3600),
    };
    let mut enforcer = Enforcer::new();
    enforcer.set_desired(Desired { blocks: vec![block], ..Desired::default() }, Vec::new(), &inventory, now);
    for (socket, datagram) in datagrams {
        let mut questions = 0;
        while enforcer.poll_transmit().is_some() {
            questions += 1;
        }
        assert!(questions <= 32);
        if enforcer.poll_ruleset().is_some() {
            enforcer.handle_nft(Ok(()), now);
        }
        let socket = [Socket::Netfilter, Socket::Changes, Socket::Events][usize::from(socket % 3)];
        enforcer.handle_datagram(socket, &datagram, now);
        while enforcer.poll_event().is_some() {}
        now = now.after(Duration::from_secs(1));
        if enforcer.poll_timeout().is_some_and(|due| due <= now.instant) {
            enforcer.handle_timeout(now);
        }
    }
});
