//! A ledger for the sessions that are fuzzed.

use std::time::Duration;

use dots_callhome::mitigation::{Action, Consent, Event, Ledger, Policy, TimeoutAction};
use dots_callhome::model::Now;
use dots_callhome::signal::session::Session;
use ipnet::IpNet;

/// One whose rules are the usual ones.
pub fn of_any_provider() -> Ledger {
    Ledger::new(Policy {
        consent: Consent::Ask,
        action: Action::Block,
        consent_timeout: None,
        timeout_action: TimeoutAction::Ignore,
        max_lifetime: Duration::from_secs(86_400),
        max_mitigations: 128,
        devices: Default::default(),
    })
}

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
