//! A flood by device 1 and honest traffic by device 2, both to the victim, and what the administrator does about it.

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::home::VICTIM;
use crate::host::comes_true;
use crate::stage::Stage;
use crate::traffic::{Sender, Sink};

/// The tag of the flood's packets, and of the innocent device's.
pub const FLOOD: u8 = 1;
pub const GOOD: u8 = 2;
/// How many packets of each must be sent before anything is said about what arrives of them.
const MANY: [usize; 2] = [200, 20];

/// Both, until dropped.
pub struct Attack {
    /// What arrives.
    pub sink: Sink,
    /// The flood's sender.
    pub flood: Sender,
    good: Sender,
}

impl Attack {
    /// Begins, and waits until both arrive.
    pub fn start(stage: &Stage) -> Self {
        let sink = Sink::udp(&stage.home.victim, 53);
        let victim = SocketAddr::from((VICTIM, 53));
        let attack = Self {
            flood: Sender::udp(stage.home.device(1), victim, FLOOD, 2000),
            good: Sender::udp(stage.home.device(2), victim, GOOD, 50),
            sink,
        };
        stage.until("both arrive", |_| attack.sink.last(FLOOD).is_some() && attack.sink.last(GOOD).is_some());
        attack
    }

    /// Where the provider sees the flood come from.
    pub fn seen(&self) -> SocketAddr {
        self.sink.last(FLOOD).expect("arrived").1
    }

    /// Waits until everything has arrived that has passed the router by now.
    pub fn settle(&self) {
        self.sink.settle(&self.good, GOOD);
    }

    /// What has been sent and what has arrived, of the flood and of honest traffic.
    fn counts(&self) -> [(usize, usize); 2] {
        [(&self.flood, FLOOD), (&self.good, GOOD)].map(|(sender, tag)| (sender.sent(), self.sink.packets(tag)))
    }

    /// Waits until many packets of each have been sent, and nine of ten of the honest ones have arrived; what was sent of the
    /// flood meanwhile, and what has arrived of it.
    fn watch(&self) -> (usize, usize) {
        self.settle();
        let before = self.counts();
        let since = || [0, 1].map(|n| (self.counts()[n].0 - before[n].0, self.counts()[n].1 - before[n].1));
        let fair = comes_true(|| {
            let [(flood, _), (good, arrived)] = since();
            flood >= MANY[0] && good >= MANY[1] && 10 * arrived >= 9 * good
        });
        assert!(fair, "of the flood and the innocent device (sent, arrived): {:?}", since());
        self.settle();
        since()[0]
    }

    /// Whether the flood is stopped, and nothing else is.
    pub fn is_blocked(&self) -> bool {
        self.watch().1 == 0
    }

    /// The flood is stopped, and nothing else is.
    pub fn assert_blocked(&self) {
        let (sent, arrived) = self.watch();
        assert_eq!(arrived, 0, "the flood still passes: so many of {sent} packets");
    }

    /// Nothing is stopped. A flood is more than a counter can always take.
    pub fn assert_free(&self) {
        let (sent, arrived) = self.watch();
        assert!(2 * arrived > sent, "the flood is stopped: only {arrived} of {sent} packets arrive");
    }
}

/// The state of a mitigation as the bus tells it.
pub fn state(mitigation: &Value) -> &str {
    mitigation["state"].as_str().unwrap_or("none")
}

/// The id of the only mitigation, once it has that state.
pub fn the_id_in_state(stage: &Stage, wanted: &str) -> u64 {
    stage.until(wanted, |s| state(&s.the_mitigation()) == wanted);
    stage.the_mitigation()["id"].as_u64().expect("id")
}

/// Approves, and waits until that is in force.
pub fn approve(stage: &Stage, id: u64) {
    stage.ubus("approve", json!({ "id": id })).expect("approved");
    stage.until("in force and verified", |s| s.mitigation(id)["verified"] == true);
}
