#![no_main]
//! Any text gives a configuration whose values keep their ranges, and problems that fit on one line.

use dots_callhome::config::Config;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let (config, problems) = Config::read(text);
    for peer in &config.peers {
        assert!(peer.port != 0 && !peer.section.is_empty());
        assert!(peer.heartbeat_interval == 0 || (15..=240).contains(&peer.heartbeat_interval));
        assert!(peer.domain.iter().all(|prefix| prefix.prefix_len() > 0));
    }
    assert!(!config.policy.max_lifetime.is_zero() && config.policy.max_mitigations > 0);
    for problem in problems {
        assert!(!problem.to_string().chars().any(char::is_control));
    }
});
