#![no_main]
//! Whatever line comes over the control socket of the provider's program, it is a command or refused, and what a command asks for
//! can be written and read again.

use dots_callhome::model::Scope;
use libfuzzer_sys::fuzz_target;

#[expect(dead_code, reason = "only commands are read here")]
#[path = "../../../src/bin/dots-callhome-client/control.rs"]
mod control;
#[path = "../../../src/bin/dots-callhome-client/scope_arguments.rs"]
mod scope_arguments;

use control::{Ask, Question};

fuzz_target!(|line: &[u8]| {
    let Ok(question) = serde_json::from_slice::<Question>(line) else { return };
    let written = serde_json::to_string(&question).expect("what was read can be written");
    let again: Question = serde_json::from_str(&written).expect("what was written can be read");
    assert_eq!(serde_json::to_string(&again).ok(), Some(written));
    if let Ask::Request(wanted) = question.ask {
        let scope = Scope::from(wanted.scope);
        assert!(scope.target_prefixes.iter().all(|prefix| prefix.trunc() == *prefix));
    }
});
