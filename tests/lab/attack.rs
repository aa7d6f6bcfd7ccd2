//! A flood by device 1 and honest traffic by device 2, both to the victim, and what the administrator does about it.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};

use crate::home::VICTIM;
use crate::stage::Stage;
use crate::traffic::{Sender, Sink};

/// The tag of the flood's packets, and of the innocent device's.
pub const FLOOD: u8 = 1;
pub const GOOD: u8 = 2;

/// Both, until dropped.
pub struct Attack {
    /// What arrives.
    pub sink: Sink,
    _flood: Sender,
    _good: Sender,
}

impl Attack {
    /// Begins, and waits until both arrive.
    pub fn start(stage: &Stage) -> Self {
        let sink = Sink::udp(&stage.home.victim, 53);
        let victim = SocketAddr::from((VICTIM, 53));
        let attack = Self {
            _flood: Sender::udp(stage.home.device(1), victim, FLOOD, 2000),
            _good: Sender::udp(stage.home.device(2), victim, GOOD, 50),
            sink,
        };
        stage.until("both arrive", |_| attack.sink.last(FLOOD).is_some() && attack.sink.last(GOOD).is_some());
        attack
    }

    /// Where the provider sees the flood come from.
    pub fn seen(&self) -> SocketAddr {
        self.sink.last(FLOOD).expect("arrived").1
    }

    /// Packets a second of flood and honest traffic.
    pub fn rates(&self) -> (f64, f64) {
        let over = Duration::from_millis(700);
        std::thread::scope(|scope| {
            let good = scope.spawn(|| self.sink.rate(GOOD, over));
            (self.sink.rate(FLOOD, over), good.join().expect("measured"))
        })
    }

    /// The flood is stopped, and nothing else is.
    pub fn assert_blocked(&self) {
        let (flood, good) = self.rates();
        assert_eq!(flood, 0.0, "the flood still passes");
        assert!(good > 25.0, "the innocent device suffers: {good}");
    }

    /// Nothing is stopped.
    pub fn assert_free(&self) {
        let (flood, good) = self.rates();
        assert!(flood > 500.0 && good > 25.0, "{flood} {good}");
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
