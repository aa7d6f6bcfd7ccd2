#![no_main]
//! Whatever body a peer sends, each reader gives an answer, and what it accepts it can write and accept again.

use dots_callhome::signal::body::{MitigationRequest, Report};
use dots_callhome::signal::heartbeat;
use dots_callhome::signal::redirect::Redirect;
use dots_callhome::signal::session_config::SessionConfig;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    for efficacy in [false, true] {
        if let Ok(request) = MitigationRequest::parse(data, efficacy) {
            assert_eq!(MitigationRequest::parse(&request.encode(), efficacy), Ok(request));
        }
    }
    if let Ok(reports) = Report::parse_all(data) {
        assert_eq!(Report::parse_all(&Report::encode_all(&reports)), Ok(reports));
    }
    if let Ok(redirect) = Redirect::parse(data) {
        assert_eq!(Redirect::parse(&redirect.encode()), Ok(redirect));
    }
    if let Ok(status) = heartbeat::parse(data) {
        assert_eq!(heartbeat::parse(&heartbeat::encode(status)), Ok(status));
    }
    let _ = SessionConfig::parse(data);
    for reliable in [false, true] {
        if let Ok(config) = SessionConfig::default().changed_by(data, reliable) {
            let written = config.encode(false);
            assert_eq!(SessionConfig::parse(&written), Ok(config));
        }
    }
});
