//! What a session that is fuzzed needs around it.

use dots_callhome::mitigation::{Event, Ledger};
use dots_callhome::model::Now;
use dots_callhome::signal::session::Session;
use ipnet::IpNet;

/// The domain that refuses no source.
pub fn everywhere() -> Vec<IpNet> {
    ["0.0.0.0/0", "::/0"].iter().filter_map(|prefix| prefix.parse().ok()).collect()
}

/// Every search ends at once and finds nobody.
pub fn tell(ledger: &mut Ledger, session: &mut Session, now: Now) {
    while let Some(event) = ledger.poll_event() {
        if let Event::Search(id) = event {
            ledger.handle_attribution(id, Vec::new(), now);
        }
        session.handle_mitigation(&event, ledger);
    }
    session.handle_turn_end(ledger, now);
}
