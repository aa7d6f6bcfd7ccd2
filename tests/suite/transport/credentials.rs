//! What is said of our own certificate.

use crate::support::certificates::*;
use dots_callhome::transport::credentials::Fault;

const YEAR_2025: u64 = 1_735_689_600;
const YEAR_2030: u64 = 1_893_456_000;

/// To the second.
#[test]
fn our_own_certificate_is_told_to_be_valid_or_not() {
    let identity = Authority::new("Root").issue_with(Kind::P256, params_from_until(ROUTER, 2025, 2030));
    let cases = [
        (0, Err(Fault::NotYetValid(YEAR_2025))),
        (YEAR_2025 - 1, Err(Fault::NotYetValid(YEAR_2025))),
        (YEAR_2025, Ok(YEAR_2030)),
        (YEAR_2030, Ok(YEAR_2030)),
        (YEAR_2030 + 1, Err(Fault::Expired(YEAR_2030))),
    ];
    for (unix, expected) in cases {
        assert_eq!(identity.valid_until(unix), expected);
    }
}
