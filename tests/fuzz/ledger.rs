//! A ledger that is fuzzed.

use std::time::Duration;

use dots_callhome::mitigation::{Action, Consent, Ledger, Policy, TimeoutAction};

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
